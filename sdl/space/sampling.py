"""Draw points of a space: at random, by Sobol sequence, or as space-filling rows of a pool.

Spaces with inequalities and expressions are sampled by rejection, which is exactly uniform on each parameter's scale. A
mixture (simplex) is sampled uniformly by normalised exponentials (Devroye, Non-Uniform Random Variate Generation,
Springer 1986, ch. V.2). Where components are counted, which of them are there is drawn first. Other equalities, and
feasible regions too small for rejection, are sampled by walks (`sdl.space.walking`) on the natural scale of the parameters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import SpaceError
from sdl.space.parameters import Continuous
from sdl.space.walking import Walker

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
_TOGETHER = 128
"""Points that walk at the same time where there is one choice of levels and components."""

_TOGETHER_APART = 32
"""The same where every choice needs a linear programme of its own."""

_FRUITLESS = 8
"""Walks of so many points together without one that keeps the expressions, before the search is given up (chosen)."""

_PATTERN_DRAWS = 32
_SPREAD_OVER = 1 << 14
"""A larger pool is represented by rows of a random part of so many: a few dozen rows cannot tell the difference (chosen)."""


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


def drawn_directly(space: Space, n: int, rng: np.random.Generator) -> Array:
    """Return the feasible ones, shape (≤ n, d), of n points drawn at random; none where a draw meets them by no chance."""
    if not _can_draw(space):
        return np.empty((0, len(space.names)))
    return _directly(space, rng.random((n, len(space.names))), rng)


def space_filling_rows(space: Space, n: int, rng: np.random.Generator) -> list[int]:
    """Choose n rows of the pool that represent it: each new row is drawn with probability ∝ squared distance to the chosen.

    This is the seeding of k-means++ (Arthur and Vassilvitskii, SODA 2007), in model features, with the best of several
    draws at each step. Real rows are chosen; nothing is snapped. The first k of n rows are those of k. Of a pool of more than
    16,384 rows, a random part of that size is represented.

    Raises:
        SpaceError: the pool has fewer rows than asked for, or there is no pool.
    """
    if space.pool is None:
        raise SpaceError("space_filling_rows needs a pool")
    if n > len(space.pool):
        raise SpaceError(f"{n} rows asked for, the pool has {len(space.pool)}")
    if n == 0:
        return []
    rows = np.arange(len(space.pool))
    if n <= _SPREAD_OVER < len(space.pool):
        rows = np.sort(rng.choice(len(space.pool), size=_SPREAD_OVER, replace=False))
    features = space.features(space.pool.codes[rows])
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
    return [int(rows[i]) for i in chosen]


def _sample(space: Space, n: int, draw: Callable[[int], Array], rng: np.random.Generator) -> Array:
    """Return n feasible codes, shape (n, d); draw(size) returns points of the unit cube, shape (size, d).

    Which way is taken does not depend on n: the first k of n points are those of k.
    """
    if n == 0:
        return np.empty((0, len(space.names)))
    if not space.constraints:
        return space.from_unit(draw(n))
    if space.is_simplex:
        return _on_simplex(draw(n), np.zeros((n, len(space.names)), dtype=bool))
    if _can_draw(space):
        found: list[Array] = []
        count = 0
        while count >= _ENOUGH or len(found) < _TRIAL_BLOCKS:
            if count >= max(n, _ENOUGH):
                return np.concatenate(found)[:n]
            found.append(_directly(space, draw(_BLOCK), rng))
            count += len(found[-1])
    return _walked(space, n, draw, rng)


def _can_draw(space: Space) -> bool:
    """Tell whether every equality between continuous parameters is that of a mixture."""
    equalities = [c for c in space.unfrozen_equalities if _has_continuous(space, c.terms)]
    return len(equalities) == (space.mixture is not None)


def _has_continuous(space: Space, terms: Mapping[str, float]) -> bool:
    return any(weight and isinstance(space.parameters[name], Continuous) for name, weight in terms.items())


def _on_simplex(unit: Array, off: NDArray[np.bool_]) -> Array:
    """Return points of the simplex, shape (n, d), from points of the unit cube; components that are off are 0.

    Raises no error for a row all off: it becomes NaN, which satisfies nothing.
    """
    spacing: Array = np.where(off, 0.0, -np.log(np.clip(unit, 1e-300, 1 - 1e-16)))
    with np.errstate(invalid="ignore"):
        return np.asarray(spacing / spacing.sum(axis=1, keepdims=True))


def _directly(space: Space, unit: Array, rng: np.random.Generator) -> Array:
    """Return the feasible ones, shape (≤ n, d), of points of the unit cube, shape (n, d), a mixture on its simplex."""
    codes = space.from_unit(unit)
    off = patterns(space, len(codes), rng)
    codes[off] = 0.0
    if space.mixture is not None:
        columns, low, total = space.mixture
        codes[:, columns] = low + total * _on_simplex(unit[:, columns], off[:, columns])
    return codes[_keeps_pattern(space, codes, off) & space.in_box(codes) & space.satisfies(codes)]


def patterns(space: Space, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw which components are left out, shape (n, d); every choice that the counts allow is equally likely."""
    off = np.zeros((n, len(space.names)), dtype=bool)
    if not space.counts:
        return off
    open_ = np.ones(n, dtype=bool)
    for _ in range(_PATTERN_DRAWS):  # where counts share components, a choice may suit one and not the other
        fresh = np.zeros_like(off)
        for count in space.counts:
            columns = [space.names.index(name) for name in count.of]
            sizes = np.arange(count.fewest, count.most + 1)
            weights = np.array([float(math.comb(len(columns), int(size))) for size in sizes])
            chosen = rng.choice(sizes, size=n, p=weights / weights.sum())
            rank = rng.random((n, len(columns))).argsort(axis=1).argsort(axis=1)
            fresh[:, columns] |= rank >= chosen[:, None]
        off[open_] = fresh[open_]
        open_ = ~_counts_hold(space, off)
        if not open_.any():
            break
    return off


