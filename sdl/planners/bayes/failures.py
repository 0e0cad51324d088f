"""How likely an experiment is to succeed, learned from those that failed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sdl.planners.bayes.models import tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Tensor = Any

_REACH = 0.2
_PRIOR = 1.0


@dataclass(frozen=True, eq=False)
class SuccessModel:
    """Probability of success as a continuous correlated Beta process (Goetschalckx, Poupart and Hoey, IJCAI 2011).

    p(x) = (a + Σ k(x, succeeded)) / (a + Σ k(x, succeeded) + Σ k(x, failed)): each experiment counts at x by how near
    it is. With a = 1 one failure halves the value of a repeat, k failures divide it by k + 1, and far from all
    failures p is 1. The kernel's length is 0.2·√d, half the mean distance of two points of the unit cube, as failures
    are too few to learn it from.

    Attributes:
        succeeded: features, shape (s, f).
        failed: features, shape (q, f).
        freedom: d, the number of parameters.
    """

    succeeded: Array
    failed: Array
    freedom: int

    def log_probability(self, x: Tensor) -> Tensor:
        """Return log p at features x, shape (m, f), as shape (m,)."""
        length = _REACH * math.sqrt(self.freedom)
        good = _PRIOR + _near(x / length, tensor(self.succeeded) / length).sum(dim=1)
        bad = _near(x / length, tensor(self.failed) / length).sum(dim=1)
        return -((bad / good).log1p())


def _near(a: Tensor, b: Tensor) -> Tensor:
    """Return exp(−|a − b|²/2); shapes (n, f), (m, f) → (n, m)."""
    return torch.exp(-0.5 * torch.cdist(a, b).square())
