"""The prior of a Gaussian process that knows something beforehand: y = c + Σ a·h(x) + what is left.

h is a hint on the model's scale, shifted and scaled so that over the results it varies as much as they do (with what an
earlier campaign leaves open counted): its shape is believed, neither its level nor its size. The weight a is normal
beforehand and integrated out, which adds s²·h(x)h(x') to the covariance: so leaving a result out also leaves out what it says
of the weight. What is left has a Gaussian process of its own whose variance is inferred (Kennedy and O'Hagan, Biometrika 87, 1
(2000): the same with a fixed weight). With an earlier campaign h is the mean of its posterior, and the covariance of that, times
E[a²], comes on top: where the earlier campaign has not looked, it is not believed.

A further input (role `feature`) multiplies the kernel by one on its value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, RBFKernel, ScaleKernel
from gpytorch.means import Mean
from gpytorch.priors import GammaPrior, LogNormalPrior

from sdl.planners.bayes.hints import Mapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.planners.bayes.data import OutcomeData
    from sdl.planners.bayes.hints import Hint
    from sdl.planners.bayes.models import OutcomeModel

Tensor = Any

WEIGHT_SD = 0.5
"""Standard deviation of a weight beforehand, around 1 (shared by several). Chosen: 0, to be no help, is two of it away."""
_LEFT = (math.log(0.3), 1.0)
"""Mean and standard deviation of the logarithm of the variance of what is left, in shares of the results' variance. Chosen."""
_LEAST_LEFT = 1e-4
_LEAST_SPREAD = 0.25
"""Share of a hint's spread over the space that its spread over the results counts as at least. Chosen."""
_FLAT = 1e-9
"""Spread, in shares of that of the results, below which a hint counts as constant: what is left is rounding. Chosen."""
_FEATURE_CONCENTRATION = 3.0
"""Of the Gamma prior of a further input's length scale, whose mode is the spread of that input. As of other inputs."""


class Trend(torch.nn.Module):  # type: ignore[misc]  # torch has no types
    """A hint on the model's scale, with mean 0 over the results, and varying as much as they do."""

    def __init__(self, hint: Hint, data: OutcomeData) -> None:
        super().__init__()
        self.hint, self.scale = hint, data.scale
        self._given = torch.from_numpy(np.array(data.features))
        with torch.no_grad():
            known = self._on_scale(self._given)
            left_open = self._left_open(self._given, self._given, diag=True)
        over = data.scale.standardised(hint.reference)
        variance = float(known.var()) if len(known) > 1 else 0.0
        # what an earlier campaign leaves open counts: one that knows nothing predicts the same everywhere
        variance += 0.0 if left_open is None else float(left_open.mean())
        self.centre = float(known.mean())
        spread = max(math.sqrt(variance), _LEAST_SPREAD * float(over.std()))
        self.spread = spread if spread > _FLAT else 1.0
        self._known = (known - self.centre) / self.spread
        self._known_doubt: Tensor | None = None

    def _on_scale(self, x: Tensor) -> Tensor:
        return Mapped.apply(self.hint.at(x), self.scale.standardised, self.scale.slope)

    def forward(self, x: Tensor) -> Tensor:
        """Return it at features (…, f), shape (…,)."""
        if x.shape == self._given.shape and torch.equal(x, self._given):
            return self._known
        return (self._on_scale(x) - self.centre) / self.spread

    def doubt(self, one: Tensor, two: Tensor, *, diag: bool) -> Tensor | None:
        """Return the covariance of what an earlier campaign leaves open, between features (…, n, f) and (…, m, f)."""
        known = not diag and one.shape == two.shape == self._given.shape and torch.equal(one, two)
        known = known and torch.equal(one, self._given)
        if known and self._known_doubt is not None:
            return self._known_doubt
        found = self._left_open(one, two, diag=diag)
        if found is None:
            return None
        found = found / self.spread**2
        if known:
            self._known_doubt = found.detach()
        return found

    def _left_open(self, one: Tensor, two: Tensor, *, diag: bool) -> Tensor | None:
        """Return what `doubt` returns, before it is scaled like the hint."""
        if self.hint.left_open is None:
            return None
        found = self.hint.left_open(one, two, diag)
        a, b = self._stretch(one), self._stretch(two)
        return found * a * b if diag else found * a[..., :, None] * b[..., None, :]

    def _stretch(self, x: Tensor) -> Tensor:
        """Return the slope of this scale by that of the earlier campaign's model, shape (…,), without derivatives."""
        assert self.hint.source is not None
        with torch.no_grad():
            y = self.hint.at(x.detach()).numpy()
        slope = self.scale.slope(y) / self.hint.source.data.scale.slope(y)
        return torch.from_numpy(np.array(np.broadcast_to(slope, y.shape)))


class PriorMean(Mean):  # type: ignore[misc]
    """c + Σ a₀·h(x)."""

    def __init__(self, trends: Sequence[Trend]) -> None:
        super().__init__()
        self.register_parameter("raw_constant", torch.nn.Parameter(torch.zeros(())))
        self.trends = torch.nn.ModuleList(trends)

    @property
    def constant(self) -> Tensor:
        """The mean far from all results, where no hint speaks."""
        return self.raw_constant

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  GPyTorch's name
        """Return the mean at features (…, f), shape (…,)."""
        found = self.raw_constant.expand(input.shape[:-1])
        for trend in self.trends:
            found = found + trend(input) / len(self.trends)
        return found


