"""The distinct points of a table, found by exact value or by distance.

Two numbers that differ by rounding alone (12 digits) are one level of their column, so that a value survives being written
as text or converted between units. Points are found by binary search over their levels; for distances there is a k-d tree
(Bentley, Communications of the ACM 18, 509 (1975)) per combination of words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_RELATIVE = 1e-12
"""Two numbers are one level where they differ by less than this share of themselves …"""

_ABSOLUTE = 1e-15
"""… or of the column's largest number, which only matters close to zero."""


@dataclass(frozen=True, eq=False)
class Points:
    """Distinct points of named columns.

    Attributes:
        names: columns in order.
        levels: column of numbers → its distinct values, ascending.
        words: column of words → its distinct words, in order.
        codes: index of each point's level or word per column, shape (points, columns), in lexicographic order.
        order: rows of the table, sorted by point and then by row, shape (rows,).
        starts: where each point begins in `order`, and the end, shape (points + 1,).
    """

    names: tuple[str, ...]
    levels: Mapping[str, Floats]
    words: Mapping[str, tuple[str, ...]]
    codes: Ints
    order: Ints
    starts: Ints
    _keys: tuple[Ints, ...]
    _trees: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, columns: Mapping[str, Floats | tuple[str, ...]]) -> Points:
        """Gather the distinct points of columns of equal length; numbers must be finite."""
        levels: dict[str, Floats] = {}
        words: dict[str, tuple[str, ...]] = {}
        codes: list[Ints] = []
        for name, cells in columns.items():
            if isinstance(cells, tuple):
                distinct, code = np.unique(np.array(cells, dtype=object).astype(str), return_inverse=True)
                words[name] = tuple(str(word) for word in distinct)
            else:
                levels[name], code = _levels(cells)
            codes.append(code.astype(np.int64))
        # A point's key is built column by column and made dense after each: it stays below rows × levels, within 64 bits.
        key: Ints = np.zeros(len(codes[0]), dtype=np.int64)
        keys: list[Ints] = []
        for code in codes:
            found, key = np.unique(key * (int(code.max()) + 1) + code, return_inverse=True)
            keys.append(found)
        order = np.argsort(key, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(key))]).astype(np.int64)
        return cls(
            tuple(columns), levels, words, np.stack(codes, axis=1)[order[starts[:-1]]], order, starts, tuple(keys)
        )

    def __len__(self) -> int:
        return len(self.codes)

    def rows_of(self, point: int) -> Ints:
        """Return the rows of the table that hold a point, ascending."""
        return self.order[self.starts[point] : self.starts[point + 1]]

    def find(self, values: Mapping[str, Any]) -> int | None:
        """Return the point that has exactly these values, or None."""
        point = 0
        for name, keys in zip(self.names, self._keys, strict=True):
            code = self._code(name, values[name])
            if code is None:
                return None
            key = point * self._count(name) + code
            point = int(np.searchsorted(keys, key))
            if point == len(keys) or keys[point] != key:
                return None
        return point

    def nearest_within(self, values: Mapping[str, Any], tolerance: Mapping[str, float]) -> int | None:
        """Return the point whose largest distance in units of the tolerance is smallest, if that is at most 1, else None.

        Args:
            values: name → number or word; words must be equal.
            tolerance: column of numbers → the unit in which distances along it are counted.
        """
        from scipy.spatial import KDTree

        numeric = list(self.levels)
        key = (tuple(values[name] for name in self.words), tuple(tolerance[name] for name in numeric))
        if key not in self._trees:
            fits = np.ones(len(self), dtype=bool)
            for name in self.words:
                code = self._code(name, values[name])
                fits &= False if code is None else self.codes[:, self.names.index(name)] == code
            members = np.flatnonzero(fits)
            scaled = [self._values(name)[members] / tolerance[name] for name in numeric]
            self._trees[key] = (members, KDTree(np.stack(scaled, axis=1)) if numeric and members.size else None)
        members, tree = self._trees[key]
        if tree is None:
            return int(members[0]) if members.size else None
        here = [float(values[name]) / tolerance[name] for name in numeric]
        distance, index = tree.query(here, p=np.inf)
        # The bound is part of the allowed range; dividing by the tolerance may overshoot it in the last digit.
        return int(members[index]) if distance <= 1.0 + 1e-12 else None

    def closest(self, values: Mapping[str, Any]) -> int:
        """Return the point that comes closest, each column of numbers scaled by its range, a wrong word counting as 1."""
        distance = np.zeros(len(self))
        for name in self.names:
            if name in self.levels:
                span = float(np.ptp(self.levels[name])) or 1.0
                distance += ((self._values(name) - float(values[name])) / span) ** 2
            else:
                code = self._code(name, values[name])
                distance += self.codes[:, self.names.index(name)] != (-1 if code is None else code)
        return int(np.argmin(distance))

    def _values(self, name: str) -> Floats:
        return np.asarray(self.levels[name][self.codes[:, self.names.index(name)]])

    def _count(self, name: str) -> int:
        return len(self.levels[name]) if name in self.levels else len(self.words[name])

    def _code(self, name: str, value: Any) -> int | None:  # noqa: ANN401  a number or a word
        if name in self.words:
            return self.words[name].index(value) if value in self.words[name] else None
        levels = self.levels[name]
        number = float(value)
        slack = _slack(levels, number)
        index = int(np.searchsorted(levels, number))
        near = [i for i in (index - 1, index) if 0 <= i < len(levels) and abs(levels[i] - number) <= slack]
        return min(near, key=lambda i: abs(float(levels[i]) - number)) if near else None


def _slack(levels: Floats, number: float) -> float:
    return _RELATIVE * abs(number) + _ABSOLUTE * float(np.abs(levels).max())


def _levels(cells: Floats) -> tuple[Floats, Ints]:
    """Return the distinct values, ascending, and each cell's index among them."""
    distinct, code = np.unique(cells, return_inverse=True)
    slack = _RELATIVE * np.abs(distinct) + _ABSOLUTE * np.abs(distinct).max()
    fresh = np.concatenate([[True], np.diff(distinct) > slack[1:]])
    return distinct[fresh], (np.cumsum(fresh) - 1)[code]
