"""The processes of one trial and what is done to them: ordered a fault, stopped, killed, waited for; and what they noted."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.testing.torture.faults import PROCESSES, Process
from sdl.testing.torture.orders import OrderedBoundaries, order
from sdl.testing.torture.victim import forked

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdl.testing.torture.database import Database
    from sdl.testing.torture.faults import Fault

READY = 60.0
"""Seconds within which a process must be there. Chosen: a busy machine needs a few."""

AWAY = 0.25
"""Seconds for which a database is away, at least. Chosen: the campaign meets that it is, and tries again."""

_POLL = 0.004
"""Seconds between two looks at the processes."""


class Ended(Exception):  # noqa: N818  it is the news, no error
    """A process is no more."""


class Household:
    """What runs for one trial in one folder: here a campaign alone, with all that is in its own process.

    Args:
        home: the folder; the ledger lies in it, or the address of its database.
        run: runs the campaign in the home; returns its exit code. Called in a forked child, in which boundaries are armed.
        answer: answers the home's open questions, as a person who looks would; or None.
        database: holds the ledger; or None, where it is a file in the home.

    Attributes:
        pids: process → number, of those that live and are ours to wait for.
    """

    def __init__(
        self,
        home: Path,
        run: Callable[[], int],
        answer: Callable[[Path], int] | None = None,
        database: Database | None = None,
    ) -> None:
        self.home = home
        self.pids: dict[str, int] = {}
        self._run = run
        self._answer = answer
        self._database = database
        self._number = 0
        self._stopped: set[str] = set()  # the system tells of each stop but once

    # --- its life ----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start everything but the campaign.

        Raises:
            Ended: a process does not start; its output says why.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        if self._database is not None:
            self._database.begin(self.home)

    def start_server(self) -> None:
        """Start the lab server again, where there is one."""

    def start_campaign(self) -> None:
        """Start the campaign, or go on with it."""
        self.pids["campaign"] = forked(self._run, self.home / "said")

    def another(self, process: Process) -> int | None:
        """Start a second process in the place of one that lives; returns its exit code, None where it did not end."""
        del process
        return end_of(forked(self._run, self.home / "said"), READY)

    def answered(self) -> bool:
        """Have the open questions answered; returns whether that was done."""
        answer = self._answer
        if answer is None:
            return False
        return end_of(forked(lambda: answer(self.home), self.home / "said"), READY) == 0

    def close(self) -> list[str]:
        """End everything as it should end; returns what went wrong."""
        return []

    def kill_all(self) -> None:
        """Kill whatever is left."""
        for process in list(self.pids):
            self.kill(process)

    # --- faults ------------------------------------------------------------------------------------------------------

    def order(self, fault: Fault | None) -> None:
        """Order a fault of the process that is to meet it; what was ordered before no longer strikes."""
        self._number += 1
        for process in PROCESSES:
            mine = fault if fault is not None and fault.process == process else None
            order(self.home / f"orders.{process}", mine, self._number)

    def kill(self, process: str) -> None:
        """Kill a process of this house; its exit is taken here."""
        pid = self.pids.pop(process, None)
        self._stopped.discard(process)
        if pid is not None:  # it was not waited for yet, so that no stranger can have its number
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def interrupt_database(self, and_kill: tuple[Process, ...] = ()) -> None:
        """Kill the database, and other processes with it, and start it again `AWAY` seconds later.

        Raises:
            Ended: it does not start again.
        """
        if self._database is None:
            raise Ended("there is no database to kill")
        self._database.kill()
        for process in and_kill:
            self.kill(process)
        (self.home / "database.down").write_text(str(self._number))  # who waits for its death at a boundary goes on
        time.sleep(AWAY)
        self._database.start()

    def look(self, process: str) -> int | str | None:
        """Return None while a process lives, `stopped` while it is, or its exit code once it has ended."""
        pid = self.pids.get(process)
        if pid is None:
            return None
        done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if not done:
            return "stopped" if process in self._stopped else None
        if os.WIFSTOPPED(status):
            self._stopped.add(process)
            return "stopped"
        self._stopped.discard(process)
        del self.pids[process]
        return os.waitstatus_to_exitcode(status)

    def stop(self, process: str) -> None:
        """Stop a process; `look` says when it stands."""
        os.kill(self.pids[process], signal.SIGSTOP)

    def go_on(self, process: str) -> None:
        """Let a stopped process go on."""
        self._stopped.discard(process)
        os.kill(self.pids[process], signal.SIGCONT)

    # --- what they noted ---------------------------------------------------------------------------------------------

    def notes(self, process: str) -> Notes:
        """Return what a process has noted so far."""
        path = self.home / f"note.{process}"
        return Notes(tuple(path.read_text().splitlines()) if path.exists() else ())

    def met(self) -> dict[Process, dict[str, int]]:
        """Return process → boundary, in the order in which they were first met → how often."""
        return {process: met for process in PROCESSES if (met := self.notes(process).met())}

    def wait_until(self, condition: Callable[[], bool], process: str, seconds: float = READY) -> None:
        """Poll until a condition holds.

        Raises:
            Ended: the process that is to bring it about is no more, or it takes too long.
        """
        last = time.monotonic() + seconds
        while not condition():
            code = self.look(process)
            if isinstance(code, int) and condition():
                return
            if isinstance(code, int) or time.monotonic() > last:
                said = self.home / f"said.{process}"
                text = said.read_text()[-1500:] if said.exists() else ""
                what = f"ended (exit {code})" if isinstance(code, int) else f"is not there after {seconds:.0f} s"
                raise Ended(f"the {process} {what}: {text}")
            time.sleep(_POLL)

    def said(self) -> str:
        """Return the end of what campaign and server said."""
        files = [self.home / "said", self.home / "said.server"]
        return "\n".join(f.read_text()[-1500:] for f in files if f.exists())

    def boundaries(self, process: Process) -> OrderedBoundaries:
        """Return the boundaries of a process, at which what is ordered of it strikes."""
        return OrderedBoundaries(self.home / f"orders.{process}", self.home / f"note.{process}")


@dataclass(frozen=True)
class Notes:
    """What a process noted: `struck`, `back SECONDS`, `met NUMBER BOUNDARY`."""

    lines: tuple[str, ...]

    def count(self, word: str) -> int:
        """Return how many notes begin with a word."""
        return sum(line.split(" ", 1)[0] == word for line in self.lines)

    def back(self) -> list[float]:
        """Return seconds from start to the first sign of life, one for each life."""
        return [float(line.split()[1]) for line in self.lines if line.startswith("back ")]

    def met(self) -> dict[str, int]:
        """Return boundary → how often it was met by processes that ended as they should."""
        found = [line.split(" ", 2)[1:] for line in self.lines if line.startswith("met ")]
        return {name: int(number) for number, name in found}


def end_of(pid: int, seconds: float) -> int | None:
    """Wait for the end of a process of ours; returns its exit code, None where it had to be killed."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
