"""Means, standard errors and paired bootstrap intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
SMALLEST_GAP = 1e-6
"""Gaps below this count as this where their logarithms are compared (chosen)."""


@dataclass(frozen=True)
class Spread:
    """Mean, standard error (0 for one value), quartiles and how many."""

    n: int
    mean: float
    error: float
    lower: float
    median: float
    upper: float


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences with a 95 % interval, by the percentile bootstrap over pairs (Efron 1979)."""

    n: int
    mean: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Summarise at least one value."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75))
    return Spread(len(values), statistics.fmean(values), error, float(lower), float(median), float(upper))


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """Return the mean of (ours − theirs) over the seeds that both have, at least two, or None."""
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        return None
    gaps = np.array([ours[s] - theirs[s] for s in seeds])
    drawn = np.random.default_rng(0).integers(len(gaps), size=(RESAMPLES, len(gaps)))
    low, high = np.quantile(gaps[drawn].mean(axis=1), (0.025, 0.975))
    return Difference(len(gaps), float(gaps.mean()), float(low), float(high))


def averaged(tasks: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return seed → mean over tasks, for the seeds that all tasks have."""
    shared = set.intersection(*(set(t) for t in tasks)) if tasks else set()
    return {seed: statistics.fmean(t[seed] for t in tasks) for seed in sorted(shared)}


def logged(values: Mapping[int, float]) -> dict[int, float]:
    """Return the decimal logarithms of gaps."""
    return {seed: math.log10(max(value, SMALLEST_GAP)) for seed, value in values.items()}


def experiments_to(gaps: Sequence[float], wanted: float, budget: int) -> int:
    """Return after how many experiments a gap was reached, budget + 1 where it was not."""
    return next((i for i, gap in enumerate(gaps, start=1) if gap <= wanted), budget + 1)


def gap_after(gaps: Sequence[float], experiments: int) -> float:
    """Return the gap after so many experiments, or after the last where there were fewer."""
    return gaps[min(experiments, len(gaps)) - 1]
