"""The truth of whole recipes, without noise, drift, lots or places: 10⁵ of them in about a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sdl_instruments.ceramics.physics import ATMOSPHERES

from sdl.errors import listed

from .conducting import boundary_resistivity, conductivity, grain_conductivity
from .firing import Green, Piece, fire
from .lots import IMPURITY, SIZE
from .milling import fresh, mill
from .phases import balance, phases
from .pressing import green_density, lamination

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def true_outcomes(
    *,
    li_excess: ArrayLike,
    gallium: ArrayLike,
    milling: ArrayLike,
    speed: ArrayLike,
    pressure: ArrayLike,
    temperature: ArrayLike,
    hold: ArrayLike,
    ramp: ArrayLike,
    atmosphere: ArrayLike,
) -> dict[str, Floats]:
    """Return the outcomes of recipes made of the average lot at the average place.

    Args:
        li_excess: lithium beyond what the garnet needs, as a share of it.
        gallium: per formula unit.
        milling: h.
        speed: rpm.
        pressure: MPa.
        temperature: degC.
        hold: h.
        ramp: K/min.
        atmosphere: names out of `ATMOSPHERES`.

    Returns:
        `bulk_conductivity` in mS/cm, `relative_density`, `phase_fraction` (of the cubic garnet), `grain_size` in µm, in the
        arguments' common shape.

    Raises:
        ValueError: an atmosphere that there is not.
    """
    names = np.asarray(atmosphere, dtype=str)
    unknown = sorted(set(np.unique(names).tolist()) - set(ATMOSPHERES))
    if unknown:
        raise ValueError(f"unknown atmosphere {listed(unknown)}; there are {listed(ATMOSPHERES)}")
    gas = np.searchsorted(np.array(ATMOSPHERES), names)  # they are in alphabetical order
    every = (li_excess, gallium, milling, speed, pressure, temperature, hold, ramp, gas)
    shape = np.broadcast_shapes(*(np.shape(a) for a in every))
    powder = mill(fresh(np.full(shape, SIZE)), milling, speed)
    green = Green(
        lithium=1.0 + np.asarray(li_excess, dtype=float) - powder.lithium_loss,
        size=powder.size,
        density=green_density(powder, pressure),
        agglomerates=powder.agglomerates,
        lamination=lamination(powder, pressure),
        foreign=IMPURITY + powder.zirconia,
    )
    rate = np.asarray(ramp, dtype=float) / 60.0
    body = fire(green, [Piece(temperature, 3600.0 * np.asarray(hold, dtype=float), rate, rate, gas)])
    found = phases(body, gallium, powder.zirconia)
    surplus = balance(body.lithium, powder.zirconia)
    boundaries = boundary_resistivity(body, surplus, gallium, IMPURITY, green.lamination)
    return {
        "bulk_conductivity": conductivity(body.density, grain_conductivity(found, gallium), boundaries),
        "relative_density": body.density,
        "phase_fraction": np.broadcast_to(found.cubic, shape),
        "grain_size": np.broadcast_to(body.grain, shape),
    }
