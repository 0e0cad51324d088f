"""Random's exact expectation against counting all draws, and against simulation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sdl.report.expectation import random_best

TINY = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]


@pytest.mark.parametrize("larger", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_equals_the_mean_over_all_draws(n: int, larger: bool) -> None:
    best = max if larger else min
    every = [best(draw) for draw in combinations(TINY, n)]
    found = random_best(TINY, 6, larger_is_better=larger)
    assert found.expected[n - 1] == pytest.approx(np.mean(every), rel=1e-12)
    ordered = sorted(every, reverse=larger)
    assert found.lucky[n - 1] == ordered[max(0, int(np.ceil(0.1 * len(ordered))) - 1)]
    assert found.unlucky[n - 1] == ordered[max(0, int(np.ceil(0.9 * len(ordered))) - 1)]


def test_agrees_with_simulation() -> None:
    rng = np.random.default_rng(1)
    pool = rng.lognormal(size=300)
    found = random_best(pool, 50, larger_is_better=False)
    runs = np.minimum.accumulate(np.array([rng.permutation(pool)[:50] for _ in range(4000)]), axis=1)
    error = runs.std(axis=0) / np.sqrt(len(runs))
    assert (np.abs(runs.mean(axis=0) - np.array(found.expected)) < 5 * error).all()
    inside = ((runs >= np.array(found.lucky)) & (runs <= np.array(found.unlucky))).mean(axis=0)
    assert (inside > 0.77).all()


def test_draws_until_the_best_row() -> None:
    found = random_best([1.0, 2.0, 9.0, 9.0], 4, larger_is_better=True)
    assert (found.optimum, found.optimal_rows) == (9.0, 2)
    firsts = [min(a, b) for a, b in combinations(range(1, 5), 2)]
    assert found.draws_to_optimum == pytest.approx(np.mean(firsts))


def test_more_draws_than_rows_are_cut() -> None:
    found = random_best([1.0, 2.0], 10, larger_is_better=True)
    assert found.expected == pytest.approx((1.5, 2.0))


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_refuses_what_has_no_expectation(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        random_best(values, 3, larger_is_better=True)
