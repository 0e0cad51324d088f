"""What firings make of a green pellet: density, grains, lithium; and when it cracks.

Forms and most constants are those of the simulated ceramics lab (`sdl_instruments.ceramics.physics`); what is added here makes
the steps before the furnace matter. All functions take and give arrays that broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sdl_instruments.ceramics.physics import (
    ATMOSPHERES,
    END_DENSITY,
    FLUX,
    GRAIN_ENERGY,
    GRAIN_EXPONENT,
    GRAIN_RATE,
    GRAIN_START,
    GREEN_DENSITY,
    HALF_DENSE,
    HANDLING_LOSS,
    LOSS_ENERGY,
    LOSS_POROSITY,
    LOSS_RATE,
    REFERENCE,
    SIGMOID_WIDTH,
    SINTERING_ENERGY,
)

from .programme import arrhenius_work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

FINENESS = 1.6
"""Power of the particle size to which the time for sintering grows. Chosen: below the 3 to 4 of equal spheres (C. Herring,
J. Appl. Phys. 21, 301 (1950)), since powders are neither."""

PACKING = 8.0
"""How much more readily a pellet sinters per unit of green density, in ln(time). Chosen: smaller pores."""

MOST_FLUX = 1.6
"""Excess lithium, in tenths of what the garnet needs, above which more melt speeds densification up no further. Chosen."""

CAKED_PORES, LAMINAR_PORES = 0.09, 0.04
"""Porosity that sintering cannot close where all powder is caked, or the pellet badly laminated. Chosen: pores larger than
the grains around them are stable."""

PINNING = 0.004
"""Mass fraction of second phases (silica, zirconia) that halves the rate of grain growth. Chosen: particles hold boundaries back
(C. Zener, quoted by C. S. Smith, Trans. AIME 175, 15 (1948))."""

ABNORMAL_PEAK, ABNORMAL_PEAK_WIDTH = 1205.0, 9.0
ABNORMAL_LITHIUM, ABNORMAL_LITHIUM_WIDTH = 0.045, 0.010
"""Temperature, degC, and lithium balance above which, both together, grains grow abnormally, and how gradual that is. Chosen."""

ABNORMAL_RATE, ABNORMAL_PORES = 25.0, 0.055
"""How much faster grains then grow, and the porosity that they enclose in the end. Chosen: boundaries break away from pores
(R. J. Brook, J. Am. Ceram. Soc. 52, 56 (1969))."""

ENCLOSING = 1800.0
"""Work of grain growth in which abnormal grains enclose most of those pores, s at the reference temperature. Chosen."""

CRITICAL_RAMP, CRITICAL_THICKNESS = 10.0, 0.5
"""Heating rate that a green pellet of this thickness just stands, K/min and cm. Chosen; the critical rate falls with the
square of the thickness (W. D. Kingery, J. Am. Ceram. Soc. 38, 3 (1955))."""

RAMP_HAZARD, LAMINAR_HAZARD = 1.2, 0.35
"""Hazard of cracking per unit of heating rate beyond the critical one, as a share of it, and of a fully laminated pellet.
Chosen."""


@dataclass(frozen=True)
class Green:
    """A pressed pellet, or arrays of such.

    Attributes:
        lithium: as a multiple of what the garnet needs.
        size: particle size, µm.
        density: relative density.
        agglomerates: share of the powder that is caked.
        lamination: 0 to 1.
        foreign: mass fraction of silica and zirconia.
        reactivity: how much more readily it sinters, in ln(time).
    """

    lithium: ArrayLike
    size: ArrayLike
    density: ArrayLike
    agglomerates: ArrayLike = 0.0
    lamination: ArrayLike = 0.0
    foreign: ArrayLike = 0.0
    reactivity: ArrayLike = 0.0


@dataclass(frozen=True)
class Piece:
    """One firing as the pellet felt it, or arrays of such.

    Attributes:
        peak: highest temperature at its place, degC.
        plateau: s.
        heating: rate, K/s.
        cooling: rate, K/s.
        atmosphere: index in `ATMOSPHERES`.
    """

    peak: ArrayLike
    plateau: ArrayLike
    heating: ArrayLike
    cooling: ArrayLike
    atmosphere: ArrayLike


@dataclass(frozen=True)
class Body:
    """What is inside a pellet, or arrays of such.

    Attributes:
        lithium: present, as a multiple of what the garnet needs.
        lost: evaporated, same unit.
        density: relative density.
        grain: grain size, µm.
        coolings: how often it cooled down.
        heat: work of grain growth that it got, s at the reference temperature.
        abnormal: how far abnormal grains have enclosed pores, 0 to 1.
    """

    lithium: Floats
    lost: Floats
    density: Floats
    grain: Floats
    coolings: Floats
    heat: Floats
    abnormal: Floats


def fire(green: Green, pieces: Sequence[Piece]) -> Body:
    """Return what firings make of a green pellet.

    Densification follows a master sintering curve (H. Su, D. L. Johnson, J. Am. Ceram. Soc. 79, 3211 (1996)) from the
    green density to one that gas, caked powder, laminations and abnormal grains limit; grains grow by Gⁿ = G₀ⁿ + ∫K dt;
    lithium evaporates at first order, and a share more is lost at every cooling.

    Args:
        green: before the first firing.
        pieces: in order; arrays in them broadcast with the pellet.
    """
    start = np.asarray(green.lithium, dtype=float)
    size, density = np.asarray(green.size, dtype=float), np.asarray(green.density, dtype=float)
    present, work, end = start, np.zeros(np.shape(start)), np.zeros(np.shape(start))
    cubed = size**GRAIN_EXPONENT
    heat, enclosed, coolings = np.zeros(np.shape(start)), np.zeros(np.shape(start)), 0
    pinned = 1.0 / (1.0 + np.asarray(green.foreign, dtype=float) / PINNING)
    for piece in pieces:
        gas = np.asarray(piece.atmosphere, dtype=int)
        course = (piece.peak, piece.plateau, piece.heating, piece.cooling)
        done = arrhenius_work(*course, SINTERING_ENERGY, REFERENCE)
        growth = arrhenius_work(*course, GRAIN_ENERGY, REFERENCE)
        odd = _rises(np.asarray(piece.peak, dtype=float), ABNORMAL_PEAK, ABNORMAL_PEAK_WIDTH) * _rises(
            present - 1.0, ABNORMAL_LITHIUM, ABNORMAL_LITHIUM_WIDTH
        )
        cubed = cubed + GRAIN_RATE * growth * pinned * (1.0 + ABNORMAL_RATE * odd)
        enclosed = 1.0 - (1.0 - enclosed) * (1.0 - odd * -np.expm1(-growth / ENCLOSING))
        evaporation = _table(LOSS_RATE)[gas] * arrhenius_work(*course, LOSS_ENERGY, REFERENCE)
        present = present * np.exp(-evaporation) * (1.0 - _table(HANDLING_LOSS)[gas])
        work, heat, end = work + done, heat + growth, end + _table(END_DENSITY)[gas] * done
        coolings += 1
    limit = np.where(work > 0, end / np.where(work > 0, work, 1.0), _table(END_DENSITY)[0])
    limit = limit - CAKED_PORES * np.asarray(green.agglomerates, dtype=float) - ABNORMAL_PORES * enclosed
    limit = limit - LAMINAR_PORES * np.asarray(green.lamination, dtype=float)
    shift = (
        np.log(np.maximum(work, 1e-300) / HALF_DENSE)
        + FLUX * np.clip((start - 1.0) / 0.1, -2.0, MOST_FLUX)
        - FINENESS * np.log(size / GRAIN_START)
        + PACKING * (density - GREEN_DENSITY)
        + np.asarray(green.reactivity, dtype=float)
    )
    closed = 1.0 / (1.0 + np.exp(-np.clip(shift / SIGMOID_WIDTH, -700.0, 700.0)))
    lost = start - present
    dense = (density + np.maximum(limit - density, 0.0) * closed) * (1.0 - LOSS_POROSITY * lost)
    return Body(
        lithium=np.asarray(present),
        lost=np.asarray(lost),
        density=np.asarray(dense),
        grain=np.asarray(cubed ** (1.0 / GRAIN_EXPONENT)),
        coolings=np.full(np.shape(dense), float(coolings)),
        heat=np.asarray(heat),
        abnormal=np.asarray(enclosed),
    )


def cracking(ramp: ArrayLike, thickness: ArrayLike, laminated: ArrayLike) -> Floats:
    """Return the probability that heating cracks a pellet; 0 below the critical rate for one that is not laminated.

    Args:
        ramp: heating rate, K/s.
        thickness: of the green pellet, cm.
        laminated: how badly, 0 to 1.
    """
    critical = CRITICAL_RAMP / 60.0 * (CRITICAL_THICKNESS / np.asarray(thickness, dtype=float)) ** 2
    beyond = np.maximum(np.asarray(ramp, dtype=float) / critical - 1.0, 0.0)
    hazard = RAMP_HAZARD * beyond + LAMINAR_HAZARD * np.asarray(laminated, dtype=float)
    return np.asarray(-np.expm1(-hazard))


def _rises(value: Floats, middle: float, width: float) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip((value - middle) / width, -700.0, 700.0))))


def _table(values: Mapping[str, float]) -> Floats:
    return np.array([values[name] for name in ATMOSPHERES])
