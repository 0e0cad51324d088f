"""The ledger's database as a file of SQLite: write-ahead log, synchronous FULL, one writer at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from sdl.errors import LedgerError

T = TypeVar("T")

_WRITES = "sdl_writes"
"""Execution option of connections that write."""

_BUSY = 60.0
"""Seconds for which a writer waits for another one (chosen)."""


class SqliteDatabase:
    """A file of SQLite, or a database in memory.

    Args:
        path: the file, made on need; None keeps everything in memory.

    Attributes:
        engine: its transactions read, and see one moment of the database.
        writer: its transactions take the write lock at once.
        where: what it is called in messages.
        is_read_only: whether this user may not write to it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.is_read_only = path is not None and path.exists() and not (_may_write(path) and _may_write(path.parent))
        if path is None:
            self.where = "the ledger in memory"
            self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        else:
            self.where = str(path)
            address = f"{read_only_uri(path)}&uri=true" if self.is_read_only else str(path)
            self.engine = create_engine(_url(address), connect_args={"timeout": _BUSY})
        self.writer = self.engine.execution_options(**{_WRITES: True})
        _configure(self.engine, durable=path is not None and not self.is_read_only)
        self._file: tuple[int, int] | None = None

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def opened(self) -> None:
        """Note which file was opened: one that is moved away or replaced would take rows that nobody ever reads."""
        self._file = _identity(self._path)

    @contextmanager
    def writing(self, campaign: str | None = None) -> Iterator[Connection]:
        """Yield a connection that writes; durable when the block is left, nothing of it where that raises.

        Raises:
            LedgerError: the file is no longer the one that was opened.
        """
        del campaign  # one writer at a time, whatever it writes
        if self._file is not None and _identity(self._path) != self._file:
            raise LedgerError(
                f"{self.where} was removed or replaced while it was open; nothing was recorded and no further step is started: "
                "put it back or restore it from a backup, then run the same command again"
            )
        with self.writer.begin() as connection:
            yield connection

    def patiently(self, call: Callable[[], T]) -> T:
        """Return what a call gives: SQLite itself waits for its lock, and nothing else is worth waiting for."""
        return call()

    def opening(self, call: Callable[[], T]) -> T:
        """Return what a call gives that opens the ledger."""
        return call()

    def lock(self, campaign: str) -> None:
        """Return None: the lock in the home says all."""
        del campaign

    def owner(self, campaign: str) -> None:
        """Return None: the lock in the home says all."""
        del campaign


def read_only_uri(database: Path) -> str:
    """Return the address under which SQLite opens a database for reading."""
    uri = f"file:{quote(str(database.absolute()))}?mode=ro"
    if not _may_write(database.parent) and not database.with_name(database.name + "-wal").exists():
        uri += "&immutable=1"  # nobody writes, and the files by which readers and writers meet could not be made
    return uri


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _identity(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino


def _url(address: str) -> URL:
    """Return SQLAlchemy's address of a database; a path may hold characters that mean something in a URL."""
    path, _, options = address.partition("?") if address.startswith("file:") else (address, "", "")
    return URL.create("sqlite", database=path, query=dict(o.split("=") for o in options.split("&") if o))


def _configure(engine: Engine, *, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, record: object) -> None:  # noqa: ANN401
        del record
        connection.isolation_level = None  # transactions are begun below, not by the driver
        if not durable:
            return
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            if mode != "wal":
                raise LedgerError(
                    f"{engine.url.database}: SQLite keeps no write-ahead log there (it offers '{mode}'); "
                    "a network folder cannot hold a ledger, choose another --home"
                )
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer that began as a reader could fail half-way, so writers take the lock at once, one after another.
        # Readers take none: they see the moment at which they began and hold nobody up.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
