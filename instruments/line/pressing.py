"""Pressing powder in a die: how dense the green pellet becomes, and when it laminates.

All functions take and give arrays that broadcast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .milling import Powder

    Floats = NDArray[np.float64]

HECKEL = 1.1e-3
"""Slope K of Heckel's line, 1/MPa. Chosen: a hard oxide of mean yield pressure 1/(3K) ≈ 300 MPa of its granules."""

LOOSE, LOOSE_PER_LN = 0.455, 0.045
"""Relative density of particles of 1 µm rearranged under no pressure, and what a factor e in size adds. Chosen: fine powder
packs worse because its particles stick."""

CAKED_LOOSENESS = 0.12
"""Share of the packing that is lost where all powder is caked. Chosen."""

LAMINATION, LAMINATION_PER_LN, LAMINATION_WIDTH = 330.0, 60.0, 22.0
"""Pressure above which a pellet of 1 µm powder laminates when it leaves the die, what a factor e in size adds, and how gradual
that is, MPa. Chosen: springback grows with pressure, and fine powder lets its air out slowly."""


def green_density(powder: Powder, pressure: ArrayLike) -> Floats:
    """Return the relative density of the green pellet.

    Heckel's law, ln(1/(1 − D)) = K P + A (R. W. Heckel, Trans. Metall. Soc. AIME 221, 671 (1961)), with A from the density of
    the rearranged powder.

    Args:
        powder: in the die.
        pressure: MPa.
    """
    loose = (LOOSE + LOOSE_PER_LN * np.log(powder.size)) * (1.0 - CAKED_LOOSENESS * powder.agglomerates)
    return np.asarray(1.0 - (1.0 - loose) * np.exp(-HECKEL * np.asarray(pressure, dtype=float)))


def lamination(powder: Powder, pressure: ArrayLike) -> Floats:
    """Return how badly the pellet is laminated, 0 to 1.

    Args:
        powder: in the die.
        pressure: MPa.
    """
    limit = LAMINATION + LAMINATION_PER_LN * np.log(powder.size)
    return np.asarray(1.0 / (1.0 + np.exp(-(np.asarray(pressure, dtype=float) - limit) / LAMINATION_WIDTH)))
