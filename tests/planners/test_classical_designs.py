"""Factorials, Latin hypercubes, maximin and D-optimal designs: what defines each, in boxes, mixtures, levels and pools."""

from __future__ import annotations

import pickle
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_spaces import constrained_space

from sdl.errors import SpaceError
from sdl.objective import Estimate, Objective
from sdl.planners import History, Problem, RoundRecord, Trial, get_planner
from sdl.planners.bayes import BayesSettings, default_count
from sdl.planners.classical import grid, latin_hypercube, maximin
from sdl.planners.d_optimal import d_optimal, fewest, terms
from sdl.planners.design import Design, design_points, misfit_of
from sdl.space import Categorical, Continuous, CountConstraint, Integer, LinearConstraint, Pool, Space

UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
SQUARE = Space({"x": UNIT, "y": UNIT})
MIXED = Space(
    {
        "t": Continuous(type="continuous", bounds=(1, 100), scale="log"),
        "n": Integer(type="integer", bounds=(1, 3)),
        "k": Categorical(type="categorical", values=("p", "q", "r")),
    }
)
MIXTURE = Space(dict.fromkeys("abc", UNIT), [LinearConstraint(type="linear", terms=dict.fromkeys("abc", 1), equals=1)])
SPARSE = Space(
    dict.fromkeys("abcd", UNIT),
    [
        LinearConstraint(type="linear", terms=dict.fromkeys("abcd", 1), equals=1),
        CountConstraint(type="count", of=tuple("abcd"), at_most=2),
    ],
)
LEVELS = Space({"m": Integer(type="integer", bounds=(1, 4)), "k": Categorical(type="categorical", values=("p", "q"))})
_ROWS = np.random.default_rng(0).random((60, 2))
POOL = Space({"x": UNIT, "y": UNIT}, (), Pool.from_rows(("x", "y"), _ROWS, [(), ()]))
SPACES = {"square": SQUARE, "mixed": MIXED, "mixture": MIXTURE, "sparse": SPARSE, "levels": LEVELS, "pool": POOL}


def none(space: Space) -> Any:
    return np.empty((0, len(space.names)))


def test_the_factorial_is_every_combination_once() -> None:
    codes = grid(MIXED, 3)
    assert {tuple(np.round(c, 9)) for c in codes} == set(product((1.0, 10.0, 100.0), (1.0, 2.0, 3.0), (0.0, 1.0, 2.0)))
    ordered = design_points(MIXED, Design("factorial", levels=3), 1, 0, 27, none(MIXED))
    assert sorted(map(tuple, ordered)) == sorted(map(tuple, codes))
    assert not np.array_equal(ordered, codes), "in random order"
    assert len(grid(MIXTURE, 3)) == 6, "the simplex lattice {3, 2}"
    np.testing.assert_allclose(grid(MIXTURE, 3).sum(axis=1), 1.0)
    assert len(grid(SPARSE, 4)) == 4 + 6 * 2, "corners, and two inner points on each edge"


def test_a_latin_hypercube_has_one_point_in_every_stratum() -> None:
    codes = latin_hypercube(SQUARE, 9, np.random.default_rng(1))
    assert [sorted(np.floor(codes[:, i] * 9).astype(int)) for i in (0, 1)] == [list(range(9))] * 2
    mixed = latin_hypercube(MIXED, 6, np.random.default_rng(1))
    assert np.bincount(mixed[:, 2].astype(int)).tolist() == [2, 2, 2]
    strata = np.floor(MIXED.to_unit(mixed)[:, 0] * 6).astype(int)
    assert sorted(strata) == list(range(6))


def gap(space: Space, codes: Any) -> float:
    x = space.features(codes)
    return min(float(np.linalg.norm(a - b)) for i, a in enumerate(x) for b in x[:i])