class PriorKernel(Kernel):  # type: ignore[misc]
    """The covariance of what is left, and of the weights and earlier campaigns.

    Attributes:
        left: of what is left.
    """

    has_lengthscale = False

    def __init__(self, kernel: Kernel, trends: Sequence[Trend]) -> None:
        super().__init__()
        prior = LogNormalPrior(*_LEFT)
        constraint = GreaterThan(_LEAST_LEFT, transform=None, initial_value=math.exp(_LEFT[0]))
        self.left = ScaleKernel(kernel, outputscale_prior=prior, outputscale_constraint=constraint)
        self.trends = torch.nn.ModuleList(trends)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **_: Any) -> Tensor:  # noqa: ANN401
        """Return the covariance between features (…, n, f) and (…, m, f), or its diagonal."""
        found = self.left(x1, x2, diag=diag)
        found = found if diag else found.to_dense()
        second_moment = WEIGHT_SD**2 + 1.0 / len(self.trends) ** 2
        for trend in self.trends:
            a, b = trend(x1), trend(x2)
            found = found + WEIGHT_SD**2 * (a * b if diag else a[..., :, None] * b[..., None, :])
            doubt = trend.doubt(x1, x2, diag=diag)
            if doubt is not None:
                found = found + second_moment * doubt
        return found


class FeatureKernel(Kernel):  # type: ignore[misc]
    """A kernel on the value of a further input: RBF on its spread over the space."""

    has_lengthscale = False

    def __init__(self, hint: Hint) -> None:
        super().__init__()
        self.hint = hint
        spread = float(hint.reference.std())
        self.centre, self.spread = float(hint.reference.mean()), spread if spread > 0 else 1.0
        prior = GammaPrior(_FEATURE_CONCENTRATION, _FEATURE_CONCENTRATION - 1.0)
        constraint = GreaterThan(0.025, transform=None, initial_value=prior.mode)
        self.along = RBFKernel(lengthscale_prior=prior, lengthscale_constraint=constraint)

    def _value(self, x: Tensor) -> Tensor:
        return ((self.hint.at(x) - self.centre) / self.spread)[..., None]

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **_: Any) -> Tensor:  # noqa: ANN401
        """Return the covariance between features (…, n, f) and (…, m, f), or its diagonal."""
        found = self.along(self._value(x1), self._value(x2), diag=diag)
        return found if diag else found.to_dense()


class WithFeatures(Kernel):  # type: ignore[misc]
    """A kernel times kernels on further inputs.

    Attributes:
        base: the kernel on what the models see.
    """

    has_lengthscale = False

    def __init__(self, base: Kernel, features: Sequence[FeatureKernel]) -> None:
        super().__init__()
        self.base = base
        self.features = torch.nn.ModuleList(features)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **_: Any) -> Tensor:  # noqa: ANN401
        """Return the covariance between features (…, n, f) and (…, m, f), or its diagonal."""
        found = self.base(x1, x2, diag=diag)
        found = found if diag else found.to_dense()
        for feature in self.features:
            found = found * feature.forward(x1, x2, diag=diag)
        return found


def prior_of(data: OutcomeData, kernel: Kernel) -> tuple[Mean | None, Kernel]:
    """Return mean (None for a constant) and kernel of an outcome's model, given the kernel on what the models see."""
    features = [FeatureKernel(h) for h in data.hints if h.role == "feature"]
    trends = [Trend(h, data) for h in data.hints if h.role == "mean"]
    if features:
        kernel = WithFeatures(kernel, features)
    return (PriorMean(trends), PriorKernel(kernel, trends)) if trends else (None, kernel)


def plain_kernel(kernel: Kernel) -> Kernel:
    """Return the part of a kernel that is on what the models see."""
    if isinstance(kernel, PriorKernel):
        kernel = kernel.left.base_kernel
    return kernel.base if isinstance(kernel, WithFeatures) else kernel


def weights(model: OutcomeModel) -> dict[str, tuple[float, float]]:
    """Return name → mean and standard deviation of the weight of each hint that is what is expected beforehand.

    1 is for results that vary as the hint says (with a size of its own), 0 for results that have nothing to do with it.
    With A = K + noise: a₀ + s²hᵀA⁻¹(z − m) and s²(1 − s²hᵀA⁻¹h).
    """
    gp = model.gp
    if not isinstance(gp.covar_module, PriorKernel):
        return {}
    known = gp.train_inputs[0]
    with torch.no_grad():
        prior = gp.likelihood(gp.forward(known), known)
        factor = torch.linalg.cholesky(prior.covariance_matrix)
        left = torch.cholesky_solve((gp.train_targets - prior.mean)[:, None], factor)[:, 0]
        found = {}
        for trend in gp.covar_module.trends:
            h = trend(known)
            by = torch.cholesky_solve(h[:, None], factor)[:, 0]
            mean = 1.0 / len(gp.covar_module.trends) + WEIGHT_SD**2 * float(h @ left)
            variance = WEIGHT_SD**2 * (1.0 - WEIGHT_SD**2 * float(h @ by))
            found[trend.hint.name] = (mean, math.sqrt(max(variance, 0.0)))
    return found
