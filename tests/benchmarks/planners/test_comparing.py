"""The statistics of the tables, on numbers made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planners.comparing import averaged, experiments_to, gap_after, logged, paired, spread


def test_mean_and_standard_error():
    s = spread([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])  # sum of squares about the mean 5 is 32
    assert (s.n, s.mean, s.median) == (8, 5.0, 4.5)
    assert s.error == pytest.approx(math.sqrt(32 / 7) / math.sqrt(8))
    assert spread([3.0]).error == 0.0


def test_pairs_are_made_by_seed():
    ours, theirs = {0: 1.0, 1: 2.0, 2: 9.0}, {0: 4.0, 1: 5.0, 7: 0.0}
    d = paired(ours, theirs)
    assert (d.n, d.mean, d.low, d.high) == (2, -3.0, -3.0, -3.0)  # both pairs differ by 3: no spread
    assert paired(ours, {0: 1.0}) is None


def test_the_interval_is_that_of_the_mean():
    rng = np.random.default_rng(3)
    shared = rng.normal(size=400)
    ours = dict(enumerate(shared + rng.normal(-0.5, 1.0, 400)))
    theirs = dict(enumerate(shared * 1.0))
    d = paired(ours, theirs)
    gaps = np.array(list(ours.values())) - shared
    normal = 1.96 * gaps.std(ddof=1) / 20
    assert d.mean == pytest.approx(gaps.mean())
    assert (d.low, d.high) == pytest.approx((gaps.mean() - normal, gaps.mean() + normal), abs=0.012)
    assert paired(ours, theirs) == d  # drawn from a fixed seed


def test_the_mean_over_pools_takes_the_seeds_that_all_have():
    assert averaged([{0: 1.0, 1: 5.0}, {0: 3.0, 2: 9.0}]) == {0: 2.0}
    assert averaged([]) == {}


def test_logarithms_have_a_floor():
    assert logged({0: 0.01, 1: 0.0}) == {0: -2.0, 1: -6.0}


def test_experiments_to_a_gap():
    gaps = [3.0, 1.0, 0.5]
    assert experiments_to(gaps, 1.0, 3) == 2
    assert experiments_to(gaps, 0.1, 3) == 4
    assert (gap_after(gaps, 2), gap_after(gaps, 9)) == (1.0, 0.5)
