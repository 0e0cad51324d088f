"""Press: makes a pellet of a sample's powder and puts it into a container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from sdl_instruments.ceramics.base import Store

from sdl.driver import Context, Limits, Role, Unit, action
from sdl.errors import InstrumentFault, listed, near_miss

from .base import LineInstrument
from .pressing import green_density

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.world import Operation, World

SECONDS = 600.0
"""Time for filling the die, pressing and pushing the pellet out. Chosen."""

DENSITY_NOISE = 0.006
"""Standard deviation of the green density, from the height of the punch. Chosen."""


@dataclass(frozen=True)
class PressResult:
    """What the press found.

    Attributes:
        green_density: relative density of the pressed powder.
    """

    green_density: Annotated[float, Unit("dimensionless")]


def containers(world: World) -> Mapping[str, float] | None:
    """Return kind of container → the temperature that it stands, degC, or None where the lab file names none."""
    found = world.settings.get("containers")
    return {str(name): float(stands) for name, stands in found.items()} if found else None


class Press(LineInstrument):
    """Simulated uniaxial press with a die of 12 mm; a handler puts the pellet into a container."""

    @action(effect="irreversible", duration="10 min")
    async def press(
        self,
        ctx: Context,
        pressure: Annotated[float, Unit("MPa"), Limits(20.0, 500.0)],
        container: Annotated[str, Role("container")],
    ) -> PressResult:
        """Press a sample's powder and put the pellet into a container."""
        del pressure
        self.sample_for(ctx).require_powder()
        known = containers(self._world)
        if known is not None and container not in known:
            raise InstrumentFault(
                f"{self.name}: there is no container '{container}'{near_miss(container, known)}; there are {listed(known)}"
            )
        return self.result_of(await self.carry_out(ctx, SECONDS), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> PressResult:
        """Return the green density as measured."""
        del store
        powder = self.sample_before(operation).powder
        noise = float(self.rng(operation, "height").normal())
        return PressResult(float(green_density(powder, float(operation.arguments["pressure"]))) + DENSITY_NOISE * noise)
