"""Where the noise differs over the space, as measured duplicates tell.

Results at one point differ by noise alone. From their variances s² (ν degrees of freedom each) the noise variance at x is

    σ²(x) = (ν₀ σ₀² + Σ k(x, xᵢ) νᵢ sᵢ²) / (ν₀ + Σ k(x, xᵢ) νᵢ),

with σ₀² the pooled variance and k a Gaussian: as of a scaled inverse χ² distribution, duplicates counting by how near they are.

It is used only where it predicts the variance at each point from all others better than the pooled variance does, by a strong
margin: most noise is the same everywhere, and is then inferred by the model itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.planners.base import Json

    Array = NDArray[np.float64]

_FEWEST = 4
"""Points with duplicates below which nothing is compared. Chosen."""
_PRIOR = 2.0
"""ν₀. Chosen."""
_REACH = 0.2
"""Length of k per √d, as of failures (`failures`)."""
_MARGIN = 3.0
"""Advantage in log evidence that is asked for, as of models: "strong" (Kass and Raftery, 1995)."""
_LEAST = 1e-12
"""Least variance, as a share of the variance of all results: duplicates that agree by rounding tell no more. Chosen."""


@dataclass(frozen=True, eq=False)
class Scatter:
    """A noise variance that differs over the space.

    Attributes:
        points: features of the points with duplicates, shape (g, f).
        variances: of their results, in the outcome's unit squared, shape (g,).
        freedoms: degrees of freedom of each, shape (g,).
        length: of the kernel, in features.
        evidence: log evidence over one variance for all.
    """

    points: Array
    variances: Array
    freedoms: Array
    length: float
    evidence: float

    def variance(self, x: Array) -> Array:
        """Return the noise variance at features, shape (m, f), as shape (m,)."""
        return _smoothed(x, self.points, self.variances, self.freedoms, self.length)

    def excess(self, x: Array) -> Array:
        """Return how much the noise variance at features, shape (m, f), exceeds the least at any duplicate, shape (m,), ≥ 0.

        What all have in common is inferred by the model.
        """
        found: Array = np.maximum(self.variance(x) - self.variance(self.points).min(), 0.0)
        return found


def scatter_of(features: Array, values: Array, dimensions: int) -> Scatter | None:
    """Return how noise differs over the space, or None where duplicates do not say that it does.

    Args:
        features: of the results, shape (n, f).
        values: the results in the outcome's unit, shape (n,).
        dimensions: how many parameters there are.
    """
    _, which, counts = np.unique(features, axis=0, return_inverse=True, return_counts=True)
    which = which.ravel()
    sites = np.flatnonzero(counts > 1)
    if len(sites) < _FEWEST:
        return None
    points = np.stack([features[which == k][0] for k in sites])
    variances = np.array([values[which == k].var(ddof=1) for k in sites])
    freedoms = counts[sites].astype(np.float64) - 1.0
    if not float(variances.sum()) > 0:
        return None
    variances = np.maximum(variances, _LEAST * float(values.var()))
    length = _REACH * math.sqrt(dimensions)
    evidence = 0.0
    for k in range(len(sites)):
        rest = np.arange(len(sites)) != k
        others = (points[rest], variances[rest], freedoms[rest])
        pooled = float(others[2] @ others[1] / others[2].sum())
        local = float(_smoothed(points[k : k + 1], *others, length)[0])
        # log density of s² under one variance less that under the other; ν s²/σ² has a χ² distribution
        evidence += 0.5 * freedoms[k] * (math.log(pooled / local) + variances[k] * (1.0 / pooled - 1.0 / local))
    return Scatter(points, variances, freedoms, length, evidence) if evidence > _MARGIN else None


def scatter_told(scatter: Scatter | None) -> Json | None:
    """Return what diagnostics say of noise that differs; None where it does not."""
    if scatter is None:
        return None
    return {
        "points_with_duplicates": len(scatter.points),
        "log_evidence": round(scatter.evidence, 6),
        "standard_deviations": [round(float(v), 12) for v in np.sqrt(scatter.variance(scatter.points))],
    }


def _smoothed(x: Array, points: Array, variances: Array, freedoms: Array, length: float) -> Array:
    near = np.exp(-0.5 * ((x[:, None, :] - points[None, :, :]) ** 2).sum(axis=2) / length**2) * freedoms
    pooled = float(freedoms @ variances / freedoms.sum())
    result: Array = (_PRIOR * pooled + near @ variances) / (_PRIOR + near.sum(axis=1))
    return result
