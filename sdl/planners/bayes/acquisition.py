"""What a candidate is worth: BoTorch's log expected improvement, times the probability of not failing.

With one objective and no outcome bounds it is the improvement over the best expected merit among the points tried
(`qLogExpectedImprovement` with a plug-in best). Where the models are sure, drawing the best of those points anew in each
draw makes no difference; where much of the spread is taken for noise it makes almost any far point look like a gain
(docs/bayes.md has what was measured).

With outcome bounds it is `qLogNoisyExpectedImprovement` (Ament, Daulton, Eriksson, Balandat and Bakshy, NeurIPS 2023; so is the
logarithm in the other): the true outcomes at the candidate, at all points tried that may be the best and at all points under
way are drawn jointly from the posterior (quasi-random normals); the mean over draws is taken of the improvement over the best
of those points that are feasible in the draw, times a smooth indicator of the candidate's own feasibility. In both, points
under way have another outcome in each draw, so nothing is assumed of them.

While it is more likely than not that no point tried is feasible, it is the log probability of feasibility instead
(`qLogProbabilityOfFeasibility`).

With several objectives the improvement is that of the hypervolume between the Pareto set and a reference point
(`qLogNoisyExpectedHypervolumeImprovement`, Daulton, Balandat and Bakshy, NeurIPS 2021). The reference point is given with the
objectives, or follows from the best results by the rule of Ishibuchi et al. (GECCO 2011), a tenth of their range below the
worst of them. As the cost of hypervolumes grows quickly with the number of objectives, more than four of them are weighed by
an augmented Chebyshev scalarisation whose weights are drawn anew for each candidate (ParEGO: Knowles, IEEE Transactions on
Evolutionary Computation 10, 50 (2006); `qLogNParEGO`).

Objectives that are joined by their desirabilities count as one: the joint desirability of each joint draw (`desirable`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from botorch.acquisition.logei import (
    qLogExpectedImprovement,
    qLogNoisyExpectedImprovement,
    qLogProbabilityOfFeasibility,
)
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.multi_objective.parego import qLogNParEGO
from botorch.acquisition.objective import GenericMCObjective
from botorch.acquisition.utils import prune_inferior_points
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from botorch.utils.multi_objective.pareto import is_non_dominated

from sdl.objective import is_joint
from sdl.planners.bayes.desirable import Joint
from sdl.planners.bayes.models import joint, tensor
from sdl.planners.bayes.robust import Averaged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.objective import Objective, OutcomeConstraint
    from sdl.planners.bayes.failures import SuccessModel
    from sdl.planners.bayes.models import OutcomeModel
    from sdl.planners.bayes.robust import Tolerances

    Array = NDArray[np.float64]

Tensor = Any
Model = Any

DRAWS = 128
_PRUNING_DRAWS = 512
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_CHUNK = 1024
IMPROVEMENT = "log expected improvement"
NOISY_IMPROVEMENT = "log noisy expected improvement"
OF_DESIRABILITY = " of the joint desirability"
FEASIBILITY = "log probability of feasibility"
HYPERVOLUME = "log noisy expected hypervolume improvement"
SCALARISED = "log noisy expected improvement of a weighted Chebyshev distance"
MOST_BY_HYPERVOLUME = 4
"""Objectives up to which hypervolumes are computed, as in Ax."""


class Factor(Protocol):
    """What an acquisition is multiplied by."""

    name: str

    def log(self, x: Tensor) -> Tensor:
        """Return its logarithm at features x, shape (n, f), as shape (n,); differentiable."""
        ...

    def log_of_group(self, x: Tensor) -> Tensor:
        """Return its logarithm for groups carried out together, shape (m, k, f), as shape (m,)."""
        ...


class Acquisition:
    """The logarithm of what a candidate is worth, in standardised units of the objectives.

    Args:
        models: outcome → model; must hold the objectives', and those of the constraints that can be modelled.
        objectives: name → objective.
        constraints: outcome → bounds.
        tried: features of the points at which all objectives were measured, shape (m, f), at least one.
        under_way: features of the points under way, shape (p, f).
        seed: of the draws.
        success: the probability that an experiment does not fail, or None where none has failed.
        order: of the candidate in its round, from 0; weights of a scalarisation differ between candidates.
        factors: what the acquisition is multiplied by, such as one over the cost.
        tolerances: how far parameters may be off, so that outcomes count by their expectation; or None.

    Attributes:
        name: which acquisition function it is.
        any_feasible: share of draws in which one of the points tried is feasible; None without bounds.
        reference: with several objectives, the reference point: objective → value in its unit.
        weights: of the scalarisation: objective → weight; or None.
    """

    def __init__(
        self,
        models: Mapping[str, OutcomeModel],
        objectives: Mapping[str, Objective],
        constraints: Mapping[str, OutcomeConstraint],
        tried: Array,
        under_way: Array,
        seed: int,
        success: SuccessModel | None,
        order: int = 0,
        factors: Sequence[Factor] = (),
        tolerances: Tolerances | None = None,
    ) -> None:
        self.factors = tuple(factors)
        names = list(models)
        model = joint(list(models.values()))
        if tolerances is not None:
            model = Averaged(model, tolerances)
        bounds = [
            bound
            for outcome, limits in constraints.items()
            if outcome in models
            for bound in _bounds(names.index(outcome), models[outcome], limits)
        ]
        desirable = Joint(models, objectives) if is_joint(objectives) else None
        merits: list[Any] = [_merit(names.index(name), models[name], goal) for name, goal in objectives.items()]
        if desirable is not None:
            merits = [desirable]
        baseline = tensor(tried)
        sampler = SobolQMCNormalSampler(torch.Size([DRAWS]), seed=seed)
        pending = tensor(under_way) if len(under_way) else None
        self.success = success
        self.reference: dict[str, float] | None = None
        self.weights: dict[str, float] | None = None
        self.any_feasible = _any_feasible(model, bounds, baseline, seed) if bounds else None
        if self.any_feasible is not None and self.any_feasible < 0.5:
            self.name = FEASIBILITY
            self._function = qLogProbabilityOfFeasibility(model, bounds, sampler, X_pending=pending)
            return
        options: dict[str, Any] = {"constraints": bounds or None, "X_pending": pending, "prune_baseline": False}
        # Divided by a cost, what a candidate adds to those under way must count, and not what all of them gain together.
        adds = bool(self.factors) and pending is not None
        if len(merits) == 1 and not bounds and not adds:
            self.name = IMPROVEMENT + (OF_DESIRABILITY if desirable else "")
            one = GenericMCObjective(merits[0])
            best = desirable.expected(model, baseline)[0].max() if desirable else None
            best = _best_expected(model, merits[0], baseline) if best is None else best
            self._function = qLogExpectedImprovement(model, best, sampler, objective=one, X_pending=pending)
            return
        if len(merits) == 1:
            self.name = NOISY_IMPROVEMENT + (OF_DESIRABILITY if desirable else "")
            one = GenericMCObjective(merits[0])
            with torch.no_grad():
                baseline = prune_inferior_points(
                    model,
                    baseline,
                    objective=one,
                    constraints=bounds or None,
                    sampler=SobolQMCNormalSampler(torch.Size([_PRUNING_DRAWS]), seed=seed),
                )
            self._function = qLogNoisyExpectedImprovement(model, baseline, sampler, objective=one, **options)
            return

        def all_merits(samples: Tensor, X: Tensor = None) -> Tensor:  # noqa: N803  BoTorch's name
            return torch.stack([merit(samples, X) for merit in merits], dim=-1)

        several = GenericMCMultiOutputObjective(all_merits)
        if len(merits) > MOST_BY_HYPERVOLUME:
            self.name = SCALARISED
            weights = tensor(np.random.default_rng([seed, order]).dirichlet(np.ones(len(merits))))
            self.weights = {name: float(w) for name, w in zip(objectives, weights, strict=True)}
            self._function = qLogNParEGO(
                model, baseline, scalarization_weights=weights, sampler=sampler, objective=several, **options
            )
            return
        self.name = HYPERVOLUME
        point = _reference_point(models, objectives, several, model, bounds, baseline)
        self.reference = {
            name: _of_merit(float(value), models[name], goal)
            for (name, goal), value in zip(objectives.items(), point, strict=True)
        }
        options["prune_baseline"] = True
        self._function = qLogNoisyExpectedHypervolumeImprovement(
            model, point, baseline, sampler, objective=several, **options
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Return the log acquisition at features x, shape (n, f), as shape (n,); differentiable."""
        value = self._function(x[:, None, :])
        for factor in self.factors:
            value = value + factor.log(x)
        return value if self.success is None else value + self.success.log_probability(x)

    def score(self, features: Array) -> Array:
        """Return the log acquisition of many points, shape (n, f), as shape (n,); never NaN, −∞ instead."""
        with torch.no_grad():
            parts: Sequence[Tensor] = [self(tensor(features[i : i + _CHUNK])) for i in range(0, len(features), _CHUNK)]
        value: Array = torch.nan_to_num(torch.cat(list(parts)), nan=-math.inf).numpy()
        return value

    def of_group(self, features: Array) -> Array:
        """Return the log acquisition of groups carried out together, shape (m, k, f), as shape (m,); never NaN, −∞ instead.

        How likely members are to succeed enters as the mean of the logarithms.
        """
        x = tensor(features)
        with torch.no_grad():
            value = self._function(x)
            for factor in self.factors:
                value = value + factor.log_of_group(x)
            if self.success is not None:
                value = value + self.success.log_probability(x.flatten(0, 1)).reshape(x.shape[:2]).mean(dim=1)
        found: Array = torch.nan_to_num(value, nan=-math.inf).numpy()
        return found

    def slope(self, features: Array) -> tuple[float, Array]:
        """Return the log acquisition of one point, shape (f,), and its gradient, shape (f,)."""
        x = tensor(features)[None, :].requires_grad_(requires_grad=True)
        value = self(x)[0]
        (gradient,) = torch.autograd.grad(value, x)
        return float(value.detach()), gradient[0].numpy()


