"""The ledger's database in a PostgreSQL: durable commits, one chain a campaign under many writers, owners over machines.

What SQLite's `BEGIN IMMEDIATE` gives, an advisory lock on the campaign's name gives here: it is held to the end of the
transaction that appends rows, and taken before the last row is looked up. Readers work in REPEATABLE READ: all their
queries see one moment.

Who owns a campaign holds a second advisory lock, of the session, and writes the campaign's rows over that very
connection. So lock and writing end together: a process whose connection died cannot append before it has the lock
again, and not at all where another process raised the epoch meanwhile (see `Ledger.append`).
"""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from sdl.errors import InputError, LedgerError, NameInUseError
from sdl.ledger.ownership import FormerOwner, is_alive
from sdl.ledger.place import masked

T = TypeVar("T")

_log = logging.getLogger("sdl.ledger")

PATIENCE = 60.0
"""Seconds for which a write waits for a database that is away; as long as SQLite waits for a lock. A server that is started
again is back in a few. (Chosen.) The process does nothing else meanwhile: no abort either, so it is kept short."""

PATIENCE_VARIABLE = "SDL_LEDGER_PATIENCE"
"""Takes the place of `PATIENCE`, in seconds."""

_FAREWELL = 5.0
"""Seconds in which a session ends that was told to (chosen)."""

_OLDEST = 120000
"""The oldest server: from version 12 on, a number is given with as many digits as it needs to be read back."""

