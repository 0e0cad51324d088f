"""What is expected of the noise of an outcome: that of a laboratory, or on very strong evidence next to none.

Results come from a furnace or from a simulation. A single wide prior leaves it to few results to say which, and a model that
takes scatter for structure chases it; a narrow one never believes in exact results. So it is a mixture, as what is known is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from gpytorch.priors import LogNormalPrior

Tensor = Any

LABORATORY = (-4.0, 1.0)
"""Mean and standard deviation of the logarithm of the noise variance (standardised), as in
botorch.models.utils.gpytorch_modules (0.18)."""
_EXACT = (-10.0, 2.0)
"""The same for results without noise: up to a hundredth of their spread. Chosen."""
_SHARE = 1e-5
"""Weight of exact results. Chosen: models are fitted to the mode of the density of the variance, which is high where the variance
is small; between the modes of both parts an advantage of about 5 in log likelihood decides, very strong as between models."""


class NoisePrior(LogNormalPrior):  # type: ignore[misc]  # GPyTorch has no types
    """Density of a noise variance: log-normal, with a small share of another log-normal for exact results."""

    def __init__(self) -> None:
        super().__init__(*LABORATORY)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density at noise variances x, of any shape."""
        log, (mean, sd) = x.log(), _EXACT
        exact = math.log(_SHARE / (sd * math.sqrt(2 * math.pi))) - 0.5 * ((log - mean) / sd) ** 2 - log
        return torch.logaddexp(math.log1p(-_SHARE) + super().log_prob(x), exact)
