"""Planner `bayes` with outcomes joined by their desirabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sdl.objective import Estimate, Objective, OutcomeConstraint, joint_desirability
from sdl.planners import History, Problem, Source, Trial, get_planner, round_seed
from sdl.planners.bayes import BayesSettings
from sdl.space import Candidate, Continuous, Cost, Space

torch = pytest.importorskip("torch")

UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
BOX = Space({"x": UNIT, "y": UNIT})
BAYES = get_planner("bayes")


def objective(goal: str, value: float | None = None, **desirability: float) -> Objective:
    spec = {"goal": goal, "desirability": desirability}
    return Objective.model_validate(spec if value is None else {**spec, "value": value})


JOINED = {
    "strength": objective("maximize", **{"from": 20.0, "to": 60.0, "weight": 2.0}),
    "mass": objective("minimize", **{"from": 8.0, "to": 2.0}),
    "colour": objective("match", 0.5, within=0.6, shape=2.0),
}


def measured(candidate) -> dict[str, Estimate]:
    """Strength grows with x, and so does mass; y gives the colour and, at its middle, strength."""
    x, y = candidate["x"], candidate["y"]
    strength = 55 * x**0.7 * np.exp(-2 * (y - 0.6) ** 2)
    return {"strength": Estimate(strength), "mass": Estimate(1 + 8 * x**2), "colour": Estimate(y)}


def grid_best() -> float:
    axis = np.linspace(0, 1, 201)
    return max(joint_desirability(JOINED, measured({"x": x, "y": y})) or 0.0 for x in axis for y in axis)


def play(rounds: int, start: int = 5, seed: int = 4, constraints=None):
    problem = Problem(BOX, JOINED, constraints or {}, BayesSettings(), seed=seed)
    rng = np.random.default_rng(seed)
    drawn = BOX.decode(BOX.from_unit(rng.random((start, 2))))
    trials = [Trial(i + 1, c, "default", "done", measured(c)) for i, c in enumerate(drawn)]
    told = []
    for number in range(rounds):
        proposal = BAYES.propose(problem, History(tuple(trials)), 1, round_seed(seed, number))
        told.append(json.loads(json.dumps(proposal.diagnostics, allow_nan=False)))
        [candidate] = proposal.candidates
        trials.append(Trial(len(trials) + 1, candidate, "default", "done", measured(candidate)))
    return trials, told


@pytest.mark.slow
def test_a_closed_loop_comes_near_the_best_joint_desirability():
    trials, told = play(8, start=4, seed=12)
    found = [joint_desirability(JOINED, t.outcomes) or 0.0 for t in trials]
    best = grid_best()
    assert max(found[:4]) < 0.7 * best
    assert max(found) > 0.98 * best
    last = told[-1]["candidates"][0]
    assert last["acquisition_function"] == "log expected improvement of the joint desirability"
    assert set(last["predicted"]) == set(JOINED)
    assert last["desirability"]["mean"] == pytest.approx(found[-1], abs=0.05)
    assert last["why"]["because"].startswith("its joint desirability is expected to be")


def test_the_same_proposals_again_and_bounds_on_outcomes():
    bounds = {"mass": OutcomeConstraint(at_most=4.0)}
    trials, told = play(2, constraints=bounds)
    again, _ = play(2, constraints=bounds)
    assert [dict(t.candidate) for t in again] == [dict(t.candidate) for t in trials]
    assert (
        told[-1]["candidates"][0]["acquisition_function"] == "log noisy expected improvement of the joint desirability"
    )


def test_where_nothing_is_of_use_yet_the_search_still_knows_where_to_go():
    """All start points have a joint desirability of 0: strength is far below `from`."""
    problem = Problem(BOX, JOINED, {}, BayesSettings(), seed=1)
    weak = [Candidate({"x": x, "y": y}) for x, y in ((0.02, 0.1), (0.05, 0.9), (0.1, 0.5), (0.08, 0.3), (0.03, 0.7))]
    trials = [Trial(i + 1, c, "default", "done", measured(c)) for i, c in enumerate(weak)]
    assert {joint_desirability(JOINED, t.outcomes) for t in trials} == {0.0}
    for number in range(4):
        [candidate] = BAYES.propose(problem, History(tuple(trials)), 1, round_seed(1, number)).candidates
        trials.append(Trial(len(trials) + 1, candidate, "default", "done", measured(candidate)))
    assert max(joint_desirability(JOINED, t.outcomes) or 0.0 for t in trials) > 0.4


def test_with_tolerances_and_with_several_sources():
    rng = np.random.default_rng(3)
    drawn = BOX.decode(BOX.from_unit(rng.random((6, 2))))
    tolerant = Problem(BOX, JOINED, {}, BayesSettings(), seed=2, tolerances={"x": 0.05})
    done = tuple(Trial(i + 1, c, "default", "done", measured(c)) for i, c in enumerate(drawn))
    told = BAYES.propose(tolerant, History(done), 1, 5).diagnostics
    best = told["robust"]["best"]
    found = {str(c): joint_desirability(JOINED, measured(c)) for c in (dict(c) for c in drawn)}
    assert found[str(best["candidate"])] == pytest.approx(max(found.values()), abs=0.1)
    sources = {"full": Source(tuple(JOINED), True, Cost("4")), "quick": Source(("strength",), False, Cost("1"))}
    both = Problem(BOX, JOINED, {}, BayesSettings(), seed=2, sources=sources)
    start = BAYES.propose(both, History(), 16, 5)
    seen = []
    for number, (candidate, source) in enumerate(zip(start.candidates, start.sources, strict=True), start=1):
        given = {k: v for k, v in measured(candidate).items() if k in sources[source].outcomes}
        seen.append(Trial(number, candidate, source, "done", given))
    proposal = BAYES.propose(both, History(tuple(seen)), 1, 5)
    assert proposal.sources[0] in sources
    assert "of the joint desirability" in proposal.diagnostics["candidates"][0]["acquisition_function"]


@pytest.mark.parametrize("bend", ["plain", "power", "log"])
def test_standardised_values_are_turned_back_as_the_scale_does(bend):
    from sdl.planners.bayes.desirable import natural
    from sdl.planners.bayes.scales import Scale

    scale = Scale(bend, 3.0, 2.0, 0.3, 0.7, 0.4 if bend == "power" else 1.0)
    z = np.linspace(-3, 3, 25)
    found = natural(scale, torch.tensor(z, dtype=torch.float64)).numpy()
    assert found == pytest.approx(scale.natural(z), rel=1e-12)


def test_the_tail_is_small_continuous_and_has_a_slope_everywhere():
    from types import SimpleNamespace

    from sdl.planners.bayes.desirable import FLOOR, Joint
    from sdl.planners.bayes.scales import Scale

    model = SimpleNamespace(data=SimpleNamespace(scale=Scale("plain", 0.0, 1.0)))
    one = {"strength": JOINED["strength"]}
    y = torch.tensor([[-1e4], [0.0], [19.9], [20.0], [20.4], [20.4 + 1e-9], [40.0], [60.0]], dtype=torch.float64)
    y.requires_grad_(True)
    with_tail = Joint({"strength": model}, one)(y)
    bare = Joint({"strength": model}, one, floor=0.0)(y.detach())
    assert bare.tolist() == pytest.approx([0, 0, 0, 0, FLOOR, FLOOR, 0.5, 1.0], abs=1e-9)
    assert float((with_tail - bare).detach().abs().max()) == pytest.approx(FLOOR / 2, rel=1e-9)  # at t = 0
    (slope,) = torch.autograd.grad(with_tail.sum(), y)
    assert bool((slope[:-1] > 0).all())
    assert slope[4, 0] == pytest.approx(slope[5, 0], rel=1e-6)
