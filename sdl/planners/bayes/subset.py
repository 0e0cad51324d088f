"""Long runs: which results a model is fitted to, where there are more than it takes.

Fitting costs the cube of the number of results at each of some fifty steps, predicting but once. So above `FITTED` results
hyperparameters are fitted to that many of them, while the posterior still rests on all; above `MOST` it rests on that many.
Half of a subset are the results nearest to the best few, where the next experiments will be; the others are spread over all
that is left, each as far as can be from those taken (Gonzalez, Theor. Comput. Sci. 38, 293 (1985)). The best few are asked of
the measured objectives, the rest follows from where results lie: picked by their values they would look less noisy than they are.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sdl.planners.base import History, Json, Problem, Trial
    from sdl.planners.bayes.data import OutcomeData

    Array = NDArray[np.float64]
    Rows = NDArray[np.intp]

FITTED = 300
"""Results up to which hyperparameters are fitted to all. Chosen: a fit to so many takes about a second."""
MOST = 2000
"""Results up to which the posterior rests on all. Chosen: matrices of that size take 32 MB each and half a second."""
_CENTRES = 5
"""Best results around which the others are near. Chosen, as of the search."""


def shortened(problem: Problem, history: History, data: OutcomeData) -> tuple[OutcomeData, Json | None]:
    """Return an outcome's observations as a model takes them, and what is said of it; None where it takes all.

    Args:
        problem: what is asked.
        history: with the results.
        data: all observations of the outcome.
    """
    n = len(data.numbers)
    if n <= FITTED:
        return data, None
    best = _best(problem, history, data)
    told: Json = {
        "results": n,
        "posterior_from": min(n, MOST),
        "hyperparameters_from": FITTED,
        "rule": "half of them nearest to the best results, half spread over all others",
        "best": [data.numbers[i] for i in best],
    }
    if n > MOST:
        rows = np.sort(spread(data.features, best, MOST))
        data = _only(data, rows)
        best = [int(np.flatnonzero(rows == i)[0]) for i in best]
    return replace(data, core=tuple(int(i) for i in np.sort(spread(data.features, best, FITTED)))), told


def spread(features: Array, centres: Sequence[int], count: int) -> Rows:
    """Return so many rows of features, shape (n, f): half nearest to any of some rows, these first, half far from all taken.

    Among equals the first one is taken; count is at most n.
    """
    near = np.full(len(features), np.inf)
    for i in centres:
        near = np.minimum(near, ((features - features[i]) ** 2).sum(axis=1))
    taken = list(np.argsort(near, kind="stable")[: (count + 1) // 2])
    apart = np.full(len(features), np.inf)
    for i in taken:
        apart = np.minimum(apart, ((features - features[i]) ** 2).sum(axis=1))
    apart[taken] = -1.0
    while len(taken) < count:
        i = int(np.argmax(apart))
        taken.append(i)
        apart = np.minimum(apart, ((features - features[i]) ** 2).sum(axis=1))
        apart[taken] = -1.0
    return np.array(taken, dtype=np.intp)


def _best(problem: Problem, history: History, data: OutcomeData) -> list[int]:
    """Return the rows of the best results: by the objectives as measured, those that keep the bounds first.

    With several objectives by the sum of their ranks; what misses an objective comes last.
    """
    trials = {t.number: t for t in history.trials if t.state == "done"}
    known = [trials.get(number) for number in data.numbers]
    keys: list[Array] = []
    for name, goal in problem.objectives.items():
        merits = np.array([goal.merit(value) if (value := _value(t, name)) is not None else -math.inf for t in known])
        keys.append(np.argsort(np.argsort(-merits, kind="stable"), kind="stable").astype(np.float64))
    broken = np.zeros(len(known))
    for name, bounds in problem.outcome_constraints.items():
        broken += np.array([0.0 if (v := _value(t, name)) is not None and bounds.holds(v) else 1.0 for t in known])
    order = np.lexsort((np.sum(keys, axis=0), broken))
    return [int(i) for i in order[:_CENTRES]]


def _value(trial: Trial | None, outcome: str) -> float | None:
    estimate = None if trial is None else trial.outcomes.get(outcome)
    return float(estimate.value) if estimate is not None and math.isfinite(estimate.value) else None


def _only(data: OutcomeData, rows: Rows) -> OutcomeData:
    """Return some of the observations; what was learned of scale and scatter from all stays."""
    return replace(
        data,
        numbers=tuple(data.numbers[i] for i in rows),
        features=data.features[rows],
        values=data.values[rows],
        uncertainties=None if data.uncertainties is None else data.uncertainties[rows],
        excess=None if data.excess is None else data.excess[rows],
    )
