"""Frozen parameters, and values from before there was a parameter."""

from __future__ import annotations

import numpy as np
import pytest

from sdl.errors import FileProblems
from sdl.objective import Estimate
from sdl.planners import History, RoundRecord, Trial
from sdl.planners.registry import get_planner
from sdl.preflight import check
from sdl.preflight.schema import campaign_schema
from sdl.space import Candidate
from sdl.space.sampling import sobol, uniform

CAMPAIGN = """
name: by-hand
space:
  parameters:
    temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
    hold: {type: continuous, bounds: [0.5, 16], unit: h, scale: log}
    firings: {type: integer, bounds: [1, 5]}
    mesh: {type: discrete, values: [45, 63, 90], unit: um}
    gas: {type: categorical, values: [air, argon]}
objectives: {y: {goal: maximize}}
planner: {type: bayes, initial: {count: 2}}
stop: {experiments: 20}
"""


@pytest.fixture
def checked(write):
    def make(**keys):
        text = CAMPAIGN
        for name, extra in keys.items():
            line = next(x for x in text.splitlines() if x.startswith(f"    {name}: "))
            text = text.replace(line, line.replace("}", f", {extra}}}"))
        return check(write("c.yaml", text))

    return make


FROZEN = {
    "temperature": "frozen: 1373.15 K",
    "firings": "frozen: 2",
    "mesh": "frozen: 63",
    "gas": "frozen: argon",
}


def test_every_draw_holds_the_frozen_values_exactly(checked):
    space = checked(**FROZEN).problem.space
    for codes in (uniform(space, 50, np.random.default_rng(0)), sobol(space, 50, 0)):
        for candidate in space.decode(codes):
            assert candidate["temperature"] == pytest.approx(1100, abs=1e-12)
            assert (candidate["firings"], candidate["mesh"], candidate["gas"]) == (2, 63.0, "argon")
            assert space.problems(candidate) == []
    free = np.log([c["hold"] for c in space.decode(sobol(space, 64, 0))])
    # what is free is drawn along its scale, as without anything frozen
    assert np.mean(free) == pytest.approx(np.log(np.sqrt(0.5 * 16)), abs=0.1)
    assert space.problems({**space.decode(sobol(space, 1, 0))[0], "gas": "air"})


def test_the_model_learns_from_other_values_and_proposes_the_frozen_one(checked):
    problem = checked(**FROZEN).problem
    rng = np.random.default_rng(1)
    trials = []
    for number in range(1, 9):
        point = {
            "temperature": float(rng.uniform(1000, 1250)),
            "hold": float(rng.uniform(1, 16)),
            "firings": int(rng.integers(1, 6)),
            "mesh": float(rng.choice([45, 63, 90])),
            "gas": str(rng.choice(["air", "argon"])),
        }
        trials.append(Trial(number, Candidate(point), "people", "done", {"y": Estimate(point["hold"], 0.1)}))
    proposal = get_planner("bayes").propose(problem, History(tuple(trials)), 2, 7)
    assert proposal.diagnostics["models"]["y"]["observations"] == 8
    for candidate in proposal.candidates:
        assert candidate["temperature"] == pytest.approx(1100, abs=1e-12)
        assert (candidate["firings"], candidate["mesh"], candidate["gas"]) == (2, 63.0, "argon")
        assert problem.space.problems(candidate) == []


def test_a_component_of_a_mixture_can_be_frozen(write):
    text = """
        name: m
        space:
          parameters:
            a: {type: continuous, bounds: [0, 1]}
            b: {type: continuous, bounds: [0, 1], frozen: 0.25}
            c: {type: continuous, bounds: [0, 1]}
          constraints: [{type: linear, terms: {a: 1, b: 1, c: 1}, equals: 1}]
        objectives: {y: {goal: maximize}}
        planner: {type: random}
        stop: {experiments: 20}
    """
    space = check(write("m.yaml", text)).problem.space
    for candidate in space.decode(uniform(space, 20, np.random.default_rng(0))):
        assert candidate["b"] == 0.25
        assert candidate["a"] + candidate["c"] == pytest.approx(0.75, abs=1e-5)


