"""Shapley values of experiments against exact enumeration, and their axioms."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from sdl.objective import Estimate, Objective
from sdl.planners import History, Trial
from sdl.space import Continuous, Space

pytest.importorskip("torch")

from sdl.planners.bayes.data import FeatureMap, observe
from sdl.planners.bayes.influence import exact, influence, sampled
from sdl.planners.bayes.isolation import isolated
from sdl.planners.bayes.models import fit

UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
SPACE = Space({"x": UNIT, "z": UNIT})


def model_of(n, goal, seed=0, uncertainty=None, value=lambda c: float(np.sin(5 * c[0]) + c[1])):
    codes = np.random.default_rng(seed).random((n, 2))
    trials = tuple(
        Trial(i + 1, c, "default", "done", {"y": Estimate(value(code), uncertainty)})
        for i, (c, code) in enumerate(zip(SPACE.decode(codes), codes, strict=True))
    )
    features = FeatureMap(SPACE)
    seen = observe(features, History(trials), {"y": goal}, {})
    return fit(seen.outcomes["y"], features.groups), codes


def points(m=40):
    return np.random.default_rng(9).random((m, 2))


@pytest.mark.parametrize("uncertainty", [None, 0.1])
def test_the_value_of_all_is_the_best_that_the_model_predicts(uncertainty):
    goal = Objective(goal="maximize")
    with isolated(0):
        model, _ = model_of(12, goal, uncertainty=uncertainty)
        found = influence(model, goal, points())
        predicted = model.predict(points())[0].max()
    assert found.all == pytest.approx(predicted, abs=1e-5)
    # nothing known: the constant mean everywhere
    assert found.none == pytest.approx(float(model.data.scale.natural(np.array(model.constant))))
    assert sum(s.value for s in found.shares) == pytest.approx(found.all - found.none)
    assert found.orders == 512


@pytest.mark.parametrize(
    "goal", [Objective(goal="maximize"), Objective(goal="minimize"), Objective(goal="match", value=0.5)]
)
def test_few_experiments_are_exact_and_efficient(goal):
    with isolated(0):
        model, _ = model_of(6, goal)
        found = influence(model, goal, points())
    assert found.orders is None
    assert all(s.error == 0 for s in found.shares)
    sign = 1 if goal.goal == "maximize" else -1
    assert sum(s.value for s in found.shares) == pytest.approx(sign * (found.all - found.none))
    sizes = [abs(s.value) for s in found.shares]
    assert sizes == sorted(sizes, reverse=True)


def glove(order):
    """A game whose values are known: a left glove (player 0) and two right ones are worth 1 as a pair."""
    members = list(order)
    return np.array([float(0 in members[:k] and len(members[:k]) > 1) for k in range(len(members) + 1)])


def test_the_game_of_gloves():
    assert exact(glove, 3) == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    values, errors = sampled(glove, 3, 4000)
    assert values == pytest.approx([2 / 3, 1 / 6, 1 / 6], abs=4 * errors.max())
    assert values.sum() == pytest.approx(1.0)


def test_drawn_orders_agree_with_all_orders_within_their_error():
    goal = Objective(goal="maximize")
    with isolated(0):
        model, _ = model_of(6, goal)
        from sdl.planners.bayes.influence import _value_of

        value = _value_of(model, goal, points())
        whole = exact(value, 6)
        brute = np.zeros(6)
        for order in permutations(range(6)):
            brute[list(order)] += np.diff(value(order)) / 720
        values, errors = sampled(value, 6, 200)
        again, _ = sampled(value, 6, 200)
    assert whole == pytest.approx(brute)
    assert np.all(errors > 0)
    assert np.all(np.abs(values - whole) <= 4.5 * errors)
    assert values.sum() == pytest.approx(whole.sum())
    assert np.array_equal(values, again)


def test_what_shows_the_optimum_matters_most_and_a_replicate_shares_with_it():
    goal = Objective(goal="maximize")

    def peak(code):
        return float(np.exp(-20 * ((code[0] - 0.5) ** 2 + (code[1] - 0.5) ** 2)))

    codes = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [0.5, 0.5], [0.5, 0.5]])
    trials = tuple(
        Trial(i + 1, c, "default", "done", {"y": Estimate(peak(code), 0.05)})
        for i, (c, code) in enumerate(zip(SPACE.decode(codes), codes, strict=True))
    )
    features = FeatureMap(SPACE)
    with isolated(0):
        seen = observe(features, History(trials), {"y": goal}, {})
        model = fit(seen.outcomes["y"], features.groups)
        found = {s.experiment: s for s in influence(model, goal, codes).shares}
    assert found[5].value == pytest.approx(found[6].value)  # who do the same get the same
    assert min(found[5].value, found[6].value) > max(found[n].value for n in (1, 2, 3, 4))
    assert 0 < found[5].left_out < found[5].value  # the other one tells nearly all that it tells


def test_too_many_results_are_refused():
    goal = Objective(goal="maximize")
    with isolated(0):
        model, codes = model_of(20, goal)
        object.__setattr__(model.data, "numbers", tuple(range(501)))
        with pytest.raises(ValueError, match="501 results"):
            influence(model, goal, codes)
