"""Physics of sintering a lithium garnet: what a batch becomes in the furnace, and how well it conducts.

The material is a doped cubic garnet, Li7La3Zr2O12 with gallium (LLZO). Forms are from the literature named at each
function. Constants are cited where they were measured; the others are chosen so that known trends come out (dense within
hours above 1100 degC, about 10 % lithium excess needed there, oxygen best, conductivity about 1 mS/cm at best) and are
marked "chosen".

All functions take and give arrays that broadcast, without noise and without variation between samples unless it is
passed in, so that 10⁵ recipes are computed in about a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import listed

from .thermal import arrhenius_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

ATMOSPHERES = ("air", "argon", "oxygen")
"""What the furnace can be filled with."""

REFERENCE = 1150.0
"""Temperature at which rates are stated, degC."""

# --- densification -------------------------------------------------------------------------------------------------
SINTERING_ENERGY = 450e3
"""Apparent activation energy of densification, J/mol. Chosen: within the range usual for oxide ceramics."""

HALF_DENSE = 1.2 * 3600.0
"""Time at the reference temperature to half densification without lithium flux, s. Chosen."""

SIGMOID_WIDTH = 0.85
"""Width of the master sintering curve in ln(time). Chosen: from a tenth to nine tenths over two decades of time."""

FLUX = 1.3
"""How much a full unit of lithium excess speeds densification up, in ln(time) per 0.1 excess. Chosen: liquid phase of
molten lithium salts."""

GREEN_DENSITY = 0.55
"""Relative density of the pressed powder. Chosen: usual for uniaxial pressing."""

END_DENSITY: Mapping[str, float] = {"air": 0.965, "argon": 0.950, "oxygen": 0.980}
"""Relative density that sintering approaches. Gas trapped in closed pores stops it unless the gas diffuses out, as oxygen
does and argon does not (R. L. Coble, J. Am. Ceram. Soc. 45, 123 (1962)). Garnet reached 96 % in flowing oxygen (Li et al.,
J. Power Sources 248, 642 (2014)). The numbers are chosen."""

LOSS_POROSITY = 0.5
"""Porosity left behind per unit of lithium that evaporated. Chosen."""

# --- grain growth ---------------------------------------------------------------------------------------------------
GRAIN_ENERGY = 360e3
"""Activation energy of grain growth, J/mol. Chosen."""

GRAIN_EXPONENT = 3.0
"""Grain growth exponent, that of solute drag and of coalescence in a liquid (R. J. Brook, in: Treatise on Materials
Science and Technology 9, Academic Press 1976)."""

GRAIN_START = 0.8
"""Grain size of the powder, µm. Chosen: after ball milling."""

GRAIN_RATE = 60.0 / 3600.0
"""Growth of (grain size)³ at the reference temperature, µm³/s. Chosen: some µm in hours."""

# --- lithium --------------------------------------------------------------------------------------------------------
LOSS_ENERGY = 270e3
"""Activation energy of lithium evaporation, J/mol. Chosen."""

LOSS_RATE: Mapping[str, float] = {"air": 0.016 / 3600.0, "argon": 0.018 / 3600.0, "oxygen": 0.014 / 3600.0}
"""Share of the lithium that evaporates at the reference temperature, 1/s. Chosen; Li2O gives off lithium and oxygen, so
that oxygen in the gas holds it back."""

HANDLING_LOSS: Mapping[str, float] = {"air": 0.018, "argon": 0.006, "oxygen": 0.010}
"""Share of the lithium lost at every cooling, to moisture and CO2 (Li/H exchange at the surface). Chosen."""

# --- conductivity at 25 degC ----------------------------------------------------------------------------------------
CUBIC = 2.22
"""Conductivity of the grains of the cubic phase, mS/cm. Chosen: above the 1.3 mS/cm of a whole gallium-doped pellet
(C. Bernuy-Lopez et al., Chem. Mater. 26, 3610 (2014)), so that 0.7 % of the recipes of the campaign electrolyte-sintering
are dense and above 0.8 mS/cm."""

TETRAGONAL = 1.63e-3
"""Conductivity of the grains of the tetragonal phase, mS/cm (J. Awaka et al., J. Solid State Chem. 182, 2046 (2009))."""

LITHIUM_LOW, LITHIUM_LOW_WIDTH = -0.09, 0.045
LITHIUM_HIGH, LITHIUM_HIGH_WIDTH = 0.13, 0.045
"""Lithium balance at which half the garnet is not cubic, below and above, and how gradual that is. Chosen: the cubic phase
needs its lithium, too much favours the tetragonal one (E. Rangasamy, J. Wolfenstine, J. Sakamoto, Solid State Ionics 206,
28 (2012))."""

BOUNDARY = 0.21
"""Resistance of a grain boundary times area, ohm cm². Chosen: boundaries give half of the resistance at 3 µm."""

BOUNDARY_LITHIUM = 30.0
"""How much a unit of surplus or missing lithium raises the boundaries' resistance: second phases gather there. Chosen."""

