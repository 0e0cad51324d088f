"""Impedance analyser of the line: the spectrum of a pellet between blocking electrodes, as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl_instruments.ceramics.base import Store
from sdl_instruments.ceramics.impedance import ImpedanceResult, take_spectrum

from sdl.driver import Context, action

from .base import LineInstrument

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sdl.world import Operation

SECONDS = 2700.0
"""Time for painting electrodes and sweeping. As in the simulated ceramics lab."""


class LineImpedanceAnalyser(LineInstrument):
    """Simulated impedance analyser of a ceramics line: 10 MHz to 0.02 Hz at 25 degC."""

    @action(effect="reads", duration="45 min", raw=["impedance spectroscopy"])
    async def measure(self, ctx: Context) -> ImpedanceResult:
        """Paint electrodes on a pellet and measure its impedance spectrum."""
        self.sample_for(ctx).require_fired()
        return self.result_of(await self.carry_out(ctx, SECONDS), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> ImpedanceResult:
        """Return the log and keep the spectrum."""
        return take_spectrum(self, operation, self.sample_before(operation), store)

    def truth(self, action_name: str, arguments: Mapping[str, Any], sample: str) -> Mapping[str, float] | None:
        """Return the sample's true conductivity at 25 degC, mS/cm, or None where there is no such whole, fired pellet."""
        del arguments
        now = self.sample_now(sample)
        return {"bulk_conductivity": now.conductivity} if action_name == "measure" and now.measurable else None
