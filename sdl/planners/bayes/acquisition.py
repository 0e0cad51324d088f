"""What a candidate is worth: BoTorch's log noisy expected improvement, times the probability of not failing.

`qLogNoisyExpectedImprovement` (Ament, Daulton, Eriksson, Balandat and Bakshy, NeurIPS 2023): the true outcomes at the
candidate, at all points tried that may be the best and at all points under way are drawn jointly from the posterior
(quasi-random normals); the mean over draws is taken of the improvement over the best of those points that are feasible
in the draw, times a smooth indicator of the candidate's own feasibility. Points under way have another outcome in
each draw, so nothing is assumed of them.

While it is more likely than not that no point tried is feasible, it is the log probability of feasibility instead
(`qLogProbabilityOfFeasibility`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement, qLogProbabilityOfFeasibility
from botorch.acquisition.objective import GenericMCObjective
from botorch.acquisition.utils import prune_inferior_points
from botorch.sampling import SobolQMCNormalSampler

from sdl.planners.bayes.models import joint, tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.objective import Objective, OutcomeConstraint
    from sdl.planners.bayes.failures import SuccessModel
    from sdl.planners.bayes.models import OutcomeModel

    Array = NDArray[np.float64]

Tensor = Any
Model = Any

DRAWS = 128
_PRUNING_DRAWS = 512
_CHUNK = 1024
IMPROVEMENT = "log noisy expected improvement"
FEASIBILITY = "log probability of feasibility"


class Acquisition:
    """The logarithm of what a candidate is worth, in standardised units of the objective.

    Args:
        models: outcome → model; must hold the objective's, and those of the constraints that can be modelled.
        objective: name and objective.
        constraints: outcome → bounds.
        tried: features of the points at which the objective was measured, shape (m, f), at least one.
        under_way: features of the points under way, shape (p, f).
        seed: of the draws.
        success: the probability that an experiment does not fail, or None where none has failed.

    Attributes:
        name: which acquisition function it is.
        any_feasible: share of draws in which one of the points tried is feasible; None without bounds.
    """

    def __init__(
        self,
        models: Mapping[str, OutcomeModel],
        objective: tuple[str, Objective],
        constraints: Mapping[str, OutcomeConstraint],
        tried: Array,
        under_way: Array,
        seed: int,
        success: SuccessModel | None,
    ) -> None:
        names = list(models)
        model = joint(list(models.values()))
        bounds = [
            bound
            for outcome, limits in constraints.items()
            if outcome in models
            for bound in _bounds(names.index(outcome), models[outcome], limits)
        ]
        merit = GenericMCObjective(_merit(names.index(objective[0]), models[objective[0]], objective[1]))
        baseline = tensor(tried)
        sampler = SobolQMCNormalSampler(torch.Size([DRAWS]), seed=seed)
        pending = tensor(under_way) if len(under_way) else None
        self.success = success
        self.any_feasible = _any_feasible(model, bounds, baseline, seed) if bounds else None
        if self.any_feasible is not None and self.any_feasible < 0.5:
            self.name = FEASIBILITY
            self._function = qLogProbabilityOfFeasibility(model, bounds, sampler, X_pending=pending)
            return
        self.name = IMPROVEMENT
        with torch.no_grad():
            baseline = prune_inferior_points(
                model,
                baseline,
                objective=merit,
                constraints=bounds or None,
                sampler=SobolQMCNormalSampler(torch.Size([_PRUNING_DRAWS]), seed=seed),
            )
        self._function = qLogNoisyExpectedImprovement(
            model,
            baseline,
            sampler,
            objective=merit,
            X_pending=pending,
            constraints=bounds or None,
            prune_baseline=False,
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Return the log acquisition at features x, shape (n, f), as shape (n,); differentiable."""
        value = self._function(x[:, None, :])
        return value if self.success is None else value + self.success.log_probability(x)

    def score(self, features: Array) -> Array:
        """Return the log acquisition of many points, shape (n, f), as shape (n,); never NaN, −∞ instead."""
        with torch.no_grad():
            parts: Sequence[Tensor] = [self(tensor(features[i : i + _CHUNK])) for i in range(0, len(features), _CHUNK)]
        value: Array = torch.nan_to_num(torch.cat(list(parts)), nan=-math.inf).numpy()
        return value

    def slope(self, features: Array) -> tuple[float, Array]:
        """Return the log acquisition of one point, shape (f,), and its gradient, shape (f,)."""
        x = tensor(features)[None, :].requires_grad_(requires_grad=True)
        value = self(x)[0]
        (gradient,) = torch.autograd.grad(value, x)
        return float(value.detach()), gradient[0].numpy()


def _merit(column: int, model: OutcomeModel, goal: Objective) -> Callable[..., Tensor]:
    """Return what is to be as large as possible, as a function of draws of standardised outcomes."""
    if goal.value is not None:
        target = float(model.data.standardised(float(goal.value)))
        return lambda samples, X=None: -(samples[..., column] - target).abs()  # noqa: N803  BoTorch's name
    sign = -1.0 if goal.goal == "minimize" else 1.0
    return lambda samples, X=None: sign * samples[..., column]  # noqa: N803


def _bounds(column: int, model: OutcomeModel, limits: OutcomeConstraint) -> list[Callable[[Tensor], Tensor]]:
    """Return functions of draws of standardised outcomes that are negative where a bound holds."""
    found: list[Callable[[Tensor], Tensor]] = []
    if limits.at_least is not None:
        low = float(model.data.standardised(float(limits.at_least)))
        found.append(lambda samples: low - samples[..., column])
    if limits.at_most is not None:
        high = float(model.data.standardised(float(limits.at_most)))
        found.append(lambda samples: samples[..., column] - high)
    return found


def _any_feasible(model: Model, bounds: Sequence[Callable[[Tensor], Tensor]], points: Tensor, seed: int) -> float:
    """Return the share of draws in which one of the points, shape (m, f), keeps all bounds."""
    with torch.no_grad():
        samples = SobolQMCNormalSampler(torch.Size([DRAWS]), seed=seed)(model.posterior(points))
    holds = torch.stack([bound(samples) <= 0 for bound in bounds]).all(dim=0)
    return float(holds.any(dim=-1).double().mean())
