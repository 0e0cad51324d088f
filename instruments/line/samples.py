"""What has become of a sample of the line: the fold of all effects on it that are over, in the order in which they began.

Nothing else holds state. Hidden variation is drawn from the world's seed, the sample, the action and the occurrence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from sdl_instruments.ceramics.physics import ATMOSPHERES
from sdl_instruments.ceramics.samples import CRYSTAL_DENSITY, DIE_AREA, QUALITY, failure_rate, lithium_excess
from sdl_instruments.ceramics.thermal import COLD

from sdl.clock import utc_text
from sdl.errors import InstrumentFault, InstrumentRefused

from .chamber import celsius_offset, programme_of
from .conducting import boundary_resistivity, conductivity, grain_conductivity
from .firing import Body, Green, Piece, cracking, fire
from .lots import Lot, lot_of
from .milling import Powder, fresh, mill
from .phases import Phases, balance, phases, texture
from .places import back_at, is_move, places_of
from .pressing import green_density, lamination
from .programme import COOLING

if TYPE_CHECKING:
    from sdl.world import Operation, World

GALLIUM_WEIGHING = 0.002
"""Standard deviation of the gallium per formula unit between what was asked for and what lies in the vial. Chosen."""

MILL_SETUP = 300.0
"""Time for filling the mill before it turns, s. Chosen."""


@dataclass(frozen=True)
class Firing:
    """A firing in a sample's history, as the sample felt it.

    Attributes:
        begins: moment, seconds since 1970.
        peak: highest temperature at its position, degC.
        plateau: time there, s.
        heating: rate, K/s.
        cooling: rate, K/s.
        atmosphere: gas.
        position: of the furnace, from 0.
        cracked: whether the sample broke in it.
    """

    begins: float
    peak: float
    plateau: float
    heating: float
    cooling: float
    atmosphere: str
    position: int
    cracked: bool


@dataclass(frozen=True, eq=False)
class LineSample:
    """A sample at one moment.

    Attributes:
        name: its id.
        moment: when, seconds since 1970.
        place: where it is, or None where nobody knows.
        mass: weighed in, g; 0 where there is no such sample.
        lot: of its powder, or None where there is no such sample.
        lithium: weighed in, as a multiple of what the garnet needs.
        gallium: weighed in, per formula unit.
        powder: its powder, before pressing.
        pressure: at which it was pressed, MPa, or None.
        container: in which it lies since then, or None.
        history: firings that are over, in order.
        quality: factor by which its garnet conducts better than the average.
        occupied: the effect that is going on, or None.
    """

    name: str
    moment: float
    place: str | None
    mass: float
    lot: Lot | None
    lithium: float
    gallium: float
    powder: Powder
    pressure: float | None
    container: str | None
    history: tuple[Firing, ...]
    quality: float
    occupied: Operation | None

    @property
    def cracked(self) -> bool:
        """Whether it broke in the furnace."""
        return any(f.cracked for f in self.history)

    @property
    def measurable(self) -> bool:
        """Whether it is a whole, fired pellet."""
        return bool(self.history) and not self.cracked

    @cached_property
    def green(self) -> Green:
        """The pellet as it was pressed; loose powder counts as pressed at no pressure."""
        impurity = 0.0 if self.lot is None else self.lot.impurity
        pressure = self.pressure or 0.0
        return Green(
            lithium=self.lithium - self.powder.lithium_loss,
            size=self.powder.size,
            density=green_density(self.powder, pressure),
            agglomerates=self.powder.agglomerates,
            lamination=lamination(self.powder, pressure),
            foreign=impurity + self.powder.zirconia,
            reactivity=0.0 if self.lot is None else self.lot.reactivity,
        )

    @cached_property
    def body(self) -> Body:
        """What is inside it."""
        return fire(
            self.green,
            [Piece(f.peak, f.plateau, f.heating, f.cooling, ATMOSPHERES.index(f.atmosphere)) for f in self.history],
        )

    @cached_property
    def phases(self) -> Phases:
        """The phases that it consists of."""
        return phases(self.body, self.gallium, self.powder.zirconia)

    @property
    def texture(self) -> float:
        """March's parameter for the axis along which it was pressed."""
        return float(texture(self.pressure or 0.0))

    @property
    def density(self) -> float:
        """Relative density."""
        return float(self.body.density)

    @property
    def porosity(self) -> float:
        """Share of its volume that is pores."""
        return 1.0 - self.density

    @property
    def grain_size(self) -> float:
        """Grain size, µm."""
        return float(self.body.grain)

    @property
    def grain_conductivity(self) -> float:
        """Conductivity of the grains at 25 degC without pores and boundaries, mS/cm."""
        return float(grain_conductivity(self.phases, self.gallium, self.quality))

    @property
    def boundary_resistivity(self) -> float:
        """Resistivity that grain boundaries add, kohm cm."""
        surplus = balance(self.body.lithium, self.powder.zirconia)
        impurity = 0.0 if self.lot is None else self.lot.impurity
        return float(boundary_resistivity(self.body, surplus, self.gallium, impurity, self.green.lamination))

    @property
    def conductivity(self) -> float:
        """Conductivity of the pellet at 25 degC, mS/cm, without any measurement."""
        return float(conductivity(self.density, self.grain_conductivity, self.boundary_resistivity))

    @property
    def green_density(self) -> float:
        """Relative density as pressed."""
        return float(np.asarray(self.green.density))

    @property
    def green_thickness(self) -> float:
        """Thickness as pressed, cm."""
        return self.mass / (CRYSTAL_DENSITY * self.green_density * DIE_AREA)

    @property
    def area(self) -> float:
        """Area of a face, cm²: the pellet shrinks alike in all directions."""
        return float(DIE_AREA * (self.green_density / self.density) ** (2.0 / 3.0))

    @property
    def thickness(self) -> float:
        """Thickness, cm: the mass that fits under the area."""
        return self.mass / (CRYSTAL_DENSITY * self.density * self.area)

    def require_known(self) -> None:
        """Check that there is such a sample.

        Raises:
            InstrumentFault: nothing was weighed in for it.
        """
        if self.lot is None:
            raise InstrumentFault(f"sample '{self.name}' is unknown: nothing was weighed in for it; weigh it in first")

    def require_whole(self) -> None:
        """Check that there is such a sample, and that it can be worked on.

        Raises:
            InstrumentFault: there is none, or it broke.
        """
        self.require_known()
        if self.cracked:
            raise InstrumentFault(f"sample '{self.name}' cracked in the furnace and cannot be used; make a new one")

    def require_powder(self) -> None:
        """Check that it is powder.

        Raises:
            InstrumentFault: there is none, or it was pressed.
        """
        self.require_whole()
        if self.pressure is not None:
            raise InstrumentFault(f"sample '{self.name}' is a pressed pellet, not powder; use a new sample")

    def require_pressed(self) -> None:
        """Check that it is a pellet, fired or not.

        Raises:
            InstrumentFault: there is none, it broke, or it is loose powder.
        """
        self.require_whole()
        if self.pressure is None:
            raise InstrumentFault(f"sample '{self.name}' is loose powder; press it first")

    def require_fired(self) -> None:
        """Check that it is a fired pellet.

        Raises:
            InstrumentFault: there is none, it broke, it is loose powder, or it was never fired.
        """
        self.require_pressed()
        if not self.history:
            raise InstrumentFault(
                f"sample '{self.name}' is pressed powder: it was never fired; sinter it before measuring"
            )

    def require_free(self) -> None:
        """Check that nothing else is being done with it.

        Raises:
            InstrumentFault: it is in an instrument, or on its way.
        """
        if self.occupied is None:
            return
        until = f"until {utc_text(free_at(self.occupied))}; wait until then"
        if is_move(self.occupied):
            raise InstrumentRefused(
                f"sample '{self.name}' is being moved to '{self.occupied.arguments['to']}' by "
                f"'{self.occupied.instrument}' {until}"
            )
        raise InstrumentRefused(
            f"sample '{self.name}' is in '{self.occupied.instrument}' ({self.occupied.action}) {until}"
        )


