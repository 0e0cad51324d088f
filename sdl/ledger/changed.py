"""How a campaign changed on its way, in lines for people: amendments, and constraints that people added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.ledger.events import ConstraintAdded, ConstraintLifted, ResultsTold, VersionRecorded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdl.ledger.ledger import Row


def changed(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return a line for each amendment and each constraint that people added, in order."""
    lines = []
    for row in rows:
        at, event = f"{row.at[:16].replace('T', ' ')} UTC", row.event
        match event:
            case VersionRecorded() if event.version > 1:
                lines.append(f"version {event.version} since {at}, amended by {event.by}{_why(event.reason)}")
            case ConstraintAdded():
                lines.append(
                    f"since {at} only {event.constraint}, by {event.by} at experiment {event.experiment}{_why(event.reason)}"
                )
            case ConstraintLifted():
                lines.append(f"since {at} no longer only {event.constraint}, by {event.by}{_why(event.reason)}")
            case _:
                pass
    return tuple(lines)


def told(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return a line for each file of results that people told, in order."""
    lines = []
    for row in rows:
        if isinstance(row.event, ResultsTold):
            told_, at = row.event, f"{row.at[:16].replace('T', ' ')} UTC"
            file = f"{told_.file['name']} (SHA-256 {told_.file['sha256'][:12]}…)"
            numbers = ", ".join(str(n) for n in told_.experiments)
            lines.append(f"{at}, by {told_.by}: {file}, experiments {numbers}{_why(told_.reason)}")
    return tuple(lines)


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""
