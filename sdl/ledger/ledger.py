"""The ledger: the journal, its projections and the artefacts; the only state, in one folder, the home.

- `ledger.db`: the journal and its projections (SQLite, write-ahead log, synchronous FULL)
- `artefacts/`: raw data by SHA-256
- `heads/`: heads that were written elsewhere (reports, exports), for `verify`
- `locks/`: which process a campaign belongs to
- `worlds/`: the records of simulated worlds
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from sdl.artefacts import ArtefactStore
from sdl.clock import utc_text
from sdl.errors import InputError, LedgerError, listed
from sdl.ledger import tables as t
from sdl.ledger.events import Event, canonical, event_of
from sdl.ledger.ownership import Ownership, is_owned
from sdl.ledger.projections import project


@dataclass(frozen=True)
class Row:
    """One journal row.

    Attributes:
        campaign: name.
        seq: from 1, without gaps.
        at: UTC text of the lab's clock.
        event: what it says.
        previous: hash of the row before.
        hash: SHA-256 over the row before and this one.
    """

    campaign: str
    seq: int
    at: str
    event: Event
    previous: str
    hash: str


def row_hash(previous: str, campaign: str, seq: int, at: str, kind: str, body: str) -> str:
    """Return SHA-256 over a row and the hash of the row before it."""
    return hashlib.sha256(canonical([previous, campaign, seq, at, kind, body]).encode()).hexdigest()


GENESIS = "0" * 64


class Ledger:
    """Everything that is known of all campaigns of a home.

    A home that this user may not write to (somebody else's, a read-only medium) is opened for reading.

    Args:
        home: the folder, made on need; None keeps everything in memory (benchmarks).

    Raises:
        LedgerError: the database cannot be opened, or is of a newer version.
    """

    def __init__(self, home: Path | None) -> None:
        self.home = home
        self.is_read_only = False
        if home is None:
            self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
            self.artefacts = ArtefactStore(f"memory://{uuid.uuid4().hex}")
        else:
            try:
                home.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LedgerError(
                    f"the home folder {home} cannot be made: {error.strerror}; choose another --home"
                ) from error
            database = home / "ledger.db"
            self.is_read_only = database.exists() and not (_may_write(database) and _may_write(home))
            address = f"{read_only_uri(database)}&uri=true" if self.is_read_only else str(database)
            self.engine = create_engine(_url(address), connect_args={"timeout": 60.0})
            self.artefacts = ArtefactStore(str(home / "artefacts"))
        self._writer = self.engine.execution_options(**{_WRITES: True})
        _configure(self.engine, durable=home is not None and not self.is_read_only)
        try:
            self._migrate()
        except DBAPIError as error:
            self.engine.dispose()
            raise LedgerError(
                f"{self.where} cannot be opened as a ledger: {error.orig}; "
                "choose another --home, or restore it from a backup"
            ) from error
        except BaseException:
            self.engine.dispose()
            raise

    @property
    def where(self) -> str:
        """Where the ledger lies, for messages."""
        return "the ledger in memory" if self.home is None else str(self.home / "ledger.db")

    def close(self) -> None:
        """Close all connections; what was kept in memory is gone."""
        self.engine.dispose()
        if self.home is None:
            self.artefacts.forget()

    # --- writing -----------------------------------------------------------------------------------------------------

    def append(self, campaign: str, moment: float, events: Sequence[Event]) -> list[Row]:
        """Write rows and bring the projections up to date, in one transaction; durable when this returns.

        Args:
            campaign: name.
            moment: of the lab's clock.
            events: what the rows say.

        Raises:
            LedgerError: the disk is full, the database cannot be written, or a row says what cannot be recorded;
                nothing of it was kept.
        """
        at = utc_text(moment)
        rows: list[Row] = []
        try:
            with self._writer.begin() as connection:
                seq, previous = _head(connection, campaign)
                for item in events:
                    seq += 1
                    body = canonical(item.body())
                    digest = row_hash(previous, campaign, seq, at, item.kind, body)
                    connection.execute(
                        t.journal.insert().values(
                            campaign=campaign, seq=seq, at=at, kind=item.kind, body=body, previous=previous, hash=digest
                        )
                    )
                    # What was written is what is projected: the event as it will be read back.
                    again = event_of(item.kind, json.loads(body))
                    project(connection, campaign, seq, at, again)
                    rows.append(Row(campaign, seq, at, again, previous, digest))
                    previous = digest
        except IntegrityError as error:
            raise LedgerError(
                f"campaign '{campaign}': {error.orig}; the row was refused and nothing was recorded"
            ) from error
        except DBAPIError as error:
            advice = (
                f"this user may not write to {self.home}"
                if self.is_read_only
                else "free the disk or mend the database, then run the same command again"
            )
            raise LedgerError(
                f"{self.where} cannot be written: {error.orig}; "
                f"nothing was recorded and no further step is started: {advice}"
            ) from error
        except (SQLAlchemyError, ValueError, TypeError, OverflowError, KeyError) as error:
            # NaN, a number beyond 64 bits, what JSON cannot hold: an error of who asked, not of the disk.
            raise LedgerError(
                f"campaign '{campaign}': what is to be recorded cannot be: {error}; nothing of it was kept"
            ) from error
        return rows

    def own(self, campaign: str) -> Ownership:
        """Return the campaign's lock, not yet taken.

        Raises:
            LedgerError: the ledger is in memory, where nobody else can reach it.
        """
        if self.home is None:
            raise LedgerError("a ledger in memory has no owners")
        return Ownership(self.home / "locks", campaign)

    def is_owned(self, campaign: str) -> bool:
        """Tell whether a live process runs the campaign."""
        return self.home is not None and is_owned(self.home / "locks" / f"{campaign}.lock")

    def note_head(self, campaign: str, where: str, head: tuple[int, str] | None = None) -> tuple[int, str]:
        """Remember outside the database that a head was written elsewhere, so that `verify` can ask for it.

        Args:
            campaign: name.
            where: where it was written, in words for people (`report opv.html`).
            head: (seq, hash) that was written; the present head by default.

        Returns:
            (seq, hash).

        Raises:
            LedgerError: there is no such campaign, or the note cannot be written.
        """
        seq, digest = self.head(campaign) if head is None else head
        if seq == 0:
            raise self.unknown(campaign)
        if self.home is not None:
            line = canonical({"seq": seq, "hash": digest, "where": where, "at": utc_text(time.time())}) + "\n"
            path = self.home / "heads" / f"{campaign}.jsonl"
            try:
                path.parent.mkdir(exist_ok=True)
                with path.open("ab") as file:  # one write at the end: two processes do not mix their lines
                    file.write(line.encode())
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise LedgerError(
                    f"the head of campaign '{campaign}' cannot be noted in {path}: {error.strerror}"
                ) from error
        return seq, digest

    # --- reading -----------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection whose queries all see one moment of the ledger, whatever others write meanwhile.

        Raises:
            LedgerError: the database cannot be read.
        """
        try:
            with self.engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise LedgerError(f"{self.where} cannot be read: {error.orig}; restore it from a backup") from error

    def head(self, campaign: str) -> tuple[int, str]:
        """Return (seq, hash) of the last row; (0, 64 zeros) where there is none."""
        with self.reading() as connection:
            return _head(connection, campaign)

    def rows(self, campaign: str, up_to: int | None = None) -> list[Row]:
        """Return the journal of a campaign in order, up to and with row `up_to`.

        Raises:
            LedgerError: the database cannot be read, or a row is not what this version writes.
        """
        with self.reading() as connection:
            return rows_of(connection, campaign, up_to)

    def unknown(self, campaign: str) -> InputError:
        """Return the error that says that there is no such campaign, and which there are."""
        known = listed(str(c["name"]) for c in self.campaigns())
        return InputError(f"{self.where} has no campaign '{campaign}'; it has: {known}")

    def campaigns(self) -> list[Mapping[str, Any]]:
        """Return one mapping per campaign, in order of creation."""
        found = self.read(select(t.campaigns).order_by(t.campaigns.c.created, t.campaigns.c.name))
        return [{**c, "settings": json.loads(c["settings"])} for c in found]

    def campaign(self, name: str) -> Mapping[str, Any] | None:
        """Return what is known of a campaign, or None where there is none of that name."""
        return next((c for c in self.campaigns() if c["name"] == name), None)

    def read(self, query: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401  SQLAlchemy's select
        """Return the rows of a query on the projections as mappings."""
        with self.reading() as connection:
            return [dict(r) for r in connection.execute(query).mappings()]

    # --- within ------------------------------------------------------------------------------------------------------

    def _migrate(self) -> None:
        from sdl.ledger.migrate import migrate  # alembic only where the schema is not up to date

        if self.home is None:
            t.metadata.create_all(self.engine)
        else:
            migrate(self._writer, self.where, is_read_only=self.is_read_only)


def rows_of(connection: Connection, campaign: str, up_to: int | None = None) -> list[Row]:
    """Return the journal of a campaign in order, up to and with row `up_to`.

    Raises:
        LedgerError: a row is not what this version writes.
    """
    query = select(t.journal).where(t.journal.c.campaign == campaign).order_by(t.journal.c.seq)
    if up_to is not None:
        query = query.where(t.journal.c.seq <= up_to)
    rows = []
    for r in connection.execute(query):
        try:
            rows.append(Row(r.campaign, r.seq, r.at, event_of(r.kind, json.loads(r.body)), r.previous, r.hash))
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"row {r.seq} of campaign '{campaign}' ({r.kind}) cannot be read: {type(error).__name__}: {error}; "
                f"see sdl verify {campaign}"
            ) from error
    return rows


def _head(connection: Connection, campaign: str) -> tuple[int, str]:
    query = (
        select(t.journal.c.seq, t.journal.c.hash)
        .where(t.journal.c.campaign == campaign)
        .order_by(t.journal.c.seq.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    return (0, GENESIS) if found is None else (int(found.seq), str(found.hash))


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def read_only_uri(database: Path) -> str:
    """Return the address under which SQLite opens a database for reading."""
    uri = f"file:{quote(str(database.absolute()))}?mode=ro"
    if not _may_write(database.parent) and not database.with_name(database.name + "-wal").exists():
        uri += "&immutable=1"  # nobody writes, and the files by which readers and writers meet could not be made
    return uri


def _url(address: str) -> URL:
    """Return SQLAlchemy's address of a database; a path may hold characters that mean something in a URL."""
    path, _, options = address.partition("?") if address.startswith("file:") else (address, "", "")
    return URL.create("sqlite", database=path, query=dict(o.split("=") for o in options.split("&") if o))


_WRITES = "sdl_writes"
"""Execution option of connections that write."""


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


def as_events(rows: Iterable[Row]) -> list[Event]:
    """Return what rows say, without their places in the chain."""
    return [row.event for row in rows]