CRACKING = 0.02
"""Share of the boundaries' contact that each cooling after the first breaks per µm of grain size. Chosen."""


@dataclass(frozen=True)
class Firings:
    """One or several equal firings, or arrays of such.

    Attributes:
        peak: highest temperature, degC.
        plateau: time there in each firing, s.
        atmosphere: index in `ATMOSPHERES`.
        count: how many.
    """

    peak: ArrayLike
    plateau: ArrayLike
    atmosphere: ArrayLike
    count: ArrayLike


@dataclass(frozen=True)
class Body:
    """What is inside a pellet, or arrays of such.

    Attributes:
        lithium: lithium present, as a multiple of what the garnet needs.
        lost: lithium that evaporated, same unit; `lithium + lost` is what was weighed in.
        densification: how far the pores have closed, 0 to 1, before gas and evaporation hold it back.
        density: relative density.
        grain: grain size, µm.
        coolings: how often it cooled down.
    """

    lithium: Floats
    lost: Floats
    densification: Floats
    density: Floats
    grain: Floats
    coolings: Floats


def fire(lithium: ArrayLike, firings: Sequence[Firings], powder: ArrayLike = 0.0) -> Body:
    """Return what a batch becomes.

    Densification follows a master sintering curve, a sigmoid of the logarithm of the Arrhenius work (H. Su and
    D. L. Johnson, J. Am. Ceram. Soc. 79, 3211 (1996)), which lithium as a flux shifts. Grain growth is Gⁿ = G₀ⁿ + ∫K dt.
    Evaporation is of first order, with a share more at every cooling.

    Args:
        lithium: weighed in, as a multiple of what the garnet needs (1 + excess).
        firings: in order; arrays in them broadcast with `lithium`.
        powder: how much more readily this sample's powder sinters, in ln(time).
    """
    batch = np.asarray(lithium, dtype=float)
    present = batch
    work = np.zeros(np.shape(batch))
    cubed = np.full(np.shape(batch), GRAIN_START**GRAIN_EXPONENT)
    coolings = np.zeros(np.shape(batch))
    end = np.zeros(np.shape(batch))
    for firing in firings:
        count = np.asarray(firing.count, dtype=float)
        gas = np.asarray(firing.atmosphere, dtype=int)
        evaporation = _table(LOSS_RATE)[gas] * arrhenius_seconds(firing.peak, firing.plateau, LOSS_ENERGY, REFERENCE)
        keeps = np.exp(-evaporation) * (1.0 - _table(HANDLING_LOSS)[gas])
        present = present * keeps**count
        done = count * arrhenius_seconds(firing.peak, firing.plateau, SINTERING_ENERGY, REFERENCE)
        end = end + _table(END_DENSITY)[gas] * done
        work = work + done
        cubed = cubed + GRAIN_RATE * count * arrhenius_seconds(firing.peak, firing.plateau, GRAIN_ENERGY, REFERENCE)
        coolings = coolings + count
    densification = master_curve(work, batch - 1.0, powder)
    with np.errstate(invalid="ignore"):
        # Firings in different gases: each counts by the work done in it.
        limit = np.where(work > 0, end / np.where(work > 0, work, 1.0), _table(END_DENSITY)[0])
    lost = batch - present
    density = (GREEN_DENSITY + (limit - GREEN_DENSITY) * densification) * (1.0 - LOSS_POROSITY * lost)
    grain = cubed ** (1.0 / GRAIN_EXPONENT)
    return Body(present, lost, densification, density, grain, coolings)


def master_curve(work: ArrayLike, excess: ArrayLike, powder: ArrayLike = 0.0) -> Floats:
    """Return how far the pores have closed, 0 to 1.

    Args:
        work: Arrhenius work as time at the reference temperature, s.
        excess: lithium beyond what the garnet needs, as a share of it.
        powder: how much more readily the powder sinters, in ln(time).
    """
    seconds = np.maximum(np.asarray(work, dtype=float), 1e-300)
    shift = (
        np.log(seconds / HALF_DENSE) + FLUX * np.asarray(excess, dtype=float) / 0.1 + np.asarray(powder, dtype=float)
    )
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(shift / SIGMOID_WIDTH, -700.0, 700.0))))


