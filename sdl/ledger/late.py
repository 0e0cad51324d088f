"""The late commands of a campaign, with what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdl.ledger.events import CommandIntended, CommandLate, CommandSettled
from sdl.units.spans import span_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdl.ledger.ledger import Row


@dataclass(frozen=True)
class LateCommand:
    """A command that was late.

    Attributes:
        late: the row that says so.
        intended: what was asked.
        settled: what became of it, or None while that is open.
    """

    late: CommandLate
    intended: CommandIntended
    settled: CommandSettled | None

    @property
    def is_open(self) -> bool:
        """Whether it is not known yet what becomes of it."""
        return self.settled is None

    @property
    def where(self) -> str:
        """Experiment and action, in words."""
        return f"experiment {self.intended.experiment}, {self.intended.instrument}.{self.intended.action}"

    @property
    def story(self) -> str:
        """When it began, what was expected, and what became of it, in words."""
        began = self.late.started[:19].replace("T", " ")
        if self.settled is None:
            became = "not known to be over"
        elif self.settled.duration is None:
            became = self.settled.status
        else:
            became = f"{self.settled.status} after {span_text(self.settled.duration)}"
        expected, limit = span_text(self.late.expected), span_text(self.late.limit)
        return f"began {began} UTC, should take {expected}, late after {limit}: {became}"


def late_commands(rows: Iterable[Row]) -> tuple[LateCommand, ...]:
    """Return a journal's late commands, in the order in which they were reported."""
    asked: dict[str, CommandIntended] = {}
    late: dict[str, CommandLate] = {}
    settled: dict[str, CommandSettled] = {}
    for row in rows:
        match row.event:
            case CommandIntended() as event:
                asked[event.command] = event
            case CommandLate() as event:
                late[event.command] = event
            case CommandSettled() as event:
                settled[event.command] = event
    return tuple(LateCommand(row, asked[key], settled.get(key)) for key, row in late.items())
