"""Commands that the lab server knows and the ledger does not: the ledger was restored from before they were sent.

What may be done again is taken over with its result. What may not be done again has happened to a sample of this name, or may
have: whether that was the sample of this experiment only a person can say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sdl.driver import Command, Reply, digest_of
from sdl.engine.commands import intended, settled
from sdl.ledger import CommandIntended, EpochRaised, Event, ExperimentFinished

if TYPE_CHECKING:
    from sdl.loop import ExperimentRecord, StepPlan


class Strangers:
    """The commands of this campaign that its ledger does not know.

    Args:
        sent: every command that the lab server ever accepted for the campaign and that moved something, in order, each with its
            reply or None.
        known: ids that stand in the ledger.
        under_way: ids of those that have begun and not ended.
        let_go: told of a command of which nobody knows what became of it and that is of no use to anybody: nobody will be asked
            about it, so its instrument must not be held for it.
    """

    def __init__(
        self,
        sent: Iterable[tuple[Command, Reply | None]] = (),
        known: Iterable[str] = (),
        under_way: Collection[str] = (),
        let_go: Callable[[Command], None] = lambda _: None,
    ) -> None:
        here = set(known)
        self._by_step: dict[tuple[str, int], tuple[Command, Reply | None]] = {}
        for command, reply in sent:
            if command.id not in here:
                self._by_step.update({(sample, command.step): (command, reply) for sample in command.samples})
        self._adopted: set[str] = set()
        self._under_way = under_way
        self._let_go = let_go

    def __len__(self) -> int:
        return len({command.id for command, _ in self._by_step.values()})

    def adopt(self, step: StepPlan, records: Sequence[ExperimentRecord]) -> list[Event]:
        """Return what to record instead of sending a step's command; empty where the server knows nothing of the step.

        What may not be done again is recorded as unknown; the loop then asks a person, as about any other such command.

        Args:
            step: which is about to be sent.
            records: the experiments that it would be sent for.
        """
        found = next((f for r in records if (f := self._by_step.get((r.sample, step.index))) is not None), None)
        if found is None:
            return []
        command, reply = found
        members = [r for r in records if r.sample in command.samples]
        for record in members:
            del self._by_step[record.sample, step.index]
        is_irreversible = step.action.effect == "irreversible"
        if not is_irreversible and command.digest != _digest(step, members[0], command):
            if reply is not None and reply.status == "unknown":
                self._let_go(command)
            return []  # done with other arguments, and it may be done again: it is done as it should be
        if command.id in self._adopted:
            reason = f"command {command.id} was carried out on its sample together with others, before the ledger was restored"
            return [ExperimentFinished(r.number, "aborted", reason) for r in members]
        self._adopted.add(command.id)
        first, *others = members
        as_here = replace(command, experiment=first.number, step=step.index)
        events: list[Event] = [intended(as_here, [r.number for r in others])]
        if not is_irreversible or (reply is None and command.id in self._under_way):
            return events  # open, as after a crash: its result is asked for, and then a person where it is disputed
        what = (
            "waits for its instrument"
            if reply is None
            else f"ended: {reply.status} {dict(reply.values) or ''}".rstrip()
        )
        error = f"{dispute(command)}; it {what}{'' if reply is None or reply.error is None else f' ({reply.error})'}"
        nobody_knows = Reply(command.id, "unknown", error=error, simulated=reply is not None and reply.simulated)
        return [*events, settled(nobody_knows, "reconciled")]


def dispute(command: Command) -> str:
    """Return why a person must say whether a command that may not be done again was this campaign's."""
    return (
        f"the lab server knows this command of epoch {command.epoch} ({dict(command.arguments)}, sample "
        f"{', '.join(command.samples)}) and the ledger, restored from before it, did not"
    )


def adopted(rows: Iterable[Event]) -> set[str]:
    """Return the ids of all commands in a journal that an older process sent than the one that recorded them."""
    epoch, found = 0, set()
    for event in rows:
        if isinstance(event, EpochRaised):
            epoch = event.epoch
        elif isinstance(event, CommandIntended) and event.epoch < epoch:
            found.add(event.command)
    return found


def _digest(step: StepPlan, record: ExperimentRecord, command: Command) -> str:
    """Return the digest that the step's own command would have for an experiment."""
    return digest_of(command.instrument, command.action, step.values(record.candidate))
