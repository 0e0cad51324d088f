"""Ax, BayBE and Optuna as planners: inside the space, nothing twice, reproducible, and the process left as it was."""

# ruff: noqa: NPY002  the global generator is what these tests are about

from __future__ import annotations

import json
import logging
import random
import warnings
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from sdl.errors import PlannerError
from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import History, Problem, Trial, get_planner, refusals
from sdl.planners.adapters import borrowing
from sdl.planners.design import design_points
from sdl.planners.points import to_candidates
from sdl.space import Categorical, Continuous, Discrete, Integer, LinearConstraint, Pool, Space

UNIT = Continuous(type="continuous", bounds=(0, 1))
LOG = Continuous(type="continuous", bounds=(0.5, 16), scale="log")
TYPES = Categorical(type="categorical", values=("p", "q", "r"))
DESCRIBED = Categorical(
    type="categorical", values=("p", "q"), descriptors={"p": {"r": 1.0, "e": 3}, "q": {"r": 2.0, "e": 8}}
)
MIXTURE = Space(
    dict.fromkeys("abc", UNIT), [LinearConstraint(type="linear", terms=dict.fromkeys("abc", 1.0), equals=1)]
)
UNEQUAL = Space(
    {"x": UNIT, "y": UNIT}, [LinearConstraint(type="linear", terms={"x": 2, "y": 1}, at_most=1.2, at_least=0.3)]
)


