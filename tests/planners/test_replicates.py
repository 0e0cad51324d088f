"""Repeats are proposed where they are worth more than anything new; duplicates tell where noise differs."""

from __future__ import annotations

import numpy as np
import pytest

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import Group, History, Problem, RoundRecord, Trial, get_planner
from sdl.planners.bayes import BayesSettings
from sdl.planners.bayes.acquisition import Acquisition
from sdl.planners.bayes.data import FeatureMap, observe
from sdl.planners.bayes.intervals import reach
from sdl.planners.bayes.models import fit
from sdl.planners.bayes.replicates import best_repeat
from sdl.planners.bayes.scatter import scatter_of
from sdl.space import Candidate, Categorical, Continuous, Pool, Space

BAYES = get_planner("bayes")
UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
LINE = Space({"x": UNIT})
GOAL = {"z": Objective(goal="maximize")}


def problem(space: Space = LINE, *, replicates: bool = True, constraints=None, **more) -> Problem:
    return Problem(
        space, GOAL, constraints or {}, BayesSettings(initial={"count": 3}, replicates=replicates), seed=2, **more
    )


def told(xs, values, states=None, uncertainty=None, **more) -> History:
    states = states or ["done"] * len(xs)
    return History(
        tuple(
            Trial(
                i + 1,
                Candidate({"x": float(x)}),
                "default",
                state,
                {"z": Estimate(float(z), uncertainty), **{k: Estimate(float(v[i])) for k, v in more.items()}}
                if state == "done"
                else {},
            )
            for i, (x, z, state) in enumerate(zip(xs, values, states, strict=True))
        )
    )


# --- a noisy pool of few rows: the best ones are looked at again -------------------------------------------------------------

POOL = Space({"x": UNIT}, (), Pool.from_rows(("x",), np.linspace(0, 1, 21)[:, None], [()]))
NOISY = told(
    np.linspace(0, 1, 21)[[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]],
    [-2.2, -0.4, -1.4, 0.9, 0.2, 1.4, 0.1, 1.2, -0.3, -0.9, -2.0],
    uncertainty=0.8,
)


def test_without_the_setting_nothing_is_repeated():
    tried = {t.candidate for t in NOISY.trials}
    proposal = BAYES.propose(problem(POOL, replicates=False), NOISY, 6, seed=1)
    assert not tried & set(proposal.candidates)
    assert all("worth_of" not in c for c in proposal.diagnostics["candidates"])
    assert BayesSettings().replicates is False


def test_what_is_under_way_is_not_repeated_and_everything_is_told():
    tried = [t.candidate for t in NOISY.trials]
    proposal = BAYES.propose(problem(POOL), NOISY, 6, seed=1)
    assert len(set(proposal.candidates)) == 6
    for candidate, said in zip(proposal.candidates, proposal.diagnostics["candidates"], strict=True):
        worth = said["worth_of"]
        is_repeat = candidate in tried
        assert is_repeat == (worth["repeat"] > max(worth["new"], 1e-3))
        assert said.get("repeats") == ([tried.index(candidate) + 1] if is_repeat else None)
    assert any(c in tried for c in proposal.candidates)
    assert BAYES.propose(problem(POOL), NOISY, 6, seed=1) == proposal


def test_what_is_known_for_certain_is_not_repeated():
    xs = np.linspace(0, 1, 9)
    proposal = BAYES.propose(problem(), told(xs, -((xs - 0.4) ** 2)), 4, seed=1)
    assert not {float(c["x"]) for c in proposal.candidates} & set(xs.tolist())


