"""On what scale a model sees an outcome: as it is, or bent so that a Gaussian process fits it better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import minimize_scalar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Bend = Literal["plain", "power", "log"]

_CONSTANT = 1e-12
"""Relative spread below which outcomes count as all equal: what is left is rounding."""
_SMALLEST = 1e-150
"""Spread below which squares vanish in double precision."""
_POWER_SPREAD = 0.5
"""Standard deviation of the prior of the power, around 1 (no bend). Chosen."""
_FEWEST = 5
"""Results below which no bend is considered. Chosen."""
_DECADE = 10.0
"""Least ratio of the largest to the smallest result at which a logarithm is considered. Chosen."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)


@dataclass(frozen=True)
class Scale:
    """A strictly increasing map from an outcome's unit to standardised values: z = (T((y − location)/spread) − centre)/width.

    T is the identity; or the power transform of Yeo and Johnson (Biometrika 87, 954 (2000), eq. 2.1) with a power
    between 0 and 2, where it maps the whole line onto itself; or, for positive results, the logarithm of y itself.

    Attributes:
        bend: which T.
        location, spread: in the outcome's unit.
        centre, width: of T's values.
        power: of the power transform.
    """

    bend: Bend
    location: float
    spread: float
    centre: float = 0.0
    width: float = 1.0
    power: float = 1.0

    def standardised(self, value: Array | float) -> Array:
        """Turn values in the outcome's unit into standardised ones; −∞ where a logarithm has no value."""
        y = np.asarray(value, dtype=np.float64)
        if self.bend == "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                bent = np.where(y > 0, np.log(np.where(y > 0, y, 1.0)), -np.inf)
        else:
            bent = (y - self.location) / self.spread
            if self.bend == "power":
                bent = _yeo_johnson(bent, self.power)
        result: Array = (bent - self.centre) / self.width
        return result

    def natural(self, standardised: Array) -> Array:
        """Turn standardised values into the outcome's unit."""
        bent = np.asarray(standardised, dtype=np.float64) * self.width + self.centre
        with np.errstate(over="ignore"):
            if self.bend == "log":
                return np.exp(bent)
            if self.bend == "power":
                bent = _inverse_yeo_johnson(bent, self.power)
        return bent * self.spread + self.location

    def slope(self, value: Array) -> Array:
        """Return dz/dy at values in the outcome's unit."""
        y = np.asarray(value, dtype=np.float64)
        if self.bend == "log":
            return 1.0 / (y * self.width)
        x = (y - self.location) / self.spread
        bent = (
            np.exp((self.power - 1.0) * np.sign(x) * np.log1p(np.abs(x))) if self.bend == "power" else np.ones(x.shape)
        )
        result: Array = bent / (self.spread * self.width)
        return result

    def moments(self, mean: Array, sd: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation in the outcome's unit of what is normal on this scale; shapes (m,).

        By Gauss–Hermite quadrature of 32 nodes where the scale is bent.
        """
        if self.bend == "plain":
            return self.natural(mean), sd * self.spread * self.width
        at = self.natural(mean[:, None] + sd[:, None] * _NODES)
        weights = _WEIGHTS / _WEIGHTS.sum()
        centre = at @ weights
        return centre, np.sqrt(np.maximum((at - centre[:, None]) ** 2 @ weights, 0.0))

    def interval(self, mean: Array, sd: Array, reach: float) -> tuple[Array, Array]:
        """Return the ends, in the outcome's unit, of what lies so many standard deviations around means; shapes (m,)."""
        return self.natural(mean - reach * sd), self.natural(mean + reach * sd)


def plain(name: str, y: Array, landmarks: Sequence[float]) -> tuple[Scale, list[str]]:
    """Return the scale on which values have mean 0 and standard deviation 1, and notes.

    Where all values are equal there is no spread to go by: the distance to the farthest number that the campaign
    compares the outcome with, else the size of the value itself, else 1, takes its place.
    """
    size = float(np.abs(y).max())
    unit = size if size > 0 else 1.0
    scaled = y / unit  # so that squares neither overflow nor vanish
    location = float(scaled.mean()) * unit
    spread = float(scaled.std(ddof=1)) if len(y) > 1 else 0.0
    if spread > _CONSTANT and spread * unit > _SMALLEST:
        return Scale("plain", location, spread * unit), []
    reach = max((abs(mark - location) for mark in landmarks), default=0.0)
    scale = max(reach if reach > 0 else unit, _SMALLEST)
    what = f"all {len(y)} results are equal" if len(y) > 1 else "one result"
    return Scale("plain", location, scale), [f"'{name}': {what}; a spread of {scale:g} is assumed"]


def bent(start: Scale, bend: Bend, y: Array, landmarks: Sequence[float]) -> Scale | None:
    """Return a bent scale for values, or None where that bend makes no sense for them.

    Args:
        start: the plain scale of the same values.
        bend: which.
        y: the values, shape (n,).
        landmarks: numbers that the campaign compares the outcome with; they must have a place on the scale.
    """
    if bend == "plain":
        return start
    x = start.standardised(y)
    if len(y) < _FEWEST or not np.ptp(x) > 1.0:
        return None
    if bend == "log":
        least = float(y.min())
        if least <= 0 or float(y.max()) < _DECADE * least or any(mark <= 0 for mark in landmarks):
            return None
        t = np.log(y)
        return Scale("log", start.location, start.spread, float(t.mean()), float(t.std(ddof=1)))
    power = _likeliest_power(x)
    t = _yeo_johnson(x, power)
    return Scale("power", start.location, start.spread, float(t.mean()), float(t.std(ddof=1)), power)


def _likeliest_power(x: Array) -> float:
    """Return the power in [0, 2] of largest posterior density, the transformed values being normal."""
    logs = float((np.sign(x) * np.log1p(np.abs(x))).sum())

    def cost(power: float) -> float:
        spread = max(float(_yeo_johnson(x, power).var()), _SMALLEST)
        fit = 0.5 * len(x) * np.log(spread) - (power - 1.0) * logs
        return float(fit + 0.5 * ((power - 1.0) / _POWER_SPREAD) ** 2)

    return float(minimize_scalar(cost, bounds=(0.0, 2.0), method="bounded", options={"xatol": 1e-4}).x)


def _yeo_johnson(x: Array, power: float) -> Array:
    up, down = np.maximum(x, 0.0), np.maximum(-x, 0.0)
    result: Array = _grown(up, power) - _grown(down, 2.0 - power)
    return result


def _inverse_yeo_johnson(t: Array, power: float) -> Array:
    up, down = np.maximum(t, 0.0), np.maximum(-t, 0.0)
    result: Array = _shrunk(up, power) - _shrunk(down, 2.0 - power)
    return result


def _grown(x: Array, power: float) -> Array:
    """Return ((1 + x)^power − 1)/power, its limit log(1 + x) for power 0."""
    logs = np.log1p(x)
    return logs if power < 1e-9 else np.expm1(power * logs) / power


def _shrunk(t: Array, power: float) -> Array:
    """Return the inverse of `_grown`."""
    return np.expm1(t) if power < 1e-9 else np.expm1(np.log1p(power * t) / power)
