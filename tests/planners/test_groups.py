"""Groups that share settings: on designs, on pools, in mixed spaces with constraints and mixtures."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import Group, History, Problem, Source, Trial, get_planner
from sdl.planners.bayes import BayesSettings
from sdl.planners.bayes.costs import BEYOND
from sdl.planners.bayes.data import FeatureMap
from sdl.planners.bayes.diversity import diversity_of, similarities, vendi_score
from sdl.planners.bayes.grouping import Listed, choose_group
from sdl.planners.points import listed_codes
from sdl.planners.section import Section, held_columns
from sdl.space import (
    Categorical,
    Continuous,
    Cost,
    CountConstraint,
    Discrete,
    ExpressionConstraint,
    Integer,
    LinearConstraint,
    Pool,
    Space,
)

BAYES = get_planner("bayes")


def number(low: float = 0.0, high: float = 1.0, scale: str = "linear") -> Continuous:
    return Continuous(type="continuous", bounds=(low, high), scale=scale)


FIRED = Space(
    {
        "a": number(),
        "b": number(),
        "c": number(),
        "temperature": Discrete(type="discrete", values=(1125, 1150, 1175, 1200)),
        "hold": Discrete(type="discrete", values=(2, 6)),
    },
    [
        LinearConstraint(type="linear", terms={"a": 1, "b": 1, "c": 1}, equals=1),
        CountConstraint(type="count", of=("a", "b", "c"), at_most=2, smallest=0.05),
    ],
)
SLIDING = Space(
    {
        "x": number(),
        "y": number(),
        "t": number(1, 10, "log"),
        "gas": Categorical(type="categorical", values=("p", "q")),
    },
    [
        ExpressionConstraint(type="expression", expression="x * t <= 6"),
        LinearConstraint(type="linear", terms={"t": 0.1, "y": 1}, at_most=1.6),
    ],
)
LEVELS = Space({"m": Integer(type="integer", bounds=(1, 4)), "v": Discrete(type="discrete", values=(0.1, 1, 10))})
_ROWS = np.random.default_rng(3).random((60, 3))
_ROWS[:, 2] = np.floor(_ROWS[:, 2] * 20) // 1
POOL = Space(
    {"x": number(), "y": number(), "t": number(0, 20)}, (), Pool.from_rows(("x", "y", "t"), _ROWS, [(), (), ()])
)
CASES = {
    "mixture": (FIRED, Group(("temperature", "hold"), 4)),
    "sliding": (SLIDING, Group(("t", "gas"), 3)),
    "shared mixture": (FIRED, Group(("a", "b", "c"), 3)),
    "levels": (LEVELS, Group(("m",), 2)),
    "pool": (POOL, Group(("t",), 4)),
}


def problem(space: Space, group: Group, goals: int = 1, **more) -> Problem:
    goal = {name: Objective(goal="maximize") for name in ("z", "w")[:goals]}
    settings = more.pop("settings", BayesSettings(initial={"count": 4}))
    return Problem(space, goal, more.pop("constraints", {}), settings, seed=5, group=group, **more)


def worth(candidate) -> float:
    return sum(float(np.sin(3 * v + i)) if not isinstance(v, str) else 0.3 for i, v in enumerate(candidate.values()))


def history(space: Space, n: int, failed: int = 0, pending: int = 0) -> History:
    made = get_planner("random").propose(
        Problem(space, {"z": Objective(goal="maximize")}, {}, BayesSettings(), 1), History(), n, 3
    )
    states = ["done"] * (n - failed - pending) + ["failed"] * failed + ["pending"] * pending
    return History(
        tuple(
            Trial(
                i + 1,
                c,
                "default",
                s,
                {"z": Estimate(worth(c)), "w": Estimate(-(worth(c) ** 2))} if s == "done" else {},
            )
            for i, (c, s) in enumerate(zip(made.candidates, states, strict=True))
        )
    )


def check(space: Space, group: Group, seen: History, proposal, n: int) -> None:
    taken = {t.candidate for t in seen.trials}
    assert [space.problems(c) for c in proposal.candidates] == [[]] * len(proposal.candidates)
    assert len({*proposal.candidates}) == len(proposal.candidates)
    assert not taken & set(proposal.candidates)
    every = listed_codes(space)
    assert len(proposal.candidates) == (n if every is None else min(n, len(every) - len(taken)))
    told = proposal.diagnostics["group"]
    assert (told["shared"], told["capacity"]) == (list(group.shared), group.capacity)
    at = 0
    for made in told["groups"]:
        members = proposal.candidates[at : at + made["members"]]
        assert 1 <= len(members) <= group.capacity
        assert {tuple(m[name] for name in group.shared) for m in members} == {tuple(made["settings"].values())}
        at += len(members)
    assert at == len(proposal.candidates)
    json.dumps(proposal.diagnostics, allow_nan=False)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("planner", ["random", "sobol", "bayes"])
def test_a_group_shares_its_settings_and_nothing_is_proposed_twice(case, planner):
    space, group = CASES[case]
    asked = problem(space, group)
    for seen in (History(), history(space, 7, failed=1, pending=2)):
        n = group.capacity + 2
        proposal = get_planner(planner).propose(asked, seen, n, seed=11)
        check(space, group, seen, proposal, n)
    assert get_planner(planner).propose(asked, seen, n, seed=11) == proposal


def test_groups_are_full_where_the_space_allows_it():
    space, group = CASES["mixture"]
    for planner, seen in (("sobol", History()), ("bayes", History()), ("bayes", history(space, 12))):
        proposal = get_planner(planner).propose(problem(space, group), seen, 6, seed=1)
        assert [g["members"] for g in proposal.diagnostics["group"]["groups"]] == [4, 2]


def test_the_settings_of_a_design_are_as_well_spread_as_the_design():
    space, group = Space({"x": number(), "t": number()}), Group(("t",), 4)
    proposal = get_planner("sobol").propose(problem(space, group), History(), 32, seed=1)
    settings = sorted({c["t"] for c in proposal.candidates})
    assert [int(t * 8) for t in settings] == list(
        range(8)
    )  # one in each eighth: a Sobol sequence, not every fourth point of one
    for start in range(0, 32, 4):
        assert sorted(int(c["x"] * 4) for c in proposal.candidates[start : start + 4]) == [0, 1, 2, 3]


def test_the_design_goes_on_where_it_stopped():
    space, group = CASES["mixture"]
    asked = problem(space, group, settings=BayesSettings(initial={"count": 8}))
    whole = BAYES.propose(asked, History(), 8, seed=1).candidates
    first = BAYES.propose(asked, History(), 4, seed=1).candidates
    seen = History(tuple(Trial(i + 1, c, "default", "pending") for i, c in enumerate(first)))
    assert (*first, *BAYES.propose(asked, seen, 4, seed=2).candidates) == whole


def test_a_design_is_rounded_up_to_whole_groups():
    space, group = CASES["mixture"]
    asked = problem(space, group, settings=BayesSettings(initial={"count": 5}))
    proposal = BAYES.propose(asked, History(), 8, seed=1)
    assert [c["origin"] for c in proposal.diagnostics["candidates"]] == ["initial"] * 8
    assert proposal.diagnostics["initial"]["count"] == 8


class Added:
    """Candidates are worth what stands in a table; together they are worth the sum."""

    name = "added"
    success = None
    factors = ()

    def __init__(self, worth_of: dict[float, float], under_way: float) -> None:
        self.worth_of, self.under_way = worth_of, under_way

    def score(self, features):
        return np.log([self.under_way + self.worth_of[float(x)] for x in features[:, 0]])


def test_the_settings_are_best_for_the_whole_group_not_for_its_first_member():
    """One row is the best of all, alone at its setting; at another one there are four that are nearly as good."""
    rows = [(0.0, 1.0), *((x, 0.0) for x in (0.1, 0.2, 0.3, 0.4)), *((x, 0.5) for x in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0))]
    space = Space({"x": number(), "t": number()}, (), Pool.from_rows(("x", "t"), np.array(rows), [(), ()]))
    worth_of = {0.0: 1.0, 0.1: 0.9, 0.2: 0.8, 0.3: 0.8, 0.4: 0.7, **dict.fromkeys((0.5, 0.6, 0.7, 0.8, 0.9, 1.0), 0.3)}
    features, group = FeatureMap(space), Group(("t",), 4)

    def acquire(extra=()):
        return Added(worth_of, sum(worth_of[float(code[0])] for code in extra))

    ground = Listed(features, group, space.pool.codes)
    members, told = choose_group(features, group, ground, acquire, 4)
    assert [m.found.code.tolist() for m in members] == [[0.1, 0.0], [0.2, 0.0], [0.3, 0.0], [0.4, 0.0]]
    assert told["settings"] == {"t": 0.0}
    assert told["worth"] == pytest.approx(np.log(3.2))
    assert [(c["settings"]["t"], c["worth"]) for c in told["compared"]] == [
        (0.0, pytest.approx(np.log(3.2))),
        (0.5, pytest.approx(np.log(1.2))),
        (1.0, pytest.approx(np.log(1.0))),
    ]
    alone, _ = choose_group(features, group, ground, acquire, 1)
    assert alone[0].found.code.tolist() == [0.0, 1.0]


def test_continuous_settings_are_found_for_the_whole_group():
    """The height depends on t alone but for a slope in x: the group gathers at the best t and spreads along x."""
    space, group = Space({"x": number(), "t": number()}), Group(("t",), 3)
    made = get_planner("sobol").propose(
        Problem(space, {"z": Objective(goal="maximize")}, {}, BayesSettings(), 1), History(), 14, 1
    )
    seen = History(
        tuple(
            Trial(i + 1, c, "default", "done", {"z": Estimate(-((c["t"] - 0.37) ** 2) + 0.001 * np.sin(9 * c["x"]))})
            for i, c in enumerate(made.candidates)
        )
    )
    proposal = BAYES.propose(problem(space, group), seen, 3, seed=4)
    check(space, group, seen, proposal, 3)
    assert abs(proposal.candidates[0]["t"] - 0.37) < 0.05
    assert min(abs(a - b) for a, b in pairwise(sorted(c["x"] for c in proposal.candidates))) > 0.02


@pytest.mark.parametrize(("goals", "bound"), [(1, -1.0), (1, 50.0), (2, -1.0)])
def test_groups_with_several_objectives_and_bounds_on_outcomes(goals, bound):
    space, group = CASES["mixture"]
    seen = history(space, 9, failed=1, pending=1)
    limits = {"w": OutcomeConstraint(at_least=bound)}
    proposal = BAYES.propose(problem(space, group, goals, constraints=limits), seen, 3, seed=3)
    check(space, group, seen, proposal, 3)


def test_a_group_keeps_away_from_what_is_under_way():
    space, group = CASES["mixture"]
    seen = history(space, 12)
    first = BAYES.propose(problem(space, group), seen, 4, seed=6)
    under_way = History(
        (*seen.trials, *(Trial(13 + i, c, "default", "pending") for i, c in enumerate(first.candidates)))
    )
    again = BAYES.propose(problem(space, group), under_way, 4, seed=6)
    features = FeatureMap(space)
    both = features(space.encode([*first.candidates, *again.candidates]))
    apart = np.linalg.norm(both[:4, None] - both[None, 4:], axis=2).min()
    assert apart > 0.02


def test_a_section_keeps_what_is_held():
    held = held_columns(SLIDING, ("t", "gas"))
    at = SLIDING.encode([{"x": 0.2, "y": 0.4, "t": 4.0, "gas": "q"}])[0]
    section = Section(SLIDING, held, at)
    codes = section.sample(64, 1)
    moved = section.perturbed(codes, 4, np.random.default_rng(1))
    for some in (codes, moved, section.level_moves(at)):
        assert SLIDING.satisfies(some).all()
        assert (some[:, held] == at[held]).all()
    assert len(codes) > 40
    assert len(moved) > 40


# --- how different a batch is --------------------------------------------------------------------------------------------


def test_the_vendi_score_counts_what_is_different():
    assert vendi_score(np.eye(5)) == pytest.approx(5)
    assert vendi_score(np.ones((5, 5))) == pytest.approx(1)
    pairs = np.kron(np.eye(3), np.ones((2, 2)))  # three kinds, twice each
    assert vendi_score(pairs) == pytest.approx(3)
    # two things of similarity s: eigenvalues (1 ± s)/2
    s = 0.6
    shares = np.array([(1 + s) / 2, (1 - s) / 2])
    assert vendi_score(np.array([[1, s], [s, 1]])) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    with pytest.raises(ValueError, match="nothing"):
        vendi_score(np.empty((0, 0)))


def test_every_proposal_says_how_different_its_candidates_are():
    space = Space({"x": number(), "y": number()})
    asked = Problem(space, {"z": Objective(goal="maximize")}, {}, BayesSettings(), seed=1)
    proposal = BAYES.propose(asked, History(), 4, seed=1)
    told = proposal.diagnostics["diversity"]
    codes = space.encode(proposal.candidates)
    assert told == diversity_of(FeatureMap(space), codes)
    assert told["candidates"] == 4
    assert 1 < told["vendi_score"] <= 4
    assert told["vendi_score"] == pytest.approx(vendi_score(similarities(codes, 2)), abs=1e-6)
    assert "length 0.2828" in told["kernel"]


def test_a_group_is_worth_what_it_is_for_what_it_costs_and_keeps_to_what_is_left():
    """What is known says the same of a short and of a long hold: the short one is chosen; the last members are not afforded."""
    rows = np.array([(x, hold) for hold in (1.0, 8.0) for x in np.linspace(0, 1, 9)])
    space = Space({"x": number(), "hold": number(1, 8)}, (), Pool.from_rows(("x", "hold"), rows, [(), ()]))
    known = [r for r in rows if r[0] in (0.0, 0.5, 1.0)]
    seen = History(
        tuple(
            Trial(i + 1, space.decode(r[None])[0], "default", "done", {"z": Estimate(-((r[0] - 0.3) ** 2))})
            for i, r in enumerate(known)
        )
    )
    source = {"default": Source(("z",), cost=Cost("hold", "h"))}
    asked = problem(space, Group(("hold",), 3), sources=source)
    assert {c["hold"] for c in BAYES.propose(asked, seen, 3, seed=1).candidates} == {1.0}
    short = replace(asked, cost_limit=2.5)
    proposal = BAYES.propose(short, replace(seen, spent_unit="h"), 3, seed=1)
    made = proposal.diagnostics["group"]["groups"]
    assert (made[0]["settings"], made[0]["members"]) == ({"hold": 1.0}, 2)  # a third one would cost more than is left
    assert BEYOND in proposal.diagnostics["fallbacks"]
