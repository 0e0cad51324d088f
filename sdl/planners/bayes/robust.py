"""The expectation of outcomes where parameters are a little off: what is set is not quite what is.

With tolerances ±t an outcome at x counts as its mean over x + d, d uniform within the tolerances (a statement "±t" and nothing
more: GUM, JCGM 100:2008, 4.3.7), on the model's scale. A mean of a Gaussian process over a fixed set of points is Gaussian again,
so the acquisition stays what it is, candidates and experiments alike being judged by their means. The set is Gauss and Legendre's
with 5 points for one parameter, 3 × 3 for two; for k more the rows of a Hadamard matrix of size ≥ k and their mirror images, at
1/√3 of the tolerances, which is exact to the third degree with few points, of equal weight.

A measurement itself is made at one x + d that nobody knows: what that does to it is noise, which the model infers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.models import ModelListGP
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from linear_operator import to_linear_operator
from scipy.linalg import hadamard

from sdl.objective import Estimate, is_joint, joint_desirability
from sdl.planners.bayes.models import tensor
from sdl.space import Continuous

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.objective import Objective, OutcomeConstraint
    from sdl.planners.base import Json, Problem
    from sdl.planners.bayes.data import FeatureMap
    from sdl.planners.bayes.models import OutcomeModel

    Array = NDArray[np.float64]

Tensor = Any

_ONE, _TWO = 5, 3
"""Points along the only, and along each of two parameters. Chosen: exact for polynomials of degree 9 and 5."""


def nodes(parameters: int) -> tuple[Array, Array]:
    """Return points of the cube [−1, 1] of some dimensions, shape (s, k), and their weights, shape (s,), which sum to 1."""
    if parameters <= 2:
        along, weights = np.polynomial.legendre.leggauss(_ONE if parameters == 1 else _TWO)
        grid = np.stack(np.meshgrid(*[along] * parameters, indexing="ij"), axis=-1).reshape(-1, parameters)
        every = np.stack(np.meshgrid(*[weights / 2] * parameters, indexing="ij"), axis=-1).reshape(-1, parameters)
        return grid, every.prod(axis=1)
    size = 1 << max(2, (parameters - 1).bit_length())
    half = hadamard(size)[:, :parameters] / math.sqrt(3.0)
    points = np.concatenate([half, -half])
    return points, np.full(len(points), 1 / len(points))


@dataclass(frozen=True, eq=False)
class Tolerances:
    """How far parameters may be off.

    Attributes:
        features: of the space.
        sizes: parameter → half the width, in its unit.
    """

    features: FeatureMap
    sizes: Mapping[str, float]

    @cached_property
    def _nodes(self) -> tuple[Array, Tensor]:
        points, weights = nodes(len(self.sizes))
        return points, tensor(weights)

    @property
    def weights(self) -> Tensor:
        """Of the points over which the mean is taken, shape (s,)."""
        return self._nodes[1]

    def around(self, x: Tensor) -> Tensor:
        """Return the points over which the mean is taken at features x, shape (…, f), as shape (…, s, f); differentiable."""
        points, _ = self._nodes
        moved = x[..., None, :].expand(*x.shape[:-1], len(points), x.shape[-1]).clone()
        low, span = self.features.limits
        for k, (name, size) in enumerate(self.sizes.items()):
            parameter = self.features.space.parameters[name]
            assert isinstance(parameter, Continuous)
            column = self.features.columns[name]
            off = tensor(points[:, k] * size)
            if parameter.scale == "log":
                rate = math.log(parameter.upper / parameter.lower)
                value = parameter.lower * torch.exp((moved[..., column] * span[column] + low[column]) * rate)
                there = (torch.log((value + off) / parameter.lower) / rate - low[column]) / span[column]
            else:
                there = moved[..., column] + off / ((parameter.upper - parameter.lower) * span[column])
            moved[..., column] = there
        return moved

    def expected(self, model: OutcomeModel, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of an outcome's expectation at features x, shape (m, f), in its unit: (m,) each."""
        with torch.no_grad():
            found = Averaged(model.gp, self).posterior(tensor(x)[:, None, :])
        mean, variance = found.mean.reshape(-1).numpy(), found.variance.reshape(-1).clamp_min(1e-18).numpy()
        return model.data.scale.moments(mean, np.sqrt(variance))

    def told(self, problem: Problem, models: Mapping[str, OutcomeModel], results: Array) -> Json:
        """Return what diagnostics say: the tolerances, and the result whose expectation is best, of codes, shape (k, d).

        Only results whose expectation keeps all bounds count, where there are any.
        """
        space = problem.space
        x = self.features(results)
        expected = {name: self.expected(model, x) for name, model in models.items()}
        best = _best(problem.objectives, problem.outcome_constraints, {n: m for n, (m, _) in expected.items()})
        return {
            "tolerance": {
                name: {"half_width": size, "unit": space.parameters[name].unit} for name, size in self.sizes.items()
            },
            "points": len(self.weights),
            "best": {
                "candidate": dict(space.decode(results[best : best + 1])[0]),
                "expected": {
                    name: {"mean": _finite(mean[best]), "sd": _finite(sd[best])}
                    for name, (mean, sd) in expected.items()
                },
            },
        }


