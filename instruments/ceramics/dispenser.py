"""Dispenser: weighs precursor powders in and presses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from sdl.driver import Context, Limits, Unit, action
from sdl.errors import InstrumentFault

from .base import CeramicsInstrument, Store
from .samples import lithium_excess

if TYPE_CHECKING:
    from sdl.world import Operation

SECONDS, SECONDS_PER_GRAM = 300.0, 60.0
"""Time for taring, mixing and pressing, and for dosing a gram of powder."""

MASS_NOISE = 0.0005
"""Standard deviation of the balance, g. Chosen: an analytical balance among vibrations."""


@dataclass(frozen=True)
class WeighResult:
    """What the balance read back.

    Attributes:
        mass: weighed in, g.
        li_excess: lithium beyond what the garnet needs, as a share of it.
    """

    mass: Annotated[float, Unit("g")]
    li_excess: Annotated[float, Unit("dimensionless")]


def weigh_seconds(arguments: Mapping[str, Any]) -> float:
    """Return how long a weighing takes, s."""
    return SECONDS + SECONDS_PER_GRAM * float(arguments["mass"])


class Dispenser(CeramicsInstrument):
    """Simulated dispenser: weighs garnet precursors with a lithium excess and presses a pellet."""

    @action(effect="irreversible", duration=weigh_seconds)
    async def weigh(
        self,
        ctx: Context,
        li_excess: Annotated[float, Unit("dimensionless"), Limits(0.0, 0.3)],
        mass: Annotated[float, Unit("g"), Limits(0.1, 10.0)],
    ) -> WeighResult:
        """Weigh powders in and press them: makes the sample."""
        del li_excess
        sample = self.sample_for(ctx)
        if sample.weighed is not None:
            raise InstrumentFault(f"{self.name}: sample '{sample.name}' was weighed in already; use a new sample")
        operation = await self.carry_out(ctx, weigh_seconds({"mass": mass}))
        return self.result_of(operation, ctx.store)

    def result_of(self, operation: Operation, store: Store) -> WeighResult:
        """Return what the balance read."""
        del store
        noise = self.rng(operation, "balance").normal(size=2)
        mass = float(operation.arguments["mass"])
        return WeighResult(
            mass=mass + MASS_NOISE * float(noise[0]),
            # the same balance reads the lithium salt, about a tenth of the mass
            li_excess=lithium_excess(self._world, operation) + MASS_NOISE / (0.1 * mass) * float(noise[1]),
        )
