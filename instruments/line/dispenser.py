"""Dispenser of the line: doses garnet powder, a lithium salt and gallium oxide into a vial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator
from sdl_instruments.ceramics.base import Store
from sdl_instruments.ceramics.dispenser import MASS_NOISE
from sdl_instruments.ceramics.samples import lithium_excess

from sdl.driver import Context, Description, DriverSettings, Limits, Unit, Use, action
from sdl.errors import InstrumentFault, InstrumentRefused, SdlError
from sdl.units import read_quantity

from .base import LineInstrument
from .lots import dispensed, next_lot, stock

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.world import Operation, World

SECONDS, SECONDS_PER_GRAM = 300.0, 60.0
"""Time for taring and for dosing a gram of powder."""


class LineDispenserSettings(DriverSettings):
    """What the dispenser holds.

    Attributes:
        powder: name of the consumable.
        lot: how much of it is in a jar, such as `60 g`.
    """

    powder: str = Field("garnet_powder", min_length=1, description="Name of the lab's consumable that is weighed in.")
    lot: str = Field("60 g", description="How much powder is in a jar; every jar is a little different.")

    @field_validator("lot")
    @classmethod
    def _mass(cls, value: str) -> str:
        try:
            grams = read_quantity(value).to("g")
        except SdlError as error:
            raise ValueError(str(error)) from error
        if not grams > 0:
            raise ValueError(f"a jar holds more than 0 g, not {value}")
        return value

    @property
    def lot_size(self) -> float:
        """How much powder is in a jar, g."""
        return read_quantity(self.lot).to("g")


@dataclass(frozen=True)
class DoseResult:
    """What the balance read back.

    Attributes:
        mass: weighed in, g.
        li_excess: lithium beyond what the garnet needs, as a share of it, had the powder the composition on its label.
        gallium: per formula unit.
        lot: number of the jar, from 0.
    """

    mass: Annotated[float, Unit("g")]
    li_excess: Annotated[float, Unit("dimensionless")]
    gallium: Annotated[float, Unit("dimensionless")]
    lot: Annotated[int, Unit("dimensionless")]


def dose_seconds(arguments: Mapping[str, Any]) -> float:
    """Return how long a weighing takes, s."""
    return SECONDS + SECONDS_PER_GRAM * float(arguments["mass"])


class LineDispenser(LineInstrument):
    """Simulated dispenser of a ceramics line: weighs garnet powder with lithium excess and gallium, jar after jar."""

    settings_model = LineDispenserSettings

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        assert isinstance(settings, LineDispenserSettings)
        self._powder, self._lot_size = settings.powder, settings.lot_size

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "") -> Description:
        """Return the description; which consumable is used up follows from the settings."""
        assert isinstance(settings, LineDispenserSettings)
        found = super().describe(settings, driver)
        weigh = replace(found.actions["weigh"], uses=(Use(settings.powder, "mass"),))
        return replace(found, actions={**found.actions, "weigh": weigh})

    @action(effect="irreversible", duration=dose_seconds)
    async def weigh(
        self,
        ctx: Context,
        li_excess: Annotated[float, Unit("dimensionless"), Limits(0.0, 0.3)],
        gallium: Annotated[float, Unit("dimensionless"), Limits(0.0, 0.5)],
        mass: Annotated[float, Unit("g"), Limits(0.5, 5.0)],
    ) -> DoseResult:
        """Weigh powder, lithium salt and gallium oxide into a vial: makes the sample."""
        del li_excess, gallium
        sample = self.sample_for(ctx)
        if sample.lot is not None:
            raise InstrumentFault(f"{self.name}: sample '{sample.name}' was weighed in already; use a new sample")
        begun = stock(self._world, self._powder)
        if begun is not None:
            left = begun - dispensed(self._world, self._powder)
            if mass > left + 1e-9:
                raise InstrumentRefused(
                    f"{self.name}: {mass:g} g of '{self._powder}' are asked for, {left:g} g of {begun:g} g are left; "
                    "nothing was weighed, fill it up or ask for less"
                )
        also = {"powder": self._powder, "lot": next_lot(self._world, self._powder, self._lot_size)}
        operation = await self.carry_out(ctx, dose_seconds({"mass": mass}), also)
        return self.result_of(operation, ctx.store)

    def result_of(self, operation: Operation, store: Store) -> DoseResult:
        """Return what the balance read."""
        del store
        noise = self.rng(operation, "balance").normal(size=3)
        mass = float(operation.arguments["mass"])
        return DoseResult(
            mass=mass + MASS_NOISE * float(noise[0]),
            # the same balance reads the salts, each about a tenth of the mass
            li_excess=lithium_excess(self._world, operation) + MASS_NOISE / (0.1 * mass) * float(noise[1]),
            gallium=float(operation.arguments["gallium"]) + MASS_NOISE / (0.1 * mass) * float(noise[2]),
            lot=int(operation.arguments["lot"]),
        )
