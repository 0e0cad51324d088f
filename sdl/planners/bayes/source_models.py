"""The model of one outcome that several sources give: what the target gives, and how each other source differs from it.

f_s(x) = w_s·f(x) + b_s(x) + c_s: each other source s gives the target's f with a weight, a bias that varies with x and an
offset (Kennedy and O'Hagan, Biometrika 87, 1 (2000), with f at the target; with all weights 1 it is that of Poloczek, Wang and
Frazier, "Multi-Information Source Optimization", NeurIPS 2017). f and each b_s are Gaussian processes, independent of each other;
each source has a noise of its own. All of it is learned: the better a source agrees with the target where both have looked, the
more it tells; of one that does not agree, the weight goes to 0, the bias grows, and nothing is learned of the target from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.models import SingleTaskGP
from botorch.posteriors import GPyTorchPosterior
from botorch.settings import validate_input_scaling
from gpytorch.constraints import GreaterThan
from gpytorch.distributions import MultivariateNormal
from gpytorch.kernels import Kernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.priors import LogNormalPrior, NormalPrior
from linear_operator.utils.cholesky import psd_safe_cholesky
from linear_operator.utils.errors import NotPSDError
from scipy.optimize import minimize

from sdl.planners.bayes.models import KernelName, OutcomeModel, kernel_of, lengthscales_of, tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.planners.base import Json
    from sdl.planners.bayes.data import OutcomeData

    Array = NDArray[np.float64]

Tensor = Any

_WEIGHT = (1.0, 1.0)
"""Mean and standard deviation of the prior of a weight, each source being on a scale of its own spread. Chosen."""
_BIAS = (math.log(0.1), 1.5)
"""Of the prior of the logarithm of a bias's variance, as a share of that of the target's results. Chosen."""
_STRETCH = (0.0, 0.5)
"""Of the prior of the logarithm of the biases' length scales, as multiples of those of f. Chosen."""
_SIZE = (0.0, 0.7)
"""Of the prior of the logarithm of f's variance, in that of the target's results. Chosen."""
_NOISE = (-4.0, 2.0)
"""Of the prior of the logarithm of a noise variance, as in `models`."""
_OFFSET = 1.0
"""Variance of a source's offset. Chosen: vague, as each source's results have mean 0."""
_LEAST = 1e-6
_EVERY = 10
_GROWTH = 1.1
"""When kernels are compared, as in `choice`. Chosen."""
_MOST_STEPS = 100
_STARTS = ((1.0, 0.1), (0.1, 1.0))
"""Weights and variances of biases from which the fit begins. Chosen."""
_MARGIN = 3.0
"""Advantage in log posterior density that the smoother kernel needs, as in `choice`."""


class SourceKernel(Kernel):  # type: ignore[misc]  # gpytorch is not typed
    """The covariance between results; points are (features, source, id): 0 is the target, id 0 a value without noise.

    Args:
        base: the kernel of f, on features.
        width: how many features there are.
        others: how many sources there are beside the target.
    """

    has_lengthscale = False

    def __init__(self, base: Kernel, width: int, others: int) -> None:
        super().__init__()
        self.base = base
        self.width = width
        self._add("weight", torch.ones(others), NormalPrior(*_WEIGHT), None)
        self._add("bias", torch.full((others,), math.exp(_BIAS[0])), LogNormalPrior(*_BIAS), 1e-4)
        self._add("stretch", torch.ones(1), LogNormalPrior(*_STRETCH), 0.05)
        self._add("size", torch.ones(1), LogNormalPrior(*_SIZE), 1e-2)
        self._add("noise", torch.full((others + 1,), 1e-3), LogNormalPrior(*_NOISE), _LEAST)

    def _add(self, name: str, start: Tensor, prior: object, least: float | None) -> None:
        self.register_parameter(f"raw_{name}", torch.nn.Parameter(start.double()))
        if least is not None:
            self.register_constraint(f"raw_{name}", GreaterThan(least, transform=None))
        self.register_prior(f"{name}_prior", prior, lambda module: getattr(module, f"raw_{name}"))

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **_: Any) -> Tensor:  # noqa: ANN401
        """Return the covariance between points (…, n, w + 2) and (…, m, w + 2), or its diagonal."""
        a, b, w = x1[..., : self.width], x2[..., : self.width], self.width
        s1, s2 = x1[..., w].long(), x2[..., w].long()
        id1, id2 = x1[..., w + 1], x2[..., w + 1]
        if not diag:
            s1, s2, id1, id2 = s1[..., :, None], s2[..., None, :], id1[..., :, None], id2[..., None, :]
        none, one = self.raw_weight.new_zeros(1), self.raw_weight.new_ones(1)
        weight, bias = torch.cat([one, self.raw_weight]), torch.cat([none, self.raw_bias])
        found = self.raw_size * weight[s1] * weight[s2] * _dense(self.base(a, b, diag=diag), diag)
        along = _dense(self.base(a / self.raw_stretch, b / self.raw_stretch, diag=diag), diag)
        found = found + torch.where((s1 == s2) & (s1 > 0), bias[s1] * along + _OFFSET, 0.0)
        return found + torch.where((id1 == id2) & (id1 > 0), self.raw_noise[s1], 0.0)


