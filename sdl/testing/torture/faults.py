"""What is done to a process, and where: a fault strikes at a named boundary, or after a time."""

from __future__ import annotations

import math
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

Process = Literal["campaign", "worker", "server", "network", "database", "prefect"]
"""Who is struck: `worker` is the process of planner and analyses, `network` the way between campaign and server, `database` holds
the ledger, `prefect` is the Prefect server; both are killed at boundaries that the campaign meets."""

PROCESSES: tuple[Process, ...] = ("campaign", "worker", "server", "network", "database", "prefect")
"""All of them."""

Kind = Literal[
    "kill",
    "freeze",
    "full disk",
    "kill both",
    "drop request",
    "drop reply",
    "half reply",
    "delay request",
    "delay reply",
    "double request",
    "late request",
    "orphan request",
]

_ALL_PAGES = 1073741823
"""Pages that an SQLite database may have unless told otherwise: SQLITE_MAX_PAGE_COUNT before 3.45, and allowed since."""

AT_RANDOM = "at a random time"
"""The boundary of a fault that strikes after a time instead of at a boundary."""

RECONCILING = ("before reconciling", "after reconciling")
"""Met by who settles a command of a dead process: an undisturbed run does not."""

FULL = 1.5
"""Seconds for which the disk of a lab server is full. Chosen: longer than the server waits before it tries again."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: `kill` (SIGKILL), `freeze` (SIGSTOP until somebody else has tried to take over), `full disk` (the database takes
            nothing any more), `kill both` (campaign and lab server, or campaign and database); for those of the network see
            `proxy`.
        boundary: its name, such as `before command.intended`, or `AT_RANDOM`.
        count: strikes when the boundary is met for this time, from 1.
        seconds: after which it strikes, where at random.
        process: which one is struck.
    """

    kind: Kind
    boundary: str
    count: int = 1
    seconds: float = 0.0
    process: Process = "campaign"


class Boundaries:
    """Counts the boundaries that a process meets, and lets a fault strike at one; made in the process that is to suffer.

    Args:
        note: a file that is written right before the fault strikes, and at the first commit after the start.

    Attributes:
        fault: what is to strike, or None to count alone.
        met: boundary → how often it was met.
    """

    def __init__(self, note: Path) -> None:
        self.fault: Fault | None = None
        self.note = note
        self.met: Counter[str] = Counter()
        self._full_until = -math.inf
        self._began = time.monotonic()
        self._is_back = False

    @property
    def is_full(self) -> bool:
        """Whether the disk takes nothing now."""
        return time.monotonic() < self._full_until

    def found(self, boundary: str) -> Fault | None:
        """Count a boundary; returns the fault where it is its time."""
        self.met[boundary] += 1
        fault = self.fault
        if fault is None or fault.boundary != boundary or self.met[boundary] != fault.count:
            return None
        return fault

    def due(self, boundary: str) -> Fault | None:
        """Count a boundary; returns the fault where it is its time, which is noted."""
        fault = self.found(boundary)
        if fault is not None:
            self.struck()
        return fault

    def meet(self, boundary: str) -> None:
        """Count a boundary; the fault strikes where it is its time."""
        fault = self.due(boundary)
        if fault is not None:
            self.strike(fault)

    def strike(self, fault: Fault) -> None:
        """Let a fault strike here."""
        if fault.kind in {"kill", "kill both"}:
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.kind == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            # The disk of a lab server is freed by somebody while it runs; a campaign ends for want of it.
            self._full_until = time.monotonic() + (FULL if fault.process == "server" else math.inf)

    def struck(self) -> None:
        """Note that a fault strikes."""
        with self.note.open("a") as file:
            file.write("struck\n")

    def begin_again(self, seconds: float) -> None:
        """Have the next sign of life count from so many seconds ago."""
        self._began = time.monotonic() - seconds
        self._is_back = False

    def back(self) -> None:
        """Note how long it took from the start of the process to the first row of its own."""
        if not self._is_back:
            self._is_back = True
            with self.note.open("a") as file:
                file.write(f"back {time.monotonic() - self._began}\n")

    def tell(self) -> None:
        """Note how often each boundary was met."""
        with self.note.open("a") as file:
            file.writelines(f"met {number} {name}\n" for name, number in self.met.items())

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


def fill_up(connection: sqlite3.Connection, *, is_full: bool) -> None:
    """Have SQLite itself refuse every write, as it does on a full disk, or take them again.

    It is told that it may neither grow nor change a page: on a disk that is full its write-ahead log could not grow, and every
    change is first written there.
    """
    pages = connection.execute("PRAGMA page_count").fetchone()[0] if is_full else _ALL_PAGES
    connection.execute(f"PRAGMA max_page_count = {pages}")
    connection.execute(f"PRAGMA query_only = {int(is_full)}")
