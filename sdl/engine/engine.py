"""The engine: carries out what `decide` returns. The one executor; Prefect and the terminal only hang hooks on it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

from sdl.analysis import AnalysisInput
from sdl.analysis.figure_data import MEDIA_TYPE as FIGURE_MEDIA_TYPE
from sdl.analysis.figure_data import NAME as FIGURE_NAME
from sdl.campaign import label_of
from sdl.clock import utc_text
from sdl.driver import Command, Reply
from sdl.driver.context import nobody_to_ask
from sdl.engine import observing
from sdl.engine.hooks import GuardedHooks, Hooks, View
from sdl.engine.worker import Analysed, Proposed, Worker, WorkerError, analyse, propose
from sdl.errors import AnalysisError, LedgerError, LimitError, PlannerError, SdlError
from sdl.ledger import (
    CampaignEnded,
    CommandIntended,
    CommandSettled,
    Event,
    ExperimentFailing,
    ExperimentFinished,
    ExperimentStarted,
    QuestionOpened,
    RoundOpened,
    RoundProposed,
)
from sdl.loop import (
    Block,
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
    Start,
    WakeAt,
    decide,
    failed,
    next_step,
)
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
        self._units = {n: p.unit for n, p in checked.campaign.space.parameters.items()}
        self._live: dict[int, asyncio.Task[None]] = {}
        self._shares = any(s.together is not None for s in self.plan.steps)
        self._gathering: dict[int, asyncio.Future[None]] = {}
        self._loads: dict[int, Command] = {}
        self._alarm: tuple[float, asyncio.Task[None]] | None = None
        self._changed: asyncio.Future[None] | None = None
        self._stopping: str | None = None
        self._making_safe: asyncio.Task[None] | None = None
        self._safe: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
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

    async def abort(self) -> None:
        """Abort running commands and bring every instrument into its safe state, confirmed by read-back."""
        if self._making_safe is None:
            self.stop("aborted")
            self._safe = self.clock.event()
            # Counted as an actor from this very moment: no firing may come to its end while its abort is under way.
            actor = self.clock.actor()
            actor.__enter__()
            self._making_safe = asyncio.ensure_future(self._make_safe(actor, self._safe))
        await asyncio.shield(self._making_safe)

    async def _make_safe(self, actor: AbstractContextManager[None], safe: asyncio.Future[None]) -> None:
        try:
            await self._abort_all()
        except Exception as error:  # noqa: BLE001  said, and the campaign is let go all the same
            self.hooks.diary(f"making the lab safe failed: {type(error).__name__}: {error}")
        finally:
            self.clock.settle(safe)
            actor.__exit__(None, None, None)

    async def _abort_all(self) -> None:
        await self.lab.abort()
        for name, report in (await self.lab.safe_state()).items():
            self.hooks.diary(
                f"{name}: safe state {'confirmed' if report.confirmed else 'NOT confirmed'}: {report.message}"
            )

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> tuple[EndState, str]:
        """Run until the end; returns how and why it ended.

        Raises:
            SdlError: the ledger cannot be written, or a planner failed; what was recorded stays.
        """
        with self.clock.actor():
            await self.hooks.started(self.view())
            self.lab.put_questions_to(self._ask)
            # Before anything is sent: what a dead process left open may still occupy its instrument.
            self.lab.reserve((c.intended.command, c.intended.instrument) for c in self.state.open_commands())
            self.lab.locate({e.sample: e.held for e in self.state.experiments.values() if e.held})
            try:
                end = await self._loop()
            except Exception as error:
                await self._settle_tasks()
                self._try_to_end("failed", str(error))
                raise
            finally:
                self._set_alarm(None)
                if self._safe is not None:
                    # Before anything is closed: an instrument that is being made safe is still needed.
                    await self.clock.wait_for(self._safe)
            self._record([CampaignEnded(*end)])
            await self.hooks.ended(self.view())
            return end

    async def _loop(self) -> tuple[EndState, str]:
        while True:
            self._changed = self.clock.event()
            if self._failure is not None:
                raise self._failure
            acted = False
            if self._stopping is None:
                alarm: float | None = None
                for decision in decide(self.plan, self.state, self.clock.now(), self._live.keys()):
                    if isinstance(decision, End):
                        return decision.state, decision.reason
                    if isinstance(decision, WakeAt):
                        alarm = min(decision.moment, alarm or decision.moment)
                        continue
                    await self._carry_out(decision)
                    acted = True
                    if self._stopping is not None:
                        break
                self._set_alarm(alarm)
            elif not self._live:
                return "stopped", self._stopping
            if not acted:
                if (blocked := self._blocked()) is not None:
                    return "waiting", blocked
                await self.clock.wait_for(self._changed)
            # Everything else that happens at this instant comes first, so that the next decision knows of all of it.
            await self.clock.sleep_until(self.clock.now(), _LAST)

    def _blocked(self) -> str | None:
        """Say why nothing will ever happen again by itself: every experiment waits for room that nobody will make; or None."""
        held = self.lab.blocked()
        if not held or self._alarm is not None or len(held) + len(self._gathering) < len(self._live):
            return None
        return f"no sample can move: {'; '.join(dict.fromkeys(held))}; a person must clear a place"

    def _set_alarm(self, moment: float | None) -> None:
        """Have the loop look again at a moment, or at none any more."""
        if self._alarm is not None and (moment is None or self._alarm[0] != moment):
            self._alarm[1].cancel()
            self._alarm = None
        if moment is not None and self._alarm is None:
            # Counted as an actor from this very moment, and until it is over even where it is cancelled before it began.
            actor = self.clock.actor()
            actor.__enter__()
            task = asyncio.create_task(self._ring(moment), name="alarm")
            task.add_done_callback(lambda _: actor.__exit__(None, None, None))
            self._alarm = moment, task

    async def _ring(self, moment: float) -> None:
        await self.clock.sleep_until(moment, _LAST)
        self._alarm = None
        self._wake()

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
        planner = self.checked.campaign.planner.type
        self._activity = f"round {decision.round}: asking {planner}"
        # The journal up to the row that opened the round, and nothing that came later.
        opened = self.state.rounds[-1].seq
        seq = self.ledger.head(self.name)[0]
        known = self.state if seq == opened else CampaignState(self.ledger.rows(self.name, opened))
        try:
            answer: Proposed = await self.worker.call(
                propose, planner, self.checked.problem, known.history(), decision.count, decision.seed
            )
        finally:
            self._activity = ""
        for candidate in answer.proposal.candidates:
            problems = self.checked.campaign.space.problems(candidate)
            if problems:
                raise PlannerError(
                    f"planner '{planner}' proposed {dict(candidate)}, which lies outside the space: {'; '.join(problems)}"
                )
        first = max(self.state.experiments, default=0) + 1
        event = RoundProposed(
            decision.round,
            planner,
            [dict(c) for c in answer.proposal.candidates],
            first,
            answer.proposal.diagnostics,
            answer.environment,
            round(answer.seconds, 4),
        )
        self._record([event])
        await self.hooks.round_over(self.view())

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
                await self._send(load)
                continue
            decision = next_step(self.plan, record)
            match decision:
                case Fail(reason):
                    self._fail(record, reason)
                case Gather():
                    if self._stopping is not None or self._failure is not None:
                        return
                    await self._gather(number)
                case Finish(state, reason):
                    self._record([ExperimentFinished(number, state, reason)])
                    self._diary_end(number)
                case Block(command):
                    self.hooks.diary(
                        f"experiment {number} waits: nobody knows what became of command {command.intended.command}"
                    )
                    return
                case Observe(step, command):
                    await self._observe(record, step, command)
                case Settle(command):
                    await self._settle(command)
                case RunStep(step):
                    if self._stopping is not None or self._failure is not None:
                        return
                    await self._run_step(record, step)

    async def _run_step(self, record: ExperimentRecord, step: StepPlan) -> None:
        command = self._intend(step, [record])
        if command is not None:
            await self._send(command)

    def _send_load(self, load: Load) -> None:
        """Record the command that experiments share, and have the first of them carry it out."""
        command = self._intend(load.step, [self.state.experiments[n] for n in load.experiments])
        if command is None:
            self._let_go_on(*load.experiments)
            return
        labels = ", ".join(str(n) for n in load.experiments)
        self.hooks.diary(f"{load.step.instrument}.{load.step.action.name} of experiments {labels} together")
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
        self._record(
            [
                CommandIntended(
                    command=command.id,
                    experiment=command.experiment,
                    step=command.step,
                    instrument=command.instrument,
                    action=command.action,
                    arguments=dict(arguments),
                    samples=list(command.samples),
                    occurrence=command.occurrence,
                    digest=command.digest,
                    epoch=command.epoch,
                    members=[[r.number, step.index] for r in others],
                    destination=command.destination,
                )
            ]
        )
        return command

    async def _send(self, command: Command) -> None:
        reply = await self.lab.execute(command, begins_sample=command.step == 0)
        self._settled(reply, "reply")

    async def _settle(self, command: CommandState) -> None:
        """Find out what became of a command that a dead process left open."""
        intended = command.intended
        asked = Command(
            id=intended.command,
            campaign=self.name,
            epoch=intended.epoch,
            experiment=intended.experiment,
            step=intended.step,
            instrument=intended.instrument,
            action=intended.action,
            arguments=intended.arguments,
            samples=tuple(intended.samples),
            occurrence=intended.occurrence,
            destination=intended.destination,
        )
        reply = await self.lab.reconcile(asked)
        where = f"experiment {intended.experiment}, {intended.instrument}.{intended.action}"
        if reply is None:
            nothing = CommandSettled(
                command=intended.command,
                status="not_started",
                values={},
                artefacts=[],
                error=None,
                started=None,
                finished=None,
                duration=None,
                simulated=False,
                how="reconciled",
            )
            self._record([nothing])
            self.hooks.diary(f"{where}: the instrument says that it never started")
            self._let_go_on(*(m[0] for m in intended.members))
            return
        self.hooks.diary(f"{where}: asked after the interruption, the instrument says: {reply.status}")
        self._settled(reply, "reconciled")

    def _settled(self, reply: Reply, how: Literal["reply", "reconciled"]) -> None:
        """Record a reply, with the outcomes that its result gives to every experiment that shares it, in one transaction."""
        members = [self.state.experiments[number] for number in self.state.members(reply.command)]
        first = members[0]
        step = self.plan.step(next(i for i, c in first.commands.items() if c.intended.command == reply.command))
        events: list[Event] = [
            CommandSettled(
                command=reply.command,
                status=reply.status,
                values=dict(reply.values),
                artefacts=[
                    {"name": a.name, "sha256": a.sha256, "size": a.size, "media_type": a.media_type}
                    for a in reply.artefacts
                ],
                error=reply.error,
                started=None if reply.started is None else utc_text(reply.started),
                finished=None if reply.finished is None else utc_text(reply.finished),
                duration=reply.duration,
                simulated=reply.simulated,
                how=how,
                failed_samples=dict(reply.failed_samples),
            )
        ]
        if reply.status == "succeeded" and step.analysis is None:
            for record in members:
                if record.sample not in reply.failed_samples:
                    events += self._observations(record, step, reply.command, _estimates(reply.values, step))
        if reply.status == "unknown":
            text = (
                f"Command {reply.command} ({step.instrument}.{step.action.name}, {step.action.effect}, "
                f"{'; '.join(self._label(r.number) for r in members)}): {reply.error or 'no answer'}. Did it happen?"
            )
            events.append(
                QuestionOpened(f"Q{len(self.state.questions) + 1}", "command", first.number, reply.command, text)
            )
        self._record(events)
        self._let_go_on(*(r.number for r in members[1:]))

    def _fail(self, record: ExperimentRecord, reason: str, *before: Event) -> None:
        """Record that an experiment failed: that it is over, or that steps follow which clear up."""
        match failed(self.plan, record, reason):
            case Fail():
                self._record([*before, ExperimentFailing(record.number, reason)])
                self.hooks.diary(f"experiment {record.number} failed: {reason}; clearing up")
            case Finish():
                self._record([*before, ExperimentFinished(record.number, "failed", reason)])
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
        rows = self.ledger.append(self.name, self.clock.now(), events)
        for row in rows:
            self.state.apply(row)
        self.hooks.recorded(rows, self.view())
        if self._shares:
            self._wake()  # who may still join a load, and whether its instrument is free, changes with every row
        return rows

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
