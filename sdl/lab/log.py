"""The command log: what a lab accepted, started and finished, and under which epoch of which campaign.

An embedded lab keeps it in memory (`MemoryLog`): its campaign's ledger knows what was sent, and both die together. A lab
server keeps it on disk (`sdl.lab.sql_log.SqlLog`), so that it can say after a crash what became of a command.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from sdl.errors import ProtocolError

if TYPE_CHECKING:
    from sdl.driver import Command, Reply
    from sdl.lab.stop import Stop

State = Literal["accepted", "started", "finished"]


@dataclass(frozen=True)
class Record:
    """A command as the log tells it.

    Attributes:
        command: what was asked.
        digest: SHA-256 over instrument, action and arguments, as it was accepted.
        begins_sample: whether it is the first step of a sample.
        state: `accepted` (nothing moved yet), `started` (the driver was called) or `finished`.
        accepted: moment of lab time.
        started: moment, or None.
        finished: moment at which the reply was committed, or None.
        reply: once finished, else None.
        answer: where the reply is that nobody knows, the status that a person told, or None.
    """

    command: Command
    digest: str
    begins_sample: bool
    state: State
    accepted: float
    started: float | None = None
    finished: float | None = None
    reply: Reply | None = None
    answer: str | None = None

    @property
    def is_lost(self) -> bool:
        """Whether nobody knows what became of it."""
        return self.reply is not None and self.reply.status == "unknown" and self.answer is None

    @property
    def status(self) -> str | None:
        """What became of it, as the instrument or a person told; None where it is not finished."""
        return self.answer or (None if self.reply is None else self.reply.status)


@dataclass(frozen=True)
class KnownCampaign:
    """A campaign as the log knows it: its id (unique over homes), its name, and its highest epoch."""

    id: str
    name: str
    epoch: int


class CommandLog(Protocol):
    """What a lab writes down; durable, where the log is, before each method returns."""

    def accept(self, command: Command, begins_sample: bool, moment: float) -> None:
        """Write that a command was accepted, and its campaign's epoch with it.

        Raises:
            ProtocolError: its id was accepted before, or its epoch is old; nothing was written.
            LedgerError: the log cannot be written.
        """

    def refused(self, command: Command, begins_sample: bool, reply: Reply, moment: float) -> None:
        """Write that a command which was never accepted is not started, for good.

        Raises:
            ProtocolError: its id was accepted before.
        """

    def started(self, command: str, moment: float) -> None:
        """Write that the driver is about to be called."""

    def finished(self, reply: Reply, moment: float) -> None:
        """Write the reply to a command."""

    def answered(self, command: str, status: str) -> None:
        """Write what a person told of a command of which nobody knew."""

    def knows(self, command: str) -> bool:
        """Tell whether a command id was ever accepted or refused; from memory, also while the log cannot be read."""

    def record(self, command: str) -> Record | None:
        """Return what is known of a command id, or None where it was never accepted."""

    def records(self, campaign: str) -> list[Record]:
        """Return all commands of a campaign in the order of acceptance."""

    def unfinished(self) -> list[Record]:
        """Return every command that is accepted or started, in the order of acceptance."""

    def raise_epoch(self, campaign: str, name: str, epoch: int) -> None:
        """Write that a process took a campaign over: commands of older epochs are refused from here on.

        Raises:
            ProtocolError: the epoch is older than one that is known.
        """

    def campaigns(self) -> Iterable[KnownCampaign]:
        """Return every campaign that the log knows, in the order in which they came."""


class MemoryLog:
    """A command log that dies with its process.

    Attributes:
        stop: that a person stopped the lab, or None.
    """

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self._records: dict[str, Record] = {}
        self._campaigns: dict[str, KnownCampaign] = {}

    def accept(self, command: Command, begins_sample: bool, moment: float) -> None:
        """Note that a command was accepted; see `CommandLog.accept`."""
        digest = digest_of_command(command)
        known = self._campaigns.get(command.campaign)
        refuse_old(command, known.epoch if known else 0)
        before = self._records.get(command.id)
        refuse_repeated(command, digest, None if before is None else before.digest)
        self._campaigns[command.campaign] = KnownCampaign(
            command.campaign, known.name if known else command.campaign, command.epoch
        )
        self._records[command.id] = Record(command, digest, begins_sample, "accepted", moment)

    def refused(self, command: Command, begins_sample: bool, reply: Reply, moment: float) -> None:
        """Note that a command which was never accepted is not started; see `CommandLog.refused`."""
        digest = digest_of_command(command)
        before = self._records.get(command.id)
        refuse_repeated(command, digest, None if before is None else before.digest)
        self._records[command.id] = Record(
            command, digest, begins_sample, "finished", moment, finished=moment, reply=reply
        )

    def started(self, command: str, moment: float) -> None:
        """Note that the driver is about to be called."""
        self._records[command] = replace(self._records[command], state="started", started=moment)

    def finished(self, reply: Reply, moment: float) -> None:
        """Note the reply to a command."""
        before = self._records[reply.command]
        self._records[reply.command] = replace(before, state="finished", finished=moment, reply=reply)

    def answered(self, command: str, status: str) -> None:
        """Note what a person told of a command of which nobody knew."""
        self._records[command] = replace(self._records[command], answer=status)

    def knows(self, command: str) -> bool:
        """Tell whether a command id was ever accepted or refused."""
        return command in self._records

    def record(self, command: str) -> Record | None:
        """Return what is known of a command id, or None."""
        return self._records.get(command)

    def records(self, campaign: str) -> list[Record]:
        """Return all commands of a campaign in the order of acceptance."""
        return [r for r in self._records.values() if r.command.campaign == campaign]

    def unfinished(self) -> list[Record]:
        """Return every command that is accepted or started, in the order of acceptance."""
        return [r for r in self._records.values() if r.state != "finished"]

    def raise_epoch(self, campaign: str, name: str, epoch: int) -> None:
        """Note that a process took a campaign over; see `CommandLog.raise_epoch`."""
        known = self._campaigns.get(campaign)
        refuse_old_epoch(name, epoch, known.epoch if known else 0)
        self._campaigns[campaign] = KnownCampaign(campaign, name, epoch)

    def campaigns(self) -> Iterable[KnownCampaign]:
        """Return every campaign that the log knows."""
        return tuple(self._campaigns.values())

    def set_stop(self, stop: Stop | None) -> None:
        """Note that a person stopped the lab, or released it."""
        self.stop = stop


def digest_of_command(command: Command) -> str:
    """Return a command's digest.

    Raises:
        ProtocolError: its arguments are no JSON.
    """
    try:
        return command.digest
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"command {command.id}: its arguments are no JSON: {error}") from error


def refuse_old(command: Command, epoch: int) -> None:
    """Refuse a command of a process from which another one took the campaign over.

    Raises:
        ProtocolError: its epoch is below the known one.
    """
    if command.epoch < epoch:
        raise ProtocolError(
            f"command {command.id} comes from epoch {command.epoch} of '{command.campaign}', which process "
            f"{epoch} has taken over; nothing was moved"
        )


def refuse_old_epoch(name: str, epoch: int, known: int) -> None:
    """Refuse a process whose epoch another one has passed.

    Raises:
        ProtocolError: it has.
    """
    if epoch < known:
        raise ProtocolError(
            f"campaign '{name}' asks with epoch {epoch}, but epoch {known} has taken it over; nothing was moved"
        )


def refuse_repeated(command: Command, digest: str, known: str | None) -> None:
    """Refuse an id that was accepted before.

    Raises:
        ProtocolError: `known`, the digest with which it was accepted, is not None.
    """
    if known is not None:
        raise ProtocolError(
            f"command {command.id} was accepted before{'' if known == digest else ' with other arguments'}; nothing was moved"
        )