def a_pool() -> Space:
    """40 rows; the third column is the same in all, the last a category."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.random(40), 0.5 * 32 ** rng.random(40), np.ones(40), rng.integers(0, 3, 40)])
    names = ("x", "y", "same", "s")
    return Space(
        {"x": UNIT, "y": LOG, "same": UNIT, "s": TYPES},
        pool=Pool.from_rows(names, rows, ((), (), (), TYPES.values)),
    )


SPACES = {
    "box": Space({"x": UNIT, "y": LOG}),
    "mixed": Space({"x": LOG, "d": Discrete(type="discrete", values=(1, 2, 5)), "s": DESCRIBED}),
    "levels": Space({"n": Integer(type="integer", bounds=(1, 4)), "s": TYPES}),
    "pool": a_pool(),
    "mixture": MIXTURE,
    "inequality": UNEQUAL,
}
PLANNERS = {"ax": ("ax", {}), "baybe": ("baybe", {}), "tpe": ("optuna", {}), "gp": ("optuna", {"sampler": "gp"})}
MODULES = {"ax": "ax", "baybe": "baybe", "tpe": "optuna", "gp": "optuna"}
ABLE = {"ax": set(SPACES), "baybe": set(SPACES), "tpe": {"box", "mixed", "levels", "pool"}}
ABLE["gp"] = ABLE["tpe"]


@pytest.fixture(params=PLANNERS)
def peer(request):
    """The name of a peer that is installed."""
    return installed(request.param)


def installed(name: str) -> str:
    if find_spec(MODULES[name]) is None:
        pytest.skip(f"needs the extra sdl[peers]: {MODULES[name]} is not installed")
    return name


def planner_of(name: str):
    return get_planner(PLANNERS[name][0])


def problem_of(name: str, space: Space, objectives=None, constraints=None) -> Problem:
    settings = planner_of(name).settings_model(**PLANNERS[name][1])
    return Problem(space, objectives or {"o": Objective(goal="minimize")}, constraints or {}, settings, 3, 30)


def history_of(space: Space, n: int, outcomes=("o",)) -> History:
    """n trials; the last failed, the one before is under way."""
    codes = design_points(space, "random", 1, 0, n, np.empty((0, len(space.names))))
    trials = [
        Trial(
            i,
            candidate,
            "default",
            "done",
            {o: Estimate(float(u.sum()) + k * float(u[0])) for k, o in enumerate(outcomes)},
        )
        for i, (candidate, u) in enumerate(
            zip(to_candidates(space, codes), space.features(codes), strict=True), start=1
        )
    ]
    trials[-1] = replace(trials[-1], state="failed", outcomes={})
    trials[-2] = replace(trials[-2], state="pending", outcomes={})
    return History(tuple(trials))


@pytest.mark.parametrize("space", SPACES)
def test_proposals_lie_inside_and_repeat_nothing(peer, space):
    planner, problem = planner_of(peer), problem_of(peer, SPACES[space])
    if space not in ABLE[peer]:
        assert refusals(planner, problem.space, problem.objectives, {})
        return
    assert refusals(planner, problem.space, problem.objectives, {}) == []
    history = history_of(problem.space, 12 if space != "levels" else 8)
    first = planner.propose(problem, history, 2, 7)
    assert len(first.candidates) == 2
    assert [problem.space.problems(c) for c in first.candidates] == [[], []]
    known = {t.candidate for t in history.trials}
    assert len({*first.candidates, *known}) == len(known) + 2
    json.dumps(first.diagnostics, allow_nan=False)
    assert first.diagnostics["library"].split()[1][0].isdigit()


@pytest.mark.parametrize("space", ["box", "pool"])
def test_proposals_can_be_recomputed(peer, space):
    planner, problem = planner_of(peer), problem_of(peer, SPACES[space])
    history = history_of(problem.space, 12)
    first = planner.propose(problem, history, 1, 7)
    np.random.seed(5)  # whatever the process has drawn before
    random.seed(5)
    assert planner.propose(problem, history, 1, 7) == first


def test_the_model_learns(peer):
    """One of two points proposed for x + y lies nearer to its least value than any that was measured."""
    box = Space({"x": UNIT, "y": UNIT})
    history = history_of(box, 16)
    found = planner_of(peer).propose(problem_of(peer, box), history, 2, 1).candidates
    sums = [float(c["x"]) + float(c["y"]) for c in found]
    measured = [t.outcomes["o"].value for t in history.done]
    assert min(sums) < (min(measured) if peer != "tpe" else float(np.median(measured)))


def test_the_first_points_need_no_results(peer):
    for space in (SPACES["box"], SPACES["pool"]):
        found = planner_of(peer).propose(problem_of(peer, space), History(), 3, 1).candidates
        assert len(set(found)) == 3
        assert not any(space.problems(c) for c in found)


def test_a_pool_is_used_up_and_not_beyond(peer):
    space = SPACES["pool"]
    history = history_of(space, len(space.pool) - 1)
    proposal = planner_of(peer).propose(problem_of(peer, space), history, 3, 1)
    assert len(proposal.candidates) == 1
    assert "used up" in proposal.diagnostics["fallbacks"][-1]


def test_nothing_global_is_changed(peer):
    import torch

    planner, problem = planner_of(peer), problem_of(peer, SPACES["box"])
    history = history_of(problem.space, 12)
    planner.propose(problem, history, 1, 1)  # what importing the libraries changes is theirs
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        torch.set_num_threads(2)
        torch.set_default_dtype(torch.float64)
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        filters, disabled = list(warnings.filters), logging.root.manager.disable
        planner.propose(problem, history, 1, 2)
        assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states
        assert (torch.get_num_threads(), torch.get_default_dtype()) == (2, torch.float64)
        assert (list(warnings.filters), logging.root.manager.disable) == (filters, disabled)
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)


def test_the_process_is_put_back_after_an_error_too():
    state, disabled = np.random.get_state()[1].tolist(), logging.root.manager.disable

    def broken():
        with borrowing.borrowed(1):
            np.random.random()
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        broken()
    assert np.random.get_state()[1].tolist() == state
    assert logging.root.manager.disable == disabled


@pytest.mark.parametrize("name", ["ax", "tpe", "gp"])
def test_bounds_on_outcomes_are_kept_where_they_can_be(name):
    """f + x may not lie below 1.5: the least f that is allowed is not the least of all."""
    installed(name)
    space = Space({"x": UNIT, "y": UNIT})
    constraints = {"c": OutcomeConstraint(at_least=1.5)}
    problem = problem_of(name, space, constraints=constraints)
    planner = planner_of(name)
    assert refusals(planner, space, problem.objectives, constraints) == []
    (found,) = planner.propose(problem, history_of(space, 24, ("o", "c")), 1, 4).candidates
    if name != "tpe":
        assert 2 * float(found["x"]) + float(found["y"]) > 1.2


@pytest.mark.parametrize("name", ["ax", "baybe", "tpe", "gp"])
def test_several_objectives(name):
    installed(name)
    space = Space({"x": UNIT, "y": UNIT})
    objectives = {"o": Objective(goal="minimize"), "c": Objective(goal="maximize")}
    problem = problem_of(name, space, objectives)
    assert refusals(planner_of(name), space, objectives, {}) == []
    found = planner_of(name).propose(problem, history_of(space, 14, ("o", "c")), 1, 4).candidates
    assert len(found) == 1
    assert space.problems(found[0]) == []


def test_baybe_matches_a_value():
    installed("baybe")
    space = Space({"x": UNIT})
    objectives = {"o": Objective(goal="match", value=0.4)}
    (found,) = (
        planner_of("baybe").propose(problem_of("baybe", space, objectives), history_of(space, 10), 1, 1).candidates
    )
    assert float(found["x"]) == pytest.approx(0.4, abs=0.1)


def test_what_a_peer_cannot_do_is_refused_with_the_reason():
    goal = {"o": Objective(goal="minimize")}
    bounds = {"c": OutcomeConstraint(at_least=1.0)}
    ax, baybe, optuna = (get_planner(n) for n in ("ax", "baybe", "optuna"))
    assert "a + b + c = 1" in refusals(optuna, MIXTURE, goal, {})[0]
    assert "outcome constraints" in refusals(baybe, SPACES["box"], goal, bounds)[0]
    assert "goal 'match'" in refusals(ax, SPACES["box"], {"o": Objective(goal="match", value=1.0)}, {})[0]
    assert "objective too" in refusals(ax, SPACES["box"], goal, {"o": OutcomeConstraint(at_most=2.0)})[0]
    curved = Space({"x": UNIT, "y": LOG}, [LinearConstraint(type="linear", terms={"x": 1, "y": 1}, at_most=9)])
    assert "x + y ≤ 9" in refusals(ax, curved, goal, {})[0]
    assert "x + y ≤ 9" in refusals(baybe, curved, goal, {})[0]
    two = Space(
        dict.fromkeys("abcd", UNIT),
        [LinearConstraint(type="linear", terms=dict.fromkeys(pair, 1), equals=1) for pair in ("ab", "cd")],
    )
    assert "at most one equality" in refusals(ax, two, goal, {})[0]
    many = Space({n: Integer(type="integer", bounds=(1, 100)) for n in "abc"})
    assert "1000000 of them" in refusals(baybe, many, goal, {})[0]


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    def gone(module):
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr(borrowing, "import_module", gone)
    for name in ("ax", "baybe", "optuna"):
        problem = replace(problem_of("tpe", SPACES["box"]), settings=get_planner(name).settings_model())
        with pytest.raises(PlannerError, match=rf"planner '{name}' needs the extra sdl\[peers\]"):
            get_planner(name).propose(problem, history_of(SPACES["box"], 12), 1, 1)
