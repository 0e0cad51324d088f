"""The furnace's chamber as it truly is: hotter here than there, and hotter than its thermocouple says.

Positions and thermocouple are drawn from the furnace's name, so that they are the same for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .programme import Programme

if TYPE_CHECKING:
    from sdl.world import Operation, World

POSITION = 4.0
"""Standard deviation of the temperature at a furnace's positions around its middle, K; fixed for a furnace. Chosen."""

RUN = 0.8
"""Standard deviation of the temperature at one position from firing to firing, K. Chosen."""

DRIFT, DRIFT_SPREAD, AGEING = 0.5, 0.2, 10
"""By how much the furnace becomes hotter than its thermocouple says, K, with every so many firings, and how that varies between
furnaces. Chosen: the thermocouple's wires take up silica and give less voltage. In steps, as with lots of powder, so that firings
next to each other may change places without changing anything."""


def programme_of(operation: Operation) -> Programme:
    """Return the temperature programme of a firing."""
    a = operation.arguments
    return Programme(float(a["temperature"]), 3600.0 * float(a["hold"]), float(a["ramp"]) / 60.0)


def position_offset(world: World, furnace: str, position: int) -> float:
    """Return by how much a position of a furnace is hotter than its middle, K; fixed for ever."""
    return POSITION * float(world.rng("", "sinter", position, f"{furnace}: position").normal())


def drift(world: World, furnace: str, number: int) -> float:
    """Return by how much a furnace is hotter in its firing of a number, from 0, than its thermocouple says, K."""
    rate = DRIFT + DRIFT_SPREAD * float(world.rng("", "sinter", 0, f"{furnace}: thermocouple").normal())
    return rate * (number // AGEING)


def firing_number(world: World, operation: Operation) -> int:
    """Return how many firings the furnace had behind it when one began, by the world's record."""
    number = 0
    for other in world.all_operations():
        if other.command == operation.command:
            break
        number += other.instrument == operation.instrument and other.action == "sinter"
    return number


def celsius_offset(world: World, operation: Operation, sample: str) -> float:
    """Return by how much one of a firing's samples was hotter than the set point, K."""
    rng = world.rng(sample, operation.action, operation.occurrence, f"{operation.instrument}: run")
    return (
        position_offset(world, operation.instrument, operation.samples.index(sample))
        + drift(world, operation.instrument, firing_number(world, operation))
        + RUN * float(rng.normal())
    )
