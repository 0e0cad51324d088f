"""Several sources as a planner sees them: whose result is whose, and the first experiments on each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sdl.planners.base import History, RoundRecord
from sdl.planners.bayes.settings import BayesSettings, default_count
from sdl.planners.design import design_points
from sdl.planners.points import known_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.planners.base import Problem

    Array = NDArray[np.float64]


def others_of(problem: Problem) -> tuple[str, ...]:
    """Return the sources whose results do not count as results."""
    return tuple(name for name, source in problem.sources.items() if not source.is_target)


def of_source(problem: Problem, history: History, source: str) -> History:
    """Return the part of a history that one source made.

    What names none of the campaign's sources, such as known data, belongs to the target.
    """
    others = others_of(problem)
    if not others:
        return history

    def belongs(name: str) -> bool:
        return name == source if source in others else name not in others

    rounds = []
    for record in history.rounds:
        sources = record.sources or ("",) * len(record.candidates)
        mine = [i for i, name in enumerate(sources) if belongs(name)]
        described = record.diagnostics.get("candidates") or []
        rounds.append(
            RoundRecord(
                record.round,
                record.seed,
                tuple(record.candidates[i] for i in mine),
                {**record.diagnostics, "candidates": [described[i] for i in mine if i < len(described)]},
                tuple(sources[i] for i in mine),
            )
        )
    return replace(history, trials=tuple(t for t in history.trials if belongs(t.source)), rounds=tuple(rounds))


def of_target(problem: Problem, history: History) -> History:
    """Return the part of a history whose results count."""
    return of_source(problem, history, problem.target)


def known_of(problem: Problem, history: History) -> tuple[dict[str, Array], list[str]]:
    """Return source → codes of the points that it was asked for, shape (k, d), and notes on those left aside."""
    known: dict[str, Array] = {}
    notes: list[str] = []
    for name in problem.sources:
        known[name], left_aside = known_codes(problem.space, of_source(problem, history, name))
        notes.extend(left_aside)
    return known, notes


def initial_of(
    problem: Problem, history: History, known: dict[str, Array], n: int
) -> tuple[list[tuple[str, Array]], int]:
    """Return up to n points of the initial design that are still to be carried out, and its size on each source.

    Each source carries out the same points, so that they can be compared from the beginning. What a source was asked for spares
    as many, whichever points they were: neither another space nor another budget begins the design anew.

    Args:
        problem: what is asked.
        history: what is known.
        known: source → codes that it was asked for, shape (k, d).
        n: how many are wanted at most.
    """
    settings = problem.settings if isinstance(problem.settings, BayesSettings) else BayesSettings()
    count = settings.initial.count or default_count(problem)
    order = [*others_of(problem), problem.target]  # the cheap ones first: a start that fails is noticed early
    due = {name: count - _asked(of_source(problem, history, name)) for name in order}
    if max(due.values()) <= 0:
        return [], count
    nothing = np.empty((0, len(problem.space.names)))
    codes = design_points(problem.space, settings.initial.type, problem.seed, 0, count, nothing)
    found: list[tuple[str, Array]] = []
    for code in codes:
        for name in order:
            if due[name] > 0 and not (known[name] == code).all(axis=1).any():
                found.append((name, code))
                due[name] -= 1
    return found[:n], count


def _asked(history: History) -> int:
    """Return how many experiments a source was asked for, by its part of the history.

    These are the trials, known data among them, and the points of the initial design that came to nothing, such as by an abort.
    """
    tried = Counter(t.candidate for t in history.trials if t.number > 0)
    lost = 0
    for record in history.rounds:
        for candidate, told in zip(record.candidates, record.diagnostics.get("candidates") or (), strict=False):
            if told.get("origin") != "initial":
                continue
            if tried[candidate]:
                tried[candidate] -= 1
            else:
                lost += 1
    return len(history.trials) + lost
