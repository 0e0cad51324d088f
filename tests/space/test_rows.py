"""Rows of large tables: distinct ones and known ones, against the plain way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.space import rows as rows_module
from sdl.space.rows import among, first_of_each, hashes

numbers = st.sampled_from([0.0, -0.0, 1.0, 0.1 + 0.2, 0.3, 1e-320, -5.0])
tables = st.integers(1, 3).flatmap(
    lambda d: st.tuples(*[st.lists(st.tuples(*[numbers] * d), max_size=12).map(np.array)] * 2, st.just(d))
)


@given(tables)
def test_they_are_those_of_the_plain_way(made: tuple[Any, Any, int]) -> None:
    one, two, d = (made[0].reshape(-1, made[2]), made[1].reshape(-1, made[2]), made[2])
    del d
    assert among(one, two).tolist() == [any((row == other).all() for other in two) for row in one]
    first = [i for i, row in enumerate(one) if not any((row == other).all() for other in one[:i])]
    assert first_of_each(one).tolist() == first


def test_rows_that_share_a_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "hashes", lambda rows: np.zeros(len(rows), dtype=np.uint64))
    table = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])
    assert first_of_each(table).tolist() == [0, 1]
    assert among(table, table[:1]).tolist() == [True, False, True]


def test_a_million_rows() -> None:
    import time

    table = np.random.default_rng(0).random((1_000_000, 6))
    table[500_000] = table[7]
    start = time.process_time()
    assert len(first_of_each(table)) == 999_999
    assert np.flatnonzero(among(table, table[[7, 9]])).tolist() == [7, 9, 500_000]
    assert len(np.unique(hashes(table))) == 999_999
    assert time.process_time() - start < 10  # measured 0.5 s; the rest is for a busy machine
