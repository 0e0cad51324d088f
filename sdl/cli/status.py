"""`sdl status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdl.cli.outcome import home_of
from sdl.cli.summary import describe_flags, describe_results, summary_of
from sdl.ledger import Ledger
from sdl.ledger.place import has_ledger

if TYPE_CHECKING:
    from sdl.cli.outcome import Output


_SHOWN = 5
"""How many experiments with flags are listed for each campaign (chosen)."""


def show_status(name: str | None, home: Path | None, output: Output) -> int:
    """Say how one campaign or all of them stand."""
    folder = home_of(home)
    if not has_ledger(folder):
        output.say(f"there is no ledger in {folder} yet; sdl run makes one")
        output.emit({"home": str(folder), "campaigns": []})
        return 0 if name is None else 2
    ledger = Ledger(folder)
    try:
        names = [str(c["name"]) for c in ledger.campaigns()] if name is None else [name]
        summaries = [summary_of(ledger, n) for n in names]
    finally:
        ledger.close()
    for summary in summaries:
        counts = summary.counts()
        reason = "" if summary.reason is None else f" ({summary.reason})"
        lives = summary.journal.ended is None and summary.state != "interrupted"
        owner = f", process {summary.owner[0]} on {summary.owner[1]}" if lives else ""
        output.say(f"{summary.name}: {summary.state}{reason}{owner}")
        output.say(f"  experiments: {', '.join(f'{v} {k}' for k, v in counts.items() if v or k == 'started')}")
        for line in describe_results(summary):
            output.say(f"  {line}")
        for line in summary.changes:
            output.say(f"  {line}")
        if (said := summary.cost_line()) is not None:
            output.say(f"  {said}")
        if (said := summary.gain_line()) is not None:
            output.say(f"  {said}")
        flagged = describe_flags(summary)
        for line in flagged[:_SHOWN]:
            output.say(f"  flagged: {line}")
        if len(flagged) > _SHOWN:
            output.say(f"  flagged: {len(flagged) - _SHOWN} more, of earlier experiments; sdl export lists them all")
        for found in summary.late:
            if found.is_open:
                output.say(f"  LATE: {found.where}: {found.story}")
        if over := [c for c in summary.late if not c.is_open]:
            count = "1 command" if len(over) == 1 else f"{len(over)} commands"
            output.say(f"  late, and over: {count}; the last: {over[-1].where}: {over[-1].story}")
        for question in summary.open_questions():
            output.say(f"  question {question.question}: {question.text}")
    if name is None:
        output.emit({"home": str(folder), "campaigns": [s.as_json() for s in summaries]})
    else:
        output.emit(summaries[0].as_json())
    return 0
