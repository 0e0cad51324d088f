"""A PostgreSQL that holds the ledgers of tortured campaigns, and is killed under them: around each commit, or at random.

Killed is the whole server at once (PostgreSQL's immediate stop: no process of its says farewell or writes anything more), as
a power cut would; then it is started again with the data that it had, and recovers them from its log.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

from sdl.ledger.place import NAME
from sdl.testing.torture.faults import Fault
from sdl.testing.torture.orders import OrderedBoundaries

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL

SCRIPT = Path(__file__).parents[3] / "scripts" / "postgres"
"""Makes a server for a while; in the project's own folder, no part of an installed package."""

BOUNDARIES = ("before the rows", "before the commit", "before the answer to the commit", "after the commit")
"""Where a server dies: `before the commit` with the rows in its hands, `before the answer` with what is committed unheard of."""

_PATIENCE = 60.0
"""Seconds within which a server that was asked to die is dead. Chosen: immediately, but for a busy machine."""


def reason_against() -> str | None:
    """Say why no database can be tortured here, or None."""
    if importlib.util.find_spec("psycopg") is None:
        return "the driver of PostgreSQL is not installed: sdl[postgresql]"
    if not SCRIPT.exists():
        return "they need scripts/postgres of the project's folder, which an installed package does not have"
    asked = [sys.executable, str(SCRIPT), "where"]
    if subprocess.run(asked, stdout=subprocess.DEVNULL, check=False).returncode:  # noqa: S603  the project's own script
        return "PostgreSQL is not installed; Debian: scripts/install_debian"
    return None


class Database:
    """A server of one's own; each home gets a database in it.

    Raises:
        RuntimeError: it does not start.
    """

    def __init__(self) -> None:
        folder = memory()
        self._process = subprocess.Popen(  # noqa: S603  the project's own script
            [sys.executable, SCRIPT, "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **({} if folder is None else {"TMPDIR": str(folder)})},
            start_new_session=True,
        )
        said = self._process.stdout.readline().strip() if self._process.stdout is not None else ""
        if not said:
            raise RuntimeError("PostgreSQL does not start; see above")
        self._url: URL = make_url(said)
        self._numbers = itertools.count(1)

    def begin(self, home: Path) -> None:
        """Make a database and tell a home, which has no ledger yet, that its ledger is there."""
        path = home / NAME
        if path.exists():
            return
        import psycopg

        name = f"torture{next(self._numbers)}_{secrets.token_hex(4)}"
        where = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        path.touch(mode=0o600)  # it holds the password
        path.write_text(self._url.set(database=name).render_as_string(hide_password=False) + "\n")

    def kill(self) -> None:
        """Kill the server; returns when it is dead."""
        self._tell("kill", "killed")

    def start(self) -> None:
        """Start it again, and wait until it answers."""
        self._tell("start", "started")

    def close(self) -> None:
        """End it; its data are removed."""
        if self._process.stdin is not None and self._process.stdout is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def _tell(self, word: str, answer: str) -> None:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the database's script has no pipes")
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline().strip()
        if said != answer:
            raise RuntimeError(f"the database was told to {word}, and said: {said or 'nothing'}")


class DatabaseBoundaries(OrderedBoundaries):
    """Boundaries of a campaign's commits at which its database dies; the campaign waits there until it is dead, then goes on.

    Args:
        home: of the campaign.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home / "orders.database", home / "note.database")
        self._down = home / "database.down"
        self._died = self._when()

    def notice(self) -> None:
        """Have the next sign of life count from the last death of the database, where that is news."""
        died = self._when()
        if died > self._died:
            self._died = died
            self.begin_again(time.time() - died)

    def _when(self) -> float:
        try:
            return self._down.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def strike(self, fault: Fault) -> None:
        """Wait until the database is dead: who reads the notes kills it."""
        del fault
        last = time.monotonic() + _PATIENCE
        while not self._is_down():
            if time.monotonic() > last:
                raise RuntimeError(f"the database was not killed within {_PATIENCE:.0f} s")
            time.sleep(0.002)

    def _is_down(self) -> bool:
        return self._down.exists() and self._down.read_text() == str(self.number)


def arm_database(home: Path) -> DatabaseBoundaries:
    """Have this process's appends to a ledger in PostgreSQL meet the boundaries of its database."""
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    from sdl.ledger import Ledger

    boundaries = DatabaseBoundaries(home)
    is_appending = False
    append = Ledger.append
    commit: Callable[..., None] = PGDialect_psycopg.do_commit

    def appending(self: Ledger, *arguments: Any) -> Any:  # noqa: ANN401
        nonlocal is_appending
        boundaries.meet(BOUNDARIES[0])
        is_appending = True
        try:
            rows = append(self, *arguments)
        finally:
            is_appending = False
        boundaries.notice()
        boundaries.back()
        boundaries.meet(BOUNDARIES[3])
        return rows

    def committing(self: PGDialect_psycopg, connection: Any) -> None:  # noqa: ANN401
        if not is_appending:
            commit(self, connection)
            return
        boundaries.meet(BOUNDARIES[1])
        commit(self, connection)
        if boundaries.due(BOUNDARIES[2]) is not None:
            boundaries.strike(Fault("kill", BOUNDARIES[2], process="database"))
            connection.cursor().execute("SELECT 1")  # raises what the driver raises: the server is gone

    Ledger.append = appending  # type: ignore[method-assign, assignment]
    PGDialect_psycopg.do_commit = committing  # type: ignore[method-assign, assignment]
    return boundaries


def memory() -> Path | None:
    """Return a folder in memory with room for thousands of small databases, or None: a power cut is not what is tried here."""
    folder = Path("/dev/shm")  # noqa: S108  the system's
    if os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 2**30:
        return folder
    return None
