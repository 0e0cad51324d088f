"""What has become of a sample: the fold of all effects on it that are over, in the order in which they began.

Nothing else holds state. What varies between samples (weighing, powder, furnace position, quality of the garnet) is drawn
from the world's seed, the sample and the action, so that it is the same whoever asks, whenever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdl.clock import utc_text
from sdl.errors import DriverError, InstrumentFault, InstrumentRefused

from .physics import ATMOSPHERES, Body, Firings, boundaries, conductivity, fire, grains
from .thermal import COLD, RAMP, chamber_temperature, cut_short

if TYPE_CHECKING:
    from sdl.world import Operation, World

WEIGHING = 0.003
"""Standard deviation of the lithium excess between what was asked for and what lies in the crucible. Chosen."""

POWDER = 0.10
"""Standard deviation of how readily a batch of powder sinters, in ln(time). Chosen."""

PLACE = 1.5
"""Standard deviation of the temperature at the sample's place around the set point, K. Chosen."""

QUALITY = 0.02
"""Standard deviation of the garnet's conductivity from batch to batch, in ln. Chosen."""

CRYSTAL_DENSITY = 5.1
"""Density of the garnet without pores, g/cm³ (R. Murugan, V. Thangadurai, W. Weppner, Angew. Chem. Int. Ed. 46, 7778
(2007): about 5.1)."""

DIE_AREA = math.pi * 0.6**2
"""Area of the pressed pellet before firing, cm² (a die of 12 mm)."""


@dataclass(frozen=True)
class Sample:
    """A sample at one moment.

    Attributes:
        name: its id.
        moment: when, seconds since 1970.
        weighed: the effect that made it, or None where there is no such sample.
        lithium: weighed in, as a multiple of what the garnet needs; 0 where there is none.
        firings: firings that are over.
        body: what is inside it.
        quality: factor by which its garnet conducts better than the average batch.
        occupied: the effect that is going on, or None.
        cracked: whether it broke in the furnace.
    """

    name: str
    moment: float
    weighed: Operation | None
    lithium: float
    firings: int
    body: Body
    quality: float
    occupied: Operation | None
    cracked: bool

    @property
    def measurable(self) -> bool:
        """Whether it is a whole, fired pellet."""
        return self.weighed is not None and self.firings > 0 and not self.cracked

    @property
    def conductivity(self) -> float:
        """Conductivity of the pellet at 25 degC, mS/cm, without any measurement."""
        return float(conductivity(self.body, self.quality))

    @property
    def density(self) -> float:
        """Relative density, without any measurement."""
        return float(self.body.density)

    @property
    def grain_size(self) -> float:
        """Grain size, µm."""
        return float(self.body.grain)

    @property
    def grain_conductivity(self) -> float:
        """Conductivity of the grains at 25 degC without pores and boundaries, mS/cm."""
        return float(grains(self.body, self.quality))

    @property
    def boundary_resistivity(self) -> float:
        """Resistivity that grain boundaries add, kohm cm."""
        return float(boundaries(self.body))

    @property
    def mass(self) -> float:
        """Mass, g; what evaporates is below 1 % of it and is left out."""
        return 0.0 if self.weighed is None else float(self.weighed.arguments["mass"])

    @property
    def area(self) -> float:
        """Area of a face, cm²: the pellet shrinks alike in all directions."""
        green = float(fire(self.lithium, []).density)
        return float(DIE_AREA * (green / self.density) ** (2.0 / 3.0))

    @property
    def thickness(self) -> float:
        """Thickness, cm: the mass that fits under the area."""
        return self.mass / (CRYSTAL_DENSITY * self.density * self.area)

    def require_weighed(self) -> None:
        """Check that it can be handled.

        Raises:
            InstrumentFault: there is no such sample, or it broke.
        """
        if self.weighed is None:
            raise InstrumentFault(f"sample '{self.name}' is unknown: nothing was weighed in for it; weigh it in first")
        if self.cracked:
            raise InstrumentFault(f"sample '{self.name}' cracked in the furnace and cannot be used; make a new one")

    def require_fired(self) -> None:
        """Check that it is a pellet that can be measured.

        Raises:
            InstrumentFault: there is no such sample, it broke, or it was never fired.
        """
        self.require_weighed()
        if not self.firings:
            raise InstrumentFault(
                f"sample '{self.name}' is pressed powder: it was never fired; sinter it before measuring"
            )

    def require_free(self) -> None:
        """Check that nothing else is being done with it.

        Raises:
            InstrumentFault: it is in an instrument.
        """
        if self.occupied is not None:
            raise InstrumentRefused(
                f"sample '{self.name}' is in '{self.occupied.instrument}' ({self.occupied.action}) "
                f"until {utc_text(free_at(self.occupied))}; wait until then"
            )


