"""Whether to measure again what was measured: a repeat and a new candidate are held to one yardstick.

It is by how much the best predicted outcome among what was measured is expected to rise with one more result: the knowledge
gradient over a finite set of points (Frazier, Powell and Dayanik, INFORMS Journal on Computing 21, 599 (2009)), here the
experiments that may be the best and those under way, which a new candidate joins when it is measured. One more result at x
moves the predicted means μ of all points by b·z, with z a standard normal number and b their covariances with the outcome at
x, divided by the standard deviation of a new measurement there. What is under way counts as measured: its outcome is open,
but what it will teach is not taught twice. A repeat of something certain moves nothing and is worth nothing; one of a noisy
result that seems to be the best may be worth more than anything new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import norm

from sdl.planners.bayes.models import tensor
from sdl.planners.bayes.search import Found
from sdl.space.rows import among

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.objective import Objective, OutcomeConstraint
    from sdl.planners.base import Json, Problem
    from sdl.planners.bayes.acquisition import Acquisition
    from sdl.planners.bayes.data import FeatureMap
    from sdl.planners.bayes.models import OutcomeModel

    Array = NDArray[np.float64]

_POINTS = 64
"""Experiments that may be the best, at most. Chosen."""
_REPEATS = 16
"""Experiments of which a repeat is looked at, at most. Chosen."""
_QUANTILES = norm.ppf((np.arange(64) + 0.5) / 64)
"""Equally probable values of z, over which the rise is averaged. Chosen."""
_LEAST = 1e-3
"""Rise, as a share of the spread of the results, below which nothing is repeated: the least noise that models infer. Chosen."""
_SURE = 2.0
"""Standard deviations above its mean to which a point's merit counts when those that may be the best are chosen. Chosen."""


@dataclass(frozen=True)
class Repeat:
    """The best repeat, and what it is worth.

    Attributes:
        row: of the points that were tried.
        worth: expected rise of the best predicted merit, on the model's scale.
        of_new: the same for the new candidate; None where there is none.
    """

    row: int
    worth: float
    of_new: float | None

    @property
    def is_better(self) -> bool:
        """Whether to repeat: among equals, and where all is as good as certain, something new is tried."""
        return self.worth > max(self.of_new or 0.0, _LEAST)

    @property
    def told(self) -> Json:
        """What the diagnostics say."""
        return {"repeat": self.worth, "new": self.of_new}


def instead(
    found: Found | None,
    problem: Problem,
    models: Mapping[str, OutcomeModel],
    features: FeatureMap,
    tried: Array,
    under_way: Array,
    acquisition: Acquisition,
) -> tuple[Found | None, Json]:
    """Return the repeat that is worth more than a new candidate, else the candidate, and what to tell of it.

    Where nothing new is left it is the best repeat, or None where none is worth anything.

    Args:
        found: the new candidate, or None.
        problem: what is asked; with one objective.
        models: outcome → model; has the objective's.
        features: of the space.
        tried: codes of distinct points with results, shape (m, d).
        under_way: codes of the points under way, which are not repeated, shape (p, d).
        acquisition: what the candidate was found with.
    """
    name, goal = next(iter(problem.objectives.items()))
    repeat = best_repeat(
        models,
        (name, goal),
        problem.outcome_constraints,
        features(tried),
        ~among(tried, under_way),
        features(under_way) if len(under_way) else np.empty((0, len(features.names))),
        None if found is None else features(found.code[None, :])[0],
        acquisition,
    )
    if repeat is None:
        return found, {}
    told: Json = {"worth_of": repeat.told}
    if not repeat.is_better:
        return found, told
    code = tried[repeat.row]
    x = features(code[None, :])
    data = models[name].data
    same = [n for n, row in zip(data.numbers, data.features, strict=True) if (row == x[0]).all()]
    told["repeats"] = same
    return Found(code, float(acquisition.score(x)[0]), "a repeat, worth more than anything new"), told


