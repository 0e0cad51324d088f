"""Other hyperparameters that explain the results about as well as the fitted ones: a fit alone is too sure of itself.

Few results that scatter can be noise around something flat, or an outcome that changes quickly: the fit settles for one of them.
What is said of the maximum must count both. So all length scales together, the noise, and the variance of the outcome,
which the fit takes from the results (many of them near the best one), are multiplied by factors on a grid; each model so made has
the posterior density of its hyperparameters as its weight (marginal likelihood and priors, per logarithm of each factor), and
models are drawn by these weights.
"""

from __future__ import annotations

import copy
import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gpytorch.kernels import Kernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood

from sdl.planners.bayes.prior_means import plain_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.planners.bayes.models import OutcomeModel

    Array = NDArray[np.float64]

Model = Any

MOST = 150
"""Results up to which other hyperparameters are looked at; more determine them well. Chosen."""
_SCALES = tuple(2.0**k for k in (-2, -1, -0.5, 0, 0.5, 1))
_NOISES = tuple(10.0**k for k in (-4, -2, -1, 0, 0.5))
_VARIANCES = tuple(2.0**k for k in (-1, 0, 1, 2))
"""Factors of length scales, of the noise variance, and of the variance of the outcome. Chosen."""
_SPREAD = 1.0
"""Standard deviation of the prior of the logarithm of the last factor. Chosen."""
_NEGLIGIBLE = 12.0
"""Models that are less plausible than the best by more than this in the logarithm are left out."""


def plausible(model: OutcomeModel, count: int, seed: int) -> list[Model]:
    """Return so many BoTorch models drawn by how plausible their hyperparameters are, some of them several times.

    Drawn systematically: a model of weight w is there ⌊w·count⌋ or ⌈w·count⌉ times, in random order.

    Args:
        model: as it was fitted.
        count: how many are drawn.
        seed: of the drawing.
    """
    if len(model.data.numbers) > MOST:
        return [model.gp] * count
    found: dict[tuple[float, ...], tuple[Model, float]] = {}
    for scale, noise, variance in product(_SCALES, _NOISES, _VARIANCES):
        changed = _changed(model.gp, scale, noise, variance)
        if changed is not None and (key := _values(changed)) not in found:
            found[key] = (changed, _log_density(changed) - 0.5 * (math.log(variance) / _SPREAD) ** 2)
    models = [m for m, _ in found.values()]
    logs = np.array([v for _, v in found.values()])
    logs[~np.isfinite(logs)] = -math.inf
    if not np.isfinite(logs).any():
        return [model.gp] * count
    weights = np.where(logs > logs.max() - _NEGLIGIBLE, np.exp(logs - logs.max()), 0.0)
    rng = np.random.default_rng([seed, 21])
    at = np.searchsorted(np.cumsum(weights / weights.sum()), (np.arange(count) + rng.random()) / count)
    drawn = [models[min(int(i), len(models) - 1)] for i in rng.permutation(at)]
    return [m.eval() for m in drawn]


def _changed(gp: Model, scale: float, noise: float, variance: float) -> Model | None:
    """Return a model whose length scales, noise and variance are multiplied, or None where a limit is in the way."""
    other = copy.deepcopy(gp).train()
    for kernel in plain_kernel(other.covar_module).modules():
        if isinstance(kernel, Kernel) and kernel.has_lengthscale:
            wanted = kernel.lengthscale * scale
            if bool((wanted < kernel.raw_lengthscale_constraint.lower_bound).any()) and scale < 1.0:
                wanted = wanted.clamp_min(float(kernel.raw_lengthscale_constraint.lower_bound) * 1.0001)
            wanted = wanted.clamp_max(float(kernel.raw_lengthscale_constraint.upper_bound) * 0.9999)
            kernel.lengthscale = wanted
    part = getattr(other.likelihood, "second_noise_covar", None) or other.likelihood.noise_covar
    wanted = part.noise * noise
    least = float(part.raw_noise_constraint.lower_bound)
    if bool((wanted < least).any()):
        if noise != min(n for n in _NOISES if float(part.noise.max()) * n <= least * (1 + 1e-9)):
            return None
        wanted = torch.full_like(wanted, least * 1.0001)
    part.noise = wanted
    other.covar_module = ScaleKernel(other.covar_module).requires_grad_(requires_grad=False)
    other.covar_module.outputscale = variance
    return other


def _values(gp: Model) -> tuple[float, ...]:
    """Return length scales and noise as a key: what limits make equal counts once."""
    return tuple(round(float(v), 9) for p in gp.parameters() for v in p.reshape(-1))


def _log_density(gp: Model) -> float:
    """Return the log posterior density of a model's hyperparameters in their logarithms, but for a constant."""
    with torch.no_grad():
        inference = ExactMarginalLogLikelihood(gp.likelihood, gp)
        # GPyTorch divides by the number of results, priors included
        value = float(inference(gp(*gp.train_inputs), gp.train_targets)) * len(gp.train_targets)
        for kernel in plain_kernel(gp.covar_module.base_kernel).modules():
            if isinstance(kernel, Kernel) and kernel.has_lengthscale:
                value += float(kernel.lengthscale.log().sum())
        part = getattr(gp.likelihood, "second_noise_covar", None) or gp.likelihood.noise_covar
        value += float(part.noise.log().sum())
    return value
