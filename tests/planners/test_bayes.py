"""Planner `bayes` as a whole: what it proposes, that it is reproducible, and that nothing breaks it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import History, Problem, Trial, get_planner, round_seed
from sdl.planners.bayes import BayesSettings, default_count
from sdl.planners.points import listed_codes
from sdl.space import Categorical, Continuous, Discrete, Integer, LinearConstraint, Pool, Space

BAYES = get_planner("bayes")


def continuous(low: float, high: float, scale: str = "linear", unit: str = "dimensionless") -> Continuous:
    return Continuous(type="continuous", bounds=(low, high), scale=scale, unit=unit)


UNIT = continuous(0.0, 1.0)
BOX = Space({"x": UNIT, "y": UNIT})
SIMPLEX = Space(
    {"a": UNIT, "b": UNIT, "c": UNIT, "d": UNIT},
    [LinearConstraint(type="linear", terms={"a": 1, "b": 1, "c": 1, "d": 1}, equals=1)],
)
CERAMICS = Space(
    {
        "temperature": continuous(1000, 1250, unit="degC"),
        "hold": continuous(0.5, 16, "log", "h"),
        "li_excess": continuous(0, 0.3),
        "atmosphere": Categorical(type="categorical", values=("air", "argon", "oxygen")),
        "firings": Integer(type="integer", bounds=(1, 3)),
    },
    [LinearConstraint(type="linear", terms={"temperature": 1, "hold": 10}, at_most=1250)],
)
TIGHT = Space(
    {
        "a": continuous(0.1, 0.7),
        "b": continuous(0.05, 0.9, "log"),
        "c": UNIT,
        "n": Integer(type="integer", bounds=(0, 4)),
        "s": Categorical(
            type="categorical", values=("p", "q"), descriptors={"p": {"r": 1.0, "e": 3}, "q": {"r": 2.0, "e": 8}}
        ),
    },
    [
        LinearConstraint(type="linear", terms={"a": 1, "b": 1, "c": 1}, equals=1),
        LinearConstraint(type="linear", terms={"a": 1, "n": 0.1}, at_least=0.2, at_most=0.6),
    ],
)
LEVELS = Space(
    {
        "m": Integer(type="integer", bounds=(1, 4)),
        "v": Discrete(type="discrete", values=(0.1, 1, 10)),
        "k": Categorical(type="categorical", values=("p", "q")),
    }
)
MANY_LEVELS = Space({name: Integer(type="integer", bounds=(0, 99)) for name in "abc"})
_ROWS = np.random.default_rng(3).random((40, 2)).round(2)
POOL = Space(
    {"x": UNIT, "k": Categorical(type="categorical", values=("p", "q"))},
    (),
    Pool.from_rows(("x", "k"), np.column_stack([_ROWS[:, 0], _ROWS[:, 1] > 0.5]), [(), ("p", "q")]),
)
SPACES = {
    "box": BOX,
    "simplex": SIMPLEX,
    "ceramics": CERAMICS,
    "tight": TIGHT,
    "levels": LEVELS,
    "many levels": MANY_LEVELS,
    "pool": POOL,
}


def campaign(space: Space, goal: str = "maximize", *, count: int | None = 3, **kwargs) -> Problem:
    objective = Objective(goal=goal, value=0.3 if goal == "match" else None)
    return Problem(
        space,
        {"z": objective},
        kwargs.pop("constraints", {}),
        BayesSettings(initial={"count": count}),
        seed=kwargs.pop("seed", 7),
        **kwargs,
    )


def some_points(space: Space, n: int, seed: int = 1) -> list:
    made = get_planner("random").propose(campaign(space), History(), n, seed)
    return list(made.candidates)


def results(space: Space, n: int, f=None, seed: int = 1, **more) -> History:
    f = f or (lambda c: float(sum(v for v in c.values() if not isinstance(v, str))))
    return History(
        tuple(
            Trial(i + 1, c, "default", "done", {"z": Estimate(f(c)), **{k: Estimate(g(c)) for k, g in more.items()}})
            for i, c in enumerate(some_points(space, n, seed))
        )
    )


def check(space: Space, history: History, proposal, n: int) -> None:
    taken = {t.candidate for t in history.trials}
    assert [space.problems(c) for c in proposal.candidates] == [[]] * len(proposal.candidates)
    assert all(math.isfinite(v) for c in proposal.candidates for v in c.values() if not isinstance(v, str))
    assert len(set(proposal.candidates)) == len(proposal.candidates)
    assert not taken & set(proposal.candidates)
    listed = listed_codes(space)
    left = n if listed is None else min(n, len(listed) - len(taken))
    assert len(proposal.candidates) == left
    assert len(proposal.diagnostics["candidates"]) == left
    json.dumps(proposal.diagnostics, allow_nan=False)


@st.composite
def situations(draw):
    space = SPACES[draw(st.sampled_from(sorted(SPACES)))]
    goal = draw(st.sampled_from(["maximize", "minimize", "match"]))
    bounded = draw(st.booleans())
    scale = 10.0 ** draw(st.sampled_from([-12, 0, 12]))
    stated = draw(st.sampled_from(["none", "all", "some"]))
    number = draw(st.integers(0, 14))
    points = some_points(space, min(number, 12), draw(st.integers(0, 5)))
    if points and space.pool is None and draw(st.booleans()):
        points.append(points[0])  # a replicate
    value = st.one_of(st.just(1.0), st.floats(-5, 5), st.just(0.0))
    trials = []
    for i, candidate in enumerate(points):
        state = draw(st.sampled_from(["done", "done", "done", "failed", "pending"]))
        outcomes = {}
        if state == "done":
            u = scale * 0.1 if stated == "all" or (stated == "some" and i % 2) else None
            outcomes["z"] = Estimate(scale * draw(value), u)
            if bounded and draw(st.booleans()):
                outcomes["w"] = Estimate(scale * draw(value))
        trials.append(Trial(i + 1, candidate, "default", state, outcomes))
    constraints = {"w": OutcomeConstraint(at_least=0.5 * scale)} if bounded else {}
    return campaign(space, goal, constraints=constraints), History(tuple(trials)), draw(st.integers(1, 3))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(situations())
def test_every_proposal_is_valid(situation):
    problem, history, n = situation
    check(problem.space, history, BAYES.propose(problem, history, n, seed=11), n)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([2.0] * 6, id="constant"),
        pytest.param([0.0] * 6, id="zero"),
        pytest.param([1e-12 * v for v in (1, 2, 3, 2, 1, 5)], id="tiny"),
        pytest.param([1e12 * v for v in (1, 2, 3, 2, 1, 5)], id="huge"),
        pytest.param([1e300, -1e300, 1e300, 1.0, 2.0, 3.0], id="near overflow"),
        pytest.param([1e12, 1e12 + 1, 1e12 + 2, 1e12 + 1, 1e12, 1e12 + 3], id="small spread on a large number"),
        pytest.param([5.0], id="one"),
    ],
)
@pytest.mark.parametrize("space", [pytest.param(s, id=i) for i, s in SPACES.items() if i in ("box", "tight", "pool")])
def test_degenerate_outcomes(space: Space, values: list[float]):
    points = some_points(space, len(values))
    trials = tuple(
        Trial(i + 1, c, "default", "done", {"z": Estimate(v)})
        for i, (c, v) in enumerate(zip(points, values, strict=False))
    )
    problem = campaign(space, count=1)
    check(space, History(trials), BAYES.propose(problem, History(trials), 2, seed=3), 2)


def test_all_failed_goes_on_with_the_design_and_says_so():
    trials = tuple(Trial(i + 1, c, "default", "failed") for i, c in enumerate(some_points(CERAMICS, 6)))
    made = BAYES.propose(campaign(CERAMICS), History(trials), 2, seed=3)
    check(CERAMICS, History(trials), made, 2)
    assert any("no experiment has given 'z'" in line for line in made.diagnostics["fallbacks"])


def test_failures_push_away():
    def seen(state: str) -> History:
        inside = [t.candidate for t in results(BOX, 25).trials]
        good = [
            Trial(i + 1, c, "default", "done", {"z": Estimate(c["x"])}) for i, c in enumerate(inside) if c["x"] < 0.6
        ]
        bad = [{"x": 0.95, "y": y} for y in (0.1, 0.3, 0.5, 0.7, 0.9)]
        outcomes = {"z": Estimate(0.95)} if state == "done" else {}
        return History(
            (*good, *(Trial(90 + i, type(inside[0])(c), "default", state, outcomes) for i, c in enumerate(bad)))
        )

    eager = BAYES.propose(campaign(BOX), History(seen("failed").trials[:-5]), 1, seed=1)
    wary = BAYES.propose(campaign(BOX), seen("failed"), 1, seed=1)
    assert wary.candidates[0]["x"] < eager.candidates[0]["x"]
    assert wary.diagnostics["candidates"][0]["probability_of_success"] < 1


@pytest.mark.parametrize("space", [pytest.param(s, id=i) for i, s in SPACES.items() if i != "levels"])
def test_initial_design_does_not_depend_on_how_rounds_were_cut(space: Space):
    problem = campaign(space, count=6)

    def run(cuts: list[int]) -> list:
        trials: tuple[Trial, ...] = ()
        for i, n in enumerate(cuts):
            made = BAYES.propose(problem, History(trials), n, round_seed(7, i))
            state = "done" if i % 2 else "pending"
            trials += tuple(
                Trial(len(trials) + j + 1, c, "default", state, {"z": Estimate(1.0)} if state == "done" else {})
                for j, c in enumerate(made.candidates)
            )
        return [t.candidate for t in trials]

    whole = run([6])
    assert whole == run([1] * 6) == run([2, 3, 1])
    assert len(set(whole)) == 6


@pytest.mark.parametrize(
    "space", [pytest.param(s, id=i) for i, s in SPACES.items() if i in ("ceramics", "pool", "tight")]
)
def test_same_arguments_same_bits_and_nothing_global_changes(space: Space):
    import torch

    problem, history = campaign(space), results(space, 12)
    first = BAYES.propose(problem, history, 2, seed=5)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(123)
        np.random.seed(4)  # noqa: NPY002  the global state is what is tested
        torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        again = BAYES.propose(problem, history, 2, seed=5)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.random.get_rng_state(), torch_state)
        assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
        torch.set_default_dtype(torch.float64)
        third = BAYES.propose(problem, history, 2, seed=5)
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
    assert first == again == third
    assert json.dumps(first.diagnostics) == json.dumps(again.diagnostics) == json.dumps(third.diagnostics)


def test_batch_spreads_and_pending_points_count():
    history = results(BOX, 8, lambda c: -((c["x"] - 0.5) ** 2) - (c["y"] - 0.5) ** 2)
    single = BAYES.propose(campaign(BOX), history, 1, seed=2).candidates[0]
    batch = BAYES.propose(campaign(BOX), history, 3, seed=2).candidates
    under_way = History((*history.trials, Trial(9, single, "default", "pending")))
    after = BAYES.propose(campaign(BOX), under_way, 1, seed=2).candidates[0]
    points = np.array([[c["x"], c["y"]] for c in (single, after)])
    assert np.linalg.norm(points[0] - points[1]) > 1e-3
    assert len(set(batch)) == 3


def test_stated_uncertainties_are_used_when_all_are_there():
    def history(which) -> History:
        return History(
            tuple(
                Trial(t.number, t.candidate, "default", "done", {"z": Estimate(t.outcomes["z"].value, which(t.number))})
                for t in results(BOX, 8).trials
            )
        )

    full = BAYES.propose(campaign(BOX), history(lambda _: 0.2), 1, seed=2).diagnostics
    part = BAYES.propose(campaign(BOX), history(lambda k: 0.2 if k > 2 else None), 1, seed=2).diagnostics
    assert full["models"]["z"]["uncertainties"].startswith("stated")
    assert part["models"]["z"]["uncertainties"] == "noise inferred"
    assert any("6 of 8 results have a usable uncertainty" in line for line in part["fallbacks"])


def closed_loop(problem: Problem, f, n: int, seed: int = 0) -> list[dict]:
    trials: list[Trial] = []
    for i in range(n):
        (candidate,) = BAYES.propose(problem, History(tuple(trials)), 1, round_seed(seed, i)).candidates
        outcomes = {name: Estimate(value) for name, value in f(candidate).items()}
        trials.append(Trial(i + 1, candidate, "default", "done", outcomes))
    return [{**t.candidate, **{k: e.value for k, e in t.outcomes.items()}} for t in trials]


def test_branin():
    space = Space({"x": continuous(-5, 10), "y": continuous(0, 15)})

    def branin(c) -> dict[str, float]:
        x, y = c["x"], c["y"]
        b = y - 5.1 * x * x / (4 * math.pi**2) + 5 * x / math.pi - 6
        return {"z": b * b + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10}

    done = closed_loop(campaign(space, "minimize", count=5), branin, 30)
    assert min(r["z"] for r in done) - 0.397887 < 0.3  # random: about 2


def test_match_goal_finds_the_level():
    done = closed_loop(campaign(BOX, "match", count=4), lambda c: {"z": math.sin(3 * c["x"]) * c["y"]}, 12)
    assert min(abs(r["z"] - 0.3) for r in done) < 1e-3


def test_constrained_toy_problem():
    # Gramacy et al., Technometrics 58, 1 (2016): minimise x + y within two constraints; the optimum is 0.5998
    def f(c) -> dict[str, float]:
        x, y = c["x"], c["y"]
        wave = 1.5 - x - 2 * y - 0.5 * math.sin(2 * math.pi * (x * x - 2 * y))
        return {"z": x + y, "u": wave, "v": x * x + y * y - 1.5}

    limits = {"u": OutcomeConstraint(at_most=0.0), "v": OutcomeConstraint(at_most=0.0)}
    done = closed_loop(campaign(BOX, "minimize", count=5, constraints=limits), f, 20)
    assert min(r["z"] for r in done if r["u"] <= 0 and r["v"] <= 0) < 0.61


def test_nothing_feasible_yet_moves_towards_feasibility():
    limits = {"w": OutcomeConstraint(at_least=0.9)}
    history = results(BOX, 10, lambda c: c["y"], w=lambda c: 0.5 * c["x"])
    made = BAYES.propose(campaign(BOX, constraints=limits), history, 1, seed=1)
    assert made.candidates[0]["x"] > 0.9
    assert made.diagnostics["candidates"][0]["draws_with_a_feasible_point"] < 0.1


def test_natural_scale_constraint_is_met_at_its_edge():
    # better the hotter and the longer: the optimum lies on temperature + 10·hold = 1250
    def f(c) -> dict[str, float]:
        return {"z": (c["temperature"] - 1000) / 250 + math.log(c["hold"])}

    done = closed_loop(campaign(CERAMICS, count=6), f, 16)
    edge = max(done, key=lambda r: r["z"])
    assert edge["temperature"] + 10 * edge["hold"] > 1245
    assert edge["z"] > max(f({"temperature": 1250 - 10 * h, "hold": h})["z"] for h in np.linspace(0.5, 16, 400)) - 0.02


def test_a_large_pool_is_scored_in_time():
    import time

    rows = np.random.default_rng(0).random((10_000, 3))
    space = Space(dict.fromkeys("abc", UNIT), (), Pool.from_rows(("a", "b", "c"), rows, [()] * 3))
    history = results(space, 60)
    BAYES.propose(campaign(space), results(space, 5), 1, seed=1)
    start = time.process_time()
    BAYES.propose(campaign(space), history, 1, seed=1)
    assert time.process_time() - start < 3  # the target is 1 s; the rest is for a busy machine


def test_default_count_and_settings():
    assert default_count(campaign(BOX)) == 4
    assert default_count(campaign(CERAMICS)) == 7
    assert default_count(campaign(CERAMICS, budget=9)) == 3
    with pytest.raises(ValueError, match="extra"):
        BayesSettings(initial={"count": 3, "size": 2})
