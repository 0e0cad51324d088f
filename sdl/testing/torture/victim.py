"""The process that suffers: `sdl run` in a forked child, with a fault waiting in it."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from sdl.testing.torture.faults import AT_RANDOM, Boundaries, Fault, fill_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdl.ledger import Event, Ledger


def label_of(ledger: Ledger, campaign: str, moment: float, events: Sequence[Event]) -> str:
    """Return what a commit is called: the kind of its first row."""
    del ledger, campaign, moment
    return f"commit of {events[0].kind}"


def arm(boundaries: Boundaries) -> None:
    """Have this process meet its boundaries: commits of the ledger, effects in the world, sending and answering of commands."""
    from sdl.lab import EmbeddedLab
    from sdl.ledger import Ledger
    from sdl.world import World

    boundaries.around(Ledger, "append", label_of)
    append = Ledger.append

    def noting(self: Ledger, *arguments: Any) -> Any:  # noqa: ANN401
        rows = append(self, *arguments)
        boundaries.back()
        return rows

    Ledger.append = noting  # type: ignore[method-assign, assignment]
    boundaries.around(World, "begin", lambda *_: "effect")
    boundaries.around_async(EmbeddedLab, "execute", "before sending", "after the reply")
    boundaries.around_async(EmbeddedLab, "reconcile", "before reconciling", "after reconciling")
    if boundaries.fault is not None and boundaries.fault.kind == "full disk":
        watch_disk(boundaries)


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


def fork(
    work: Callable[[], int], fault: Fault | None, note: Path, said: Path, sabotage: Callable[[], None] | None = None
) -> int:
    """Run some work in a forked child with a fault waiting in it; returns the child's pid.

    Args:
        work: what the child does; returns its exit code.
        fault: what strikes, or None.
        note: where the child notes what it met.
        said: where its output goes.
        sabotage: breaks the child on purpose, to see whether that is noticed.
    """

    def suffer() -> int:
        boundaries = Boundaries(fault if fault is None or fault.boundary != AT_RANDOM else None, note)
        arm(boundaries)
        if sabotage is not None:
            sabotage()
        code = work()
        boundaries.tell()
        return code

    return forked(suffer, said)


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
