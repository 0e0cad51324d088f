"""The command log of a lab server, in a database: what was accepted, started and finished survives every crash.

SQLite with a write-ahead log and synchronous FULL, as the ledger; any other database by its URL. One process writes, which
its lab's lock sees to; so epochs, and the ids of commands, are held in memory too, and a write costs one commit and no query.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from sdl.driver import Command, Reply
from sdl.errors import LedgerError, ProtocolError
from sdl.lab.log import (
    KnownCampaign,
    Record,
    digest_of_command,
    refuse_old,
    refuse_old_epoch,
    refuse_repeated,
)
from sdl.lab.stop import Stop, stop_of
from sdl.lab.wire import reply_json, reply_of, to_text

SCHEMA = "1"
"""The schema of the tables below; a log of another one is refused."""

_STOP = "stop"
"""The key under which it is kept that a person stopped the lab."""

metadata = MetaData()

meta = Table(
    "meta", metadata, Column("key", String(20), primary_key=True), Column("value", String(200), nullable=False)
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", String(150), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("name", String(100), nullable=False),
    Column("epoch", Integer, nullable=False),
)

commands = Table(
    "commands",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("position", Integer, nullable=False, unique=True),
    Column("campaign", String(150), nullable=False, index=True),
    Column("epoch", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("experiment", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("instrument", String(100), nullable=False),
    Column("action", String(100), nullable=False),
    Column("arguments", Text, nullable=False),
    Column("samples", Text, nullable=False),
    Column("destination", String(100)),
    Column("occurrence", Integer, nullable=False),
    Column("begins_sample", Boolean, nullable=False),
    Column("state", String(10), nullable=False, index=True),
    Column("reply", Text),
    Column("answer", String(20)),
    Column("accepted", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
)

cleared = Table(
    "cleared",
    metadata,
    Column("sample", String(150), primary_key=True),
    Column("after", Integer, nullable=False),  # position of the last command that was accepted before
)


class SqlLog:
    """A command log in a database.

    Args:
        url: such as `sqlite:////home/lab/commands.db`.

    Raises:
        LedgerError: the database cannot be opened, or was written by another version.

    Attributes:
        id: of this log, made with it: what a campaign sent to it can be asked of no other.
        stop: that a person stopped the lab, or None.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            _make_durable(self._engine)
        try:
            metadata.create_all(self._engine)
            with self._engine.begin() as connection:
                self.id = _identity(connection, url)
                kept = connection.execute(select(meta.c.value).where(meta.c.key == _STOP)).scalar()
                self.stop: Stop | None = None if kept is None else stop_of(str(kept))
                self._campaigns = {
                    c.id: KnownCampaign(c.id, c.name, c.epoch)
                    for c in connection.execute(select(campaigns).order_by(campaigns.c.position))
                }
                self._digests: dict[str, str] = {
                    c.id: c.digest for c in connection.execute(select(commands.c.id, commands.c.digest))
                }
                last = connection.execute(
                    select(commands.c.position).order_by(commands.c.position.desc()).limit(1)
                ).scalar()
                self._position = int(last or 0)
                waiting = select(commands).where(commands.c.state != "finished").order_by(commands.c.position)
                self._open = {r.command.id: r for r in map(_record, connection.execute(waiting).mappings())}
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise LedgerError(f"the command log {url} cannot be opened: {error}; restore it from a backup") from error
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def accept(self, command: Command, begins_sample: bool, moment: float) -> None:
        """Commit that a command was accepted, with its campaign's epoch; see `CommandLog.accept`."""
        digest = digest_of_command(command)
        known = self._campaigns.get(command.campaign)
        refuse_old(command, known.epoch if known else 0)
        refuse_repeated(command, digest, self._digests.get(command.id))
        name = known.name if known else command.campaign
        with self._writing() as connection:
            connection.execute(
                commands.insert(),
                {
                    "id": command.id,
                    "position": self._position + 1,
                    "campaign": command.campaign,
                    "epoch": command.epoch,
                    "digest": digest,
                    "experiment": command.experiment,
                    "step": command.step,
                    "instrument": command.instrument,
                    "action": command.action,
                    "arguments": to_text(dict(command.arguments)),
                    "samples": to_text(list(command.samples)),
                    "destination": command.destination,
                    "occurrence": command.occurrence,
                    "begins_sample": begins_sample,
                    "state": "accepted",
                    "accepted": moment,
                },
            )
            if known is None or known.epoch != command.epoch:
                self._write_campaign(connection, KnownCampaign(command.campaign, name, command.epoch))
        self._position += 1
        self._campaigns[command.campaign] = KnownCampaign(command.campaign, name, command.epoch)
        self._digests[command.id] = digest
        self._open[command.id] = Record(command, digest, begins_sample, "accepted", moment)

    def started(self, command: str, moment: float) -> None:
        """Commit that the driver is about to be called."""
        with self._writing() as connection:
            connection.execute(
                commands.update().where(commands.c.id == command).values(state="started", started=moment)
            )
        self._open[command] = replace(self._open[command], state="started", started=moment)

    def finished(self, reply: Reply, moment: float) -> None:
        """Commit the reply to a command."""
        with self._writing() as connection:
            connection.execute(
                commands.update()
                .where(commands.c.id == reply.command)
                .values(state="finished", finished=moment, reply=to_text(reply_json(reply)))
            )
        self._open.pop(reply.command, None)

    def answered(self, command: str, status: str) -> None:
        """Commit what a person told of a command of which nobody knew."""
        with self._writing() as connection:
            connection.execute(commands.update().where(commands.c.id == command).values(answer=status))

    def clear(self, sample: str) -> None:
        """Commit that a person took a sample out of the lab."""
        with self._writing() as connection:
            connection.execute(cleared.delete().where(cleared.c.sample == sample))
            connection.execute(cleared.insert(), {"sample": sample, "after": self._position})

    def set_stop(self, stop: Stop | None) -> None:
        """Commit that a person stopped the lab, or released it.

        Raises:
            LedgerError: it cannot be written; for this life of the log it stands as it was.
        """
        with self._writing() as connection:
            connection.execute(meta.delete().where(meta.c.key == _STOP))
            if stop is not None:
                connection.execute(meta.insert(), {"key": _STOP, "value": stop.to_text()})
        self.stop = stop

    def moves(self) -> Iterator[Record]:
        """Yield every command that took samples somewhere, in the order of acceptance, less the samples taken away since."""
        query = select(commands).where(commands.c.destination.is_not(None), commands.c.state != "accepted")
        with self._engine.connect() as connection:
            gone = {row.sample: row.after for row in connection.execute(select(cleared))}
            for row in connection.execute(query.order_by(commands.c.position)).mappings():
                record = _record(row)
                left = tuple(s for s in record.command.samples if row["position"] > gone.get(s, 0))
                yield replace(record, command=replace(record.command, samples=left))

    def lost(self) -> list[Record]:
        """Return every command of which nobody knows what became of it, in the order of acceptance."""
        query = select(commands).where(commands.c.reply.is_not(None), commands.c.answer.is_(None))
        return [r for r in self._read(query.order_by(commands.c.position)) if r.is_lost]

    def record(self, command: str) -> Record | None:
        """Return what is known of a command id, or None where it was never accepted."""
        if command in self._open:
            return self._open[command]
        if command not in self._digests:
            return None
        return next(self._read(select(commands).where(commands.c.id == command)), None)

    def records(self, campaign: str) -> list[Record]:
        """Return all commands of a campaign in the order of acceptance."""
        return list(self._read(select(commands).where(commands.c.campaign == campaign).order_by(commands.c.position)))

    def unfinished(self) -> list[Record]:
        """Return every command that is accepted or started, in the order of acceptance."""
        return list(self._open.values())

    def raise_epoch(self, campaign: str, name: str, epoch: int) -> None:
        """Commit that a process took a campaign over; see `CommandLog.raise_epoch`."""
        known = self._campaigns.get(campaign)
        refuse_old_epoch(name, epoch, known.epoch if known else 0)
        fresh = KnownCampaign(campaign, name, epoch)
        if fresh != known:
            with self._writing() as connection:
                self._write_campaign(connection, fresh)
            self._campaigns[campaign] = fresh

    def campaigns(self) -> Iterable[KnownCampaign]:
        """Return every campaign that the log knows, in the order in which they came."""
        return tuple(self._campaigns.values())

    def last_moment(self) -> float | None:
        """Return the last moment of lab time that stands in the log, or None: scaled time goes on from there."""
        columns = (commands.c.accepted, commands.c.started, commands.c.finished)
        with self._engine.connect() as connection:
            found = [
                connection.execute(select(c).where(c.is_not(None)).order_by(c.desc()).limit(1)).scalar()
                for c in columns
            ]
        return max((float(m) for m in found if m is not None), default=None)

    def _write_campaign(self, connection: Connection, known: KnownCampaign) -> None:
        if known.id in self._campaigns:
            change = campaigns.update().where(campaigns.c.id == known.id)
            connection.execute(change.values(name=known.name, epoch=known.epoch))
        else:
            row = {"id": known.id, "position": len(self._campaigns) + 1, "name": known.name, "epoch": known.epoch}
            connection.execute(campaigns.insert(), row)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise LedgerError(
                f"the command log {self.url} cannot be written: {error}; free the disk or mend the database"
            ) from error

    def _read(self, query: Any) -> Iterator[Record]:  # noqa: ANN401  SQLAlchemy's select
        try:
            with self._engine.connect() as connection:
                yield from [_record(row) for row in connection.execute(query).mappings()]
        except SQLAlchemyError as error:
            raise LedgerError(f"the command log {self.url} cannot be read: {error}") from error


