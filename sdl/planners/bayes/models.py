"""The Gaussian process of one outcome, on a standardised scale: BoTorch's `SingleTaskGP`, and what is ours about it.

BoTorch's defaults hold (constant mean, Gaussian noise, length scales that grow with the square root of the number of
parameters as in Hvarfner, Hellsten and Nardi, ICML 2024, maximum a posteriori) except for these choices:

- The kernel is RBF or Matérn 5/2, the scale plain or bent: `choice` decides by what is left out. Numbers have one length
  scale each, and each category without descriptors has one for all its one-hot columns, as its values are exchangeable.
- The prior of the noise is BoTorch's with a small share of next to none, as results may come from a simulation (`noise_prior`).
- Stated uncertainties u enter as noise variances u², on top of which a common variance is inferred: what an instrument
  states covers its reading, not the scatter between specimens.
- In long runs hyperparameters are fitted to some of the results; the posterior rests on all (`subset`).
- With many parameters there is a third kernel, of few that count (`sparse`).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from botorch.cross_validation import efficient_loo_cv
from botorch.exceptions.errors import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import MaternKernel, ProductKernel, RBFKernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood, GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import GammaPrior

from sdl.planners.bayes.noise_prior import NoisePrior
from sdl.planners.bayes.prior_means import plain_kernel, prior_of
from sdl.planners.bayes.sparse import sparse_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sdl.planners.bayes.data import OutcomeData

    Array = NDArray[np.float64]

Tensor = Any
Model = Any
Kernel = Any

_SHORTEST = 0.025
"""Shortest length scale, as in botorch.models.utils.gpytorch_modules (0.18)."""
_CONCENTRATION = 3.0
"""Of the Gamma prior of the length scales."""
_LEAST_STATED = 1e-6
"""Least stated noise variance (standardised) that GPyTorch takes."""
_LEAST_INFERRED = 1e-6
"""Least inferred noise variance (standardised): a thousandth of the spread of the results. Chosen."""
_START_NOISE = 1e-3
"""Where the fit of the noise variance begins. Chosen."""

KernelName = Literal["rbf", "matern52", "sparse"]


def tensor(values: object) -> Tensor:
    """Copy numbers into a double-precision tensor (torch aligns its own memory, which keeps results bit-identical)."""
    return torch.tensor(np.ascontiguousarray(values), dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class OutcomeModel:
    """A fitted model of one outcome.

    Attributes:
        data: what it was fitted to.
        groups: per feature, the name of its length scale.
        kernel: which.
        gp: BoTorch's model, over features and standardised values, in evaluation mode.
        notes: what was not done the usual way, one line each.
    """

    data: OutcomeData
    groups: tuple[str, ...]
    kernel: KernelName
    gp: Model
    notes: tuple[str, ...] = ()

    @property
    def lengthscales(self) -> dict[str, float]:
        """Name → length scale, in features, in the order of the features."""
        return lengthscales_of(plain_kernel(self.gp.covar_module), self.groups)

    @property
    def noise(self) -> float:
        """Inferred noise variance, standardised."""
        likelihood = self.gp.likelihood
        inferred = likelihood.second_noise if self.data.noise is not None else likelihood.noise
        return float(inferred.detach().reshape(-1)[0])

    @property
    def constant(self) -> float:
        """Mean far from all observations, standardised."""
        return float(self.gp.mean_module.constant.detach())

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the noise-free outcome, in its unit, at features of shape (m, f).

        Returns:
            two arrays of shape (m,).
        """
        return self.data.scale.moments(*self._at(features))

    def interval(self, features: Array, reach: float) -> tuple[Array, Array]:
        """Return the ends of an interval around a new measurement at features of shape (m, f), in its unit; shapes (m,).

        Args:
            features: where.
            reach: standard deviations to either side; noise is counted as far as it was inferred.
        """
        mean, sd = self._at(features)
        return self.data.scale.interval(mean, np.sqrt(sd**2 + self.noise_at(features)), reach)

    def noise_at(self, features: Array) -> Array:
        """Return the noise variance of a new measurement at features of shape (m, f), standardised, shape (m,).

        It is what was inferred, and where duplicates say that noise differs, what it is larger there; not what is stated.
        """
        found = np.full(len(features), self.noise)
        if self.data.scatter is None:
            return found
        mean, _ = self._at(features)
        larger: Array = self.data.scatter.excess(features) * self.data.scale.slope(self.data.scale.natural(mean)) ** 2
        return found + larger

    def _at(self, features: Array) -> tuple[Array, Array]:
        with torch.no_grad():
            posterior = self.gp.posterior(tensor(features))
        return _numbers(posterior)

    def left_out(self) -> tuple[Array, Array]:
        """Return leave-one-out mean and standard deviation of each measurement, in the outcome's unit.

        The standard deviation is that of a new measurement, its noise included.

        Returns:
            two arrays of shape (n,).
        """
        return self.data.scale.moments(*self.left_out_on_scale())

    def log_density(self) -> Array:
        """Return the log density of each measurement given all others, in the outcome's unit; shape (n,).

        Hyperparameters are those of the full fit. As it is a density of the outcome itself, models on different scales
        can be compared by it.
        """
        mean, sd = self.left_out_on_scale()
        z = (self.data.standardised - mean) / sd
        found: Array = (
            -0.5 * z**2 - np.log(sd) - 0.5 * math.log(2 * math.pi) + np.log(self.data.scale.slope(self.data.values))
        )
        return found

    def left_out_on_scale(self) -> tuple[Array, Array]:
        """Return what `left_out` returns, on the model's scale."""
        with torch.no_grad():
            return _numbers(efficient_loo_cv(self.gp, observation_noise=True).posterior)


