"""Feasible moves in a space without a pool: samples, perturbations and repairs that keep every constraint.

Linear constraints hold on the natural scale; along the unit coordinates of a logarithmic parameter they are curved.
The feasible set of the continuous part is convex on the natural scale, so a step that leads out of it is shortened
along the straight line there.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sdl.space import Continuous
from sdl.space.sampling import sobol, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.space import Space

    Array = NDArray[np.float64]

TOLERANCE = 5e-7
"""Half of what `sdl.space` forgives, so that no proposal stands at the edge of being refused."""
_SEEDS = 32
_WALKERS = 128
_REPAIRS = 4
_BISECTIONS = 40
_MOST_LEVELS = 12


class Region:
    """The feasible region of a space without a pool."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.parameters = list(space.parameters.values())
        self.continuous = np.array([isinstance(p, Continuous) for p in self.parameters], dtype=bool)
        self.a, self.lower, self.upper = space.constraint_matrix()
        equal = np.array([c.is_equality for c in space.constraints], dtype=bool)
        # parameters that only move together, along directions in which no equality changes
        self.tied = self.continuous & (self.a[equal] != 0).any(axis=0)
        self.loose = self.continuous & ~self.tied
        self.equal = equal
        self.low = np.array([0.0 if p.type == "categorical" else p.lower for p in self.parameters])
        self.high = np.array(
            [float(len(p.values) - 1) if p.type == "categorical" else p.upper for p in self.parameters]
        )
        self.span = self.high - self.low

    @cached_property
    def basis(self) -> Array:
        """Directions of the tied parameters, in units of their spans, that keep all equalities; shape (tied, k)."""
        rows = self.a[np.ix_(self.equal, self.tied)] * self.span[self.tied]
        _, s, vt = np.linalg.svd(rows)
        rank = int((s > 1e-12 * max(s.max(initial=0.0), 1e-300)).sum())
        directions: Array = vt[rank:].T
        return directions

    def inside(self, codes: Array) -> NDArray[np.bool_]:
        """Tell per row of codes, shape (n, d), whether it lies within bounds and constraints."""
        box = ((codes >= self.low) & (codes <= self.high)).all(axis=1)
        result: NDArray[np.bool_] = box & self.space.satisfies(codes, TOLERANCE)
        return result

    def sample(self, n: int, seed: int) -> Array:
        """Return feasible codes, shape (≤ n, d), spread over the region.

        Raises:
            SpaceError: nothing feasible was found.
        """
        size = 1 << max(3, (n - 1).bit_length())
        if not self.space.constraints or self.space.is_simplex:
            return sobol(self.space, size, seed)[:n]
        rng = np.random.default_rng(seed)
        if not self.tied.any():
            codes = self.space.from_unit(rng.random((8 * size, len(self.parameters))))
            codes = codes[self.inside(codes)]
            if len(codes) >= n // 4:
                return codes[:n]
        seeds = uniform(self.space, _SEEDS, rng)
        return self._walk(seeds, n, rng)

    def _walk(self, seeds: Array, n: int, rng: np.random.Generator) -> Array:
        """Spread out from feasible seeds by hit-and-run (Smith 1984), all walkers at once; levels stay as they are."""
        x = np.tile(seeds, (-(-_WALKERS // len(seeds)), 1))
        found = [seeds]
        thin = 2 * max(1, int(self.continuous.sum()))
        while sum(len(f) for f in found) < n and self.continuous.any():
            for _ in range(thin):
                direction = self._directions(len(x), rng)
                first, last = self._reach(x, direction)
                x = x + direction * (first + (last - first) * rng.random(len(x)))[:, None]
                x[:, self.continuous] = np.clip(
                    x[:, self.continuous], self.low[self.continuous], self.high[self.continuous]
                )
            found.append(x[self.inside(x)])
            if not len(found[-1]):
                break
        return np.concatenate(found)[:n]

    def _directions(self, n: int, rng: np.random.Generator) -> Array:
        direction = np.zeros((n, len(self.parameters)))
        direction[:, self.loose] = rng.normal(size=(n, int(self.loose.sum()))) * self.span[self.loose]
        if self.basis.shape[1]:
            direction[:, self.tied] = (rng.normal(size=(n, self.basis.shape[1])) @ self.basis.T) * self.span[self.tied]
        return direction

    def _reach(self, x: Array, direction: Array) -> tuple[Array, Array]:
        """Return how far each row may go backwards and forwards along its direction; two arrays of shape (n,)."""
        rows = np.vstack([self.a[~self.equal], np.eye(x.shape[1])[self.continuous]])
        low = np.concatenate([self.lower[~self.equal], self.low[self.continuous]])
        high = np.concatenate([self.upper[~self.equal], self.high[self.continuous]])
        here, slope = x @ rows.T, direction @ rows.T
        flat = np.abs(slope) <= 1e-14 * np.abs(direction).max(axis=1, keepdims=True) * np.abs(rows).max(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            one, two = (low - here) / slope, (high - here) / slope
        first = np.where(flat, -np.inf, np.minimum(one, two)).max(axis=1)
        last = np.where(flat, np.inf, np.maximum(one, two)).min(axis=1)
        open_ = np.isfinite(first) & np.isfinite(last) & (last > first)
        return np.where(open_, np.minimum(first, 0.0), 0.0), np.where(open_, np.maximum(last, 0.0), 0.0)

    def perturbed(self, codes: Array, copies: int, rng: np.random.Generator) -> Array:
        """Return feasible points near given ones, shape (≤ copies·n, d), at distances from a thousandth to a third.

        Loose parameters move along their own scale, tied ones within the equalities, levels and categories are
        redrawn with probability 1/d each; what is not feasible after that is dropped.
        """
        x = np.repeat(codes, copies, axis=0)
        d = x.shape[1]
        size = 10.0 ** rng.uniform(-3.0, -0.5, len(x))
        unit = self.space.to_unit(x)
        moved = unit + rng.normal(size=x.shape) * size[:, None]
        moved = np.where((moved < 0) | (moved > 1), np.clip(moved, 0.0, 1.0), moved)
        fresh = self.space.from_unit(rng.random(x.shape))
        change = rng.random(x.shape) < 1.0 / d
        for i, parameter in enumerate(self.parameters):
            if self.loose[i]:
                x[:, i] = parameter.from_unit(moved[:, i])
            elif not self.continuous[i]:
                x[:, i] = np.where(change[:, i], fresh[:, i], x[:, i])
        if self.basis.shape[1]:
            steps = rng.normal(size=(len(x), self.basis.shape[1])) @ self.basis.T
            x[:, self.tied] += steps * self.span[self.tied] * size[:, None]
            x = self.repaired(x)
        return x[self.inside(x)]

    def repaired(self, codes: Array) -> Array:
        """Move tied parameters, shape (n, d), onto the equalities, by alternating projections with bounds."""
        if not self.tied.any():
            return codes
        x = codes.copy()
        rows = self.a[self.equal]
        back = np.linalg.pinv(rows[:, self.tied] * self.span[self.tied])
        for _ in range(_REPAIRS):
            miss = self.upper[self.equal] - x @ rows.T
            x[:, self.tied] += (miss @ back.T) * self.span[self.tied]
            x[:, self.tied] = np.clip(x[:, self.tied], self.low[self.tied], self.high[self.tied])
        return x

    def pulled_in(self, start: Array, end: Array) -> Array:
        """Return the feasible point nearest to end, shape (d,), on the line from start, a feasible one."""
        near = self.repaired(end[None, :])
        whole: Array = near[0]
        if self.inside(near)[0]:
            return whole
        good, bad = 0.0, 1.0
        best = start
        for _ in range(_BISECTIONS):
            middle = 0.5 * (good + bad)
            point = start + middle * (whole - start)
            if self.inside(point[None, :])[0]:
                good, best = middle, point
            else:
                bad = middle
        return best

    def level_moves(self, code: Array) -> Array:
        """Return feasible points that differ from one, shape (d,), in a single level or category; shape (k, d).

        All levels of a parameter are tried where it has at most twelve, else those one and two steps away and both
        ends.
        """
        found = []
        for i, parameter in enumerate(self.parameters):
            if isinstance(parameter, Continuous):
                continue
            if parameter.type == "categorical":
                levels = np.arange(len(parameter.values), dtype=np.float64)
                here = int(code[i])
            else:
                levels = parameter.levels
                here = int(np.argmin(np.abs(levels - code[i])))
            near = (
                range(len(levels))
                if len(levels) <= _MOST_LEVELS or parameter.type == "categorical"
                else sorted({0, len(levels) - 1, *(k for k in range(here - 2, here + 3) if 0 <= k < len(levels))})
            )
            for k in near:
                if k != here:
                    point = code.copy()
                    point[i] = levels[k]
                    found.append(point)
        if not found:
            return np.empty((0, len(code)))
        moved = self.repaired(np.stack(found))
        return moved[self.inside(moved)]

    def unit_slope(self, codes: Array) -> Array:
        """Return d codes / d unit coordinate of the continuous parameters of one point, shape (continuous,)."""
        slopes = [
            float(codes[i]) * math.log(p.upper / p.lower) if p.scale == "log" else self.span[i]
            for i, p in enumerate(self.parameters)
            if isinstance(p, Continuous)
        ]
        return np.array(slopes)