def cubic_share(balance: ArrayLike) -> Floats:
    """Return the share of the garnet that is cubic, 0 to 1, at a lithium balance (share of what is needed, 0 is exact)."""
    d = np.asarray(balance, dtype=float)
    low = 1.0 / (1.0 + np.exp(-(d - LITHIUM_LOW) / LITHIUM_LOW_WIDTH))
    high = 1.0 / (1.0 + np.exp((d - LITHIUM_HIGH) / LITHIUM_HIGH_WIDTH))
    return np.asarray(low * high)


def grains(body: Body, quality: ArrayLike = 1.0) -> Floats:
    """Return the conductivity of the grains without pores and boundaries, mS/cm.

    Cubic and tetragonal grains mixed at random: effective medium of two phases (D. A. G. Bruggeman, Ann. Phys. 416, 636
    (1935); closed form by R. Landauer, J. Appl. Phys. 23, 779 (1952)).

    Args:
        body: the pellet.
        quality: factor by which this sample's garnet conducts better.
    """
    share = cubic_share(body.lithium - 1.0)
    one, two = CUBIC * np.asarray(quality, dtype=float), TETRAGONAL
    mean = (3.0 * share - 1.0) * one + (2.0 - 3.0 * share) * two
    return np.asarray((mean + np.sqrt(mean**2 + 8.0 * one * two)) / 4.0)


def boundaries(body: Body) -> Floats:
    """Return the resistivity that grain boundaries add, kohm cm (the inverse of mS/cm).

    Brick-layer model: the boundary's resistance times area over the grain size (S. M. Haile, D. L. West, J. Campbell,
    J. Mater. Res. 13, 1576 (1998)); second phases thicken it and coolings crack it.
    """
    balance = body.lithium - 1.0
    phases = 1.0 + BOUNDARY_LITHIUM * np.sqrt(balance**2 + 0.01**2)
    cracks = 1.0 + CRACKING * body.grain * np.maximum(body.coolings - 1.0, 0.0)
    return np.asarray(BOUNDARY * 1e-3 / (body.grain * 1e-4) * phases * cracks)


def porosity_factor(density: ArrayLike) -> Floats:
    """Return the factor by which pores lower the conductivity: insulating spheres, Bruggeman's asymmetric medium, d^(3/2)."""
    return np.asarray(np.asarray(density, dtype=float) ** 1.5)


def conductivity(body: Body, quality: ArrayLike = 1.0) -> Floats:
    """Return the conductivity of the pellet at 25 degC, grains, boundaries and pores together, mS/cm.

    Args:
        body: the pellet.
        quality: factor by which this sample's garnet conducts better.
    """
    return np.asarray(porosity_factor(body.density) / (1.0 / grains(body, quality) + boundaries(body)))


def true_outcomes(
    temperature: ArrayLike,
    hold: ArrayLike,
    li_excess: ArrayLike,
    atmosphere: ArrayLike,
    firings: ArrayLike,
) -> dict[str, Floats]:
    """Return the outcomes of recipes without noise and without variation between samples.

    Args:
        temperature: degC.
        hold: h, in each firing.
        li_excess: lithium beyond what the garnet needs, as a share of it.
        atmosphere: names out of `ATMOSPHERES`.
        firings: how many.

    Returns:
        `bulk_conductivity` in mS/cm and `relative_density`, in the arguments' common shape.

    Raises:
        ValueError: an atmosphere that there is not.
    """
    names = np.asarray(atmosphere, dtype=str)
    unknown = sorted(set(np.unique(names).tolist()) - set(ATMOSPHERES))
    if unknown:
        raise ValueError(f"unknown atmosphere {listed(unknown)}; there are {listed(ATMOSPHERES)}")
    gas = np.searchsorted(np.array(ATMOSPHERES), names)  # they are in alphabetical order
    shape = np.broadcast_shapes(*(np.shape(a) for a in (temperature, hold, li_excess, gas, firings)))
    lithium = np.broadcast_to(1.0 + np.asarray(li_excess, dtype=float), shape)
    body = fire(lithium, [Firings(temperature, 3600.0 * np.asarray(hold, dtype=float), gas, firings)])
    return {"bulk_conductivity": conductivity(body), "relative_density": body.density}


def _table(values: Mapping[str, float]) -> Floats:
    return np.array([values[name] for name in ATMOSPHERES])
