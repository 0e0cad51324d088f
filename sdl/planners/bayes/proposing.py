"""One proposal of planner `bayes`, from the history to candidates and diagnostics."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import PlannerError
from sdl.objective import DESIRABILITY, is_joint
from sdl.planners.base import Json, Proposal
from sdl.planners.bayes import sourced
from sdl.planners.bayes.acquisition import DRAWS, Acquisition
from sdl.planners.bayes.costs import BEYOND, NOTHING, cost_told, factors_of
from sdl.planners.bayes.data import FeatureMap, Observed, observe
from sdl.planners.bayes.desirable import predicted as predicted_desirability
from sdl.planners.bayes.diversity import diversity_of
from sdl.planners.bayes.explaining import told_of
from sdl.planners.bayes.failures import SuccessModel
from sdl.planners.bayes.gain import Judged, still_to_be_gained
from sdl.planners.bayes.grouping import Listed, Open, choose_group
from sdl.planners.bayes.intervals import SHARE, reach
from sdl.planners.bayes.isolation import isolated
from sdl.planners.bayes.models import OutcomeModel, joint, tensor
from sdl.planners.bayes.replicates import instead
from sdl.planners.bayes.robust import Averaged, Tolerances
from sdl.planners.bayes.scatter import scatter_told
from sdl.planners.bayes.search import Found, Search, best_listed
from sdl.planners.bayes.settings import BayesSettings, default_count
from sdl.planners.bayes.weighing import modelled
from sdl.planners.design import design_points
from sdl.planners.grouping import design_in_groups, settings_of, whole_groups
from sdl.planners.points import known_codes, listed_codes, rows_left, to_candidates
from sdl.planners.random_search import used_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sdl.planners.base import History, Problem

    Array = NDArray[np.float64]


_KERNELS = {"rbf": "RBF", "matern52": "Matérn 5/2", "sparse": "sparse Matérn 5/2"}
_BENDS = {"plain": "results as they are", "power": "results on a power scale", "log": "results on a logarithmic scale"}


@dataclass
class _Draft:
    """A proposal in the making: codes, a description of each, and lines on what was not done the usual way."""

    codes: list[Array] = field(default_factory=list)
    described: list[Json] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    gain: Json | None = None
    groups: list[Json] = field(default_factory=list)
    robust: Json | None = None

    def add(self, code: Array, description: Json) -> None:
        self.codes.append(code)
        self.described.append(description)

    def group(self, problem: Problem, codes: Sequence[Array], told: Json | None = None) -> Json:
        """Note a group that is about to be added; return what the description of each of its members says of it."""
        if problem.group is None or not len(codes):
            return {}
        space = problem.space
        told = told or {"settings": settings_of(space, problem.group, codes[0]), "members": len(codes)}
        self.groups.append({**told, "diversity": diversity_of(FeatureMap(space), np.stack(codes))})
        return {"group": len(self.groups)}

    def taken(self, known: Array) -> Array:
        """Return known codes, shape (k, d), and those added so far."""
        return np.concatenate([known, np.stack(self.codes)]) if self.codes else known


def propose(problem: Problem, history: History, n: int, seed: int) -> Proposal:
    """See `BayesPlanner.propose`."""
    settings = problem.settings
    if not isinstance(settings, BayesSettings):
        raise PlannerError(f"planner 'bayes' needs BayesSettings, got {type(settings).__name__}")
    if len(problem.sources) > 1:
        return sourced.propose(problem, history, n, seed)
    known, notes = known_codes(problem.space, history)
    draft = _Draft(notes=notes)
    count = settings.initial.count or default_count(problem)
    used = len(history.trials)
    count = whole_groups(problem.group, count)
    _from_design(draft, problem, known, used, min(n, whole_groups(problem.group, count - used)), "initial")
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
                    models[outcome], choices[outcome] = modelled(problem, history, features, data)
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
            **_gain_told(problem, draft),
            **_batch_told(problem, draft),
        },
    )


def _gain_told(problem: Problem, draft: _Draft) -> Json:
    """Return what is said of what is still to be gained; nothing where it was not asked."""
    if problem.gain is None:
        return {}
    goal = next(iter(problem.objectives.values()))
    none = {"more_than": problem.gain, "unit": goal.unit, "probability": None, "missing": "no model was asked yet"}
    return {"gain": none if draft.gain is None else draft.gain}


def _batch_told(problem: Problem, draft: _Draft) -> Json:
    """Return what is said of all candidates: how different they are, which share settings, what is best within tolerances."""
    told: Json = {}
    if draft.codes:
        told["diversity"] = diversity_of(FeatureMap(problem.space), np.stack(draft.codes))
    if (group := problem.group) is not None:
        told["group"] = {"shared": list(group.shared), "capacity": group.capacity, "groups": draft.groups}
    if problem.tolerances:
        told["robust"] = draft.robust
    return told


def _from_design(draft: _Draft, problem: Problem, known: Array, start: int, n: int, origin: str) -> None:
    """Add the next n points of the initial design, which belongs to the campaign's seed."""
    if n <= 0:
        return
    settings = problem.settings
    kind = settings.initial.type if isinstance(settings, BayesSettings) else "sobol"
    index = start
    for codes in design_in_groups(problem, kind, start, n, draft.taken(known)):
        shared = draft.group(problem, list(codes))
        for code in codes:
            draft.add(code, {"origin": origin, "index": index, "acquisition": None, "predicted": None, **shared})
            index += 1


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
    tolerances = Tolerances(features, problem.tolerances) if problem.tolerances else None
    anchors = _anchors(problem, seen, models, features, tolerances)
    if tolerances is not None:
        draft.robust = tolerances.told(problem, models, seen.results)
    search: Search | None = None
    if listed is None:
        search = Search(features, anchors, known, seed)
    success = None
    if len(seen.failed):
        success = SuccessModel(features(seen.results), features(seen.failed), len(space.names))
    results = _distinct(seen.results[seen.has_objective])
    tried = features(results)
    first = len(draft.codes)
    limited = problem.cost_limit is not None

    def acquire(extra: Sequence[Array] = ()) -> Acquisition:
        """Return what is wanted next, with further codes, shape (d,) each, under way."""
        under_way = np.array([*seen.pending, *draft.codes, *extra]).reshape(-1, len(space.names))
        pending = features(under_way[rows_left(under_way, results)])  # a repeat has the outcome of what it repeats
        order = len(draft.codes) - first + len(extra)
        factors = factors_of(problem, history, features, [*draft.codes, *extra], limited=limited)
        return Acquisition(
            models,
            problem.objectives,
            problem.outcome_constraints,
            tried,
            pending,
            seed,
            success,
            order,
            factors,
            tolerances,
        )

    reaches = {outcome: reach(history, outcome) for outcome in models}
    while len(draft.codes) < first + wanted:
        taken = draft.taken(known)
        if problem.group is not None:
            ground = (
                Listed(features, problem.group, listed[rows_left(listed, taken)])
                if listed is not None
                else Open(features, problem.group, Search(features, anchors, taken, seed), anchors, seed)
            )
            size = min(problem.group.capacity, first + wanted - len(draft.codes))
            members, told = choose_group(features, problem.group, ground, acquire, size)
            if limited and members and members[0].found.value < NOTHING:
                draft.notes.append(BEYOND)
                limited = False
                continue
            shared = draft.group(problem, [m.found.code for m in members], told)
            for m in members:
                draft.add(
                    m.found.code, {**_described(problem, m.found, m.acquisition, models, features, reaches), **shared}
                )
            if members:
                continue
        acquisition = acquire()
        if search is None and listed is not None:
            squares = float(sum(len(model.data.numbers) ** 2 for model in models.values()))
            found = best_listed(acquisition, listed[rows_left(listed, taken)], features, squares)
        elif search is not None:
            found = search.best(acquisition, np.array(draft.codes).reshape(-1, len(space.names)))
            found = found if found is not None else _any_new(problem, taken, seed, acquisition, features)
        if limited and found is not None and found.value < NOTHING:
            draft.notes.append(BEYOND)
            limited = False
            continue
        more: Json = {}
        if isinstance(problem.settings, BayesSettings) and problem.settings.replicates:
            under_way = np.array([*seen.pending, *draft.codes]).reshape(-1, len(space.names))
            found, more = instead(found, problem, models, features, results, under_way, acquisition)
        if found is None:
            break
        more |= draft.group(problem, [found.code])
        draft.add(found.code, {**_described(problem, found, acquisition, models, features, reaches), **more})
    if problem.gain is not None:
        near = np.concatenate([np.array([*seen.pending, *draft.codes]).reshape(-1, len(space.names)), anchors])
        draft.gain = still_to_be_gained(Judged(problem, features, models, success, reaches), near, seed)


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
    tolerances: Tolerances | None,
) -> Array:
    """Return the experiments with results, best predicted first, likely feasible ones before others; shape (k, d).

    With several objectives those come first that the fewest others beat in all of them; joined by desirabilities they are one.
    """
    x = features(seen.results)
    means = {n: (m.predict(x) if tolerances is None else tolerances.expected(m, x))[0] for n, m in models.items()}
    merits = np.array([[goal.merit(float(v)) for v in means[name]] for name, goal in problem.objectives.items()])
    if is_joint(problem.objectives):
        whole = joint(list(models.values()))
        whole = whole if tolerances is None else Averaged(whole, tolerances)
        merits = predicted_desirability(models, problem.objectives, whole, x)[0][None, :]
    beaten = (merits[:, None, :] > merits[:, :, None]).all(axis=0).sum(axis=1)
    broken = np.zeros(len(x))
    for outcome, bounds in problem.outcome_constraints.items():
        if outcome in models:
            broken += np.array([0.0 if bounds.holds(float(v)) else 1.0 for v in means[outcome]])
    return seen.results[np.lexsort((-merits[0], beaten, broken))]


def _described(
    problem: Problem,
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
        "acquisition_function": ", ".join([acquisition.name, *(factor.name for factor in acquisition.factors)]),
        "predicted": predicted,
        **cost_told(problem, problem.target, found.code),
    }
    if (why := told_of(problem, models, x)) is not None:
        worth = [{k: _finite(v) if isinstance(v, float) else v for k, v in asdict(w).items()} for w in why.worth]
        described["why"] = {"leaning": why.leaning, "because": why.because, "worth": worth}
    if is_joint(problem.objectives):
        mean, sd = predicted_desirability(models, problem.objectives, joint(list(models.values())), x)
        described[DESIRABILITY] = {"mean": float(mean[0]), "sd": float(sd[0])}
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
        "scatter": scatter_told(data.scatter),
        "uncertainties": "stated, and further noise inferred" if data.uncertainties is not None else "noise inferred",
        "lengthscales": model.lengthscales,
    }


def _finite(value: float) -> float | None:
    """Return a number as it is, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None