def best_repeat(
    models: Mapping[str, OutcomeModel],
    objective: tuple[str, Objective],
    constraints: Mapping[str, OutcomeConstraint],
    tried: Array,
    allowed: NDArray[np.bool_],
    under_way: Array,
    new: Array | None,
    acquisition: Acquisition,
) -> Repeat | None:
    """Return the best repeat, or None where nothing may be repeated or no point is likely to keep the bounds.

    Args:
        models: outcome → model; has the objective's.
        objective: its name and goal.
        constraints: outcome → bounds.
        tried: features of distinct points with results, shape (m, f).
        allowed: per point, whether it may be repeated now, shape (m,).
        under_way: features of the points under way, shape (p, f).
        new: features of the best new candidate, shape (f,), or None.
        acquisition: tells how likely a candidate is to succeed, and what it is multiplied by, such as one over the cost.
    """
    name, goal = objective
    model = models[name]
    mean, sd = _on_scale(model, tried)
    merit = _merit(model, goal, mean)
    likely = _keeps(models, constraints, tried)
    hopeful = np.argsort(-(merit + _SURE * sd), kind="stable")
    rivals = [int(i) for i in hopeful if likely[i] > 0.5][:_POINTS]
    asked = [int(i) for i in hopeful if allowed[i] and likely[i] > 0.5][:_REPEATS]
    if not asked:
        return None
    fresh = np.empty((0, tried.shape[1])) if new is None else new[None, :]
    order = list(dict.fromkeys([*rivals, *asked]))
    points = np.concatenate([tried[order], under_way, fresh])
    mu, covariance = _joint(model, points, under_way)
    noise = _noise(model, points)
    where = [*(order.index(i) for i in asked), *([len(points) - 1] if new is not None else [])]
    best_of = [*(order.index(i) for i in rivals), *range(len(order), len(order) + len(under_way))]
    worth = _rises(model, goal, mu, covariance, noise, best_of, where)
    x = tensor(points[where])
    with torch.no_grad():
        weight = np.zeros(len(where))
        for factor in acquisition.factors:
            weight = weight + factor.log(x).numpy()
        if acquisition.success is not None:
            weight = weight + acquisition.success.log_probability(x).numpy()
    worth = worth * np.exp(weight) * _keeps(models, constraints, points[where])
    best = int(np.argmax(worth[: len(asked)]))
    return Repeat(asked[best], float(worth[best]), None if new is None else float(worth[-1]))


def _rises(
    model: OutcomeModel,
    goal: Objective,
    mu: Array,
    covariance: Array,
    noise: Array,
    rivals: list[int],
    where: list[int],
) -> Array:
    """Return by how much the best merit among rivals is expected to rise with one more result at each of some points.

    A point that is measured is a rival from then on.
    """
    now = float(_merit(model, goal, mu[rivals]).max())
    found = []
    for j in where:
        best_of = [*rivals, j]
        spread = math.sqrt(max(covariance[j, j] + noise[j], 1e-18))
        moved = mu[best_of][:, None] + (covariance[best_of, j] / spread)[:, None] * _QUANTILES
        found.append(float(_merit(model, goal, moved).max(axis=0).mean()) - now)
    rises: Array = np.maximum(np.array(found), 0.0)
    return rises


def _joint(model: OutcomeModel, points: Array, under_way: Array) -> tuple[Array, Array]:
    """Return mean and covariance of the noise-free outcome on the model's scale, shapes (m,) and (m, m)."""
    every = np.concatenate([points, under_way])
    with torch.no_grad():
        posterior = model.gp.posterior(tensor(every))
        mean = posterior.mean.reshape(-1).numpy()
        covariance = posterior.distribution.covariance_matrix.numpy()
    m = len(points)
    if m < len(every):
        cross = covariance[:m, m:]
        there = covariance[m:, m:] + np.diag(np.maximum(_noise(model, under_way), 1e-9))
        covariance = covariance[:m, :m] - cross @ np.linalg.solve(there, cross.T)
    return mean[:m], covariance


def _noise(model: OutcomeModel, x: Array) -> Array:
    """Return the noise variance of new measurements on the model's scale, shape (m,), with what is stated on the average."""
    data = model.data
    stated = (
        0.0
        if data.uncertainties is None
        else float((data.uncertainties**2 * data.scale.slope(data.values) ** 2).mean())
    )
    return model.noise_at(x) + stated


def _on_scale(model: OutcomeModel, x: Array) -> tuple[Array, Array]:
    with torch.no_grad():
        posterior = model.gp.posterior(tensor(x))
    return posterior.mean.reshape(-1).numpy(), posterior.variance.reshape(-1).clamp_min(1e-18).sqrt().numpy()


def _merit(model: OutcomeModel, goal: Objective, outcome: Array) -> Array:
    """Return merits on the model's scale, larger for better."""
    if goal.value is not None:
        missed: Array = np.abs(outcome - float(model.data.scale.standardised(float(goal.value))))
        return -missed
    return -outcome if goal.goal == "minimize" else outcome


def _keeps(models: Mapping[str, OutcomeModel], constraints: Mapping[str, OutcomeConstraint], x: Array) -> Array:
    """Return the probability that points, shape (m, f), keep all bounds that can be modelled, shape (m,)."""
    result = np.ones(len(x))
    for outcome, bounds in constraints.items():
        if outcome not in models:
            continue
        scale = models[outcome].data.scale
        mean, sd = _on_scale(models[outcome], x)
        if bounds.at_least is not None:
            result = result * norm.sf(float(scale.standardised(float(bounds.at_least))), mean, sd)
        if bounds.at_most is not None:
            result = result * norm.cdf(float(scale.standardised(float(bounds.at_most))), mean, sd)
    return result
