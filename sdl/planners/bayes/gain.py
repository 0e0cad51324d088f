"""How probable it is that more than a given improvement is still to be gained.

The best experiment so far is the one that is predicted to be best. In each joint draw from the posterior the gain is what the
best of all candidates has more than that experiment; the probability is the share of draws in which it exceeds the threshold
(probabilistic regret bounds: Wilson, "Stopping Bayesian Optimization with Probabilistic Regret Bounds", NeurIPS 2024, who
stops where the probability is low that the regret of a point exceeds a threshold; Makarova et al., AutoML 2022, stop by bounds of
the same regret).

The candidates are the rows of the pool, or points of the space: spread over it, around the best experiments, and around the
places where draws have their maximum. Of many those are drawn together that are most likely to be better alone, and some others.
Draws come from models with several hyperparameters, by how plausible they are (see `plausible`), and are as much wider than
the posterior as intervals told before a measurement had to become, since the first one, so that they held. A candidate that may
fail is counted in the share of draws in which it succeeds, neighbours in the same ones.

Where the model predicts results that were left out no better than the mean of the others does, it knows too little to say that
nothing is to be gained, and no probability is stated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from scipy.stats import norm

from sdl.planners.base import History
from sdl.planners.bayes.choice import FEWEST
from sdl.planners.bayes.geometry import Region
from sdl.planners.bayes.intervals import reach
from sdl.planners.bayes.models import OutcomeModel, tensor
from sdl.planners.bayes.plausible import plausible
from sdl.planners.points import listed_codes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.objective import Objective
    from sdl.planners.base import Json, Problem
    from sdl.planners.bayes.data import FeatureMap
    from sdl.planners.bayes.failures import SuccessModel

    Array = NDArray[np.float64]

_DRAWS = 1024
"""Joint draws: the standard error of a probability of 0.05 is then 0.007. Chosen."""
_FIRST_DRAWS = 256
"""Draws that show where the maximum may lie. Chosen."""
_SAMPLES = 2048
"""Points spread over a space without a pool. Chosen."""
_LOOKED_AT = 1 << 16
"""Rows of a larger pool that are looked at, drawn at random. Chosen."""
_TOGETHER, _OTHERS = 288, 96
"""So many of the candidates most likely to be better, and of the others, are drawn together. Chosen."""
_MODELS = 8
"""So often hyperparameters are drawn; draws are shared among them. Chosen."""
_AROUND, _COPIES = 16, 8
"""So many places where draws have their maximum are looked at more closely, by so many points each. Chosen."""
_INCUMBENTS = 5
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Judged:
    """What the gain is judged by.

    Attributes:
        problem: what is asked; one objective, and the threshold is stated.
        features: of the space.
        models: outcome → model; every constrained outcome has one.
        success: the probability that an experiment does not fail, or None.
        reaches: outcome → standard deviations that intervals reach to either side.
    """

    problem: Problem
    features: FeatureMap
    models: Mapping[str, OutcomeModel]
    success: SuccessModel | None
    reaches: Mapping[str, float]

    @property
    def objective(self) -> tuple[str, Objective]:
        """Its name and what is wanted of it."""
        return next(iter(self.problem.objectives.items()))

    def merit(self, natural: Array) -> Array:
        """Return merits of values in the objective's unit, any shape."""
        goal = self.objective[1]
        if goal.value is not None:
            return -np.abs(natural - float(goal.value))
        return natural if goal.goal == "maximize" else -natural

    def widening(self, outcome: str) -> float:
        """Return by what factor draws of an outcome are wider than its posterior: as far as intervals grew; at least 1."""
        return max(1.0, self.reaches.get(outcome, 0.0) / reach(History(), outcome))

    def best(self) -> tuple[int, Array]:
        """Return the number of the experiment that is predicted to be best, and its features, shape (f,).

        Among those that are predicted to break the fewest bounds.
        """
        name = self.objective[0]
        data = self.models[name].data
        merit = self.merit(self.models[name].predict(data.features)[0])
        broken = np.zeros(len(merit))
        for outcome, bounds in self.problem.outcome_constraints.items():
            broken += [not bounds.holds(float(v)) for v in self.models[outcome].predict(data.features)[0]]
        at = int(np.lexsort((-merit, broken))[0])
        return data.numbers[at], data.features[at]