def test_a_repeat_is_worth_what_the_posterior_says():
    """By simulation: draw the outcome of one more measurement, refit nothing, look at the best predicted mean."""
    features = FeatureMap(LINE)
    seen = observe(features, NOISY, GOAL, {})
    model = fit(seen.outcomes["z"], features.groups)
    tried = features(seen.results)
    acquisition = Acquisition({"z": model}, GOAL, {}, tried, tried[:0], 1, None)
    new = np.array([0.33])
    found = best_repeat(
        {"z": model}, ("z", GOAL["z"]), {}, tried, np.ones(len(tried), bool), tried[:0], new, acquisition
    )
    assert found is not None
    import torch

    points = np.concatenate([tried, new[None, :]])
    posterior = model.gp.posterior(torch.tensor(points))
    mu = posterior.mean.detach().numpy().ravel()
    covariance = posterior.distribution.covariance_matrix.detach().numpy()
    noise = model.noise + float(np.mean(model.data.noise))
    rng = np.random.default_rng(1)
    for j, worth in ((found.row, found.worth), (len(tried), found.of_new)):
        outcomes = rng.normal(0, np.sqrt(covariance[j, j] + noise), 200_000)
        gain = covariance[:, j] / (covariance[j, j] + noise)
        measured = {*range(len(tried)), j}  # a new candidate is among what was measured from then on
        best = np.max([mu[i] + gain[i] * outcomes for i in measured], axis=0)
        assert worth == pytest.approx(best.mean() - mu[: len(tried)].max(), rel=0.05)
    # each further result at the same point teaches less
    there = tried[found.row][None, :]
    after = best_repeat(
        {"z": model}, ("z", GOAL["z"]), {}, tried, np.arange(len(tried)) == found.row, there, new, acquisition
    )
    assert after.worth < found.worth


def test_only_what_is_likely_to_keep_its_bounds_is_repeated():
    limits = {"w": OutcomeConstraint(at_most=0.5)}
    seen = told(
        [t.candidate["x"] for t in NOISY.trials],
        [t.outcomes["z"].value for t in NOISY.trials],
        w=[t.candidate["x"] for t in NOISY.trials],
    )
    proposal = BAYES.propose(problem(POOL, constraints=limits), seen, 6, seed=1)
    again = [c["x"] for c in proposal.candidates if c in {t.candidate for t in seen.trials}]
    assert all(x <= 0.55 for x in again)


RECIPES = Space({"recipe": Categorical(type="categorical", values=tuple("abcdef"))})


def recipes(values: dict[str, list[float]]) -> History:
    flat = [(recipe, v) for recipe, of_it in values.items() for v in of_it]
    return History(
        tuple(
            Trial(i + 1, Candidate({"recipe": r}), "default", "done", {"z": Estimate(v)})
            for i, (r, v) in enumerate(flat)
        )
    )


def test_where_nothing_new_is_left_the_best_are_measured_again_until_they_are_known():
    noisy = {"a": [1.0, 0.1], "b": [0.9, 0.2], "c": [0.8, 0.3], "d": [-3.0, -3.5], "e": [-3.1, -2.6], "f": [-2.5, -3.3]}
    asked = problem(RECIPES)
    proposal = BAYES.propose(asked, recipes(noisy), 2, seed=1)
    assert len(proposal.candidates) == 2
    assert {c["recipe"] for c in proposal.candidates} < {"a", "b", "c"}
    said = proposal.diagnostics["candidates"][0]
    assert said["worth_of"]["new"] is None
    assert len(said["repeats"]) == 2
    certain = {r: [v[0]] * 2 for r, v in noisy.items()}
    assert BAYES.propose(asked, recipes(certain), 2, seed=1).candidates == ()
    assert BAYES.propose(problem(RECIPES, replicates=False), recipes(noisy), 2, seed=1).candidates == ()