def _counts_hold(space: Space, off: NDArray[np.bool_]) -> NDArray[np.bool_]:
    there = [(~off[:, [space.names.index(name) for name in c.of]]).sum(axis=1) for c in space.counts]
    held = [(t >= c.fewest) & (t <= c.most) for c, t in zip(space.counts, there, strict=True)]
    return np.asarray(np.logical_and.reduce(held))


def _keeps_pattern(space: Space, codes: Array, off: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell per row whether every component that was to be there is, so that no choice gets the share of another."""
    counted = space.counted
    return np.asarray(((codes != 0) | off)[:, counted].all(axis=1))


def _walked(space: Space, n: int, draw: Callable[[int], Array], rng: np.random.Generator) -> Array:
    """Draw levels, categories and components first, then walk in what is left to the continuous parameters."""
    walker = Walker(space)
    result: list[Array] = []
    count = tried = 0
    alone = walker.free.all() and not space.counts
    together = _TOGETHER if alone else _TOGETHER_APART
    for _ in range(_BLOCKS):
        points = space.from_unit(draw(_BLOCK))
        off = patterns(space, len(points), rng)
        points[off] = 0.0
        points = points[walker.fits(points) & _keeps_pattern(space, np.where(walker.free, 1.0, points), off)]
        if not walker.free.any():
            result.append(points[space.satisfies(points)])
            count += len(result[-1])
            tried += _BLOCK
            if count >= n:
                return np.concatenate(result)[:n]
            continue
        for start in range(0, len(points), together):
            result.append(walker.walk(points[start : start + together], rng))
            count += len(result[-1])
            tried += len(points[start : start + together])
            if count >= n:
                return np.concatenate(result)[:n]
            if walker.is_exhausted or (space.expressions and not count and len(result) >= _FRUITLESS):
                raise SpaceError(_not_found(space, walker, count, n, tried))
    raise SpaceError(_not_found(space, walker, count, n, tried))


def _not_found(space: Space, walker: Walker, found: int, n: int, tried: int) -> str:
    """Say what was tried, and what came nearest."""
    said = "; ".join(str(c) for c in space.constraints)
    how = "random points" if not walker.free.any() else "walks from random points towards them"
    text = f"found {found} of {n} candidates that satisfy the constraints ({said}) in {tried} {how}"
    if walker.nearest is not None and not found:
        code = walker.nearest[0]
        shown = ", ".join(
            f"{name} {value if isinstance(value, str) else f'{value:.6g}'}"
            for name, value in space.decode(code[None, :])[0].items()
        )
        broken = [p for e in space.expressions if (p := e.problem_of(code, space.parameters)) is not None]
        text += f"; the nearest was {shown}: {'; '.join(broken) or 'it keeps them but for rounding'}"
    return f"{text}; loosen them"
