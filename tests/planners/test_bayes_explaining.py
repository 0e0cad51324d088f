"""What matters to a model, and what a candidate promised, against analytic values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import History, Problem, Trial
from sdl.planners.bayes import BayesSettings
from sdl.planners.bayes.sensitivity import sensitivity
from sdl.space import Candidate, Categorical, Continuous, Integer, LinearConstraint, Pool, Space

pytest.importorskip("torch")

from sdl.planners.bayes.explaining import candidate_told, models_told, share_of_mean

ANGLE = Continuous(type="continuous", bounds=(-math.pi, math.pi))
ANGLES = Space({"x1": ANGLE, "x2": ANGLE, "x3": ANGLE})
UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
GOAL = {"y": Objective(goal="maximize")}


def ishigami(codes):
    """Ishigami and Homma (ISUMA 1990), with a = 7 and b = 0.1."""
    return np.sin(codes[:, 0]) + 7 * np.sin(codes[:, 1]) ** 2 + 0.1 * codes[:, 2] ** 4 * np.sin(codes[:, 0])


# Analytic variances: Marrel et al., Reliability Engineering and System Safety 94, 742 (2009), with a = 7 and b = 0.1
V1 = 0.5 * (1 + 0.1 * math.pi**4 / 5) ** 2
V2 = 7**2 / 8
V13 = 0.1**2 * math.pi**8 * (1 / 18 - 1 / 50)
V = V1 + V2 + V13
FIRST = {"x1": V1 / V, "x2": V2 / V, "x3": 0.0}
TOTAL = {"x1": (V1 + V13) / V, "x2": V2 / V, "x3": V13 / V}
EFFECTS = {
    "x1": lambda x: 3.5 + np.sin(x) * (1 + 0.1 * math.pi**4 / 5),
    "x2": lambda x: 7 * np.sin(x) ** 2,
    "x3": lambda x: 3.5 + 0 * x,
}


def surely(function):
    """Return a function and draws of it that never differ."""
    return function, lambda codes: np.tile(function(codes), (4, 1))


def trials_of(space, codes, values):
    return tuple(
        Trial(i + 1, c, "default", "done", {"y": Estimate(float(v))})
        for i, (c, v) in enumerate(zip(space.decode(codes), values, strict=True))
    )


def check_against_ishigami(found, share, height):
    assert found.missing is None
    assert {i.parameter: i.first for i in found.indices} == pytest.approx(FIRST, abs=share)
    assert {i.parameter: i.total for i in found.indices} == pytest.approx(TOTAL, abs=share)
    assert [i.parameter for i in found.indices] == ["x1", "x2", "x3"]
    for effect in found.effects:
        assert np.array(effect.mean) == pytest.approx(EFFECTS[effect.parameter](np.array(effect.at)), abs=height)
    interactions = {p.parameters: p.interaction for p in found.pairs}
    assert interactions == pytest.approx({("x1", "x2"): 0, ("x1", "x3"): V13 / V, ("x2", "x3"): 0}, abs=2 * share)


def test_ishigami_itself():
    check_against_ishigami(sensitivity(ANGLES, *surely(ishigami)), share=0.015, height=0.25)


def test_ishigami_learned_from_a_dense_data_set():
    codes = ANGLES.from_unit(np.random.default_rng(3).random((220, 3)))
    problem = Problem(ANGLES, GOAL, {}, BayesSettings(), seed=1)
    (told,) = models_told(problem, History(trials_of(ANGLES, codes, ishigami(codes))))
    assert told.observations == 220
    assert told.choice["kind"] in {"rbf, plain", "rbf, power"}
    assert told.noise_sd < 0.1
    check_against_ishigami(told.sensitivity, share=0.03, height=0.5)
    for effect in told.sensitivity.effects:
        # what is averaged over is the same in band and mean
        inside = [low <= m <= high for low, m, high in zip(effect.low, effect.mean, effect.high, strict=True)]
        assert sum(inside) >= len(inside) - 1
        assert max(np.array(effect.high) - np.array(effect.low)) < 1.5


def test_a_level_and_a_category_have_equal_shares_of_the_box():
    space = Space(
        {"n": Integer(type="integer", bounds=(0, 3)), "c": Categorical(type="categorical", values=("a", "b"))}
    )
    found = sensitivity(space, *surely(lambda codes: codes[:, 0] + 3 * codes[:, 1]))
    # variances of four levels and of two categories that are 3 apart: 1.25 and 2.25
    first = {i.parameter: i.first for i in found.indices}
    assert first == pytest.approx({"n": 1.25 / 3.5, "c": 2.25 / 3.5}, abs=0.02)
    effects = {e.parameter: (e.at, e.mean) for e in found.effects}
    assert effects["c"][0] == ("a", "b")
    assert effects["c"][1] == pytest.approx([1.5, 4.5])
    assert effects["n"][0] == (0, 1, 2, 3)
    assert effects["n"][1] == pytest.approx([1.5, 2.5, 3.5, 4.5])


def test_a_logarithmic_parameter_is_averaged_on_its_scale():
    space = Space({"t": Continuous(type="continuous", bounds=(1.0, 100.0), scale="log"), "x": UNIT})
    found = sensitivity(space, *surely(lambda codes: np.log10(codes[:, 0]) + codes[:, 1]))
    assert {i.parameter: i.first for i in found.indices} == pytest.approx({"t": 0.8, "x": 0.2}, abs=0.02)
    effect = next(e for e in found.effects if e.parameter == "t")
    assert effect.at[4] == pytest.approx(10.0)
    assert effect.mean[4] == pytest.approx(1.5, abs=0.02)


def test_a_mixture_has_no_total_shares_and_nothing_outside_is_asked():
    space = Space(
        {"a": UNIT, "b": UNIT, "c": UNIT}, [LinearConstraint(type="linear", terms={"a": 1, "b": 1, "c": 1}, equals=1.0)]
    )
    asked = []

    def function(codes):
        asked.append(codes)
        return codes[:, 0]

    found = sensitivity(space, *surely(function))
    assert "constraints hold" in found.over
    assert space.satisfies(np.concatenate(asked)).all()
    first = {i.parameter: i.first for i in found.indices}
    # given b, a is uniform on [0, 1 − b]: Var(E[a|b]) = Var(b)/4
    assert first["a"] == pytest.approx(1.0, abs=0.05)
    assert first["b"] == pytest.approx(0.25, abs=0.08)
    assert all(i.total is None for i in found.indices)
    assert all(p.interaction is None for p in found.pairs)


def test_a_parameter_that_does_nothing_has_no_share_of_a_pool():
    codes = np.random.default_rng(5).random((300, 2))
    space = Space({"x": UNIT, "y": UNIT}, [], Pool.from_rows(("x", "y"), codes, ((), ())))
    found = sensitivity(space, *surely(lambda c: c[:, 0]))
    assert found.over == "the 300 rows of the pool"
    first = {i.parameter: i.first for i in found.indices}
    assert first["x"] > 0.95
    assert first["y"] < 0.05
    rows = np.sort(codes[:, 0])
    effect = found.effects[0]
    assert effect.mean[0] == pytest.approx(rows[: len(rows) // 8].mean(), abs=0.02)


def test_a_constant_has_no_shares():
    found = sensitivity(ANGLES, *surely(lambda codes: np.full(len(codes), 4.2)))
    assert found.indices == ()
    assert found.missing == "the model predicts the same everywhere"


def test_the_share_of_the_mean_is_that_of_expected_improvement():
    assert share_of_mean(-0.1, 2.0) == 0.0
    assert share_of_mean(0.5, 0.0) == 1.0
    z = 0.7 / 0.4
    whole = 0.7 * norm.cdf(z) + 0.4 * norm.pdf(z)
    assert share_of_mean(0.7, 0.4) == pytest.approx(0.7 * norm.cdf(z) / whole)


LINE = Space({"x": UNIT})


def line(values, goal, constraints=None, at=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5)):
    trials = tuple(
        Trial(
            i + 1,
            Candidate({"x": x}),
            "default",
            "done",
            {"y": Estimate(float(v)), "z": Estimate(10 * x)},
        )
        for i, (x, v) in enumerate(zip(at, values, strict=True))
    )
    return Problem(LINE, goal, constraints or {}, BayesSettings(), seed=1), History(trials)


def test_a_slope_is_exploited_and_a_far_end_explored():
    problem, history = line([0, 1, 2, 3, 4, 5], GOAL)
    near = candidate_told(problem, history, Candidate({"x": 0.58}))
    assert near.leaning == "exploits"
    (worth,) = near.worth
    assert worth.best_experiment == 6
    assert worth.best == pytest.approx(5.0, abs=0.2)
    assert worth.gain == pytest.approx(worth.mean - worth.best)
    assert worth.ratio == pytest.approx(worth.sd / worth.gain)
    downhill, history = line([0, 1, 2, 3, 4, 5], {"y": Objective(goal="minimize")})
    far = candidate_told(downhill, history, Candidate({"x": 1.0}))
    assert far.leaning == "explores"
    assert far.worth[0].gain < 0
    assert far.worth[0].best_experiment == 1


def test_the_best_is_sought_among_those_that_keep_their_bounds():
    limits = {"z": OutcomeConstraint(at_most=2.5)}
    problem, history = line([0, 1, 2, 3, 4, 5], GOAL, limits)
    told = candidate_told(problem, history, Candidate({"x": 0.22}))
    assert told.worth[0].best_experiment == 3
    assert told.keeps["z"] > 0.9
    assert candidate_told(problem, history, Candidate({"x": 0.45})).keeps["z"] < 0.1


def test_several_objectives_are_beaten_only_together():
    goals = {"y": Objective(goal="maximize"), "z": Objective(goal="minimize")}
    problem, history = line([0, 1, 2, 3, 4, 5], goals)
    assert candidate_told(problem, history, Candidate({"x": 0.25})).leaning == "exploits"
    peaked, history = line([5, 4, 3, 2, 1, 0], goals)  # both are best at 0
    told = candidate_told(peaked, history, Candidate({"x": 0.35}))
    assert told.leaning == "explores"
    assert "4 known experiments are" in told.because


def test_nothing_is_told_before_the_objective_is_known():
    problem = Problem(LINE, GOAL, {}, BayesSettings(), seed=1)
    assert candidate_told(problem, History(), Candidate({"x": 0.5})) is None
    assert models_told(problem, History()) == ()
