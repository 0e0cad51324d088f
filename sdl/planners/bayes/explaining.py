"""What the models know, and why a candidate was worth an experiment: refitted from the ledger, nothing is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import norm

from sdl.errors import SpaceError
from sdl.objective import is_joint
from sdl.planners.bayes.data import FeatureMap, observe
from sdl.planners.bayes.desirable import predicted as predicted_desirability
from sdl.planners.bayes.influence import MOST, Influence, influence
from sdl.planners.bayes.isolation import isolated
from sdl.planners.bayes.models import OutcomeModel, joint, tensor
from sdl.planners.bayes.sensitivity import Sensitivity, sensitivity
from sdl.planners.bayes.sources import of_target
from sdl.planners.bayes.weighing import modelled
from sdl.space.sampling import uniform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.objective import OutcomeConstraint
    from sdl.planners.base import History, Json, Problem
    from sdl.space import Candidate

    Array = NDArray[np.float64]

FEWEST = 3
"""Results below which the effects of parameters are not told: the model is hardly more than its prior. Chosen."""
_CHUNK = 256
_DRAWS = 128
_POINTS = 512
"""Rows or feasible points, besides those tried, among which the predicted best is looked for. Chosen."""


@dataclass(frozen=True)
class ModelTold:
    """The model of one outcome.

    Attributes:
        outcome, unit: which, and in what unit.
        choice: kind, why, at how many results it was compared, the evidence of each candidate; as in the diagnostics.
        observations: how many results it was fitted to.
        doubted: numbers of the experiments that are believed less.
        noise_sd: inferred standard deviation of a measurement at the median result, in the outcome's unit.
        stated: whether stated uncertainties count on top of it.
        lengthscales: feature → length scale, in shares of the feature's range.
        sensitivity: what matters to the predicted outcome; None for what is no objective.
        missing: why there is no sensitivity, in words, or None.
        influence: what each experiment contributes to the predicted best; None for what is no objective.
        no_influence: why there is none, in words, or None.
    """

    outcome: str
    unit: str
    choice: Json
    observations: int
    doubted: tuple[int, ...]
    noise_sd: float
    stated: bool
    lengthscales: Mapping[str, float]
    sensitivity: Sensitivity | None = None
    missing: str | None = None
    influence: Influence | None = None
    no_influence: str | None = None


@dataclass(frozen=True)
class Worth:
    """What a candidate promised in one objective, in its unit.

    With Δ the gain of the predicted mean and σ the predicted standard deviation, the expected improvement is
    ΔΦ(Δ/σ) + σφ(Δ/σ) (Jones, Schonlau and Welch, Journal of Global Optimization 13, 455 (1998), eq. 15): the first term is
    what the mean promises, the second what the uncertainty promises.

    Attributes:
        objective: name.
        mean, sd: predicted, the noise aside.
        best: the best predicted mean among the experiments with results, those first that are predicted to keep all bounds.
        best_experiment: its number; 0 and below for what was known before the campaign.
        gain: by how much the mean was predicted to be better than the best; negative where it was worse.
        ratio: sd/|gain|, or None where the gain is 0.
        share_of_mean: share of the first term in the expected improvement; 0 where the gain is not positive.
    """

    objective: str
    mean: float
    sd: float
    best: float
    best_experiment: int
    gain: float
    ratio: float | None
    share_of_mean: float


@dataclass(frozen=True)
class CandidateTold:
    """Why a candidate was worth an experiment, as the models stood when it was proposed.

    Attributes:
        leaning: `exploits`, `explores` or `both`.
        because: in words.
        worth: one an objective.
        keeps: outcome → probability that it keeps its bounds.
    """

    leaning: str
    because: str
    worth: tuple[Worth, ...]
    keeps: Mapping[str, float]


def models_told(problem: Problem, history: History) -> tuple[ModelTold, ...]:
    """Refit the model of each outcome to all results, and say what it is and what matters to it.

    Args:
        problem: what is asked.
        history: with what was known before the campaign.

    Returns:
        one entry an outcome that has results: objectives first.
    """
    with isolated(0):
        features, models, choices = _refitted(problem, history)
        return tuple(
            replace(
                _model_told(problem, features, model, choices[outcome]),
                **_influence_of(problem, features, models, outcome),
            )
            for outcome, model in models.items()
        )


def candidate_told(problem: Problem, history: History, candidate: Candidate) -> CandidateTold | None:
    """Say whether a candidate exploits or explores; None where no experiment had given all objectives.

    With one objective it exploits where at least half of its expected improvement comes from the predicted mean, explores
    where the mean promises no gain, and does both in between. With several it exploits where no experiment with
    results is predicted to be at least as good in all of them, and explores otherwise.

    Args:
        problem: what was asked.
        history: up to the row that opened the round, with what was known before the campaign.
        candidate: what was proposed.

    Raises:
        SpaceError: the candidate cannot be expressed in the space.
    """
    with isolated(0):
        features, models, _ = _refitted(problem, history)
        return told_of(problem, models, features(problem.space.encode([candidate])))


def told_of(problem: Problem, models: Mapping[str, OutcomeModel], x: Array) -> CandidateTold | None:
    """Say what `candidate_told` says, by models that are at hand.

    Args:
        problem: what was asked.
        models: outcome → model.
        x: features of the candidate, shape (1, f).
    """
    numbers = _with_objectives(problem, models)
    if not numbers:
        return None
    known = _features_of(models[next(iter(problem.objectives))], numbers)
    merits, worth = [], []
    eligible = _least_broken(problem, models, known)
    for name, goal in problem.objectives.items():
        model = models[name]
        mean, sd = (float(v[0]) for v in model.predict(x))
        predicted = model.predict(known)[0]
        merit = np.array([goal.merit(float(v)) for v in predicted])
        at = int(eligible[np.argmax(merit[eligible])])
        gain = goal.merit(mean) - float(merit[at])
        worth.append(
            Worth(
                name,
                mean,
                sd,
                float(predicted[at]),
                numbers[at],
                gain,
                sd / abs(gain) if gain != 0 and math.isfinite(sd / abs(gain)) else None,
                share_of_mean(gain, sd),
            )
        )
        merits.append((goal.merit(mean), merit))
    keeps = {
        outcome: _keeps(models[outcome], bounds, x)
        for outcome, bounds in problem.outcome_constraints.items()
        if outcome in models
    }
    if is_joint(problem.objectives):
        leaning, because = _joint_leaning(problem, models, x, known[eligible])
        return CandidateTold(leaning, because, tuple(worth), keeps)
    leaning, because = _leaning(worth, merits, numbers)
    return CandidateTold(leaning, because, tuple(worth), keeps)


def _joint_leaning(problem: Problem, models: Mapping[str, OutcomeModel], x: Array, known: Array) -> tuple[str, str]:
    """Say by which part of its expected improvement of the joint desirability, taken as normal, a candidate was chosen."""
    whole = joint(list(models.values()))
    mean, sd = (float(v[0]) for v in predicted_desirability(models, problem.objectives, whole, x))
    best = float(predicted_desirability(models, problem.objectives, whole, known)[0].max())
    said = f"its joint desirability is expected to be {mean:.2g} ± {sd:.2g}, of known experiments at most {best:.2g}"
    if mean <= best:
        return "explores", f"{said}: what it promises is uncertainty"
    share = share_of_mean(mean - best, sd)
    said += f": {100 * share:.0f} % of its expected improvement come from the predicted mean"
    return ("exploits" if share >= 0.5 else "both"), said


def share_of_mean(gain: float, sd: float) -> float:
    """Return the share of the expected improvement that comes from the predicted mean; see `Worth`."""
    if gain <= 0:
        return 0.0
    if sd <= 0:
        return 1.0
    z = gain / sd
    by_mean, by_spread = z * float(norm.cdf(z)), float(norm.pdf(z))
    return by_mean / (by_mean + by_spread)


def _leaning(worth: list[Worth], merits: list[tuple[float, Array]], numbers: list[int]) -> tuple[str, str]:
    if len(worth) == 1:
        one = worth[0]
        if one.gain <= 0:
            return (
                "explores",
                "its predicted mean is no better than the best predicted one: what it promises is uncertainty",
            )
        said = f"{100 * one.share_of_mean:.0f} % of its expected improvement come from the predicted mean"
        return ("exploits" if one.share_of_mean >= 0.5 else "both"), said
    beaten = np.logical_and.reduce([known >= own for own, known in merits])
    by = [n for n, b in zip(numbers, beaten, strict=True) if b]
    if not by:
        return "exploits", "no known experiment is predicted to be at least as good in all objectives"
    count = "1 known experiment is" if len(by) == 1 else f"{len(by)} known experiments are"
    return "explores", f"{count} predicted to be at least as good in all objectives: what it promises is uncertainty"


def _refitted(problem: Problem, history: History) -> tuple[FeatureMap, dict[str, OutcomeModel], dict[str, Json]]:
    features = FeatureMap(problem.space)
    history = of_target(problem, history)
    seen = observe(features, history, problem.objectives, problem.outcome_constraints)
    models: dict[str, OutcomeModel] = {}
    choices: dict[str, Json] = {}
    for outcome, data in seen.outcomes.items():
        models[outcome], choices[outcome] = modelled(problem, history, features, data)
    return features, models, choices


def _with_objectives(problem: Problem, models: Mapping[str, OutcomeModel]) -> list[int]:
    """Return the numbers of the experiments that gave all objectives, in order."""
    if any(name not in models for name in problem.objectives):
        return []
    measured = [set(models[name].data.numbers) for name in problem.objectives]
    return sorted(set.intersection(*measured))


def _features_of(model: OutcomeModel, numbers: list[int]) -> Array:
    where = {number: i for i, number in enumerate(model.data.numbers)}
    rows: Array = model.data.features[[where[number] for number in numbers]]
    return rows


def _least_broken(problem: Problem, models: Mapping[str, OutcomeModel], known: Array) -> NDArray[np.intp]:
    """Return the rows of known features, shape (n, f), that are predicted to break the fewest bounds."""
    broken = np.zeros(len(known))
    for outcome, bounds in problem.outcome_constraints.items():
        if outcome in models:
            broken += [not bounds.holds(float(v)) for v in models[outcome].predict(known)[0]]
    return np.flatnonzero(broken == broken.min())


def _keeps(model: OutcomeModel, bounds: OutcomeConstraint, x: Array) -> float:
    """Return the probability that an outcome, its noise aside, lies within its bounds at features of shape (1, f)."""
    with torch.no_grad():
        posterior = model.gp.posterior(tensor(x))
    mean, sd = float(posterior.mean), float(posterior.variance.clamp_min(1e-18).sqrt())
    scale = model.data.scale
    low = -math.inf if bounds.at_least is None else float(scale.standardised(float(bounds.at_least)))
    high = math.inf if bounds.at_most is None else float(scale.standardised(float(bounds.at_most)))
    return float(max(norm.cdf((high - mean) / sd) - norm.cdf((low - mean) / sd), 0.0))


def _influence_of(
    problem: Problem, features: FeatureMap, models: Mapping[str, OutcomeModel], outcome: str
) -> dict[str, Any]:
    """Return what experiments contribute to the predicted best of an outcome, or why that is not told, as fields of `ModelTold`.

    The best is looked for among the points tried and rows of the pool, or feasible points, drawn at random; of these
    among those that are predicted to break the fewest bounds.
    """
    if outcome not in problem.objectives:
        return {"no_influence": "it is no objective"}
    model, space = models[outcome], problem.space
    if len(model.data.numbers) > MOST:
        return {"no_influence": f"there are {len(model.data.numbers)} results, and it is computed for at most {MOST}"}
    try:
        drawn = uniform(
            space, _POINTS if space.pool is None else min(_POINTS, len(space.pool)), np.random.default_rng(2)
        )
        points = np.concatenate([model.data.features, features(drawn)])
        return {
            "influence": influence(model, problem.objectives[outcome], points[_least_broken(problem, models, points)])
        }
    except SpaceError as error:
        return {"no_influence": str(error)}
    except torch.linalg.LinAlgError as error:
        return {"no_influence": f"could not be computed: {error}"}


def _model_told(problem: Problem, features: FeatureMap, model: OutcomeModel, choice: Json) -> ModelTold:
    data = model.data
    declared = problem.objectives.get(data.name) or problem.outcome_constraints[data.name]
    slope = float(data.scale.slope(np.array([np.median(data.trusted)]))[0])
    found, missing = None, None
    if data.name not in problem.objectives:
        missing = "it is no objective"
    elif len(data.numbers) < FEWEST:
        missing = f"needs at least {FEWEST} results, there {'is 1' if len(data.numbers) == 1 else 'are 2'}"
    else:

        def predict(codes: Array) -> Array:
            x = features(codes)
            return np.concatenate([model.predict(x[i : i + _CHUNK])[0] for i in range(0, len(x), _CHUNK)])

        def draw(codes: Array) -> Array:
            with torch.no_grad():
                drawn = model.gp.posterior(tensor(features(codes))).rsample(torch.Size([_DRAWS]))
            values: Array = data.scale.natural(drawn[..., 0].numpy())
            return values

        try:
            found = sensitivity(problem.space, predict, draw)
        except SpaceError as error:
            missing = str(error)
    return ModelTold(
        data.name,
        declared.unit,
        choice,
        len(data.numbers),
        tuple(data.doubted),
        math.sqrt(model.noise) / slope,
        data.uncertainties is not None,
        model.lengthscales,
        found,
        missing,
    )
