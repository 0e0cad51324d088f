"""Draw points of a space: at random, by Sobol sequence, or as space-filling rows of a pool.

Continuous spaces with inequalities are sampled by rejection, which is exactly uniform on each parameter's scale. A
mixture (simplex) is sampled uniformly by normalised exponentials (Devroye, Non-Uniform Random Variate Generation,
Springer 1986, ch. V.2). Other equalities, and feasible regions too small for rejection, are sampled by hit-and-run
(Smith, Operations Research 32, 1296 (1984)) on the natural scale of the parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import SpaceError
from sdl.space.parameters import Categorical, Continuous

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sdl.space.space import Space

    Array = NDArray[np.float64]

_BLOCK = 4096
_BLOCKS = 64
_HIT_AND_RUN_STEPS = 60


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
    from scipy.stats import qmc  # noqa: PLC0415  slow import that `sdl --help` does not need

    engine = qmc.Sobol(d=len(space.names), scramble=True, seed=np.random.default_rng(seed))
    return _sample(space, n, lambda size: np.asarray(engine.random(size)), np.random.default_rng([seed, 1]))


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
    return chosen[:n]


def _sample(space: Space, n: int, draw: Callable[[int], Array], rng: np.random.Generator) -> Array:
    """Return n feasible codes, shape (n, d); draw(size) returns points of the unit cube, shape (size, d)."""
    if n == 0:
        return np.empty((0, len(space.names)))
    if not space.constraints:
        return space.from_unit(draw(n))
    if space.is_simplex:
        spacing = -np.log(np.clip(draw(n), 1e-300, 1 - 1e-16))
        return spacing / spacing.sum(axis=1, keepdims=True)
    found: list[Array] = []
    count = 0
    if not any(c.is_equality and _has_continuous(space, c.terms) for c in space.constraints):
        for _ in range(_BLOCKS):
            block = space.from_unit(draw(_BLOCK if n > 1 else 256))
            good = block[space.satisfies(block)]
            found.append(good)
            count += len(good)
            if count >= n:
                return np.concatenate(found)[:n]
            if not count and len(found) > 8:
                break
    return _hit_and_run(space, n, draw, rng)


def _has_continuous(space: Space, terms: dict[str, float]) -> bool:
    return any(isinstance(space.parameters[name], Continuous) for name in terms)


def _hit_and_run(space: Space, n: int, draw: Callable[[int], Array], rng: np.random.Generator) -> Array:
    """Draw the non-continuous part first, then walk in the polytope that is left to the continuous parameters.

    Continuous values are uniform on the natural scale, whatever their declared scale.
    """
    parameters = list(space.parameters.values())
    free = np.array([isinstance(p, Continuous) for p in parameters])
    a, lower, upper = space.constraint_matrix()
    box_low = np.array([0.0 if isinstance(p, Categorical) else p.lower for p in parameters])
    box_high = np.array([0.0 if isinstance(p, Categorical) else p.upper for p in parameters])
    result: list[Array] = []
    starts: dict[bytes, Array | None] = {}
    for _ in range(200 * n + 2000):
        if len(result) == n:
            break
        point = space.from_unit(draw(1))[0]
        fixed = a[:, ~free] @ point[~free]
        key = fixed.tobytes()
        if key not in starts:
            starts[key] = _interior(a[:, free], lower - fixed, upper - fixed, box_low[free], box_high[free])
        start = starts[key]
        if start is None:
            continue  # this choice of levels leaves no room for the continuous part
        if free.any():
            point[free] = _walk(start, a[:, free], lower - fixed, upper - fixed, box_low[free], box_high[free], rng)
        if space.satisfies(point[None, :])[0]:
            result.append(point)
    if len(result) < n:
        said = "; ".join(str(c) for c in space.constraints)
        raise SpaceError(f"found {len(result)} of {n} candidates that satisfy the constraints ({said}); loosen them")
    return np.stack(result)


def _interior(a: Array, lower: Array, upper: Array, box_low: Array, box_high: Array) -> Array | None:
    """Return a point well inside lower ≤ a·x ≤ upper within the box (Chebyshev centre along inequalities), or None."""
    from scipy.optimize import linprog  # noqa: PLC0415

    d = a.shape[1]
    equal = lower == upper
    if d == 0:
        slack = 1e-9 * np.maximum(1.0, np.abs(np.where(np.isfinite(upper), upper, 0.0)))
        return np.empty(0) if bool(((lower <= slack) & (upper >= -slack)).all()) else None
    span = box_high - box_low
    rows, limits = [], []
    for row, low, high in zip(a[~equal], lower[~equal], upper[~equal], strict=True):
        size = float(np.linalg.norm(row * span))
        if np.isfinite(high):
            rows.append([*row, size])
            limits.append(high)
        if np.isfinite(low):
            rows.append([*(-row), size])
            limits.append(-low)
    for i in range(d):
        unit = np.zeros(d)
        unit[i] = 1.0
        rows.extend([[*unit, span[i]], [*(-unit), span[i]]])
        limits.extend([box_high[i], -box_low[i]])
    answer = linprog(
        c=[*np.zeros(d), -1.0],
        A_ub=np.array(rows),
        b_ub=np.array(limits),
        A_eq=np.hstack([a[equal], np.zeros((equal.sum(), 1))]) if equal.any() else None,
        b_eq=upper[equal] if equal.any() else None,
        bounds=[(None, None)] * d + [(0, None)],
    )
    return np.asarray(answer.x[:d]) if answer.success else None


def _walk(
    start: Array, a: Array, lower: Array, upper: Array, box_low: Array, box_high: Array, rng: np.random.Generator
) -> Array:
    """Take a number of hit-and-run steps from an interior point; returns shape (d,)."""
    equal = lower == upper
    span = box_high - box_low
    if equal.any():
        _, s, vt = np.linalg.svd(a[equal] * span)
        basis = vt[int((s > 1e-12 * s.max()).sum()) :].T
    else:
        basis = np.eye(len(start))
    if basis.shape[1] == 0:
        return start
    x = start.copy()
    rows = np.vstack([a[~equal], np.eye(len(start))])
    low = np.concatenate([lower[~equal], box_low])
    high = np.concatenate([upper[~equal], box_high])
    for _ in range(_HIT_AND_RUN_STEPS * max(1, basis.shape[1])):
        direction = span * (basis @ rng.normal(size=basis.shape[1]))
        slope = rows @ direction
        here = rows @ x
        moving = np.abs(slope) > 1e-14 * np.abs(direction).max()
        with np.errstate(invalid="ignore"):
            one = (low[moving] - here[moving]) / slope[moving]
            two = (high[moving] - here[moving]) / slope[moving]
        first = float(np.minimum(one, two).max())
        last = float(np.maximum(one, two).min())
        if last > first:
            x = x + direction * rng.uniform(first, last)
    return np.clip(x, box_low, box_high)  # rounding of the last bit only
