"""`sdl status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdl.cli.outcome import home_of
from sdl.cli.summary import describe_best, summary_of
from sdl.ledger import Ledger

if TYPE_CHECKING:
    from sdl.cli.outcome import Output


def show_status(name: str | None, home: Path | None, output: Output) -> int:
    """Say how one campaign or all of them stand."""
    folder = home_of(home)
    if not (folder / "ledger.db").exists():
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
        owner = f", process {summary.owner[0]} on {summary.owner[1]}" if summary.state == "running" else ""
        output.say(f"{summary.name}: {summary.state}{reason}{owner}")
        output.say(f"  experiments: {', '.join(f'{v} {k}' for k, v in counts.items() if v or k == 'started')}")
        output.say(f"  best: {describe_best(summary)}")
        for question in summary.open_questions():
            output.say(f"  question {question.question}: {question.text}")
    if name is None:
        output.emit({"home": str(folder), "campaigns": [s.as_json() for s in summaries]})
    else:
        output.emit(summaries[0].as_json())
    return 0