_SETTINGS = {
    "synchronous_commit": "on",
    "extra_float_digits": "1",
    "lock_timeout": "60s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
"""What a session needs, whatever the server's defaults: durable commits, numbers that are read back as they were, an end of
waiting, and that a machine which lost its power or its network holds no lock for longer than a minute (chosen)."""

_CONNECTING = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""The same on our side, in seconds, the last in milliseconds (chosen)."""

_KEY = "hashtextextended(:what || ' ' || current_schema() || ' ' || :campaign, 0)"
"""An advisory lock's key: one for each campaign of each schema."""

_LOCK_CHAIN = text(f"SELECT pg_advisory_xact_lock({_KEY})").bindparams(what="sdl append")
_TAKE = text(f"SELECT pg_try_advisory_lock({_KEY}), pg_backend_pid()").bindparams(what="sdl own")
_RELEASE = text(f"SELECT pg_advisory_unlock({_KEY})").bindparams(what="sdl own")
_HOLDER = text(
    f"WITH wanted AS (SELECT {_KEY} AS key) "  # noqa: S608  nothing in it comes from outside
    "SELECT a.pid, a.application_name, extract(epoch FROM clock_timestamp() - a.state_change) AS silent "
    "FROM wanted, pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = current_database() "
    "AND CAST(l.classid AS bigint) = ((wanted.key >> 32) & 4294967295) "
    "AND CAST(l.objid AS bigint) = (wanted.key & 4294967295)"
).bindparams(what="sdl own")

_NAME = re.compile(r"sdl (\d+)@(\S*) ")


_MET: set[str] = set()
"""Addresses of the servers that have answered this process."""


class PostgresqlDatabase:
    """A database of a PostgreSQL server.

    Args:
        url: its address.

    Raises:
        InputError: the driver psycopg is not installed, or the patience that is set is none.

    Attributes:
        engine: its transactions only read, and see one moment of the database.
        writer: its transactions write.
        where: what it is called in messages, without a password.
        is_read_only: whether this user may not write to it, or the server is a standby; known once it was opened.
    """

    def __init__(self, url: URL) -> None:
        self.where = masked(url)
        self.is_read_only = False
        # Who holds a lock is asked of the server: by this name the process is known there.
        self.name = f"sdl {os.getpid()}@{socket.gethostname()[:30]} {secrets.token_hex(4)}"
        arguments = {k: v for k, v in _CONNECTING.items() if k not in url.query}
        try:
            made = create_engine(
                url, pool_pre_ping=True, pool_size=4, connect_args={**arguments, "application_name": self.name}
            )
        except ModuleNotFoundError as error:
            raise InputError(
                f"a ledger in PostgreSQL ({self.where}) needs the extra sdl[postgresql] ({error}); install it with pip"
            ) from error
        self.writer = made.execution_options(isolation_level="READ COMMITTED")
        self.engine = made.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._locks: dict[str, CampaignLock] = {}
        self._has_given_up = False
        self._patience = _patience()
        event.listen(made, "connect", self._prepare)

    def close(self) -> None:
        """Close all connections; locks that were not released end with them."""
        for lock in list(self._locks.values()):
            lock.release()
        self.engine.dispose()

    def opened(self) -> None:
        """Ask whether this user may write."""
        may = "has_table_privilege(to_regclass('journal'), 'INSERT')"
        asked = f"SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' OR NOT {may}"
        with self.engine.connect() as connection:
            self.is_read_only = bool(connection.execute(text(asked)).scalar())

    @contextmanager
    def writing(self, campaign: str | None = None) -> Iterator[Connection]:
        """Yield a connection that writes; durable when the block is left, nothing of it where that raises.

        Args:
            campaign: to whose journal rows are appended: nobody else appends to it before the block is left.

        Raises:
            LedgerError: the campaign was owned here and no longer can be.
        """
        lock = None if campaign is None else self._locks.get(campaign)
        with self.writer.begin() if lock is None else lock.writing() as connection:
            if campaign is not None:
                connection.execute(_LOCK_CHAIN, {"campaign": campaign})
            yield connection

    def patiently(self, call: Callable[[], T]) -> T:
        """Return what a call gives; where the server is away, wait until it is back, but no longer than patience lasts.

        The call must be one that can be made again, whatever became of the first. A database that did not come back in
        time is waited for no more, until it answers.

        Raises:
            DBAPIError: as the call does, where waiting helps nothing or did not help.
        """
        last = time.monotonic() + (0.0 if self._has_given_up else self._patience)
        pause, is_said = 0.05, False
        while True:
            try:
                result = call()
            except DBAPIError as error:
                if not is_away(error):
                    raise
                if time.monotonic() > last:
                    self._has_given_up = True
                    raise
                if not is_said:
                    is_said = True
                    _log.warning("%s is away (%s); nothing new begins before it is back", self.where, brief_of(error))
                time.sleep(pause)
                pause = min(2.0 * pause, 1.0)
            else:
                if is_said:
                    _log.warning("%s is back", self.where)
                self._has_given_up = False
                return result

    def opening(self, call: Callable[[], T]) -> T:
        """Return what a call gives that opens the ledger; a server that this process has met before is waited for.

        One that nobody has met may be a mistake in the address, which is said at once.

        Raises:
            DBAPIError: see `patiently`.
        """
        address = self.writer.url.render_as_string(hide_password=False)
        result = self.patiently(call) if address in _MET else call()
        _MET.add(address)
        return result

    def lock(self, campaign: str) -> CampaignLock:
        """Return the campaign's lock, not yet taken."""
        return CampaignLock(self, campaign, self._locks)

    def owner(self, campaign: str) -> tuple[int, str] | None:
        """Return pid and machine of the process that owns a campaign, or None.

        Raises:
            LedgerError: the server does not answer.
        """
        try:
            with self.engine.connect() as connection:
                found = connection.execute(_HOLDER, {"campaign": campaign}).first()
        except DBAPIError as error:
            raise LedgerError(f"{self.where} cannot be read: {brief_of(error)}") from error
        return None if found is None else process_of(found.application_name)

    def _prepare(self, connection: Any, record: object) -> None:  # noqa: ANN401  psycopg's connection
        """Make a new connection durable, or refuse it."""
        del record
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name, value in _SETTINGS.items():
                cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
            cursor.execute(
                "SELECT current_setting('fsync'), current_setting('synchronous_commit'), "
                "current_setting('server_encoding'), current_setting('server_version_num')::int"
            )
            fsync, commit, encoding, version = cursor.fetchone()
            if version >= 140000:  # else an administrator's limit could cut an owner off in the middle of a firing
                cursor.execute("SELECT set_config('idle_session_timeout', '0', false)")
        connection.autocommit = False
        if version < _OLDEST:
            raise LedgerError(f"{self.where} is PostgreSQL {version // 10000}; a ledger needs 12 or newer")
        if fsync != "on" or commit != "on":
            raise LedgerError(
                f"{self.where} does not keep what it commits (fsync {fsync}, synchronous_commit {commit}); "
                "a ledger needs both on: set them in postgresql.conf"
            )
        if encoding != "UTF8":
            raise LedgerError(f"{self.where} holds text as {encoding}; make a database with ENCODING 'UTF8'")


class CampaignLock:
    """The right to write to one campaign, over all machines that share the database.

    Args:
        database: where.
        campaign: name.
        held: the locks that are held in this process.
    """

    def __init__(self, database: PostgresqlDatabase, campaign: str, held: dict[str, CampaignLock]) -> None:
        self._database = database
        self._campaign = campaign
        self._held = held
        self._connection: Connection | None = None
        self._backend = 0
        self._ends: int | None = None
        self._using = threading.RLock()

    def take(self) -> None:
        """Take the lock.

        Raises:
            NameInUseError: a live process holds it; it is named by pid and machine.
            LedgerError: the server does not answer.
        """
        try:
            self._take()
        except DBAPIError as error:
            raise LedgerError(
                f"campaign '{self._campaign}' cannot be locked in {self._database.where}: {brief_of(error)}"
            ) from error
        self._held[self._campaign] = self

    def take_over(self, silent: float) -> FormerOwner | None:
        """Take the lock, from a process too that holds it and whose session was silent for so many seconds.

        Raises:
            NameInUseError: its session said something since, or the server does not tell when it did.
            LedgerError: the server does not answer, or this user may not end the session.
        """
        former = None
        try:
            with self._database.engine.connect() as connection:
                holder = connection.execute(_HOLDER, {"campaign": self._campaign}).first()
            if holder is not None:
                pid, host = process_of(holder.application_name)
                age = 0.0 if holder.silent is None else float(holder.silent)
                if age < silent:
                    raise is_alive(self._campaign, pid, host, age, silent)
                former, self._ends = FormerOwner(pid, host, age), int(holder.pid)
        except DBAPIError as error:
            raise LedgerError(f"{self._database.where} cannot be read: {brief_of(error)}") from error
        try:
            self.take()
        finally:
            self._ends = None
        return former

    def sign(self) -> None:
        """Give a sign of life: the server notes when a session last said something.

        A connection that died says nothing; the next row is written over a new one, or refused.
        """
        with self._using, suppress(SQLAlchemyError):
            if self._connection is not None and not self._connection.invalidated:
                with self._connection.begin():
                    self._connection.execute(text("SELECT 1"))

    def release(self) -> None:
        """Let the lock go; the server does so by itself when the connection ends."""
        with self._using:
            if self._held.get(self._campaign) is self:
                del self._held[self._campaign]
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(SQLAlchemyError):
                    if not connection.invalidated:
                        connection.execute(_RELEASE, {"campaign": self._campaign})
                        connection.commit()
                with suppress(SQLAlchemyError):
                    connection.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield the connection that holds the lock, in a transaction; where it died, the lock is taken again first.

        Raises:
            LedgerError: another process owns the campaign now.
        """
        with self._using:
            connection = self._connection
            if connection is None or connection.invalidated:
                connection = self._take_again()
            with connection.begin():
                yield connection

    def _take_again(self) -> Connection:
        try:
            connection = self._take()
        except NameInUseError as error:
            raise LedgerError(
                f"the connection to {self._database.where} was lost, and with it campaign '{self._campaign}': {error}; "
                "no further step is started here"
            ) from error
        _log.warning("campaign '%s' is owned again, over a new connection", self._campaign)
        return connection

    def _take(self) -> Connection:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None
        connection = self._database.writer.connect()
        try:
            connection.detach()  # it is nobody else's any more, and closing it ends the session
            values = {"campaign": self._campaign}
            is_mine, backend = connection.execute(_TAKE, values).one()
            if not is_mine:
                holder = connection.execute(_HOLDER, values).first()
                # Our own session of before: the server does not know yet that the network cut it off.
                is_ours = (
                    holder is not None
                    and holder.pid == self._backend
                    and holder.application_name == self._database.name
                )
                if holder is not None and (is_ours or holder.pid == self._ends):
                    connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": holder.pid})
                    last = time.monotonic() + _FAREWELL
                    while not is_mine and time.monotonic() < last:
                        time.sleep(_FAREWELL / 100)
                        is_mine, backend = connection.execute(_TAKE, values).one()
            if not is_mine:
                pid, host = (0, "?") if holder is None else process_of(holder.application_name)
                raise NameInUseError(
                    f"campaign '{self._campaign}' is being run by process {pid} on {host}; "
                    "wait for it, stop it there with Ctrl-C, or choose another --name"
                )
            connection.commit()
        except BaseException:
            with suppress(SQLAlchemyError):
                connection.close()
            raise
        self._connection, self._backend = connection, int(backend)
        return connection


def _patience() -> float:
    """Return the seconds for which a write waits: `$SDL_LEDGER_PATIENCE`, else `PATIENCE`."""
    given = os.environ.get(PATIENCE_VARIABLE)
    if not given:
        return PATIENCE
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < math.inf:
        raise InputError(f"${PATIENCE_VARIABLE} is '{given}'; it must be a number of seconds from 0")
    return seconds


def is_away(error: DBAPIError) -> bool:
    """Tell whether the server was not reached, or ended the connection: it may be back soon."""
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)  # none where no connection was made
    gone = {"57P01", "57P02", "57P03", "53300"}  # shut down, crashed, starting up, too many connections
    return isinstance(error, OperationalError) and (state is None or state in gone or state.startswith("08"))


def brief_of(error: DBAPIError) -> str:
    """Return what the server or the driver says, in one line; neither says passwords."""
    lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
    return lines[0].strip()


def process_of(name: str | None) -> tuple[int, str]:
    """Return pid and machine from the name under which a session is known; (0, '?') where it is another program's."""
    found = _NAME.match(name or "")
    return (0, "?") if found is None else (int(found[1]), found[2] or "?")