def still_to_be_gained(judged: Judged, near: Array, seed: int) -> Json:
    """Return what the diagnostics say: the probability with its standard error, or why it cannot be told.

    Args:
        judged: models and threshold.
        near: codes to be looked at in any case, such as the candidates just proposed and the best experiments, shape (k, d).
        seed: of the draws.

    Raises:
        SpaceError: no feasible point was found.
    """
    more_than = judged.problem.gain
    assert more_than is not None
    unit = judged.objective[1].unit
    said: Json = {"more_than": more_than, "unit": unit, "probability": None}
    if (missing := _missing(judged)) is not None:
        return {**said, "missing": missing}
    number, best = judged.best()
    said["best_experiment"] = number
    codes, of = _candidates(judged, near, seed)
    chances = _alone(judged, codes, best, more_than)
    order = np.argsort(-chances, kind="stable")
    others = np.random.default_rng([seed, 14]).permutation(order[_TOGETHER:])[:_OTHERS]
    kept = np.sort(np.concatenate([order[:_TOGETHER], others]))
    left_out = float(min(1.0, np.delete(chances, kept).sum()))
    chosen = codes[kept]
    if judged.problem.space.pool is None:
        chosen = _closer(judged, chosen, best, seed)
    gains, is_kept = _gains(judged, chosen, best, seed)
    if is_kept < 0.5:
        return {**said, "missing": "no experiment is more likely than not to keep all bounds"}
    more = int((gains > more_than).sum())
    smoothed = (more + 1) / (len(gains) + 2)
    finite = gains[np.isfinite(gains)]
    return {
        **said,
        "probability": more / len(gains),
        "standard_error": math.sqrt(smoothed * (1.0 - smoothed) / len(gains)),
        "expected": float(finite.mean()) if len(finite) and math.isfinite(finite.mean()) else None,
        "draws": len(gains),
        "candidates": len(chosen),
        "looked_at": len(codes),
        "of": of,
        "left_out_at_most_about": left_out,
        "widened": judged.widening(judged.objective[0]),
    }


def _missing(judged: Judged) -> str | None:
    name = judged.objective[0]
    if name not in judged.models:
        return f"no experiment has given '{name}' yet"
    for outcome in judged.problem.outcome_constraints:
        if outcome not in judged.models:
            return f"no experiment has given '{outcome}' yet, which has bounds"
    if len(judged.models[name].data.numbers) < FEWEST:
        return f"there are fewer than {FEWEST} results"
    if skill(judged.models[name]) <= 0:
        return f"the model of '{name}' predicts results that were left out no better than the mean of the others does"
    return None


def skill(model: OutcomeModel) -> float:
    """Return the share of the squared error of the mean of all others that the model saves where results are left out.

    1 where it predicts each of them exactly, 0 and below where it is of no use; results that are doubted do not count.
    """
    data = model.data
    trusted = np.ones(len(data.values), dtype=bool) if data.excess is None else data.excess == 0
    values = data.standardised[trusted]
    if len(values) < 2:
        return 0.0
    mean, _ = model.left_out_on_scale()
    by_mean = (values - values.mean()) * len(values) / (len(values) - 1)
    whole = float((by_mean**2).sum())
    return 0.0 if whole <= 0 else 1.0 - float(((values - mean[trusted]) ** 2).sum()) / whole


def _candidates(judged: Judged, near: Array, seed: int) -> tuple[Array, int | None]:
    """Return codes that are looked at, shape (n, d), and how many rows the pool has, or None without one."""
    space = judged.problem.space
    rng = np.random.default_rng([seed, 11])
    listed = listed_codes(space)
    if listed is not None:
        if len(listed) <= _LOOKED_AT:
            return listed, len(listed)
        rows = np.sort(rng.choice(len(listed), size=_LOOKED_AT, replace=False))
        return np.unique(np.concatenate([near, listed[rows]]), axis=0), len(listed)
    region = Region(space)
    parts = [near, region.sample(_SAMPLES, seed)]
    if len(near):
        parts.append(region.perturbed(near[: 2 * _INCUMBENTS], _COPIES * _COPIES, rng))
    return np.concatenate(parts), None