def _record(row: Any) -> Record:  # noqa: ANN401  SQLAlchemy's mapping
    command = Command(
        id=row["id"],
        campaign=row["campaign"],
        epoch=row["epoch"],
        experiment=row["experiment"],
        step=row["step"],
        instrument=row["instrument"],
        action=row["action"],
        arguments=json.loads(row["arguments"]),
        samples=tuple(json.loads(row["samples"])),
        occurrence=row["occurrence"],
        destination=row["destination"],
    )
    try:
        reply = None if row["reply"] is None else reply_of(json.loads(row["reply"]))
    except (ProtocolError, ValueError) as error:
        raise LedgerError(
            f"command {command.id}: its reply in the command log cannot be read: {error}; restore the log from a backup"
        ) from error
    return Record(
        command,
        row["digest"],
        row["begins_sample"],
        row["state"],
        row["accepted"],
        row["started"],
        row["finished"],
        reply,
        row["answer"],
    )


def _identity(connection: Connection, url: str) -> str:
    """Return the log's id; one that is new gets its id and schema here.

    Raises:
        LedgerError: another version wrote it.
    """
    found = {row.key: row.value for row in connection.execute(select(meta))}
    if not found:
        found = {"schema": SCHEMA, "id": uuid.uuid4().hex}
        connection.execute(meta.insert(), [{"key": k, "value": v} for k, v in found.items()])
    if found.get("schema") != SCHEMA:
        raise LedgerError(
            f"the command log {url} has schema {found.get('schema')}, this version knows {SCHEMA}; "
            "open it with the version of sdl that wrote it"
        )
    return str(found["id"])


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
