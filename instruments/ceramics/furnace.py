"""Box furnace: sinters one sample at a time in a chosen gas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from sdl.driver import Command, Context, Limits, Reading, SafeReport, Unit, action
from sdl.errors import InstrumentFault

from .base import CeramicsInstrument, Store
from .samples import cracks, temperature_of
from .thermal import COLD, firing_seconds

if TYPE_CHECKING:
    from sdl.world import Operation

THERMOCOUPLE_NOISE = 0.8
"""Standard deviation of the thermocouple's reading, K. Chosen: type S."""


@dataclass(frozen=True)
class SinterResult:
    """What the furnace's log says.

    Attributes:
        peak_temperature: highest temperature that the thermocouple read, degC.
    """

    peak_temperature: Annotated[float, Unit("degC")]


def sinter_seconds(arguments: Mapping[str, Any]) -> float:
    """Return how long a sintering takes, s: per firing, heating at 5 K/min, the hold, and cooling at 5 K/min."""
    return firing_seconds(float(arguments["temperature"]), float(arguments["hold"]), int(arguments["firings"]))


class BoxFurnace(CeramicsInstrument):
    """Simulated box furnace with one chamber; heats and cools at 5 K/min."""

    readings: ClassVar[Mapping[str, str] | None] = {"state": "dimensionless", "chamber_temperature": "degC"}

    @action(effect="irreversible", duration=sinter_seconds, abortable=True)
    async def sinter(
        self,
        ctx: Context,
        temperature: Annotated[float, Unit("degC"), Limits(COLD, 1400.0)],
        hold: Annotated[float, Unit("h"), Limits(0.0, 48.0)],
        atmosphere: Literal["air", "argon", "oxygen"],
        firings: Annotated[int, Unit("dimensionless"), Limits(1, 3)],
    ) -> SinterResult:
        """Heat a sample, hold it at temperature and cool it, once or several times."""
        del atmosphere
        self.sample_for(ctx).require_weighed()
        seconds = sinter_seconds({"temperature": temperature, "hold": hold, "firings": firings})
        return self.result_of(await self.carry_out(ctx, seconds), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> SinterResult:
        """Return what the furnace's log says.

        Raises:
            InstrumentFault: the specimen cracked.
        """
        del store
        if cracks(self._world, operation):
            raise InstrumentFault(f"{self.name}: sample '{operation.sample}' cracked in the furnace; make a new one")
        noise = float(self.rng(operation, "thermocouple").normal())
        return SinterResult(float(operation.arguments["temperature"]) + THERMOCOUPLE_NOISE * noise)

    def doing(self, operation: Operation) -> str:
        """Return in words what is going on, with the chamber's temperature."""
        celsius = temperature_of(operation, self.clock.now())
        cooling = "" if operation.aborted is None else "aborted, cooling, "
        return f"{super().doing(operation)} ({cooling}chamber at {celsius:.0f} degC)"

    async def abort(self, command: Command) -> bool:
        """Switch the heater off: the chamber cools at 5 K/min, the sample keeps what it got."""
        return await self.stop(command.id)

    async def read_state(self) -> Mapping[str, Reading]:
        """Read the chamber's temperature (degC) and gas beside what is going on."""
        now = self.clock.now()
        operation = self.under_way()
        state = dict(await super().read_state())
        celsius = COLD if operation is None else temperature_of(operation, now)
        state["chamber_temperature"] = Reading(celsius, "degC", now)
        if operation is not None:
            state["atmosphere"] = Reading(str(operation.arguments["atmosphere"]), "dimensionless", now)
            if operation.aborted is not None:
                state["state"] = Reading("cooling", "dimensionless", now)
        return state

    async def safe_state(self) -> SafeReport:
        """Switch the heater off and read back that nothing heats."""
        operation = self.under_way()
        if operation is not None:
            await self.stop(operation.command, safe=True)
        operation = self.under_way()
        celsius = (await self.read_state())["chamber_temperature"].value
        confirmed = operation is None or operation.aborted is not None
        return SafeReport(
            confirmed=confirmed, message=f"heater {'off' if confirmed else 'ON'}, chamber at {celsius:.0f} degC"
        )
