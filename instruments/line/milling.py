"""Grinding in a planetary ball mill: how fine the powder becomes, and what that costs.

All functions take and give arrays that broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

REFERENCE_SPEED = 300.0
"""Speed at which an hour of milling is an hour of work, rpm."""

LIMIT_SIZE = 0.45
"""Particle size that grinding approaches, µm. Chosen: wet milling with balls of some millimetres."""

GRINDING_WORK = 3.0
"""Work in which the specific surface comes closer to its limit by a factor e, h at the reference speed. Chosen."""

WEAR = 5e-4
"""Zirconia worn off the balls, mass fraction per hour at the reference speed. Chosen."""

UPTAKE = 0.0012
"""Lithium given up to moisture and CO2, as a share of what the garnet needs, per hour and 1/µm of surface. Chosen: garnet
exchanges lithium for protons at its surface."""

CAKING_SPEED, CAKING_WIDTH, CAKING_TIME = 470.0, 18.0, 3.0
"""Speed above which the powder cakes on the wall, how gradual that is, both rpm, and the time it takes, h. Chosen."""


@dataclass(frozen=True)
class Powder:
    """A charge of powder, or arrays of such.

    Attributes:
        size: median particle size, µm.
        zirconia: worn off the balls, mass fraction.
        lithium_loss: lithium given up to the air, as a share of what the garnet needs.
        agglomerates: share of it that is caked together.
    """

    size: Floats
    zirconia: Floats
    lithium_loss: Floats
    agglomerates: Floats


def fresh(size: ArrayLike) -> Powder:
    """Return powder as it comes from the jar, of a particle size in µm."""
    start = np.asarray(size, dtype=float)
    zero = np.zeros(np.shape(start))
    return Powder(start, zero, zero, zero)


def work(hours: ArrayLike, speed: ArrayLike) -> Floats:
    """Return the work of a milling in hours at the reference speed.

    The power of a planetary mill grows with the cube of its speed (N. Burgio et al., Nuovo Cimento D 13, 459 (1991)).

    Args:
        hours: h.
        speed: rpm.
    """
    return np.asarray(np.asarray(hours, dtype=float) * (np.asarray(speed, dtype=float) / REFERENCE_SPEED) ** 3)


def mill(powder: Powder, hours: ArrayLike, speed: ArrayLike) -> Powder:
    """Return what milling makes of a powder.

    The specific surface S approaches that of the final fineness by dS/dW = k (S∞ − S) (T. Tanaka, Kagaku Kogaku 18, 160
    (1954)); S is proportional to 1/size. Powder that is finer already stays as it is.

    Args:
        powder: before.
        hours: h.
        speed: rpm.
    """
    done = work(hours, speed)
    limit, start = 1.0 / LIMIT_SIZE, 1.0 / powder.size
    surface = np.where(start < limit, limit - (limit - start) * np.exp(-done / GRINDING_WORK), start)
    hot = 1.0 / (1.0 + np.exp(-(np.asarray(speed, dtype=float) - CAKING_SPEED) / CAKING_WIDTH))
    caked = hot * -np.expm1(-np.asarray(hours, dtype=float) / CAKING_TIME)
    return Powder(
        size=np.asarray(1.0 / surface),
        zirconia=powder.zirconia + WEAR * done,
        lithium_loss=powder.lithium_loss + UPTAKE * np.asarray(hours, dtype=float) * surface,
        agglomerates=1.0 - (1.0 - powder.agglomerates) * (1.0 - caked),
    )
