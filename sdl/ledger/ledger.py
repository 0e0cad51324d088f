"""The ledger: the journal, its projections and the artefacts; the only state, in one folder, the home (`sdl.ledger.place`).

- `ledger.db`: the journal and its projections (SQLite), or `ledger.url`: in which PostgreSQL they are
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, bindparam, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from sdl.artefacts import ArtefactStore
from sdl.clock import utc_text
from sdl.errors import InputError, LedgerError, listed
from sdl.ledger import tables as t
from sdl.ledger.events import EpochRaised, Event, canonical, event_of
from sdl.ledger.ownership import Ownership, is_owned, owner_of
from sdl.ledger.place import DATABASE, remember, url_of
from sdl.ledger.postgresql import PostgresqlDatabase, brief_of, is_away
from sdl.ledger.projections import project
from sdl.ledger.sqlite import SqliteDatabase

T = TypeVar("T")


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

    A process that raised a campaign's epoch writes its rows only as long as nobody raised it again: an append with an old
    epoch is refused, whatever became of the lock.

    Args:
        home: the folder, made on need; None keeps everything in memory (benchmarks).

    Raises:
        InputError: the home's database is named in a way that cannot be used.
        LedgerError: the database cannot be opened, or is of a newer version.
    """

    def __init__(self, home: Path | None) -> None:
        self.home = home
        self._epochs: dict[str, int] = {}
        self._database = self._made(home)
        self.artefacts = ArtefactStore(f"memory://{uuid.uuid4().hex}" if home is None else str(home / "artefacts"))
        try:
            self._database.opening(self._prepare)
            if home is not None and isinstance(self._database, PostgresqlDatabase):
                remember(home, self._database.writer.url)
        except DBAPIError as error:
            self._database.close()
            advice = (
                "choose another --home, or restore it from a backup"
                if isinstance(self._database, SqliteDatabase)
                else "is the server up, and the address, the user and the password right?"
            )
            raise LedgerError(f"{self.where} cannot be opened as a ledger: {brief_of(error)}; {advice}") from error
        except BaseException:
            self._database.close()
            raise

    @staticmethod
    def _made(home: Path | None) -> SqliteDatabase | PostgresqlDatabase:
        if home is None:
            return SqliteDatabase(None)
        url = url_of(home)
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(
                f"the home folder {home} cannot be made: {error.strerror}; choose another --home"
            ) from error
        return SqliteDatabase(home / DATABASE) if url is None else PostgresqlDatabase(url)

    @property
    def engine(self) -> Engine:
        """The database; transactions begun on it read."""
        return self._database.engine

    @property
    def is_read_only(self) -> bool:
        """Whether this user may not write to it."""
        return self._database.is_read_only

    @property
    def where(self) -> str:
        """Where the ledger lies, for messages."""
        return self._database.where

    def close(self) -> None:
        """Close all connections; what was kept in memory is gone."""
        self._database.close()
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
        written: list[Row] = []

        def write() -> None:
            with self._database.writing(campaign) as connection:
                # Where the connection died while it committed, nobody knows whether it did: the journal is asked.
                if not (written and _stands(connection, written[-1])):
                    written[:] = self._write(connection, campaign, at, events)

        try:
            self._database.patiently(write)
        except IntegrityError as error:
            raise LedgerError(
                f"campaign '{campaign}': {brief_of(error)}; the row was refused and nothing was recorded"
            ) from error
        except (DataError, ValueError, TypeError, OverflowError, KeyError) as error:
            # NaN, a number beyond 64 bits, what JSON cannot hold: an error of who asked, not of the disk.
            raise self._unfit(campaign, error) from error
        except DBAPIError as error:
            advice = (
                f"this user may not write to {self.home}"
                if self.is_read_only
                else "free the disk or mend the database, then run the same command again"
            )
            kept = (
                "whether the last rows were recorded is read from it at the next start"
                if written and isinstance(self._database, PostgresqlDatabase) and is_away(error)
                else "nothing was recorded"
            )
            raise LedgerError(
                f"{self.where} cannot be written: {brief_of(error)}; {kept} and no further step is started: {advice}"
            ) from error
        except SQLAlchemyError as error:
            raise self._unfit(campaign, error) from error
        for row in written:
            if isinstance(row.event, EpochRaised):
                self._epochs[campaign] = row.event.epoch
        return written

    def _write(self, connection: Connection, campaign: str, at: str, events: Sequence[Event]) -> list[Row]:
        """Write rows in a transaction in which nobody else appends to the campaign."""
        end = connection.execute(_END, {"name": campaign}).first()
        seq, previous, epoch = (0, GENESIS, None) if end is None else end
        mine = self._epochs.get(campaign)
        if mine is not None and epoch != mine:
            raise _taken_over(campaign, epoch, mine)
        rows = []
        for item in events:
            if isinstance(item, EpochRaised):
                if epoch is not None and item.epoch <= epoch:
                    raise LedgerError(
                        f"campaign '{campaign}' was taken over: its epoch is {epoch} already, this process wants "
                        f"{item.epoch}; nothing was recorded: run the same command again"
                    )
                epoch = item.epoch
            seq += 1
            body = canonical(item.body())
            digest = row_hash(previous, campaign, seq, at, item.kind, body)
            values = {"campaign": campaign, "seq": seq, "at": at, "kind": item.kind, "body": body}
            connection.execute(_ROW, {**values, "previous": previous, "hash": digest})
            # What was written is what is projected: the event as it will be read back.
            again = event_of(item.kind, json.loads(body))
            project(connection, campaign, seq, at, again)
            rows.append(Row(campaign, seq, at, again, previous, digest))
            previous = digest
        return rows

    @staticmethod
    def _unfit(campaign: str, error: Exception) -> LedgerError:
        return LedgerError(f"campaign '{campaign}': what is to be recorded cannot be: {error}; nothing of it was kept")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection for what is no journal row; durable when the block is left, nothing of it where that raises.

        Raises:
            LedgerError: the database cannot be written.
        """
        try:
            with self._database.writing() as connection:
                yield connection
        except DBAPIError as error:
            raise LedgerError(f"{self.where} cannot be written: {brief_of(error)}; nothing was recorded") from error

    def own(self, campaign: str) -> Ownership:
        """Return the campaign's lock, not yet taken.

        Raises:
            LedgerError: the ledger is in memory, where nobody else can reach it.
        """
        if self.home is None:
            raise LedgerError("a ledger in memory has no owners")
        return Ownership(self.home / "locks", campaign, self._database.lock(campaign))

    def require_mine(self, campaign: str) -> None:
        """Check that no other process has taken the campaign over since this one raised its epoch.

        Raises:
            LedgerError: one has, or the database cannot be read.
        """
        mine = self._epochs.get(campaign)
        if mine is None:
            return
        epoch = self._asked(lambda connection: connection.execute(_EPOCH_OF, {"name": campaign}).scalar())
        if epoch != mine:
            raise _taken_over(campaign, epoch, mine)

    def is_owned(self, campaign: str) -> bool:
        """Tell whether a live process runs the campaign, from this home or from another one on the same database."""
        return self.owner(campaign) is not None

    def owner(self, campaign: str) -> tuple[int, str] | None:
        """Return pid and machine of the live process that runs the campaign, or None.

        Raises:
            LedgerError: the database cannot be read.
        """
        if self.home is None:
            return None
        path = self.home / "locks" / f"{campaign}.lock"
        return owner_of(path) if is_owned(path) else self._database.owner(campaign)

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
            raise self._unreadable(error) from error

    def head(self, campaign: str) -> tuple[int, str]:
        """Return (seq, hash) of the last row; (0, 64 zeros) where there is none."""
        found = self._asked(lambda connection: connection.execute(_END, {"name": campaign}).first())
        return (0, GENESIS) if found is None else (int(found.seq), str(found.hash))

    def rows(self, campaign: str, up_to: int | None = None) -> list[Row]:
        """Return the journal of a campaign in order, up to and with row `up_to`.

        Raises:
            LedgerError: the database cannot be read, or a row is not what this version writes.
        """
        return self._asked(lambda connection: rows_of(connection, campaign, up_to))

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
        return self._asked(lambda connection: [dict(r) for r in connection.execute(query).mappings()])

    # --- within ------------------------------------------------------------------------------------------------------

    def _asked(self, ask: Callable[[Connection], T]) -> T:
        """Return what a question gives; where the database is away, wait for it as long as a write would."""

        def once() -> T:
            with self.engine.connect() as connection:
                return ask(connection)

        try:
            return self._database.patiently(once)
        except DBAPIError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: DBAPIError) -> LedgerError:
        advice = "restore it from a backup" if isinstance(self._database, SqliteDatabase) else "is the server up?"
        return LedgerError(f"{self.where} cannot be read: {brief_of(error)}; {advice}")

    def _prepare(self) -> None:
        self._migrate()
        self._database.opened()

    def _migrate(self) -> None:
        from sdl.ledger.migrate import migrate  # alembic only where the schema is not up to date

        if self.home is None:
            t.metadata.create_all(self.engine)
        else:
            migrate(self._database.writer, self.where, reader=self.engine, is_read_only=self.is_read_only)


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


_EPOCH = select(t.campaigns.c.epoch).where(t.campaigns.c.name == bindparam("name")).scalar_subquery()
_END = (
    select(t.journal.c.seq, t.journal.c.hash, _EPOCH.label("epoch"))
    .where(t.journal.c.campaign == bindparam("name"))
    .order_by(t.journal.c.seq.desc())
    .limit(1)
)
"""The last row of a campaign, and the epoch at which it stands."""

_EPOCH_OF = select(t.campaigns.c.epoch).where(t.campaigns.c.name == bindparam("name"))

_ROW = t.journal.insert()


def _taken_over(campaign: str, epoch: object, mine: int) -> LedgerError:
    return LedgerError(
        f"campaign '{campaign}' was taken over: its epoch is {epoch}, this process has {mine}; "
        "nothing was recorded and no further step is started here"
    )


def _stands(connection: Connection, row: Row) -> bool:
    """Tell whether the journal holds a row."""
    journal = t.journal.c
    query = select(journal.hash).where(journal.campaign == row.campaign, journal.seq == row.seq)
    return connection.execute(query).scalar() == row.hash
