"""Walk in the feasible part of a space, many points at once.

Hit-and-run (Smith, Operations Research 32, 1296 (1984)): a random direction along which no equality changes, then a
uniform point of the chord that the linear constraints leave. Where expressions bind too, the chord shrinks towards the
point until what is drawn is feasible (the shrinkage of Neal, Ann. Stat. 31, 705 (2003), which keeps the uniform
distribution invariant); from an infeasible point every step that misses them less is taken (improving hit-and-run, Zabinsky
et al., J. Glob. Optim. 3, 171 (1993)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.space.constraints import TOLERANCE
from sdl.space.parameters import Continuous

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sdl.space.space import Space

    Array = NDArray[np.float64]

STEPS = 60
"""Steps per dimension between two points, enough for moments that cannot be told from uniform ones."""

STEPS_WITH_EXPRESSIONS = 20
"""The same where expressions bind, each step of which costs several looks at them (chosen)."""

MOST_CHOICES = 5000
"""So many choices of levels and components are looked at, each with a linear programme, before the search is given up."""

_SHRINKS = 12
"""Draws from one chord before the point stays where it is (chosen: the chord is then a thousandth of what it was)."""


@dataclass
class Walker:
    """Moves the continuous parameters of points of a space; levels, categories and left-out components stay.

    Attributes:
        space: where.
        nearest: the code that missed the expressions least, shape (d,), and by how much; None before any was tried.
        is_exhausted: more choices of levels and components were met than are looked at.
    """

    space: Space
    nearest: tuple[Array, float] | None = None
    is_exhausted: bool = False

    def __post_init__(self) -> None:
        parameters = list(self.space.parameters.values())
        self.free = np.array([isinstance(p, Continuous) for p in parameters])
        self.low = np.array([p.lower for p in parameters if isinstance(p, Continuous)])
        self.span = np.array([p.upper - p.lower for p in parameters if isinstance(p, Continuous)])
        smallest = self.space.smallest_amounts[self.free]
        self.least = np.divide(smallest, self.span, out=np.zeros_like(smallest), where=smallest > 0)
        # In shares of the box and of each constraint's scale, so that a solver's absolute tolerances mean the same everywhere.
        a, lower, upper = self.space.constraint_matrix()
        scales = self.space.constraint_scales
        self.a, self.lower, self.upper = a / scales[:, None], lower / scales, upper / scales
        self.by_levels = ~self.a[:, self.free].any(axis=1)
        self._starts: dict[bytes, Array | None] = {}

    def fits(self, codes: Array) -> NDArray[np.bool_]:
        """Tell per row of codes, shape (n, d), whether the linear constraints without continuous terms hold."""
        sums = codes[:, ~self.free] @ self.a[self.by_levels][:, ~self.free].T
        low, high = self.lower[self.by_levels], self.upper[self.by_levels]
        return np.asarray(((sums >= low - TOLERANCE) & (sums <= high + TOLERANCE)).all(axis=1))

    def walk(self, codes: Array, rng: np.random.Generator, steps: int | None = None) -> Array:
        """Return one feasible point for each row of codes, shape (w, d), that leaves room for one; shape (≤ w, d).

        Every choice of levels keeps its share; continuous values are uniform on the natural scale, whatever their declared
        scale.

        Args:
            codes: levels, categories and components that stay; the continuous values count with `steps` alone.
            rng: source of randomness.
            steps: per dimension, from the points themselves, which are feasible; None for so many from the middle that
                it is forgotten.
        """
        off = self.space.left_out(codes)[:, self.free]
        patterns, which = np.unique(off, axis=0, return_inverse=True)
        found: Array = np.full(codes.shape, np.nan)
        for index, pattern in enumerate(patterns):
            rows = np.flatnonzero(which.ravel() == index)
            moved = self._walk_alike(codes[rows], ~pattern, rng, steps)
            found[rows] = moved
        found = found[~np.isnan(found).any(axis=1)]
        if self.space.expressions and len(found):
            missed = self.space.shortfall(found)
            best = int(np.argmin(missed))
            if self.nearest is None or missed[best] < self.nearest[1]:
                self.nearest = found[best], float(missed[best])
        return found[self.space.satisfies(found)]

    def _walk_alike(
        self, codes: Array, moving: NDArray[np.bool_], rng: np.random.Generator, steps: int | None
    ) -> Array:
        """Walk with rows of codes, shape (w, d), of which the same continuous columns move; NaN where there is no room."""
        a = self.a[:, self.free][~self.by_levels]
        fixed = codes[:, ~self.free] @ self.a[:, ~self.free][~self.by_levels].T
        offset = fixed + a[:, moving] @ self.low[moving]
        low, high = self.lower[~self.by_levels] - offset, self.upper[~self.by_levels] - offset
        columns = np.flatnonzero(self.free)[moving]
        span, base, least = self.span[moving], self.low[moving], self.least[moving]
        region = _Region(a[:, moving] * span, self.lower[~self.by_levels] == self.upper[~self.by_levels], least)
        starts: list[Array | None] = (
            [self._start(region, low[i], high[i], moving) for i in range(len(codes))]
            if steps is None
            else list((codes[:, columns] - base) / span)
        )
        result = codes.copy()
        there = np.array([s is not None for s in starts], dtype=bool)
        result[~there] = np.nan
        if not there.any() or not moving.any():
            return result
        rows = codes[there]

        def missed(x: Array) -> Array:
            whole = rows.copy()
            whole[:, columns] = base + span * x
            return self.space.shortfall(whole)

        x = region.walk(
            np.stack([s for s in starts if s is not None]),
            low[there],
            high[there],
            rng,
            steps or (STEPS_WITH_EXPRESSIONS if self.space.expressions else STEPS),
            missed if self.space.expressions else None,
        )
        rows[:, columns] = np.clip(base + span * x, base, base + span)  # rounding of the last bit only
        result[there] = rows
        return result

    def _start(self, region: _Region, low: Array, high: Array, moving: NDArray[np.bool_]) -> Array | None:
        """Return a point well within, shape (m,), or None where nothing is; kept, because a choice of levels comes again."""
        key = low.tobytes() + moving.tobytes()
        if key not in self._starts:
            if len(self._starts) == MOST_CHOICES:
                self.is_exhausted = True
                return None
            self._starts[key] = region.centre(low, high)
        return self._starts[key]


@dataclass(frozen=True)
class _Region:
    """Points of the box [least, 1] with low ≤ a·x ≤ high; a has shape (k, m), `equal` says which rows are equalities."""

    a: Array
    equal: NDArray[np.bool_]
    least: Array

    def centre(self, low: Array, high: Array) -> Array | None:
        """Return the centre of the largest ball within (along the equalities), shape (m,), or None where nothing is."""
        from scipy.optimize import linprog

        m = self.a.shape[1]
        rows, limits = [], []
        for row, lower, upper in zip(self.a[~self.equal], low[~self.equal], high[~self.equal], strict=True):
            size = float(np.linalg.norm(row))
            if np.isfinite(upper):
                rows.append([*row, size])
                limits.append(upper)
            if np.isfinite(lower):
                rows.append([*(-row), size])
                limits.append(-lower)
        for unit, least in zip(np.eye(m), self.least, strict=True):
            rows.extend([[*unit, 1.0], [*(-unit), 1.0]])
            limits.extend([1.0, -least])
        if not rows:  # nothing moves, and no inequality is left
            return np.empty(0) if (np.abs(high[self.equal]) <= TOLERANCE).all() else None
        answer = linprog(
            c=[*np.zeros(m), -1.0],
            A_ub=np.array(rows),
            b_ub=np.array(limits),
            A_eq=np.hstack([self.a[self.equal], np.zeros((self.equal.sum(), 1))]) if self.equal.any() else None,
            b_eq=high[self.equal] if self.equal.any() else None,
            bounds=[(None, None)] * m + [(0, None)],
        )
        return np.asarray(answer.x[:m]) if answer.success else None

    def basis(self) -> Array:
        """Return the directions that keep all equalities, orthonormal columns, shape (m, k)."""
        if not self.equal.any():
            return np.eye(self.a.shape[1])
        _, s, vt = np.linalg.svd(self.a[self.equal])
        return np.asarray(vt[int((s > 1e-12 * max(s.max(initial=0.0), 1e-300)).sum()) :].T)

    def walk(
        self,
        x: Array,
        low: Array,
        high: Array,
        rng: np.random.Generator,
        steps: int,
        missed: Callable[[Array], Array] | None,
    ) -> Array:
        """Take steps, per dimension, with all points x, shape (w, m), between the limits of their rows, shape (w, k)."""
        basis = self.basis()
        w, m = x.shape
        if basis.shape[1] == 0:
            return x
        rows = np.vstack([self.a[~self.equal], np.eye(m)])
        bottom = np.hstack([low[:, ~self.equal], np.broadcast_to(self.least, (w, m))])
        top = np.hstack([high[:, ~self.equal], np.ones((w, m))])
        miss = np.zeros(w) if missed is None else missed(x)
        for _ in range(steps * basis.shape[1]):
            direction = rng.normal(size=(w, basis.shape[1])) @ basis.T
            first, last = chord(x, direction, rows, bottom, top)
            if missed is None:
                x = x + direction * (first + (last - first) * rng.random(w))[:, None]
            else:
                x, miss = _shrinking(x, miss, direction, first, last, rng, missed)
        return x


def chord(x: Array, direction: Array, rows: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Return how far each point, shape (w, m), may go backwards and forwards along its direction; two arrays (w,).

    Args:
        x: the points.
        direction: one each, shape (w, m).
        rows: of the linear constraints, shape (k, m).
        low: their lower limits, shape (k,) or (w, k).
        high: their upper limits.
    """
    here, slope = x @ rows.T, direction @ rows.T
    flat = np.abs(slope) <= 1e-14 * np.abs(direction).max(axis=1, keepdims=True) * np.abs(rows).max(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        one, two = (low - here) / slope, (high - here) / slope
    first = np.where(flat, -np.inf, np.minimum(one, two)).max(axis=1)
    last = np.where(flat, np.inf, np.maximum(one, two)).min(axis=1)
    is_open = np.isfinite(first) & np.isfinite(last) & (last > first)
    return np.where(is_open, first, 0.0), np.where(is_open, last, 0.0)


def _shrinking(
    x: Array,
    miss: Array,
    direction: Array,
    first: Array,
    last: Array,
    rng: np.random.Generator,
    missed: Callable[[Array], Array],
) -> tuple[Array, Array]:
    """Draw from each chord until the expressions are missed no more than before; give points and what they miss."""
    x, miss, first, last = x.copy(), miss.copy(), first.copy(), last.copy()
    waiting = np.ones(len(x), dtype=bool)
    for _ in range(_SHRINKS):
        t = first + (last - first) * rng.random(len(x))
        tried = x + direction * t[:, None]
        now = missed(tried)
        taken = waiting & (now <= miss)
        x[taken], miss[taken] = tried[taken], now[taken]
        waiting &= ~taken
        if not waiting.any():
            break
        last = np.where(t > 0, t, last)
        first = np.where(t > 0, first, t)
    return x, miss
