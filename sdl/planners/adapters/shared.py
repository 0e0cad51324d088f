"""What every adapter needs: the history as numbers, what of a pool is left, points put back into the space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import PlannerError, SpaceError
from sdl.planners.base import Json, PlannerSettings, Problem, Proposal
from sdl.planners.design import design_points
from sdl.planners.points import known_codes, listed_codes, rows_left, to_candidates
from sdl.planners.random_search import used_up
from sdl.space import Categorical, Continuous

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.planners.base import History, Trial
    from sdl.space import Space

    Array = NDArray[np.float64]

TOLERANCE = 1e-7
"""Share of its scale by which a constraint may be missed: a tenth of what `sdl.space` forgives."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A trial that the space can express; code has shape (d,)."""

    trial: Trial
    code: Array

    def value(self, outcome: str) -> float | None:
        """Return a finite measured value in the outcome's unit, or None."""
        estimate = self.trial.outcomes.get(outcome)
        return None if estimate is None or not math.isfinite(estimate.value) else float(estimate.value)


@dataclass(frozen=True, eq=False)
class Draft:
    """What an adapter works on.

    Attributes:
        problem: what is asked.
        seen: the trials, in order of number.
        taken: codes that may not be proposed again, shape (k, d).
        varying: indices of the parameters that the library is told of: on a pool those that differ between rows.
        low: smallest number per parameter, on a pool that of its rows, shape (d,); 0 for categories.
        high: largest number per parameter, shape (d,); the index of the last category for categories.
        notes: what was left aside.
    """

    problem: Problem
    seen: tuple[Seen, ...]
    taken: Array
    varying: tuple[int, ...]
    low: Array
    high: Array
    notes: list[str]

    @classmethod
    def of(cls, problem: Problem, history: History, settings: type[PlannerSettings], planner: str) -> Draft:
        """Read the history.

        Raises:
            PlannerError: settings of another planner, or a constraint of a kind that this adapter does not know.
        """
        space = problem.space
        if not isinstance(problem.settings, settings):
            raise PlannerError(f"planner '{planner}' needs {settings.__name__}, got {type(problem.settings).__name__}")
        if space.pool is None and len(space.linear) < len(space.constraints):
            raise PlannerError(f"planner '{planner}' keeps linear constraints only")
        taken, notes = known_codes(space, history)
        seen = []
        for trial in history.trials:
            try:
                seen.append(Seen(trial, space.encode([trial.candidate])[0]))
            except (SpaceError, KeyError, ValueError):
                continue  # known_codes has noted it
        parameters = list(space.parameters.values())
        if space.pool is not None:
            low, high = space.pool.codes.min(axis=0), space.pool.codes.max(axis=0)
        else:
            low = np.array([0.0 if isinstance(p, Categorical) else p.lower for p in parameters])
            high = np.array([len(p.values) - 1.0 if isinstance(p, Categorical) else p.upper for p in parameters])
        varying = tuple(i for i in range(len(parameters)) if high[i] > low[i])
        if not varying:  # a pool of one row: there is nothing to choose, but the library needs a parameter
            raise PlannerError(f"planner '{planner}' needs at least one parameter that differs between candidates")
        return cls(problem, tuple(seen), taken, varying, low, high, notes)

    @property
    def space(self) -> Space:
        """The space."""
        return self.problem.space

    def left(self) -> Array | None:
        """Return the rows that nothing has taken, shape (r, d), or None where candidates cannot be listed."""
        listed = listed_codes(self.space)
        return None if listed is None else listed[rows_left(listed, self.taken)]

    def clipped(self, code: Array) -> Array:
        """Return a code, shape (d,), within the numbers that the library was told of."""
        inside: Array = np.clip(code, self.low, self.high)
        return inside

    def measured(self, outcomes: Sequence[str]) -> list[Seen]:
        """Return the trials with results that have all of these outcomes."""
        done = [s for s in self.seen if s.trial.state == "done"]
        return [s for s in done if all(s.value(o) is not None for o in outcomes)]


def finished(
    draft: Draft, codes: Sequence[Array], wanted: int, described: Mapping[str, Json | str], origin: str
) -> Proposal:
    """Return codes as a proposal, each moved to the nearest point that is allowed and new.

    Args:
        draft: what was asked.
        codes: the library's suggestions, each of shape (d,).
        wanted: how many were asked for.
        described: what the diagnostics say of the library.
        origin: `initial` or `model`.
    """
    notes = list(draft.notes)
    taken = draft.taken
    chosen: list[Array] = []
    told: list[Json] = []
    for code in codes:
        settled = settle(draft.space, code, taken)
        if settled is None:
            settled = _fresh(draft, taken, len(chosen), notes)
        if settled is None:
            break
        chosen.append(settled)
        taken = np.concatenate([taken, settled[None, :]])
        told.append({"origin": origin, "moved": distance(draft, code, settled), "predicted": None})
    notes.extend(used_up(len(chosen), wanted))
    stacked = np.stack(chosen) if chosen else np.empty((0, len(draft.space.names)))
    return Proposal(tuple(to_candidates(draft.space, stacked)), {**described, "candidates": told, "fallbacks": notes})


