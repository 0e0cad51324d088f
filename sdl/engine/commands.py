"""Between commands and replies, as instruments know them, and the rows that record them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sdl.clock import utc_text
from sdl.driver import Command
from sdl.ledger import CommandIntended, CommandSettled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdl.driver import Reply


def intended(command: Command, others: Iterable[int]) -> CommandIntended:
    """Return the row that says that a command will be sent.

    Args:
        command: which.
        others: the experiments that share it with the first, in the order of their samples.
    """
    return CommandIntended(
        command=command.id,
        experiment=command.experiment,
        step=command.step,
        instrument=command.instrument,
        action=command.action,
        arguments=dict(command.arguments),
        samples=list(command.samples),
        occurrence=command.occurrence,
        digest=command.digest,
        epoch=command.epoch,
        members=[[number, command.step] for number in others],
        destination=command.destination,
    )


def as_sent(campaign: str, row: CommandIntended) -> Command:
    """Return a command as it was sent."""
    return Command(
        id=row.command,
        campaign=campaign,
        epoch=row.epoch,
        experiment=row.experiment,
        step=row.step,
        instrument=row.instrument,
        action=row.action,
        arguments=row.arguments,
        samples=tuple(row.samples),
        occurrence=row.occurrence,
        destination=row.destination,
    )


def settled(reply: Reply, how: Literal["reply", "reconciled", "answered"]) -> CommandSettled:
    """Return the row that says what became of a command."""
    return CommandSettled(
        command=reply.command,
        status=reply.status,
        values=dict(reply.values),
        artefacts=[
            {"name": a.name, "sha256": a.sha256, "size": a.size, "media_type": a.media_type} for a in reply.artefacts
        ],
        error=reply.error,
        started=None if reply.started is None else utc_text(reply.started),
        finished=None if reply.finished is None else utc_text(reply.finished),
        duration=reply.duration,
        simulated=reply.simulated,
        how=how,
        failed_samples=dict(reply.failed_samples),
        interlock=reply.interlock,
        refused=reply.refused,
    )
