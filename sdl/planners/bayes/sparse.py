"""Many parameters of which few may count: a Matérn 5/2 kernel whose length scales are long without evidence.

The prior is that of sparse axis-aligned subspaces (Eriksson and Jankowiak, "High-Dimensional Bayesian Optimization with
Sparse Axis-Aligned Subspaces", UAI 2021, section 4.1): the inverse squares of the length scales, ρ = 1/l², are half-Cauchy with
scale τ. Most of its mass is where parameters hardly count, and its tail lets a few count much. There τ has a half-Cauchy prior of
scale 0.1 and all is drawn by NUTS, which takes minutes; here τ is that scale, and the length scales are fitted to the mode of
the density in ρ.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from botorch.utils.constraints import LogTransformedInterval
from gpytorch.kernels import MaternKernel
from gpytorch.priors import LogNormalPrior

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = Any
Kernel = Any

FROM = 12
"""Length scales from which on the sparse kernel is compared with the others. Chosen."""
_GLOBAL = 0.1
"""τ, as above."""
_SHORTEST, _LONGEST, _START = 0.025, 1e3, 1.0
"""Length scales, in features: the shortest, as of other kernels; the longest, as good as infinite; where a fit begins. Chosen."""


class SparsePrior(LogNormalPrior):  # type: ignore[misc]  # GPyTorch has no types
    """Density in ρ = 1/l² of a half-Cauchy distribution with scale τ, as a function of the length scale l."""

    def __init__(self) -> None:
        super().__init__(0.0, 1.0)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density at length scales x, of any shape."""
        return math.log(2 / (math.pi * _GLOBAL)) - (_GLOBAL**-2 * x**-4).log1p()


def sparse_part(columns: Sequence[int], lengths: int | None) -> Kernel:
    """Return a kernel on some columns of the features, with one length scale each, or one for all where `lengths` is None."""
    return MaternKernel(
        nu=2.5,
        ard_num_dims=lengths,
        active_dims=tuple(columns),
        lengthscale_prior=SparsePrior(),
        lengthscale_constraint=LogTransformedInterval(_SHORTEST, _LONGEST, initial_value=_START),
    )