def designed(draft: Draft, kind: str, start: int, wanted: int, seed: int) -> list[Array]:
    """Return points of the platform's own design where the library would draw its start by itself."""
    space = draft.space
    return list(design_points(space, "sobol" if kind == "sobol" else "random", seed, start, wanted, draft.taken))


def settle(space: Space, code: Array, taken: Array) -> Array | None:
    """Return the allowed point nearest to a code, shape (d,), that is not taken; None where there is none to be had.

    On a pool, and in spaces that can be listed, that is the nearest row left, in features; elsewhere the nearest point
    within bounds and constraints, or None where that one is taken.
    """
    listed = listed_codes(space)
    if listed is not None:
        return nearest_row(space, code, listed[rows_left(listed, taken)])
    inside = nearest_inside(space, code)
    return inside if inside is not None and len(rows_left(inside[None, :], taken)) else None


def nearest_row(space: Space, code: Array, rows: Array) -> Array | None:
    """Return the row, of codes of shape (r, d), nearest to a code in the space's features, the first among equals."""
    if not len(rows):
        return None
    features = space.features(np.concatenate([code[None, :], rows]))
    span = np.ptp(features[1:], axis=0)
    gap = (features[1:] - features[0]) / np.where(span > 0, span, 1.0)
    row: Array = rows[int(np.argmin((gap**2).sum(axis=1)))]
    return row


def nearest_inside(space: Space, code: Array) -> Array | None:
    """Return the point within bounds and constraints nearest to a code, shape (d,), or None where there is none.

    Nearest is Σ |difference| / width of the bounds over continuous parameters; levels and categories stay. It is a
    linear programme, and changes nothing where the code lies inside already.
    """
    from scipy.optimize import linprog

    parameters = list(space.parameters.values())
    x = code.copy()
    for i, parameter in enumerate(parameters):
        if isinstance(parameter, Categorical):
            continue
        if not isinstance(parameter, Continuous):
            x[i] = parameter.levels[int(np.argmin(np.abs(parameter.levels - x[i])))]
        x[i] = min(max(x[i], parameter.lower), parameter.upper)
    if space.satisfies(x[None, :], TOLERANCE)[0]:
        return x
    moving = [i for i, p in enumerate(parameters) if isinstance(p, Continuous)]
    if not moving:
        return None
    width = np.array([parameters[i].upper - parameters[i].lower for i in moving])  # type: ignore[union-attr]
    a, low, high = space.constraint_matrix()
    scale = space.constraint_scales[:, None]
    step = a[:, moving] * width / scale
    here = a @ x
    equal = low == high
    upper, lower = ~equal & np.isfinite(high), ~equal & np.isfinite(low)
    rows = np.concatenate([step[upper], -step[lower]])
    room = np.concatenate([(high - here)[upper] / scale[upper, 0], (here - low)[lower] / scale[lower, 0]])
    down = [(x[i] - parameters[i].lower) / w for i, w in zip(moving, width, strict=True)]  # type: ignore[union-attr]
    up = [(parameters[i].upper - x[i]) / w for i, w in zip(moving, width, strict=True)]  # type: ignore[union-attr]
    answer = linprog(
        np.ones(2 * len(moving)),  # steps up and steps down, neither negative
        A_ub=np.hstack([rows, -rows]) if len(rows) else None,
        b_ub=room if len(rows) else None,
        A_eq=np.hstack([step[equal], -step[equal]]) if equal.any() else None,
        b_eq=(high - here)[equal] / scale[equal, 0] if equal.any() else None,
        bounds=[(0.0, u) for u in up] + [(0.0, d) for d in down],
    )
    if not answer.success:
        return None
    k = len(moving)
    x[moving] += (answer.x[:k] - answer.x[k:]) * width
    for i in moving:
        x[i] = min(max(x[i], parameters[i].lower), parameters[i].upper)  # type: ignore[union-attr]
    return x if space.satisfies(x[None, :])[0] else None


def distance(draft: Draft, code: Array, settled: Array) -> float:
    """Return how far a suggestion was moved: the root of the summed squares of differences in features."""
    features = draft.space.features(np.stack([draft.clipped(code), settled]))
    return float(np.linalg.norm(features[0] - features[1]))


def _fresh(draft: Draft, taken: Array, index: int, notes: list[str]) -> Array | None:
    """Return a random point that is new, where the library has proposed a known one."""
    codes = design_points(draft.space, "random", draft.problem.seed, len(taken) + index, 1, taken)
    if not len(codes):
        return None
    notes.append("the library proposed a point that is known or not allowed; a random one takes its place")
    fresh: Array = codes[0]
    return fresh
