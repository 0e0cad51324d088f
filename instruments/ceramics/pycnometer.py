"""Pycnometer: relative density of a fired pellet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from sdl.driver import Context, Unit, action

from .base import CeramicsInstrument, Store
from .samples import sample_at

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sdl.world import Operation

DENSITY_NOISE = 0.004
"""Standard uncertainty of the relative density. Chosen: a pellet of 2 g by gas displacement and geometry."""


@dataclass(frozen=True)
class DensityResult:
    """What the pycnometer found.

    Attributes:
        relative_density: density as a share of that without pores.
        relative_density_uncertainty: its standard uncertainty.
    """

    relative_density: Annotated[float, Unit("dimensionless")]
    relative_density_uncertainty: Annotated[float, Unit("dimensionless")]


class Pycnometer(CeramicsInstrument):
    """Simulated pycnometer: relative density by gas displacement."""

    @action(effect="reads", duration="20 min")
    async def measure(self, ctx: Context) -> DensityResult:
        """Measure a pellet's relative density."""
        self.sample_for(ctx).require_fired()
        return self.result_of(await self.carry_out(ctx, 1200.0), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> DensityResult:
        """Return the reading."""
        del store
        noise = float(self.rng(operation, "noise").normal())
        return DensityResult(self.sample_before(operation).density + DENSITY_NOISE * noise, DENSITY_NOISE)

    def truth(self, action_name: str, arguments: Mapping[str, Any], sample: str) -> Mapping[str, float] | None:
        """Return the sample's true relative density, or None where there is no such whole, fired pellet."""
        del arguments
        if action_name != "measure":
            return None
        now = sample_at(self._world, sample, self.clock.now())
        return None if not now.measurable else {"relative_density": now.density}
