"""A press whose speed and heat a test sets."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from enginekit import Press

from sdl.clock import VIRTUAL_EPOCH
from sdl.driver import Context, Limits, Reading, Reconciled, Unit, action


class SlowPress(Press):
    """A press that should take an hour, and takes what the test says; hot after so many hours of lab time."""

    takes: ClassVar[dict[int, float]] = {}
    hot_from: ClassVar[float] = float("inf")

    @action(effect="irreversible", duration="1 h", abortable=True, late="2 h")
    async def press(self, ctx: Context, force: Annotated[float, Unit("kN"), Limits(0, 100)]) -> None:
        """Press a pellet."""
        await ctx.sleep(self.takes.get(ctx.command.experiment, 3600.0))
        if ctx.command.experiment in self.behaviour.fails | self.behaviour.unknown:
            await super().press(ctx, force)

    async def read_state(self) -> dict[str, Reading]:
        now = self.clock.now()
        hot = now - VIRTUAL_EPOCH >= self.hot_from
        return {"ram": Reading(80.0 if hot else 20.0, "degC", now)}

    async def reconcile(self, command: Any) -> Reconciled:
        if self.behaviour.reconciles == "running":
            ends = VIRTUAL_EPOCH + 4 * 3600
            began = VIRTUAL_EPOCH
            if self.clock.now() < ends:
                return Reconciled("running", started=began, ends=ends)
            return Reconciled("done", {}, started=began, finished=ends)
        return await super().reconcile(command)
