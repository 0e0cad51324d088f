"""One campaign on a lab server through a row of faults: of its process, of the server, of both, of the network between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sdl.errors import SdlError
from sdl.ledger import Ledger
from sdl.testing.torture.house import House
from sdl.testing.torture.lane import Lane
from sdl.testing.torture.served_verdict import Records, judge_served
from sdl.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sdl.testing.torture.course import Course
    from sdl.testing.torture.database import Database
    from sdl.testing.torture.house import ServedSubject
    from sdl.testing.torture.household import Household
    from sdl.testing.torture.verdict import Verdict


class ServedLane(Lane):
    """Tortures one served campaign after another in a folder.

    Args:
        subject: what is tortured.
        folder: where each campaign gets a home of its own.
        make_database: as of `Lane`.
    """

    def __init__(
        self, subject: ServedSubject, folder: Path, make_database: Callable[[], Database] | None = None
    ) -> None:
        super().__init__(cast("Any", subject), folder, make_database)  # the hooks below know what it is
        self._served = subject

    def _household(self, home: Path) -> Household:
        return House(self._served, home, self._server())

    def _records(self, home: Path) -> Records:
        from sdl.lab.sql_log import SqlLog

        ledger = Ledger(home)
        world = World(0, home / "world.jsonl")
        log = SqlLog(f"sqlite:///{home / 'lab' / 'labs' / self._served.lab.name / 'commands.db'}")
        try:
            commands = tuple(r for c in log.campaigns() for r in log.records(c.id))
            return Records(tuple(ledger.rows(self._served.name)), tuple(world.all_operations()), commands)
        except SdlError as error:
            raise RuntimeError(f"the records in {home} cannot be read: {error}") from error
        finally:
            ledger.close()
            world.close()
            log.close()

    def _judge(self, found: Any, undisturbed: Any) -> Verdict:  # noqa: ANN401  as `_records` gives them
        return judge_served(found, self._served.outcomes, self._served.reads, undisturbed)

    @staticmethod
    def _is_comparable(course: Course) -> bool:
        """Shared time waits for a process that died; one that left, as for want of disk, it does not wait for."""
        return not course.has_left
