"""What is done to a process, and where: a fault strikes at a named boundary, or after a time."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["kill", "freeze", "full disk"]

AT_RANDOM = "at a random time"
"""The boundary of a fault that strikes after a time instead of at a boundary."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: `kill` (SIGKILL), `freeze` (SIGSTOP until somebody else has tried to take over), `full disk` (the database cannot
            grow any more).
        boundary: its name, such as `before command.intended`, or `AT_RANDOM`.
        count: strikes when the boundary is met for this time, from 1.
        seconds: after which it strikes, where at random.
    """

    kind: Kind
    boundary: str
    count: int = 1
    seconds: float = 0.0


class Boundaries:
    """Counts the boundaries that a process meets, and lets a fault strike at one; made in the process that is to suffer.

    Args:
        fault: what is to strike, or None to count alone.
        note: a file that is written right before the fault strikes, and at the first commit after the start.
    """

    def __init__(self, fault: Fault | None, note: Path) -> None:
        self.fault = fault
        self.note = note
        self.met: Counter[str] = Counter()
        self.is_full = False
        self._began = time.monotonic()
        self._is_back = False

    def meet(self, boundary: str) -> None:
        """Count a boundary; the fault strikes where it is its time."""
        self.met[boundary] += 1
        fault = self.fault
        if fault is None or fault.boundary != boundary or self.met[boundary] != fault.count:
            return
        with self.note.open("a") as file:
            file.write("struck\n")
        if fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.kind == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            self.is_full = True

    def back(self) -> None:
        """Note how long it took from the start of the process to the first row of its own."""
        if not self._is_back:
            self._is_back = True
            with self.note.open("a") as file:
                file.write(f"back {time.monotonic() - self._began}\n")

    def around(self, owner: type, name: str, label: Callable[..., str]) -> None:
        """Make a method meet `before LABEL` and `after LABEL`.

        Args:
            owner: the class.
            name: of its method.
            label: the method's arguments → label.
        """
        method = getattr(owner, name)

        def guarded(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  whatever the method takes and gives
            said = label(*arguments, **named)
            self.meet(f"before {said}")
            value = method(*arguments, **named)
            self.meet(f"after {said}")
            return value

        setattr(owner, name, guarded)

    def around_async(self, owner: type, name: str, before: str, after: str) -> None:
        """Make an async method meet a boundary before and one after."""
        method = getattr(owner, name)

        async def guarded(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  whatever the method takes and gives
            self.meet(before)
            value = await method(*arguments, **named)
            self.meet(after)
            return value

        setattr(owner, name, guarded)


def fill_up(connection: sqlite3.Connection) -> None:
    """Let a database grow no further: SQLite itself then answers as on a full disk."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
