"""Where samples are, rebuilt from a command log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdl.lab.sql_log import SqlLog


@dataclass(frozen=True)
class Whereabouts:
    """Where samples are.

    Attributes:
        places: sample → the places where it holds room; the last is where it is.
        coming: samples that are nowhere yet: nobody knows yet whether what makes them has begun.
        owners: sample → the campaign whose it is.
    """

    places: dict[str, list[str]] = field(default_factory=dict)
    coming: set[str] = field(default_factory=set)
    owners: dict[str, str] = field(default_factory=dict)


def whereabouts(log: SqlLog) -> Whereabouts:
    """Return where samples are after all that a command log tells."""
    found = Whereabouts()
    at = found.places
    for record in log.moves():
        place, status = str(record.command.destination), record.status
        for sample in record.command.samples:
            found.owners[sample] = record.command.campaign
            before = at.get(sample, [])
            if status == "succeeded":
                at[sample] = [place]
                found.coming.discard(sample)
            elif status in {None, "unknown"}:
                if not before:
                    found.coming.add(sample)
                at[sample] = [place, *(p for p in before if p != place)]
            elif not before and record.answer is None and record.reply is not None and record.reply.started is not None:
                at[sample] = [place]  # made half-way: something lies there
    return found
