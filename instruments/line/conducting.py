"""How well a pellet conducts lithium at 25 degC, from its phases, grains, pores and second phases.

All functions take and give arrays that broadcast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sdl_instruments.ceramics.physics import BOUNDARY, BOUNDARY_LITHIUM, CRACKING, CUBIC, TETRAGONAL, porosity_factor

from .phases import SOLUBLE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .firing import Body
    from .phases import Phases

    Floats = NDArray[np.float64]

BEST_GALLIUM, GALLIUM_WIDTH = 0.24, 0.30
"""Gallium per formula unit at which cubic garnet conducts best, and at which distance from it nothing would be left of that.
Chosen: every gallium takes three lithium away and blocks a site."""

GLASS = 14.0
"""How much a unit of gallium beyond what the garnet takes raises the boundaries' resistance. Chosen: LiGaO2 wets them."""

SILICA = 350.0
"""How much a unit of silica raises the boundaries' resistance. Chosen: it gathers there."""

LAMINAR = 0.35
"""Share of the conductivity that a badly laminated pellet loses. Chosen: cracks lie across the current."""


def grain_conductivity(phases: Phases, gallium: ArrayLike, quality: ArrayLike = 1.0) -> Floats:
    """Return the conductivity of the grains without pores and boundaries, mS/cm.

    Cubic and tetragonal grains mixed at random: effective medium of two phases (D. A. G. Bruggeman, Ann. Phys. 416, 636 (1935);
    closed form by R. Landauer, J. Appl. Phys. 23, 779 (1952)). La2Zr2O7 does not conduct and takes room like pores.

    Args:
        phases: of the pellet.
        gallium: per formula unit.
        quality: factor by which this lot's garnet conducts better.
    """
    taken = np.minimum(np.asarray(gallium, dtype=float), SOLUBLE)
    carriers = np.maximum(1.0 - ((taken - BEST_GALLIUM) / GALLIUM_WIDTH) ** 2, 0.05)
    garnet = np.maximum(phases.cubic + phases.tetragonal, 1e-12)
    share = phases.cubic / garnet
    one, two = CUBIC * carriers * np.asarray(quality, dtype=float), TETRAGONAL
    mean = (3.0 * share - 1.0) * one + (2.0 - 3.0 * share) * two
    mixed = (mean + np.sqrt(mean**2 + 8.0 * one * two)) / 4.0
    return np.asarray(mixed * porosity_factor(np.maximum(1.0 - phases.pyrochlore, 0.0)))


def boundary_resistivity(
    body: Body, surplus: ArrayLike, gallium: ArrayLike, silica: ArrayLike, laminated: ArrayLike
) -> Floats:
    """Return the resistivity that grain boundaries add, kohm cm.

    Brick-layer model, as in the simulated ceramics lab; second phases thicken the boundaries, coolings and laminations part them.

    Args:
        body: the pellet.
        surplus: lithium beyond the garnet's need, as a share of it.
        gallium: per formula unit.
        silica: mass fraction.
        laminated: how badly, 0 to 1.
    """
    second = 1.0 + BOUNDARY_LITHIUM * np.sqrt(np.asarray(surplus, dtype=float) ** 2 + 0.01**2)
    second = second + GLASS * np.maximum(np.asarray(gallium, dtype=float) - SOLUBLE, 0.0)
    second = second + SILICA * np.asarray(silica, dtype=float)
    parted = 1.0 + CRACKING * body.grain * np.maximum(body.coolings - 1.0, 0.0)
    parted = parted / (1.0 - LAMINAR * np.asarray(laminated, dtype=float))
    return np.asarray(BOUNDARY * 1e-3 / (body.grain * 1e-4) * second * parted)


def conductivity(density: ArrayLike, grains: ArrayLike, boundaries: ArrayLike) -> Floats:
    """Return the conductivity of a pellet, mS/cm.

    Args:
        density: relative density.
        grains: mS/cm.
        boundaries: kohm cm.
    """
    one = np.maximum(np.asarray(grains, dtype=float), 1e-12)
    return np.asarray(porosity_factor(density) / (1.0 / one + np.asarray(boundaries, dtype=float)))
