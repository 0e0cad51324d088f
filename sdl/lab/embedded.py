"""A lab within the campaign's own process: for simulated, replay, manual and calculation instruments.

Real instruments are refused here unless the lab file says `allow_real: true`, and then each belongs to one process by an
operating-system lock: a dying campaign must not take a firing with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.driver import ArtefactRef, Command, Context, Health, Instrument, Reconciled, Reply, SafeReport
from sdl.driver.context import nobody_to_ask
from sdl.errors import (
    ClockError,
    DriverError,
    InstrumentFault,
    LedgerError,
    LimitError,
    NameInUseError,
    OutcomeUnknown,
    ProtocolError,
)
from sdl.lab.claims import lock_name
from sdl.lab.interlocks import Interlocks
from sdl.lab.log import CommandLog, MemoryLog
from sdl.lab.places import Claim, Places
from sdl.lab.queue import InstrumentQueue
from sdl.ledger import Ownership
from sdl.ledger.ownership import owner_of

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.driver import ActionSpec
    from sdl.driver.form import Ask
    from sdl.lab.interface import Progress
    from sdl.lab.interlocks import Watch
    from sdl.lab.plan import InstrumentPlan, LabPlan
    from sdl.world import World

_log = logging.getLogger("sdl.lab.server")

_SAFE_LIMIT = 60.0
"""Seconds within which an instrument must stop, or say that it is safe; one that does not is reported as not confirmed."""

_POLL = 1.0
"""Seconds of lab time between two questions to an instrument that still runs a dead process's command."""

_AGAIN = 1.0
"""Real seconds between two attempts to write down that a command starts, while the disk refuses it. Chosen."""