def test_only_rows_of_a_pool_with_the_frozen_value_are_left(write):
    write("pool.csv", "a,b\n1,1\n1,2\n2,1\n2,2\n")
    text = """
        name: p
        space:
          parameters:
            a: {type: integer, bounds: [1, 2], frozen: 2}
            b: {type: integer, bounds: [1, 2]}
          candidates: {table: pool.csv}
        objectives: {y: {goal: maximize}}
        planner: {type: random}
        stop: {experiments: 2}
    """
    assert check(write("p.yaml", text)).problem.space.pool.codes.tolist() == [[2, 1], [2, 2]]


def test_a_history_is_filled_with_what_was(checked):
    problem = checked(hold="was: 120 min", gas="was: air").problem
    old = Candidate({"temperature": 1100.0, "firings": 1, "mesh": 45.0})
    new = Candidate({**old, "hold": 8.0, "gas": "argon"})
    history = History(
        (Trial(1, old, "people", "done", {"y": Estimate(1.0)}), Trial(2, new, "people", "pending")),
        (RoundRecord(1, 0, (old, new), {}),),
    )
    told = problem.told(history)
    assert told.trials[0].candidate == {**old, "hold": 2.0, "gas": "air"}
    assert told.trials[1].candidate == new
    assert told.rounds[0].candidates == (told.trials[0].candidate, new)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param({"temperature": "frozen: 1300"}, "1300 degC is outside [1000, 1250] degC", id="outside"),
        pytest.param({"temperature": "frozen: 2 kg"}, "cannot be given in degC", id="unit"),
        pytest.param({"firings": "frozen: 1.5"}, "must be a whole number", id="half"),
        pytest.param({"mesh": "frozen: 50"}, "is none of 45, 63, 90 um", id="level"),
        pytest.param({"gas": "frozen: 3"}, "must be one of its names", id="no-name"),
        pytest.param({"gas": "was: helium"}, "'helium' is none of", id="category"),
        pytest.param({"hold": "was: 0"}, "has no place on a log scale", id="log-of-zero"),
        pytest.param({"hold": "was: true"}, "must be a number in h", id="truth"),
        pytest.param({**FROZEN, "hold": "frozen: 4"}, "all parameters are frozen", id="all"),
    ],
)
def test_what_is_wrong_is_said(checked, keys, said):
    with pytest.raises(FileProblems) as caught:
        checked(**keys)
    assert said in str(caught.value)


def test_the_schema_knows_the_keys():
    kinds = campaign_schema()["$defs"]
    assert all({"frozen", "was"} <= set(kinds[f"parameter.{k}"]["properties"]) for k in ("continuous", "categorical"))


def test_known_data_without_the_new_parameter_had_the_value_that_it_was(write):
    write("old.csv", "hold [min],y\n60,1\n120,2\n")
    text = """
        name: k
        space:
          parameters:
            hold: {type: continuous, bounds: [0.5, 16], unit: h}
            pressure: {type: continuous, bounds: [1, 5], unit: bar, was: 100 kPa}
        start: {table: old.csv}
        objectives: {y: {goal: maximize}}
        planner: {type: random}
        stop: {experiments: 2}
    """
    known = check(write("k.yaml", text)).problem.known
    assert [t.candidate for t in known] == [{"hold": 1.0, "pressure": 1.0}, {"hold": 2.0, "pressure": 1.0}]
    with pytest.raises(FileProblems, match="has no column 'pressure'"):
        check(write("k.yaml", text.replace(", was: 100 kPa", "")))


def test_a_factorial_has_the_frozen_value_as_its_only_level(checked):
    from sdl.planners.classical import grid

    points = grid(checked(temperature="frozen: 1100", gas="frozen: air").problem.space, 2)
    assert len(points) == 2 * 2 * 3
    assert set(points[:, 0]) == {1100.0}
    assert set(points[:, 4]) == {0.0}
