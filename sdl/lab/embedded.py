"""A lab within the campaign's own process: for simulated, replay, manual and calculation instruments.

Real instruments are refused here unless the lab file says `allow_real: true`, and then each belongs to one process by an
operating-system lock: a dying campaign must not take a firing with it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.driver import Command, Health, Instrument, Reply, SafeReport
from sdl.errors import (
    DriverError,
    InstrumentFault,
    LimitError,
    NameInUseError,
    ProtocolError,
)
from sdl.lab.claims import lock_name
from sdl.lab.driving import Driving, Store, simulates
from sdl.lab.interlocks import Interlocks
from sdl.lab.log import CommandLog, MemoryLog
from sdl.lab.places import Claim, Places
from sdl.lab.queue import InstrumentQueue
from sdl.lab.settling import Settling
from sdl.lab.under_way import SAFE_LIMIT, UnderWay
from sdl.ledger import Ownership
from sdl.ledger.ownership import owner_of

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.driver import ActionSpec
    from sdl.driver.form import Ask
    from sdl.lab.interface import Progress
    from sdl.lab.plan import InstrumentPlan, LabPlan
    from sdl.world import World


class EmbeddedLab:
    """Carries commands out on instruments in this process.

    Args:
        plan: the lab.
        clock: its time.
        store: keeps artefacts.
        world: the simulated truth, or None.
        locks: folder of the locks by which real instruments belong to one process.
        log: where commands are written down; in memory by default.
        claims_all: whether simulated instruments belong to one process too.
        holds_lost: whether an instrument gets no further command while nobody knows what became of one; see `answered`.
    """

    is_served = False

    def __init__(
        self,
        plan: LabPlan,
        clock: Clock,
        store: Store,
        world: World | None,
        locks: Path | None = None,
        log: CommandLog | None = None,
        *,
        claims_all: bool = False,
        holds_lost: bool = False,
    ) -> None:
        self.plan = plan
        self.clock = clock
        self.world = world
        self._store = store
        self._locks = locks
        self._claims_all = claims_all
        self._holds_lost = holds_lost
        self._claims: list[Ownership] = []
        self.instruments: dict[str, Instrument] = {}
        self.places = Places(plan.places)
        self._queues = {
            n: InstrumentQueue(clock, p.description.places, self.places) for n, p in plan.instruments.items()
        }
        self.log: CommandLog = MemoryLog() if log is None else log
        self.interlocks = Interlocks(plan, clock, self.instruments)
        self._under_way = UnderWay(self.instruments, clock)
        watched = (self.interlocks, self._under_way)
        self._driving = Driving(
            plan, clock, world, store, self.instruments, self.log, *watched, interrupt=self._interrupt
        )
        self._settling = Settling(plan, clock, self.instruments, *watched, self._driving, self._interrupt)
        self._say: Callable[[str], None] = lambda _: None

    async def open(self) -> None:
        """Make and connect every instrument.

        Raises:
            DriverError: one cannot be connected; all that fail are named.
            NameInUseError: a real instrument belongs to another process.
        """
        failures = []
        try:
            for name, plan in self.plan.instruments.items():
                if self._locks is not None and (self._claims_all or plan.description.nature == "real"):
                    self._claim(self._locks, name, plan)
                try:
                    instrument = plan.make(name, plan.settings, clock=self.clock, world=self.world)
                    instrument.store = self._store
                    self.instruments[name] = instrument
                    await instrument.connect()
                except Exception as error:  # noqa: BLE001  all that fail are named together
                    failures.append(f"{name} ({plan.driver}): {type(error).__name__}: {error}")
            if failures:
                raise DriverError("cannot connect:\n  " + "\n  ".join(failures))
        except BaseException:
            await self._let_go()
            raise

    def _claim(self, locks: Path, name: str, plan: InstrumentPlan) -> None:
        claim = Ownership(locks, lock_name(self.plan.name, plan))
        try:
            claim.take()
        except NameInUseError as error:
            pid, host = owner_of(claim.path)
            raise NameInUseError(
                f"instrument '{name}' ({plan.driver}) of lab '{self.plan.name}' is being driven by process {pid} on {host}; "
                "wait for it, or stop it there with Ctrl-C"
            ) from error
        self._claims.append(claim)

    async def close(self) -> None:
        """Let go of every instrument.

        Raises:
            InstrumentFault: one could not be let go of; the others were.
        """
        failures = await self._let_go()
        if failures:
            raise InstrumentFault("cannot be let go of:\n  " + "\n  ".join(failures))

    async def _let_go(self) -> list[str]:
        failures = []
        for name, instrument in self.instruments.items():
            try:
                await instrument.close()
            except Exception as error:  # noqa: BLE001  the others must be let go of too
                failures.append(f"{name}: {type(error).__name__}: {error}")
        self.instruments.clear()
        for claim in self._claims:
            claim.release()
        self._claims.clear()
        if self.world is not None:
            self.world.close()
        return failures

    async def execute(self, command: Command, begins_sample: bool, progress: Progress | None = None) -> Reply:
        """Queue for the instrument, carry the command out, and answer; see `Lab.execute`."""
        self.accept(command, begins_sample)
        reply = await self.carry_out(command, begins_sample, progress)
        self.log.finished(reply, self.clock.now())
        return reply

    def accept(self, command: Command, begins_sample: bool) -> None:
        """Take a command on; written down when this returns, and nothing has moved yet.

        Raises:
            ProtocolError: the lab has no such instrument, action or place, the id was accepted before, or the epoch is old.
        """
        self._spec(command)
        self._room_for(command)
        self.log.accept(command, begins_sample, self.clock.now())

    async def carry_out(self, command: Command, begins_sample: bool, progress: Progress | None = None) -> Reply:
        """Queue for the instrument, carry out a command that was accepted, and answer; the answer is not yet written down."""
        spec, simulated = self._spec(command), simulates(self.plan, command)
        try:
            arguments = spec.check(command.arguments)
        except LimitError as error:
            return Reply(command.id, "failed", error=str(error), simulated=simulated, refused=True)
        queue, claim = self._queues[command.instrument], self._room_for(command)
        if not await queue.take(begins_sample, claim, command.campaign):
            return Reply(command.id, "not_started", error="withdrawn from the queue", simulated=simulated)
        try:
            misplaced = self._misplaced(command)
            if misplaced is not None:
                reply = Reply(command.id, "failed", error=misplaced, simulated=simulated, refused=True)
            elif (denied := await self._denied(command, progress)) is not None:
                reply = denied
            else:
                reply = await self._driving.perform(command, spec, arguments, progress)
            self._moved(claim, reply.status, has_begun=reply.started is not None)
            self._hold(command, reply.status)
            return reply
        except BaseException as broken:
            record = self.log.record(command.id)
            state = None if record is None else record.state
            if state == "accepted":
                self._moved(claim, "not_started")
            elif state == "started" and isinstance(broken, Exception) and self._hold(command, "unknown"):
                self._under_way.found[command.id] = (command, None)  # until the driver was asked what it did
            raise
        finally:
            queue.give()

    def _hold(self, command: Command, status: str) -> bool:
        """Keep an instrument of which nobody knows what it did from the next command; returns whether it is kept."""
        if not self._holds_lost or status != "unknown":
            return False
        self._queues[command.instrument].reserve(command.id)
        return True

    def _room_for(self, command: Command) -> Claim | None:
        """Return the room that a command needs where it takes its samples.

        Raises:
            ProtocolError: the lab has no such place.
        """
        if command.destination is None:
            return None
        if command.destination not in self.places:
            raise ProtocolError(
                f"command {command.id}: the lab has no place '{command.destination}'; nothing was moved"
            )
        return Claim(command.samples, command.destination)

    def _misplaced(self, command: Command) -> str | None:
        """Say which sample is not where the instrument works, or None."""
        place = self.plan.instruments[command.instrument].place
        wrong = [
            f"sample '{sample}' is at '{at}'"
            for sample in command.samples
            if place is not None and (at := self.places.where(sample)) not in {None, place}
        ]
        if not wrong:
            return None
        return f"{command.instrument} works at '{place}', but {'; '.join(wrong)}; move it there first"

    async def _denied(self, command: Command, progress: Progress | None) -> Reply | None:
        """Wait until the interlocks allow a command; returns the reply where they deny it."""
        denial = await self.interlocks.permit(command, progress, self._say)
        if denial is None:
            return None
        is_denied = denial.status == "failed"
        simulated = simulates(self.plan, command)
        return Reply(command.id, denial.status, error=denial.text, simulated=simulated, interlock=is_denied)

    async def _interrupt(self, command: Command) -> str:
        """Stop a command that an interlock no longer allows, and make its instrument safe; says what was read back."""
        stopped = await self._under_way.abort(lambda c: c.id == command.id)
        report = (await self.safe_state([command.instrument]))[command.instrument]
        said = "" if stopped and all(stopped) else "it could not be stopped, and "
        safe = "confirmed" if report.confirmed else "NOT confirmed, go and look"
        return f"{said}the safe state of {command.instrument} was {safe}: {report.message or 'nothing was said'}"

    def _moved(self, claim: Claim | None, status: str, *, has_begun: bool = False) -> None:
        """Note where the samples of a command are; of one whose fate is not known they hold room at both ends.

        A step that makes a sample and ends half-way leaves something where it was to be made.
        """
        if claim is None or status == "unknown":
            return
        half_made = has_begun and status in {"failed", "aborted"} and all(map(self.places.is_new, claim.samples))
        if status == "succeeded" or half_made:
            self.places.arrived(claim)
        else:
            self.places.stayed(claim)

    def put_questions_to(self, ask: Ask) -> None:
        """Say how a person is asked; see `Lab.put_questions_to`."""
        self._driving.asker = lambda _: ask

    def put_questions_of_commands_to(self, asker: Callable[[Command], Ask]) -> None:
        """Say how a person is asked, where that depends on the command: campaigns that share a lab ask their own people."""
        self._driving.asker = asker

    def say_to(self, say: Callable[[str], None]) -> None:
        """Say where it is told what a command waits for: the diary."""
        self._say = say

    def check_before_start(self, check: Callable[[], None]) -> None:
        """Say what is asked right before a driver is called; where it raises LedgerError, the driver is not called."""
        self._driving.check_before_start = check

    def when_started(self, tell: Callable[[Command, float], None]) -> None:
        """Say who is told when a command begins; see `Lab.when_started`."""
        self._driving.when_started = tell

    def reserve(self, commands: Iterable[tuple[str, str]]) -> None:
        """Keep instruments for commands of a dead process; see `Lab.reserve`."""
        for command, instrument in commands:
            if instrument in self._queues:  # `reconcile` says what is wrong with the others
                self._queues[instrument].reserve(command)

    def locate(self, samples: Mapping[str, Sequence[str]], coming: Collection[str] = ()) -> None:
        """Take over where samples are; see `Lab.locate`."""
        for sample, places in samples.items():
            self.places.put(sample, [p for p in places if p in self.places], is_coming=sample in coming)

    async def reconcile(self, command: Command) -> Reply | None:
        """Ask the instrument what became of a command that a dead process sent; see `Lab.reconcile`."""
        spec, claim = self._spec(command), self._room_for(command)
        held = False
        try:
            reply = await self._settling.reply(command, spec)
            status = "not_started" if reply is None else reply.status
            self._moved(claim, status, has_begun=reply is not None and reply.started is not None)
            held = self._hold(command, status)
            return reply
        finally:
            if not held:
                self._queues[command.instrument].release(command.id)

    def answered(self, command: Command, status: str) -> None:
        """Go on after a person said what became of a command; see `Lab.answered`."""
        self._moved(self._room_for(command), status)
        if command.instrument in self._queues:
            self._queues[command.instrument].release(command.id)

    def cleared(self, sample: str) -> None:
        """Free the room of a sample that a person took away; see `Lab.cleared`."""
        self.places.cleared(sample)

    def withdraw(self) -> None:
        """Send away every command that waits for an instrument; each is answered as not started."""
        for queue in self._queues.values():
            queue.withdraw()
        self.interlocks.withdraw()

    async def abort(self, wanted: Callable[[Command], bool] = lambda _: True) -> None:
        """Abort every running command, or those that are wanted; each that stops is answered as aborted."""
        await self._under_way.abort(wanted)

    async def safe_state(self, names: Collection[str] | None = None) -> dict[str, SafeReport]:
        """Bring every instrument, or those named, into its safe state; what one raises becomes an unconfirmed report."""
        chosen = {n: i for n, i in self.instruments.items() if names is None or n in names}

        async def one(instrument: Instrument) -> SafeReport:
            try:
                return await asyncio.wait_for(instrument.safe_state(), SAFE_LIMIT)
            except TimeoutError:
                return SafeReport(confirmed=False, message=f"no answer within {SAFE_LIMIT:g} s")
            except Exception as error:  # noqa: BLE001  the others must be made safe too
                return SafeReport(confirmed=False, message=f"{type(error).__name__}: {error}")

        # All at once: a dead transport must not keep the furnace waiting.
        reports = await asyncio.gather(*(one(i) for i in chosen.values()))
        return dict(zip(chosen, reports, strict=True))

    async def health(self) -> dict[str, Health]:
        """Ask every instrument whether it can work."""
        found = {}
        for name, instrument in self.instruments.items():
            try:
                found[name] = await instrument.health()
            except Exception as error:  # noqa: BLE001  one that cannot answer is not healthy
                found[name] = Health("fault", f"{type(error).__name__}: {error}")
        return found

    def under_way(self) -> list[Command]:
        """Return the commands that instruments are carrying out, those of a dead process included."""
        return self._under_way.commands()

    def blocked(self) -> list[str]:
        """Say what each waiting command waits for, where nothing is under way; see `Lab.blocked`."""
        if any(q.is_at_work for q in self._queues.values()):
            return []
        rooms = [self.places.said(c.place) for q in self._queues.values() for c in q.waiting_for_room()]
        held = [
            f"'{name}' is held until a person says what became of command {command}"
            for name, queue in self._queues.items()
            for command in queue.waiting_for_person()
        ]
        return [*rooms, *held]

    def has_room(self, command: Command) -> bool:
        """Tell whether there is room where a command takes its samples."""
        claim = self._room_for(command)
        return claim is None or self.places.has_room(claim)

    def busy(self) -> dict[str, str]:
        """Return instrument → what it is doing."""
        running = {c.instrument: f"{c.action}, experiment {c.experiment}" for c, _ in self._under_way.running.values()}
        return {**self.interlocks.held_up(), **running}

    def truth(
        self, instrument: str, action: str, arguments: Mapping[str, object], sample: str
    ) -> dict[str, float] | None:
        """Return noise-free outcomes of an action on a sample, where the driver knows them; for benchmark and torture."""
        found = self.instruments[instrument].truth(action, arguments, sample)
        if found is not None and not all(math.isfinite(v) for v in found.values()):
            raise DriverError(f"{instrument}.truth gave a value that is not finite: {dict(found)}")
        return None if found is None else dict(found)

    def _spec(self, command: Command) -> ActionSpec:
        if command.instrument not in self.plan.instruments:
            raise ProtocolError(f"command {command.id}: the lab has no instrument '{command.instrument}'")
        description = self.plan.instruments[command.instrument].description
        if command.action not in description.actions:
            raise ProtocolError(f"command {command.id}: {command.instrument} has no action '{command.action}'")
        return description.actions[command.action]
