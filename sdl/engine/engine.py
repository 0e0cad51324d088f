"""The engine: carries out what `decide` returns. The one executor; Prefect and the terminal only hang hooks on it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from sdl.analysis import AnalysisInput
from sdl.analysis.figure_data import MEDIA_TYPE as FIGURE_MEDIA_TYPE
from sdl.analysis.figure_data import NAME as FIGURE_NAME
from sdl.campaign import label_of
from sdl.driver import Command, Reply
from sdl.driver.context import nobody_to_ask
from sdl.engine import commands, observing, questions
from sdl.engine.adoption import Strangers
from sdl.engine.alarm import Alarm
from sdl.engine.hooks import GuardedHooks, Hooks, View
from sdl.engine.inbox import InboxWatch
from sdl.engine.lateness import LateWatch
from sdl.engine.proposing import ask_planner
from sdl.engine.safety import Safety
from sdl.engine.standstill import is_kept, stuck
from sdl.engine.worker import Analysed, Worker, WorkerError, analyse
from sdl.errors import AnalysisError, LedgerError, LimitError, SdlError
from sdl.ledger import (
    CampaignEnded,
    CampaignWaiting,
    Event,
    ExperimentFailing,
    ExperimentFinished,
    ExperimentStarted,
    QuestionOpened,
    RoundOpened,
    StepSkipped,
)
from sdl.loop import (
    Ask,
    CampaignState,
    Continue,
    End,
    Fail,
    Finish,
    Gather,
    Load,
    Observe,
    Propose,
    RunStep,
    Settle,
    Skip,
    Start,
    WakeAt,
    decide,
    failed,
    next_step,
)
from sdl.loop.policy import may_follow
from sdl.objective import Estimate

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.driver import Form
    from sdl.lab import Lab
    from sdl.ledger import Ledger, Row
    from sdl.loop import CommandState, ExperimentRecord, StepPlan
    from sdl.preflight import Checked

_LAST = (2**62, 0)
"""The campaign's own key in virtual time: of all that happens at one instant, it decides last."""

EndState = Literal["done", "stopped", "waiting", "failed"]


