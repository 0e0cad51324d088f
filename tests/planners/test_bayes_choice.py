"""Which model an outcome gets, and which results are believed less."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sdl.objective import Estimate, Objective
from sdl.planners import History, Problem, RoundRecord, Trial, get_planner
from sdl.planners.bayes import BayesSettings
from sdl.planners.bayes.data import FeatureMap, OutcomeData
from sdl.planners.bayes.scales import plain
from sdl.space import Continuous, Space

pytest.importorskip("torch")

from sdl.planners.bayes import models
from sdl.planners.bayes.choice import KINDS, MARGIN, Kind, Last, choose, last_choice
from sdl.planners.bayes.isolation import isolated
from sdl.planners.bayes.outliers import doubting

SPACE = Space({n: Continuous(type="continuous", bounds=(0.0, 1.0)) for n in ("x", "y")})
GROUPS = FeatureMap(SPACE).groups


def of(function, n: int = 25, noise: float = 0.0, seed: int = 0) -> OutcomeData:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    y = function(x) + noise * rng.normal(size=n)
    return OutcomeData("z", tuple(range(1, n + 1)), x, y, None, plain("z", y, [])[0])


def wave(x):
    return np.sin(6 * x[:, 0]) + x[:, 1] ** 2


def chosen(data, last=None):
    with isolated(0):
        return choose(data, GROUPS, last)


def test_what_grows_by_factors_is_seen_on_a_logarithmic_scale():
    _, told = chosen(of(lambda x: np.exp(4 * wave(x))))
    assert told["kind"].endswith("log")
    assert told["compared_at"] == 25
    assert max(told["log_evidence"], key=told["log_evidence"].get) == told["kind"]


def test_what_is_smooth_gets_the_smooth_kernel_and_what_has_kinks_does_not():
    assert chosen(of(wave, 40))[1]["kind"].startswith("rbf")
    assert chosen(of(lambda x: np.abs(4 * x[:, 0] - 2) + np.abs(np.sin(7 * x[:, 1])), 40))[1]["kind"].startswith(
        "matern52"
    )


def test_evidence_is_a_density_of_the_outcome_itself():
    """The unit of an outcome shifts all evidence alike, so it decides nothing."""
    data = of(lambda x: np.exp(wave(x)))
    other = OutcomeData("z", data.numbers, data.features, 1e3 * data.values, None, plain("z", 1e3 * data.values, [])[0])
    one, two = chosen(data)[1]["log_evidence"], chosen(other)[1]["log_evidence"]
    assert one.keys() == two.keys()
    for kind in one:
        assert one[kind] - two[kind] == pytest.approx(25 * np.log(1e3), abs=0.05)


def test_the_model_in_use_stays_unless_another_is_better_by_the_margin():
    data = of(wave)
    evidence = chosen(data)[1]["log_evidence"]
    first = max(evidence, key=evidence.get)
    for name in evidence:
        kind = next(k for k in KINDS if k.name == name)
        told = chosen(data, Last(kind, 20))[1]
        if evidence[first] - evidence[name] <= MARGIN:
            assert told["kind"] == name
        elif (kind.kernel == first.split(",")[0]) != (kind.bend == first.split(", ")[1]):
            assert told["kind"] == first
    worst = min(evidence, key=evidence.get)
    assert evidence[worst] < evidence[first] - MARGIN
    assert chosen(data, Last(next(k for k in KINDS if k.name == worst), 20))[1]["kind"] != worst


def test_many_results_are_compared_only_when_there_are_a_tenth_more():
    data = of(wave, 34)
    last = Last(Kind("rbf", "plain"), 32)
    model, told = chosen(data, last)
    assert told["compared_at"] == 32
    assert "log_evidence" not in told
    assert (model.kernel, model.data.scale.bend) == ("rbf", "plain")
    assert chosen(of(wave, 36), last)[1]["compared_at"] == 36


def test_the_choice_is_found_again_in_the_diagnostics():
    problem = Problem(SPACE, {"z": Objective(goal="maximize")}, {}, BayesSettings(), seed=1)
    rng = np.random.default_rng(3)
    points = rng.random((12, 2))
    values = wave(points)
    trials = tuple(
        Trial(i + 1, SPACE.decode(points[i : i + 1])[0], "default", "done", {"z": Estimate(float(values[i]))})
        for i in range(12)
    )
    proposal = get_planner("bayes").propose(problem, History(trials), 1, seed=5)
    told = json.loads(json.dumps(proposal.diagnostics, allow_nan=False))
    record = RoundRecord(1, 5, proposal.candidates, told)
    found = last_choice(History(trials, (record,)), "z")
    assert found == Last(next(k for k in KINDS if k.name == told["models"]["z"]["choice"]["kind"]), 12)
    low, high = told["candidates"][0]["predicted"]["z"]["interval"]
    assert low < told["candidates"][0]["predicted"]["z"]["mean"] < high


def test_a_broken_reading_is_doubted_and_hides_nothing():
    data = of(wave, 30, noise=0.02)
    values = data.values.copy()
    values[7] = 1e6
    broken = OutcomeData("z", data.numbers, data.features, values, None, plain("z", values, [])[0])
    with isolated(0):
        seen, model = doubting(broken, GROUPS, "matern52")
        predicted = model.predict(data.features)[0]
    assert seen.doubted == [8]
    rest = np.arange(30) != 7
    np.testing.assert_allclose(predicted[rest], data.values[rest], atol=0.2)
    with isolated(0):
        blind = models.fit(broken, GROUPS, "matern52").predict(data.features)[0]
    assert np.abs(blind[rest] - data.values[rest]).max() > 0.5


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_doubted_where_noise_is_normal(seed):
    with isolated(0):
        assert doubting(of(wave, 40, noise=0.1, seed=seed), GROUPS, "matern52")[0].doubted == []


def test_shifted_results_among_noisy_ones_are_found():
    data = of(wave, 60, noise=0.02)
    values = data.values.copy()
    shifted = [5, 23, 41]
    values[shifted] += np.array([0.6, -0.6, 0.6])  # thirty standard deviations of the noise
    changed = OutcomeData("z", data.numbers, data.features, values, None, plain("z", values, [])[0])
    with isolated(0):
        assert sorted(doubting(changed, GROUPS, "rbf")[0].doubted) == [i + 1 for i in shifted]


@pytest.mark.parametrize("small", [6e-17, 1e-9])
def test_results_next_to_zero_prove_no_logarithmic_scale(small):
    """On it the density of a result is as large as the result is small: a few zeros would outweigh all else."""

    def edge(x):
        y = np.cos(np.pi / 2 * x[:, 0]) * (1 + x[:, 1])
        y[:3] = small
        return y

    model, told = chosen(of(edge, 16))
    assert not told["kind"].endswith("log")
    assert model.predict(np.random.default_rng(0).random((50, 2)))[0].max() < 10
