"""A lab with every driver found and every setting validated; nothing is connected yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdl.campaign.interlocks import Requirement
    from sdl.clock import ClockSettings
    from sdl.driver import Description, DriverSettings, Instrument
    from sdl.units import Quantity


@dataclass(frozen=True)
class InstrumentPlan:
    """One instrument, ready to be made.

    Attributes:
        name: in the lab.
        driver: entry-point name.
        make: the driver.
        settings: validated.
        description: what it can do.
        place: where it works on samples, or None where the lab names none.
        safe_after: real seconds for which its campaign may be gone before a lab server makes it safe, or None for ever.
        requires: readings that must keep within bounds for it to act; see `sdl.lab.interlocks`.
    """

    name: str
    driver: str
    make: type[Instrument]
    settings: DriverSettings
    description: Description
    place: str | None = None
    safe_after: float | None = None
    requires: tuple[Requirement, ...] = ()


@dataclass(frozen=True)
class LabPlan:
    """A lab, ready to be opened.

    Attributes:
        name: for records.
        clock: real, scaled or virtual time.
        world: settings of the simulated world, `seed` among them.
        instruments: by name.
        places: name → how many samples it holds.
        containers: kind → the temperature that it stands, degC.
        consumables: name → what there is of it when the campaign begins.
        server: address of the lab server that carries commands out; None where the campaign's own process does.
    """

    name: str
    clock: ClockSettings
    world: Mapping[str, Any]
    instruments: Mapping[str, InstrumentPlan]
    places: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, float] = field(default_factory=dict)
    consumables: Mapping[str, Quantity] = field(default_factory=dict)
    server: str | None = None

    @property
    def world_settings(self) -> dict[str, Any]:
        """What a simulated world needs to know of the lab: its own settings, places, containers and consumables."""
        return {
            **self.world,
            "places": dict(self.places),
            "containers": dict(self.containers),
            "consumables": {name: [amount.value, amount.unit] for name, amount in self.consumables.items()},
        }

    @property
    def is_simulated(self) -> bool:
        """Whether no matter moves."""
        return not any(i.description.is_real for i in self.instruments.values())
