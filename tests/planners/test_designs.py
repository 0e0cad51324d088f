"""Registry, refusals, and the planners `random` and `sobol`."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sdl.errors import PlannerError
from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import (
    Capabilities,
    History,
    Problem,
    RoundRecord,
    Trial,
    get_planner,
    planner_names,
    refusals,
)
from sdl.planners.points import listed_codes
from sdl.space import Categorical, Continuous, Integer, LinearConstraint, Pool, Space

UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
SQUARE = Space({"x": UNIT, "y": UNIT})
SIMPLEX = Space(
    {"a": UNIT, "b": UNIT, "c": UNIT},
    [LinearConstraint(type="linear", terms={"a": 1, "b": 1, "c": 1}, equals=1)],
)
GRID = Space(
    {"m": Integer(type="integer", bounds=(1, 3)), "k": Categorical(type="categorical", values=("p", "q"))},
)
POOL = Space({"x": UNIT, "y": UNIT}, (), Pool.from_rows(("x", "y"), np.random.default_rng(0).random((12, 2)), [(), ()]))


def problem(space: Space, planner: str, seed: int = 5) -> Problem:
    return Problem(
        space, {"z": Objective(goal="maximize")}, {}, get_planner(planner).settings_model(), seed=seed, budget=20
    )


def told(history: History, candidates, seed: int = 0) -> History:
    start = len(history.trials)
    trials = [
        Trial(start + i + 1, c, "default", "done", {"z": Estimate(float(start + i))}) for i, c in enumerate(candidates)
    ]
    record = RoundRecord(len(history.rounds) + 1, seed, tuple(candidates), {})
    return History((*history.trials, *trials), (*history.rounds, record))


def in_rounds(planner: str, space: Space, cuts: list[int]) -> list:
    history = History()
    found: list = []
    for number, n in enumerate(cuts):
        made = get_planner(planner).propose(problem(space, planner), history, n, seed=100 + number).candidates
        found.extend(made)
        history = told(history, made)
    return found


def test_names_and_lookup():
    assert planner_names()[:3] == ("random", "sobol", "bayes")
    assert get_planner("bayes").name == "bayes"
    with pytest.raises(PlannerError, match="did you mean 'bayes'"):
        get_planner("bayess")


def test_import_loads_no_torch():
    code = (
        "import sys, sdl.planners, sdl.planners.registry as r; r.get_planner('bayes'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_refusals_say_everything_at_once():
    class Narrow:
        name = "narrow"
        settings_model = get_planner("random").settings_model
        capabilities = Capabilities(
            pools=False, constraints=False, outcome_constraints=False, goals=("maximize",), pending=False
        )

    objectives = {"z": Objective(goal="minimize"), "w": Objective(goal="maximize")}
    bounds = {"v": OutcomeConstraint(at_least=0.9)}
    said = refusals(Narrow(), SIMPLEX, objectives, bounds, concurrency=2)
    assert [
        word
        for word in ("constraints", "one objective", "'v'", "'minimize'", "2 at a time")
        if not any(word in s for s in said)
    ] == []
    assert len(said) == 5
    assert "fixed list" in refusals(Narrow(), POOL, {"w": objectives["w"]}, {})[0]
    assert refusals(get_planner("bayes"), SIMPLEX, {"z": objectives["z"]}, bounds, 8) == []


@pytest.mark.parametrize("planner", [pytest.param(p, id=p) for p in ("random", "sobol")])
@pytest.mark.parametrize(
    "space",
    [pytest.param(s, id=i) for i, s in (("box", SQUARE), ("simplex", SIMPLEX), ("grid", GRID), ("pool", POOL))],
)
def test_designs_stay_inside_and_never_repeat(planner: str, space: Space):
    found = in_rounds(planner, space, [1, 2, 3])
    assert [space.problems(c) for c in found] == [[]] * 6
    assert len(set(found)) == 6


@pytest.mark.parametrize(
    "space",
    [pytest.param(s, id=i) for i, s in (("box", SQUARE), ("simplex", SIMPLEX), ("grid", GRID), ("pool", POOL))],
)
def test_sobol_does_not_depend_on_how_rounds_were_cut(space: Space):
    assert (
        in_rounds("sobol", space, [1, 1, 1, 1, 1, 1])
        == in_rounds("sobol", space, [4, 2])
        == in_rounds("sobol", space, [6])
    )


@pytest.mark.parametrize("planner", [pytest.param(p, id=p) for p in ("random", "sobol")])
@pytest.mark.parametrize("space", [pytest.param(GRID, id="grid"), pytest.param(POOL, id="pool")])
def test_a_space_that_is_used_up_gives_fewer(planner: str, space: Space):
    total = len(listed_codes(space))
    history = told(History(), in_rounds(planner, space, [total - 2]))
    made = get_planner(planner).propose(problem(space, planner), history, 5, seed=1)
    assert len(made.candidates) == 2
    assert any("used up" in line for line in made.diagnostics["fallbacks"])
    assert get_planner(planner).propose(problem(space, planner), told(history, made.candidates), 1, 1).candidates == ()


def test_taken_points_of_every_state_are_left_alone():
    first = in_rounds("sobol", POOL, [9])
    states = ("done", "failed", "pending")
    trials = tuple(Trial(i + 1, c, "default", states[i % 3]) for i, c in enumerate(first))
    for planner in ("random", "sobol", "bayes"):
        made = get_planner(planner).propose(problem(POOL, planner), History(trials), 3, seed=2).candidates
        assert len(set(made) | set(first)) == 12


def test_random_is_drawn_from_the_round_and_sobol_from_the_campaign():
    one = get_planner("random").propose(problem(SQUARE, "random"), History(), 2, seed=1)
    assert one != get_planner("random").propose(problem(SQUARE, "random"), History(), 2, seed=2)
    sobol = [
        get_planner("sobol").propose(problem(SQUARE, "sobol", seed), History(), 2, 1).candidates for seed in (1, 2)
    ]
    assert sobol[0] != sobol[1]
    assert sobol[0] == get_planner("sobol").propose(problem(SQUARE, "sobol", 1), History(), 2, 99).candidates
