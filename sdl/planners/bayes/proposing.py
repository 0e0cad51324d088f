"""One proposal of planner `bayes`, from the history to candidates and diagnostics."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import PlannerError
from sdl.planners.base import Json, Proposal
from sdl.planners.bayes.acquisition import DRAWS, Acquisition
from sdl.planners.bayes.choice import choose, last_choice
from sdl.planners.bayes.data import FeatureMap, Observed, observe
from sdl.planners.bayes.failures import SuccessModel
from sdl.planners.bayes.intervals import SHARE, reach
from sdl.planners.bayes.isolation import isolated
from sdl.planners.bayes.models import OutcomeModel, tensor
from sdl.planners.bayes.search import Found, Search, best_listed
from sdl.planners.bayes.settings import BayesSettings, default_count
from sdl.planners.design import design_points
from sdl.planners.points import known_codes, listed_codes, rows_left, to_candidates
from sdl.planners.random_search import used_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.planners.base import History, Problem

    Array = NDArray[np.float64]


_KERNELS = {"rbf": "RBF", "matern52": "Matérn 5/2"}
_BENDS = {"plain": "results as they are", "power": "results on a power scale", "log": "results on a logarithmic scale"}


@dataclass
class _Draft:
    """A proposal in the making: codes, a description of each, and lines on what was not done the usual way."""

    codes: list[Array] = field(default_factory=list)
    described: list[Json] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, code: Array, description: Json) -> None:
        self.codes.append(code)
        self.described.append(description)

    def taken(self, known: Array) -> Array:
        """Return known codes, shape (k, d), and those added so far."""
        return np.concatenate([known, np.stack(self.codes)]) if self.codes else known


def propose(problem: Problem, history: History, n: int, seed: int) -> Proposal:
    """See `BayesPlanner.propose`."""
    settings = problem.settings
    if not isinstance(settings, BayesSettings):
        raise PlannerError(f"planner 'bayes' needs BayesSettings, got {type(settings).__name__}")
    known, notes = known_codes(problem.space, history)
    draft = _Draft(notes=notes)
    count = settings.initial.count or default_count(problem)
    used = len(history.trials)
    _from_design(draft, problem, known, used, min(n, max(0, count - used)), "initial")
    models: dict[str, OutcomeModel] = {}
    choices: dict[str, Json] = {}
    warned: list[str] = []
    wanted = n - len(draft.codes)
    if wanted > 0 and used + len(draft.codes) >= count:
        with isolated(seed) as warned:
            features = FeatureMap(problem.space)
            seen = observe(features, history, problem.objectives, problem.outcome_constraints)
            draft.notes.extend(seen.notes)
            if seen.has_objective.any():
                for outcome, data in seen.outcomes.items():
                    models[outcome], choices[outcome] = choose(data, features.groups, last_choice(history, outcome))
                _from_models(draft, problem, history, features, seen, models, known, wanted, seed)
            else:
                told = " and ".join(f"'{name}'" for name in problem.objectives)
                draft.notes.append(
                    f"no experiment has given {told} yet: {wanted} further point(s) of the initial design"
                )
                _from_design(draft, problem, known, used + len(draft.codes), wanted, "initial, for want of results")
    draft.notes.extend(warned)
    draft.notes.extend(used_up(len(draft.codes), n))
    codes = np.stack(draft.codes) if draft.codes else np.empty((0, len(problem.space.names)))
    return Proposal(
        tuple(to_candidates(problem.space, codes)),
        {
            "planner": "bayes",
            "interval": SHARE,
            "initial": {"type": settings.initial.type, "count": count, "stated": settings.initial.count is not None},
            "candidates": draft.described,
            "models": {o: _describe(problem, model, choices[o]) for o, model in models.items()},
            "acquisition": {
                "draws": DRAWS,
                "unit": "log of a probability, or of the improvement of the objectives on their models' scales",
            }
            if models
            else None,
            "fallbacks": draft.notes,
        },
    )


def _from_design(draft: _Draft, problem: Problem, known: Array, start: int, n: int, origin: str) -> None:
    """Add the next n points of the initial design, which belongs to the campaign's seed."""
    if n <= 0:
        return
    settings = problem.settings
    kind = settings.initial.type if isinstance(settings, BayesSettings) else "sobol"
    for i, code in enumerate(design_points(problem.space, kind, problem.seed, start, n, draft.taken(known))):
        draft.add(code, {"origin": origin, "index": start + i, "acquisition": None, "predicted": None})


