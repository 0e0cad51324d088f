"""`sdl amend`: another version of a campaign, on its way or over; what changes is shown before it is accepted."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl.cli.outcome import DONE, FAILED, home_of
from sdl.engine.amending import Amending, held
from sdl.errors import InputError
from sdl.ledger import Ledger
from sdl.ledger.inbox import who
from sdl.ledger.place import has_ledger
from sdl.preflight import Checked, check

if TYPE_CHECKING:
    from sdl.cli.outcome import Output
    from sdl.engine.amending import Amendment


def amend(
    name: str,
    file: Path,
    reason: str,
    as_: str | None,
    home: Path | None,
    overrides: tuple[str, ...],
    lift: tuple[str, ...],
    output: Output,
    *,
    yes: bool,
    dry_run: bool,
) -> int:
    """Show what an amendment changes and, once it is accepted, record it; returns the exit code.

    Args:
        name: of the campaign.
        file: the amended campaign file.
        reason: why.
        as_: who amends, or None for the user of this machine.
        home: folder of the ledger, or None for the usual one.
        overrides: `path=value` of `--set`.
        lift: constraints of `sdl reject` that are to hold no more.
        output: where things are said.
        yes: whether it is accepted unseen.
        dry_run: whether nothing is recorded.

    Raises:
        InputError: there is no such campaign, a process runs it, the file is wrong, or the amendment cannot be.
    """
    folder = home_of(home)
    if not has_ledger(folder):
        raise InputError(f"there is no ledger in {folder}; choose another --home")
    by = who(as_)
    with held(_checked(name, file, folder, overrides, output), folder) as amending:
        found = amending.plan(by, reason, lift)
        _show(name, found, output)
        data: dict[str, Any] = {
            "name": name,
            "version": found.version,
            "changes": [{"where": c.where, "was": c.was, "becomes": c.becomes} for c in found.changes],
            "notes": found.notes,
            "refused": found.refused,
            "amended": False,
        }
        if found.refused:
            output.emit({**data, "state": "refused"})
            amending.carry_out(found)  # says why not
        if dry_run:
            output.say("nothing was recorded (--dry-run)")
        elif yes or _accepted(output):
            amending.carry_out(found)
            output.say(f"campaign '{name}' is at version {found.version}; {_go_on(amending, file, home, overrides)}")
            data["amended"] = True
        else:
            output.say("nothing was recorded")
        output.emit(data)
    return DONE if data["amended"] or dry_run else FAILED


def _checked(name: str, file: Path, folder: Path, overrides: tuple[str, ...], output: Output) -> Checked:
    """Return the amended file as a version of the recorded campaign, with its name, seed and simulators."""
    ledger = Ledger(folder)
    try:
        recorded = ledger.campaign(name)
        if recorded is None:
            raise ledger.unknown(name)
    finally:
        ledger.close()
    simulate = bool(recorded["settings"].get("simulate", False))
    checked = check(file, overrides=overrides, simulate=simulate)
    seed, data = int(recorded["seed"]), checked.campaign.document.data
    if checked.campaign.seed != seed and "seed" in data:
        raise InputError(f"the campaign's seed is {seed} and cannot be amended; write seed: {seed}, not {data['seed']}")
    other_name, other_seed = checked.campaign.name != name, checked.campaign.seed != seed
    if not other_name and not other_seed:
        return checked
    if other_seed:
        output.say(f"the seed stays {seed}, as it was begun with")
    return check(
        file,
        overrides=overrides,
        name=name if other_name else None,
        seed=seed if other_seed else None,
        simulate=simulate,
    )


def _show(name: str, found: Amendment, output: Output) -> None:
    output.say(f"{name}, version {found.version}:")
    lines = [("", "so far", "from now on"), *((c.where, c.was or "–", c.becomes or "–") for c in found.changes)]
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    for line in lines if found.changes else ():
        output.say("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for note in found.notes:
        output.say(f"  {note}")


def _accepted(output: Output) -> bool:
    """Ask at the terminal; where nobody can answer, it is not accepted."""
    if output.as_json or not sys.stdin.isatty():
        output.say("accept it with --yes")
        return False
    try:
        return input("amend the campaign so? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _go_on(amending: Amending, file: Path, home: Path | None, overrides: tuple[str, ...]) -> str:
    where = "" if home is None else f" --home {home}"
    if amending.checked.campaign.is_by_people:
        return f"go on with: sdl propose {amending.name}{where}"
    given = "".join(f" --set {shlex.quote(o)}" for o in overrides)
    document = amending.checked.campaign.document
    given += f" --name {amending.name}" if "name" in document.overridden else ""
    given += f" --seed {amending.checked.campaign.seed}" if "seed" in document.overridden else ""
    return f"go on with: sdl run {file}{given}{where}, or sdl resume {amending.name}{where}"
