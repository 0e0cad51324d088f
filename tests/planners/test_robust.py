"""What is best where parameters are a little off: means over tolerances, and a campaign on a case with a known answer."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import History, Problem, RoundRecord, Trial, get_planner
from sdl.planners.bayes import BayesSettings
from sdl.planners.bayes.data import FeatureMap, observe
from sdl.planners.bayes.models import fit
from sdl.planners.bayes.robust import Averaged, Tolerances, nodes
from sdl.space import Candidate, Categorical, Continuous, LinearConstraint, Pool, Space

BAYES = get_planner("bayes")
UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
LINE = Space({"x": UNIT})
GOAL = {"z": Objective(goal="maximize")}
MIXED = Space(
    {
        "t": Continuous(type="continuous", bounds=(1.0, 100.0), scale="log"),
        "x": Continuous(type="continuous", bounds=(-3.0, 5.0)),
        "gas": Categorical(type="categorical", values=("p", "q")),
        "y": UNIT,
    },
    [LinearConstraint(type="linear", terms={"x": 1, "y": 2}, at_most=6)],
)


def peaks(x):
    """A narrow peak of height 1 at 0.2, and a broad one of height 0.7 at 0.7."""
    return np.exp(-(((x - 0.2) / 0.03) ** 2) / 2) + 0.7 * np.exp(-(((x - 0.7) / 0.15) ** 2) / 2)


def mean_of_peaks(x, t):
    """Their mean over x ± t."""

    def part(height, at, width):
        return (
            height
            * width
            * math.sqrt(2 * math.pi)
            * (norm.cdf((x + t - at) / width) - norm.cdf((x - t - at) / width))
            / (2 * t)
        )

    return part(1.0, 0.2, 0.03) + part(0.7, 0.7, 0.15)


def measured(space: Space, f, n: int, seed: int = 1) -> History:
    made = get_planner("sobol").propose(Problem(space, GOAL, {}, BayesSettings(), seed), History(), n, seed)
    return History(tuple(Trial(i + 1, c, "default", "done", f(c)) for i, c in enumerate(made.candidates)))


@pytest.mark.parametrize("parameters", [1, 2, 3, 4, 5, 9])
def test_the_points_average_what_they_are_chosen_for(parameters):
    points, weights = nodes(parameters)
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).all()
    assert (abs(points) <= 1).all()
    assert weights @ points == pytest.approx(np.zeros(parameters), abs=1e-12)
    assert weights @ points**2 == pytest.approx(np.full(parameters, 1 / 3))
    assert np.array_equal(nodes(parameters)[0], points)


def test_points_lie_within_the_tolerances_in_the_parameters_own_units():
    features = FeatureMap(MIXED)
    tolerances = Tolerances(features, {"t": 0.5, "x": 0.2})
    codes = MIXED.encode([{"t": 1.0, "x": 5.0, "gas": "q", "y": 0.1}, {"t": 40.0, "x": 0.0, "gas": "p", "y": 1.0}])
    around = tolerances.around(torch.tensor(features(codes)))
    assert around.shape == (2, 9, len(features.names))
    back = features.codes(around.reshape(18, -1).numpy()).reshape(2, 9, 4)
    off = back - codes[:, None, :]
    points, _ = nodes(2)
    assert off[..., :2] == pytest.approx(np.broadcast_to(points * [0.5, 0.2], (2, 9, 2)), abs=1e-9)
    assert off[..., 2:] == pytest.approx(np.zeros((2, 9, 2)), abs=1e-12)


def test_the_mean_of_a_model_is_that_of_its_draws():
    features = FeatureMap(LINE)
    seen = observe(features, measured(LINE, lambda c: {"z": Estimate(float(peaks(c["x"])))}, 12), GOAL, {})
    model = fit(seen.outcomes["z"], features.groups)
    tolerances = Tolerances(features, {"x": 0.1})
    x = np.array([[0.25], [0.6]])
    posterior = Averaged(model.gp, tolerances).posterior(torch.tensor(x))
    fine = np.linspace(-0.1, 0.1, 401)
    every = model.gp.posterior(torch.tensor((x + fine).reshape(-1, 1)))
    mean = every.mean.detach().numpy().reshape(2, -1).mean(axis=1)
    covariance = every.distribution.covariance_matrix.detach().numpy().reshape(2, 401, 2, 401).mean(axis=(1, 3))
    assert posterior.mean.detach().numpy().ravel() == pytest.approx(mean, abs=2e-3)
    assert posterior.distribution.covariance_matrix.detach().numpy() == pytest.approx(covariance, abs=5e-3)


def test_slopes_are_those_of_the_mean():
    features = FeatureMap(MIXED)
    history = measured(MIXED, lambda c: {"z": Estimate(math.log(c["t"]) * c["y"] + c["x"] ** 2)}, 10)
    model = fit(observe(features, history, GOAL, {}).outcomes["z"], features.groups)
    averaged = Averaged(model.gp, Tolerances(features, {"t": 0.5, "x": 0.2}))
    x = torch.tensor(features(MIXED.encode([{"t": 30.0, "x": 1.0, "gas": "p", "y": 0.4}])), requires_grad=True)
    assert torch.autograd.gradcheck(lambda at: averaged.posterior(at[:, None, :]).mean.sum(), (x,), atol=1e-4)


@pytest.mark.parametrize(
    ("goals", "limits", "pool"),
    [
        (1, {}, False),
        (1, {"w": OutcomeConstraint(at_most=0.5)}, True),
        (2, {"w": OutcomeConstraint(at_most=0.9)}, True),
    ],
)
def test_proposals_keep_the_space_with_bounds_and_several_objectives(goals, limits, pool):
    space = MIXED
    if pool:
        rows = MIXED.encode(
            get_planner("random").propose(Problem(MIXED, GOAL, {}, BayesSettings(), 1), History(), 30, 2).candidates
        )
        space = Space(MIXED.parameters, (), Pool.from_rows(MIXED.names, rows, [(), (), ("p", "q"), ()]))
    history = measured(space, lambda c: {"z": Estimate(math.log(c["t"]) * c["y"]), "w": Estimate(c["y"])}, 9)
    wanted = {"z": Objective(goal="maximize"), "w": Objective(goal="minimize")}
    asked = Problem(
        space,
        {n: wanted[n] for n in list(wanted)[:goals]},
        limits,
        BayesSettings(initial={"count": 4}),
        seed=1,
        tolerances={"t": 0.5, "x": 0.2},
    )
    proposal = BAYES.propose(asked, history, 2, seed=3)
    assert [space.problems(c) for c in proposal.candidates] == [[], []]
    assert not {t.candidate for t in history.trials} & set(proposal.candidates)
    assert BAYES.propose(asked, history, 2, seed=3) == proposal
    told = proposal.diagnostics["robust"]
    assert told["tolerance"]["t"] == {"half_width": 0.5, "unit": "dimensionless"}
    assert told["best"]["candidate"] in [dict(t.candidate) for t in history.trials]
    json.dumps(proposal.diagnostics, allow_nan=False)


def test_before_a_model_there_is_no_best():
    asked = Problem(LINE, GOAL, {}, BayesSettings(), seed=1, tolerances={"x": 0.1})
    assert BAYES.propose(asked, History(), 2, seed=1).diagnostics["robust"] is None
    assert "robust" not in BAYES.propose(replace(asked, tolerances={}), History(), 2, seed=1).diagnostics


def test_a_broad_peak_is_preferred_to_a_higher_narrow_one():
    """With ±0.1 the best mean is analytic: 0.65 at 0.7; the narrow peak, higher at its top, has a mean of 0.38."""
    grid = np.linspace(0.1, 0.9, 801)
    best = grid[np.argmax(mean_of_peaks(grid, 0.1))]
    assert best == pytest.approx(0.7, abs=1e-3)
    assert mean_of_peaks(0.2, 0.1) == pytest.approx(0.381, abs=2e-3)

    def campaign(tolerances: dict[str, float]) -> tuple[list[float], dict]:
        asked = Problem(LINE, GOAL, {}, BayesSettings(initial={"count": 6}), seed=3, tolerances=tolerances)
        xs = [*np.linspace(0, 1, 11).tolist(), 0.17, 0.23]  # both peaks are known
        rounds: tuple[RoundRecord, ...] = ()
        for number in range(len(xs), len(xs) + 5):
            trials = [
                Trial(i + 1, Candidate({"x": x}), "default", "done", {"z": Estimate(float(peaks(x)))})
                for i, x in enumerate(xs)
            ]
            proposal = BAYES.propose(asked, History(tuple(trials), rounds), 1, seed=number)
            xs.append(float(proposal.candidates[0]["x"]))
            record = RoundRecord(len(rounds) + 1, number, proposal.candidates, proposal.diagnostics)
            rounds = (*rounds, record)
        return xs, proposal.diagnostics

    plain, _ = campaign({})
    assert max(plain, key=peaks) == pytest.approx(0.2, abs=0.01)
    assert min(abs(x - 0.2) for x in plain[13:]) < 0.02
    robust, told = campaign({"x": 0.1})
    assert min(abs(x - 0.2) for x in robust[13:]) > 0.05
    found = told["robust"]["best"]
    assert found["candidate"]["x"] == pytest.approx(0.7, abs=0.03)
    assert found["expected"]["z"]["mean"] == pytest.approx(mean_of_peaks(0.7, 0.1), abs=0.02)
