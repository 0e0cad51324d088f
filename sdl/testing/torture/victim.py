"""The process that suffers: `sdl run` in a forked child, with a fault waiting in it."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from sdl.engine import ProcessWorker
from sdl.ledger import Ledger, place
from sdl.testing.torture.faults import fill_up
from sdl.testing.torture.orders import HOME, OrderedBoundaries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdl.ledger import Event
    from sdl.testing.torture.faults import Boundaries


def label_of(ledger: Ledger, campaign: str, moment: float, events: Sequence[Event]) -> str:
    """Return what a commit is called: the kind of its first row."""
    del ledger, campaign, moment
    return f"commit of {events[0].kind}"


def campaign(
    home: Path, arm: Callable[[Boundaries], None], work: Callable[[], int], sabotage: Callable[[], None] | None = None
) -> int:
    """Run a campaign that meets its boundaries, its worker and its database those of theirs; returns its exit code.

    Args:
        home: where orders come and notes are kept.
        arm: has what is beside ledger and worker meet boundaries.
        work: runs the campaign.
        sabotage: breaks it on purpose, to see whether that is noticed; or None.
    """
    boundaries = OrderedBoundaries(home / "orders.campaign", home / "note.campaign")
    armed: list[Boundaries] = [boundaries]
    arm_ledger(boundaries)
    arm(boundaries)
    watch_disk(boundaries)
    if (home / place.NAME).exists():
        from sdl.testing.torture.database import arm_database

        armed.append(arm_database(home))
    ProcessWorker.program = "sdl.testing.torture.worker_victim"
    os.environ[HOME] = str(home)
    if sabotage is not None:
        sabotage()
    code = work()
    for each in armed:
        each.tell()
    return code


def arm_ledger(boundaries: Boundaries) -> None:
    """Have this process meet commits of its ledger, the first of which is its sign of life."""
    boundaries.around(Ledger, "append", label_of)
    append = Ledger.append

    def noting(self: Ledger, *arguments: Any) -> Any:  # noqa: ANN401
        rows = append(self, *arguments)
        boundaries.back()
        return rows

    Ledger.append = noting  # type: ignore[method-assign, assignment]


def arm_embedded(boundaries: Boundaries) -> None:
    """Have this process meet effects in the world of its own, sending and answering of commands."""
    from sdl.lab import EmbeddedLab
    from sdl.world import World

    boundaries.around(World, "begin", lambda *_: "effect")
    boundaries.around_async(EmbeddedLab, "execute", "before sending", "after the reply")
    boundaries.around_async(EmbeddedLab, "reconcile", "before reconciling", "after reconciling")


def watch_disk(boundaries: Boundaries) -> None:
    """Let the databases of this process take nothing for as long as the disk is full."""
    from sqlalchemy.engine import Engine

    was_full = False

    @event.listens_for(Engine, "begin")
    def _fill(connection: Any) -> None:  # noqa: ANN401  SQLAlchemy's
        nonlocal was_full
        if connection.dialect.name == "sqlite" and (was_full or boundaries.is_full):
            was_full = True  # a connection of the pool keeps what it was told until it is told otherwise
            fill_up(connection.connection.dbapi_connection, is_full=boundaries.is_full)


def forked(work: Callable[[], int], said: Path) -> int:
    """Run some work in a forked child in a session of its own; returns its pid. No thread may run in the parent.

    Args:
        work: what the child does; returns its exit code.
        said: where its output goes.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.environ.pop(place.VARIABLE, None)  # the user's own ledger is none of ours
        with said.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.setsid()
        code = work()
    except BaseException:  # noqa: BLE001  a child ends here whatever happened, and never runs on in its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return 0
