"""What the instruments of the line have in common: they work on samples that lie at their place."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from sdl_instruments.ceramics.base import WorldInstrument

from sdl.driver import Command, SafeReport
from sdl.errors import InstrumentFault

from .places import capacities, require_at, require_room
from .samples import LineSample, free_at, sample_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.driver import Context
    from sdl.world import Operation


class LineInstrument(WorldInstrument):
    """Base of the instruments of the simulated ceramics line."""

    def free_at(self, operation: Operation) -> float:
        """Return the moment at which an effect lets go of its samples and of this instrument."""
        return free_at(operation)

    def sample_for(self, ctx: Context) -> LineSample:
        """Return the command's one sample as it is now, after checking that it is free and here and this instrument idle.

        Raises:
            InstrumentFault: the command has none or several, the sample is elsewhere, or something is busy.
        """
        if len(ctx.samples) != 1:
            raise InstrumentFault(
                f"{self.name}: {ctx.command.action} takes one sample, the command has {len(ctx.samples)}"
            )
        return self.samples_for(ctx)[0]

    def samples_for(self, ctx: Context) -> list[LineSample]:
        """Return the command's samples as they are now, after checking that they are free and here and this instrument idle.

        Raises:
            InstrumentFault: a sample is elsewhere, or something is busy.
        """
        self.require_idle()
        now = self.clock.now()
        found = []
        for name in ctx.samples:
            sample = sample_at(self._world, name, now)
            sample.require_free()
            require_at(self._world, name, ctx.place, now, self.name)
            found.append(sample)
        return found

    def sample_before(self, operation: Operation, name: str | None = None) -> LineSample:
        """Return a sample as it was when the effect began; the first one where none is named."""
        return sample_at(self._world, operation.sample if name is None else name, operation.begins)

    def sample_now(self, name: str) -> LineSample:
        """Return a sample as it is now."""
        return sample_at(self._world, name, self.clock.now())

    async def carry_out(self, ctx: Context, seconds: float, also: Mapping[str, Any] | None = None) -> Operation:
        """Record that the effect begins here, and wait until it is over; see `WorldInstrument.carry_out`.

        Raises:
            InstrumentFault: a sample that is new to the lab finds no room here, or the effect was stopped by `safe_state`.
        """
        if ctx.place is None:
            return await super().carry_out(ctx, seconds, also)
        if capacities(self._world) is not None:
            for sample in ctx.samples:
                require_room(self._world, ctx.place, sample, self.clock.now(), self.name)
        return await super().carry_out(ctx, seconds, {**(also or {}), "place": ctx.place})


class StoppableInstrument(LineInstrument):
    """Base of the instruments of the line that move or heat something: they can be stopped."""

    @abstractmethod
    def at_rest(self, operation: Operation | None) -> str:
        """Return in words what is read back when nothing drives this instrument any more.

        Args:
            operation: that still holds it (it cools, it goes back), or None.
        """

    async def abort(self, command: Command) -> bool:
        """Stop a running command; the sample keeps what it got until then."""
        return await self.stop(command.id)

    async def safe_state(self) -> SafeReport:
        """Stop, and read back that nothing is driven."""
        operation = self.under_way()
        if operation is not None:
            await self.stop(operation.command, safe=True)
        operation = self.under_way()
        confirmed = operation is None or operation.aborted is not None
        if operation is not None and operation.aborted is None:
            return SafeReport(confirmed=False, message=f"{self.doing(operation)} goes on")
        return SafeReport(confirmed=confirmed, message=self.at_rest(operation))
