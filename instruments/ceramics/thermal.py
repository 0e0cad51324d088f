"""The furnace's temperature programme, and how much an Arrhenius process gets done in it.

A firing heats at a constant rate from the cold furnace, holds, and cools at the same rate; several firings follow each
other. A firing that is stopped on the way cools from the temperature it had reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expn

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

GAS_CONSTANT = 8.314462618
"""J/(mol K), CODATA 2018."""

KELVIN = 273.15
"""0 degC in K."""

COLD = 25.0
"""Temperature of the cold furnace, degC."""

RAMP = 5.0 / 60.0
"""Heating and cooling rate, K/s (5 K/min, the common rate for garnet pellets)."""


def firing_seconds(temperature: float, hold: float, firings: int) -> float:
    """Return how long a sintering takes, s.

    Args:
        temperature: degC.
        hold: at the temperature in each firing, h.
        firings: how many.
    """
    return firings * (2.0 * (temperature - COLD) / RAMP + 3600.0 * hold)


def arrhenius_seconds(peak: ArrayLike, plateau: ArrayLike, energy: float, reference: float) -> Floats:
    """Return the time at a reference temperature that does the same work as one firing, s.

    That is ∫ exp(−Q/R (1/T − 1/T_ref)) dt over heating, plateau and cooling. With a constant rate the ramps integrate
    exactly: ∫ exp(−q/T) dT from A to B is B·E₂(q/B) − A·E₂(q/A), with the exponential integral E₂ (Abramowitz and Stegun,
    Handbook of Mathematical Functions, 1964, 5.1.4).

    Args:
        peak: highest temperature, degC.
        plateau: time there, s.
        energy: activation energy, J/mol.
        reference: temperature at which the time counts as it is, degC.
    """
    top = np.asarray(peak, dtype=float) + KELVIN
    q = energy / GAS_CONSTANT
    scale = np.exp(q / (reference + KELVIN))
    bottom = COLD + KELVIN
    ramp = (top * expn(2, q / top) - bottom * expn(2, q / bottom)) / RAMP
    return np.asarray(scale * (np.asarray(plateau, dtype=float) * np.exp(-q / top) + 2.0 * ramp))


def cut_short(temperature: float, hold: float, firings: int, elapsed: float) -> list[tuple[float, float]]:
    """Return (peak in degC, plateau in s) of each firing that had begun when the programme was stopped.

    Args:
        temperature: set point, degC.
        hold: s.
        firings: how many were asked for.
        elapsed: time since the start, s; the whole programme where it is not shorter.
    """
    heating = (temperature - COLD) / RAMP
    one = 2.0 * heating + hold
    pieces: list[tuple[float, float]] = []
    for number in range(firings):
        left = elapsed - number * one
        if left <= 0:
            break
        if left >= heating:
            pieces.append((temperature, min(hold, left - heating)))
        else:
            pieces.append((COLD + RAMP * left, 0.0))
    return pieces


def chamber_temperature(temperature: float, hold: float, firings: int, elapsed: float, stopped: float | None) -> float:
    """Return the chamber's temperature at a time after the start of a programme, degC.

    Args:
        temperature: set point, degC.
        hold: s.
        firings: how many.
        elapsed: time since the start, s.
        stopped: time after the start at which the programme was stopped, s, or None; it cools from then on.
    """
    if stopped is not None and elapsed > stopped:
        reached = chamber_temperature(temperature, hold, firings, stopped, None)
        return max(COLD, reached - RAMP * (elapsed - stopped))
    heating = (temperature - COLD) / RAMP
    one = 2.0 * heating + hold
    if elapsed <= 0 or elapsed >= firings * one or one <= 0:
        return COLD
    within = elapsed % one
    if within < heating:
        return COLD + RAMP * within
    return temperature if within < heating + hold else max(COLD, temperature - RAMP * (within - heating - hold))
