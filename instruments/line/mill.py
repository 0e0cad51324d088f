"""Planetary ball mill: grinds a sample's powder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from sdl_instruments.ceramics.base import Store

from sdl.driver import Context, Limits, Reading, Unit, action

from .base import StoppableInstrument
from .milling import mill
from .samples import MILL_SETUP, milled_hours

if TYPE_CHECKING:
    from sdl.world import Operation

EMPTYING = 600.0
"""Time for sieving the powder off the balls, s. Chosen."""

SIZE_NOISE = 0.05
"""Standard deviation of the particle size by laser diffraction, as a share of it. Chosen."""


@dataclass(frozen=True)
class MillResult:
    """What was found of the powder.

    Attributes:
        particle_size: median by laser diffraction, um.
    """

    particle_size: Annotated[float, Unit("um")]


def mill_seconds(arguments: Mapping[str, Any]) -> float:
    """Return how long a milling takes, s, filling and emptying included."""
    return MILL_SETUP + 3600.0 * float(arguments["duration"]) + EMPTYING


class Mill(StoppableInstrument):
    """Simulated planetary ball mill with zirconia balls: the powder becomes finer, and takes up what comes off the balls."""

    readings: ClassVar[Mapping[str, str] | None] = {"state": "dimensionless", "speed": "rpm"}

    @action(effect="irreversible", duration=mill_seconds, abortable=True)
    async def mill(
        self,
        ctx: Context,
        duration: Annotated[float, Unit("h"), Limits(0.1, 24.0)],
        speed: Annotated[float, Unit("rpm"), Limits(100.0, 600.0)],
    ) -> MillResult:
        """Grind a sample's powder."""
        del speed
        self.sample_for(ctx).require_powder()
        return self.result_of(await self.carry_out(ctx, mill_seconds({"duration": duration})), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> MillResult:
        """Return the particle size as measured."""
        del store
        before = self.sample_before(operation)
        after = mill(before.powder, milled_hours(operation), float(operation.arguments["speed"]))
        noise = float(self.rng(operation, "particle size").normal())
        return MillResult(float(after.size) * math.exp(SIZE_NOISE * noise))

    def at_rest(self, operation: Operation | None) -> str:
        """Return what is read back when the drive is off."""
        del operation
        return "drive off, the mill stands"

    async def read_state(self) -> Mapping[str, Reading]:
        """Read the speed (rpm) beside what is going on."""
        state = dict(await super().read_state())
        operation = self.under_way()
        speed = 0.0 if operation is None else float(operation.arguments["speed"])
        state["speed"] = Reading(speed, "rpm", self.clock.now())
        return state