def _alone(judged: Judged, codes: Array, best: Array, more_than: float) -> Array:
    """Return the probability that each candidate alone is better than the best experiment by more than the threshold.

    Shape (n,); on a bent scale the threshold is that at the best experiment's predicted value.
    """
    name = judged.objective[0]
    x = judged.features(codes)
    chances = np.ones(len(x))
    model = judged.models[name]
    middle = float(model.data.scale.natural(np.array(_pairs(model, best[None, :], best)[0][0])))
    worth = judged.merit(np.array([middle]))[0] + more_than
    mean, own, other, shared = _pairs(model, x, best)
    spread = judged.widening(name) * np.sqrt(np.maximum(own + other - 2.0 * shared, 1e-18))
    low, high = _where_better(judged, worth)
    here = float(model.data.scale.standardised(middle))
    # what the best experiment itself may be is counted in the spread
    low, high = low - here, high - here
    difference = mean - here
    chances *= np.maximum(norm.cdf((high - difference) / spread) - norm.cdf((low - difference) / spread), 0.0)
    for outcome, bounds in judged.problem.outcome_constraints.items():
        other_model = judged.models[outcome]
        mean, own, _, _ = _pairs(other_model, x, best)
        sd = judged.widening(outcome) * np.sqrt(own)
        scale = other_model.data.scale
        floor = -math.inf if bounds.at_least is None else float(scale.standardised(float(bounds.at_least)))
        ceiling = math.inf if bounds.at_most is None else float(scale.standardised(float(bounds.at_most)))
        chances *= np.maximum(norm.cdf((ceiling - mean) / sd) - norm.cdf((floor - mean) / sd), 0.0)
    return chances * _succeeding(judged, x)


def _where_better(judged: Judged, merit: float) -> tuple[float, float]:
    """Return the ends, on the model's scale, of the values that have more than a merit."""
    name, goal = judged.objective
    scale = judged.models[name].data.scale
    if goal.value is not None:
        distance = -merit
        if distance <= 0:
            return math.inf, math.inf
        value = float(goal.value)
        return float(scale.standardised(value - distance)), float(scale.standardised(value + distance))
    if goal.goal == "maximize":
        return float(scale.standardised(merit)), math.inf
    return -math.inf, float(scale.standardised(-merit))


def _succeeding(judged: Judged, x: Array) -> Array:
    if judged.success is None:
        return np.ones(len(x))
    with torch.no_grad():
        parts = [judged.success.log_probability(tensor(x[i : i + _CHUNK])) for i in range(0, len(x), _CHUNK)]
    found: Array = torch.cat(parts).exp().numpy()
    return found


def _pairs(model: OutcomeModel, x: Array, best: Array) -> tuple[Array, Array, Array, Array]:
    """Return means and variances at features, shape (n, f), the variance at the best one, and the covariances; (n,) each."""
    means, own, other, shared = [], [], [], []
    with torch.no_grad():
        for i in range(0, len(x), _CHUNK):
            part = x[i : i + _CHUNK]
            both = np.stack([part, np.broadcast_to(best, part.shape)], axis=1)
            found = model.gp.posterior(tensor(both)).distribution
            covariance = found.covariance_matrix
            means.append(found.mean[:, 0])
            own.append(covariance[:, 0, 0])
            other.append(covariance[:, 1, 1])
            shared.append(covariance[:, 0, 1])
    return tuple(torch.cat(column).numpy() for column in (means, own, other, shared))