def free_at(operation: Operation) -> float:
    """Return the moment at which an effect lets go of its samples: a firing that was stopped has to cool first."""
    if operation.aborted is None or operation.over >= operation.ends:
        return operation.over
    if is_move(operation):
        return back_at(operation)
    if operation.action != "sinter":
        return operation.over
    return operation.begins + programme_of(operation).cold_at(operation.over - operation.begins)


def cracks(world: World, operation: Operation, before: LineSample) -> bool:
    """Tell whether a firing breaks one of its samples: by the world's failure rate, by heating too fast, by laminations.

    Args:
        world: with its record.
        operation: the firing.
        before: the sample as it went in.
    """
    if operation.aborted is not None:
        return False
    own = float(cracking(programme_of(operation).ramp, before.green_thickness, before.green.lamination))
    risk = 1.0 - (1.0 - failure_rate(world)) * (1.0 - own)
    rng = world.rng(before.name, operation.action, operation.occurrence, f"{operation.instrument}: crack")
    return bool(rng.random() < risk)


def firing_of(world: World, operation: Operation, before: LineSample) -> Firing:
    """Return what a firing did to one of its samples, as far as it came."""
    programme = programme_of(operation)
    peak, plateau = programme.reached(operation.over - operation.begins)
    offset = celsius_offset(world, operation, before.name)
    stopped = operation.aborted is not None and operation.over < operation.ends
    return Firing(
        begins=operation.begins,
        # Close to room temperature the offset of a hot chamber means nothing, and nothing happens there anyway.
        peak=max(COLD, peak + offset),
        plateau=plateau,
        heating=programme.ramp,
        cooling=COOLING if stopped else programme.ramp,
        atmosphere=str(operation.arguments["atmosphere"]),
        position=operation.samples.index(before.name),
        cracked=cracks(world, operation, before),
    )


