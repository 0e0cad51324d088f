"""The engine: carries out what `decide` returns. The one executor; Prefect and the terminal only hang hooks on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal

from sdl.campaign import label_of
from sdl.driver import Command, Reply
from sdl.engine import commands, questions
from sdl.engine.adoption import Strangers
from sdl.engine.alarm import Alarm
from sdl.engine.alive import SignsOfLife
from sdl.engine.asking import Asking
from sdl.engine.constraining import outside
from sdl.engine.experiments import Experiments
from sdl.engine.hooks import GuardedHooks, Hooks, View
from sdl.engine.inbox import InboxWatch
from sdl.engine.lateness import LateWatch
from sdl.engine.leaving import Leaving
from sdl.engine.proposing import ask_planner
from sdl.engine.safety import Safety
from sdl.engine.standstill import is_kept
from sdl.engine.worker import Worker
from sdl.errors import LedgerError, SdlError
from sdl.ledger import (
    CampaignEnded,
    CampaignResumed,
    CampaignWaiting,
    Event,
    ExperimentStarted,
    RoundOpened,
)
from sdl.loop import (
    CampaignState,
    Continue,
    End,
    Load,
    Propose,
    Start,
    WakeAt,
    decide,
    describe_gain,
    gain_stated,
)
from sdl.preflight.constrained import constrained

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.lab import Lab
    from sdl.ledger import Ledger, Row
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
        self._units = {n: p.unit for n, p in checked.campaign.space.parameters.items()}
        self._live: dict[int, asyncio.Task[None]] = {}
        self._shares = any(s.together is not None for s in self.plan.every_step)
        self._alarm = Alarm(clock, _LAST, self._wake)
        self._changed: asyncio.Future[None] | None = None
        self.stays = False
        self.ask_again_after = questions.ASK_AGAIN_AFTER
        self._inbox = InboxWatch(self)
        self._late = LateWatch(self)
        self._signs: SignsOfLife | None = None
        self._leaving = Leaving(self)
        self._stopping: str | None = None
        self._ends_as: Literal["stopped", "waiting"] = "stopped"
        self._safety = Safety(lab, clock, self.hooks.diary)
        self._experiments = Experiments(
            self, Strangers() if strangers is None else strangers, self._late, self._leaving
        )
        self._failure: BaseException | None = None
        self._unwritten: LedgerError | None = None
        self._activity = ""
        self.asking = Asking(self)

    # --- from outside ------------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Return what a watcher sees."""
        return View(self.name, self.plan, self.state, self.lab.busy(), self.clock.now(), self._activity)

    def stop(self, reason: str) -> None:
        """Start no new step; running ones finish, and the campaign can go on later."""
        if self._stopping is None:
            self._stopping = reason
            self.lab.withdraw()
            self._experiments.let_go_on(*self._experiments.gathering)
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
            self._leaving.begin(self._safety)

    def give_signs(self, sign: Callable[[], None]) -> None:
        """Say how a sign of life is given while the campaign runs; see `SignsOfLife`."""
        self._signs = SignsOfLife(sign, self._lost)

    def _lost(self, error: LedgerError) -> None:
        """End without waiting for anything: another process has the campaign now, and this one can write no more."""
        if self._failure is None:
            self._failure = error
        self._leaving.now()
        self._wake()

    @property
    def is_stopping(self) -> bool:
        """Whether no new step is started, so that the campaign ends."""
        return self._stopping is not None

    @property
    def is_aborting(self) -> bool:
        """Whether everything is being aborted and made safe."""
        return self._safety.is_begun

    @property
    def starts_nothing(self) -> bool:
        """Whether nothing new is sent: the campaign ends, or is paused."""
        return self._stopping is not None or self._failure is not None or self.state.standing == "paused"

    @property
    def live(self) -> Collection[int]:
        """The experiments that this process carries out."""
        return self._live.keys()

    def settlement(self, reply: Reply, how: Literal["reply", "reconciled", "answered"]) -> list[Event]:
        """Return the rows of a reply; see `Experiments.settlement`."""
        return self._experiments.settlement(reply, how)

    def hold(self) -> None:
        """Send back what waits for an instrument: the campaign is paused."""
        self.lab.withdraw()
        self._experiments.let_go_on(*self._experiments.gathering)

    def let_go_on(self, number: int) -> None:
        """Have an experiment look again what is to be done; needed where it waits for others."""
        self._experiments.let_go_on(number)

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
            self.lab.put_questions_to(self.asking.ask)
            self.lab.when_started(self._late.started)
            # Before anything is sent: what a dead process left open may still occupy its instrument.
            kept = [c for c in self.state.lost_commands() if is_kept(self.plan, self.state, c)]
            held = [*self.state.open_commands(), *kept]
            self.lab.reserve((c.intended.command, c.intended.instrument) for c in held)
            here = [e for e in self.state.experiments.values() if e.held]
            self.lab.locate({e.sample: e.held for e in here}, [e.sample for e in here if not e.is_made])
            try:
                self._inbox.begin()
                self.asking.withdraw_left()  # what was answered meanwhile was taken just now
                if self._signs is not None:
                    self._signs.begin()
                end = await self._loop()
            except Exception as error:
                await self._settle_tasks()
                self._try_to_end("failed", str(error))
                raise
            finally:
                self._inbox.end()
                self._late.end()
                self._alarm.set(None)
                if self._signs is not None:
                    self._signs.end()
                self._leaving.end()
                # Before anything is closed: an instrument that is being made safe is still needed.
                await self._safety.done_by_the_clock()
            self.write([CampaignEnded(*end)])
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
        if waits_for is None and self.state.standing == "waiting":
            self.write([CampaignResumed("sdl", "it goes on by itself")])
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
                self.write([CampaignWaiting(waits_for)])
                self.hooks.diary(f"waiting: {waits_for}")
            await changed

    def _blocked(self) -> str | None:
        """Say why nothing will ever happen again by itself, though experiments are under way; or None.

        Each of them waits for room that nobody will make, or for an instrument of which nobody knows what it did.
        """
        held = self.lab.blocked()
        if not held or self._alarm.is_set or len(held) + len(self._experiments.gathering) < len(self._live):
            return None
        return f"no sample can move: {'; '.join(dict.fromkeys(held))}; a person must see to it"

    async def _carry_out(self, decision: Propose | Start | Continue | Load) -> None:
        match decision:
            case Propose():
                await self._propose(decision)
            case Load():
                self._experiments.send_load(decision)
            case Start(experiment):
                sample = f"{self.name}-{experiment:04d}"
                record = self.state.experiments[experiment]
                source = self.plan.source_of(record.source)
                cost = self.plan.cost_of(record.candidate, source)
                self.write([ExperimentStarted(experiment, source, sample, cost, self.plan.cost_unit)])
                self.hooks.diary(f"experiment {experiment} begins: {self.label(experiment)}")
                self._spawn(experiment)
            case Continue(experiment):
                self.hooks.diary(f"experiment {experiment} goes on")
                self._spawn(experiment)

    async def _propose(self, decision: Propose) -> None:
        if not decision.is_open:
            self.write([RoundOpened(decision.round, decision.count, decision.seed)])
        self._activity = f"round {decision.round}: asking {self.checked.campaign.planner.type}"
        opened = self.state.rounds[-1].seq
        seq = self.ledger.head(self.name)[0]
        known = self.state if seq == opened else CampaignState(self.ledger.rows(self.name, opened))
        held = tuple(known.constraints)
        checked = constrained(self.checked, held)
        try:
            event = await ask_planner(self.worker, checked, known.history(), decision, self._next_number)
        finally:
            self._activity = ""
        # What people ruled out while the planner was at it, or after a dead process had asked it, it could not know.
        late = [c for c in self.state.constraints if c not in held]
        self.write([event, *outside(self.checked, late, enumerate(event.candidates, event.first))])
        if (said := gain_stated(self.state.rounds[-1])) is not None:
            self.hooks.diary(f"round {decision.round}: {describe_gain(said, self.plan.gain)}")
        await self.hooks.round_over(self.view())

    def _next_number(self) -> int:
        return max(self.state.experiments, default=0) + 1

    def _spawn(self, number: int) -> None:
        # Counted as an actor from this very moment: what Prefect does before the experiment begins must not let time pass.
        actor = self.clock.actor()
        actor.__enter__()

        async def carry_out() -> None:
            try:
                label = self.label(number)
                await self.hooks.experiment(number, label, lambda: self._experiments.carry_out(number))
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
            self.write([CampaignEnded(state, reason)])
        except SdlError as error:
            self.hooks.diary(f"the end could not be recorded: {error}")

    # --- within ------------------------------------------------------------------------------------------------------

    def write(self, events: Sequence[Event]) -> list[Row]:
        """Write the rows of what the campaign itself did; see `record`.

        Raises:
            LedgerError: they cannot be written, or others could not be before.
        """
        # A row that fits by chance after one that did not would put the campaign's time ahead of what was lost. In virtual time
        # nothing is lost by writing no more: the instruments tell it all again. In real time every result is worth a try.
        if self._unwritten is not None and self.clock.settings.type == "virtual":
            raise self._unwritten
        try:
            return self.record(events)
        except LedgerError as error:
            self._unwritten = error
            raise

    def label(self, number: int) -> str:
        """Return an experiment's candidate in words."""
        return label_of(self.state.experiments[number].candidate, self._units)
