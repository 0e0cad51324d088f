"""Pycnometer of the line: relative density of a fired pellet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl_instruments.ceramics.base import Store
from sdl_instruments.ceramics.pycnometer import DENSITY_NOISE, DensityResult

from sdl.driver import Context, action

from .base import LineInstrument

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sdl.world import Operation

SECONDS = 1200.0
"""Time for purging and expanding. As in the simulated ceramics lab."""


class LinePycnometer(LineInstrument):
    """Simulated pycnometer of a ceramics line: relative density by gas displacement."""

    @action(effect="reads", duration="20 min")
    async def measure(self, ctx: Context) -> DensityResult:
        """Measure a pellet's relative density."""
        self.sample_for(ctx).require_fired()
        return self.result_of(await self.carry_out(ctx, SECONDS), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> DensityResult:
        """Return the reading."""
        del store
        noise = float(self.rng(operation, "noise").normal())
        return DensityResult(self.sample_before(operation).density + DENSITY_NOISE * noise, DENSITY_NOISE)

    def truth(self, action_name: str, arguments: Mapping[str, Any], sample: str) -> Mapping[str, float] | None:
        """Return the sample's true relative density, or None where there is no such whole, fired pellet."""
        del arguments
        now = self.sample_now(sample)
        return {"relative_density": now.density} if action_name == "measure" and now.measurable else None
