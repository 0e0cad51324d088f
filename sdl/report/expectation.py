"""What random search is expected to find on a pool, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class RandomBest:
    """The best of n rows drawn from a pool at random without replacement, for n = 1, 2, and so on.

    Attributes:
        rows: how many rows the pool has.
        optimum: the best row's value.
        optimal_rows: how many rows have it.
        expected: mean of the best of n; entry n − 1.
        lucky: the value that the best of n reaches or passes in at least a tenth of all runs.
        unlucky: the value that it reaches or passes in at least nine tenths of them.
    """

    rows: int
    optimum: float
    optimal_rows: int
    expected: tuple[float, ...]
    lucky: tuple[float, ...]
    unlucky: tuple[float, ...]

    @property
    def draws_to_optimum(self) -> float:
        """Mean number of draws until the first of k optimal rows among N: (N + 1) / (k + 1)."""
        return (self.rows + 1) / (self.optimal_rows + 1)


def random_best(values: Sequence[float] | NDArray[np.float64], draws: int, *, larger_is_better: bool) -> RandomBest:
    """Return the distribution of the best of n draws without replacement.

    With the N values in order from best to worst, the best of n draws is none of the first i with probability
    S(n, i) = C(N − i, n) / C(N, n) = Π (N − n − j) / (N − j), j = 0 … i − 1 (hypergeometric
    distribution, no hit among n), so that value i is the best with probability S(n, i − 1) − S(n, i).

    Args:
        values: one per row of the pool, any unit; at least one.
        draws: the largest n; more than N draws are cut to N.
        larger_is_better: the order.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not ordered.size or not np.isfinite(ordered).all():
        raise ValueError("needs at least one value, and finite ones")
    if larger_is_better:
        ordered = ordered[::-1]
    total = len(ordered)
    j = np.arange(total)
    expected, lucky, unlucky = [], [], []
    for n in range(1, min(draws, total) + 1):
        # Entry i is S(n, i + 1); exactly 0 from i = N − n on, where not even the worst rows could fill n draws.
        missed = np.cumprod(np.maximum(total - n - j, 0) / (total - j))
        chance = np.concatenate([[1.0], missed[:-1]]) - missed
        expected.append(float(ordered @ chance))
        found = 1.0 - missed
        lucky.append(float(ordered[np.searchsorted(found, 0.1 - 1e-12)]))
        unlucky.append(float(ordered[np.searchsorted(found, 0.9 - 1e-12)]))
    return RandomBest(
        rows=total,
        optimum=float(ordered[0]),
        optimal_rows=int((ordered == ordered[0]).sum()),
        expected=tuple(expected),
        lucky=tuple(lucky),
        unlucky=tuple(unlucky),
    )
