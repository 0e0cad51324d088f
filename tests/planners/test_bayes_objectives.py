"""Several objectives: what is gained is hypervolume, and the reference point is the one that was given."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sdl.objective import Estimate, Objective, OutcomeConstraint, hypervolume, merits_of, pareto_set
from sdl.planners import History, Problem, Trial, get_planner, round_seed
from sdl.planners.bayes import BayesSettings
from sdl.space import Candidate, Continuous, Pool, Space

pytest.importorskip("torch")

UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
BOX = Space({"x": UNIT, "y": UNIT})
BOTH = {"first": Objective(goal="minimize"), "second": Objective(goal="maximize")}
BAYES = get_planner("bayes")


def schaffer(candidate) -> dict[str, Estimate]:
    """Schaffer (1985), x from 0 to 4: f1 = x², f2 = (x − 2)²; optimal from 0 to 2, half of the box; y hurts both."""
    x, y = 4 * candidate["x"], candidate["y"]
    return {"first": Estimate(x**2 + y), "second": Estimate(-((x - 2) ** 2) - y)}


def play(objectives, rounds: int, constraints=None, start: int = 6):
    problem = Problem(BOX, objectives, constraints or {}, BayesSettings(), seed=4)
    rng = np.random.default_rng(0)
    trials = [
        Trial(i + 1, c, "default", "done", schaffer(c))
        for i, c in enumerate(BOX.decode(BOX.from_unit(rng.random((start, 2)))))
    ]
    told = []
    for number in range(rounds):
        proposal = BAYES.propose(problem, History(tuple(trials)), 1, round_seed(4, number))
        told.append(json.loads(json.dumps(proposal.diagnostics, allow_nan=False)))
        candidate = proposal.candidates[0]
        trials.append(Trial(len(trials) + 1, candidate, "default", "done", schaffer(candidate)))
    return trials, told


def test_proposals_spread_over_the_pareto_set():
    trials, told = play(BOTH, 10)
    at = (-4.0, -4.0)  # both objectives are 4 at the far ends of the Pareto set
    rng = np.random.default_rng(7)
    drawn = [schaffer(c) for c in BOX.decode(BOX.from_unit(rng.random((60, 2))))]
    found, by_chance = (
        hypervolume([merits_of(BOTH, outcomes) for outcomes in results], at)
        for results in ([t.outcomes for t in trials], drawn)
    )
    # f2 = (2 − √f1)² on the front: ∫₀⁴ (4 − (2 − √f)²) df = 40/3
    whole = 40 / 3
    assert found > by_chance
    assert found > 0.85 * whole
    assert {t["candidates"][0]["acquisition_function"] for t in told} == {"log noisy expected hypervolume improvement"}
    assert set(told[0]["candidates"][0]["predicted"]) == {"first", "second"}


def test_nothing_beyond_a_given_reference_is_sought():
    # first ≤ 1 (x ≤ 1/4 of the box) and second ≥ −2.25 (x ≥ 1/8)
    given = {"first": Objective(goal="minimize", reference=1.0), "second": Objective(goal="maximize", reference=-2.25)}
    trials, told = play(given, 8)
    x = np.array([t.candidate["x"] for t in trials[8:]])
    assert ((x > 0.1) & (x < 0.28)).sum() >= 5
    assert told[-1]["candidates"][0]["reference"] == pytest.approx({"first": 1.0, "second": -2.25})


def test_more_than_four_objectives_are_weighed():
    goals = {f"o{i}": Objective(goal="minimize") for i in range(5)}
    rng = np.random.default_rng(1)
    points = rng.random((8, 2))
    trials = tuple(
        Trial(
            i + 1,
            BOX.decode(p[None])[0],
            "default",
            "done",
            {f"o{j}": Estimate(float(np.abs(p - j / 4).sum())) for j in range(5)},
        )
        for i, p in enumerate(points)
    )
    proposal = BAYES.propose(Problem(BOX, goals, {}, BayesSettings(), seed=1), History(trials), 2, seed=3)
    first, second = proposal.diagnostics["candidates"]
    assert sum(first["weights"].values()) == pytest.approx(1.0)
    assert first["weights"] != second["weights"]


def test_a_pool_and_a_bound_with_two_objectives():
    codes = np.random.default_rng(2).random((60, 2))
    space = Space(BOX.parameters, [], Pool.from_rows(("x", "y"), codes, ((), ())))
    rows = [Candidate({"x": float(a), "y": float(b)}) for a, b in codes]
    trials = tuple(Trial(i + 1, c, "default", "done", schaffer(c)) for i, c in enumerate(rows[:6]))
    limits = {"first": OutcomeConstraint(at_most=9.0)}
    problem = Problem(space, BOTH, limits, BayesSettings(), seed=1)
    proposal = BAYES.propose(problem, History(trials), 3, seed=3)
    assert len(set(proposal.candidates)) == 3
    assert set(proposal.candidates) <= set(rows[6:])


def test_pareto_set():
    def at(a, b):
        return {"first": Estimate(a), "second": Estimate(b)}

    results = [at(1, 1), at(2, 3), at(2, 2), at(1, 1), at(0, -5), {"first": Estimate(-9)}]
    assert pareto_set(BOTH, {}, results) == (0, 1, 3, 4)
    assert pareto_set(BOTH, {"second": OutcomeConstraint(at_least=0)}, results) == (0, 1, 3)
    assert pareto_set({"first": BOTH["first"]}, {}, results) == (5,)
    assert pareto_set(BOTH, {}, []) == ()
