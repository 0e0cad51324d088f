"""Pools of a million rows: what is looked at, and how long it takes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from sdl.planners.bayes.data import FeatureMap
from sdl.planners.bayes.search import best_listed
from sdl.planners.design import design_points
from sdl.planners.points import rows_left
from sdl.space import Continuous, Pool, Space

UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
NAMES = "abcdef"


@pytest.fixture(scope="module")
def space() -> Space:
    rows = np.random.default_rng(0).random((1_000_000, 6))
    return Space(dict.fromkeys(NAMES, UNIT), (), Pool.from_rows(tuple(NAMES), rows, [()] * 6))


class Peaks:
    """Two smooth peaks, one higher than the other; counts how many rows it was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def score(self, x: Any) -> Any:
        self.asked += len(x)
        one, two = ((x - c) ** 2 for c in (0.25, 0.8))
        return np.log(np.exp(-8 * one.sum(axis=1)) + 1.3 * np.exp(-12 * two.sum(axis=1)))


def test_the_best_of_a_million_is_found_by_looking_at_an_eighth(space: Space) -> None:
    assert space.pool is not None
    features = FeatureMap(space)
    peaks = Peaks()
    found = best_listed(peaks, space.pool.codes, features)  # type: ignore[arg-type]
    assert found is not None
    assert peaks.asked == 2 * 65_536
    every = peaks.score(features(space.pool.codes))
    assert found.value == every.max()
    assert found.how == "best of 131072 looked at, of 1000000 that are left"


@pytest.mark.parametrize("kind", ["sobol", "random", "maximin", "d_optimal"])
def test_designs_of_a_million_rows(space: Space, kind: str) -> None:
    assert space.pool is not None
    taken = space.pool.codes[:60]
    start = time.process_time()
    points = design_points(space, kind, 1, 0, 8 if kind != "d_optimal" else 22, taken)
    assert time.process_time() - start < 20  # measured 0.1 to 2 s; the rest is for a busy machine
    rows = [space.pool.row_of(c) for c in space.decode(points)]
    assert None not in rows
    assert min(r for r in rows if r is not None) >= 60
    assert len(set(rows)) == len(points)


def test_what_is_left_of_a_million_rows(space: Space) -> None:
    assert space.pool is not None
    start = time.process_time()
    left = rows_left(space.pool.codes, space.pool.codes[::20_000])
    assert time.process_time() - start < 3  # measured 0.1 s
    assert len(left) == 999_950