@pytest.mark.parametrize("space", [pytest.param(s, id=i) for i, s in SPACES.items() if i != "levels"])
def test_maximin_is_farther_apart_than_chance(space: Space) -> None:
    rng = np.random.default_rng(2)
    found = maximin(space, 8, rng)
    assert [space.problems(c) for c in space.decode(found)] == [[]] * 8
    chance = [gap(space, design_points(space, "random", seed, 0, 8, none(space))) for seed in range(20)]
    assert gap(space, found) > max(chance)
    np.testing.assert_array_equal(maximin(space, 5, np.random.default_rng(2)), found[:5])


def test_the_d_optimal_design_of_a_linear_model_is_the_corners() -> None:
    # known: 2^k corners are D-optimal for the model with interactions, |XᵀX| = 4^4
    codes = d_optimal(SQUARE, 4, "interactions", 0)
    assert sorted(map(tuple, codes)) == sorted(product((0.0, 1.0), repeat=2))
    x = terms(SQUARE, codes, "interactions")
    assert np.linalg.det(x.T @ x) == pytest.approx(4**4)


def test_the_d_optimal_design_of_a_quadratic_model() -> None:
    # nine runs of a quadratic model in two factors: the 3 × 3 factorial, |XᵀX| = 5184 (Box and Draper, Technometrics 13, 731
    # (1971)); the middles of edges are among the candidates, the centre only nearly
    codes = d_optimal(SQUARE, 9, "quadratic", 0)
    x = terms(SQUARE, codes, "quadratic")
    assert np.linalg.det(x.T @ x) > 0.93 * 5184


def test_the_d_optimal_design_of_a_mixture_is_its_corners() -> None:
    codes = d_optimal(MIXTURE, 3, "linear", 0)
    np.testing.assert_allclose(sorted(map(tuple, codes)), sorted(map(tuple, np.eye(3))), atol=1e-9)
    assert fewest(MIXTURE, "linear", 0) == 3, "the constant is the sum of the components"
    assert fewest(MIXED, "linear", 0) == 5
    assert fewest(MIXED, "interactions", 0) == 5 + 1 + 2 + 2
    assert fewest(MIXED, "quadratic", 0) == 10 + 2


@pytest.mark.parametrize("space", [pytest.param(s, id=i) for i, s in SPACES.items()])
@pytest.mark.parametrize("kind", ["maximin", "factorial", "latin_hypercube", "d_optimal"])
def test_designs_lie_in_the_space_whatever_the_rounds(kind: Any, space: Space) -> None:
    design = Design(kind, 8, 2, "linear")
    if (why := misfit_of(space, design, None, 3)) is not None:
        assert "use maximin" in why or "leave 'count' out" in why
        if "count" not in why:
            return

    def run(cuts: list[int]) -> list[Any]:
        taken = none(space)
        for n in cuts:
            taken = np.concatenate([taken, design_points(space, design, 3, len(taken), n, taken)])
        return [tuple(row) for row in taken]

    whole = run([8])
    assert whole == run([1, 2, 5])
    assert len(set(whole)) == 8
    assert [space.problems(c) for c in space.decode(np.array(whole))] == [[]] * 8


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(constrained_space(), st.integers(0, 99))
def test_designs_of_any_space(space: Space, seed: int) -> None:
    for design in (Design("maximin"), Design("d_optimal", None, 2, "linear")):
        codes = design_points(space, design, seed, 0, 5, none(space))
        assert [space.problems(c) for c in space.decode(codes)] == [[]] * len(codes)