def _merit(column: int, model: OutcomeModel, goal: Objective) -> Callable[..., Tensor]:
    """Return what is to be as large as possible, as a function of draws of standardised outcomes."""
    if goal.value is not None:
        target = float(model.data.scale.standardised(float(goal.value)))
        return lambda samples, X=None: -(samples[..., column] - target).abs()  # noqa: N803  BoTorch's name
    sign = -1.0 if goal.goal == "minimize" else 1.0
    return lambda samples, X=None: sign * samples[..., column]  # noqa: N803


def _best_expected(model: Model, merit: Callable[..., Tensor], tried: Tensor) -> Tensor:
    """Return the largest expected merit among points tried, shape (m, f), by Gauss–Hermite quadrature of 32 nodes."""
    with torch.no_grad():
        posterior = model.posterior(tried)
        drawn = posterior.mean + tensor(_NODES)[:, None, None] * posterior.variance.clamp_min(0.0).sqrt()
        return (tensor(_WEIGHTS / _WEIGHTS.sum())[:, None] * merit(drawn)).sum(dim=0).max()


def _of_merit(merit: float, model: OutcomeModel, goal: Objective) -> float:
    """Return the outcome, in its unit, that has a merit; for `match` the one above the number to be matched."""
    if goal.value is not None:
        return float(model.data.scale.natural(model.data.scale.standardised(float(goal.value)) - merit))
    return float(model.data.scale.natural(np.array(-merit if goal.goal == "minimize" else merit)))