def milled_hours(operation: Operation) -> float:
    """Return for how long a milling turned, h; one that was stopped turned for less than was asked."""
    turned = operation.over - operation.begins - MILL_SETUP
    return min(max(turned / 3600.0, 0.0), float(operation.arguments["duration"]))


def sample_at(world: World, name: str, moment: float) -> LineSample:
    """Return a sample as it is at a moment (seconds since 1970).

    Raises:
        InstrumentFault: it was weighed in by an instrument that does not belong to the line.
    """
    operations = world.operations(name)
    at = places_of(operations, moment)
    quality = math.exp(QUALITY * float(world.rng(name, "batch", 0, "quality").normal()))
    sample = LineSample(
        name, moment, at[-1] if at else None, 0.0, None, 0.0, 0.0, fresh(1.0), None, None, (), quality, None
    )
    for operation in operations:
        if operation.begins > moment:
            break
        busy = free_at(operation) > moment
        sample = replace(sample, occupied=operation) if busy else _after(world, operation, sample)
    return sample


def _after(world: World, operation: Operation, sample: LineSample) -> LineSample:
    """Return a sample after an effect that is over."""
    arguments = operation.arguments
    if operation.action == "weigh":
        if "powder" not in arguments:
            raise InstrumentFault(
                f"sample '{sample.name}' was weighed in by '{operation.instrument}', whose driver knows no lots; "
                "in a ceramics line use the driver simulated_line_dispenser"
            )
        lot = lot_of(world, str(arguments["powder"]), int(arguments["lot"]))
        rng = world.rng(sample.name, operation.action, operation.occurrence, f"{operation.instrument}: gallium")
        return replace(
            sample,
            mass=float(arguments["mass"]),
            lot=lot,
            lithium=1.0 + lithium_excess(world, operation) + lot.lithium,
            gallium=max(float(arguments["gallium"]) + GALLIUM_WEIGHING * float(rng.normal()), 0.0),
            powder=fresh(lot.size),
        )
    if operation.action == "mill":
        return replace(sample, powder=mill(sample.powder, milled_hours(operation), float(arguments["speed"])))
    if operation.action == "press":
        return replace(sample, pressure=float(arguments["pressure"]), container=str(arguments["container"]))
    if operation.action == "sinter":
        return replace(sample, history=(*sample.history, firing_of(world, operation, sample)))
    return sample
