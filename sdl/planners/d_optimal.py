"""D-optimal designs: the points that fix the coefficients of a polynomial model best.

The determinant of XᵀX, X being the model's terms at the points of the design, is made as large as exchanging single points
against candidates can make it: Fedorov, Theory of Optimal Experiments (Academic Press 1972), as compared by Cook and
Nachtsheim, Technometrics 22, 315 (1980).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from sdl.errors import SpaceError
from sdl.space import Categorical, Continuous
from sdl.space.sampling import uniform
from sdl.space.space import category_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.space import Space

    Array = NDArray[np.float64]

ModelType = Literal["linear", "interactions", "quadratic"]

_SAMPLES = 512
_CORNERS = 128
_CORNERS_OF_A_POLYTOPE = 48
"""The same where each corner takes a linear programme."""

_POOL_PART = 1 << 16
_LEVERED = 4096
"""Rows of a large pool that enter the exchange: those of the largest leverage, where optimal designs lie (chosen)."""

_STARTS = 3
_EXCHANGES = 500
_GAIN = 1e-9
"""Relative gain of the determinant below which exchanging ends."""


def terms(space: Space, codes: Array, model: ModelType) -> Array:
    """Return the model's terms at codes, shape (n, p): a constant, numbers on [−1, 1] along their scale, categories.

    `interactions` adds the products of terms of different parameters, `quadratic` also the squares of numbers. k
    categories have k − 1 terms, or their descriptors.
    """
    blocks: list[Array] = []
    squares: list[Array] = []
    for i, parameter in enumerate(space.parameters.values()):
        column = codes[:, i]
        if isinstance(parameter, Categorical):
            table = category_features(parameter)
            table = 2.0 * table - 1.0 if parameter.descriptors is not None else table[:, 1:]
            blocks.append(table[column.astype(int)])
            continue
        scaled = (2.0 * parameter.to_unit(column) - 1.0)[:, None]
        blocks.append(scaled)
        if isinstance(parameter, Continuous) or len(parameter.levels) > 2:
            squares.append(scaled**2)
    found = [np.ones((len(codes), 1)), *blocks]
    if model != "linear":
        found.extend(
            (one[:, :, None] * two[:, None, :]).reshape(len(codes), -1) for one, two in combinations(blocks, 2)
        )
    if model == "quadratic":
        found.extend(squares)
    return np.concatenate(found, axis=1)


def fewest(space: Space, model: ModelType, seed: int) -> int:
    """Return how many experiments fix the coefficients: the rank of the terms over the space."""
    reduced, _ = _independent(terms(space, _candidates(space, model, np.random.default_rng(seed)), model))
    return int(reduced.shape[1])


def d_optimal(space: Space, n: int, model: ModelType, seed: int) -> Array:
    """Return n distinct points, shape (n, d), in random order.

    Candidates are the rows of a pool (of a large one, the 4,096 of largest leverage in a random part of 65,536), else
    random points of the space with the corners and middles of its edges. Terms that the constraints make depend on
    others (a mixture's constant) count once.

    Raises:
        SpaceError: n is below what the model's coefficients need, or there are fewer candidates.
    """
    rng = np.random.default_rng(seed)
    candidates = _candidates(space, model, rng)
    rank = _independent(terms(space, candidates, model))[1]
    if n < rank:
        raise SpaceError(f"a D-optimal design for model '{model}' needs at least {rank} experiments here, got {n}")
    if space.pool is not None and len(candidates) < n <= len(space.pool):
        candidates = space.pool.codes  # so many that nearly all of the pool is asked for
    if n > len(candidates):
        raise SpaceError(f"{n} points asked for, there are {len(candidates)} candidates")
    x, _ = _independent(terms(space, candidates, model))
    best: tuple[float, list[int]] | None = None
    for _ in range(_STARTS):
        chosen = _exchanged(x, _start(x, n, rng))
        size = float(np.linalg.slogdet(x[chosen].T @ x[chosen])[1])
        if best is None or size > best[0] + _GAIN:
            best = (size, chosen)
    order = rng.permutation(n)
    return np.asarray(candidates[np.array(best[1] if best is not None else [])[order]])


def _independent(x: Array) -> tuple[Array, int]:
    """Return terms in as many columns as are independent, shape (n, rank), and the rank.

    The determinant changes by a constant factor where columns are exchanged for others that span the same.
    """
    _, s, vt = np.linalg.svd(np.linalg.qr(x, mode="r"))
    rank = int((s > 1e-9 * s.max()).sum())
    return x @ vt[:rank].T, rank


def _start(x: Array, n: int, rng: np.random.Generator) -> list[int]:
    """Return rows that fix all coefficients, by pivoting over shuffled candidates, and further ones at random."""
    from scipy.linalg import qr

    order = rng.permutation(len(x))
    few = order[: max(n, 20 * x.shape[1])]
    if np.linalg.matrix_rank(x[few]) < x.shape[1]:
        few = order
    pivots = qr(x[few].T, mode="economic", pivoting=True)[2]
    first = [int(few[i]) for i in pivots[: x.shape[1]]]
    others = order[~np.isin(order, first)]
    return [*first, *(int(i) for i in others[: n - len(first)])]


def _exchanged(x: Array, chosen: list[int]) -> list[int]:
    """Exchange the pair of a point and a candidate that gains most, until none gains.

    The determinant grows by 1 + d_j − d_i − d_i·d_j + d_ij² where d_ij = x_iᵀ(XᵀX)⁻¹x_j (Fedorov 1972).
    """
    for _ in range(_EXCHANGES):
        inverse = np.linalg.inv(x[chosen].T @ x[chosen])
        half = x @ inverse
        every = (half * x).sum(axis=1)
        mine = every[chosen]
        both = x[chosen] @ half.T
        gain = every[None, :] - mine[:, None] - mine[:, None] * every[None, :] + both**2
        gain[:, chosen] = -np.inf
        i, j = np.unravel_index(int(np.argmax(gain)), gain.shape)
        if not gain[i, j] > _GAIN:
            break
        chosen[int(i)] = int(j)
    return chosen


def _candidates(space: Space, model: ModelType, rng: np.random.Generator) -> Array:
    if space.pool is not None:
        rows = space.pool.codes
        if len(rows) > _POOL_PART:
            rows = rows[np.sort(rng.choice(len(rows), size=_POOL_PART, replace=False))]
        if len(rows) > _LEVERED:
            x, _ = _independent(terms(space, rows, model))
            leverage = ((x @ np.linalg.inv(x.T @ x)) * x).sum(axis=1)
            rows = rows[np.sort(np.argsort(-leverage, kind="stable")[:_LEVERED])]
        return rows
    sample = uniform(space, _SAMPLES, rng)
    count = _CORNERS_OF_A_POLYTOPE if space.linear else _CORNERS
    corners = [corner for row in sample[:count] for corner in _corners(space, row, rng)]
    whole = np.concatenate([sample, np.array(corners).reshape(-1, sample.shape[1])])
    whole = whole[space.in_box(whole) & space.satisfies(whole)]
    _, first = np.unique(whole, axis=0, return_index=True)
    return whole[np.sort(first)]


def _corners(space: Space, row: Array, rng: np.random.Generator) -> list[Array]:
    """Return two corners of what the linear constraints leave with the levels of a row, shape (d,), and their middle."""
    from scipy.optimize import linprog

    parameters = list(space.parameters.values())
    moving = np.array([isinstance(p, Continuous) for p in parameters]) & ~space.left_out(row)
    columns = np.flatnonzero(moving)
    if not len(columns):
        return []
    low = np.array([max(parameters[i].lower, space.smallest_amounts[i]) for i in columns])  # type: ignore[union-attr]
    high = np.array([parameters[i].upper for i in columns])  # type: ignore[union-attr]
    ends: list[Array] = []
    for _ in range(2):
        if not space.linear:
            end = np.where(rng.random(len(columns)) < 0.5, low, high)
        else:
            a, lower, upper = space.constraint_matrix()
            fixed = np.where(moving, 0.0, row) @ a.T
            part = a[:, columns] * (high - low)
            rest_low, rest_high = lower - fixed - a[:, columns] @ low, upper - fixed - a[:, columns] @ low
            sizes = np.maximum(np.abs(part).sum(axis=1), 1e-300)
            same = lower == upper
            bounded = [
                (sign * part[k] / sizes[k], sign * limit / sizes[k])
                for k in np.flatnonzero(~same)
                for sign, limit in ((1.0, rest_high[k]), (-1.0, rest_low[k]))
                if np.isfinite(limit)
            ]
            answer = linprog(
                rng.normal(size=len(columns)),
                A_ub=np.array([r for r, _ in bounded]) if bounded else None,
                b_ub=np.array([b for _, b in bounded]) if bounded else None,
                A_eq=(part / sizes[:, None])[same] if same.any() else None,
                b_eq=(rest_high / sizes)[same] if same.any() else None,
                bounds=(0.0, 1.0),
            )
            if not answer.success:
                return []
            end = low + (high - low) * np.clip(answer.x, 0.0, 1.0)
        whole = row.copy()
        whole[columns] = end
        ends.append(whole)
    middle = row.copy()
    middle[columns] = 0.5 * (ends[0] + ends[1])[columns]
    if not space.linear:  # nothing has to be kept on the natural scale: the middle is that of each parameter's own
        unit = 0.5 * (space.to_unit(ends[0][None, :]) + space.to_unit(ends[1][None, :]))[0]
        for i in columns:
            middle[i] = parameters[i].from_unit(unit[i : i + 1])[0]
    return [*ends, middle]