def _dense(found: Any, diag: bool) -> Tensor:  # noqa: ANN401  a linear operator, or its diagonal
    return found if diag else found.to_dense()


class SourceGP(SingleTaskGP):  # type: ignore[misc]  # botorch is not typed
    """BoTorch's model over points with sources; asked at plain features it answers for the target.

    Covariances are dense and small: they are computed outright, at a quarter of the cost of lazy ones.
    """

    def settle(self) -> None:
        """Keep what all predictions need, once the model is fitted."""
        points = self.train_inputs[0]
        with torch.no_grad():
            self._root = _root(self, points)
            left = (self.train_targets - self.mean_module.constant)[:, None]
            self._weights = torch.cholesky_solve(left, self._root)

    def posterior(self, X: Tensor, *args: Any, **options: Any) -> GPyTorchPosterior:  # noqa: ANN401, N803  BoTorch's names
        """Return the posterior of the values without noise at features (…, n, w), or at points (…, n, w + 2)."""
        del args
        kernel = self.covar_module
        points = at_source(X, 0) if X.shape[-1] == kernel.width else X
        across = kernel.forward(points, self.train_inputs[0].expand(*points.shape[:-2], -1, -1))
        mean = self.mean_module.constant + (across @ self._weights)[..., 0]
        solved = torch.linalg.solve_triangular(self._root, across.mT, upper=False)
        covariance = kernel.forward(points, points) - solved.mT @ solved
        posterior = GPyTorchPosterior(MultivariateNormal(mean, covariance))
        transform = options.get("posterior_transform")
        return posterior if transform is None else transform(posterior, X=X)


def _root(gp: SourceGP, points: Tensor) -> Tensor:
    """Return the lower Cholesky factor of the covariance of the results, shape (n, n)."""
    covariance = gp.covar_module.forward(points, points) + torch.diag(gp.likelihood.noise)
    return psd_safe_cholesky(covariance)


def _log_posterior(gp: SourceGP) -> Tensor:
    """Return the log density of the results plus that of the hyperparameters' priors."""
    root = _root(gp, gp.train_inputs[0])
    left = (gp.train_targets - gp.mean_module.constant)[:, None]
    quadratic = (torch.linalg.solve_triangular(root, left, upper=False) ** 2).sum()
    density = -0.5 * quadratic - root.diagonal().log().sum() - 0.5 * len(left) * math.log(2 * math.pi)
    for _, module, prior, closure, _ in gp.covar_module.named_priors():
        density = density + prior.log_prob(closure(module)).sum()
    return density


