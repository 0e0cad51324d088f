"""Designs in groups: points that share some settings, such as the samples of one firing.

The settings of group g are those of point g of the design, so that they are as well spread as the design is; its members take
what differs from points of the design of their own. Where that is not feasible, or not new, a member is the point of the group's
section that lies farthest from all others (Kennard and Stone, Technometrics 11, 137 (1969)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdl.planners.bayes.data import FeatureMap
from sdl.planners.design import design_points
from sdl.planners.points import listed_codes, rows_left, to_candidates
from sdl.planners.section import Section, held_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sdl.planners.base import Group, Json, Problem
    from sdl.planners.design import Design
    from sdl.space import Space

    Array = NDArray[np.float64]

_SAMPLES = 64
"""Points of a section among which the farthest is taken. Chosen."""
_SAME = 1e-6
"""Largest difference in features within which two points are the same experiment, as in the search of `bayes`."""


def grouped_points(
    space: Space, group: Group, design: Design | str, seed: int, start: int, n: int, taken: Array
) -> list[Array]:
    """Return the next n points of a design in groups: arrays of codes, shape (≤ capacity, d) each.

    A group is smaller than its capacity only where no more is asked for, or where the space has no further point with its
    settings; fewer than n points come back only when the whole space is taken.

    Args:
        space: where to draw.
        group: what is shared.
        design: `sobol` or `random`.
        seed: of the design.
        start: how many points of the design were used before.
        n: how many are wanted.
        taken: codes that may not be repeated, shape (k, d).
    """
    drawing = _Drawing(space, group, design, seed, start)
    made: list[Array] = []
    while (missing := n - sum(map(len, made))) > 0:
        known = np.concatenate([taken, *made])
        members = drawing.members(min(missing, group.capacity), known)
        if not len(members):
            break
        made.append(members)
    return made


def whole_groups(group: Group | None, n: int) -> int:
    """Return how many points whole groups of at least n points hold, at least 0."""
    n = max(0, n)
    return n if group is None else -(-n // group.capacity) * group.capacity


def design_in_groups(
    problem: Problem, design: Design | str, start: int, n: int, taken: Array, seed: int | None = None
) -> list[Array]:
    """Return the next n points of a design, shape (k, d) each: in groups where the problem wants them, else as one.

    Args:
        problem: where to draw, and whether in groups.
        design: what to draw.
        start: how many points of the design were used before.
        n: how many are wanted.
        taken: codes that may not be repeated, shape (k, d).
        seed: of the design; by default the campaign's.
    """
    seed = problem.seed if seed is None else seed
    if problem.group is None:
        return [design_points(problem.space, design, seed, start, n, taken)]
    return grouped_points(problem.space, problem.group, design, seed, start, n, taken)


def drawn(
    problem: Problem, design: str, start: int, n: int, taken: Array, seed: int | None = None
) -> tuple[Array, Json]:
    """Return what `design_in_groups` returns as one array, shape (≤ n, d), and what diagnostics say of the groups."""
    made = design_in_groups(problem, design, start, n, taken, seed)
    codes = np.concatenate(made) if made else np.empty((0, len(problem.space.names)))
    group = problem.group
    if group is None:
        return codes, {}
    told = [{"settings": settings_of(problem.space, group, part[0]), "members": len(part)} for part in made]
    return codes, {"group": {"shared": list(group.shared), "capacity": group.capacity, "groups": told}}


def settings_of(space: Space, group: Group, code: Array) -> Json:
    """Return the shared settings of a code, shape (d,), as they are written in the campaign."""
    candidate = to_candidates(space, code[None, :])[0]
    return {name: candidate[name] for name in group.shared}


class _Drawing:
    def __init__(self, space: Space, group: Group, design: Design | str, seed: int, start: int) -> None:
        self.space = space
        self.held = held_columns(space, group.shared)
        self.design = design
        self.seed = seed
        self.features = FeatureMap(space)
        self.listed = listed_codes(space)
        self.number = start // group.capacity
        self.point = start

    def members(self, size: int, known: Array) -> Array:
        """Return the members of the next group, shape (≤ size, d); none where the space is used up."""
        found = self._points(size, known) if self.listed is None else self._rows(size, known, self.listed)
        self.number += 1
        self.point += len(found)
        return found

    def _rows(self, size: int, known: Array, listed: Array) -> Array:
        """Return rows of a list that share their settings with the next row of the design."""
        first = design_points(self.space, self.design, self.seed, 0, 1, known)
        if not len(first):
            return first
        left = listed[rows_left(listed, np.concatenate([known, first]))]
        left = left[(left[:, self.held] == first[0, self.held]).all(axis=1)]
        return np.concatenate([first, self._farthest(left, np.concatenate([known, first]), size - 1)])

    def _points(self, size: int, known: Array) -> Array:
        none = known[:0]
        base = design_points(self.space, self.design, self.seed, self.number, 1, none)
        if not len(base):
            return base
        section = Section(self.space, self.held, base[0])
        found: list[Array] = []
        for own in design_points(self.space, self.design, self.seed, self.point, size, none):
            brought = section.brought(own[None, :])
            if len(brought) and self._is_new(brought, known, found)[0]:
                found.append(brought[0])
        if len(found) < size:
            others = section.sample(_SAMPLES, self.seed + self.number)
            others = others[self._is_new(others, known, found)]
            found.extend(
                self._farthest(
                    others, np.concatenate([known, np.array(found).reshape(-1, len(self.held))]), size - len(found)
                )
            )
        if not found:  # the whole section is known: whatever is new, with settings of its own
            return design_points(self.space, "random", self.seed + self.number, 0, 1, known)
        return np.stack(found)

    def _is_new(self, codes: Array, known: Array, found: Sequence[Array]) -> NDArray[np.bool_]:
        taken = np.concatenate([known, np.array(found).reshape(-1, codes.shape[1])])
        if not len(taken) or not len(codes):
            return np.ones(len(codes), dtype=bool)
        nearest = np.abs(self.features(codes)[:, None, :] - self.features(taken)[None, :, :]).max(axis=2).min(axis=1)
        return np.asarray(nearest > _SAME)

    def _farthest(self, codes: Array, known: Array, n: int) -> Array:
        """Return up to n of the codes, each the farthest in features from all known ones and those before it."""
        codes = np.unique(codes, axis=0) if len(codes) else codes
        x = self.features(codes) if len(codes) else codes
        nearest = np.full(len(codes), np.inf)
        for row in self.features(known) if len(known) else []:
            nearest = np.minimum(nearest, ((x - row) ** 2).sum(axis=1))
        chosen: list[int] = []
        while len(chosen) < min(n, len(codes)):
            best = int(np.argmax(nearest))
            chosen.append(best)
            nearest = np.minimum(nearest, ((x - x[best]) ** 2).sum(axis=1))
            nearest[chosen] = -1.0
        return codes[chosen]