def _closer(judged: Judged, chosen: Array, best: Array, seed: int) -> Array:
    """Return chosen codes, shape (n, d), and more around those at which draws have their maximum."""
    fitted = {name: model.gp for name, model in judged.models.items()}
    merits, allowed, _ = _drawn(judged, fitted, chosen, best, _FIRST_DRAWS, seed)
    # without the last column, the best experiment itself, around which there are points already
    at, times = np.unique(np.where(allowed, merits, -np.inf)[:, :-1].argmax(axis=1), return_counts=True)
    leading = at[np.argsort(-times, kind="stable")[:_AROUND]]
    rng = np.random.default_rng([seed, 12])
    return np.concatenate([chosen, Region(judged.problem.space).perturbed(chosen[leading], _COPIES, rng)])


def _gains(judged: Judged, codes: Array, best: Array, seed: int) -> tuple[Array, float]:
    """Return the gain of each draw, shape (draws,), in the objective's unit, and how often the best experiment keeps its bounds.

    0 where no candidate is better; infinite where the best experiment breaks a bound and a candidate does not.
    """
    needed = [judged.objective[0], *(c for c in judged.problem.outcome_constraints if c != judged.objective[0])]
    sets = {name: plausible(judged.models[name], _MODELS, seed + i) for i, name in enumerate(needed)}
    gains, is_kept = [], []
    for k in range(_MODELS):
        one = {name: models[k] for name, models in sets.items()}
        merits, allowed, kept = _drawn(judged, one, codes, best, _DRAWS // _MODELS, seed + 1000 * (k + 1))
        # the last column is the best experiment itself
        top = np.where(allowed[:, :-1], merits[:, :-1], -np.inf).max(axis=1)
        broken = np.where(np.isfinite(top), np.inf, 0.0)
        gains.append(np.where(kept, np.maximum(top - merits[:, -1], 0.0), broken))
        is_kept.append(kept)
    return np.concatenate(gains), float(np.concatenate(is_kept).mean())


def _drawn(
    judged: Judged, models: Mapping[str, Any], codes: Array, best: Array, draws: int, seed: int
) -> tuple[Array, Any, Any]:
    """Return merits in joint draws at codes and at the best experiment, shape (draws, n + 1), what is allowed, and what is kept.

    Allowed, shape (draws, n + 1), is what keeps all bounds and succeeds; kept, shape (draws,), is whether the best
    experiment keeps all bounds.
    """
    x = np.concatenate([judged.features(codes), best[None, :]])
    name = judged.objective[0]
    natural = _joint(judged, name, models[name], x, draws, seed)
    allowed = np.ones(natural.shape, dtype=bool)
    for k, (outcome, bounds) in enumerate(judged.problem.outcome_constraints.items()):
        values = natural if outcome == name else _joint(judged, outcome, models[outcome], x, draws, seed + 1 + k)
        if bounds.at_least is not None:
            allowed &= values >= float(bounds.at_least)
        if bounds.at_most is not None:
            allowed &= values <= float(bounds.at_most)
    kept = allowed[:, -1].copy()
    if judged.success is not None:
        luck = (np.random.default_rng([seed, 13]).permutation(draws) + 0.5) / draws
        allowed &= luck[:, None] < _succeeding(judged, x)[None, :]
    merits = judged.merit(natural)
    return np.where(np.isnan(merits), -np.inf, merits), allowed, kept  # a bent scale may give NaN far out


def _joint(judged: Judged, outcome: str, gp: Any, x: Array, draws: int, seed: int) -> Array:  # noqa: ANN401  BoTorch's model
    """Return joint draws of an outcome without noise at features, shape (n, f), in its unit; shape (draws, n)."""
    with torch.no_grad():
        found = gp.posterior(tensor(x)).distribution
        # by its eigenvectors, as a Cholesky decomposition of so many close points needs jitter, which would look like gain
        values, vectors = torch.linalg.eigh(found.covariance_matrix)
        root = vectors * values.clamp_min(0.0).sqrt()
        normal = draw_sobol_normal_samples(len(x), draws, dtype=torch.float64, seed=seed % (1 << 31))
        standard = found.mean + judged.widening(outcome) * (normal @ root.T)
    natural: Array = judged.models[outcome].data.scale.natural(standard.numpy())
    return natural