def _from_models(
    draft: _Draft,
    problem: Problem,
    history: History,
    features: FeatureMap,
    seen: Observed,
    models: dict[str, OutcomeModel],
    known: Array,
    wanted: int,
    seed: int,
) -> None:
    """Add up to `wanted` candidates, each chosen with those before it under way."""
    space = problem.space
    missing = [c for c in problem.outcome_constraints if c not in models]
    draft.notes.extend(f"no experiment has given '{c}' yet: its bounds do not enter the acquisition" for c in missing)
    draft.notes.extend(note for model in models.values() for note in model.notes)
    listed = listed_codes(space)
    search: Search | None = None
    if listed is None:
        search = Search(features, _anchors(problem, seen, models, features), known, seed)
    success = None
    if len(seen.failed):
        success = SuccessModel(features(seen.results), features(seen.failed), len(space.names))
    tried = features(_distinct(seen.results[seen.has_objective]))
    under_way = [*seen.pending]
    reaches = {outcome: reach(history, outcome) for outcome in models}
    for i in range(wanted):
        pending = features(np.array(under_way)) if under_way else np.empty((0, tried.shape[1]))
        acquisition = Acquisition(
            models, problem.objectives, problem.outcome_constraints, tried, pending, seed, success, order=i
        )
        taken = draft.taken(known)
        if search is None and listed is not None:
            found = best_listed(acquisition, listed[rows_left(listed, taken)], features)
        elif search is not None:
            found = search.best(acquisition, np.array(draft.codes).reshape(-1, len(space.names)))
            found = found if found is not None else _any_new(problem, taken, seed, acquisition, features)
        if found is None:
            return
        draft.add(found.code, _described(found, acquisition, models, features, reaches))
        under_way.append(found.code)


def _any_new(problem: Problem, taken: Array, seed: int, acquisition: Acquisition, features: FeatureMap) -> Found | None:
    """Return a random point that is new, for spaces so small that the search met only known ones."""
    codes = design_points(problem.space, "random", seed, 0, 1, taken)
    if not len(codes):
        return None
    return Found(codes[0], float(acquisition.score(features(codes))[0]), "random: the search met only known points")


def _distinct(codes: Array) -> Array:
    """Return the distinct rows of codes, shape (n, d), in the order in which they first stand."""
    _, first = np.unique(codes, axis=0, return_index=True)
    rows: Array = codes[np.sort(first)]
    return rows


def _anchors(
    problem: Problem,
    seen: Observed,
    models: dict[str, OutcomeModel],
    features: FeatureMap,
) -> Array:
    """Return the experiments with results, best predicted first, likely feasible ones before others; shape (k, d).

    With several objectives those come first that the fewest others beat in all of them.
    """
    x = features(seen.results)
    merits = np.array(
        [[goal.merit(float(v)) for v in models[name].predict(x)[0]] for name, goal in problem.objectives.items()]
    )
    beaten = (merits[:, None, :] > merits[:, :, None]).all(axis=0).sum(axis=1)
    broken = np.zeros(len(x))
    for outcome, bounds in problem.outcome_constraints.items():
        if outcome in models:
            predicted = models[outcome].predict(x)[0]
            broken += np.array([0.0 if bounds.holds(float(v)) else 1.0 for v in predicted])
    return seen.results[np.lexsort((-merits[0], beaten, broken))]


def _described(
    found: Found,
    acquisition: Acquisition,
    models: dict[str, OutcomeModel],
    features: FeatureMap,
    reaches: dict[str, float],
) -> Json:
    x = features(found.code[None, :])
    predicted: Json = {}
    for outcome, model in models.items():
        mean, sd = model.predict(x)
        low, high = model.interval(x, reaches[outcome])
        predicted[outcome] = {
            "mean": _finite(float(mean[0])),
            "sd": _finite(float(sd[0])),
            "interval": [_finite(float(low[0])), _finite(float(high[0]))],
            "reach": reaches[outcome],
        }
    described: Json = {
        "origin": "model",
        "found": found.how,
        "acquisition": _finite(found.value),
        "acquisition_function": acquisition.name,
        "predicted": predicted,
    }
    if acquisition.any_feasible is not None:
        described["draws_with_a_feasible_point"] = acquisition.any_feasible
    if acquisition.reference is not None:
        described["reference"] = {name: _finite(value) for name, value in acquisition.reference.items()}
    if acquisition.weights is not None:
        described["weights"] = acquisition.weights
    if acquisition.success is not None:
        described["probability_of_success"] = math.exp(float(acquisition.success.log_probability(tensor(x))[0]))
    return described


def _describe(problem: Problem, model: OutcomeModel, choice: Json) -> Json:
    """Return a model's hyperparameters as JSON; length scales in features, noise and signal on the model's scale."""
    data = model.data
    declared = problem.objectives.get(data.name) or problem.outcome_constraints.get(data.name)
    scale = data.scale
    return {
        "kind": f"Gaussian process, {_KERNELS[model.kernel]} kernel, {_BENDS[scale.bend]}, maximum a posteriori",
        "choice": choice,
        "observations": len(data.numbers),
        "doubted": data.doubted,
        "unit": declared.unit if declared is not None else None,
        "scale": {k: _finite(v) if isinstance(v, float) else v for k, v in asdict(scale).items()},
        "mean": _finite(float(scale.natural(np.array(model.constant)))),
        "noise_sd": _finite(math.sqrt(model.noise)),
        "uncertainties": "stated, and further noise inferred" if data.uncertainties is not None else "noise inferred",
        "lengthscales": model.lengthscales,
    }


def _finite(value: float) -> float | None:
    """Return a number as it is, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None
