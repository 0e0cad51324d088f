"""`sdl torture`: kill a simulated campaign at every boundary, and see whether anything happens twice or is lost."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.artefacts import ArtefactRef
from sdl.cli import requests as sdl_requests
from sdl.cli.outcome import DONE, FAILED, Output, code_of, complain
from sdl.cli.run import run_campaign
from sdl.clock import make_clock
from sdl.engine import InlineWorker, ProcessWorker
from sdl.engine.commands import as_sent
from sdl.errors import InputError, SdlError
from sdl.ledger import Ledger
from sdl.loop import CampaignState
from sdl.preflight import check
from sdl.testing.torture import Lane, Subject, Torture, TortureResult, harmless
from sdl.testing.torture.database import Database, memory, reason_against
from sdl.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdl.ledger import CommandIntended
    from sdl.preflight import Checked
    from sdl.testing.torture.faults import Process
    from sdl.testing.torture.house import ServedSubject

_LATER = 7 * 86400.0
"""Seconds after the end of an effect at which the oracle looks: long after everything has cooled down."""


def torture(
    file: Path,
    overrides: tuple[str, ...],
    simulate: bool,
    faults: int,
    seed: int,
    lanes: int,
    keep: Path | None,
    output: Output,
    *,
    served: bool | None = None,
    engine: str = "local",
    compare: bool = True,
) -> int:
    """Torture a campaign; returns 0 where nothing happened that must not.

    Args:
        file: the campaign file.
        overrides: `path=value` of `--set`.
        simulate: whether simulators stand in for real instruments.
        faults: how many are to strike.
        seed: of their choice.
        lanes: campaigns at once.
        keep: folder in which everything is kept, or None.
        output: where things are said.
        served: whether the lab is served by a process of its own, which is tortured too; some of both by default.
        engine: `prefect`, with a server of its own, which is tortured too, or `local`.
        compare: whether every run is held against the undisturbed one; only in virtual time.
    """
    if served and engine == "prefect":
        raise InputError("a served lab is tortured with the local engine: leave out --served, or take --engine local")
    checked = check(file, overrides=overrides, simulate=simulate)
    _require_simulated(checked)
    folder = keep or Path(tempfile.mkdtemp(prefix="sdl-torture-", dir=memory()))
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"--keep {folder}: the folder is not empty; give a new one")
    folder.mkdir(parents=True, exist_ok=True)
    left_out: list[str] = []
    if compare and checked.lab.clock.type != "virtual":
        compare = False
        left_out.append("comparison with the undisturbed run: the lab's time is not virtual")
    with ExitStack() as held:
        if engine == "prefect":
            parts = {"prefect": held.enter_context(_prefect_lanes(checked, file, overrides, folder, simulate=simulate))}
        else:
            parts = _parts(checked, file, overrides, left_out, simulate=simulate, served=served)
        results = []
        for number, (name, make) in enumerate(parts.items()):
            share = (faults + len(parts) - 1 - number) // len(parts)
            if share:
                output.say(f"{name}:")
                one = Torture(
                    make, folder / name, faults=share, seed=seed, lanes=lanes, compare=compare, say=output.say
                )
                results.append(one.run())
    result = TortureResult.of(results)
    _tell(result, output, left_out, compare=compare)
    if result.problems:
        output.say(f"\nhomes, journals and output of all campaigns are kept in {folder}")
        return FAILED
    if keep is None:
        shutil.rmtree(folder)
    return DONE


def _parts(
    checked: Checked,
    file: Path,
    overrides: tuple[str, ...],
    left_out: list[str],
    *,
    simulate: bool,
    served: bool | None,
) -> dict[str, Callable[[Path], Lane]]:
    """Return what is tortured, a fair share of the faults each; what cannot be here is said in `left_out`."""
    parts: dict[str, Callable[[Path], Lane]] = {}
    subject = Subject.of(checked, runner(file, overrides, simulate=simulate), answer=oracle(checked))
    if not served:
        parts["embedded"] = partial(Lane, subject)
    if served is not False:
        try:
            parts["served"] = _served_lane(checked, file, overrides)
        except InputError as error:
            if served:
                raise
            left_out.append(f"faults of lab server and network: {error}")
    reason = reason_against()
    if reason is None:
        parts["database"] = partial(Lane, subject, make_database=Database)
    else:
        left_out.append(f"faults of the database: {reason}")
    return parts


def _prefect_lanes(
    checked: Checked, file: Path, overrides: tuple[str, ...], folder: Path, *, simulate: bool
) -> AbstractContextManager[Callable[[Path], Lane]]:
    try:
        from sdl_flows.torture import prefect_lanes
    except ImportError as error:
        raise InputError(
            f"the Prefect engine needs the extra sdl[prefect] ({error}); install it, or use --engine local"
        ) from error
    run = runner(file, overrides, simulate=simulate, engine="prefect")
    return prefect_lanes(Subject.of(checked, run, answer=oracle(checked)), folder)


def _served_lane(checked: Checked, file: Path, overrides: tuple[str, ...]) -> Callable[[Path], Lane]:
    if checked.lab.clock.type != "virtual":
        raise InputError(
            f"torture of a served lab needs virtual time, but lab '{checked.lab.name}' has {checked.lab.clock.type} time; "
            "write clock: {type: virtual} in the lab file"
        )
    try:
        from sdl.testing.torture.served import ServedLane
    except ImportError as error:
        raise InputError(f"a lab server needs the extra sdl[server] ({error}); install it") from error
    return partial(ServedLane, served_subject(checked, file, overrides))


def served_subject(
    checked: Checked,
    file: Path,
    overrides: tuple[str, ...],
    *,
    inline: bool = False,
    sabotage: Mapping[Process, Callable[[], None]] | None = None,
) -> ServedSubject:
    """Return a campaign whose own lab is to be served by a process of its own.

    Args:
        checked: the campaign with its lab, as pre-flight left it.
        file: the campaign file.
        overrides: `path=value` of `--set`; those of the lab count for the served one.
        inline: as of `runner`.
        sabotage: breaks a process on purpose, to see whether that is noticed.
    """
    from sdl.testing.torture.house import ServedSubject

    own = tuple(o for o in overrides if o.partition("=")[0].split(".")[0].strip() != "lab")

    def run(home: Path, url: str) -> int:
        return runner(file, (*own, f"lab={{server: '{url}'}}"), simulate=False, inline=inline)(home)

    answer = oracle(checked, lambda home: home / "world.jsonl")
    outcomes, reads = checked.plan.outcomes, harmless(checked)
    return ServedSubject(run, checked.campaign.name, outcomes, reads, checked.lab, sabotage or {}, answer)


def runner(
    file: Path, overrides: tuple[str, ...], *, simulate: bool, inline: bool = False, engine: str = "local"
) -> Callable[[Path], int]:
    """Return what does the work of `sdl run` in a home, less the report that nobody would read.

    Args:
        file: the campaign file.
        overrides: `path=value` of `--set`.
        simulate: whether simulators stand in for real instruments.
        inline: whether planner and analyses run in the campaign's own process, which saves starting another each time.
        engine: `local` or `prefect`; the latter has a worker of its own, whatever `inline` says.
    """

    def run(home: Path) -> int:
        try:
            return run_campaign(
                file,
                home,
                None,
                None,
                overrides,
                engine,
                simulate,
                Output(as_json=True),
                stays=False,
                make_worker=InlineWorker if inline else ProcessWorker,
                reports=False,
            )
        except SdlError as error:
            complain(str(error))
            return code_of(error)

    return run


def oracle(checked: Checked, record: Callable[[Path], Path] | None = None) -> Callable[[Path], int]:
    """Return what answers a home's open questions as a person would who looks into the furnace: from the world's own record.

    Args:
        checked: the campaign with its lab.
        record: home → the world's record; where the campaign's own process keeps it by default.
    """
    path_of = record or (lambda home: home / "worlds" / f"{checked.campaign.name}.jsonl")

    def answer(home: Path) -> int:
        ledger = Ledger(home)
        try:
            state = CampaignState(ledger.rows(checked.campaign.name))
        finally:
            ledger.close()
        answered = 0
        for question in state.open_questions():
            command = next(c.intended for c in state.lost_commands() if c.intended.command == question.command)
            word, values, files = asyncio.run(_looked(checked, home, path_of(home), command))
            said = "the world's record says so"
            wanted = f"{checked.campaign.name}/{question.question}"
            sdl_requests.answer(wanted, word, values, files, said, "oracle", home, Output(as_json=True))
            answered += 1
        return DONE if answered else FAILED

    return answer


async def _looked(
    checked: Checked, home: Path, path: Path, intended: CommandIntended
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return answer, values and files for a command, as the instrument's own simulation tells them once it is over."""
    plan = checked.lab.instruments[intended.instrument]
    world = World(int(checked.lab.world.get("seed", 0)), path, checked.lab.world_settings)
    try:
        operation = world.operation(intended.command)
        if operation is None:
            return "did-not-happen", (), ()
        clock = make_clock(checked.lab.clock, operation.over + _LATER)
        instrument = plan.make(intended.instrument, plan.settings, clock=clock, world=world)
        kept: list[str] = []

        def keep(name: str, data: bytes, media_type: str) -> ArtefactRef:
            file = home / "seen" / intended.command / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            kept.append(f"{name}={file}")
            return ArtefactRef(name, "", len(data), media_type)

        instrument.store = keep
        found = await instrument.reconcile(as_sent(checked.campaign.name, intended))
        if found.state != "done" or found.error is not None:
            return "discard", (), ()
        return "done", tuple(f"{name}={value!r}" for name, value in found.values.items()), tuple(kept)
    finally:
        world.close()


