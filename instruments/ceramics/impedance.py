"""Impedance analyser: the spectrum of a pellet between blocking electrodes, as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from sdl.driver import Context, Unit, action

from .base import CeramicsInstrument, Store, WorldInstrument
from .samples import sample_at
from .spectrum import TEMPERATURE, Conductor, Geometry, measured_spectrum, spectrum_csv

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sdl.world import Operation

THICKNESS_NOISE = 0.002
"""Standard uncertainty of the calliper, cm. Chosen."""

AREA_NOISE = 0.012
"""Standard uncertainty of the electrode's area, as a share of it. Chosen: painted electrodes."""


@dataclass(frozen=True)
class ImpedanceResult:
    """What the analyser's log says; the spectrum itself is an artefact.

    Attributes:
        thickness: of the pellet, as measured, cm.
        area: of an electrode, as measured, cm².
        temperature: of the cell, degC.
    """

    thickness: Annotated[float, Unit("cm")]
    area: Annotated[float, Unit("cm**2")]
    temperature: Annotated[float, Unit("degC")]


class ImpedanceAnalyser(CeramicsInstrument):
    """Simulated impedance analyser: 10 MHz to 0.02 Hz at 25 degC."""

    @action(effect="reads", duration="45 min", raw=["impedance spectroscopy"])
    async def measure(self, ctx: Context) -> ImpedanceResult:
        """Paint electrodes on a pellet and measure its impedance spectrum."""
        self.sample_for(ctx).require_fired()
        return self.result_of(await self.carry_out(ctx, 2700.0), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> ImpedanceResult:
        """Return the log and keep the spectrum."""
        return take_spectrum(self, operation, self.sample_before(operation), store)

    def truth(self, action_name: str, arguments: Mapping[str, Any], sample: str) -> Mapping[str, float] | None:
        """Return the sample's true conductivity at 25 degC, mS/cm, or None where there is no such whole, fired pellet."""
        del arguments
        if action_name != "measure":
            return None
        now = sample_at(self._world, sample, self.clock.now())
        return None if not now.measurable else {"bulk_conductivity": now.conductivity}


def take_spectrum(analyser: WorldInstrument, operation: Operation, sample: Conductor, store: Store) -> ImpedanceResult:
    """Measure a pellet with calliper and analyser: keep the spectrum and return the log."""
    noise = analyser.rng(operation, "geometry").normal(size=2)
    geometry = Geometry(
        thickness=sample.thickness + THICKNESS_NOISE * float(noise[0]),
        thickness_uncertainty=THICKNESS_NOISE,
        area=sample.area * (1.0 + AREA_NOISE * float(noise[1])),
        area_uncertainty=AREA_NOISE * sample.area,
    )
    frequency, impedance = measured_spectrum(sample, analyser.rng(operation, "noise"), analyser.rng(operation, "leads"))
    text = spectrum_csv(frequency, impedance, geometry, sample=sample.name, instrument=operation.instrument)
    store("impedance_spectrum.csv", text.encode(), "text/csv")
    return ImpedanceResult(geometry.thickness, geometry.area, TEMPERATURE)