def _climb(gp: SourceGP) -> float:
    """Move the hyperparameters to the nearest mode of their posterior density, by L-BFGS-B; returns its logarithm."""
    parameters = [gp.mean_module.raw_constant, *gp.covar_module.parameters()]
    least = {id(p): -math.inf for p in parameters}
    for _, constraint, parameter in _constrained(gp.covar_module):
        least[id(parameter)] = float(constraint.lower_bound)
    bounds = [(least[id(p)], math.inf) for p in parameters for _ in range(p.numel())]

    def downhill(values: Array) -> tuple[float, Array]:
        at = 0
        for p in parameters:
            p.data.copy_(tensor(values[at : at + p.numel()]).reshape(p.shape))
            p.grad = None
            at += p.numel()
        try:
            cost = -_log_posterior(gp)
            cost.backward()
        except NotPSDError:
            return 1e10, np.zeros(len(values))
        slope = np.concatenate([p.grad.reshape(-1).numpy() for p in parameters])
        return (float(cost), slope) if np.isfinite(slope).all() else (1e10, np.zeros(len(values)))

    start = np.concatenate([p.detach().reshape(-1).numpy() for p in parameters])
    answer = minimize(downhill, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MOST_STEPS})
    return -downhill(np.asarray(answer.x))[0]


def _constrained(kernel: Kernel) -> Iterator[tuple[str, Any, Tensor]]:
    """Yield the constrained parameters of a kernel and its parts: name, constraint, parameter."""
    for name, parameter, constraint in kernel.named_parameters_and_constraints():
        if constraint is not None:
            yield name, constraint, parameter


def at_source(x: Tensor, index: int) -> Tensor:
    """Return features (…, n, w) as points on a source, without noise, (…, n, w + 2)."""
    rest = x.new_zeros((*x.shape[:-1], 2))
    rest[..., 0] = index
    return torch.cat([x, rest], dim=-1)


@dataclass(frozen=True, eq=False)
class SourcedModel(OutcomeModel):
    """A fitted model of one outcome that several sources give; as an `OutcomeModel` it is that of the target.

    Attributes:
        others: source → its observations, each on a scale of its own.
    """

    others: Mapping[str, OutcomeData] | None = None

    @property
    def lengthscales(self) -> dict[str, float]:
        """See `OutcomeModel`."""
        return lengthscales_of(self.gp.covar_module.base, self.groups)

    @property
    def noise(self) -> float:
        """Inferred noise variance of the target, standardised."""
        return self.noise_of(0)

    def noise_of(self, index: int) -> float:
        """Return the inferred noise variance of a source, on its scale; 0 is the target."""
        return float(self.gp.covar_module.raw_noise[index])

    @property
    def names(self) -> tuple[str, ...]:
        """The other sources in the order of their indices, which begin with 1."""
        return tuple(self.others or ())

    def index(self, source: str) -> int | None:
        """Return the index of a source, or None where it does not give the outcome."""
        return self.names.index(source) + 1 if source in self.names else None

    def predict_on(self, source: str, features: Array, reach: float) -> tuple[float, float, float, float]:
        """Return mean, standard deviation and the ends of an interval around a new result of a source, at one point (1, f)."""
        index = self.index(source)
        data = self.data if index is None else (self.others or {})[source]
        with torch.no_grad():
            posterior = self.gp.posterior(at_source(tensor(features), index or 0))
        mean = posterior.mean.reshape(-1).numpy()
        sd = posterior.variance.reshape(-1).clamp_min(1e-18).sqrt().numpy()
        centre, spread = data.scale.moments(mean, sd)
        low, high = data.scale.interval(mean, np.sqrt(sd**2 + self.noise_of(index or 0)), reach)
        return float(centre[0]), float(spread[0]), float(low[0]), float(high[0])

    def both(self, x: Tensor, source: str) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return what a result of a source would tell of the target at features x, shape (n, f); differentiable.

        Returns:
            mean and standard deviation of the target, and the standard deviation by which a result of the source would move
            the mean (|cov(f, y_s)| / sd(y_s)), each of shape (n,) and standardised; or None where it does not give the outcome.
        """
        index = self.index(source)
        if index is None:
            return None
        posterior = self.gp.posterior(torch.stack([at_source(x, 0), at_source(x, index)], dim=-2))
        mean = posterior.mean[..., 0, 0]
        covariance = posterior.distribution.covariance_matrix
        sd = covariance[..., 0, 0].clamp_min(1e-18).sqrt()
        seen = (covariance[..., 1, 1].clamp_min(0.0) + self.noise_of(index)).sqrt()
        return mean, sd, torch.minimum(covariance[..., 0, 1].abs() / seen, sd).clamp_min(1e-12)

    def told(self) -> Json:
        """Return what was learned of each other source, as JSON: scaled to the spreads of its own and of the target's results."""
        kernel = self.gp.covar_module
        size, found = float(kernel.raw_size), {}
        for i, (name, data) in enumerate((self.others or {}).items()):
            weight, bias = float(kernel.raw_weight[i]), float(kernel.raw_bias[i])
            found[name] = {
                "observations": len(data.numbers),
                "weight": weight,
                "bias_sd": math.sqrt(bias),
                "correlation": weight * math.sqrt(size / (weight**2 * size + bias)),
                "noise_sd": math.sqrt(self.noise_of(i + 1)),
            }
        return found