def free_at(operation: Operation) -> float:
    """Return the moment at which an effect lets go of its sample: a firing that was stopped has to cool first."""
    if operation.action != "sinter" or operation.aborted is None:
        return operation.over
    return operation.over + (temperature_of(operation, operation.over) - COLD) / RAMP


def temperature_of(operation: Operation, moment: float) -> float:
    """Return the chamber's temperature during a firing, or while it cools after having been stopped, degC."""
    arguments = operation.arguments
    stopped = None if operation.aborted is None else operation.over - operation.begins
    return chamber_temperature(
        float(arguments["temperature"]),
        3600.0 * float(arguments["hold"]),
        int(arguments["firings"]),
        moment - operation.begins,
        stopped,
    )


def failure_rate(world: World) -> float:
    """Return the share of firings that crack the specimen: `failure_rate` in the lab file's `world`, 0 by default.

    Raises:
        DriverError: not a number from 0 to 1.
    """
    rate = world.settings.get("failure_rate", 0.0)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 <= rate <= 1.0:
        raise DriverError(f"world: failure_rate must be a number from 0 to 1, got {rate!r}")
    return float(rate)


def cracks(world: World, operation: Operation) -> bool:
    """Tell whether a firing breaks its specimen."""
    draw = world.rng(
        operation.sample, operation.action, operation.occurrence, f"{operation.instrument}: crack"
    ).random()
    return bool(draw < failure_rate(world))


def sample_at(world: World, name: str, moment: float) -> Sample:
    """Return a sample as it is at a moment (seconds since 1970)."""
    weighed: Operation | None = None
    occupied: Operation | None = None
    pieces: list[Firings] = []
    fired = 0
    cracked = False
    lithium = 0.0
    for operation in world.operations(name):
        if operation.begins > moment:
            continue
        if free_at(operation) > moment:
            occupied = operation
        elif operation.action == "weigh":
            weighed = operation
            lithium = 1.0 + lithium_excess(world, operation)
        elif operation.action == "sinter":
            fired += 1
            cracked = cracked or (operation.aborted is None and cracks(world, operation))
            pieces += _pieces(world, operation)
    powder = POWDER * world.rng(name, "batch", 0, "powder").normal()
    quality = math.exp(QUALITY * world.rng(name, "batch", 0, "quality").normal())
    body = fire(lithium, pieces, powder)
    return Sample(name, moment, weighed, lithium, fired, body, quality, occupied, cracked)


def lithium_excess(world: World, operation: Operation) -> float:
    """Return the lithium excess that a weighing really put in."""
    rng = world.rng(operation.sample, operation.action, operation.occurrence, f"{operation.instrument}: dose")
    return float(operation.arguments["li_excess"]) + WEIGHING * float(rng.normal())


def _pieces(world: World, operation: Operation) -> list[Firings]:
    """Return what the sample went through, firing by firing, as far as it came."""
    arguments = operation.arguments
    rng = world.rng(operation.sample, operation.action, operation.occurrence, f"{operation.instrument}: place")
    offset = PLACE * float(rng.normal())
    gas = ATMOSPHERES.index(str(arguments["atmosphere"]))
    pieces = cut_short(
        float(arguments["temperature"]),
        3600.0 * float(arguments["hold"]),
        int(arguments["firings"]),
        operation.over - operation.begins,
    )
    # Close to room temperature the offset of a hot chamber means nothing, and nothing happens there anyway.
    return [Firings(max(COLD, peak + offset), plateau, gas, 1) for peak, plateau in pieces]
