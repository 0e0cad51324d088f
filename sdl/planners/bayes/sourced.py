"""A proposal where there are several sources: which point, and on which source.

What an experiment on source s at x is worth is the acquisition at x (that of a measurement on the target) times the share of
that value that s would give, divided by what s costs; the largest of all points and sources is proposed. For one objective that
is to be large or small, with μ ± σ the target's prediction, T the best predicted mean among points measured on the target, Δ
the gain μ − T, and σ̃ the standard deviation by which the result of s would move μ, the share is E[(σ̃Z − |Δ|)⁺]/E[(σZ + Δ)⁺]:
what knowing more of x is expected to add to the better of μ and T (the knowledge gradient between the two: Frazier, Powell and
Dayanik, SIAM J. Control Optim. 47, 2410 (2008), eq. 4.10) over what a measurement is expected to add to T. Both are of the form
s(φ(u) + uΦ(u)). A source that no longer agrees with the target has a small σ̃, with which the share falls faster than any power,
so that it is not bought however cheap it is.

Otherwise (a value to be matched, several objectives, or while feasibility is sought) the share is σ̃/σ, the correlation between
the result and the target, averaged over the outcomes in question, as in the augmented expected improvement of Huang, Allen,
Notz and Miller, Struct. Multidiscip. Optim. 32, 369 (2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.acquisition.analytic import _log_ei_helper

from sdl.objective import is_joint
from sdl.planners.base import Json, Proposal
from sdl.planners.bayes.acquisition import DRAWS, FEASIBILITY, Acquisition
from sdl.planners.bayes.choice import choose, last_choice
from sdl.planners.bayes.costs import BEYOND, NOTHING, Price, cost_told, left_of
from sdl.planners.bayes.data import FeatureMap, observe
from sdl.planners.bayes.desirable import predicted as predicted_desirability
from sdl.planners.bayes.failures import SuccessModel
from sdl.planners.bayes.intervals import SHARE, reach
from sdl.planners.bayes.isolation import isolated
from sdl.planners.bayes.models import joint, tensor
from sdl.planners.bayes.search import Search, best_listed
from sdl.planners.bayes.source_models import SourcedModel, fit_sources
from sdl.planners.bayes.sources import initial_of, known_of, of_source, of_target, others_of
from sdl.planners.points import listed_codes, rows_left, to_candidates
from sdl.planners.random_search import used_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.objective import Objective
    from sdl.planners.base import History, Problem
    from sdl.planners.bayes.data import Observed
    from sdl.planners.bayes.models import OutcomeModel
    from sdl.planners.bayes.search import Found

    Array = NDArray[np.float64]

Tensor = Any


class Share:
    """The share of a measurement's value that a result of another source gives, as a factor of an acquisition.

    Args:
        models: outcome → model.
        objectives: name → objective.
        asked: the outcomes that are sought at present: the objectives, or the constrained ones while none is kept.
        source: which.
        tried: features of the points measured on the target, shape (m, f).
    """

    def __init__(
        self,
        models: Mapping[str, OutcomeModel],
        objectives: Mapping[str, Objective],
        asked: tuple[str, ...],
        source: str,
        tried: Array,
    ) -> None:
        self.name = f"times the share that '{source}' tells"
        self._models = models
        self._asked = asked
        self._source = source
        self._sign, self._best = 0.0, 0.0
        goal = objectives.get(asked[0])
        if len(asked) == 1 and goal is not None and goal.value is None and goal.desirability is None:
            self._sign = -1.0 if goal.goal == "minimize" else 1.0
            with torch.no_grad():
                self._best = float((self._sign * models[asked[0]].gp.posterior(tensor(tried)).mean).max())

    def log(self, x: Tensor) -> Tensor:
        """See `Factor`."""
        if self._sign == 0.0:
            return self._correlation(x).log()
        both = _both(self._models[self._asked[0]], x, self._source)
        if both is None:
            return torch.full((len(x),), -torch.inf)
        mean, sd, moved = both
        gain = self._sign * mean - self._best
        told = moved.log() + _log_ei_helper(-gain.abs() / moved)
        return told - sd.log() - _log_ei_helper(gain / sd)

    def log_of_group(self, x: Tensor) -> Tensor:
        """See `Factor`; groups and sources do not go together."""
        raise NotImplementedError

    def _correlation(self, x: Tensor) -> Tensor:
        found = torch.zeros(len(x))
        for outcome in self._asked:
            both = _both(self._models[outcome], x, self._source)
            if both is not None:
                found = found + both[2] / both[1]
        return found / len(self._asked)


def _both(model: OutcomeModel, x: Tensor, source: str) -> tuple[Tensor, Tensor, Tensor] | None:
    return model.both(x, source) if isinstance(model, SourcedModel) else None


@dataclass
class _Round:
    """A round in the making."""

    problem: Problem
    history: History
    known: dict[str, Array]
    notes: list[str]
    sources: list[str] = field(default_factory=list)
    codes: list[Array] = field(default_factory=list)
    described: list[Json] = field(default_factory=list)

    def add(self, source: str, code: Array, description: Json) -> None:
        self.sources.append(source)
        self.codes.append(code)
        self.described.append({"source": source, **description, **cost_told(self.problem, source, code)})
        self.known[source] = np.concatenate([self.known[source], code[None, :]])

    def price(self, features: FeatureMap, source: str, kept: float | None) -> Price | None:
        """Return what candidates cost on a source; `kept` is what must remain for the target, or None for no limit."""
        cost = self.problem.sources[source].cost
        if cost is None:
            return None
        promised = sum(d["cost"]["value"] for d in self.described if "cost" in d)
        limit = None if kept is None else left_of(self.problem, self.history, cost, promised + kept)
        return Price(features, cost, limit)


def propose(problem: Problem, history: History, n: int, seed: int) -> Proposal:
    """See `BayesPlanner.propose`; for problems with several sources."""
    known, notes = known_of(problem, history)
    made = _Round(problem, history, known, notes)
    initial, count = initial_of(problem, history, known, n)
    for source, code in initial:
        made.add(source, code, {"origin": "initial", "acquisition": None, "predicted": None})
    models: dict[str, OutcomeModel] = {}
    choices: dict[str, Json] = {}
    warned: list[str] = []
    if len(made.codes) < n and not initial:
        with isolated(seed) as warned:
            features = FeatureMap(problem.space)
            seen = {s: _observed(problem, history, features, s) for s in problem.sources}
            made.notes.extend(f"{s}: {note}" for s, one in seen.items() for note in one.notes)
            target = seen[problem.target]
            if target.has_objective.any():
                for outcome, data in target.outcomes.items():
                    given = {s: seen[s].outcomes[outcome] for s in others_of(problem) if outcome in seen[s].outcomes}
                    if given:
                        models[outcome], choices[outcome] = fit_sources(
                            data, given, features.groups, _last(history, outcome)
                        )
                    else:
                        last = last_choice(of_target(problem, history), outcome)
                        models[outcome], choices[outcome] = choose(data, features.groups, last)
                _from_models(made, features, seen, models, n, seed)
            else:
                _further(made, n, seed)
    made.notes.extend([*warned, *used_up(len(made.codes), n)])
    codes = np.stack(made.codes) if made.codes else np.empty((0, len(problem.space.names)))
    diagnostics: Json = {
        "planner": "bayes",
        "interval": SHARE,
        "initial": {"count": count, "on_each_of": list(problem.sources)},
        "candidates": made.described,
        "models": {o: _describe(problem, model, choices[o]) for o, model in models.items()},
        "acquisition": {"draws": DRAWS, "unit": "log of the improvement on the model's scale per cost"}
        if models
        else None,
        "fallbacks": made.notes,
    }
    return Proposal(tuple(to_candidates(problem.space, codes)), diagnostics, tuple(made.sources))


def _last(history: History, outcome: str) -> Json | None:
    """Return what the last round with a model said of how an outcome's was chosen."""
    for record in reversed(history.rounds):
        choice = ((record.diagnostics.get("models") or {}).get(outcome) or {}).get("choice")
        if isinstance(choice, dict):
            return choice
    return None


