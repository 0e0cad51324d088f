"""The ledger: the journal, its projections and the artefacts, in one folder.

    home/
      ledger.db         the journal and its projections (SQLite, write-ahead log, synchronous FULL)
      artefacts/        raw data by SHA-256
      heads/            heads that were written elsewhere (reports, exports), for `verify`
      locks/            which process a campaign belongs to
      worlds/           the records of simulated worlds
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from sdl.artefacts import ArtefactStore
from sdl.clock import utc_text
from sdl.errors import LedgerError
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

    Args:
        home: the folder, made on need; None keeps everything in memory (benchmarks).

    Raises:
        LedgerError: the database cannot be opened, or is of a newer version.
    """

    def __init__(self, home: Path | None) -> None:
        self.home = home
        if home is None:
            self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
            self.artefacts = ArtefactStore(f"memory://{uuid.uuid4().hex}")
        else:
            try:
                home.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LedgerError(f"the home folder {home} cannot be made: {error.strerror}; choose another --home") from error
            self.engine = create_engine(f"sqlite:///{home / 'ledger.db'}", connect_args={"timeout": 60.0})
            self.artefacts = ArtefactStore(str(home / "artefacts"))
        _configure(self.engine, durable=home is not None)
        try:
            self._migrate()
        except DatabaseError as error:
            raise LedgerError(f"{self.where} cannot be opened as a ledger: {error.orig}") from error
        self._heads: dict[str, tuple[int, str]] = {}

    @property
    def where(self) -> str:
        """Where the ledger lies, for messages."""
        return "the ledger in memory" if self.home is None else str(self.home / "ledger.db")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    # --- writing -----------------------------------------------------------------------------------------------------

    def append(self, campaign: str, moment: float, events: Sequence[Event]) -> list[Row]:
        """Write rows and bring the projections up to date, in one transaction; durable when this returns.

        Args:
            campaign: name.
            moment: of the lab's clock.
            events: what the rows say.

        Raises:
            LedgerError: the disk is full or the database cannot be written; nothing of it was kept.
        """
        at = utc_text(moment)
        rows: list[Row] = []
        try:
            with self.engine.begin() as connection:
                seq, previous = self._head(connection, campaign)
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
        except (OperationalError, DatabaseError) as error:
            raise LedgerError(
                f"{self.where} cannot be written: {error.orig}; nothing was recorded and no further step is started. "
                "Free the disk or mend the database, then run the same command again"
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

    def note_head(self, campaign: str, where: str) -> tuple[int, str]:
        """Remember outside the database that the present head was written elsewhere; returns (seq, hash)."""
        seq, digest = self.head(campaign)
        if self.home is not None:
            folder = self.home / "heads"
            folder.mkdir(exist_ok=True)
            with (folder / f"{campaign}.jsonl").open("a") as file:
                file.write(canonical({"seq": seq, "hash": digest, "where": where}) + "\n")
        return seq, digest

    # --- reading -----------------------------------------------------------------------------------------------------

    def head(self, campaign: str) -> tuple[int, str]:
        """Return (seq, hash) of the last row; (0, 64 zeros) where there is none."""
        with self.engine.connect() as connection:
            return self._head(connection, campaign)

    def rows(self, campaign: str, up_to: int | None = None) -> list[Row]:
        """Return the journal of a campaign in order, up to and with row `up_to`."""
        query = select(t.journal).where(t.journal.c.campaign == campaign).order_by(t.journal.c.seq)
        if up_to is not None:
            query = query.where(t.journal.c.seq <= up_to)
        with self.engine.connect() as connection:
            return [
                Row(r.campaign, r.seq, r.at, event_of(r.kind, json.loads(r.body)), r.previous, r.hash)
                for r in connection.execute(query)
            ]

    def campaigns(self) -> list[Mapping[str, Any]]:
        """Return one mapping per campaign, in order of creation."""
        found = self.read(select(t.campaigns).order_by(t.campaigns.c.created, t.campaigns.c.name))
        return [{**c, "settings": json.loads(c["settings"])} for c in found]

    def campaign(self, name: str) -> Mapping[str, Any] | None:
        """Return what is known of a campaign, or None where there is none of that name."""
        return next((c for c in self.campaigns() if c["name"] == name), None)

    def read(self, query: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401  SQLAlchemy's select
        """Return the rows of a query on the projections as mappings."""
        with self.engine.connect() as connection:
            return [dict(r) for r in connection.execute(query).mappings()]

    # --- within ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _head(connection: Any, campaign: str) -> tuple[int, str]:  # noqa: ANN401
        query = (
            select(t.journal.c.seq, t.journal.c.hash)
            .where(t.journal.c.campaign == campaign)
            .order_by(t.journal.c.seq.desc())
            .limit(1)
        )
        found = connection.execute(query).first()
        return (0, GENESIS) if found is None else (int(found.seq), str(found.hash))

    def _migrate(self) -> None:
        from sdl.ledger.migrate import migrate  # noqa: PLC0415  alembic only where the schema is not up to date

        if self.home is None:
            t.metadata.create_all(self.engine)
        else:
            migrate(self.engine, self.where)


def _configure(engine: Engine, *, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, record: object) -> None:  # noqa: ANN401
        del record
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        if durable:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:  # noqa: ANN401
        # A writer that began as a reader could fail half-way; the ledger's transactions are short, so all may wait.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def as_events(rows: Iterable[Row]) -> list[Event]:
    """Return what rows say, without their places in the chain."""
    return [row.event for row in rows]
