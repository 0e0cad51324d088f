"""A lab within the campaign's own process: for simulated, replay, manual and calculation instruments.

Real instruments are refused here unless the lab file says `allow_real: true`, and then each belongs to one process by an
operating-system lock: a dying campaign must not take a firing with it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sdl.driver import ArtefactRef, Command, Context, Health, Instrument, Reconciled, Reply, SafeReport
from sdl.errors import DriverError, InstrumentFault, LimitError, OutcomeUnknown, ProtocolError
from sdl.lab.queue import InstrumentQueue
from sdl.ledger import Ownership

if TYPE_CHECKING:
    from pathlib import Path

    from sdl.clock import Clock
    from sdl.driver import ActionSpec
    from sdl.lab.interface import Progress
    from sdl.lab.plan import InstrumentPlan, LabPlan
    from sdl.world import World

_POLL = 1.0
"""Seconds of lab time between two questions to an instrument that still runs a dead process's command."""

Store = Callable[[str, bytes, str], ArtefactRef]


class EmbeddedLab:
    """Carries commands out on instruments in this process.

    Args:
        plan: the lab.
        clock: its time.
        store: keeps artefacts.
        world: the simulated truth, or None.
        locks: folder of the locks by which real instruments belong to one process.
    """

    def __init__(self, plan: LabPlan, clock: Clock, store: Store, world: World | None, locks: Path | None = None) -> None:
        self.plan = plan
        self.clock = clock
        self.world = world
        self._store = store
        self._locks = locks
        self._claims: list[Ownership] = []
        self.instruments: dict[str, Instrument] = {}
        self._queues = {name: InstrumentQueue(clock) for name in plan.instruments}
        self._accepted: dict[str, str] = {}
        self._epochs: dict[str, int] = {}
        self._running: dict[str, tuple[Command, asyncio.Task[Mapping[str, object]]]] = {}
        self._aborted: set[str] = set()

    async def open(self) -> None:
        """Make and connect every instrument.

        Raises:
            DriverError: one cannot be connected; all that fail are named.
            NameInUseError: a real instrument belongs to another process.
        """
        failures = []
        for name, plan in self.plan.instruments.items():
            if plan.description.nature == "real" and self._locks is not None:
                self._claim(name, plan)
            instrument = plan.make(name, plan.settings, clock=self.clock, world=self.world)
            instrument.store = self._store
            self.instruments[name] = instrument
            try:
                await instrument.connect()
            except Exception as error:  # noqa: BLE001  all that fail are named together
                failures.append(f"{name} ({plan.driver}): {type(error).__name__}: {error}")
        if failures:
            await self.close()
            raise DriverError("cannot connect:\n  " + "\n  ".join(failures))

    def _claim(self, name: str, plan: InstrumentPlan) -> None:
        if self._locks is None:
            return
        claim = Ownership(self._locks, f"instrument-{self.plan.name}-{name}-{plan.driver}")
        claim.take()
        self._claims.append(claim)

    async def close(self) -> None:
        """Let go of every instrument."""
        for instrument in self.instruments.values():
            await instrument.close()
        self.instruments.clear()
        for claim in self._claims:
            claim.release()
        self._claims.clear()
        if self.world is not None:
            self.world.close()

    async def execute(self, command: Command, begins_sample: bool, progress: Progress | None = None) -> Reply:
        """Queue for the instrument, carry the command out, and answer; see `Lab.execute`."""
        spec = self._accept(command)
        simulated = self._simulated(command)
        try:
            arguments = spec.check(command.arguments)
        except LimitError as error:
            return Reply(command.id, "failed", error=str(error), simulated=simulated)
        queue = self._queues[command.instrument]
        if not await queue.take(begins_sample):
            return Reply(command.id, "not_started", error="withdrawn from the queue", simulated=simulated)
        try:
            return await self._perform(command, spec, arguments, progress)
        finally:
            queue.give()

    async def _perform(
        self, command: Command, spec: ActionSpec, arguments: Mapping[str, object], progress: Progress | None
    ) -> Reply:
        artefacts: list[ArtefactRef] = []

        def keep(name: str, data: bytes, media_type: str) -> ArtefactRef:
            artefacts.append(self._store(name, data, media_type))
            return artefacts[-1]

        ctx = Context(command, self.clock, self.world, keep, progress or _quiet)
        instrument = self.instruments[command.instrument]
        started, began = self.clock.now(), self.clock.elapsed()
        task = asyncio.ensure_future(instrument.perform(command.action, ctx, arguments))
        self._running[command.id] = (command, task)
        status, values, error = "succeeded", {}, None
        try:
            values = dict(await task)
            error = spec.check_result(values)
            if error is not None:
                status, error = "failed", f"the result cannot be used: {error}"
        except asyncio.CancelledError:
            if command.id not in self._aborted:
                raise
            status, error = "aborted", "aborted on request"
        except OutcomeUnknown as unknown:
            status, error = "unknown", str(unknown)
        except InstrumentFault as fault:
            status, error = "failed", str(fault)
        except Exception as broken:  # noqa: BLE001  whatever a driver raises is the experiment's failure, not the campaign's
            status, error = "failed", f"{type(broken).__name__}: {broken}"
        finally:
            self._running.pop(command.id, None)
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
        )

    async def reconcile(self, command: Command) -> Reply | None:
        """Ask the instrument what became of a command that a dead process sent; see `Lab.reconcile`."""
        instrument = self.instruments[command.instrument]
        while True:
            found: Reconciled = await instrument.reconcile(command)
            if found.state != "running":
                break
            moment = found.ends if found.ends is not None else self.clock.now() + _POLL
            await self.clock.sleep_until(moment, (command.experiment, command.step))
        if found.state == "not_started":
            return None
        simulated = self._simulated(command)
        if found.state == "unknown":
            text = "the process died while the command was under way, and the instrument cannot say what became of it"
            return Reply(command.id, "unknown", error=text, simulated=simulated)
        error = found.error
        if error is None:
            problem = self.plan.instruments[command.instrument].description.actions[command.action].check_result(found.values)
            error = None if problem is None else f"the result cannot be used: {problem}"
        duration = None
        if found.started is not None and found.finished is not None:
            duration = found.finished - found.started
        return Reply(
            command=command.id,
            status="succeeded" if error is None else "failed",
            values=dict(found.values) if error is None else {},
            artefacts=found.artefacts,
            error=error,
            started=found.started,
            finished=found.finished,
            duration=duration,
            simulated=simulated,
        )

    def withdraw(self) -> None:
        """Send away every command that waits for an instrument; each is answered as not started."""
        for queue in self._queues.values():
            queue.withdraw()

    async def abort(self) -> None:
        """Abort every running command; each is answered as aborted."""
        for command, task in list(self._running.values()):
            self._aborted.add(command.id)
            stopped = await self.instruments[command.instrument].abort(command)
            if stopped or not self.plan.instruments[command.instrument].description.is_real:
                task.cancel()
            else:
                self._aborted.discard(command.id)  # it cannot be stopped: it goes on and is answered as it ends

    async def safe_state(self) -> dict[str, SafeReport]:
        """Bring every instrument into its safe state; what an instrument raises becomes an unconfirmed report."""
        reports = {}
        for name, instrument in self.instruments.items():
            try:
                reports[name] = await instrument.safe_state()
            except Exception as error:  # noqa: BLE001  the others must be made safe too
                reports[name] = SafeReport(False, f"{type(error).__name__}: {error}")
        return reports

    async def health(self) -> dict[str, Health]:
        """Ask every instrument whether it can work."""
        return {name: await instrument.health() for name, instrument in self.instruments.items()}

    def busy(self) -> dict[str, str]:
        """Return instrument → what it is doing."""
        return {
            command.instrument: f"{command.action}, experiment {command.experiment}"
            for command, _ in self._running.values()
        }

    def truth(self, instrument: str, action: str, arguments: Mapping[str, object], sample: str) -> dict[str, float] | None:
        """Return noise-free outcomes of an action on a sample, where the driver knows them; for benchmark and torture."""
        found = self.instruments[instrument].truth(action, arguments, sample)
        if found is not None and not all(math.isfinite(v) for v in found.values()):
            raise DriverError(f"{instrument}.truth gave a value that is not finite: {dict(found)}")
        return None if found is None else dict(found)

    def _simulated(self, command: Command) -> bool:
        return self.plan.instruments[command.instrument].description.nature in {"simulated", "calculation"}

    def _accept(self, command: Command) -> ActionSpec:
        if command.instrument not in self.plan.instruments:
            raise ProtocolError(f"command {command.id}: the lab has no instrument '{command.instrument}'")
        description = self.plan.instruments[command.instrument].description
        if command.action not in description.actions:
            raise ProtocolError(f"command {command.id}: {command.instrument} has no action '{command.action}'")
        epoch = self._epochs.get(command.campaign, 0)
        if command.epoch < epoch:
            raise ProtocolError(
                f"command {command.id} comes from epoch {command.epoch} of '{command.campaign}', which process "
                f"{epoch} has taken over; nothing was moved"
            )
        if command.id in self._accepted:
            same = self._accepted[command.id] == command.digest
            raise ProtocolError(
                f"command {command.id} was accepted before{'' if same else ' with other arguments'}; nothing was moved"
            )
        self._epochs[command.campaign] = command.epoch
        self._accepted[command.id] = command.digest
        return description.actions[command.action]


async def _quiet(fraction: float, message: str) -> None:
    """Report to nobody."""