def _best(
    objectives: Mapping[str, Objective], constraints: Mapping[str, OutcomeConstraint], means: Mapping[str, Array]
) -> int:
    """Return the index of the best in the first objective or by the joint desirability, the first among equals."""
    name, goal = next(iter(objectives.items()))
    merit = np.array([goal.merit(float(v)) for v in means[name]])
    if is_joint(objectives):
        rows = [{n: Estimate(float(means[n][i])) for n in objectives} for i in range(len(merit))]
        merit = np.array([joint_desirability(objectives, row) for row in rows])
    broken = np.zeros(len(merit))
    for outcome, bounds in constraints.items():
        if outcome in means:
            broken += np.array([0.0 if bounds.holds(float(v)) else 1.0 for v in means[outcome]])
    return int(np.lexsort((-merit, broken))[0])


class Averaged(Model):  # type: ignore[misc]  # BoTorch is not typed here
    """A model of the outcomes' expectations.

    Args:
        model: of the outcomes: one with a single outcome, or a list of such.
        tolerances: how far parameters may be off.
    """

    def __init__(self, model: Model, tolerances: Tolerances) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(model.models if isinstance(model, ModelListGP) else [model])
        self.tolerances = tolerances

    @property
    def num_outputs(self) -> int:
        """How many outcomes."""
        return len(self.parts)

    @property
    def batch_shape(self) -> torch.Size:
        """Of the model: none."""
        return torch.Size([])

    def posterior(self, X: Tensor, *_: Any, posterior_transform: Any = None, **__: Any) -> GPyTorchPosterior:  # noqa: ANN401, N803
        """Return the joint posterior of the expectations at features X, shape (…, q, f)."""
        around = self.tolerances.around(X)
        q, s = around.shape[-3], around.shape[-2]
        flat = around.reshape(*X.shape[:-2], q * s, X.shape[-1])
        weights = self.tolerances.weights
        found = []
        for part in self.parts:
            inner = part.posterior(flat).distribution
            mean = inner.mean.reshape(*inner.mean.shape[:-1], q, s) @ weights
            covariance = inner.covariance_matrix
            covariance = covariance.reshape(*covariance.shape[:-2], q, s, q, s)
            averaged = torch.einsum("...asbt,s,t->...ab", covariance, weights, weights)
            found.append(
                MultivariateNormal(mean, to_linear_operator(averaged))
            )  # lazily, as close points make it singular
        whole = found[0] if len(found) == 1 else MultitaskMultivariateNormal.from_independent_mvns(found)
        posterior = GPyTorchPosterior(whole)
        return posterior if posterior_transform is None else posterior_transform(posterior)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
