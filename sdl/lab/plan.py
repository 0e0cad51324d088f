"""A lab with every driver found and every setting validated; nothing is connected yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdl.clock import ClockSettings
    from sdl.driver import Description, DriverSettings, Instrument


@dataclass(frozen=True)
class InstrumentPlan:
    """One instrument, ready to be made.

    Attributes:
        name: in the lab.
        driver: entry-point name.
        make: the driver.
        settings: validated.
        description: what it can do.
    """

    name: str
    driver: str
    make: type[Instrument]
    settings: DriverSettings
    description: Description


@dataclass(frozen=True)
class LabPlan:
    """A lab, ready to be opened.

    Attributes:
        name: for records.
        clock: real, scaled or virtual time.
        world: settings of the simulated world, `seed` among them.
        instruments: by name.
    """

    name: str
    clock: ClockSettings
    world: Mapping[str, Any]
    instruments: Mapping[str, InstrumentPlan]

    @property
    def is_simulated(self) -> bool:
        """Whether no matter moves."""
        return not any(i.description.is_real for i in self.instruments.values())
