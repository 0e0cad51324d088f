"""Batch furnace: sinters up to four samples at once, each at a position of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from sdl_instruments.ceramics.base import Store
from sdl_instruments.ceramics.furnace import THERMOCOUPLE_NOISE
from sdl_instruments.ceramics.thermal import COLD

from sdl.driver import Context, Limits, Reading, Role, Unit, action
from sdl.errors import InstrumentFault, listed

from .base import StoppableInstrument
from .chamber import programme_of
from .press import containers
from .programme import Programme
from .samples import LineSample, cracks

if TYPE_CHECKING:
    from sdl.world import Operation

POSITIONS = 4
"""How many samples the chamber holds."""

HOTTEST = 1400.0
"""Highest temperature, degC."""

SLOWEST, FASTEST = 0.5, 20.0
"""Heating and cooling rates that the furnace can hold, K/min."""


@dataclass(frozen=True)
class BatchResult:
    """What the furnace's log says.

    Attributes:
        peak_temperature: highest temperature that the thermocouple read, degC.
    """

    peak_temperature: Annotated[float, Unit("degC")]


def sinter_seconds(arguments: Mapping[str, Any]) -> float:
    """Return how long a sintering takes, s: heating, the hold, and cooling at the same rate."""
    ramp = float(arguments["ramp"]) / 60.0
    return Programme(float(arguments["temperature"]), 3600.0 * float(arguments["hold"]), ramp).seconds


class BatchFurnace(StoppableInstrument):
    """Simulated batch furnace with four positions; its loader takes samples from the rack and puts them back."""

    readings: ClassVar[Mapping[str, str] | None] = {
        "state": "dimensionless",
        "firings": "dimensionless",
        "chamber_temperature": "degC",
    }

    @action(effect="irreversible", duration=sinter_seconds, abortable=True, samples=POSITIONS)
    async def sinter(
        self,
        ctx: Context,
        temperature: Annotated[float, Unit("degC"), Limits(COLD, HOTTEST), Role("heats")],
        hold: Annotated[float, Unit("h"), Limits(0.0, 48.0)],
        ramp: Annotated[float, Unit("K/min"), Limits(SLOWEST, FASTEST)],
        atmosphere: Literal["air", "argon", "oxygen"],
    ) -> BatchResult:
        """Heat up to four samples at a rate, hold them at temperature and cool them at the same rate."""
        del atmosphere
        if not 1 <= len(ctx.samples) <= POSITIONS:
            raise InstrumentFault(
                f"{self.name}: a load is 1 to {POSITIONS} samples, the command has {len(ctx.samples)}; share it out"
            )
        self._check_load(self.samples_for(ctx), temperature)
        seconds = sinter_seconds({"temperature": temperature, "hold": hold, "ramp": ramp})
        operation = await self.carry_out(ctx, seconds)
        for sample, reason in self.failures_of(operation).items():
            ctx.sample_failed(sample, reason)
        return self.result_of(operation, ctx.store)

    def _check_load(self, load: list[LineSample], temperature: float) -> None:
        """Check that every sample may go in.

        Raises:
            InstrumentFault: one may not; all that may not are named.
        """
        stands = containers(self._world)
        wrong = []
        for sample in load:
            try:
                sample.require_pressed()
            except InstrumentFault as fault:
                wrong.append(str(fault))
                continue
            container = sample.container or ""
            if stands is None:
                continue
            if container not in stands:
                wrong.append(
                    f"sample '{sample.name}' is in a container '{container}' that the lab does not know; "
                    f"there are {listed(stands)}"
                )
            elif temperature > stands[container]:
                wrong.append(
                    f"sample '{sample.name}' is in a container '{container}', which stands {stands[container]:g} degC, "
                    f"not {temperature:g} degC; use another container or a lower temperature"
                )
        if wrong:
            raise InstrumentFault(f"{self.name}: nothing was heated: {'; '.join(wrong)}")

    def failures_of(self, operation: Operation) -> Mapping[str, str]:
        """Return the samples that cracked."""
        return {
            sample: f"{self.name}: sample '{sample}' cracked in the furnace; make a new one"
            for sample in operation.samples
            if cracks(self._world, operation, self.sample_before(operation, sample))
        }

    def result_of(self, operation: Operation, store: Store) -> BatchResult:
        """Return what the furnace's log says."""
        del store
        noise = float(self.rng(operation, "thermocouple").normal())
        peak = float(operation.arguments["temperature"]) + THERMOCOUPLE_NOISE * noise
        return BatchResult(peak)

    def celsius(self, operation: Operation | None) -> float:
        """Return the chamber's temperature now, degC."""
        if operation is None:
            return COLD
        stopped = None if operation.aborted is None else operation.over - operation.begins
        return programme_of(operation).chamber(self.clock.now() - operation.begins, stopped)

    def doing(self, operation: Operation) -> str:
        """Return in words what is going on, with the chamber's temperature."""
        cooling = "" if operation.aborted is None else "aborted, cooling, "
        return f"{super().doing(operation)} ({cooling}chamber at {self.celsius(operation):.0f} degC)"

    def at_rest(self, operation: Operation | None) -> str:
        """Return what is read back when the heater is off."""
        return f"heater off, chamber at {self.celsius(operation):.0f} degC"

    async def read_state(self) -> Mapping[str, Reading]:
        """Read the chamber's temperature (degC), how many firings it began, and the gas beside what is going on."""
        now = self.clock.now()
        operation = self.under_way()
        state = dict(await super().read_state())
        begun = sum(o.instrument == self.name and o.action == "sinter" for o in self._world.all_operations())
        state["firings"] = Reading(begun, "dimensionless", now)
        state["chamber_temperature"] = Reading(self.celsius(operation), "degC", now)
        if operation is not None:
            state["atmosphere"] = Reading(str(operation.arguments["atmosphere"]), "dimensionless", now)
            if operation.aborted is not None:
                state["state"] = Reading("cooling", "dimensionless", now)
        return state