def _numbers(posterior: Any) -> tuple[Array, Array]:  # noqa: ANN401  BoTorch's posterior
    return posterior.mean.reshape(-1).numpy(), posterior.variance.reshape(-1).clamp_min(1e-18).sqrt().numpy()


def fit(data: OutcomeData, groups: Sequence[str], kernel: KernelName = "matern52") -> OutcomeModel:
    """Fit the model by maximum a posteriori.

    Args:
        data: the observations, at least one.
        groups: per feature, the name of its length scale.
        kernel: which.
    """
    gp = _prior_mode(data, groups, kernel)
    try:
        _fit_in_place(gp, data)
    except ModelFittingError:
        # not seen so far; whatever comes, a proposal does not break here
        note = f"'{data.name}': the model could not be fitted; its hyperparameters are the modes of their priors"
        return OutcomeModel(data, tuple(groups), kernel, _final(_prior_mode(data, groups, kernel)), (note,))
    return OutcomeModel(data, tuple(groups), kernel, _final(gp))


def _fit_in_place(gp: Model, data: OutcomeData) -> None:
    """Set a model's hyperparameters to the mode of their posterior given all results, or those that are the core."""
    if data.core is None:
        fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
        return
    rows = list(data.core)
    likelihood = copy.deepcopy(gp.likelihood)
    if data.noise is not None:
        likelihood.noise_covar.noise = tensor(data.noise[rows]).clamp_min(_LEAST_STATED)
    part = SingleTaskGP(
        tensor(data.features[rows]),
        tensor(data.standardised[rows])[:, None],
        likelihood=likelihood,
        covar_module=gp.covar_module,
        mean_module=gp.mean_module,
        outcome_transform=None,
    )
    fit_gpytorch_mll(ExactMarginalLogLikelihood(part.likelihood, part))
    # mean and kernel are shared; the likelihood of stated noise also holds the noise of the results it belongs to
    if data.noise is None:
        gp.likelihood.load_state_dict(part.likelihood.state_dict())
    else:
        gp.likelihood.second_noise_covar.load_state_dict(part.likelihood.second_noise_covar.state_dict())


