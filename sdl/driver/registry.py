"""Drivers are found through the entry-point group `sdl.drivers`: ours exactly as a third party's."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from sdl.errors import DriverError, listed, near_miss

if TYPE_CHECKING:
    from sdl.driver.instrument import Instrument

GROUP = "sdl.drivers"


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def driver_names() -> tuple[str, ...]:
    """Return the names of all installed drivers, in order; imports none of them."""
    return tuple(sorted(_points()))


def get_driver(name: str) -> type[Instrument]:
    """Import and return a driver.

    Raises:
        DriverError: no such driver, or it cannot be imported.
    """
    from sdl.driver.instrument import Instrument

    points = _points()
    if name not in points:
        raise DriverError(f"unknown driver '{name}'{near_miss(name, points)}; installed are {listed(sorted(points))}")
    try:
        driver = points[name].load()
    except Exception as error:  # a broken plugin must be named, whatever it raises
        raise DriverError(f"driver '{name}' cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(driver, type) and issubclass(driver, Instrument)):
        raise DriverError(f"driver '{name}': {points[name].value} is not a subclass of sdl.driver.Instrument")
    return driver
