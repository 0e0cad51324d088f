"""One campaign through a row of faults: started, struck, started again, until it is done; then judged."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.ledger import Ledger
from sdl.testing.torture import victim
from sdl.testing.torture.faults import AT_RANDOM, Fault
from sdl.testing.torture.planning import planned
from sdl.testing.torture.verdict import Verdict, judge
from sdl.world import Operation, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from sdl.ledger import Row
    from sdl.preflight import Checked

DONE, REFUSED, WAITING = 0, 2, 3
"""Exit codes of `sdl run`: the campaign is done; bad input, or another process has it; only a person can bring it on."""

HUNG = 300.0
"""Seconds after which a process counts as hung."""


@dataclass(frozen=True)
class Subject:
    """What is tortured.

    Attributes:
        run: what runs the campaign to its end in a home, as `sdl run` does; returns its exit code. Called in a forked child.
        name: of the campaign.
        outcomes: that every finished experiment must have.
        reads: (instrument, action) of actions that do no harm when they are repeated.
        sabotage: breaks the victim on purpose, to see whether that is noticed; or None.
        answer: answers the open questions of a home from the world's record, as a person who looks would; or None.
    """

    run: Callable[[Path], int]
    name: str
    outcomes: tuple[str, ...]
    reads: frozenset[tuple[str, str]]
    sabotage: Callable[[], None] | None = None
    answer: Callable[[Path], int] | None = None

    @classmethod
    def of(
        cls,
        checked: Checked,
        run: Callable[[Path], int],
        sabotage: Callable[[], None] | None = None,
        answer: Callable[[Path], int] | None = None,
    ) -> Subject:
        """Return a campaign that pre-flight has passed as a subject."""
        return cls(run, checked.campaign.name, checked.plan.outcomes, harmless(checked), sabotage, answer)


def harmless(checked: Checked) -> frozenset[tuple[str, str]]:
    """Return (instrument, action) of all actions of a lab that do no harm when they are repeated."""
    return frozenset(
        (name, action.name)
        for name, plan in checked.lab.instruments.items()
        for action in plan.description.actions.values()
        if action.effect != "irreversible"
    )


@dataclass(frozen=True)
class Attempt:
    """What a fault did.

    Attributes:
        fault: which.
        struck: whether it struck before the campaign was done.
        resumed: seconds from the next start to the first row of its own, or None where that was not seen.
        problem: what went wrong beside the fault, or None.
    """

    fault: Fault
    struck: bool
    resumed: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Trial:
    """One campaign that was tortured: what was done to it, and what came of it.

    Attributes:
        folder: its home.
        attempts: the faults that were meant for it.
        verdict: of its records.
        problems: everything that must not happen, those of the verdict included.
        is_compared: whether it was held against the undisturbed run.
    """

    folder: Path
    attempts: tuple[Attempt, ...]
    verdict: Verdict
    problems: tuple[str, ...]
    is_compared: bool = True


def records(subject: Subject, home: Path) -> tuple[list[Row], list[Operation]]:
    """Return a campaign's journal and the world's record of it."""
    ledger = Ledger(home)
    try:
        rows = ledger.rows(subject.name)
    finally:
        ledger.close()
    world = World(0, home / "worlds" / f"{subject.name}.jsonl")
    try:
        return rows, world.all_operations()
    finally:
        world.close()


class Lane:
    """Tortures one campaign after another in a folder.

    Args:
        subject: what is tortured.
        folder: where each campaign gets a home of its own.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject = subject
        self.folder = folder

    def faults(self, met: Mapping[str, int], rng: np.random.Generator, lane: int, lanes: int) -> Iterator[Fault]:
        """Yield faults without end, for one lane of several; see `planned`."""
        return planned(met, rng, lane * len(met) // lanes)

    def undisturbed(self) -> tuple[tuple[list[Row], list[Operation]], dict[str, int]]:
        """Run the campaign without faults; returns its records, and how often it met each boundary.

        Raises:
            RuntimeError: it did not come to its end.
        """
        home = self.folder / "undisturbed"
        home.mkdir(parents=True)
        code = self._wait(self._start(home, None))
        if code != DONE:
            raise RuntimeError(
                f"the campaign does not come to its end without faults (exit {code}):\n{(home / 'said').read_text()[-2000:]}"
            )
        met = {}
        for line in (home / "note").read_text().splitlines():
            word, _, rest = line.partition(" ")
            if word == "met":
                number, _, name = rest.partition(" ")
                met[name] = int(number)
        return records(self.subject, home), met

    def trial(
        self, number: int, faults: Iterator[Fault], undisturbed: tuple[list[Row], list[Operation]] | None
    ) -> Trial:
        """Take one campaign through faults until it is done, and judge it."""
        home = self.folder / f"{number:05d}"
        home.mkdir(parents=True)
        attempts: list[Attempt] = []
        problems: list[str] = []
        while True:
            fault = next(faults, None)
            noted = self._noted(home)
            code, problem = self._suffer(home, fault)
            now = self._noted(home)
            back = [float(line.split()[1]) for line in now[len(noted) :] if line.startswith("back")]
            if back and attempts and attempts[-1].struck and attempts[-1].resumed is None:
                last = attempts[-1]
                attempts[-1] = Attempt(last.fault, last.struck, back[0], last.problem)
            if fault is not None:
                attempts.append(Attempt(fault, "struck" in now[len(noted) :], None, problem))
            if problem is not None:
                problems.append(problem)
            if code == WAITING and self._answered(home):
                continue
            if code == DONE or (fault is None and code is not None):
                break
            if code is None:
                break
        if code != DONE:
            said = (home / "said").read_text()[-1500:]
            problems.append(f"the campaign did not come to its end (exit {code}): {said}")
        verdict = judge(*records(self.subject, home), self.subject.outcomes, self.subject.reads, undisturbed)
        found = (*problems, *verdict.problems)
        return Trial(home, tuple(attempts), verdict, found, is_compared=undisturbed is not None)

    def finish(self, home: Path) -> int | None:
        """Take what stands in a home to its end; returns the exit code, None where it hung."""
        while (code := self._wait(self._start(home, None))) == WAITING and self._answered(home):
            pass
        return code

    def _answered(self, home: Path) -> bool:
        """Have the open questions answered; returns whether that was done."""
        answer = self.subject.answer
        if answer is None:
            return False
        pid = victim.fork(lambda: answer(home), None, home / "note", home / "said")
        return self._wait(pid) == DONE

    # --- one process -------------------------------------------------------------------------------------------------

    def _start(self, home: Path, fault: Fault | None) -> int:
        subject = self.subject
        return victim.fork(
            lambda: subject.run(home),
            fault,
            home / "note",
            home / "said",
            subject.sabotage,
        )

    def _suffer(self, home: Path, fault: Fault | None) -> tuple[int | None, str | None]:
        """Start the campaign and let a fault strike; returns the exit code (None: hung) and what else went wrong."""
        pid = self._start(home, fault)
        if fault is None:
            return self._wait(pid), None
        if fault.boundary == AT_RANDOM:
            return self._kill_after(pid, fault.seconds, home), None
        if fault.kind == "freeze":
            return self._freeze(pid, home)
        return self._wait(pid), None

    def _kill_after(self, pid: int, seconds: float, home: Path) -> int | None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(min(0.005, max(end - time.monotonic(), 0.0)))
        with (home / "note").open("a") as file:
            file.write("struck\n")
        os.kill(pid, signal.SIGKILL)
        return self._wait(pid)

    def _freeze(self, pid: int, home: Path) -> tuple[int | None, str | None]:
        """Wait until the process freezes, see that nobody else can take its campaign, and let it go on."""
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status), None  # it was done before
        other = self._wait(self._start(home, None))
        os.kill(pid, signal.SIGCONT)
        code = self._wait(pid)
        if other != REFUSED:
            return code, f"a second process was not refused while the first one was frozen (exit {other})"
        return code, None

    @staticmethod
    def _wait(pid: int) -> int | None:
        """Wait for a process; returns its exit code, negative for a signal, or None where it hung and was killed."""
        end = time.monotonic() + HUNG
        while time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return None

    @staticmethod
    def _noted(home: Path) -> list[str]:
        note = home / "note"
        return note.read_text().splitlines() if note.exists() else []
