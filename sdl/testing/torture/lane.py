"""One campaign through a row of faults: started, struck, started again, until it is done; then judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl.ledger import Ledger
from sdl.testing.torture import victim
from sdl.testing.torture.course import Course
from sdl.testing.torture.faults import Fault, Process
from sdl.testing.torture.household import Ended, Household, end_of
from sdl.testing.torture.planning import planned
from sdl.testing.torture.trial import DONE, HUNG, WAITING, Subject, Trial
from sdl.testing.torture.verdict import Verdict, judge
from sdl.world import Operation, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from sdl.ledger import Row
    from sdl.testing.torture.database import Database


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
    """Tortures one campaign after another in a folder, each with its lab in its own process.

    Args:
        subject: what is tortured.
        folder: where each campaign gets a home of its own.
        make_database: starts what holds the ledgers and is tortured too; None where each is a file in its home.
    """

    def __init__(self, subject: Subject, folder: Path, make_database: Callable[[], Database] | None = None) -> None:
        self.subject = subject
        self.folder = folder
        self._make_database = make_database
        self._database: Database | None = None
        self._left: Fault | None = None

    def close(self) -> None:
        """End what outlives a campaign."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def faults(
        self, met: Mapping[Process, Mapping[str, int]], rng: np.random.Generator, lane: int, lanes: int
    ) -> Iterator[Fault]:
        """Yield faults without end, for one lane of several; see `planned`."""
        del lane, lanes  # the generator is the lane's own
        return planned(met, rng)

    def undisturbed(self) -> tuple[Any, Mapping[Process, Mapping[str, int]]]:
        """Run the campaign without faults; returns its records, and how often each process met each boundary.

        Raises:
            RuntimeError: it did not come to its end.
        """
        home = self.folder / "undisturbed"
        trial = self.trial(-1, iter(()), None, home)
        if trial.problems:
            raise RuntimeError(f"the campaign does not come to its end without faults: {'; '.join(trial.problems)}")
        return self._records(home), self._household(home).met()

    def trial(self, number: int, faults: Iterator[Fault], undisturbed: Any, home: Path | None = None) -> Trial:  # noqa: ANN401
        """Take one campaign through faults until it is done, and judge it.

        Args:
            number: of the campaign.
            faults: what is ordered, one after another.
            undisturbed: the records of the run without faults, or None.
            home: the folder; one of its own by default.
        """
        home = home or self.folder / f"{number:05d}"
        house = self._household(home)
        course = Course(house, faults, self._left)
        problems: list[str] = []
        try:
            house.open()
            course.run()
            problems += house.close()
        except Ended as ended:
            problems.append(str(ended))
        finally:
            house.kill_all()
        self._left = course.left
        problems = [*course.problems, *problems]
        if course.code != DONE:
            problems.append(f"the campaign did not come to its end (exit {course.code}): {house.said()}")
        other = undisturbed if self._is_comparable(course) else None
        verdict = self._judge(self._records(home), other)
        found = (*problems, *verdict.problems)
        return Trial(home, tuple(course.attempts), verdict, found, is_compared=other is not None)

    def finish(self, home: Path) -> int | None:
        """Take what stands in a home to its end; returns the exit code, None where it hung."""
        house = self._household(home)
        while True:
            house.start_campaign()
            code = end_of(house.pids.pop("campaign"), HUNG)
            if code != WAITING or not house.answered():
                return code

    # --- what a lab server changes -----------------------------------------------------------------------------------

    def _household(self, home: Path) -> Household:
        subject = self.subject

        def run() -> int:
            return victim.campaign(home, victim.arm_embedded, lambda: subject.run(home), subject.sabotage)

        return Household(home, run, subject.answer, self._server())

    def _server(self) -> Database | None:
        if self._database is None and self._make_database is not None:
            self._database = self._make_database()
        return self._database

    def _records(self, home: Path) -> Any:  # noqa: ANN401  what `_judge` takes
        return records(self.subject, home)

    def _judge(self, found: Any, undisturbed: Any) -> Verdict:  # noqa: ANN401  as `_records` gives them
        rows, effects = found
        return judge(rows, effects, self.subject.outcomes, self.subject.reads, undisturbed)

    @staticmethod
    def _is_comparable(course: Course) -> bool:
        """Whether a run must equal the undisturbed one: time of one's own stands still while nobody is there."""
        del course
        return True