def _final(gp: Model) -> Model:
    """Put a model into evaluation mode for good: no slopes in its hyperparameters are computed from now on."""
    return gp.eval().requires_grad_(requires_grad=False)


def joint(models: Sequence[OutcomeModel]) -> Model:
    """Return one BoTorch model of several outcomes, which are independent given their observations."""
    return models[0].gp if len(models) == 1 else ModelListGP(*(model.gp for model in models))


def _prior_mode(data: OutcomeData, groups: Sequence[str], kernel: KernelName) -> Model:
    """Return the model before it is fitted, its hyperparameters at the modes of their priors."""
    prior = NoisePrior()
    constraint = GreaterThan(_LEAST_INFERRED, transform=None, initial_value=_START_NOISE)
    if data.noise is None:
        likelihood = GaussianLikelihood(noise_prior=prior, noise_constraint=constraint)
    else:
        likelihood = FixedNoiseGaussianLikelihood(
            tensor(data.noise).clamp_min(_LEAST_STATED),
            learn_additional_noise=True,
            noise_prior=prior,
            noise_constraint=constraint,
        )
    mean, covariance = prior_of(data, _kernel(groups, kernel))
    return SingleTaskGP(
        tensor(data.features),
        tensor(data.standardised)[:, None],
        likelihood=likelihood,
        covar_module=covariance,
        mean_module=mean,
        outcome_transform=None,  # `OutcomeData` standardises, as it also knows what to do where nothing varies
    )


def kernel_of(groups: Sequence[str], kernel: KernelName) -> Kernel:
    """Return a kernel on features with the priors of all models here, before it is fitted."""
    return _kernel(groups, kernel)


def lengthscales_of(kernel: Kernel, groups: Sequence[str]) -> dict[str, float]:
    """Return name → length scale, in features, of a kernel that `kernel_of` made."""
    values: dict[str, float] = {}
    for part in _parts(kernel):
        columns = part.active_dims.tolist()
        lengths = part.lengthscale.detach().reshape(-1).expand(len(columns))
        values.update((groups[i], float(v)) for i, v in zip(columns, lengths, strict=True))
    return {name: values[name] for name in groups}


def _kernel(groups: Sequence[str], kernel: KernelName) -> Kernel:
    columns: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        columns.setdefault(group, []).append(i)
    single = [where[0] for where in columns.values() if len(where) == 1]
    parts = [_part(kernel, single, len(single), len(columns))] if single else []
    parts += [_part(kernel, where, None, len(columns)) for where in columns.values() if len(where) > 1]
    return parts[0] if len(parts) == 1 else ProductKernel(*parts)


def _part(kernel: KernelName, columns: Sequence[int], lengths: int | None, dimension: int) -> Kernel:
    """Return a kernel on some columns.

    The prior of its length scales has the mode of `get_covar_module_with_dim_scaled_prior`, which grows with the square root
    of the number of length scales, but the tail of a Gamma distribution with concentration 3 as in BayBE's default preset
    (0.15): a model of few results is not to believe that an outcome is flat where nobody has looked.
    """
    if kernel == "sparse":
        return sparse_part(columns, lengths)
    mode = math.exp(math.sqrt(2.0) - 3.0) * math.sqrt(dimension)
    prior = GammaPrior(_CONCENTRATION, (_CONCENTRATION - 1.0) / mode)
    options: dict[str, Any] = {
        "ard_num_dims": lengths,
        "active_dims": tuple(columns),
        "lengthscale_prior": prior,
        "lengthscale_constraint": GreaterThan(_SHORTEST, transform=None, initial_value=prior.mode),
    }
    return RBFKernel(**options) if kernel == "rbf" else MaternKernel(nu=2.5, **options)


def _parts(kernel: Kernel) -> Sequence[Kernel]:
    return list(kernel.kernels) if isinstance(kernel, ProductKernel) else [kernel]
