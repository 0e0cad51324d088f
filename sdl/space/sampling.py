"""Draw points of a space: at random, by Sobol sequence, or as space-filling rows of a pool.

Continuous spaces with inequalities are sampled by rejection, which is exactly uniform on each parameter's scale. A
mixture (simplex) is sampled uniformly by normalised exponentials (Devroye, Non-Uniform Random Variate Generation,
Springer 1986, ch. V.2). Other equalities, and feasible regions too small for rejection, are sampled by hit-and-run
(Smith, Operations Research 32, 1296 (1984)) on the natural scale of the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import SpaceError
from sdl.space.constraints import TOLERANCE
from sdl.space.parameters import Continuous

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from sdl.space.space import Space

    Array = NDArray[np.float64]

_BLOCK = 4096
_TRIAL_BLOCKS = 9
_ENOUGH = 8
"""Rejection is given up where fewer than so many points are found in the trial blocks."""

_BLOCKS = 256
_MOST_CHOICES = 5000
"""So many choices of levels are looked at, each with a linear programme, before the search is given up."""

_HIT_AND_RUN_STEPS = 60
"""Steps per dimension between two points, enough for moments that cannot be told from uniform ones."""


def uniform(space: Space, n: int, rng: np.random.Generator) -> Array:
    """Draw codes, shape (n, d), uniformly on each parameter's scale within the constraints; pool rows where there is a pool.

    Args:
        space: where to draw.
        n: how many; rows of a pool are drawn without replacement.
        rng: source of randomness.

    Raises:
        SpaceError: the pool has fewer rows than asked for, or no feasible point was found.
    """
    if space.pool is not None:
        if n > len(space.pool):
            raise SpaceError(f"{n} rows asked for, the pool has {len(space.pool)}")
        return space.pool.codes[rng.choice(len(space.pool), size=n, replace=False)]
    return _sample(space, n, lambda size: rng.random((size, len(space.names))), rng)


def sobol(space: Space, n: int, seed: int) -> Array:
    """Return the first n feasible points, shape (n, d), of a scrambled Sobol sequence; the first k of n are those of k.

    Args:
        space: where to draw; not for pools, see `space_filling_rows`.
        n: how many.
        seed: of the scrambling (Owen).

    Raises:
        SpaceError: no feasible point was found.
    """
    from scipy.stats import qmc

    engine = qmc.Sobol(d=len(space.names), scramble=True, seed=np.random.default_rng(seed))

    def draw(size: int) -> Array:
        """Draw a power of two, which alone is balanced (scipy warns of others), and give what was asked for."""
        return np.asarray(engine.random(1 << (size - 1).bit_length()), dtype=np.float64)[:size]

    return _sample(space, n, draw, np.random.default_rng([seed, 1]))


def space_filling_rows(space: Space, n: int, rng: np.random.Generator) -> list[int]:
    """Choose n rows of the pool that represent it: each new row is drawn with probability ∝ squared distance to the chosen.

    This is the seeding of k-means++ (Arthur and Vassilvitskii, SODA 2007), in model features, with the best of several
    draws at each step. Real rows are chosen; nothing is snapped. The first k of n rows are those of k.

    Raises:
        SpaceError: the pool has fewer rows than asked for, or there is no pool.
    """
    if space.pool is None:
        raise SpaceError("space_filling_rows needs a pool")
    if n > len(space.pool):
        raise SpaceError(f"{n} rows asked for, the pool has {len(space.pool)}")
    if n == 0:
        return []
    features = space.features(space.pool.codes)
    chosen = [int(rng.integers(len(features)))]
    distance = ((features - features[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < n:
        weights = distance.copy()
        weights[chosen] = 0.0
        total = weights.sum()
        if total > 0:
            trials = rng.choice(len(features), size=8, p=weights / total)
        else:  # all remaining rows coincide in features with chosen ones
            trials = rng.choice(np.setdiff1d(np.arange(len(features)), chosen), size=1)
        gains = [np.minimum(distance, ((features - features[t]) ** 2).sum(axis=1)) for t in trials]
        best = int(np.argmin([g.sum() for g in gains]))
        chosen.append(int(trials[best]))
        distance = gains[best]
    return chosen


def _sample(space: Space, n: int, draw: Callable[[int], Array], rng: np.random.Generator) -> Array:
    """Return n feasible codes, shape (n, d); draw(size) returns points of the unit cube, shape (size, d)."""
    if n == 0:
        return np.empty((0, len(space.names)))
    if not space.constraints:
        return space.from_unit(draw(n))
    if space.is_simplex:
        spacing: Array = -np.log(np.clip(draw(n), 1e-300, 1 - 1e-16))
        total: Array = spacing.sum(axis=1, keepdims=True)
        return spacing / total
    if not any(c.is_equality and _has_continuous(space, c.terms) for c in space.constraints):
        found: list[Array] = []
        count = 0
        # Which way is taken must not depend on n: the first k of n points are those of k.
        while count >= _ENOUGH or len(found) < _TRIAL_BLOCKS:
            if count >= max(n, _ENOUGH):
                return np.concatenate(found)[:n]
            block = space.from_unit(draw(_BLOCK))
            found.append(block[space.satisfies(block)])
            count += len(found[-1])
    return _hit_and_run(space, n, draw, rng)


def _has_continuous(space: Space, terms: Mapping[str, float]) -> bool:
    return any(weight and isinstance(space.parameters[name], Continuous) for name, weight in terms.items())


def _hit_and_run(space: Space, n: int, draw: Callable[[int], Array], rng: np.random.Generator) -> Array:
    """Draw the levels and categories first, then walk in the polytope that is left to the continuous parameters.

    Every feasible choice of levels is equally likely; continuous values are uniform on the natural scale, whatever their
    declared scale.
    """
    free = np.array([isinstance(p, Continuous) for p in space.parameters.values()])
    low, span = _box(space, free)
    # In shares of the box and of each constraint's scale, so that a solver's absolute tolerances mean the same everywhere.
    a, lower, upper = space.constraint_matrix()
    scales = space.constraint_scales
    a, lower, upper = a / scales[:, None], lower / scales, upper / scales
    by_levels = ~a[:, free].any(axis=1)
    result: list[Array] = []
    starts: dict[bytes, Array | None] = {}
    for _ in range(_BLOCKS):
        points = space.from_unit(draw(_BLOCK))
        sums = points[:, ~free] @ a[:, ~free].T
        inside = ((sums >= lower - TOLERANCE) & (sums <= upper + TOLERANCE))[:, by_levels].all(axis=1)
        if not free.any():
            result.extend(points[inside])
            if len(result) >= n:
                return np.stack(result[:n])
            continue
        for point, fixed in zip(points[inside], sums[inside], strict=True):
            polytope = _Polytope(
                (a[:, free] * span)[~by_levels],
                (lower - fixed - a[:, free] @ low)[~by_levels],
                (upper - fixed - a[:, free] @ low)[~by_levels],
            )
            key = fixed.tobytes()
            if key not in starts:
                if len(starts) == _MOST_CHOICES:
                    break
                starts[key] = polytope.centre()
            start = starts[key]
            if start is None:
                continue  # this choice of levels leaves no room for the continuous part
            point[free] = low + span * polytope.walk(start, rng)
            if space.satisfies(point[None, :])[0]:
                result.append(point)
            if len(result) == n:
                return np.stack(result)
    said = "; ".join(str(c) for c in space.constraints)
    raise SpaceError(f"found {len(result)} of {n} candidates that satisfy the constraints ({said}); loosen them")


def _box(space: Space, free: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return lower bound and width of the continuous parameters, shape (d,) each."""
    parameters = [p for p, is_free in zip(space.parameters.values(), free, strict=True) if is_free]
    low = np.array([p.lower for p in parameters if isinstance(p, Continuous)])
    high = np.array([p.upper for p in parameters if isinstance(p, Continuous)])
    return low, high - low