def _observed(problem: Problem, history: History, features: FeatureMap, source: str) -> Observed:
    gives = problem.sources[source].outcomes
    wanted = {k: v for k, v in problem.objectives.items() if k in gives}
    bounds = {k: v for k, v in problem.outcome_constraints.items() if k in gives}
    return observe(features, of_source(problem, history, source), wanted, bounds)


def _further(made: _Round, n: int, seed: int) -> None:
    """Add random points on the target, where it has given no objective yet."""
    from sdl.planners.design import design_points

    problem = made.problem
    told = " and ".join(f"'{name}'" for name in problem.objectives)
    made.notes.append(f"no experiment on '{problem.target}' has given {told} yet: further points are drawn at random")
    for code in design_points(problem.space, "random", seed, 0, n - len(made.codes), made.known[problem.target]):
        made.add(
            problem.target, code, {"origin": "initial, for want of results", "acquisition": None, "predicted": None}
        )


def _from_models(
    made: _Round, features: FeatureMap, seen: dict[str, Observed], models: dict[str, OutcomeModel], n: int, seed: int
) -> None:
    """Add candidates up to n, each chosen with those before it under way."""
    problem = made.problem
    made.notes.extend(note for model in models.values() for note in model.notes)
    target = seen[problem.target]
    tried = features(np.unique(target.results[target.has_objective], axis=0))
    listed = listed_codes(problem.space)
    freedom = len(problem.space.names)
    success = {
        s: SuccessModel(features(one.results), features(one.failed), freedom) if len(one.failed) else None
        for s, one in seen.items()
    }
    anchors = _anchors(problem, target, models, features)
    order = [problem.target, *others_of(problem)]
    limited = problem.cost_limit is not None
    while len(made.codes) < n:
        under_way = [*(code for one in seen.values() for code in one.pending), *made.codes]
        pending = features(np.array(under_way)) if under_way else np.empty((0, tried.shape[1]))
        best: tuple[Found, str, Acquisition] | None = None
        values: dict[str, float | None] = {}
        kept = 0.0 if limited else None
        for source in order if limited or problem.cost_limit is None else order[:1]:
            price = made.price(features, source, kept)
            acquisition = Acquisition(
                models,
                problem.objectives,
                problem.outcome_constraints,
                tried,
                pending,
                seed,
                success[source],
                len(made.codes),
                () if price is None else (price,),
            )
            if source != problem.target:
                asked = tuple(problem.outcome_constraints if acquisition.name == FEASIBILITY else problem.objectives)
                share = Share(models, problem.objectives, tuple(o for o in asked if o in models), source, tried)
                acquisition.factors = (share, *acquisition.factors)
            if listed is not None:
                found = best_listed(acquisition, listed[rows_left(listed, made.known[source])], features)
            else:
                found = Search(features, anchors, made.known[source], seed).best(acquisition, made.known[source][:0])
            values[source] = None if found is None else _finite(found.value)
            if found is not None and (best is None or found.value > best[0].value):
                best = (found, source, acquisition)
            if source == problem.target and kept is not None:
                if found is None or found.value < NOTHING:
                    break  # what other sources would tell is of no use any more
                kept = 0.0 if price is None else price.at(found.code)
        if best is None:
            return
        found, source, acquisition = best
        if limited and found.value < NOTHING:
            made.notes.append(BEYOND)
            limited = False
            continue
        made.add(source, found.code, {**_described(made, best, models, features), "compared": values})


