"""Judging against cases counted by hand and against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sdl.benchmark import judging
from sdl.benchmark.judging import (
    acceleration,
    best_feasible,
    enhancement,
    expected_first_hit,
    expected_first_hit_within,
    first_hit,
    found_share,
    probability_of_none,
    ratio_of_means,
    simple_regret,
    spread,
    top_rows,
)

ALL = np.ones(10, dtype=bool)


def test_top_rows_are_the_best_by_merit() -> None:
    merit = np.array([3.0, 9.0, 1.0, 8.0, 7.0, 0.0, 2.0, 4.0, 5.0, 6.0])
    assert top_rows(merit, ALL, 0.2).nonzero()[0].tolist() == [1, 3]


def test_at_least_one_row_is_best() -> None:
    assert top_rows(np.arange(10.0), ALL, 0.01).nonzero()[0].tolist() == [9]


def test_infeasible_and_unknown_rows_are_never_best() -> None:
    merit = np.arange(10.0)
    merit[9] = np.nan
    feasible = ALL.copy()
    feasible[8] = False
    assert top_rows(merit, feasible, 0.2).nonzero()[0].tolist() == [6, 7]


def test_fewer_feasible_rows_than_asked_for_are_all_best() -> None:
    feasible = np.zeros(10, dtype=bool)
    feasible[[2, 5]] = True
    assert top_rows(np.arange(10.0), feasible, 0.5).nonzero()[0].tolist() == [2, 5]


def test_nothing_feasible_leaves_no_best_row() -> None:
    top = top_rows(np.arange(10.0), ~ALL, 0.5)
    assert not top.any()
    assert expected_first_hit(10, int(top.sum())) == math.inf


def test_rows_that_tie_with_the_last_best_one_are_best_too() -> None:
    assert top_rows(np.full(10, 4.0), ALL, 0.1).all()
    merit = np.array([5.0, 4.0, 4.0, 4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert top_rows(merit, ALL, 0.2).nonzero()[0].tolist() == [0, 1, 2, 3]


def test_share_is_rounded_like_python_rounds() -> None:
    for n, share in itertools.product((1, 3, 10, 50, 149, 150, 1020), (0.01, 0.05)):
        merit = np.random.default_rng(n).permutation(n).astype(float)
        assert top_rows(merit, np.ones(n, dtype=bool), share).sum() == max(1, round(share * n))


def test_first_hit_counts_from_one_and_a_miss_is_budget_plus_one() -> None:
    assert first_hit([True, False], 5) == 1
    assert first_hit([False, False, True, True], 5) == 3
    assert first_hit([False] * 5, 5) == 6
    assert first_hit([], 5) == 6
    assert first_hit([False] * 5 + [True], 5) == 6  # beyond the budget


@pytest.mark.parametrize(("n", "k", "budget"), [(5, 2, 3), (6, 1, 6), (6, 3, 2), (4, 4, 2), (5, 0, 3), (3, 1, 5)])
def test_random_search_by_listing_all_orders(n: int, k: int, budget: int) -> None:
    firsts = [first_hit([row < k for row in order], budget) for order in itertools.permutations(range(n))]
    assert expected_first_hit_within(n, k, budget) == pytest.approx(np.mean(firsts))
    assert probability_of_none(n, k, min(n, budget)) == pytest.approx(np.mean([f > budget for f in firsts]))
    if k:
        full = [first_hit([row < k for row in order], n) for order in itertools.permutations(range(n))]
        assert expected_first_hit(n, k) == pytest.approx(np.mean(full))


def test_random_search_by_simulation() -> None:
    rng = np.random.default_rng(1)
    n, k, budget = 1020, 10, 120
    firsts = np.array([np.flatnonzero(rng.permutation(n) < k)[0] + 1 for _ in range(20_000)])
    assert firsts.mean() == pytest.approx(expected_first_hit(n, k), abs=4 * firsts.std() / math.sqrt(len(firsts)))
    within = np.minimum(firsts, budget + 1)
    assert within.mean() == pytest.approx(expected_first_hit_within(n, k, budget), abs=1.5)
    assert (firsts > budget).mean() == pytest.approx(probability_of_none(n, k, budget), abs=0.015)


def test_the_pool_of_the_campaign_that_is_shipped() -> None:
    assert expected_first_hit(1020, 10) == pytest.approx(92.8, abs=0.02)


def test_spread() -> None:
    found = spread([1.0, 2.0, 6.0])
    assert found is not None
    assert (found.count, found.mean, found.median, found.lowest, found.highest) == (3, 3.0, 2.0, 1.0, 6.0)
    assert found.error == pytest.approx(math.sqrt(7.0) / math.sqrt(3.0))
    alone = spread([4.0])
    assert alone is not None
    assert alone.error is None
    assert spread([]) is None


def test_found_share_counts_distinct_best_rows_and_goes_on_where_a_run_ended() -> None:
    top = np.array([True, False, True, False])
    assert found_share([1, 0, 0, None, 2], top, 7).tolist() == [0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert found_share([0, 2], top, 1).tolist() == [0.5]


def test_enhancement_and_acceleration_by_hand() -> None:
    # 20 rows, of which 4 are best: random search has found i / 20 of them.
    share = np.array([0.0, 0.25, 0.5, 0.5, 1.0])
    assert enhancement(share, 20).tolist() == pytest.approx([0.0, 2.5, 0.5 / 0.15, 2.5, 4.0])
    assert acceleration(share, 20, 0.25) == 5 / 2
    assert acceleration(share, 20, 0.5) == 10 / 3
    assert acceleration(share, 20, 1.0) == 20 / 5
    assert acceleration(share[:4], 20, 0.75) is None
    assert acceleration(np.array([0.1 + 0.2]), 10, 0.3) == 3.0  # sums of fractions reach their level


def test_random_search_enhances_nothing() -> None:
    n, budget, rng = 60, 60, np.random.default_rng(3)
    top = np.zeros(n, dtype=bool)
    top[:6] = True
    share = np.mean([found_share(rng.permutation(n).tolist(), top, budget) for _ in range(4000)], axis=0)
    assert enhancement(share, n)[4:] == pytest.approx(np.ones(budget - 4), abs=0.06)
    assert acceleration(share, n, 0.5) == pytest.approx(1.0, abs=0.05)


def test_regret() -> None:
    merit = np.array([1.0, 5.0, np.nan, 9.0])
    feasible = np.array([True, True, True, False])
    assert best_feasible(merit, feasible) == 5.0
    assert best_feasible(merit, np.zeros(4, dtype=bool)) is None
    assert simple_regret(1.0, 5.0) == 4.0
    assert simple_regret(None, 5.0) is None
    assert simple_regret(5.0, None) is None


def test_ratio_of_means() -> None:
    found = ratio_of_means([10.0, 20.0], [5.0, 10.0])
    assert found is not None
    assert (found.value, found.error) == (2.0, 0.0)  # perfectly paired: nothing is left to chance
    assert judging.ratio_of_means([1.0], [0.0]) is None
    single = ratio_of_means([3.0], [2.0])
    assert single is not None
    assert single.error is None
    with pytest.raises(ValueError, match="equal number"):
        ratio_of_means([1.0], [1.0, 2.0])


def test_error_of_the_ratio_by_simulation() -> None:
    rng = np.random.default_rng(0)
    n, ratios, errors = 40, [], []
    for _ in range(2000):
        common = rng.normal(size=n)
        found = ratio_of_means(30 + 4 * common + rng.normal(size=n), 10 + common + rng.normal(size=n))
        assert found is not None
        assert found.error is not None
        ratios.append(found.value)
        errors.append(found.error)
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.08)
