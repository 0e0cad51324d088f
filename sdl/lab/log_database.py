"""The databases that may hold a command log: a file of SQLite, or a schema of a PostgreSQL.

One process writes. Of a file that is whoever holds the lock of the lab's folder. In a PostgreSQL, which servers on other
machines reach too, the writer holds an advisory lock of its session and writes over that very session: where it dies, nothing
is written before the lock is taken again, and not at all where another server has opened the log meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.schema import CreateSchema

from sdl.errors import LedgerError, NameInUseError
from sdl.lab.log_tables import meta, metadata, schema_of
from sdl.ledger.place import masked
from sdl.ledger.postgresql import PostgresqlDatabase, brief_of

if TYPE_CHECKING:
    from sdl.ledger.postgresql import CampaignLock

_LIFE = "life"
"""The key under which it is counted how often a log in a PostgreSQL was opened."""

_HURRY = {"connect_timeout": "5", "tcp_user_timeout": "5000"}
"""How long, in seconds and in milliseconds, a connection waits for a database whose network is gone. Chosen: short, since the
server does nothing else meanwhile, no abort either; it tries again once a second."""


class SqliteLogDatabase:
    """A file of SQLite: write-ahead log, synchronous FULL.

    Args:
        url: its address.
    """

    def __init__(self, url: URL) -> None:
        self.engine = create_engine(url)
        _make_durable(self.engine)
        try:
            metadata.create_all(self.engine)
        except BaseException:
            self.engine.dispose()
            raise

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection that writes."""
        with self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


class PostgresqlLogDatabase:
    """A schema of a PostgreSQL, and the right to write to it.

    Args:
        url: of the database.
        lab: name of the lab.

    Raises:
        NameInUseError: another server writes this log; it is named by pid and machine.
        LedgerError: the database does not keep what it commits, or is too old.
        SQLAlchemyError: it does not answer, or this user may not do what is needed.
    """

    def __init__(self, url: URL, lab: str) -> None:
        schema = schema_of(lab)
        self.where = where_is(url, lab)
        in_a_hurry = {k: v for k, v in _HURRY.items() if k not in url.query}
        self._database = PostgresqlDatabase(url.update_query_dict(in_a_hurry))
        for name in ("engine", "writer"):
            made: Engine = getattr(self._database, name)
            setattr(self._database, name, made.execution_options(schema_translate_map={None: schema}))
        self.engine = self._database.engine
        owned = f"command log of lab {lab}"
        self._lock: CampaignLock = self._database.lock(owned)
        self._life = ""
        try:
            with self.engine.connect():  # says plainly what is wrong with the server
                pass
            try:
                self._lock.take()
            except NameInUseError as error:
                pid, host = self._database.owner(owned) or (0, "?")
                raise NameInUseError(
                    f"the command log of lab '{lab}' in {self.where} is being written by the lab server of process {pid} on "
                    f"{host}; campaigns reach it there, or end it with Ctrl-C"
                ) from error
            self._begin(schema)
        except BaseException:
            self.close()
            raise

    def _begin(self, schema: str) -> None:
        """Make the tables where there are none, and count this life of the log."""
        with self._lock.writing() as connection:
            if schema not in inspect(connection).get_schema_names():
                connection.execute(CreateSchema(schema))
            metadata.create_all(connection)
            before = connection.execute(select(meta.c.value).where(meta.c.key == _LIFE)).scalar()
            self._life = str(int(before or 0) + 1)
            connection.execute(meta.delete().where(meta.c.key == _LIFE))
            connection.execute(meta.insert(), {"key": _LIFE, "value": self._life})

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection that writes.

        Raises:
            LedgerError: another server has opened this log since; what this one holds in memory is out of date.
        """
        with self._lock.writing() as connection:
            life = connection.execute(select(meta.c.value).where(meta.c.key == _LIFE)).scalar()
            if life != self._life:
                raise LedgerError(
                    f"another server has opened the command log {self.where} while this one was cut off from it; end this one: "
                    "it writes nothing more, and starts nothing"
                )
            yield connection

    def close(self) -> None:
        """Close all connections; the lock ends with them."""
        self._lock.release()
        self._database.close()


LogDatabase = SqliteLogDatabase | PostgresqlLogDatabase


def log_database(url: str | URL, lab: str) -> LogDatabase:
    """Return the database of an address.

    Args:
        url: such as `sqlite:////home/lab/commands.db` or `postgresql+psycopg://user@host/database`.
        lab: name of the lab; in a PostgreSQL every lab has tables of its own.
    """
    address = make_url(url)
    return SqliteLogDatabase(address) if address.drivername == "sqlite" else PostgresqlLogDatabase(address, lab)


def where_is(url: str | URL, lab: str) -> str:
    """Return what the log of an address is called in messages, without a password."""
    address = make_url(url)
    if address.drivername == "sqlite":
        return str(address.database)
    return f"{masked(address)} (schema {schema_of(lab)})"


def words_of(error: SQLAlchemyError) -> str:
    """Return what a database says, in one line: neither a password nor what was to be written."""
    return brief_of(error) if isinstance(error, DBAPIError) else type(error).__name__


def _make_durable(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, record: object) -> None:  # noqa: ANN401
        del record
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode not in {"wal", "memory"}:
            raise LedgerError(
                f"{engine.url.database}: SQLite keeps no write-ahead log there (it offers '{mode}'); "
                "a network folder cannot hold a command log, choose another --home"
            )
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
