"""Designs: endless sequences of points, fixed by (space, kind, seed), however they are cut into rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from sdl.errors import SpaceError
from sdl.planners.classical import grid, latin_hypercube, maximin
from sdl.planners.d_optimal import ModelType, d_optimal, fewest
from sdl.planners.points import can_repeat, is_discrete, listed_codes, rows_left
from sdl.space.sampling import sobol, space_filling_rows, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.space import Space

    Array = NDArray[np.float64]

EndlessType = Literal["sobol", "random"]
DesignType = Literal["sobol", "random", "latin_hypercube", "maximin", "factorial", "d_optimal"]

_REDRAWS = 8


class Design(str):
    """A design's name, with what else is stated of it; a plain name is the design with nothing else stated.

    Attributes:
        size: how many points it has, for `latin_hypercube`, which needs it, and `d_optimal` (None: as few as suffice).
        levels: of continuous and integer parameters, for `factorial`.
        model: which polynomial, for `d_optimal`.
    """

    __slots__ = ("levels", "model", "size")

    size: int | None
    levels: int
    model: ModelType

    def __new__(cls, name: str, size: int | None = None, levels: int = 2, model: ModelType = "interactions") -> Self:
        """Make a design; see the attributes."""
        made = super().__new__(cls, name)
        made.size, made.levels, made.model = size, levels, model
        return made

    def __reduce__(self) -> tuple[type[Design], tuple[str, int | None, int, ModelType]]:
        """Travel with what is stated, as a name alone would not."""
        return Design, (str(self), self.size, self.levels, self.model)


def design_points(space: Space, design: Design | str, seed: int, start: int, n: int, taken: Array) -> Array:
    """Return the next n points of a design as codes, shape (≤ n, d).

    In a continuous space these are points start … start + n − 1 of the sequence. On a pool, and wherever a point can be
    met twice (levels and categories alone, components that may be left out), they are the first n of the sequence that
    nothing has taken, so that nothing is repeated; fewer than n come back only when all is taken. On a pool, `sobol`
    means rows that represent the pool (`space_filling_rows`): rows are chosen, points are never snapped to rows. A
    design of a fixed size is followed by the points of `sobol`.

    Args:
        space: where to draw.
        design: what to draw.
        seed: of the sequence.
        start: how many points of the sequence were used before.
        n: how many are wanted.
        taken: codes that may not be repeated, shape (k, d).

    Raises:
        SpaceError: no point satisfies the constraints, or the design does not suit the space.
    """
    design = design if isinstance(design, Design) else Design(design)
    if design == "random" or design == "sobol":  # noqa: PLR1714  a set would not narrow the type
        return _endless(space, "random" if design == "random" else "sobol", seed, start, n, taken)
    first = fixed_design(space, design, seed, start + n + len(taken))
    if space.pool is None and not can_repeat(space):
        part = first[start : start + n]
        more = _endless(space, "sobol", seed, max(0, start - len(first)), n - len(part), taken)
        return np.concatenate([part, more])
    part = first[rows_left(first, taken)][:n]
    return np.concatenate([part, _endless(space, "sobol", seed, 0, n - len(part), np.concatenate([taken, part]))])


def fixed_design(space: Space, design: Design, seed: int, wanted: int) -> Array:
    """Return all points of a design of a fixed size in the order in which they are tried, shape (k, d).

    Args:
        space: where to draw.
        design: what to draw; not `sobol` or `random`.
        seed: of what is random in it.
        wanted: how many are needed at least, where the design grows with them.

    Raises:
        SpaceError: the design does not suit the space.
    """
    rng = np.random.default_rng([seed, 4])
    if design == "factorial":
        return rng.permutation(grid(space, design.levels), axis=0)
    if design == "latin_hypercube":
        if design.size is None:
            raise SpaceError("a Latin hypercube needs its size: give 'count'")
        return latin_hypercube(space, design.size, rng)
    if design == "d_optimal":
        return d_optimal(space, design.size or fewest(space, design.model, seed), design.model, seed)
    if space.pool is not None:
        wanted = min(wanted, len(space.pool))
    elif is_discrete(space):
        every = listed_codes(space)
        wanted = wanted if every is None else min(wanted, len(every))
    return _distinct(maximin(space, max(1, wanted), rng))


def misfit_of(space: Space, design: Design, budget: int | None, seed: int) -> str | None:
    """Say why a design cannot be carried out in a space with a budget, or None.

    Args:
        space: where.
        design: which; its `size` is how many points of it are to be carried out, None for all.
        budget: the largest number of experiments, or None.
        seed: of what is random in it.
    """
    try:
        if design == "factorial":
            size = len(grid(space, design.levels))
            if budget is not None and size > budget:
                return f"the full factorial has {size} points, the campaign ends after {budget} experiments"
            if design.size is not None and design.size < size:
                return f"the full factorial has {size} points; leave 'count' out, or give count: {size}"
        elif design == "latin_hypercube":
            if design.size is None:
                return "a Latin hypercube needs its size: give 'count'"
            latin_hypercube(space, 2, np.random.default_rng(0))
        elif design == "d_optimal":
            needed = fewest(space, design.model, seed)
            there = design.size if design.size is not None else budget
            if there is not None and there < needed:
                return (
                    f"model '{design.model}' has {needed} coefficients here and takes as many experiments, got {there}"
                )
            if space.pool is not None and design.size is not None and design.size > len(space.pool):
                return f"{design.size} points asked for, there are {len(space.pool)} candidates"
    except SpaceError as error:
        return str(error)
    return None


def _distinct(codes: Array) -> Array:
    _, first = np.unique(codes, axis=0, return_index=True)
    return codes[np.sort(first)]


def _endless(space: Space, kind: EndlessType, seed: int, start: int, n: int, taken: Array) -> Array:
    """Return the next n points of a sequence that never ends; see `design_points`."""
    if n <= 0:
        return np.empty((0, len(space.names)))
    if space.pool is not None:
        rows = len(space.pool)
        is_left = np.zeros(rows, dtype=bool)
        is_left[rows_left(space.pool.codes, taken)] = True
        wanted = min(rows, n + rows - int(is_left.sum()))
        rng = np.random.default_rng(seed)
        order = np.array(space_filling_rows(space, wanted, rng)) if kind == "sobol" else rng.permutation(rows)[:wanted]
        return space.pool.codes[order[is_left[order]][:n]]
    if not can_repeat(space):
        points = _sequence(space, kind, seed, start + n)[start : start + n]
        # Constraints may leave few points even of a continuous space; else two of them are never the same.
        if len(np.unique(points, axis=0)) == n and len(rows_left(points, taken)) == n:
            return points
    return _discrete(space, kind, seed, n, taken)


def _sequence(space: Space, kind: EndlessType, seed: int, n: int) -> Array:
    """Return the first n points; drawn in powers of two, so that how many are asked for changes none of them."""
    size = 1 << max(3, (n - 1).bit_length())
    if kind == "sobol":
        return sobol(space, size, seed)[:n]
    return uniform(space, size, np.random.default_rng(seed))[:n]


def _discrete(space: Space, kind: EndlessType, seed: int, n: int, taken: Array) -> Array:
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
