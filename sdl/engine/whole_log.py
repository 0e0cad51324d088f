"""Whether the command log of a lab server is whole: it knows all that this campaign's ledger has from it.

One that was restored from a backup has forgotten what it carried out since. That it does not know a command is then no proof
that the command never began.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from sdl.errors import LabError
from sdl.lab.older_log import older_log
from sdl.ledger import CommandIntended, CommandSettled, EpochRaised

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.lab.client import RemoteLab
    from sdl.ledger import Event, Row

_RIGHT_BEFORE = 5.0
"""Seconds of lab time before a command was to be sent within which no backup is taken to have been made. Chosen: a campaign sends
a command within a second of what led to it; every second more is one in which a backup may fall."""

_ENDED = {"succeeded", "failed", "aborted"}


def require_whole(lab: RemoteLab, rows: Sequence[Event], epoch: int, states: Mapping[str, str]) -> None:
    """Refuse a lab server whose command log is older than the ledger.

    Args:
        lab: the server.
        rows: the campaign's journal.
        epoch: the highest epoch of the campaign that the server knew before this process came.
        states: command id → state, of every command of the campaign in the server's log.

    Raises:
        LabError: it does not know an epoch that had commands carried out on this log, or the end of a command that it told.
    """
    epochs = _boots(lab, rows)
    sent = {e.command: e for e in rows if isinstance(e, CommandIntended) and e.epoch in epochs}
    last = max((e.epoch for e in sent.values()), default=0)
    if last > epoch:  # a process takes the campaign over there before it sends anything
        raise LabError(
            f"{older_log(lab.url)} (it knows epoch {epoch} of this campaign, the ledger has commands of {last})"
        )
    for event in rows:
        # What was not started may never have reached it; what is unknown, or was answered by a person, is no word of its own.
        if isinstance(event, CommandSettled) and event.how != "answered" and event.status in _ENDED:
            found = sent.get(event.command)
            if found is not None and states.get(event.command) != "finished":
                raise LabError(
                    f"{older_log(lab.url)} (it does not know the end of {found.instrument}.{found.action}, experiment "
                    f"{found.experiment}, command {event.command})"
                )


def doubtful(lab: RemoteLab, journal: Sequence[Row], known: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return the commands without an outcome that the server does not know and that may have begun all the same, each with why.

    A server that lives since before a command was to be sent holds the log on which it would have written it. One that was
    started since may stand on a log that was restored from before the command: then what was written to it before the command
    ends some time before. Where it ends right before the command, it is taken for whole. What may be done again is no matter.

    Args:
        lab: the server, which knows all epochs with commands (see `require_whole`).
        journal: the campaign's.
        known: command id → moments of lab time at which it was written, of every command of the campaign in the server's log.
    """
    boots = _boots(lab, [r.event for r in journal])
    fates = {r.event.command: r.event.status for r in journal if isinstance(r.event, CommandSettled)}
    taken = {r.event.epoch: _moment(r) for r in journal if isinstance(r.event, EpochRaised)}
    written = sorted(moment for moments in known.values() for moment in moments)
    found = {}
    for row in journal:
        event = row.event
        if (
            isinstance(event, CommandIntended)
            and fates.get(event.command, "unknown") == "unknown"
            and event.command not in known
            and boots.get(event.epoch) != lab.boot
            and is_irreversible(lab, event.instrument, event.action)
        ):
            moment = _moment(row)  # whatever a restored log has from later was written since it was restored
            last = max([taken.get(event.epoch, -math.inf), *(m for m in written if m <= moment)])
            if moment > last + _RIGHT_BEFORE:
                found[event.command] = (
                    "the lab server does not know this command; but it was started again since the process began that would have "
                    "sent it, and its command log may have been restored from before it: look at the instrument and the sample"
                )
    return found


def _moment(row: Row) -> float:
    return datetime.fromisoformat(row.at).timestamp()


def is_irreversible(lab: RemoteLab, instrument: str, action: str) -> bool:
    """Tell whether an action may not be done again; one that the lab no longer has may not."""
    there = lab.plan.instruments.get(instrument)
    spec = None if there is None else there.description.actions.get(action)
    return spec is None or spec.effect == "irreversible"


def _boots(lab: RemoteLab, rows: Sequence[Event]) -> dict[int, str | None]:
    """Return the epochs in which the campaign worked on this log, each with the server's life in which it began, where known."""
    raised = [(e.epoch, e.environment.get("lab", {})) for e in rows if isinstance(e, EpochRaised)]
    return {epoch: there.get("boot") for epoch, there in raised if there.get("log") == lab.id}
