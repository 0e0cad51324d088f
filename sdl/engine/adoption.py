"""Commands that the lab server knows and the ledger does not: the ledger was restored from before they were sent.

What may be done again is taken over with its result. What may not be done again has happened to a sample of this name, or may
have: whether that was the sample of this experiment only a person can say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sdl.ledger import CommandIntended, CommandSettled, Event, ExperimentFinished, QuestionOpened

if TYPE_CHECKING:
    from sdl.driver import Command, Reply
    from sdl.loop import ExperimentRecord, StepPlan


class Strangers:
    """The commands of this campaign that its ledger does not know.

    Args:
        sent: every command that the lab server ever accepted for the campaign and that moved something, in order, each with its
            reply or None.
        known: ids that stand in the ledger.
    """

    def __init__(self, sent: Iterable[tuple[Command, Reply | None]] = (), known: Iterable[str] = ()) -> None:
        here = set(known)
        self._by_step: dict[tuple[str, int], tuple[Command, Reply | None]] = {}
        for command, reply in sent:
            if command.id not in here:
                self._by_step.update({(sample, command.step): (command, reply) for sample in command.samples})
        self._adopted: set[str] = set()

    def __len__(self) -> int:
        return len({command.id for command, _ in self._by_step.values()})

    def adopt(self, step: StepPlan, records: Sequence[ExperimentRecord], questions: int) -> list[Event]:
        """Return what to record instead of sending a step's command; empty where the server knows nothing of the step.

        Args:
            step: which is about to be sent.
            records: the experiments that it would be sent for.
            questions: how many there are so far.
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
            return []  # done with other arguments, and it may be done again: it is done as it should be
        if command.id in self._adopted:
            reason = f"command {command.id} was carried out on its sample together with others, before the ledger was restored"
            return [ExperimentFinished(r.number, "aborted", reason) for r in members]
        self._adopted.add(command.id)
        first, *others = members
        events: list[Event] = [
            CommandIntended(
                command=command.id,
                experiment=first.number,
                step=step.index,
                instrument=command.instrument,
                action=command.action,
                arguments=dict(command.arguments),
                samples=list(command.samples),
                occurrence=command.occurrence,
                digest=command.digest,
                epoch=command.epoch,
                members=[[r.number, step.index] for r in others],
                destination=command.destination,
            )
        ]
        if not is_irreversible:
            return events  # open, as after a crash: its result is asked for
        what = "is still under way" if reply is None else f"ended: {reply.status} {dict(reply.values) or ''}".rstrip()
        error = (
            f"the lab server knows this command of epoch {command.epoch} and the ledger, restored from before it, did not; "
            f"it {what}{'' if reply is None or reply.error is None else f' ({reply.error})'}"
        )
        text = (
            f"Command {command.id} ({command.instrument}.{command.action} {dict(command.arguments)}, irreversible, "
            f"sample {', '.join(command.samples)}): {error}. Did it happen to the sample of experiment {first.number}?"
        )
        settled = CommandSettled(
            command=command.id,
            status="unknown",
            values={},
            artefacts=[],
            error=error,
            started=None,
            finished=None,
            duration=None,
            simulated=reply is not None and reply.simulated,
            how="reconciled",
        )
        return [*events, settled, QuestionOpened(f"Q{questions + 1}", "command", first.number, command.id, text)]


def _digest(step: StepPlan, record: ExperimentRecord, command: Command) -> str:
    """Return the digest that the step's own command would have for an experiment."""
    from sdl.driver import digest_of

    return digest_of(command.instrument, command.action, step.values(record.candidate))
