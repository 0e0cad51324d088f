"""Where the acquisition is largest: over listed candidates exactly, elsewhere by sampling and local ascent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize

from sdl.planners.bayes.geometry import Region
from sdl.space.expressions import slopes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sdl.planners.bayes.acquisition import Acquisition
    from sdl.planners.bayes.data import FeatureMap
    from sdl.space import ExpressionConstraint
    from sdl.space.expressions import Comparison

    Array = NDArray[np.float64]

_ALL_UP_TO = 1 << 18
"""Rows up to which all are scored (chosen: a quarter of a million take a few seconds)."""

_LOOKED_AT = 1 << 16
_WORK = 3.3e10
"""Rows times the squares of the numbers of results that models rest on, up to which all rows are scored. Chosen: some seconds."""
_FEWEST_LOOKED_AT = 1 << 11
_GOOD = 32
_SAMPLES = 1024
_COPIES = 64
_INCUMBENTS = 5
_STARTS = 3
_CLIMBS = 4
_ASCENTS = 40
_GAIN = 1e-4
"""Gain of the log acquisition below which an ascent stops: far below what tells two experiments apart."""
_TIE = 1e-9
_SIGNS = {"<=": 1.0, "<": 1.0, ">=": -1.0, ">": -1.0}
"""Which side of a comparison is the larger one."""
_SAME = 1e-6
"""Largest difference in features within which two points are the same experiment."""


@dataclass(frozen=True, eq=False)
class Found:
    """A point and how it was found; code has shape (d,)."""

    code: Array
    value: float
    how: str


def best_listed(acquisition: Acquisition, codes: Array, features: FeatureMap, squares: float = 0.0) -> Found | None:
    """Return the best of listed codes, shape (n, d), the first among equals; None where there are none.

    Of more than 262,144 rows, 65,536 are looked at that are drawn at random, then as many that lie closest to the best of
    those: the acquisition is smooth, so its largest values have large ones beside them. In long runs a row costs more, and both
    numbers are smaller.

    Args:
        acquisition: what is wanted.
        codes: among which.
        features: of the space.
        squares: sum of the squares of the numbers of results that the models rest on.
    """
    if not len(codes):
        return None
    most = _WORK / max(squares, 1.0)
    if len(codes) > min(_ALL_UP_TO, max(most, 2 * _FEWEST_LOOKED_AT)):
        return _best_of_many(acquisition, codes, features, int(min(_LOOKED_AT, max(most / 2, _FEWEST_LOOKED_AT))))
    values = acquisition.score(features(codes))
    best = int(np.argmax(values))
    return Found(codes[best], float(values[best]), f"best of all {len(codes)} that are left")


def _best_of_many(acquisition: Acquisition, codes: Array, features: FeatureMap, count: int) -> Found:
    x = features(codes)
    first = np.sort(np.random.default_rng(len(codes)).choice(len(codes), size=count, replace=False))
    values = acquisition.score(x[first])
    distance = np.full(len(x), np.inf)
    for good in x[first[np.argsort(-values, kind="stable")[:_GOOD]]]:
        distance = np.minimum(distance, ((x - good) ** 2).sum(axis=1))
    distance[first] = np.inf
    near = np.sort(np.argpartition(distance, count - 1)[:count])
    rows = np.concatenate([first, near])
    values = np.concatenate([values, acquisition.score(x[near])])
    best = int(np.lexsort((rows, -values))[0])
    return Found(
        codes[rows[best]], float(values[best]), f"best of {len(rows)} looked at, of {len(codes)} that are left"
    )


class Search:
    """Searches a space without a pool.

    Args:
        features: of the space.
        anchors: codes around which to look closely (the best experiments so far), shape (k, d).
        known: codes that shall not be proposed again, shape (m, d).
        seed: of the samples.
        region: the part of the space that is searched; by default all of it.
    """

    def __init__(
        self, features: FeatureMap, anchors: Array, known: Array, seed: int, region: Region | None = None
    ) -> None:
        self.features = features
        self.region = region if region is not None else Region(features.space)
        self.taken = known
        self.known = features(known) if len(known) else np.empty((0, len(features.names)))
        rng = np.random.default_rng([seed, 2])
        parts = [self.region.sample(_SAMPLES, seed)]
        if len(anchors):
            parts.append(self.region.perturbed(anchors[:_INCUMBENTS], _COPIES, rng))
        self.codes = np.concatenate(parts)

    def best(self, acquisition: Acquisition, avoid: Array, *, climb: bool = True) -> Found | None:
        """Return the best feasible point found that is no repetition of known points or of `avoid`, shape (k, d).

        Without `climb` it is the best of the samples.
        """
        found = self.tops(acquisition, avoid, climb=climb)
        return max(found, key=lambda f: f.value) if found else None  # max keeps the first among equals

    def tops(self, acquisition: Acquisition, avoid: Array, *, climb: bool = True) -> list[Found]:
        """Return the samples from which hills are climbed, and their tops; see `best`."""
        taken = np.concatenate([self.known, self.features(avoid)]) if len(avoid) else self.known
        codes = self.codes[self._new(self.codes, taken)]
        if not len(codes):
            return []
        values = acquisition.score(self.features(codes))
        found: list[Found] = []
        for start in self._starts(codes, values):
            code, value = codes[start], float(values[start])
            found.append(Found(code, value, "sample"))
            if climb:
                found.append(self._climb(acquisition, code, value, taken))
        return found

    def left(self, codes: Array | None = None) -> Array:
        """Return the codes, shape (≤ n, d), that are no repetition of known points; by default of the samples."""
        codes = self.codes if codes is None else codes
        return codes[self._new(codes, self.known)]

    def _new(self, codes: Array, taken: Array) -> NDArray[np.bool_]:
        """Tell per code, shape (n, d), whether it differs from all taken features, shape (m, f)."""
        if not len(taken) or not len(codes):
            return np.ones(len(codes), dtype=bool)
        x = self.features(codes)
        nearest = np.full(len(x), np.inf)
        for row in taken:
            nearest = np.minimum(nearest, np.abs(x - row).max(axis=1))
        result: NDArray[np.bool_] = nearest > _SAME
        return result

    def _starts(self, codes: Array, values: Array) -> list[int]:
        """Choose the best points that are not close to a better one, so that several hills are climbed."""
        x = self.features(codes)
        order = np.argsort(-values, kind="stable")
        chosen: list[int] = []
        apart = 0.05 * np.sqrt(x.shape[1])
        for i in order[:400]:
            if all(float(np.linalg.norm(x[i] - x[j])) > apart for j in chosen):
                chosen.append(int(i))
            if len(chosen) == _STARTS:
                break
        return chosen

    def _climb(self, acquisition: Acquisition, code: Array, value: float, taken: Array) -> Found:
        """Alternate ascent along the continuous parameters with changes of one level or component, while it helps."""
        for _ in range(_CLIMBS):
            code, value = self._ascend(acquisition, code, value, taken)
            moves = self.region.level_moves(code)
            moves = moves[self._new(moves, taken)]
            if not len(moves):
                break
            values = acquisition.score(self.features(moves))
            best = int(np.argmax(values))
            if not values[best] > value + _TIE:
                break
            code, value = moves[best], float(values[best])
        return Found(code, value, "sample, then local ascent")

    def _ascend(self, acquisition: Acquisition, code: Array, value: float, taken: Array) -> tuple[Array, float]:
        """Climb along the continuous parameters within all constraints, by SLSQP (Kraft 1988)."""
        region = self.region
        moving = np.flatnonzero(region.moving(code))
        if not len(moving):
            return code, value
        names = region.space.names
        columns = np.array([self.features.columns[names[i]] for i in moving])
        unit = region.space.to_unit(code[None, :])[0]
        fixed = self.features(code[None, :])[0]

        def codes_at(u: Array) -> Array:
            whole = code.copy()
            for i, v in zip(moving, u, strict=True):
                whole[i] = region.parameters[i].from_unit(np.clip(np.array([v]), 0.0, 1.0))[0]
            return whole

        def downhill(u: Array) -> tuple[float, Array]:
            x = fixed.copy()
            x[columns] = u
            worth, slope = acquisition.slope(x)
            if not np.isfinite(worth) or not np.isfinite(slope).all():
                return 1e10, np.zeros(len(u))
            return -worth, -slope[columns]

        answer = minimize(
            downhill,
            unit[moving],
            jac=True,
            method="SLSQP",
            bounds=[(float(b), 1.0) for b in region.space.to_unit(region.least[None, :])[0][moving]],
            constraints=[*self._linear(codes_at, moving), *self._expressions(codes_at, moving, code)],
            options={"maxiter": _ASCENTS, "ftol": _GAIN},
        )
        if not np.isfinite(answer.x).all():
            return code, value
        end = region.pulled_in(code, codes_at(answer.x))
        reached = float(acquisition.score(self.features(end[None, :]))[0])
        if reached <= value or not self._new(end[None, :], taken)[0] or not region.inside(end[None, :])[0]:
            return code, value
        return end, reached

    def _linear(self, codes_at: Callable[[Array], Array], moving: NDArray[np.intp]) -> list[dict[str, Any]]:
        """Return the linear constraints as functions of unit coordinates; each is divided by its own size."""
        region = self.region
        found: list[dict[str, Any]] = []
        for row, low, high, equal in zip(region.a, region.lower, region.upper, region.equal, strict=True):
            if not row[moving].any():
                continue
            size = float(np.abs(row * region.span).sum()) or 1.0

            def total(u: Array, row: Array = row, size: float = size) -> float:
                return float(row @ codes_at(u)) / size

            def slope(u: Array, row: Array = row, size: float = size) -> Array:
                return row[moving] * region.unit_slope(codes_at(u), moving) / size

            if equal or np.isfinite(high):
                found.append(
                    {
                        "type": "eq" if equal else "ineq",
                        "fun": lambda u, f=total, b=high / size: b - f(u),
                        "jac": lambda u, g=slope: -g(u),
                    }
                )
            if not equal and np.isfinite(low):
                found.append(
                    {"type": "ineq", "fun": lambda u, f=total, b=low / size: f(u) - b, "jac": lambda u, g=slope: g(u)}
                )
        return found

    def _expressions(
        self, codes_at: Callable[[Array], Array], moving: NDArray[np.intp], code: Array
    ) -> list[dict[str, Any]]:
        """Return the comparisons that bind at the start as functions of unit coordinates, divided by their sizes there.

        Where one of several alternatives has to hold, it is the one that holds at the start: within it the ascent stays.
        """
        space, region = self.region.space, self.region
        found: list[dict[str, Any]] = []
        for constraint in space.expressions:
            for comparison in constraint.binding(code, space.parameters):
                if comparison.operator not in _SIGNS:
                    continue
                sign = _SIGNS[comparison.operator]

                def room(
                    u: Array,
                    constraint: ExpressionConstraint = constraint,
                    c: Comparison = comparison,
                    sign: float = sign,
                ) -> tuple[float, Array, float]:
                    columns = constraint.columns(codes_at(u)[None, :], space.names)
                    (left, by_left), (right, by_right) = slopes(c.left, columns), slopes(c.right, columns)
                    change = np.zeros(len(space.names))
                    for by, factor in ((by_left, -sign), (by_right, sign)):
                        for name, slope in by.items():
                            change[space.names.index(name)] += factor * float(np.ravel(slope)[0])
                    a, b = float(np.ravel(left)[0]), float(np.ravel(right)[0])
                    change = change[moving] * region.unit_slope(codes_at(u), moving)
                    if not (np.isfinite(a) and np.isfinite(b) and np.isfinite(change).all()):
                        return -1.0, np.zeros(len(moving)), 1.0
                    return sign * (b - a), change, abs(a) + abs(b)

                start = region.space.to_unit(code[None, :])[0][moving]
                size = room(start)[2] or 1.0
                found.append(
                    {
                        "type": "ineq",
                        "fun": lambda u, f=room, s=size: f(u)[0] / s,
                        "jac": lambda u, f=room, s=size: f(u)[1] / s,
                    }
                )
        return found