def _require_simulated(checked: Checked) -> None:
    other = [n for n, p in checked.lab.instruments.items() if p.description.nature != "simulated"]
    if other:
        raise InputError(
            f"torture needs a simulated lab whose world keeps a record, but {', '.join(other)} is not simulated; "
            "use --simulate, or a lab file of simulators"
        )
    if checked.lab.world.get("server") is not None:
        raise InputError("torture keeps a world of its own for every campaign; leave 'server' out of the lab's 'world'")


def _tell(result: TortureResult, output: Output, left_out: list[str], *, compare: bool) -> None:
    data = {**result.as_json(), "left_out": left_out}
    output.say(f"\n{'process':<9} {'fault':<15} {'where':<44} {'struck':>6}")
    for (process, kind, boundary), number in sorted(result.struck.items()):
        output.say(f"{process:<9} {kind:<15} {boundary:<44} {number:>6}")
    boundaries = len(result.by_boundary)
    output.say(f"\n{'faults':<44} {data['faults']:>6}   in {data['campaigns']} campaigns, {result.seconds:.0f} s")
    output.say(f"{'least at any boundary':<44} {data['least_struck']:>6}   of {boundaries} boundaries of all processes")
    for key in ("executed_twice", "lost", "observations_missing", "observations_doubled", "questions"):
        output.say(f"{key.replace('_', ' '):<44} {data[key]:>6}")
    output.say(f"{'campaigns, nothing repeated, nothing asked':<44} {result.plain:>6}   of {len(result.trials)}")
    if compare:
        equal, compared = data["campaigns_equal_to_undisturbed"], data["campaigns_compared"]
        output.say(f"{'campaigns equal to the undisturbed one':<44} {equal:>6}   of {compared} that can be compared")
    if result.median_resume is not None:
        output.say(f"{'median time to resume / s':<44} {result.median_resume:>6.2f}")
        for name, seconds in result.median_resumes.items():
            output.say(f"{f'  of the {name} / s':<44} {seconds:>6.2f}")
    for found in data["differences"]:
        output.say(f"DIFFERS {found['campaign']}: {found['first']}; before it: {found['cause'] or 'no cause'}")
    for what in left_out:
        output.say(f"LEFT OUT {what}")
    for problem in result.problems:
        output.say(f"PROBLEM {problem}")
    output.emit(data)
