"""Feasible moves in a space without a pool: samples, perturbations and repairs that keep every constraint.

Linear constraints hold on the natural scale; along the unit coordinates of a logarithmic parameter they are curved.
What they leave of the continuous part is convex on the natural scale, so a step that leads out of it is shortened
along the straight line there; where expressions make it less than convex, only points that were tested are kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sdl.space import Continuous
from sdl.space.sampling import drawn_directly, sobol, uniform
from sdl.space.walking import Walker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.space import Space

    Array = NDArray[np.float64]

TOLERANCE = 5e-7
"""Half of what `sdl.space` forgives, so that no proposal stands at the edge of being refused."""
_SEEDS = 64
_THIN = 4
"""Steps per dimension with which samples spread out from the seeds."""
_JOINS = 0.1
"""Share of its range with which a component joins (chosen: the ascent that follows finds the right amount)."""
_REPAIRS = 4
_BISECTIONS = 40
_MOST_LEVELS = 12


class Region:
    """The feasible region of a space without a pool.

    What moves together depends on the components that are there: points are dealt with in groups that share them.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.parameters = list(space.parameters.values())
        self.continuous = np.array([isinstance(p, Continuous) for p in self.parameters], dtype=bool)
        self.a, self.lower, self.upper = space.constraint_matrix()
        equal = np.array([c.is_equality for c in space.linear], dtype=bool)
        # parameters that only move together, along directions in which no equality changes
        self.tied = self.continuous & (self.a[equal] != 0).any(axis=0)
        self.loose = self.continuous & ~self.tied
        self.equal = equal
        self.low = np.array([0.0 if p.type == "categorical" else p.lower for p in self.parameters])
        self.high = np.array(
            [float(len(p.values) - 1) if p.type == "categorical" else p.upper for p in self.parameters]
        )
        self.span = self.high - self.low
        self.least = np.where(space.counted, np.maximum(self.low, space.smallest_amounts), self.low)
        """Lower bounds of what is there: those of the parameters, or the smallest amounts of components."""
        self._bases: dict[bytes, Array] = {}

    def moving(self, code: Array) -> NDArray[np.bool_]:
        """Tell per parameter of a code, shape (d,), whether it moves: continuous, and no component that is left out."""
        return np.asarray(self.continuous & ~self.space.left_out(code))

    def _alike(self, codes: Array) -> list[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
        """Return rows of codes, shape (n, d), that have the same components, and which tied parameters move in them."""
        if not self.space.counts:
            return [(np.arange(len(codes)), self.tied)]
        patterns, which = np.unique(self.space.left_out(codes), axis=0, return_inverse=True)
        return [(np.flatnonzero(which.ravel() == k), self.tied & ~off) for k, off in enumerate(patterns)]

    def _basis(self, tied: NDArray[np.bool_]) -> Array:
        """Return directions of tied parameters, in units of their spans, that keep all equalities; shape (tied, k)."""
        key = tied.tobytes()
        if key not in self._bases:
            rows = self.a[np.ix_(self.equal, tied)] * self.span[tied]
            _, s, vt = np.linalg.svd(rows)
            rank = int((s > 1e-12 * max(s.max(initial=0.0), 1e-300)).sum())
            self._bases[key] = vt[rank:].T
        return self._bases[key]

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
        if not self.space.constraints or self.space.is_simplex:
            return sobol(self.space, 1 << max(3, (n - 1).bit_length()), seed)[:n]
        rng = np.random.default_rng(seed)
        seeds = uniform(self.space, _SEEDS, rng)
        if not self.continuous.any():
            return seeds[self.inside(seeds)]
        found = drawn_directly(self.space, 4 * n, rng)
        if len(found) < n // 4:
            walker = Walker(self.space)
            found = np.concatenate([seeds, walker.walk(np.tile(seeds, (-(-n // len(seeds)), 1)), rng, _THIN)])
        return found[self.inside(found)][:n]

    def perturbed(self, codes: Array, copies: int, rng: np.random.Generator) -> Array:
        """Return feasible points near given ones, shape (≤ copies·n, d), at distances from a thousandth to a third.

        Loose parameters move along their own scale, tied ones within the equalities, levels and categories are
        redrawn with probability 1/d each; components that are left out stay out; what is not feasible after that is
        dropped.
        """
        x = np.repeat(codes, copies, axis=0)
        d = x.shape[1]
        size = 10.0 ** rng.uniform(-3.0, -0.5, len(x))
        unit = self.space.to_unit(x)
        moved = unit + rng.normal(size=x.shape) * size[:, None]
        moved = np.where((moved < 0) | (moved > 1), np.clip(moved, 0.0, 1.0), moved)
        fresh = self.space.from_unit(rng.random(x.shape))
        change = rng.random(x.shape) < 1.0 / d
        off = self.space.left_out(x)
        for i, parameter in enumerate(self.parameters):
            if self.loose[i]:
                x[:, i] = np.maximum(parameter.from_unit(moved[:, i]), self.least[i])
            elif not self.continuous[i]:
                x[:, i] = np.where(change[:, i], fresh[:, i], x[:, i])
        x[off] = 0.0
        for rows, tied in self._alike(x):
            basis = self._basis(tied)
            if basis.shape[1]:
                steps = rng.normal(size=(len(rows), basis.shape[1])) @ basis.T
                x[np.ix_(rows, tied)] += steps * self.span[tied] * size[rows, None]
        x = self.repaired(x)
        return x[self.inside(x)]

    def repaired(self, codes: Array) -> Array:
        """Move tied parameters, shape (n, d), onto the equalities, by alternating projections with bounds."""
        if not self.tied.any():
            return codes
        x = codes.copy()
        rows = self.a[self.equal]
        for group, tied in self._alike(x):
            back = np.linalg.pinv(rows[:, tied] * self.span[tied])
            part = x[group]
            for _ in range(_REPAIRS):
                miss = self.upper[self.equal] - part @ rows.T
                part[:, tied] += (miss @ back.T) * self.span[tied]
                part[:, tied] = np.clip(part[:, tied], self.least[tied], self.high[tied])
            x[group] = part
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

    def _component_moves(self, code: Array) -> list[Array]:
        """Return points, shape (d,) each, in which one component more, less or another is there, not yet repaired."""
        counted = np.flatnonzero(self.space.counted & self.continuous)
        there = [int(i) for i in counted if code[i] != 0]
        away = [int(i) for i in counted if code[i] == 0]
        found = []
        for i in there:
            point = code.copy()
            point[i] = 0.0
            found.append(point)
            for j in away:
                point = code.copy()
                point[i] = 0.0
                point[j] = min(max(code[i], self.least[j]), self.high[j])
                found.append(point)
        for j in away:
            point = code.copy()
            point[j] = max(self.least[j], _JOINS * self.span[j])
            found.append(point)
        return found

    def level_moves(self, code: Array) -> Array:
        """Return feasible points that differ from one, shape (d,), in a single level, category or component; (k, d).

        All levels of a parameter are tried where it has at most twelve, else those one and two steps away and both
        ends. A component leaves, joins, or hands its amount to another; the others make up for it.
        """
        found = self._component_moves(code)
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

    def unit_slope(self, codes: Array, columns: NDArray[np.intp]) -> Array:
        """Return d codes / d unit coordinate of continuous parameters of one point, shape (columns,)."""
        slopes = [
            float(codes[i]) * math.log(p.upper / p.lower)
            if isinstance(p := self.parameters[i], Continuous) and p.scale == "log"
            else self.span[i]
            for i in columns
        ]
        return np.array(slopes)