@pytest.mark.validate
def test_repeats_by_worth_find_the_best_recipe_as_surely_as_repeating_all():
    """Six recipes, 24 measurements with noise as large as their differences."""

    def regret(seed: int, *, by_worth: bool) -> float:
        rng = np.random.default_rng(seed)
        truth = dict(zip("abcdef", rng.normal(0, 1, 6), strict=True))
        values: dict[str, list[float]] = {r: [truth[r] + rng.normal()] for r in truth}
        while sum(map(len, values.values())) < 24:
            chosen = min(values, key=lambda r: len(values[r]))
            if by_worth:
                candidates = BAYES.propose(problem(RECIPES), recipes(values), 1, seed=seed).candidates
                chosen = candidates[0]["recipe"] if candidates else chosen
            values[chosen].append(truth[chosen] + rng.normal())
        return max(truth.values()) - truth[max(values, key=lambda r: np.mean(values[r]))]

    seeds = range(12)
    assert (
        np.mean([regret(s, by_worth=True) for s in seeds]) <= np.mean([regret(s, by_worth=False) for s in seeds]) + 0.05
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"group": Group(("x",), 2)}, "groups"),
        ({"objectives": {**GOAL, "w": Objective(goal="minimize")}}, "several objectives"),
    ],
)
def test_what_does_not_go_together_is_refused(more, said):
    from dataclasses import replace

    asked = replace(problem(), **more)
    [(where, why)] = BAYES.misfits(asked)
    assert where == "replicates"
    assert said in why


def test_intervals_of_repeats_belong_to_their_own_results():
    at = Candidate({"x": 0.5})
    told_ = {"candidates": [{"predicted": {"z": {"interval": [0.0, 1.0]}}}]}
    rounds = (RoundRecord(1, 1, (at,), told_), RoundRecord(2, 2, (at,), told_))
    trials = [Trial(i, at, "default", "done", {"z": Estimate(v)}) for i, v in ((0, 9.0), (1, 0.5), (2, 7.0))]
    hit = reach(History(tuple(trials[:2]), rounds[:1]), "z")
    both = reach(History(tuple(trials), rounds), "z")
    start = reach(History(), "z")
    assert hit < start < both  # the first held, the second missed; known data (number 0) are nobody's proposal


# --- noise that differs ----------------------------------------------------------------------------------------------------


def duplicates(spread, sites: int = 8, each: int = 4, seed: int = 1):
    rng = np.random.default_rng(seed)
    x = np.repeat(np.linspace(0, 1, sites), each)
    return x[:, None], np.sin(4 * x) + rng.normal(0, 1, len(x)) * spread(x)


def test_duplicates_tell_where_noise_differs():
    x, y = duplicates(lambda x: np.where(x < 0.5, 0.02, 0.5))
    found = scatter_of(x, y, 1)
    assert found is not None
    assert found.evidence > 3
    low, high = np.sqrt(found.variance(np.array([[0.1], [0.9]])))
    assert low < 0.2
    assert high == pytest.approx(0.5, rel=0.5)
    assert found.excess(np.array([[0.0], [1.0]])).min() >= 0


def test_where_noise_is_the_same_everywhere_nothing_is_claimed():
    for seed in range(20):
        assert scatter_of(*duplicates(lambda x: 0.3 + 0 * x, seed=seed), 1) is None


def test_without_duplicates_or_noise_nothing_is_claimed():
    x = np.linspace(0, 1, 30)[:, None]
    assert scatter_of(x, np.sin(x[:, 0]), 1) is None
    assert scatter_of(np.repeat(x, 2, axis=0), np.repeat(np.sin(x[:, 0]), 2), 1) is None


def test_one_broken_reading_among_duplicates_is_no_noise_that_differs():
    x, y = duplicates(lambda x: 0.1 + 0 * x)
    y[5] += 3.0
    assert scatter_of(x, y, 1) is None


def test_intervals_are_wide_where_noise_is_large():
    x, y = duplicates(lambda x: np.where(x < 0.5, 0.02, 0.5))
    features = FeatureMap(LINE)
    seen = observe(features, told(x[:, 0], y), GOAL, {})
    model = fit(seen.outcomes["z"], features.groups)
    low, high = model.interval(np.array([[0.1], [0.9]]), 1.645)
    narrow, wide = high - low
    assert wide > 2 * narrow
    proposal = BAYES.propose(problem(), told(x[:, 0], y), 1, seed=1)
    said = proposal.diagnostics["models"]["z"]["scatter"]
    assert said["points_with_duplicates"] == 8
    assert said["log_evidence"] > 3
