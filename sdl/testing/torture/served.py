"""One campaign on a lab server through a row of faults: of its process, of the server, of both, of the network between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.errors import SdlError
from sdl.ledger import Ledger
from sdl.testing.torture.course import Course
from sdl.testing.torture.faults import PROCESSES, Fault, Process
from sdl.testing.torture.house import Ended, House
from sdl.testing.torture.lane import DONE, Trial
from sdl.testing.torture.planning import planned_served
from sdl.testing.torture.served_verdict import Records, judge_served
from sdl.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from sdl.testing.torture.house import ServedSubject

Met = dict[Process, dict[str, int]]


class ServedLane:
    """Tortures one served campaign after another in a folder.

    Args:
        subject: what is tortured.
        folder: where each campaign gets a home of its own.
    """

    def __init__(self, subject: ServedSubject, folder: Path) -> None:
        self.subject = subject
        self.folder = folder
        self._left: Fault | None = None

    def faults(self, met: Met, rng: np.random.Generator, lane: int, lanes: int) -> Iterator[Fault]:
        """Yield faults without end; see `planned_served`."""
        return planned_served(met, rng, lane, lanes)

    def undisturbed(self) -> tuple[Records, Met]:
        """Run the campaign without faults; returns its records, and how often each process met each boundary.

        Raises:
            RuntimeError: it did not come to its end.
        """
        home = self.folder / "undisturbed"
        trial = self.trial(-1, iter(()), None, home)
        house = House(self.subject, home)
        if trial.problems:
            said = "; ".join(trial.problems)
            raise RuntimeError(f"the campaign does not come to its end on a lab server without faults: {said}")
        return self._records(home), {p: house.notes(p).met() for p in PROCESSES}

    def trial(
        self, number: int, faults: Iterator[Fault], undisturbed: Records | None, home: Path | None = None
    ) -> Trial:
        """Take one campaign through faults until it is done, and judge it."""
        home = home or self.folder / f"{number:05d}"
        house = House(self.subject, home)
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
        other = None if course.has_left else undisturbed
        verdict = judge_served(self._records(home), self.subject.outcomes, self.subject.reads, other)
        found = (*problems, *verdict.problems)
        return Trial(home, tuple(course.attempts), verdict, found, is_compared=other is not None)

    def _records(self, home: Path) -> Records:
        from sdl.lab.sql_log import SqlLog

        ledger = Ledger(home)
        world = World(0, home / "world.jsonl")
        log = SqlLog(f"sqlite:///{home / 'lab' / 'labs' / self.subject.lab.name / 'commands.db'}")
        try:
            commands = tuple(r for c in log.campaigns() for r in log.records(c.id))
            return Records(tuple(ledger.rows(self.subject.name)), tuple(world.all_operations()), commands)
        except SdlError as error:
            raise RuntimeError(f"the records in {home} cannot be read: {error}") from error
        finally:
            ledger.close()
            world.close()
            log.close()