Store = Callable[[str, bytes, str], ArtefactRef]


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
        self._running: dict[str, tuple[Command, asyncio.Task[Mapping[str, object]]]] = {}
        self._reconciling: dict[str, tuple[Command, asyncio.Future[Any]]] = {}
        self._aborted: set[str] = set()
        self._asker: Callable[[Command], Ask] = lambda _: nobody_to_ask
        self.interlocks = Interlocks(plan, clock, self.instruments)
        self._say: Callable[[str], None] = lambda _: None
        self._when_started: Callable[[Command, float], None] = lambda *_: None

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
        spec, simulated = self._spec(command), self._simulated(command)
        try:
            arguments = spec.check(command.arguments)
        except LimitError as error:
            return Reply(command.id, "failed", error=str(error), simulated=simulated)
        queue, claim = self._queues[command.instrument], self._room_for(command)
        if not await queue.take(begins_sample, claim, command.campaign):
            return Reply(command.id, "not_started", error="withdrawn from the queue", simulated=simulated)
        try:
            misplaced = self._misplaced(command)
            if misplaced is not None:
                reply = Reply(command.id, "failed", error=misplaced, simulated=simulated)
            elif (denied := await self._denied(command, claim, progress)) is not None:
                reply = denied
            else:
                reply = await self._perform(command, spec, arguments, progress)
            self._moved(claim, reply.status, has_begun=reply.started is not None)
            self._hold(command, reply.status)
            return reply
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

    async def _denied(self, command: Command, claim: Claim | None, progress: Progress | None) -> Reply | None:
        """Wait until the interlocks allow a command; returns the reply where they deny it."""
        try:
            denial = await self.interlocks.permit(command, progress, self._say)
        except BaseException:
            self._moved(claim, "not_started")
            raise
        if denial is None:
            return None
        is_denied = denial.status == "failed"
        simulated = self._simulated(command)
        return Reply(command.id, denial.status, error=denial.text, simulated=simulated, interlock=is_denied)

    async def _interrupt(self, command: Command) -> str:
        """Stop a command that an interlock no longer allows, and make its instrument safe; says what was read back."""
        under_way = [*self._running.values(), *self._reconciling.values()]
        stopped = [await self._abort(c, task) for c, task in under_way if c.id == command.id]
        report = (await self.safe_state([command.instrument]))[command.instrument]
        said = "" if all(stopped) else "it could not be stopped, and "
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

    async def _perform(
        self, command: Command, spec: ActionSpec, arguments: Mapping[str, object], progress: Progress | None
    ) -> Reply:
        artefacts: list[ArtefactRef] = []

        def keep(name: str, data: bytes, media_type: str) -> ArtefactRef:
            artefacts.append(self._store(name, data, media_type))
            return artefacts[-1]

        place = self.plan.instruments[command.instrument].place
        ctx = Context(command, self.clock, self.world, keep, progress or _quiet, self._asker(command), place)
        instrument = self.instruments[command.instrument]
        await self._write_started(command)
        started, began = self.clock.now(), self.clock.elapsed()
        self._when_started(command, started)
        watch = self.interlocks.watch(command, spec, self._interrupt, started)
        task = asyncio.ensure_future(instrument.perform(command.action, ctx, arguments))
        self._running[command.id] = (command, task)
        status, values, error = "succeeded", {}, None
        try:
            values = {name: _plain(value) for name, value in (await task).items()}
            error = spec.check_result(values)
            if error is not None:
                status, error = "failed", f"the result cannot be used: {error}"
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if here is not None and here.cancelling() and command.id not in self._aborted:
                raise
            status, error = self._broken(command, spec, TimeoutError("the driver gave up by itself"))
        except (LedgerError, ClockError):
            raise  # the platform's own failure: it says nothing of the specimen, and the command stays open
        except Exception as broken:  # noqa: BLE001  whatever a driver raises is the experiment's failure, not the campaign's
            status, error = self._broken(command, spec, broken)
        finally:
            self._running.pop(command.id, None)
            self._aborted.discard(command.id)
            if watch is not None:
                watch.forget()
        stopped = None if watch is None else await watch.end()
        if stopped is not None:
            status, error = _interlocked(status, error, stopped)
        return Reply(
            command=command.id,
            status=status,  # type: ignore[arg-type]
            values=values if status == "succeeded" else {},
            artefacts=tuple(artefacts),
            error=error,
            started=started,
            finished=self.clock.now(),
            duration=self.clock.elapsed() - began,
            simulated=self._simulated(command),
            failed_samples=dict(ctx.failed) if status == "succeeded" else {},
            interlock=stopped is not None,
        )

    async def _write_started(self, command: Command) -> None:
        """Write down that the driver is about to be called, as often as it takes: nothing moves before that."""
        while True:
            try:
                self.log.started(command.id, self.clock.now())
            except LedgerError as error:
                _log.error("command %s is not begun: %s", command.id, error)
                await asyncio.sleep(_AGAIN)
            else:
                return

    def _broken(self, command: Command, spec: ActionSpec, error: Exception) -> tuple[str, str]:
        """Return status and words for an action that ended with an error."""
        if command.id in self._aborted:
            return "aborted", "aborted on request" if isinstance(error, TimeoutError) else str(error)
        if isinstance(error, InstrumentFault):
            return "failed", str(error)
        if isinstance(error, OutcomeUnknown):
            return "unknown", str(error)
        said = f"{type(error).__name__}: {error}{_place_of(error)}"
        if spec.effect == "irreversible" and isinstance(error, OSError | EOFError):
            return "unknown", f"{said}: the transport broke, and what happened at the instrument is not known"
        return "failed", said

    def put_questions_to(self, ask: Ask) -> None:
        """Say how a person is asked; see `Lab.put_questions_to`."""
        self._asker = lambda _: ask

    def put_questions_of_commands_to(self, asker: Callable[[Command], Ask]) -> None:
        """Say how a person is asked, where that depends on the command: campaigns that share a lab ask their own people."""
        self._asker = asker

    def say_to(self, say: Callable[[str], None]) -> None:
        """Say where it is told what a command waits for: the diary."""
        self._say = say

    def when_started(self, tell: Callable[[Command, float], None]) -> None:
        """Say who is told when a command begins; see `Lab.when_started`."""
        self._when_started = tell

    def reserve(self, commands: Iterable[tuple[str, str]]) -> None:
        """Keep instruments for commands of a dead process; see `Lab.reserve`."""
        for command, instrument in commands:
            if instrument in self._queues:  # `reconcile` says what is wrong with the others
                self._queues[instrument].reserve(command)

    def locate(self, samples: Mapping[str, Sequence[str]]) -> None:
        """Take over where samples are; see `Lab.locate`."""
        for sample, places in samples.items():
            self.places.put(sample, [p for p in places if p in self.places])

    async def reconcile(self, command: Command) -> Reply | None:
        """Ask the instrument what became of a command that a dead process sent; see `Lab.reconcile`."""
        spec, claim = self._spec(command), self._room_for(command)
        held = False
        try:
            reply = await self._watched(command, spec)
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

    async def _watched(self, command: Command, spec: ActionSpec) -> Reply | None:
        """Reconcile; what is found running is watched as if it had begun here."""
        watching: list[Watch | None] = []
        try:
            reply = await self._reconcile(command, spec, watching)
        finally:
            for watch in filter(None, watching):
                watch.forget()
        stopped = [said for watch in watching if watch is not None and (said := await watch.end()) is not None]
        if reply is None or not stopped:
            return reply
        status, error = _interlocked(reply.status, reply.error, stopped[0])
        return replace(reply, status=status, error=error, values={}, failed_samples={}, interlock=True)  # type: ignore[arg-type]

    async def _reconcile(self, command: Command, spec: ActionSpec, watching: list[Watch | None]) -> Reply | None:
        simulated = self._simulated(command)
        text = "the process died while the command was under way, and the instrument cannot say what became of it"
        is_told = False
        while True:
            try:
                found: Reconciled = await self.instruments[command.instrument].reconcile(command)
            except (LedgerError, ClockError):
                raise
            except Exception as broken:  # noqa: BLE001  a driver that cannot be asked does not know
                said = f"{text}: {type(broken).__name__}: {broken}"
                return Reply(command.id, "unknown", error=said, simulated=simulated)
            if found.state != "running":
                break
            now = self.clock.now()
            if not is_told:
                is_told = True
                began = now if found.started is None else found.started
                self._when_started(command, began)
                watching.append(self.interlocks.watch(command, spec, self._interrupt, began, is_found=True))
            # One that is late says the past moment again and again: it is asked at intervals.
            moment = found.ends if found.ends is not None and found.ends > now else now + _POLL
            nap = asyncio.ensure_future(self.clock.sleep_until(moment, (command.experiment, command.step)))
            self._reconciling[command.id] = (command, nap)
            try:
                await nap
            except asyncio.CancelledError:
                here = asyncio.current_task()
                if (here is not None and here.cancelling()) or command.id not in self._aborted:
                    raise
                return Reply(command.id, "aborted", error="aborted on request", simulated=simulated)
            finally:
                self._reconciling.pop(command.id, None)
        if found.state == "not_started":
            return None
        if found.state == "unknown":
            return Reply(command.id, "unknown", error=text, simulated=simulated)
        error = found.error
        if found.state == "aborted":
            error = error or "it was aborted"
        elif error is None:
            problem = spec.check_result(found.values)
            error = None if problem is None else f"the result cannot be used: {problem}"
        duration = None
        if found.started is not None and found.finished is not None:
            duration = found.finished - found.started
        return Reply(
            command=command.id,
            status="aborted" if found.state == "aborted" else "succeeded" if error is None else "failed",
            values=dict(found.values) if error is None else {},
            artefacts=found.artefacts,
            error=error,
            started=found.started,
            finished=found.finished,
            duration=duration,
            simulated=simulated,
            failed_samples=dict(found.failed_samples) if error is None else {},
        )

    def withdraw(self) -> None:
        """Send away every command that waits for an instrument; each is answered as not started."""
        for queue in self._queues.values():
            queue.withdraw()
        self.interlocks.withdraw()

    async def abort(self, wanted: Callable[[Command], bool] = lambda _: True) -> None:
        """Abort every running command, or those that are wanted; each is answered as aborted."""
        running = [*self._running.values(), *self._reconciling.values()]
        under_way = [(command, task) for command, task in running if wanted(command)]
        await asyncio.gather(*(self._abort(command, task) for command, task in under_way))

    async def _abort(self, command: Command, task: asyncio.Future[Any]) -> bool:
        self._aborted.add(command.id)
        try:
            stopped = await asyncio.wait_for(self.instruments[command.instrument].abort(command), _SAFE_LIMIT)
        except Exception:  # noqa: BLE001  the others must be aborted too; safe_state is told what it could not do
            stopped = False
        if stopped or not self.plan.instruments[command.instrument].description.is_real:
            task.cancel()
            return True
        self._aborted.discard(command.id)  # it cannot be stopped: it goes on and is answered as it ends
        return False

    async def safe_state(self, names: Collection[str] | None = None) -> dict[str, SafeReport]:
        """Bring every instrument, or those named, into its safe state; what one raises becomes an unconfirmed report."""
        chosen = {n: i for n, i in self.instruments.items() if names is None or n in names}

        async def one(instrument: Instrument) -> SafeReport:
            try:
                return await asyncio.wait_for(instrument.safe_state(), _SAFE_LIMIT)
            except TimeoutError:
                return SafeReport(confirmed=False, message=f"no answer within {_SAFE_LIMIT:g} s")
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
        return [command for command, _ in [*self._running.values(), *self._reconciling.values()]]

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

    def busy(self) -> dict[str, str]:
        """Return instrument → what it is doing."""
        running = {c.instrument: f"{c.action}, experiment {c.experiment}" for c, _ in self._running.values()}
        return {**self.interlocks.held_up(), **running}

    def truth(
        self, instrument: str, action: str, arguments: Mapping[str, object], sample: str
    ) -> dict[str, float] | None:
        """Return noise-free outcomes of an action on a sample, where the driver knows them; for benchmark and torture."""
        found = self.instruments[instrument].truth(action, arguments, sample)
        if found is not None and not all(math.isfinite(v) for v in found.values()):
            raise DriverError(f"{instrument}.truth gave a value that is not finite: {dict(found)}")
        return None if found is None else dict(found)

    def _simulated(self, command: Command) -> bool:
        return self.plan.instruments[command.instrument].description.nature in {"simulated", "calculation"}

    def _spec(self, command: Command) -> ActionSpec:
        if command.instrument not in self.plan.instruments:
            raise ProtocolError(f"command {command.id}: the lab has no instrument '{command.instrument}'")
        description = self.plan.instruments[command.instrument].description
        if command.action not in description.actions:
            raise ProtocolError(f"command {command.id}: {command.instrument} has no action '{command.action}'")
        return description.actions[command.action]


def _interlocked(status: str, error: str | None, stopped: str) -> tuple[str, str]:
    """Return status and words of a command that an interlock stopped; what is not known stays unknown."""
    if status == "unknown":
        return status, f"{error}; {stopped}"
    if status == "succeeded":
        return "failed", f"{stopped} (it came to its end all the same, and its result is not used)"
    return "failed", stopped if status == "aborted" or error is None else f"{stopped} ({error})"


def _plain(value: object) -> object:
    """Return numpy's scalars as Python's: drivers give them, records cannot hold them."""
    return value.item() if isinstance(value, np.generic) else value


def _place_of(error: Exception) -> str:
    """Return ` (stirrer.py, line 21)` for the innermost place in a driver's code; an error nobody foresaw needs it."""
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path(__file__).parent.parent)
    place = next((f for f in reversed(frames) if not f.filename.startswith(here)), None)
    return "" if place is None else f" ({Path(place.filename).name}, line {place.lineno})"


async def _quiet(fraction: float, message: str) -> None:
    """Report to nobody."""
