"""A pool: a fixed list of candidates, read from a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.space.rows import first_of_each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.space.candidate import Value


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows that may be proposed, duplicates removed, in the order in which they first stand in the table.

    Attributes:
        names: parameter names, the columns of `codes`.
        codes: shape (rows, parameters): values in the declared units; for a category the index of its name.
        categories: per parameter, the names of its categories, empty for numbers.
    """

    names: tuple[str, ...]
    codes: NDArray[np.float64]
    categories: tuple[tuple[str, ...], ...]

    @classmethod
    def from_rows(cls, names: Sequence[str], rows: NDArray[np.float64], categories: Sequence[Sequence[str]]) -> Pool:
        """Make a pool of the distinct rows of a coded table, shape (rows, parameters)."""
        return cls(tuple(names), rows[first_of_each(rows)], tuple(tuple(c) for c in categories))

    def __len__(self) -> int:
        return int(self.codes.shape[0])

    def row_of(self, candidate: Mapping[str, Value]) -> int | None:
        """Return the row that equals the candidate exactly, or None."""
        code = []
        for name, names in zip(self.names, self.categories, strict=True):
            value = candidate[name]
            if names and value not in names:
                return None
            code.append(float(names.index(str(value))) if names else float(value))
        hits = np.arange(len(self))
        for column, number in enumerate(code):
            hits = hits[self.codes[hits, column] == number]
        return int(hits[0]) if hits.size else None
