"""How good a search was: pure functions on arrays.

A *merit* is larger for a better value (`Objective.merit`), in the objective's unit. Experiments count from 1 in the order in
which they were started; initial and failed ones count, too.

Source of enhancement and acceleration factor: Q. Liang et al., npj Comput. Mater. 7, 188 (2021),
doi:10.1038/s41524-021-00656-9. There, Top%(i) is the share of the pool's best rows that were found within i experiments, and
random search is its exact expectation, i / N for a pool of N rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

_SLACK = 1e-9
"""Shares are sums of fractions: a level counts as reached within this."""


@dataclass(frozen=True)
class Spread:
    """A figure over several runs.

    Attributes:
        count: how many runs.
        mean: arithmetic mean.
        error: standard error of the mean (sample standard deviation over √count); None for a single run.
        median, lowest, highest: of the runs.
    """

    count: int
    mean: float
    error: float | None
    median: float
    lowest: float
    highest: float


def spread(values: Sequence[float] | Floats) -> Spread | None:
    """Return mean, standard error, median and range of finite values; None where there are none."""
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        return None
    error = float(array.std(ddof=1) / math.sqrt(array.size)) if array.size > 1 else None
    return Spread(
        int(array.size), float(array.mean()), error, float(np.median(array)), float(array.min()), float(array.max())
    )


@dataclass(frozen=True)
class Ratio:
    """A ratio of two means over the same seeds, with its standard error (None for a single seed)."""

    value: float
    error: float | None


def ratio_of_means(numerator: Sequence[float], denominator: Sequence[float]) -> Ratio | None:
    """Return mean(numerator) / mean(denominator) of paired runs; None where the denominator's mean is 0.

    The standard error is that of the delta method: with r the ratio and d_j = x_j − r·y_j, it is s(d) / (ȳ·√n), which
    takes into account that the runs of one seed resemble each other (W. G. Cochran, Sampling Techniques, 3rd ed. (1977),
    eq. 2.46, for an infinite population).

    Args:
        numerator: one value per seed.
        denominator: one value per seed, in the same order.
    """
    x, y = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"paired values must be of equal number, got {x.size} and {y.size}")
    if not x.size or y.mean() == 0:
        return None
    ratio = float(x.mean() / y.mean())
    if x.size == 1:
        return Ratio(ratio, None)
    residual = x - ratio * y
    return Ratio(ratio, float(residual.std(ddof=1) / (abs(y.mean()) * math.sqrt(x.size))))


# --- experiments until a hit ----------------------------------------------------------------------------------------------


def top_rows(merit: Floats, feasible: Bools, share: float) -> Bools:
    """Return which rows of a pool are its best: the max(1, round(share·N)) feasible ones of highest merit.

    Rows that equal the last of them belong to them as well (of rows that are as good, none is a miss); where fewer rows
    are feasible, those are all. Python's `round` is used (half to even).

    Args:
        merit: shape (N,); NaN where the true value is unknown, which no best row is.
        feasible: shape (N,), whether the outcome constraints truly hold.
        share: from 0 to 1, of all N rows.

    Returns:
        shape (N,).
    """
    allowed = feasible & np.isfinite(merit)
    if not allowed.any():
        return np.zeros(len(merit), dtype=bool)
    count = max(1, round(share * len(merit)))
    ranked = np.sort(merit[allowed])[::-1]
    last = ranked[min(count, len(ranked)) - 1]
    best: Bools = allowed & (merit >= last)
    return best


def first_hit(hits: Sequence[bool], budget: int) -> int:
    """Return the number of the first experiment that hit, from 1; budget + 1 where none of the budget's did.

    Args:
        hits: per experiment in order.
        budget: how many experiments were allowed; what lies beyond does not count.
    """
    return next((i for i, hit in enumerate(hits[:budget], start=1) if hit), budget + 1)


def expected_first_hit(n: int, k: int) -> float:
    """Return the mean number of draws without replacement from n rows until the first of k: (n + 1) / (k + 1).

    Infinite where k is 0. Source: mean of the negative hypergeometric distribution; by symmetry the k rows cut the other
    n − k into k + 1 stretches of equal mean length.
    """
    return math.inf if k == 0 else (n + 1) / (k + 1)


def probability_of_none(n: int, k: int, draws: int) -> float:
    """Return the probability that draws without replacement from n rows meet none of k: C(n−k, draws) / C(n, draws)."""
    if draws > n - k:
        return 0.0
    return math.prod((n - k - i) / (n - i) for i in range(draws))


def expected_first_hit_within(n: int, k: int, budget: int) -> float:
    """Return the mean of `first_hit` for draws without replacement, a miss counting budget + 1: Σ_{i=0}^{budget} P(none in i)."""
    return sum(probability_of_none(n, k, i) for i in range(min(budget, n) + 1)) + max(0, budget - n) * float(k == 0)


# --- enhancement and acceleration -----------------------------------------------------------------------------------------


def found_share(rows: Sequence[int | None], top: Bools, budget: int) -> Floats:
    """Return Top%(i) of one run as a share from 0 to 1: distinct best rows among the first i, over all best rows.

    Args:
        rows: pool row of each experiment in order; None for a point that is no row.
        top: shape (N,), which rows are best; at least one.
        budget: a run that ended early keeps its last value up to here.

    Returns:
        shape (budget,), for i = 1 … budget.
    """
    seen: set[int] = set()
    share = np.zeros(budget)
    for i in range(budget):
        row = rows[i] if i < len(rows) else None
        if row is not None and top[row]:
            seen.add(row)
        share[i] = len(seen)
    return share / max(1, int(top.sum()))


def enhancement(share: Floats, n: int) -> Floats:
    """Return the enhancement factor EF(i) = Top%(i) of the planner / Top%(i) of random search (Liang et al. 2021).

    Args:
        share: shape (budget,), Top%(i) of the planner, the mean over its runs.
        n: rows of the pool; random search has found min(1, i / n) on average, exactly.

    Returns:
        shape (budget,).
    """
    cycle = np.arange(1, len(share) + 1)
    return np.asarray(share / np.minimum(1.0, cycle / n), dtype=np.float64)


def acceleration(share: Floats, n: int, level: float) -> float | None:
    """Return the acceleration factor AF = i of random search / i of the planner at one level of Top% (Liang et al. 2021).

    i is the first learning cycle at which Top%(i) is at least the level; for random search with its exact expectation
    i / n that is ⌈level·n⌉.

    Args:
        share: shape (budget,), Top%(i) of the planner, the mean over its runs.
        n: rows of the pool.
        level: share of the best rows, above 0 and at most 1.

    Returns:
        None where the planner did not reach the level within the budget.
    """
    reached = np.flatnonzero(share >= level - _SLACK)
    if not reached.size:
        return None
    return math.ceil(level * n - _SLACK) / float(reached[0] + 1)


# --- regret ---------------------------------------------------------------------------------------------------------------


def best_feasible(merit: Floats, feasible: Bools) -> float | None:
    """Return the highest merit among feasible entries with a known one, or None.

    Args:
        merit: shape (n,), NaN where unknown.
        feasible: shape (n,).
    """
    allowed = merit[feasible & np.isfinite(merit)]
    return float(allowed.max()) if allowed.size else None


def simple_regret(found: float | None, best: float | None) -> float | None:
    """Return best − found, the merit that is missing to the best of the pool; None where either is unknown."""
    return None if found is None or best is None else best - found
