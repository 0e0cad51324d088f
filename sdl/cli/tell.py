"""`sdl tell`: what people measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdl.cli.outcome import DONE
from sdl.cli.people import taken
from sdl.cli.propose import say_open
from sdl.ledger.inbox import who

if TYPE_CHECKING:
    from sdl.cli.outcome import Output


def tell(
    which: str,
    file: Path,
    correct: bool,
    reason: str,
    as_: str | None,
    home: Path | None,
    name: str | None,
    overrides: tuple[str, ...],
    output: Output,
) -> int:
    """Record the results in a file; returns 0.

    Args:
        which: a campaign's name or file.
        file: the sheet.
        correct: whether values that differ take the place of the recorded ones.
        reason: a remark.
        as_: who tells, or None for the user of this machine.
        home: folder of the ledger, or None for the usual one.
        name: takes the place of the campaign file's.
        overrides: `path=value` of `--set`.
        output: where things are said.

    Raises:
        InputError: there is no such campaign, a lab carries it out, or the file cannot be recorded as a whole.
    """
    with taken(which, home, name, overrides) as session:
        for line in session.said:
            output.say(line)
        told = session.tell(file, who(as_), reason, correct=correct)
        for line in told.said:
            output.say(line)
        if not told.events:
            output.say(f"nothing new in {file}: nothing was recorded")
        say_open(session, (), output)
        output.emit(
            {
                "name": session.name,
                "state": "waiting" if session.over is None else "done",
                "reason": session.over,
                "told": told.experiments,
                "corrected": told.corrected,
                "open": [e.number for e in session.open],
                "left": session.left,
            }
        )
    return DONE
