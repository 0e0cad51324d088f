"""`sdl torture`: kill a simulated campaign at every boundary, and see whether anything happens twice or is lost."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.cli import run as sdl_run
from sdl.cli.outcome import DONE, FAILED, Output, code_of, complain
from sdl.engine import InlineWorker
from sdl.errors import InputError, SdlError
from sdl.preflight import check
from sdl.testing.torture import Subject, Torture, TortureResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdl.preflight import Checked


def torture(
    file: Path,
    overrides: tuple[str, ...],
    simulate: bool,
    faults: int,
    seed: int,
    lanes: int,
    keep: Path | None,
    output: Output,
) -> int:
    """Torture a campaign; returns 0 where nothing happened that must not."""
    checked = check(file, overrides=overrides, simulate=simulate)
    _require_simulated(checked)
    folder = keep or Path(tempfile.mkdtemp(prefix="sdl-torture-"))
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"--keep {folder}: the folder is not empty; give a new one")
    folder.mkdir(parents=True, exist_ok=True)
    compare = checked.lab.clock.type == "virtual"
    if not compare:
        output.say("the lab's time is not virtual: runs are not compared with the undisturbed one")
    subject = Subject.of(checked, runner(file, overrides, simulate=simulate))
    result = Torture(subject, folder, faults=faults, seed=seed, lanes=lanes, compare=compare, say=output.say).run()
    _tell(result, output, compare=compare)
    if result.problems:
        output.say(f"\nhomes, journals and output of all campaigns are kept in {folder}")
        return FAILED
    if keep is None:
        shutil.rmtree(folder)
    return DONE


def runner(file: Path, overrides: tuple[str, ...], *, simulate: bool, inline: bool = False) -> Callable[[Path], int]:
    """Return what does the work of `sdl run --engine local` in a home, less the report that nobody would read.

    Args:
        file: the campaign file.
        overrides: `path=value` of `--set`.
        simulate: whether simulators stand in for real instruments.
        inline: whether planner and analyses run in the campaign's own process, which saves starting another each time.
    """

    def run(home: Path) -> int:
        if inline:
            sdl_run.ProcessWorker = InlineWorker  # type: ignore[attr-defined, assignment]
        sdl_run._report = lambda *_: None  # noqa: SLF001  in a child of its own
        try:
            return sdl_run.run_campaign(file, home, None, None, overrides, "local", simulate, Output(as_json=True))
        except SdlError as error:
            complain(str(error))
            return code_of(error)

    return run


def _require_simulated(checked: Checked) -> None:
    other = [n for n, p in checked.lab.instruments.items() if p.description.nature != "simulated"]
    if other:
        raise InputError(
            f"torture needs a simulated lab whose world keeps a record, but {', '.join(other)} is not simulated; "
            "use --simulate, or a lab file of simulators"
        )
    if checked.lab.world.get("server") is not None:
        raise InputError("torture keeps a world of its own for every campaign; leave 'server' out of the lab's 'world'")


def _tell(result: TortureResult, output: Output, *, compare: bool) -> None:
    data = result.as_json()
    output.say(f"\n{'fault':<12} {'where':<40} {'struck':>6}")
    for (kind, boundary), number in sorted(result.struck.items()):
        output.say(f"{kind:<12} {boundary:<40} {number:>6}")
    output.say(f"\n{'faults':<44} {data['faults']:>6}   in {data['campaigns']} campaigns, {result.seconds:.0f} s")
    for key in ("executed_twice", "lost", "observations_missing", "observations_doubled", "questions"):
        output.say(f"{key.replace('_', ' '):<44} {data[key]:>6}")
    if compare:
        output.say(f"{'campaigns equal to the undisturbed one':<44} {data['campaigns_equal_to_undisturbed']:>6}")
    if result.median_resume is not None:
        output.say(f"{'median time to resume / s':<44} {result.median_resume:>6.2f}")
    for problem in result.problems:
        output.say(f"PROBLEM {problem}")
    output.emit(data)
