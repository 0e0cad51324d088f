"""What came of a campaign on a lab server: world, ledger and the server's command log are held against each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sdl.ledger import CommandIntended, CommandSettled, QuestionOpened
from sdl.testing.torture.verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sdl.lab.log import Record
    from sdl.ledger import Row
    from sdl.world import Operation


@dataclass(frozen=True)
class Records:
    """What three parties wrote down, each for itself.

    Attributes:
        rows: the campaign's journal.
        effects: the world's record.
        commands: the lab server's log.
    """

    rows: tuple[Row, ...]
    effects: tuple[Operation, ...]
    commands: tuple[Record, ...]


def judge_served(
    records: Records, outcomes: Sequence[str], reads: frozenset[tuple[str, str]], undisturbed: Records | None = None
) -> Verdict:
    """Judge a campaign that has come to its end on a lab server.

    Args:
        records: of campaign, world and server.
        outcomes: that every finished experiment must have.
        reads: (instrument, action) of actions that only read or do no harm when they are repeated.
        undisturbed: the records of the run without faults, or None.
    """
    other = None if undisturbed is None else (undisturbed.rows, undisturbed.effects)
    verdict = judge(records.rows, records.effects, outcomes, reads, other)
    return replace(verdict, lost=(*verdict.lost, *_between(records)))


def _between(records: Records) -> Iterator[str]:
    """Yield what one party knows and another one does not."""
    intended = {r.event.command for r in records.rows if isinstance(r.event, CommandIntended)}
    settled = {r.event.command: r.event for r in records.rows if isinstance(r.event, CommandSettled)}
    asked = {r.event.command for r in records.rows if isinstance(r.event, QuestionOpened)}
    logged = {r.command.id: r for r in records.commands}
    for effect in records.effects:
        record = logged.get(effect.command)
        if record is None:
            yield f"command {effect.command} was carried out, and the server's log does not know it"
        elif record.state == "accepted" or (record.reply is not None and record.reply.status == "not_started"):
            state = record.state if record.reply is None else record.reply.status
            yield f"command {effect.command} was carried out, and the server's log says: {state}"
    for record in records.commands:
        what = f"command {record.command.id} ({record.command.instrument}.{record.command.action})"
        if record.command.id not in intended:
            yield f"{what} is in the server's log, and the ledger never meant it"
        if record.state not in {"finished", "accepted"}:
            yield f"{what} is {record.state} in the server's log, and the campaign is over"
        if record.reply is None or record.reply.status in {"not_started", "unknown"} or record.command.id in asked:
            continue
        event = settled.get(record.command.id)
        if event is None or event.status != record.reply.status:
            told = "nothing" if event is None else event.status
            yield f"{what}: the server's log says {record.reply.status}, the ledger {told}"
        elif dict(event.values) != dict(record.reply.values):
            yield f"{what}: the server's log has {dict(record.reply.values)}, the ledger {dict(event.values)}"
    for command, event in settled.items():
        record = logged.get(command)
        if event.how == "answered" or event.status in {"not_started", "unknown"}:
            continue
        if record is None or record.state != "finished":
            yield f"command {command}: the ledger says {event.status}, the server's log has no result"
