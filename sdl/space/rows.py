"""Rows of large tables of numbers: which are distinct, and which stand in another table. No Python loop over rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""


def hashes(rows: Array) -> NDArray[np.uint64]:
    """Return a 64-bit hash of every row, shape (n,), of rows, shape (n, d); equal rows have equal hashes, −0 being 0."""
    found = np.zeros(len(rows), dtype=np.uint64)
    golden, one, two = (np.uint64(m) for m in _MULTIPLIERS)
    for column in range(rows.shape[1]):
        bits = (rows[:, column] + 0.0).view(np.uint64)
        found = (found ^ bits) + golden
        found = (found ^ (found >> np.uint64(30))) * one
        found = (found ^ (found >> np.uint64(27))) * two
        found ^= found >> np.uint64(31)
    return found


def first_of_each(rows: Array) -> NDArray[np.intp]:
    """Return the indices of the distinct rows of an array, shape (n, d), where each first stands, ascending."""
    _, first, which = np.unique(hashes(rows), return_index=True, return_inverse=True)
    if not np.array_equal(rows[first[which.ravel()]], rows):  # two different rows share a hash (or there are NaN)
        _, first = np.unique(rows, axis=0, return_index=True)
    return np.sort(first)


def among(rows: Array, others: Array) -> NDArray[np.bool_]:
    """Tell which rows, shape (n, d), equal a row of others, shape (k, d); returns shape (n,)."""
    result = np.zeros(len(rows), dtype=bool)
    if not len(others) or not len(rows):
        return result
    known = np.unique(hashes(others))
    mine = hashes(rows)
    place = np.minimum(np.searchsorted(known, mine), len(known) - 1)
    likely = np.flatnonzero(known[place] == mine)
    exact = {row.tobytes() for row in others + 0.0}
    result[likely] = [row.tobytes() in exact for row in rows[likely] + 0.0]
    return result
