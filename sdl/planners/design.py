"""Designs: endless sequences of points, fixed by (space, kind, seed), however they are cut into rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from sdl.planners.points import is_discrete, listed_codes, rows_left
from sdl.space.sampling import sobol, space_filling_rows, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.space import Space

    Array = NDArray[np.float64]

DesignType = Literal["sobol", "random"]

_REDRAWS = 8


def design_points(space: Space, kind: DesignType, seed: int, start: int, n: int, taken: Array) -> Array:
    """Return the next n points of a design as codes, shape (≤ n, d).

    In a continuous space these are points start … start + n − 1 of the sequence. On a pool, and wherever all
    parameters are levels or categories, they are the first n of the sequence that nothing has taken, so that nothing
    is repeated; fewer than n come back only when all is taken. On a pool, `sobol` means rows that represent the pool
    (`space_filling_rows`): rows are chosen, points are never snapped to rows.

    Args:
        space: where to draw.
        kind: `sobol` or `random` (uniform on each parameter's scale).
        seed: of the sequence.
        start: how many points of the sequence were used before.
        n: how many are wanted.
        taken: codes that may not be repeated, shape (k, d).

    Raises:
        SpaceError: no point satisfies the constraints.
    """
    if space.pool is not None:
        left = set(rows_left(space.pool.codes, taken).tolist())
        wanted = min(len(space.pool), n + len(space.pool) - len(left))
        rng = np.random.default_rng(seed)
        order = (
            space_filling_rows(space, wanted, rng)
            if kind == "sobol"
            else rng.permutation(len(space.pool))[:wanted].tolist()
        )
        return space.pool.codes[[row for row in order if row in left][:n]]
    if not is_discrete(space):
        return _sequence(space, kind, seed, start + n)[start : start + n]
    return _discrete(space, kind, seed, n, taken)


def _sequence(space: Space, kind: DesignType, seed: int, n: int) -> Array:
    """Return the first n points; drawn in powers of two, so that how many are asked for changes none of them."""
    size = 1 << max(3, (n - 1).bit_length())
    if kind == "sobol":
        return sobol(space, size, seed)[:n]
    return uniform(space, size, np.random.default_rng(seed))[:n]


def _discrete(space: Space, kind: DesignType, seed: int, n: int, taken: Array) -> Array:
    """Return the first n points of the sequence that are new, then what is left at random."""
    fresh: Array = np.empty((0, len(space.names)))
    size = n + len(taken)
    for _ in range(_REDRAWS):
        drawn = _sequence(space, kind, seed, size)
        _, first = np.unique(drawn, axis=0, return_index=True)
        drawn = drawn[np.sort(first)]
        fresh = drawn[rows_left(drawn, taken)]
        if len(fresh) >= n:
            return fresh[:n]
        size *= 2
    everything = listed_codes(space)
    if everything is None:
        return fresh
    others = everything[rows_left(everything, np.concatenate([taken, fresh]))]
    order = np.random.default_rng([seed, 1]).permutation(len(others))
    return np.concatenate([fresh, others[order]])[:n]