@dataclass(frozen=True)
class _Polytope:
    """Points of the unit cube with lower ≤ a·x ≤ upper; a has shape (m, d)."""

    a: Array
    lower: Array
    upper: Array

    def centre(self) -> Array | None:
        """Return the centre of the largest ball within (along the equalities), shape (d,), or None where nothing is."""
        from scipy.optimize import linprog

        d = self.a.shape[1]
        equal = self.lower == self.upper
        rows, limits = [], []
        for row, low, high in zip(self.a[~equal], self.lower[~equal], self.upper[~equal], strict=True):
            size = float(np.linalg.norm(row))
            if np.isfinite(high):
                rows.append([*row, size])
                limits.append(high)
            if np.isfinite(low):
                rows.append([*(-row), size])
                limits.append(-low)
        for unit in np.eye(d):
            rows.extend([[*unit, 1.0], [*(-unit), 1.0]])
            limits.extend([1.0, 0.0])
        answer = linprog(
            c=[*np.zeros(d), -1.0],
            A_ub=np.array(rows),
            b_ub=np.array(limits),
            A_eq=np.hstack([self.a[equal], np.zeros((equal.sum(), 1))]) if equal.any() else None,
            b_eq=self.upper[equal] if equal.any() else None,
            bounds=[(None, None)] * d + [(0, None)],
        )
        return np.asarray(answer.x[:d]) if answer.success else None

    def walk(self, start: Array, rng: np.random.Generator) -> Array:
        """Take a number of hit-and-run steps from an interior point, shape (d,); returns shape (d,)."""
        equal = self.lower == self.upper
        basis = np.eye(len(start))
        if equal.any():
            _, s, vt = np.linalg.svd(self.a[equal])
            basis = vt[int((s > 1e-12 * s.max()).sum()) :].T
        if basis.shape[1] == 0:
            return start
        x = start.copy()
        rows = np.vstack([self.a[~equal], np.eye(len(start))])
        low = np.concatenate([self.lower[~equal], np.zeros(len(start))])
        high = np.concatenate([self.upper[~equal], np.ones(len(start))])
        for _ in range(_HIT_AND_RUN_STEPS * basis.shape[1]):
            direction = basis @ rng.normal(size=basis.shape[1])
            slope = rows @ direction
            here = rows @ x
            moving = np.abs(slope) > 1e-14 * np.abs(direction).max()
            one = (low[moving] - here[moving]) / slope[moving]
            two = (high[moving] - here[moving]) / slope[moving]
            first = float(np.minimum(one, two).max())
            last = float(np.maximum(one, two).min())
            if last > first:
                x = x + direction * rng.uniform(first, last)
        return np.clip(x, 0.0, 1.0)  # rounding of the last bit only
