"""What the simulated ceramics instruments have in common: an effect is recorded, waited for, and only then read.

The result of a command is a function of the world's record alone. So the process that began it and one that asks after a
crash (`reconcile`) get the very same values and artefacts.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sdl.clock import utc_text
from sdl.driver import (
    ArtefactRef,
    Command,
    Context,
    DriverSettings,
    Health,
    Instrument,
    Reading,
    Reconciled,
    SafeReport,
)
from sdl.errors import DriverError, InstrumentFault, InstrumentRefused

from .samples import Sample, failure_rate, free_at, sample_at

if TYPE_CHECKING:
    import numpy as np

    from sdl.clock import Clock
    from sdl.world import Operation, World

Store = Callable[[str, bytes, str], ArtefactRef]


class WorldInstrument(Instrument):
    """Base of instruments whose effects stand in the world's record."""

    nature = "simulated"
    readings: ClassVar[Mapping[str, str] | None] = {"state": "dimensionless"}
    world_settings = ("failure_rate",)

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        if world is None:
            raise DriverError(
                f"{name}: a simulated ceramics instrument needs a world; give the lab file 'world: {{seed: 1}}'"
            )
        failure_rate(world)
        self._world = world
        self._waiting: dict[str, asyncio.Task[Any]] = {}
        self._made_safe: set[str] = set()

    @abstractmethod
    def result_of(self, operation: Operation, store: Store) -> Any:  # noqa: ANN401  each instrument's own dataclass
        """Return the result of an effect that is over, as a dataclass; a function of the world's record alone.

        Raises:
            InstrumentFault: the effect failed.
        """

    def failures_of(self, operation: Operation) -> Mapping[str, str]:
        """Return sample → what went wrong with it alone in an effect that is over; a function of the world's record alone."""
        del operation
        return {}

    def free_at(self, operation: Operation) -> float:
        """Return the moment at which an effect lets go of its samples and of this instrument."""
        return free_at(operation)

    def require_idle(self) -> None:
        """Check that this instrument can begin something.

        Raises:
            InstrumentFault: it is busy.
        """
        other = self.under_way()
        if other is not None:
            raise InstrumentRefused(
                f"{self.name} is busy: {self.doing(other)} until {utc_text(self.free_at(other))}; wait until then"
            )

    def doing(self, operation: Operation) -> str:
        """Return in words what is going on."""
        return f"{operation.action} of {samples_text(operation)}"

    async def carry_out(self, ctx: Context, seconds: float, also: Mapping[str, Any] | None = None) -> Operation:
        """Record that the effect begins, and wait until it is over.

        Args:
            ctx: of the action.
            seconds: how long it takes.
            also: what the record keeps beside the command's arguments.

        Raises:
            InstrumentFault: it was stopped on the way by `safe_state`.
            asyncio.CancelledError: it was aborted, or nobody waits any more (the effect then goes on by itself).
        """
        command = replace(ctx.command, arguments={**ctx.command.arguments, **also}) if also else ctx.command
        operation = self._world.begin(command, self.clock.now(), seconds)
        task = asyncio.current_task()
        if task is not None:
            self._waiting[operation.command] = task
        try:
            await ctx.sleep_until(operation.ends)
        except asyncio.CancelledError:
            # `safe_state` wakes this wait by cancelling it, and the caller, who did not ask for that, is told a fault.
            if task is None or operation.command not in self._made_safe:
                raise
            task.uncancel()
        finally:
            self._waiting.pop(operation.command, None)
        now = self._world.operation(operation.command)
        if now is not None and now.aborted is not None:
            raise InstrumentFault(aborted_text(now))
        return operation

    def rng(self, operation: Operation, purpose: str) -> np.random.Generator:
        """Return the source of an effect's draws; two instruments that measure one sample draw differently."""
        return self._world.rng(
            operation.sample, operation.action, operation.occurrence, f"{operation.instrument}: {purpose}"
        )

    async def reconcile(self, command: Command) -> Reconciled:
        """Say what became of a command: the world's record tells."""
        operation = self._world.operation(command.id)
        if operation is None:
            return Reconciled("not_started")
        if operation.aborted is not None:
            return Reconciled(
                "aborted", error=aborted_text(operation), started=operation.begins, finished=operation.over
            )
        if self.clock.now() < operation.ends:
            return Reconciled("running", started=operation.begins, ends=operation.ends)
        artefacts: list[ArtefactRef] = []

        def keep(name: str, data: bytes, media_type: str) -> ArtefactRef:
            artefacts.append(self.store(name, data, media_type))
            return artefacts[-1]

        try:
            values = asdict(self.result_of(operation, keep))
        except InstrumentFault as fault:
            return Reconciled("done", error=str(fault), started=operation.begins, finished=operation.over)
        return Reconciled(
            "done",
            values,
            tuple(artefacts),
            started=operation.begins,
            finished=operation.over,
            failed_samples=dict(self.failures_of(operation)),
        )

    async def stop(self, command_id: str, *, safe: bool = False) -> bool:
        """Stop an effect of this instrument now and cancel the action that waits for it; returns whether it was running.

        Args:
            command_id: of the effect.
            safe: whether the action is to end with a fault instead of a cancellation.
        """
        operation = self._world.operation(command_id)
        now = self.clock.now()
        if operation is None or operation.aborted is not None or now >= operation.ends:
            return False
        self._world.abort(command_id, now)
        if safe:
            self._made_safe.add(command_id)
        task = self._waiting.pop(command_id, None)
        if task is not None and not task.done():
            task.cancel()
            await asyncio.sleep(0)  # lets the action wake before anybody lets virtual time go on
        return True

    def under_way(self) -> Operation | None:
        """Return this instrument's effect that is going on, cooling included, or None."""
        now = self.clock.now()
        mine = [
            o for o in self._world.all_operations() if o.instrument == self.name and o.begins <= now < self.free_at(o)
        ]
        return mine[-1] if mine else None

    async def health(self) -> Health:
        """Ask the world whether it answers."""
        operation = self.under_way()
        if operation is None:
            return Health("ok", "idle")
        return Health("ok", f"{self.doing(operation)} until {utc_text(self.free_at(operation))}")

    async def read_state(self) -> Mapping[str, Reading]:
        """Read whether the instrument is busy, and with which sample."""
        now = self.clock.now()
        operation = self.under_way()
        state = {"state": Reading("idle" if operation is None else operation.action, "dimensionless", now)}
        if operation is not None:
            state["sample"] = Reading(", ".join(operation.samples), "dimensionless", now)
            state["time_left"] = Reading(self.free_at(operation) - now, "s", now)
        return state

    async def safe_state(self) -> SafeReport:
        """Confirm that nothing here can do harm: a balance or a measuring cell moves and heats nothing."""
        operation = self.under_way()
        text = "idle" if operation is None else f"harmless: {operation.action} goes on by itself"
        return SafeReport(confirmed=True, message=text)


