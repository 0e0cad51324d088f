"""Which phases a pellet consists of, their cells and crystallites.

Numbers marked "chosen" make known trends come out: gallium makes the garnet cubic at room temperature, surplus lithium makes it
tetragonal again (E. Rangasamy, J. Wolfenstine, J. Sakamoto, Solid State Ionics 206, 28 (2012), for aluminium), and where
lithium is lost the garnet falls apart into La2Zr2O7. All functions take and give arrays that broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .firing import Body

    Floats = NDArray[np.float64]

BOUND_BY_ZIRCONIA = 3.5
"""Share of the needed lithium that is bound or short per mass fraction of worn-off zirconia. Chosen: it forms lithium
zirconate."""

STABILIZER, STABILIZER_WIDTH = 0.12, 0.022
"""Gallium per formula unit at which half the garnet is cubic, and how gradual that is. Chosen: some 0.2 make it cubic, as
found for aluminium (E. Rangasamy et al. 2012) and gallium (C. Bernuy-Lopez et al., Chem. Mater. 26, 3610 (2014))."""

STABILIZER_PER_LITHIUM, TOLERATED = 1.4, 0.04
"""How much more gallium it takes per unit of lithium beyond the tolerated balance. Chosen."""

TOLERANCE, TOLERANCE_WIDTH = 0.05, 0.012
"""Missing lithium at which garnet begins to decompose, and how gradual that is. Chosen: its homogeneous range."""

DECOMPOSITION = 0.22
"""Lithium missing beyond the tolerance that decomposes a share 1 − 1/e of the garnet. Chosen: it is missing at the surface
first, where nothing of the garnet is left."""

SOLUBLE = 0.32
"""Gallium per formula unit that the garnet takes up; the rest lies at the boundaries as LiGaO2. Chosen."""

CELL_PER_GALLIUM, CELL_PER_LITHIUM = -0.0030, 0.0015
"""Change of the cell's edge per gallium per formula unit and per unit of lithium balance, as shares. Chosen, small
against the 0.5 % by which published cells of doped garnets differ."""

FINEST, COARSEST, RIPENING = 45.0, 220.0, 1800.0
"""Crystallite size of the powder and of a well-fired pellet, nm, and the work of grain growth that takes it most of the
way, s at the reference temperature. Chosen."""

FLATTENING = 0.12
"""By how much March's parameter falls below 1 at 300 MPa. Chosen: equiaxed grains take a weak texture."""


@dataclass(frozen=True)
class Phases:
    """What a pellet consists of, or arrays of such; the weight fractions add up to 1.

    Attributes:
        cubic: weight fraction of the cubic garnet.
        tetragonal: weight fraction of the tetragonal garnet.
        pyrochlore: weight fraction of La2Zr2O7.
        cell: edge of the garnet's cell over the published one.
        crystallite: size, nm.
    """

    cubic: Floats
    tetragonal: Floats
    pyrochlore: Floats
    cell: Floats
    crystallite: Floats


def balance(lithium: ArrayLike, zirconia: ArrayLike) -> Floats:
    """Return the lithium that the garnet has beyond its need, as a share of it.

    Args:
        lithium: present, as a multiple of what the garnet needs.
        zirconia: worn off the balls, mass fraction.
    """
    return np.asarray(np.asarray(lithium, dtype=float) - 1.0 - BOUND_BY_ZIRCONIA * np.asarray(zirconia, dtype=float))


def phases(body: Body, gallium: ArrayLike, zirconia: ArrayLike) -> Phases:
    """Return the phases of a pellet.

    Args:
        body: fired or not.
        gallium: per formula unit.
        zirconia: worn off the balls, mass fraction.
    """
    surplus = balance(body.lithium, zirconia)
    taken = np.minimum(np.asarray(gallium, dtype=float), SOLUBLE)
    needed = STABILIZER + STABILIZER_PER_LITHIUM * np.maximum(surplus - TOLERATED, 0.0)
    share = 1.0 / (1.0 + np.exp(-np.clip((taken - needed) / STABILIZER_WIDTH, -700.0, 700.0)))
    missing = TOLERANCE_WIDTH * np.logaddexp(0.0, (-surplus - TOLERANCE) / TOLERANCE_WIDTH)
    pyrochlore = -np.expm1(-missing / DECOMPOSITION)
    cubic = share * (1.0 - pyrochlore)
    return Phases(
        cubic=np.asarray(cubic),
        tetragonal=np.asarray(np.maximum(1.0 - cubic - pyrochlore, 0.0)),
        pyrochlore=np.asarray(pyrochlore),
        cell=np.asarray(1.0 + CELL_PER_GALLIUM * taken + CELL_PER_LITHIUM * np.clip(surplus, -0.1, 0.2)),
        crystallite=np.asarray(FINEST + (COARSEST - FINEST) * -np.expm1(-body.heat / RIPENING)),
    )


def texture(pressure: ArrayLike) -> Floats:
    """Return March's parameter for the axis along which a pellet was pressed at a pressure in MPa; 1 without texture."""
    return np.asarray(1.0 - FLATTENING * np.asarray(pressure, dtype=float) / 300.0)
