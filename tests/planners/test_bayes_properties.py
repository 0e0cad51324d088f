"""Planner `bayes` in made-up spaces with made-up histories: 200 situations in every test run, thousands in `make validate`.

No proposal violates a constraint, leaves the pool, repeats a point that is known or under way, or is non-finite; and the same
situation always gives the same proposal.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from made_up_spaces import constrained_space, space

from sdl.errors import SpaceError
from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import Group, History, Problem, Trial, get_planner
from sdl.planners.bayes import BayesSettings
from sdl.planners.points import listed_codes
from sdl.space import Continuous, Pool, Space
from sdl.space.sampling import uniform

BAYES = get_planner("bayes")
SHAPES = ("any", "any", "constant", "all failed", "one observation", "duplicated")
SCALES = (1e-12, 1.0, 1e9)


def pool_of(plain: Space, rows: int, seed: int) -> Space:
    """Return the same parameters over a pool of distinct rows drawn from a space."""
    codes = np.unique(uniform(plain, rows, np.random.default_rng(seed)), axis=0)
    values = [tuple(getattr(p, "values", ())) if p.type == "categorical" else () for p in plain.parameters.values()]
    shown = plain.decode(codes)
    columns = [[v.index(c[name]) if v else c[name] for c in shown] for name, v in zip(plain.names, values, strict=True)]
    return Space(plain.parameters, (), Pool.from_rows(plain.names, np.column_stack(columns), values))


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    kind = draw(st.sampled_from(["free", "linear", "constrained", "pool"]))
    if kind == "constrained":
        return draw(constrained_space())
    made = draw(space(constrained=kind == "linear"))
    return pool_of(made, draw(st.integers(2, 40)), draw(st.integers(0, 9))) if kind == "pool" else made


def random_of(problem: Problem) -> Problem:
    """Return the same problem for planner `random`."""
    return replace(problem, settings=get_planner("random").settings_model())


def goal(draw: st.DrawFn, scale: float) -> Objective:
    name = draw(st.sampled_from(["maximize", "minimize", "match"]))
    return Objective(goal=name, value=0.3 * scale if name == "match" else None)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Problem, History, int]:
    where = draw(spaces())
    scale = draw(st.sampled_from(SCALES))
    shape = draw(st.sampled_from(SHAPES))
    objectives = {"z": goal(draw, scale)}
    if draw(st.integers(0, 4)) == 0:
        objectives["y"] = goal(draw, scale)
    bounded = draw(st.integers(0, 3)) == 0
    constraints = {"w": OutcomeConstraint(at_least=0.5 * scale)} if bounded else {}
    problem = Problem(where, objectives, constraints, BayesSettings(initial={"count": draw(st.integers(1, 4))}), seed=5)
    number = 1 if shape == "one observation" else draw(st.integers(0, 12))
    try:
        made = get_planner("random").propose(random_of(problem), History(), number, draw(st.integers(0, 5)))
    except (
        SpaceError
    ):  # constraints that only a corner keeps, which no walk meets: such a campaign is refused at its start
        reject()
    points = list(made.candidates)
    if points and shape == "duplicated" and where.pool is None:
        points += points[: draw(st.integers(1, 3))]
    numbers = st.one_of(st.floats(-5, 5), st.sampled_from([0.0, 1.0, 1e3]))
    stated = draw(st.sampled_from(["none", "all", "some", "zero"]))
    trials = []
    for i, point in enumerate(points, start=1):
        state = draw(st.sampled_from(["done", "done", "done", "failed", "pending"]))
        if shape in ("all failed", "one observation"):
            state = "failed" if shape == "all failed" else "done"
        outcomes = {}
        if state == "done":
            sure = {"all": 0.1 * scale, "some": 0.1 * scale if i % 2 else None, "zero": 0.0}.get(stated)
            for name in [*objectives, *constraints]:
                if draw(st.integers(0, 9)):
                    outcomes[name] = Estimate(scale * (2.0 if shape == "constant" else draw(numbers)), sure)
        trials.append(Trial(i, point, "default", state, outcomes))
    return problem, History(tuple(trials)), draw(st.integers(1, 3))


def check(problem: Problem, history: History, n: int) -> None:
    proposal = BAYES.propose(problem, history, n, seed=11)
    candidates = proposal.candidates
    assert [problem.space.problems(c) for c in candidates] == [[]] * len(candidates)
    assert all(math.isfinite(v) for c in candidates for v in c.values() if not isinstance(v, str))
    assert len(set(candidates)) == len(candidates)
    taken = {t.candidate for t in history.trials}
    assert not taken & set(candidates)
    listed = listed_codes(problem.space)
    left = n if listed is None else min(n, len(listed) - len(taken))
    if listed is None and len(candidates) < left:  # constraints leave few points, which nobody counted
        assert "the space is used up" in " ".join(proposal.diagnostics["fallbacks"])
        assert len(set(get_planner("random").propose(random_of(problem), History(), 64, 1).candidates)) < 64
        left = len(candidates)
    assert len(candidates) == left
    told: list[Any] = proposal.diagnostics["candidates"]
    assert len(told) == left
    json.dumps(proposal.diagnostics, allow_nan=False)
    if len(history.trials) % 4 == 0:  # a quarter of all: each proposal costs
        again = BAYES.propose(problem, history, n, seed=11)
        assert again.candidates == candidates
        assert again.diagnostics == proposal.diagnostics


def many(number: int) -> Any:
    return settings(
        max_examples=number, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )


@pytest.mark.slow
@many(200)
@given(situations())
def test_every_proposal_is_valid_and_the_same_again(situation: tuple[Problem, History, int]) -> None:
    check(*situation)


@pytest.mark.validate
@pytest.mark.timeout(3600)
@many(3000)
@given(situations())
def test_thousands_of_proposals_are_valid_and_the_same_again(situation: tuple[Problem, History, int]) -> None:
    check(*situation)


@st.composite
def further_wishes(draw: st.DrawFn) -> tuple[Problem, History, int]:
    """Situations with groups, with tolerances, or with repeats allowed."""
    problem, history, _ = draw(situations())
    where, n = problem.space, draw(st.integers(1, 5))
    wish = draw(st.sampled_from(["group", "group", "tolerance", "repeats"]))
    if wish == "group" and len(where.names) > 1:
        shared = draw(st.lists(st.sampled_from(where.names), min_size=1, max_size=len(where.names) - 1, unique=True))
        problem = replace(problem, group=Group(tuple(shared), draw(st.integers(2, 4))))
    elif wish == "tolerance":
        bound = {name for c in where.linear if c.is_equality for name in c.terms}
        loose = {k: p for k, p in where.parameters.items() if isinstance(p, Continuous) and k not in bound}
        sizes = {k: 0.5 * p.lower if p.scale == "log" else 0.1 * (p.upper - p.lower) for k, p in loose.items()}
        problem = replace(
            problem, tolerances={k: min(v, 0.1 * (loose[k].upper - loose[k].lower)) for k, v in sizes.items()}
        )
    elif len(problem.objectives) == 1:
        problem = replace(problem, settings=problem.settings.model_copy(update={"replicates": True}))
    return problem, history, n


def check_wishes(problem: Problem, history: History, n: int) -> None:
    if not problem.settings.replicates:
        check(problem, history, n)
    proposal = BAYES.propose(problem, history, n, seed=11)
    if problem.settings.replicates:
        assert [problem.space.problems(c) for c in proposal.candidates] == [[]] * len(proposal.candidates)
        assert len(set(proposal.candidates)) == len(proposal.candidates) <= n
        assert not {t.candidate for t in history.trials if t.state != "done"} & set(proposal.candidates) - {
            t.candidate for t in history.trials if t.state == "done"
        }
        assert not {t.candidate for t in history.trials if t.state == "pending"} & set(proposal.candidates)
    if problem.group is None:
        return
    at = 0
    for told in proposal.diagnostics["group"]["groups"]:
        members = proposal.candidates[at : at + told["members"]]
        assert 1 <= len(members) <= problem.group.capacity
        assert {tuple(m[k] for k in problem.group.shared) for m in members} == {tuple(told["settings"].values())}
        at += len(members)
    assert at == len(proposal.candidates)


@pytest.mark.slow
@many(40)
@given(further_wishes())
def test_groups_tolerances_and_repeats_keep_all_that_too(situation: tuple[Problem, History, int]) -> None:
    check_wishes(*situation)


@pytest.mark.validate
@pytest.mark.timeout(3600)
@many(1000)
@given(further_wishes())
def test_groups_tolerances_and_repeats_a_thousand_times(situation: tuple[Problem, History, int]) -> None:
    check_wishes(*situation)


@pytest.mark.slow
def test_what_is_made_up_covers_what_is_promised() -> None:
    """Every kind of space and history that the promise names is among the situations."""
    seen: set[str] = set()

    @many(300)
    @given(situations())
    def look(situation: tuple[Problem, History, int]) -> None:
        problem, history, _ = situation
        states = {t.state for t in history.trials}
        values = [t.outcomes["z"].value for t in history.trials if "z" in t.outcomes]
        points = [t.candidate for t in history.trials]
        seen.update(
            name
            for name, holds in {
                "pool": problem.space.pool is not None,
                "constrained": bool(problem.space.constraints),
                "all failed": states == {"failed"},
                "one observation": len(values) == 1 == len(points),
                "constant": len(values) > 2 and len(set(values)) == 1,
                "duplicated": len(set(points)) < len(points),
                "tiny": bool(values) and 0 < max(map(abs, values)) < 1e-9,
                "huge": bool(values) and max(map(abs, values)) > 1e9,
                "pending": "pending" in states,
                "two objectives": len(problem.objectives) == 2,
                "bounds": bool(problem.outcome_constraints),
                "nothing": not history.trials,
            }.items()
            if holds
        )

    look()
    assert seen == {
        "pool", "constrained", "all failed", "one observation", "constant", "duplicated", "tiny", "huge", "pending",
        "two objectives", "bounds", "nothing",
    }  # fmt: skip