def _reference_point(
    models: Mapping[str, OutcomeModel],
    objectives: Mapping[str, Objective],
    several: GenericMCMultiOutputObjective,
    model: Model,
    bounds: Sequence[Callable[[Tensor], Tensor]],
    tried: Tensor,
) -> Tensor:
    """Return the reference point as merits, shape (objectives,): what is given, the rest from the predicted Pareto set."""
    with torch.no_grad():
        predicted = model.posterior(tried).mean
        merit = several(predicted)
        feasible = torch.ones(len(tried), dtype=torch.bool)
        for bound in bounds:
            feasible &= bound(predicted) <= 0
    among = merit[feasible] if bool(feasible.any()) else merit
    point = infer_reference_point(among[is_non_dominated(among)])
    for i, (name, goal) in enumerate(objectives.items()):
        if goal.reference is not None:
            at = tensor(models[name].data.scale.standardised(float(goal.reference))).reshape(1, 1)
            point[i] = _merit(0, models[name], goal)(at).reshape(())
    return point


def _bounds(column: int, model: OutcomeModel, limits: OutcomeConstraint) -> list[Callable[[Tensor], Tensor]]:
    """Return functions of draws of standardised outcomes that are negative where a bound holds."""
    found: list[Callable[[Tensor], Tensor]] = []
    if limits.at_least is not None:
        low = float(model.data.scale.standardised(float(limits.at_least)))
        found.append(lambda samples: low - samples[..., column])
    if limits.at_most is not None:
        high = float(model.data.scale.standardised(float(limits.at_most)))
        found.append(lambda samples: samples[..., column] - high)
    return found


def _any_feasible(model: Model, bounds: Sequence[Callable[[Tensor], Tensor]], points: Tensor, seed: int) -> float:
    """Return the share of draws in which one of the points, shape (m, f), keeps all bounds."""
    with torch.no_grad():
        samples = SobolQMCNormalSampler(torch.Size([DRAWS]), seed=seed)(model.posterior(points))
    holds = torch.stack([bound(samples) <= 0 for bound in bounds]).all(dim=0)
    return float(holds.any(dim=-1).double().mean())
