"""A firing's temperature programme with a ramp of its own: its course, and how much an Arrhenius process gets done in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sdl_instruments.ceramics.thermal import COLD, RAMP, arrhenius_seconds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

COOLING = RAMP
"""Rate at which the chamber cools once its heater is off, K/s (5 K/min)."""


@dataclass(frozen=True)
class Programme:
    """Heat at a rate, hold, cool at the same rate.

    Attributes:
        temperature: of the plateau, degC.
        hold: s.
        ramp: K/s.
    """

    temperature: float
    hold: float
    ramp: float

    @property
    def heating(self) -> float:
        """Time from cold to the plateau, s."""
        return (self.temperature - COLD) / self.ramp

    @property
    def seconds(self) -> float:
        """Time in all, s."""
        return 2.0 * self.heating + self.hold

    def reached(self, elapsed: float) -> tuple[float, float]:
        """Return peak in degC and plateau in s as far as the programme came in a time, s."""
        if elapsed < self.heating:
            return COLD + self.ramp * max(elapsed, 0.0), 0.0
        return self.temperature, min(self.hold, elapsed - self.heating)

    def chamber(self, elapsed: float, stopped: float | None = None) -> float:
        """Return the chamber's temperature at a time after the start, degC.

        Args:
            elapsed: s.
            stopped: time after the start at which the heater was switched off, s, or None; it cools from then on.
        """
        if stopped is not None and elapsed > stopped:
            return max(COLD, self.chamber(stopped) - COOLING * (elapsed - stopped))
        if not 0.0 < elapsed < self.seconds:
            return COLD
        if elapsed < self.heating:
            return COLD + self.ramp * elapsed
        return min(self.temperature, self.temperature - self.ramp * (elapsed - self.heating - self.hold))

    def cold_at(self, stopped: float) -> float:
        """Return the time after the start at which a chamber is cold whose heater was switched off at a time, s."""
        return stopped + (self.chamber(stopped) - COLD) / COOLING


def arrhenius_work(
    peak: ArrayLike, plateau: ArrayLike, heating: ArrayLike, cooling: ArrayLike, energy: float, reference: float
) -> Floats:
    """Return the time at a reference temperature that does the same work as a firing, s.

    A ramp's share is inversely proportional to its rate; see `arrhenius_seconds` for the integral.

    Args:
        peak: highest temperature, degC.
        plateau: time there, s.
        heating: rate, K/s.
        cooling: rate, K/s.
        energy: activation energy, J/mol.
        reference: temperature at which the time counts as it is, degC.
    """
    ramps = arrhenius_seconds(peak, 0.0, energy, reference)
    rates = 0.5 * RAMP / np.asarray(heating, dtype=float) + 0.5 * RAMP / np.asarray(cooling, dtype=float)
    return np.asarray(arrhenius_seconds(peak, plateau, energy, reference) - ramps + ramps * rates)