def fit_sources(
    target: OutcomeData, others: Mapping[str, OutcomeData], groups: Sequence[str], last: Json | None = None
) -> tuple[SourcedModel, Json]:
    """Fit the model by maximum a posteriori, and say how its kernel was chosen.

    Matérn 5/2, or RBF where that has a clear advantage in log posterior density; compared in every round up to 10 results of all
    sources together, then whenever there are a tenth more.

    Args:
        target: its observations, at least one.
        others: source → its observations.
        groups: per feature, the name of its length scale.
        last: what was said the last time.
    """
    results = len(target.values) + sum(len(data.values) for data in others.values())
    before = (last or {}).get("compared_at")
    kernels: dict[str, KernelName] = {"matern52, plain": "matern52", "rbf, plain": "rbf"}
    held = kernels.get(str((last or {}).get("kind")))
    if held is not None and isinstance(before, int) and _EVERY < results < _GROWTH * before:
        why = f"as compared with {before} results; again at {math.ceil(_GROWTH * before)}"
        model, _ = _fitted(target, others, groups, held)
        return model, {"kind": f"{held}, plain", "why": why, "compared_at": before}
    models = {kernel: _fitted(target, others, groups, kernel) for kernel in kernels.values()}
    density = {kernel: value for kernel, (_, value) in models.items()}
    kernel: KernelName = "rbf" if density["rbf"] > density["matern52"] + _MARGIN else "matern52"
    return models[kernel][0], {
        "kind": f"{kernel}, plain",
        "why": f"with several sources: by log posterior density, a margin of {_MARGIN:g} in favour of matern52",
        "compared_at": results,
        "evidence": {f"{k}, plain": v if math.isfinite(v) else None for k, v in density.items()},
    }


def _fitted(
    target: OutcomeData, others: Mapping[str, OutcomeData], groups: Sequence[str], kernel: KernelName
) -> tuple[SourcedModel, float]:
    # From one start sources agree with the target, from the other they do not: nearby modes would hide either.
    tops = []
    for weight, bias in _STARTS:
        gp = _prior_mode(target, others, groups, kernel)
        with torch.no_grad():
            gp.covar_module.raw_weight.fill_(weight)
            gp.covar_module.raw_bias.fill_(bias)
        tops.append((_climb(gp), gp))
    density, gp = max(tops, key=lambda top: top[0])  # max keeps the first among equals
    gp = gp.eval().requires_grad_(requires_grad=False)
    gp.settle()
    return SourcedModel(target, tuple(groups), kernel, gp, (), dict(others)), density


def _prior_mode(
    target: OutcomeData, others: Mapping[str, OutcomeData], groups: Sequence[str], kernel: KernelName
) -> SourceGP:
    every = [target, *others.values()]
    rows, values, stated = [], [], []
    for index, data in enumerate(every):
        rows.append(np.column_stack([data.features, np.full(len(data.values), float(index))]))
        values.append(data.standardised)
        stated.append(np.zeros(len(data.values)) if data.noise is None else data.noise)
    points = np.concatenate(rows)
    ids = np.arange(1, len(points) + 1, dtype=np.float64)
    with validate_input_scaling(False):  # noqa: FBT003  BoTorch's signature
        return SourceGP(
            tensor(np.column_stack([points, ids])),
            tensor(np.concatenate(values))[:, None],
            likelihood=FixedNoiseGaussianLikelihood(tensor(np.concatenate(stated)).clamp_min(_LEAST)),
            covar_module=SourceKernel(kernel_of(groups, kernel), target.features.shape[1], len(others)),
            outcome_transform=None,
        )
