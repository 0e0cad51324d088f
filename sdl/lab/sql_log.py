"""The command log of a lab server, in a database: what was accepted, started and finished survives every crash.

One process writes (see `sdl.lab.log_database`); so epochs, ids of commands, and all that is not finished are held in memory
too, and what a command needs while the database is away is known.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, select
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
from sdl.lab.log_database import log_database, where_is, words_of
from sdl.lab.log_tables import SCHEMA, campaigns, cleared, commands, meta
from sdl.lab.stop import Stop, stop_of
from sdl.lab.wire import reply_json, reply_of, to_text

if TYPE_CHECKING:
    from sqlalchemy import URL

_STOP = "stop"
"""The key under which it is kept that a person stopped the lab."""


class SqlLog:
    """A command log in a database.

    Args:
        url: such as `sqlite:////home/lab/commands.db` or `postgresql+psycopg://user@host/database`.
        lab: name of the lab: each has a log of its own in a PostgreSQL.

    Raises:
        LedgerError: the database cannot be opened, or was written by another version.
        NameInUseError: another server writes this log.

    Attributes:
        id: of this log, made with it: what a campaign sent to it can be asked of no other.
        where: what it is called in messages, without a password.
        stop: that a person stopped the lab, or None.
    """

    def __init__(self, url: str | URL, lab: str = "lab") -> None:
        self._doubtful: set[str] = set()
        self.where = where_is(url, lab)
        try:
            self._database = log_database(url, lab)
        except SQLAlchemyError as error:
            raise LedgerError(
                f"the command log {self.where} cannot be opened: {words_of(error)}; mend it, or restore it from a backup"
            ) from error
        try:
            with self._database.writing() as connection:
                self.id = _identity(connection, self.where)
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
            self._database.close()
            raise LedgerError(
                f"the command log {self.where} cannot be opened: {words_of(error)}; restore it from a backup"
            ) from error
        except BaseException:
            self._database.close()
            raise

    @property
    def engine(self) -> Engine:
        """Connections that read; of a file, those that write too."""
        return self._database.engine

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def accept(self, command: Command, begins_sample: bool, moment: float) -> None:
        """Commit that a command was accepted, with its campaign's epoch; see `CommandLog.accept`."""
        digest = digest_of_command(command)
        known = self._campaigns.get(command.campaign)
        refuse_old(command, known.epoch if known else 0)
        refuse_repeated(command, digest, self._digests.get(command.id))
        name = known.name if known else command.campaign
        with self._inserting(command, begins_sample, digest, {"state": "accepted", "accepted": moment}) as connection:
            if known is None or known.epoch != command.epoch:
                self._write_campaign(connection, KnownCampaign(command.campaign, name, command.epoch))
        self._campaigns[command.campaign] = KnownCampaign(command.campaign, name, command.epoch)
        self._digests[command.id] = digest
        self._open[command.id] = Record(command, digest, begins_sample, "accepted", moment)

    def refused(self, command: Command, begins_sample: bool, reply: Reply, moment: float) -> None:
        """Commit that a command which was never accepted is not started; see `CommandLog.refused`."""
        digest = digest_of_command(command)
        refuse_repeated(command, digest, self._digests.get(command.id))
        end = {"state": "finished", "accepted": moment, "finished": moment, "reply": to_text(reply_json(reply))}
        with self._inserting(command, begins_sample, digest, end):
            pass
        self._digests[command.id] = digest

    @contextmanager
    def _inserting(
        self, command: Command, begins_sample: bool, digest: str, rest: dict[str, Any]
    ) -> Iterator[Connection]:
        """Write the row of a command in a transaction to which more can be added."""
        self._position += 1  # never used again: a commit of which nobody knows whether it took place may have it
        row = {
            "id": command.id,
            "position": self._position,
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
            **rest,
        }
        try:
            with self._writing() as connection:
                if command.id in self._doubtful:
                    connection.execute(commands.delete().where(commands.c.id == command.id))
                connection.execute(commands.insert(), row)
                yield connection
        except LedgerError:
            self._doubtful.add(command.id)  # a server that was lost in the middle may have committed it
            raise
        self._doubtful.discard(command.id)

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
        with self._reading() as connection:
            gone = {row.sample: row.after for row in connection.execute(select(cleared))}
            for row in connection.execute(query.order_by(commands.c.position)).mappings():
                record = _record(row)
                left = tuple(s for s in record.command.samples if row["position"] > gone.get(s, 0))
                yield replace(record, command=replace(record.command, samples=left))

    def lost(self) -> list[Record]:
        """Return every command of which nobody knows what became of it, in the order of acceptance."""
        query = select(commands).where(commands.c.reply.is_not(None), commands.c.answer.is_(None))
        return [r for r in self._read(query.order_by(commands.c.position)) if r.is_lost]

    def knows(self, command: str) -> bool:
        """Tell whether a command id was ever accepted or refused; asks no database."""
        return command in self._digests

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
        with self._reading() as connection:
            found = [
                connection.execute(select(c).where(c.is_not(None)).order_by(c.desc()).limit(1)).scalar()
                for c in columns
            ]
        return max((float(m) for m in found if m is not None), default=None)

    def _write_campaign(self, connection: Connection, known: KnownCampaign) -> None:
        place = list(self._campaigns).index(known.id) if known.id in self._campaigns else len(self._campaigns)
        # Written anew, since a commit of which nobody knows whether it took place may have written it already.
        connection.execute(campaigns.delete().where(campaigns.c.id == known.id))
        row = {"id": known.id, "position": place + 1, "name": known.name, "epoch": known.epoch}
        connection.execute(campaigns.insert(), row)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._database.writing() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise LedgerError(
                f"the command log {self.where} cannot be written: {words_of(error)}; free the disk or mend the database"
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._database.engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise LedgerError(f"the command log {self.where} cannot be read: {words_of(error)}") from error

    def _read(self, query: Any) -> Iterator[Record]:  # noqa: ANN401  SQLAlchemy's select
        with self._reading() as connection:
            yield from [_record(row) for row in connection.execute(query).mappings()]


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


def _identity(connection: Connection, where: str) -> str:
    """Return the log's id; one that is new gets its id and schema here.

    Raises:
        LedgerError: another version wrote it.
    """
    found = {row.key: row.value for row in connection.execute(select(meta))}
    if "id" not in found and "schema" not in found:
        found = {"schema": SCHEMA, "id": uuid.uuid4().hex}
        connection.execute(meta.insert(), [{"key": k, "value": v} for k, v in found.items()])
    if found.get("schema") != SCHEMA:
        raise LedgerError(
            f"the command log {where} has schema {found.get('schema')}, this version knows {SCHEMA}; "
            "open it with the version of sdl that wrote it"
        )
    return str(found["id"])
