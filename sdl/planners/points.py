"""What of a space is left: pool rows and points of finite spaces that no experiment has taken yet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import SpaceError
from sdl.space import Candidate, Continuous
from sdl.space.rows import among

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.planners.base import History
    from sdl.space import Space

    Array = NDArray[np.float64]

ENUMERATED = 20_000
"""A space without continuous parameters and with at most this many combinations is treated as the list of them."""


def is_discrete(space: Space) -> bool:
    """Tell whether the space has no continuous parameter, so that a point of it can be met twice by chance."""
    return not any(isinstance(p, Continuous) for p in space.parameters.values())


def can_repeat(space: Space) -> bool:
    """Tell whether a point can be met twice by chance: in a discrete space, and where components may be left out.

    A mixture of one component, say, is one point, however often it is drawn.
    """
    return is_discrete(space) or bool(space.counts)


def listed_codes(space: Space) -> Array | None:
    """Return all candidates of the space as codes, shape (rows, d), or None where they cannot be listed.

    They can be for a pool, and for a space of levels and categories with at most `ENUMERATED` combinations.
    """
    if space.pool is not None:
        return space.pool.codes
    if not is_discrete(space):
        return None
    levels = [
        np.arange(len(p.values), dtype=np.float64) if p.type == "categorical" else p.levels
        for p in space.parameters.values()
        if not isinstance(p, Continuous)
    ]
    if math.prod(len(values) for values in levels) > ENUMERATED:
        return None
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*levels, indexing="ij")], axis=1)
    return grid[space.satisfies(grid)]


def known_candidates(history: History) -> tuple[Candidate, ...]:
    """Return every distinct point that was tried, is under way or was proposed before, in order of first mention."""
    points = [t.candidate for t in history.trials] + [c for r in history.rounds for c in r.candidates]
    return tuple(dict.fromkeys(points))


def known_codes(space: Space, history: History) -> tuple[Array, list[str]]:
    """Return `known_candidates` as codes, shape (k, d), and a line for each that the space cannot express.

    A candidate may name a category or lack a parameter when it stems from an earlier version of the campaign.
    """
    rows: list[Array] = []
    notes: list[str] = []
    for candidate in known_candidates(history):
        try:
            rows.append(space.encode([candidate]))
        except (SpaceError, KeyError, ValueError) as error:
            notes.append(f"{candidate!r} does not belong to this space and was left aside: {error}")
    return (np.concatenate(rows) if rows else np.empty((0, len(space.names)))), notes


def rows_left(codes: Array, taken: Array) -> NDArray[np.intp]:
    """Return the indices of the rows of codes, shape (n, d), that equal no row of taken, shape (k, d)."""
    return np.flatnonzero(~among(codes, taken))


def to_candidates(space: Space, codes: Array) -> list[Candidate]:
    """Return codes, shape (n, d), as candidates, exactly as a pool writes its rows where there is one."""
    if space.pool is None:
        return space.decode(codes)
    made = []
    for row in codes:
        values = {
            name: (names[int(code)] if names else float(code))
            for name, code, names in zip(space.pool.names, row, space.pool.categories, strict=True)
        }
        made.append(Candidate(values))
    return made