@pytest.mark.parametrize(
    ("space", "design", "budget", "said"),
    [
        (MIXED, Design("factorial"), 10, "the full factorial has 12 points, the campaign ends after 10 experiments"),
        (MIXED, Design("factorial", 5), 20, "has 12 points; leave 'count' out, or give count: 12"),
        (POOL, Design("factorial"), 20, "a fixed list of candidates has no grid; use maximin or d_optimal"),
        (MIXED, Design("factorial", levels=100), 20, "the full factorial has 900 points"),
        (Space(dict.fromkeys("abcdefgh", UNIT)), Design("factorial", levels=10), 9, "100000000 points before constraints"),
        (MIXTURE, Design("latin_hypercube", 5), 20, "cannot be kept with constraints; use maximin or sobol"),
        (SQUARE, Design("latin_hypercube"), 20, "needs its size: give 'count'"),
        (SQUARE, Design("d_optimal", 3), 20, "model 'interactions' has 4 coefficients here and takes as many experiments, got 3"),
        (POOL, Design("d_optimal", 61), 99, "61 points asked for, there are 60 candidates"),
        (SQUARE, Design("d_optimal", 4), 20, None),
        (POOL, Design("maximin", 4), 20, None),
    ],
)  # fmt: skip
def test_what_a_design_cannot_do_is_said(space: Space, design: Design, budget: int, said: str | None) -> None:
    found = misfit_of(space, design, budget, 1)
    assert (found is None) == (said is None)
    assert said is None or said in str(found)


def test_more_rows_than_there_are() -> None:
    with pytest.raises(SpaceError, match="61 rows asked for, the pool has 60"):
        maximin(POOL, 61, np.random.default_rng(0))


def test_a_design_is_its_name_and_travels() -> None:
    design = Design("d_optimal", 8, 3, "quadratic")
    again = pickle.loads(pickle.dumps(design))
    assert again == "d_optimal"
    assert (again.size, again.levels, again.model) == (8, 3, "quadratic")


# --- planners --------------------------------------------------------------------------------------------------------


def problem(space: Space, planner_settings: Any, budget: int = 12) -> Problem:
    return Problem(space, {"z": Objective(goal="maximize")}, {}, planner_settings, seed=5, budget=budget)


def run(planner: str, asked: Problem, cuts: list[int]) -> list[Any]:
    history = History()
    for number, n in enumerate(cuts):
        made = get_planner(planner).propose(asked, history, n, seed=number).candidates
        first = len(history.trials)
        trials = [Trial(first + i + 1, c, "default", "done", {"z": Estimate(1.0)}) for i, c in enumerate(made)]
        history = History((*history.trials, *trials), (*history.rounds, RoundRecord(number + 1, number, made, {})))
    return [t.candidate for t in history.trials]


@pytest.mark.parametrize("kind", ["factorial", "latin_hypercube", "maximin", "d_optimal"])
def test_the_planner_carries_out_the_design_and_ends(kind: str) -> None:
    made = get_planner("design").settings_model(design=kind)
    found = run("design", problem(MIXED, made), [12, 5])
    assert len(set(found)) == (12 if kind != "maximin" else 17)
    assert [MIXED.problems(c) for c in found] == [[]] * len(found)
    assert found[:12] == run("design", problem(MIXED, made), [5, 7])
    assert get_planner("design").misfits(problem(MIXED, made)) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["factorial", "latin_hypercube", "maximin", "d_optimal"])
def test_bayes_begins_with_the_design(kind: Any) -> None:
    asked = problem(MIXED, BayesSettings(initial={"type": kind, "count": 12, "model": "linear"}), 40)
    found = run("bayes", asked, [5, 7])
    expected = design_points(MIXED, Design(kind, 12, 2, "linear"), 5, 0, 12, none(MIXED))
    assert found == MIXED.decode(expected)
    assert get_planner("bayes").misfits(asked) == []  # type: ignore[attr-defined]


def test_default_counts() -> None:
    assert default_count(problem(MIXED, BayesSettings(initial={"type": "factorial", "levels": 3}))) == 27
    assert default_count(problem(MIXED, BayesSettings(initial={"type": "d_optimal", "model": "linear"}))) == 5
    said = get_planner("bayes").misfits(problem(MIXED, BayesSettings(initial={"type": "factorial", "levels": 3})))  # type: ignore[attr-defined]
    assert said == [("initial", "the full factorial has 27 points, the campaign ends after 12 experiments")]