def _anchors(problem: Problem, target: Observed, models: dict[str, OutcomeModel], features: FeatureMap) -> Array:
    """Return the target's experiments with results, best predicted first, by the joint desirability or the first objective.

    Returns:
        codes, shape (k, d).
    """
    if is_joint(problem.objectives):
        x = features(target.results)
        merit = predicted_desirability(models, problem.objectives, joint(list(models.values())), x)[0]
        return target.results[np.argsort(-merit, kind="stable")]
    name, goal = next(iter(problem.objectives.items()))
    merit = np.array([goal.merit(float(v)) for v in models[name].predict(features(target.results))[0]])
    return target.results[np.argsort(-merit, kind="stable")]


def _described(
    made: _Round, best: tuple[Found, str, Acquisition], models: dict[str, OutcomeModel], features: FeatureMap
) -> Json:
    found, source, acquisition = best
    problem = made.problem
    x = features(found.code[None, :])
    predicted: Json = {}
    on_target: Json = {}
    mine = of_source(problem, made.history, source)
    for outcome, model in models.items():
        mean, sd = (_finite(float(v[0])) for v in model.predict(x))
        on_target[outcome] = {"mean": mean, "sd": sd}
        if outcome not in problem.sources[source].outcomes:
            continue
        told = reach(mine, outcome)
        if isinstance(model, SourcedModel) and model.index(source) is not None:
            centre, spread, low, high = model.predict_on(source, x, told)
        elif source == problem.target:
            lows, highs = model.interval(x, told)
            centre, spread, low, high = mean or 0.0, sd or 0.0, float(lows[0]), float(highs[0])
        else:
            continue  # nothing of it is known from this source yet
        predicted[outcome] = {
            "mean": _finite(centre),
            "sd": _finite(spread),
            "interval": [_finite(low), _finite(high)],
            "reach": told,
        }
    described: Json = {
        "origin": "model",
        "found": found.how,
        "acquisition": _finite(found.value),
        "acquisition_function": ", ".join([acquisition.name, *(factor.name for factor in acquisition.factors)]),
        "predicted": predicted,
    }
    if source != problem.target:
        described["predicted_on_target"] = on_target
    if acquisition.success is not None:
        described["probability_of_success"] = math.exp(float(acquisition.success.log_probability(tensor(x))[0]))
    return described


def _describe(problem: Problem, model: OutcomeModel, choice: Json) -> Json:
    """Return a model's hyperparameters as JSON."""
    declared = problem.objectives.get(model.data.name) or problem.outcome_constraints[model.data.name]
    told: Json = {
        "kind": f"Gaussian process, {model.kernel}, maximum a posteriori",
        "choice": choice,
        "observations": len(model.data.numbers),
        "doubted": model.data.doubted,
        "unit": declared.unit,
        "noise_sd": _finite(math.sqrt(model.noise)),
        "lengthscales": model.lengthscales,
    }
    return {**told, "sources": model.told()} if isinstance(model, SourcedModel) else told


def _finite(value: float) -> float | None:
    """Return a number as it is, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None
