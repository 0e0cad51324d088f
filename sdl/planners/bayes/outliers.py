"""Results that nothing else explains are believed less: each gets a noise of its own.

Forward relevance pursuit (Ament, Santorella, Eriksson, Letham, Balandat and Bakshy, "Robust Gaussian Processes via Relevance
Pursuit", NeurIPS 2024), one observation at a time. With the others' prediction μ ± σ for a result y, noise included, the
variance of its own that makes it likeliest is max(0, (y − μ)² − σ²); the log likelihood then grows by (z² − 1 − ln z²)/2,
z = (y − μ)/σ. A result is believed less where that is more than an outlier's prior odds and the half logarithm of the number
of results that a further parameter costs (Schwarz, Annals of Statistics 6, 461 (1978)).

A result is never dropped: with further results near it, it is judged anew in each round.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sdl.planners.bayes.models import OutcomeModel, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.planners.bayes.data import OutcomeData
    from sdl.planners.bayes.models import KernelName

FEWEST = 8
"""Results below which none is doubted. Chosen."""
_RATE = 0.05
"""Prior probability that a result is an outlier. Chosen."""
_MOST = 0.2
"""Largest share of results that are doubted. Chosen."""


def doubting(data: OutcomeData, groups: Sequence[str], kernel: KernelName) -> tuple[OutcomeData, OutcomeModel]:
    """Return the observations, those that nothing else explains with a noise of their own, and the model fitted to them."""
    model = fit(data, groups, kernel)
    n = len(data.numbers)
    if n < FEWEST:
        return data, model
    price = math.log((1 - _RATE) / _RATE) + 0.5 * math.log(n)
    doubted: list[int] = []
    while len(doubted) < int(_MOST * n):
        mean, sd = model.left_out_on_scale()
        z = np.abs(data.standardised - mean) / sd
        z[doubted] = 0.0
        worst = int(np.argmax(z))
        gain = 0.5 * (z[worst] ** 2 - 1.0 - math.log(max(z[worst] ** 2, 1.0)))
        if z[worst] <= 1.0 or gain <= price:
            break
        doubted.append(worst)
        own = math.sqrt((data.standardised[worst] - mean[worst]) ** 2 - sd[worst] ** 2)
        excess = np.zeros(n) if data.excess is None else data.excess.copy()
        excess[worst] = own / float(data.scale.slope(data.values)[worst])
        fresh = replace(data, excess=excess)
        data = fresh.bent(data.scale.bend) or fresh
        model = fit(data, groups, kernel)
    return data, model
