"""Carry experiments out, one step after another, as `next_step` says."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from sdl.analysis import AnalysisInput
from sdl.analysis.figure_data import MEDIA_TYPE as FIGURE_MEDIA_TYPE
from sdl.analysis.figure_data import NAME as FIGURE_NAME
from sdl.driver import Command, Reply
from sdl.engine import commands, observing, questions
from sdl.engine.adoption import Strangers
from sdl.engine.observing import estimates, observations
from sdl.engine.worker import Analysed, WorkerError, analyse
from sdl.errors import AnalysisError, LedgerError, LimitError
from sdl.ledger import Event, ExperimentFailing, ExperimentFinished, QuestionOpened, StepSkipped
from sdl.loop import Ask, Fail, Finish, Gather, Load, Observe, RunStep, Settle, Skip, failed, next_step
from sdl.loop.policy import may_follow
from sdl.objective import Estimate

if TYPE_CHECKING:
    from sdl.engine.engine import Engine
    from sdl.engine.lateness import LateWatch
    from sdl.engine.leaving import Leaving
    from sdl.loop import CommandState, ExperimentRecord, StepPlan


class Experiments:
    """Carries the experiments of a campaign out.

    Args:
        engine: whose campaign it is.
        strangers: commands that the lab server knows and the journal does not.
        late: told what commands take.
        leaving: knows for which commands the campaign waits.
    """

    def __init__(self, engine: Engine, strangers: Strangers, late: LateWatch, leaving: Leaving) -> None:
        self._engine = engine
        self._strangers = strangers
        self._late = late
        self._leaving = leaving
        self._gathering: dict[int, asyncio.Future[None]] = {}
        self._loads: dict[int, Command] = {}

    @property
    def gathering(self) -> list[int]:
        """The experiments that wait for the command that they share with others."""
        return list(self._gathering)

    async def carry_out(self, number: int) -> None:
        """Take steps until the experiment is over, or until only others can bring it on."""
        while True:
            record = self._engine.state.experiments[number]
            if record.state != "running":
                await self._engine.hooks.round_over(self._engine.view())
                return
            if self._leaving.has_left:
                return
            if (load := self._loads.pop(number, None)) is not None:
                if self._engine.starts_nothing:  # said since the load was formed: nothing of it has left this process
                    self._settled(Reply(load.id, "not_started", error="withdrawn before it was sent"), "reply")
                else:
                    await self._send(load)
                continue
            decision = next_step(self._engine.plan, record, self._engine.state.approved)
            match decision:
                case Fail(reason, ends):
                    self._fail(record, reason, ends=ends)
                case Gather():
                    if self._engine.starts_nothing:
                        return
                    await self._gather(number)
                case Finish(state, reason):
                    self._engine.write([ExperimentFinished(number, state, reason)])
                    self._diary_end(number)
                case Ask():
                    self._open_question(decision, record)
                    return
                case Skip(step, reason):
                    self._engine.write([StepSkipped(number, step.index, reason)])
                    shown = self._engine.plan.number_of(step.index)
                    self._engine.hooks.diary(f"experiment {number}: step {shown} is skipped: {reason}")
                case Observe(step, command):
                    await self._look_at(record, step, command)
                case Settle(command):
                    await self._settle(command)
                case RunStep(step):
                    if self._engine.starts_nothing:
                        return
                    await self._run_step(record, step)

    def _open_question(self, ask: Ask, record: ExperimentRecord) -> None:
        """Ask a person, unless that is asked already: by an experiment that shares the command."""
        if ask.command is not None and ask.about == "command":
            if self._engine.state.question_of(ask.command.intended.command) is not None:
                return
            label = "; ".join(self._engine.label(n) for n in self._engine.state.members(ask.command.intended.command))
        else:
            label = self._engine.label(record.number)
        question = questions.opened(self._engine.state, ask, record.number, label, self._engine.ask_again_after)
        self._engine.write([question])
        self._diary_question(question)

    def _diary_question(self, question: QuestionOpened) -> None:
        words = " | ".join(question.answers)
        self._engine.hooks.diary(
            f"experiment {question.experiment} waits for a person: {question.text} "
            f"(sdl answer {self._engine.name}/{question.question} {words})"
        )

    async def _run_step(self, record: ExperimentRecord, step: StepPlan) -> None:
        if self._adopt(step, [record]):
            return
        command = self._intend(step, [record])
        if command is not None:
            await self._send(command)

    def _adopt(self, step: StepPlan, records: Sequence[ExperimentRecord]) -> bool:
        """Take over what the lab server knows of a step and the ledger does not; returns whether there was anything."""
        events = self._strangers.adopt(step, records)
        if events:
            self._engine.write(events)
            numbers = ", ".join(str(r.number) for r in records)
            self._engine.hooks.diary(
                f"experiment {numbers}: the lab server knows {step.instrument}.{step.action.name} already"
            )
        return bool(events)

    def send_load(self, load: Load) -> None:
        """Record the command that experiments share, and have the first of them carry it out."""
        records = [self._engine.state.experiments[n] for n in load.experiments]
        if self._adopt(load.step, records):
            self.let_go_on(*load.experiments)
            return
        command = self._intend(load.step, records)
        if command is None:
            self.let_go_on(*load.experiments)
            return
        what = f"{load.step.instrument}.{load.step.action.name}"
        labels = ", ".join(str(n) for n in load.experiments)
        several = len(load.experiments) > 1
        self._engine.hooks.diary(
            f"{what} of experiments {labels} together" if several else f"{what} of experiment {labels} alone"
        )
        self._loads[command.experiment] = command
        self.let_go_on(command.experiment)

    async def _gather(self, number: int) -> None:
        """Wait until a load with this experiment is sent by it, or settled by another."""
        self._gathering[number] = self._engine.clock.event()
        self._engine.wake()
        try:
            await self._engine.clock.wait_for(self._gathering[number])
        finally:
            self._gathering.pop(number, None)

    def let_go_on(self, *experiments: int) -> None:
        """Have experiments look again what is to be done; needed where they wait for others."""
        for number in experiments:
            if number in self._gathering:
                self._engine.clock.settle(self._gathering[number])

    def _intend(self, step: StepPlan, records: Sequence[ExperimentRecord]) -> Command | None:
        """Record that a command will be sent; returns None where its arguments are outside limits and the experiments failed."""
        first, *others = records
        try:
            arguments = step.values(first.candidate)
        except LimitError as error:
            for record in records:
                self._fail(record, str(error))
            return None
        command = Command(
            id=str(uuid.uuid4()),
            campaign=self._engine.name,
            epoch=self._engine.state.epoch,
            experiment=first.number,
            step=step.index,
            instrument=step.instrument,
            action=step.action.name,
            arguments=arguments,
            samples=tuple(r.sample for r in records),
            occurrence=step.occurrence,
            destination=step.destination,
        )
        self._engine.write([commands.intended(command, [r.number for r in others])])
        return command

    async def _send(self, command: Command) -> None:
        # Once it waits in its queue it may wait there for what only a person can do; no time passes before that is known.
        actor = self._engine.clock.actor()
        actor.__enter__()
        asyncio.get_running_loop().call_soon(self._look_whether_blocked, actor)
        async with self._leaving.waiting_for(command.id):
            reply = await self._engine.lab.execute(command, begins_sample=self._engine.plan.begins(command.step))
        if not self._leaving.has_left:
            self._settled(reply, "reply")

    async def _settle(self, command: CommandState) -> None:
        """Find out what became of a command that a dead process left open."""
        intended = command.intended
        async with self._leaving.waiting_for(intended.command):
            reply = await self._engine.lab.reconcile(commands.as_sent(self._engine.name, intended))
        if self._leaving.has_left:
            return
        where = f"experiment {intended.experiment}, {intended.instrument}.{intended.action}"
        if reply is None:
            self._engine.write([commands.settled(Reply(intended.command, "not_started"), "reconciled")])
            self._engine.hooks.diary(f"{where}: it never started")
            self.let_go_on(*(m[0] for m in intended.members))
            return
        self._engine.hooks.diary(f"{where}: asked after the interruption, the instrument says: {reply.status}")
        self._settled(reply, "reconciled")

    def _settled(self, reply: Reply, how: Literal["reply", "reconciled"]) -> None:
        """Record a reply and what follows from it, in one transaction."""
        command = self._engine.command(reply.command)
        late = self._late.settled(command, reply)
        events = self.settlement(reply, how)
        self._engine.write([*late, *events])
        if late:
            self._late.said(command)
        if isinstance(events[-1], QuestionOpened):
            self._diary_question(events[-1])
        elif reply.status == "unknown":
            self._engine.lab.answered(self._engine.command(reply.command), "unknown")
        self.let_go_on(*self._engine.state.members(reply.command)[1:])

    def settlement(self, reply: Reply, how: Literal["reply", "reconciled", "answered"]) -> list[Event]:
        """Return the rows of a reply, with the outcomes that its result gives to every experiment that shares it."""
        members = [self._engine.state.experiments[number] for number in self._engine.state.members(reply.command)]
        first = members[0]
        last = next(c for c in first.commands.values() if c.intended.command == reply.command)
        step = self._engine.plan.step(next(i for i, c in first.commands.items() if c is last))
        row = commands.settled(reply, how)
        events: list[Event] = [row]
        if reply.status == "succeeded" and step.analysis is None:
            for record in members:
                if record.sample not in reply.failed_samples:
                    events += observations(record, step, reply.command, estimates(reply.values, step))
        # One who may not send it again asks for all: the answer settles the command for everybody who shares it.
        if reply.status == "unknown" and not all(may_follow(step, r) for r in members):
            ask = Ask(step, "command", replace(last, settled=row), "")
            labels = "; ".join(self._engine.label(r.number) for r in members)
            events.append(questions.opened(self._engine.state, ask, first.number, labels, self._engine.ask_again_after))
        return events

    def _fail(
        self, record: ExperimentRecord, reason: str, *before: Event, ends: Literal["failed", "aborted"] = "failed"
    ) -> None:
        """Record that an experiment failed: that it is over, or that steps follow which clear up."""
        match failed(self._engine.plan, record, reason):
            case Fail():
                self._engine.write([*before, ExperimentFailing(record.number, reason, ends)])
                self._engine.hooks.diary(f"experiment {record.number} failed: {reason}; clearing up")
            case Finish():
                self._engine.write([*before, ExperimentFinished(record.number, ends, reason)])
                self._diary_end(record.number)

    async def _look_at(self, record: ExperimentRecord, step: StepPlan, command: CommandState) -> None:
        settled = command.settled
        if settled is None:
            return
        if step.analysis is None:
            self._engine.write(observations(record, step, settled.command, estimates(settled.values, step)))
            return
        inputs = tuple(
            AnalysisInput(a["name"], a["media_type"], self._engine.ledger.artefacts.get(a["sha256"]))
            for a in settled.artefacts
        )
        raw = (record.number, step, settled.command, settled.artefacts)
        try:
            analysed: Analysed = await self._engine.worker.call(analyse, step.analysis, inputs)
            found = observing.estimates_of(analysed, step)
            # On disk before the row that names it; a figure that a crash leaves without its row does no harm.
            figure = (
                None
                if analysed.figure is None
                else self._engine.ledger.artefacts.put(FIGURE_NAME, analysed.figure, FIGURE_MEDIA_TYPE)
            )
            event = observing.succeeded(*raw, analysed, figure)
            given = observations(record, step, settled.command, found, analysed=analysed, analysis=event.analysis)
        except (LedgerError, WorkerError):
            raise
        except Exception as error:  # noqa: BLE001  odd raw data fail their experiment, not the campaign, now and at every resume
            refused = isinstance(error, AnalysisError)
            said = str(error) if refused else f"{type(error).__name__}: {error}"
            nothing = observing.without_values(*raw, "refused" if refused else "failed", said)
            self._fail(record, f"analysis {step.analysis}: {said}", nothing)
            return
        self._engine.write([event, *given])
        for flag in analysed.flags:
            self._engine.hooks.diary(f"experiment {record.number}, {step.analysis}: flagged: {flag}")

    def _look_whether_blocked(self, actor: AbstractContextManager[None]) -> None:
        try:
            if self._engine.lab.blocked():
                self._engine.wake()
        finally:
            actor.__exit__(None, None, None)

    def _diary_end(self, number: int) -> None:
        record = self._engine.state.experiments[number]
        if record.state == "done":
            values = ", ".join(
                _said(n, e, self._engine.checked.campaign.unit_of(n)) for n, e in record.outcomes.items()
            )
            self._engine.hooks.diary(f"experiment {number} done: {values}")
        else:
            self._engine.hooks.diary(f"experiment {number} {record.state}: {record.reason}")


def _said(name: str, estimate: Estimate, unit: str) -> str:
    spread = "" if estimate.uncertainty is None else f" ± {estimate.uncertainty:.2g}"
    return f"{name} {estimate.value:.4g}{spread}{'' if unit == 'dimensionless' else ' ' + unit}"
