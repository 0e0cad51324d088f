"""What a candidate is worth is divided by what it costs, and what costs more than is left is not proposed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sdl.objective import Estimate, Objective
from sdl.planners import History, Problem, Source, Trial, get_planner, round_seed
from sdl.planners.bayes import BayesSettings
from sdl.space import Candidate, Categorical, Continuous, Cost, Discrete, Space

torch = pytest.importorskip("torch")

HOLD = Continuous(type="continuous", bounds=(0.5, 16.0), unit="h", scale="log")
HEAT = Continuous(type="continuous", bounds=(1000.0, 1250.0), unit="degC")
GAS = Categorical(type="categorical", values=("air", "argon"))
TIMES = Discrete(type="discrete", values=(1, 2, 5))
SPACE = Space({"gas": GAS, "hold": HOLD, "times": TIMES, "heat": HEAT})
GOAL = {"y": Objective(goal="maximize")}
BAYES = get_planner("bayes")


def problem(cost: str | None, limit: float | None = None, space: Space = SPACE) -> Problem:
    sources = {"default": Source(("y",), cost=None if cost is None else Cost(cost, "h"))}
    return Problem(space, GOAL, {}, BayesSettings(), seed=3, budget=30, sources=sources, cost_limit=limit)


def flat(candidate: Candidate) -> Estimate:
    """Two hills of one height, at holds of 1 h and of 8 h."""
    x = math.log2(float(candidate["hold"]))
    return Estimate(math.exp(-((x - 0.0) ** 2)) + math.exp(-((x - 3.0) ** 2)))


def test_price_and_its_slope():
    from sdl.planners.bayes.costs import Price
    from sdl.planners.bayes.data import FeatureMap

    features = FeatureMap(SPACE)
    price = Price(features, Cost("hold * times + 0.01 * heat", "h"))
    codes = np.array([[0.0, 2.0, 2.0, 1100.0], [1.0, 16.0, 5.0, 1250.0]])
    x = torch.tensor(features(codes), requires_grad=True)
    assert price.log(x).tolist() == pytest.approx([-math.log(15.0), -math.log(92.5)])
    price.log(x).sum().backward()
    step = 1e-6
    for name in ("hold", "heat"):
        column = features.columns[name]
        for row in range(2):
            lower, upper = (features(codes).copy() for _ in range(2))
            lower[row, column] -= step
            upper[row, column] += step
            by = (price.log(torch.tensor(upper)) - price.log(torch.tensor(lower)))[row] / (2 * step)
            assert float(x.grad[row, column]) == pytest.approx(float(by), rel=1e-5)
    limited = Price(features, price.cost, left=20.0)
    assert limited.log(torch.tensor(features(codes))).tolist() == [pytest.approx(-math.log(15.0)), -math.inf]
    group = torch.tensor(features(codes))[None]
    assert float(price.log_of_group(group)[0]) == pytest.approx(-math.log(15.0 + 92.5))


def proposals(cost: str | None, limit: float | None = None, spent: float = 0.0, n: int = 1):
    space = Space({"hold": HOLD})
    tried = [Candidate({"hold": h}) for h in (0.5, 2.5, 3.2, 16.0)]
    trials = tuple(Trial(i + 1, c, "default", "done", {"y": flat(c)}) for i, c in enumerate(tried))
    history = History(trials, spent=spent, spent_unit="h")
    asked = problem(cost, limit, space)
    proposal = BAYES.propose(asked, history, n, round_seed(3, 1))
    assert BAYES.propose(asked, history, n, round_seed(3, 1)) == proposal
    return proposal, json.loads(json.dumps(proposal.diagnostics, allow_nan=False))


def test_of_two_hills_the_cheap_one_is_climbed():
    short, told = proposals("hold")
    assert short.candidates[0]["hold"] < 2.5
    assert told["candidates"][0]["acquisition_function"] == "log expected improvement, per cost"
    assert told["candidates"][0]["cost"] == {"value": short.candidates[0]["hold"], "unit": "h"}
    long, _ = proposals("20 - hold")
    assert long.candidates[0]["hold"] > 3.2
    _, plain = proposals(None)
    assert "cost" not in plain["candidates"][0]
    assert plain["candidates"][0]["acquisition_function"] == "log expected improvement"


def test_a_constant_cost_changes_nothing():
    assert proposals("7")[0].candidates[0]["hold"] == pytest.approx(proposals(None)[0].candidates[0]["hold"], rel=1e-3)


def test_what_is_left_is_kept():
    dear, _ = proposals("20 - hold")
    price = 20.0 - dear.candidates[0]["hold"]
    _, told = proposals("20 - hold", limit=100.0, spent=100.0 - 0.9 * price)
    assert told["candidates"][0]["cost"]["value"] <= 0.9 * price
    _, told = proposals("hold", limit=10.0, spent=6.0, n=3)
    assert sum(c["cost"]["value"] for c in told["candidates"]) <= 4.0


def test_where_nothing_can_be_afforded_the_limit_is_left_to_the_loop():
    proposal, told = proposals("hold + 2", limit=10.0, spent=9.0)
    assert len(proposal.candidates) == 1
    assert any("costs no more than what is left" in note for note in told["fallbacks"])