class Engine:
    """Runs one campaign until nothing is left to do, or until it is told to stop.

    Args:
        checked: the campaign, as pre-flight left it.
        ledger: where everything is written before it counts.
        lab: an open lab.
        clock: the lab's time.
        worker: where planner and analyses run.
        state: the journal so far.
        hooks: who watches.
        strangers: commands that the lab server knows and the journal does not.

    Attributes:
        stays: whether a campaign that only a person can bring on stays and waits for the answer.
        ask_again_after: seconds on the wall after which a question that nobody answered is asked again.
    """

    def __init__(
        self,
        checked: Checked,
        ledger: Ledger,
        lab: Lab,
        clock: Clock,
        worker: Worker,
        state: CampaignState,
        hooks: Hooks | None = None,
        strangers: Strangers | None = None,
    ) -> None:
        self.checked = checked
        self.name = checked.campaign.name
        self.plan = checked.plan
        self.ledger = ledger
        self.lab = lab
        self.clock = clock
        self.worker = worker
        self.state = state
        self.hooks = GuardedHooks(hooks or Hooks())
        self._strangers = Strangers() if strangers is None else strangers
        self._units = {n: p.unit for n, p in checked.campaign.space.parameters.items()}
        self._live: dict[int, asyncio.Task[None]] = {}
        self._shares = any(s.together is not None for s in self.plan.steps)
        self._gathering: dict[int, asyncio.Future[None]] = {}
        self._loads: dict[int, Command] = {}
        self._alarm = Alarm(clock, _LAST, self._wake)
        self._changed: asyncio.Future[None] | None = None
        self.stays = False
        self.ask_again_after = questions.ASK_AGAIN_AFTER
        self._inbox = InboxWatch(self)
        self._late = LateWatch(self)
        self._stopping: str | None = None
        self._ends_as: Literal["stopped", "waiting"] = "stopped"
        self._safety = Safety(lab, clock, self.hooks.diary)
        self._failure: BaseException | None = None
        self._unwritten: LedgerError | None = None
        self._activity = ""
        self._asking = asyncio.Lock()

    # --- from outside ------------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Return what a watcher sees."""
        return View(self.name, self.plan, self.state, self.lab.busy(), self.clock.now(), self._activity)

    def stop(self, reason: str) -> None:
        """Start no new step; running ones finish, and the campaign can go on later."""
        if self._stopping is None:
            self._stopping = reason
            self.lab.withdraw()
            self._let_go_on(*self._gathering)
            self.hooks.diary(f"stopping: {reason}; running steps finish")
        self._wake()

    async def abort(self, reason: str = "aborted") -> None:
        """Abort running commands and bring every instrument into its safe state, confirmed by read-back."""
        self.begin_abort(reason)
        await self._safety.done()

    def begin_abort(self, reason: str = "aborted") -> None:
        """Begin to abort; the campaign does not end before it is done."""
        if not self._safety.is_begun:
            self.stop(reason)
            self._safety.begin()

    @property
    def is_stopping(self) -> bool:
        """Whether no new step is started, so that the campaign ends."""
        return self._stopping is not None

    @property
    def is_aborting(self) -> bool:
        """Whether everything is being aborted and made safe."""
        return self._safety.is_begun

    def hold(self) -> None:
        """Send back what waits for an instrument: the campaign is paused."""
        self.lab.withdraw()
        self._let_go_on(*self._gathering)

    def let_go_on(self, number: int) -> None:
        """Have an experiment look again what is to be done; needed where it waits for others."""
        self._let_go_on(number)

    def wake(self) -> None:
        """Have the loop decide again."""
        self._wake()

    def record(self, events: Sequence[Event]) -> list[Row]:
        """Write rows in one transaction, and tell who watches.

        Raises:
            LedgerError: they cannot be written.
        """
        rows = self.ledger.append(self.name, self.clock.now(), events)
        for row in rows:
            self.state.apply(row)
        self.hooks.recorded(rows, self.view())
        if self._shares:
            self._wake()  # who may still join a load, and whether its instrument is free, changes with every row
        return rows

    def command(self, command: str) -> Command:
        """Return a command as it was sent."""
        number = self.state.members(command)[0]
        known = self.state.experiments[number].commands.values()
        return commands.as_sent(self.name, next(c.intended for c in known if c.intended.command == command))

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> tuple[EndState, str]:
        """Run until the end; returns how and why it ended.

        Raises:
            SdlError: the ledger cannot be written, or a planner failed; what was recorded stays.
        """
        with self.clock.actor():
            await self.hooks.started(self.view())
            self.lab.put_questions_to(self._ask)
            self.lab.when_started(self._late.started)
            # Before anything is sent: what a dead process left open may still occupy its instrument.
            held = [*self.state.open_commands(), *self._kept()]
            self.lab.reserve((c.intended.command, c.intended.instrument) for c in held)
            self.lab.locate({e.sample: e.held for e in self.state.experiments.values() if e.held})
            try:
                self._inbox.begin()
                end = await self._loop()
            except Exception as error:
                await self._settle_tasks()
                self._try_to_end("failed", str(error))
                raise
            finally:
                self._inbox.end()
                self._late.end()
                self._alarm.set(None)
                # Before anything is closed: an instrument that is being made safe is still needed.
                await self._safety.done_by_the_clock()
            self._record([CampaignEnded(*end)])
            await self.hooks.ended(self.view())
            return end

    async def _loop(self) -> tuple[EndState, str]:
        while True:
            self._changed = self.clock.event()
            if self._failure is not None:
                raise self._failure
            acted, end = False, None
            if self._stopping is None:
                alarm: float | None = None
                for decision in decide(self.plan, self.state, self.clock.now(), self._live.keys()):
                    if isinstance(decision, End):
                        end = decision
                        break
                    if isinstance(decision, WakeAt):
                        alarm = min(decision.moment, alarm or decision.moment)
                        continue
                    await self._carry_out(decision)
                    acted = True
                    if self._stopping is not None:
                        break
                self._alarm.set(alarm)
            elif not self._live:
                return self._ends_as, self._stopping
            if end is not None and end.state != "waiting":
                return end.state, end.reason
            if not acted:
                await self._rest(self._changed, end.reason if end is not None else self._blocked())
            # Everything else that happens at this instant comes first, so that the next decision knows of all of it.
            await self.clock.sleep_until(self.clock.now(), _LAST)

    async def _rest(self, changed: asyncio.Future[None], waits_for: str | None) -> None:
        """Wait until something has changed; `waits_for` says what only a person can do, or is None."""
        paused = self.state.standing == "paused" and self._stopping is None
        if paused and not self._live:
            await changed  # by real time: virtual time stands still while a person is asked
        elif waits_for is None or paused or self._stopping is not None:
            await self.clock.wait_for(changed)
        elif self._inbox.look():
            return
        elif not self.stays or self.ledger.home is None:
            self._stopping, self._ends_as = waits_for, "waiting"
            self.hold()
        else:
            if self.state.standing != "waiting":
                self._record([CampaignWaiting(waits_for)])
                self.hooks.diary(f"waiting: {waits_for}")
            await changed

    def _blocked(self) -> str | None:
        """Say why nothing will ever happen again by itself, though experiments are under way; or None.

        Each of them waits for room that nobody will make, or for an instrument of which nobody knows what it did.
        """
        held = stuck(self.plan, self.state, self.lab, self._live)
        if not held or self._alarm.is_set or len(held) + len(self._gathering) < len(self._live):
            return None
        return f"no sample can move: {'; '.join(dict.fromkeys(held))}; a person must see to it"

    def _look_whether_blocked(self, actor: AbstractContextManager[None]) -> None:
        try:
            if stuck(self.plan, self.state, self.lab, self._live):
                self._wake()
        finally:
            actor.__exit__(None, None, None)

    async def _carry_out(self, decision: Propose | Start | Continue | Load) -> None:
        match decision:
            case Propose():
                await self._propose(decision)
            case Load():
                self._send_load(decision)
            case Start(experiment):
                sample = f"{self.name}-{experiment:04d}"
                self._record([ExperimentStarted(experiment, self.plan.source, sample)])
                self.hooks.diary(f"experiment {experiment} begins: {self._label(experiment)}")
                self._spawn(experiment)
            case Continue(experiment):
                self.hooks.diary(f"experiment {experiment} goes on")
                self._spawn(experiment)

    async def _propose(self, decision: Propose) -> None:
        if not decision.is_open:
            self._record([RoundOpened(decision.round, decision.count, decision.seed)])
        self._activity = f"round {decision.round}: asking {self.checked.campaign.planner.type}"
        opened = self.state.rounds[-1].seq
        seq = self.ledger.head(self.name)[0]
        known = self.state if seq == opened else CampaignState(self.ledger.rows(self.name, opened))
        try:
            event = await ask_planner(self.worker, self.checked, known.history(), decision, self._next_number)
        finally:
            self._activity = ""
        self._record([event])
        await self.hooks.round_over(self.view())

    def _next_number(self) -> int:
        return max(self.state.experiments, default=0) + 1

    def _spawn(self, number: int) -> None:
        # Counted as an actor from this very moment: what Prefect does before the experiment begins must not let time pass.
        actor = self.clock.actor()
        actor.__enter__()

        async def carry_out() -> None:
            try:
                label = self._label(number)
                await self.hooks.experiment(number, label, lambda: self._experiment(number))
            except BaseException as error:  # noqa: BLE001  kept and raised by the loop
                if self._failure is None:
                    self._failure = error
            finally:
                del self._live[number]
                self._wake()
                actor.__exit__(None, None, None)

        self._live[number] = asyncio.create_task(carry_out(), name=f"experiment-{number}")

    def _wake(self) -> None:
        if self._changed is not None:
            self.clock.settle(self._changed)

    async def _settle_tasks(self) -> None:
        """Let experiments under way come to the end of their step, where they can."""
        self.stop("an error")
        while self._live:
            self._changed = self.clock.event()
            await self.clock.wait_for(self._changed)

    def _try_to_end(self, state: EndState, reason: str) -> None:
        try:
            self._record([CampaignEnded(state, reason)])
        except SdlError as error:
            self.hooks.diary(f"the end could not be recorded: {error}")

    # --- one experiment ----------------------------------------------------------------------------------------------

    async def _experiment(self, number: int) -> None:
        while True:
            record = self.state.experiments[number]
            if record.state != "running":
                await self.hooks.round_over(self.view())
                return
            if (load := self._loads.pop(number, None)) is not None:
                if self._starts_nothing:  # said since the load was formed: nothing of it has left this process
                    self._settled(Reply(load.id, "not_started", error="withdrawn before it was sent"), "reply")
                else:
                    await self._send(load)
                continue
            decision = next_step(self.plan, record, self.state.approved)
            match decision:
                case Fail(reason, ends):
                    self._fail(record, reason, ends=ends)
                case Gather():
                    if self._starts_nothing:
                        return
                    await self._gather(number)
                case Finish(state, reason):
                    self._record([ExperimentFinished(number, state, reason)])
                    self._diary_end(number)
                case Ask():
                    self._open_question(decision, record)
                    return
                case Skip(step, reason):
                    self._record([StepSkipped(number, step.index, reason)])
                    self.hooks.diary(f"experiment {number}: step {step.index + 1} is skipped: {reason}")
                case Observe(step, command):
                    await self._observe(record, step, command)
                case Settle(command):
                    await self._settle(command)
                case RunStep(step):
                    if self._starts_nothing:
                        return
                    await self._run_step(record, step)

    @property
    def _starts_nothing(self) -> bool:
        return self._stopping is not None or self._failure is not None or self.state.standing == "paused"

    def _open_question(self, ask: Ask, record: ExperimentRecord) -> None:
        """Ask a person, unless that is asked already: by an experiment that shares the command."""
        if ask.command is not None and ask.about == "command":
            if self.state.question_of(ask.command.intended.command) is not None:
                return
            label = "; ".join(self._label(n) for n in self.state.members(ask.command.intended.command))
        else:
            label = self._label(record.number)
        question = questions.opened(self.state, ask, record.number, label, self.ask_again_after)
        self._record([question])
        self._diary_question(question)

    def _kept(self) -> list[CommandState]:
        return [c for c in self.state.lost_commands() if is_kept(self.plan, self.state, c)]

    def _diary_question(self, question: QuestionOpened) -> None:
        words = " | ".join(question.answers)
        self.hooks.diary(
            f"experiment {question.experiment} waits for a person: {question.text} "
            f"(sdl answer {self.name}/{question.question} {words})"
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
            self._record(events)
            numbers = ", ".join(str(r.number) for r in records)
            self.hooks.diary(f"experiment {numbers}: the lab server knows {step.instrument}.{step.action.name} already")
        return bool(events)

    def _send_load(self, load: Load) -> None:
        """Record the command that experiments share, and have the first of them carry it out."""
        records = [self.state.experiments[n] for n in load.experiments]
        if self._adopt(load.step, records):
            self._let_go_on(*load.experiments)
            return
        command = self._intend(load.step, records)
        if command is None:
            self._let_go_on(*load.experiments)
            return
        what = f"{load.step.instrument}.{load.step.action.name}"
        labels = ", ".join(str(n) for n in load.experiments)
        several = len(load.experiments) > 1
        self.hooks.diary(
            f"{what} of experiments {labels} together" if several else f"{what} of experiment {labels} alone"
        )
        self._loads[command.experiment] = command
        self._let_go_on(command.experiment)

    async def _gather(self, number: int) -> None:
        """Wait until a load with this experiment is sent by it, or settled by another."""
        self._gathering[number] = self.clock.event()
        self._wake()
        try:
            await self.clock.wait_for(self._gathering[number])
        finally:
            self._gathering.pop(number, None)

    def _let_go_on(self, *experiments: int) -> None:
        for number in experiments:
            if number in self._gathering:
                self.clock.settle(self._gathering[number])

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
            campaign=self.name,
            epoch=self.state.epoch,
            experiment=first.number,
            step=step.index,
            instrument=step.instrument,
            action=step.action.name,
            arguments=arguments,
            samples=tuple(r.sample for r in records),
            occurrence=step.occurrence,
            destination=step.destination,
        )
        self._record([commands.intended(command, [r.number for r in others])])
        return command

    async def _send(self, command: Command) -> None:
        # Once it waits in its queue it may wait there for what only a person can do; no time passes before that is known.
        actor = self.clock.actor()
        actor.__enter__()
        asyncio.get_running_loop().call_soon(self._look_whether_blocked, actor)
        reply = await self.lab.execute(command, begins_sample=command.step == 0)
        self._settled(reply, "reply")

    async def _settle(self, command: CommandState) -> None:
        """Find out what became of a command that a dead process left open."""
        intended = command.intended
        reply = await self.lab.reconcile(commands.as_sent(self.name, intended))
        where = f"experiment {intended.experiment}, {intended.instrument}.{intended.action}"
        if reply is None:
            self._record([commands.settled(Reply(intended.command, "not_started"), "reconciled")])
            self.hooks.diary(f"{where}: the instrument says that it never started")
            self._let_go_on(*(m[0] for m in intended.members))
            return
        self.hooks.diary(f"{where}: asked after the interruption, the instrument says: {reply.status}")
        self._settled(reply, "reconciled")

    def _settled(self, reply: Reply, how: Literal["reply", "reconciled"]) -> None:
        """Record a reply and what follows from it, in one transaction."""
        command = self.command(reply.command)
        late = self._late.settled(command, reply)
        events = self.settlement(reply, how)
        self._record([*late, *events])
        if late:
            self._late.said(command)
        if isinstance(events[-1], QuestionOpened):
            self._diary_question(events[-1])
        elif reply.status == "unknown":
            self.lab.answered(self.command(reply.command), "unknown")
        self._let_go_on(*self.state.members(reply.command)[1:])

    def settlement(self, reply: Reply, how: Literal["reply", "reconciled", "answered"]) -> list[Event]:
        """Return the rows of a reply, with the outcomes that its result gives to every experiment that shares it."""
        members = [self.state.experiments[number] for number in self.state.members(reply.command)]
        first = members[0]
        last = next(c for c in first.commands.values() if c.intended.command == reply.command)
        step = self.plan.step(next(i for i, c in first.commands.items() if c is last))
        row = commands.settled(reply, how)
        events: list[Event] = [row]
        if reply.status == "succeeded" and step.analysis is None:
            for record in members:
                if record.sample not in reply.failed_samples:
                    events += self._observations(record, step, reply.command, _estimates(reply.values, step))
        # One who may not send it again asks for all: the answer settles the command for everybody who shares it.
        if reply.status == "unknown" and not all(may_follow(step, r) for r in members):
            ask = Ask(step, "command", replace(last, settled=row), "")
            labels = "; ".join(self._label(r.number) for r in members)
            events.append(questions.opened(self.state, ask, first.number, labels, self.ask_again_after))
        return events

    def _fail(
        self, record: ExperimentRecord, reason: str, *before: Event, ends: Literal["failed", "aborted"] = "failed"
    ) -> None:
        """Record that an experiment failed: that it is over, or that steps follow which clear up."""
        match failed(self.plan, record, reason):
            case Fail():
                self._record([*before, ExperimentFailing(record.number, reason, ends)])
                self.hooks.diary(f"experiment {record.number} failed: {reason}; clearing up")
            case Finish():
                self._record([*before, ExperimentFinished(record.number, ends, reason)])
                self._diary_end(record.number)

    async def _observe(self, record: ExperimentRecord, step: StepPlan, command: CommandState) -> None:
        settled = command.settled
        if settled is None:
            return
        if step.analysis is None:
            self._record(self._observations(record, step, settled.command, _estimates(settled.values, step)))
            return
        inputs = tuple(
            AnalysisInput(a["name"], a["media_type"], self.ledger.artefacts.get(a["sha256"])) for a in settled.artefacts
        )
        raw = (record.number, step, settled.command, settled.artefacts)
        try:
            analysed: Analysed = await self.worker.call(analyse, step.analysis, inputs)
            found = observing.estimates_of(analysed, step)
            # On disk before the row that names it; a figure that a crash leaves without its row does no harm.
            figure = (
                None
                if analysed.figure is None
                else self.ledger.artefacts.put(FIGURE_NAME, analysed.figure, FIGURE_MEDIA_TYPE)
            )
            event = observing.succeeded(*raw, analysed, figure)
            given = self._observations(record, step, settled.command, found, analysed=analysed, analysis=event.analysis)
        except (LedgerError, WorkerError):
            raise
        except Exception as error:  # noqa: BLE001  odd raw data fail their experiment, not the campaign, now and at every resume
            refused = isinstance(error, AnalysisError)
            said = str(error) if refused else f"{type(error).__name__}: {error}"
            nothing = observing.without_values(*raw, "refused" if refused else "failed", said)
            self._fail(record, f"analysis {step.analysis}: {said}", nothing)
            return
        self._record([event, *given])
        for flag in analysed.flags:
            self.hooks.diary(f"experiment {record.number}, {step.analysis}: flagged: {flag}")

    def _observations(
        self,
        record: ExperimentRecord,
        step: StepPlan,
        command: str,
        found: Mapping[str, Estimate],
        *,
        analysed: Analysed | None = None,
        analysis: str | None = None,
    ) -> Sequence[Event]:
        return [
            observing.observation(record.number, record.source, g, command, found[g.outcome], analysed, analysis)
            for g in step.gives
        ]

    # --- within ------------------------------------------------------------------------------------------------------

    def _record(self, events: Sequence[Event]) -> list[Row]:
        # A row that fits by chance after one that did not would put the campaign's time ahead of what was lost. In virtual time
        # nothing is lost by writing no more: the instruments tell it all again. In real time every result is worth a try.
        if self._unwritten is not None and self.clock.settings.type == "virtual":
            raise self._unwritten
        try:
            return self.record(events)
        except LedgerError as error:
            self._unwritten = error
            raise

    async def _ask(self, form: Form) -> Mapping[str, Any]:
        """Ask a person through the hooks; several questions come one after another."""
        async with self._asking:
            self.hooks.diary(f"{form.title}: a person is asked")
            answer = await self.hooks.ask(form)
        return await nobody_to_ask(form) if answer is None else answer

    def _label(self, number: int) -> str:
        return label_of(self.state.experiments[number].candidate, self._units)

    def _diary_end(self, number: int) -> None:
        record = self.state.experiments[number]
        if record.state == "done":
            values = ", ".join(_said(n, e, self.checked.campaign.unit_of(n)) for n, e in record.outcomes.items())
            self.hooks.diary(f"experiment {number} done: {values}")
        else:
            self.hooks.diary(f"experiment {number} {record.state}: {record.reason}")


def _estimates(values: Any, step: StepPlan) -> dict[str, Estimate]:  # noqa: ANN401  a mapping of result fields
    return {
        g.outcome: g.estimate(values[g.field], None if g.uncertainty_field is None else values[g.uncertainty_field])
        for g in step.gives
    }


def _said(name: str, estimate: Estimate, unit: str) -> str:
    spread = "" if estimate.uncertainty is None else f" ± {estimate.uncertainty:.2g}"
    return f"{name} {estimate.value:.4g}{spread}{'' if unit == 'dimensionless' else ' ' + unit}"