class CeramicsInstrument(WorldInstrument):
    """Base of the simulated ceramics instruments."""

    def sample_for(self, ctx: Context) -> Sample:
        """Return the command's one sample as it is now, after checking that it and this instrument are free.

        Raises:
            InstrumentFault: the command has none or several, the sample is in an instrument, or this one is busy.
        """
        if len(ctx.samples) != 1:
            raise InstrumentFault(
                f"{self.name}: {ctx.command.action} takes one sample, the command has {len(ctx.samples)}"
            )
        sample = sample_at(self._world, ctx.samples[0], self.clock.now())
        sample.require_free()
        self.require_idle()
        return sample

    def sample_before(self, operation: Operation) -> Sample:
        """Return the sample as it was when the effect began."""
        return sample_at(self._world, operation.sample, operation.begins)


def samples_text(operation: Operation) -> str:
    """Return `sample 'a'`, or `samples 'a', 'b'`."""
    names = ", ".join(f"'{s}'" for s in operation.samples)
    return f"sample{'s' if len(operation.samples) > 1 else ''} {names}"


def aborted_text(operation: Operation) -> str:
    """Return what to say of an effect that was stopped."""
    return (
        f"{operation.instrument}: {operation.action} of {samples_text(operation)} was aborted at "
        f"{utc_text(operation.over)}, {operation.over - operation.begins:.0f} s after its start; "
        f"{'they keep what they' if len(operation.samples) > 1 else 'the sample keeps what it'} got until then"
    )
