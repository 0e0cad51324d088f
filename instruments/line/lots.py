"""Lots of powder: what is dispensed comes from jar after jar, and no two jars are alike.

Which lot a dose comes from follows from how much was dispensed before it, by the world's record. What a lot is like is drawn
from the world's seed, the powder's name and the lot's number alone, so that it does not depend on who opens the jar.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdl.units import convert

if TYPE_CHECKING:
    from sdl.world import World

LITHIUM_SPREAD = 0.02
"""Standard deviation of a lot's lithium, as a share of what the garnet needs. Chosen: hygroscopic lithium salts."""

SIZE, SIZE_SPREAD = 4.0, 0.15
"""Median particle size of a lot as delivered, µm, and its spread in the logarithm. Chosen: a calcined powder."""

IMPURITY, IMPURITY_SPREAD = 0.0015, 0.5
"""Median mass fraction of silica in a lot, and its spread in the logarithm. Chosen."""

REACTIVITY_SPREAD = 0.12
"""Standard deviation of how readily a lot sinters, in ln(time). Chosen."""


@dataclass(frozen=True)
class Lot:
    """One jar of powder as it truly is.

    Attributes:
        number: from 0, in the order in which jars are opened.
        lithium: lithium beyond the label, as a share of what the garnet needs; below 0 where it is short.
        size: median particle size, µm.
        impurity: mass fraction of silica.
        reactivity: how much more readily it sinters, in ln(time).
    """

    number: int = 0
    lithium: float = 0.0
    size: float = SIZE
    impurity: float = IMPURITY
    reactivity: float = 0.0


def lot_of(world: World, powder: str, number: int) -> Lot:
    """Return a lot of a powder: a function of the world's seed, the powder's name and the number."""
    noise = world.rng(powder, "lot", number, "powder").normal(size=4)
    return Lot(
        number=number,
        lithium=LITHIUM_SPREAD * float(noise[0]),
        size=SIZE * math.exp(SIZE_SPREAD * float(noise[1])),
        impurity=IMPURITY * math.exp(IMPURITY_SPREAD * float(noise[2])),
        reactivity=REACTIVITY_SPREAD * float(noise[3]),
    )


def dispensed(world: World, powder: str) -> float:
    """Return how much of a powder was dispensed so far, g, by the world's record."""
    return sum(
        float(o.arguments["mass"])
        for o in world.all_operations()
        if o.action == "weigh" and o.arguments.get("powder") == powder
    )


def stock(world: World, powder: str) -> float | None:
    """Return how much of a powder the lab began with, g, or None where the lab file does not say."""
    consumables = world.settings.get("consumables")
    if not consumables or powder not in consumables:
        return None
    amount, unit = consumables[powder]
    return convert(float(amount), str(unit), "g")


def next_lot(world: World, powder: str, lot_size: float) -> int:
    """Return the number of the jar from which the next dose comes, where a jar holds `lot_size` g."""
    return math.floor(dispensed(world, powder) / lot_size + 1e-9)
