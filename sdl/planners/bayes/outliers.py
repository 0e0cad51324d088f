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
import torch
from linear_operator.utils.cholesky import psd_safe_cholesky

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
_PASSES = 3
"""How often hyperparameters are fitted anew in a long run. Chosen."""
_MIDDLE = 0.6744897501960817
"""Median distance from the mean of what is normal, in standard deviations."""
_TOO_WIDE = 0.8
"""Share of that below which noise may be too wide. Chosen: for 300 normal results the share is 1 ± 0.06."""


def _price(n: int) -> float:
    """Return the gain in log likelihood from which on one of n results is believed less."""
    return math.log((1 - _RATE) / _RATE) + 0.5 * math.log(n)


def doubting(data: OutcomeData, groups: Sequence[str], kernel: KernelName) -> tuple[OutcomeData, OutcomeModel]:
    """Return the observations, those that nothing else explains with a noise of their own, and the model fitted to them."""
    model = fit(data, groups, kernel)
    n = len(data.numbers)
    if n < FEWEST:
        return data, model
    if data.core is not None:
        return _doubting_many(data, model)
    price = _price(n)
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


def _doubting_many(data: OutcomeData, model: OutcomeModel) -> tuple[OutcomeData, OutcomeModel]:
    """Do the same in a long run: hyperparameters are fitted anew after all that are doubted with those at hand.

    Many outliers widen the noise until none stands out. So where the middle of the left-out results is predicted much better
    than the noise says, the pursuit also begins with a noise that fits the middle, and the outcome with the larger log density,
    less the price of each doubted result, counts.
    """
    first = _passes(data, model, 1.0)
    mean, sd = model.left_out_on_scale()
    middle = float(np.median(np.abs(data.standardised - mean) / sd)) / _MIDDLE
    if middle >= _TOO_WIDE:
        return first
    second = _passes(data, model, middle)
    return max((first, second), key=lambda found: _penalised(found[1]))  # max keeps the first among equals


def _penalised(model: OutcomeModel) -> float:
    """Return the log density of results given all others, less the price of those that are doubted."""
    return float(model.log_density().sum()) - _price(len(model.data.numbers)) * len(model.data.doubted)


def _passes(data: OutcomeData, model: OutcomeModel, share: float) -> tuple[OutcomeData, OutcomeModel]:
    """Doubt and fit in turns; at first with a share of the standard deviation of the inferred noise."""
    for _ in range(_PASSES):
        fresh = _pursued(model, share)
        if not fresh:
            break
        excess = np.zeros(len(data.numbers)) if data.excess is None else data.excess.copy()
        slope = data.scale.slope(data.values)
        for row, own in fresh.items():
            excess[row] = own / float(slope[row])
        changed = replace(data, excess=excess)
        data = changed.bent(data.scale.bend) or changed
        model = fit(data, model.groups, model.kernel)
        share = 1.0
    return data, model


def _pursued(model: OutcomeModel, share: float) -> dict[int, float]:
    """Return row → standard deviation of its own noise, on the model's scale, of the results that are to be doubted now as well.

    With A the covariance of the results, noise included, what is left of A⁻¹ when one variance grows follows by a rank-one
    update (Sherman and Morrison, Ann. Math. Stat. 21, 124 (1950)).
    """
    found: dict[int, float] = {}
    old = [] if model.data.excess is None else list(np.flatnonzero(model.data.excess > 0))
    gp = model.gp
    known = gp.train_inputs[0]
    with torch.no_grad():
        prior = gp.likelihood(gp.forward(known), known)
        less = (1.0 - share**2) * model.noise * torch.eye(len(known), dtype=torch.float64)
        inverse = torch.cholesky_inverse(psd_safe_cholesky(prior.covariance_matrix - less)).numpy()
        off = (gp.train_targets - prior.mean).numpy()
    n = len(off)
    price = _price(n)
    while len(old) + len(found) < int(_MOST * n):
        precision = np.diag(inverse).copy()
        miss = inverse @ off / precision
        z = np.abs(miss) * np.sqrt(precision)
        z[[*old, *found]] = 0.0
        worst = int(np.argmax(z))
        gain = 0.5 * (z[worst] ** 2 - 1.0 - math.log(max(z[worst] ** 2, 1.0)))
        if z[worst] <= 1.0 or gain <= price:
            break
        own = miss[worst] ** 2 - 1.0 / precision[worst]
        found[worst] = math.sqrt(own)
        column = inverse[:, worst].copy()
        inverse -= np.outer(column, column) * (own / (1.0 + own * column[worst]))
    return found
