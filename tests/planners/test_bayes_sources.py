"""Several sources: a point and a source by value for cost; what a source is worth is learned."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import History, Problem, RoundRecord, Source, Trial, get_planner, round_seed
from sdl.planners.bayes import BayesSettings
from sdl.planners.bayes.sources import initial_of, known_of
from sdl.space import Candidate, Continuous, Cost, Space

torch = pytest.importorskip("torch")

UNIT = Continuous(type="continuous", bounds=(0.0, 1.0))
SPACE = Space({"x": UNIT})
GOAL = {"y": Objective(goal="minimize")}
BAYES = get_planner("bayes")


def forrester(x: float) -> float:
    """Forrester, Sóbester and Keane, Proc. R. Soc. A 463, 3251 (2007), section 4: least, −6.0207, at 0.7572."""
    return (6 * x - 2) ** 2 * math.sin(12 * x - 4)


def cheap(x: float) -> float:
    """Their cheap version, whose least value lies elsewhere."""
    return 0.5 * forrester(x) + 10 * (x - 0.5) - 5


def misleading(x: float) -> float:
    """Nothing to do with it: over the range their correlation is −0.17."""
    return 5 * math.sin(17 * x)


def ask(trials, rounds, n=1, cost=0.1, limit=None, constraints=None, goal=GOAL):
    outcomes = (*goal, *(constraints or {}))
    sources = {
        "full": Source(outcomes, is_target=True, cost=Cost("1", "h")),
        "cheap": Source(("y",), is_target=False, cost=Cost(repr(cost), "h")),
    }
    settings = BayesSettings.model_validate({"initial": {"count": 4}})
    problem = Problem(SPACE, goal, constraints or {}, settings, seed=1, budget=60, sources=sources, cost_limit=limit)
    price = {"full": 1.0, "cheap": cost}
    spent = sum(price[t.source] for t in trials)
    history = problem.told(History(tuple(trials), tuple(rounds), spent, "h"))
    return problem, history, BAYES.propose(problem, history, n, round_seed(1, len(rounds) + 1))


def test_every_source_begins_with_the_same_points():
    _, history, proposal = ask([], [], n=8)
    assert proposal.sources == ("cheap", "full") * 4
    assert proposal.candidates[0::2] == proposal.candidates[1::2]
    assert len(set(proposal.candidates)) == 4
    assert history.trials == ()
    first = [
        Trial(i + 1, c, s, "pending")
        for i, (c, s) in enumerate(zip(proposal.candidates[:3], proposal.sources, strict=False))
    ]
    _, _, rest = ask(first, [RoundRecord(1, 0, proposal.candidates[:3], {}, proposal.sources[:3])], n=5)
    assert (rest.candidates, rest.sources) == (proposal.candidates[3:], proposal.sources[3:])


def test_another_space_or_budget_does_not_begin_the_design_anew():
    _, _, first = ask([], [], n=8)
    pairs = list(zip(first.candidates, first.sources, strict=True))
    trials = [Trial(i, c, s, "done", {"y": Estimate(cheap(c["x"]))}) for i, (c, s) in enumerate(pairs, start=1)]
    rounds = (RoundRecord(1, 0, first.candidates, first.diagnostics, first.sources),)
    problem, _, _ = ask([], [], n=1)
    wider = replace(problem, space=Space({"x": Continuous(type="continuous", bounds=(0.0, 1.2))}))

    def due(asked, *, left_out=()):
        history = History(tuple(t for t in trials if t.number not in left_out), rounds, 4.4, "h")
        known, _ = known_of(asked, history)
        return initial_of(asked, history, known, 8)

    assert due(wider) == ([], 4)
    larger = replace(wider, settings=BayesSettings.model_validate({"initial": {"count": 6}}))
    assert [source for source, _ in due(larger)[0]] == ["cheap", "full"] * 2
    assert due(wider, left_out=(3, 4)) == ([], 4), "aborted: they were asked for, and are not asked for again"


def history_of(functions, xs, cheap_too=()):
    """Return trials and rounds: both sources at xs, and the cheap one at more points."""
    pairs = [(x, s) for x in xs for s in ("cheap", "full")] + [(x, "cheap") for x in cheap_too]
    candidates = tuple(Candidate({"x": float(x)}) for x, _ in pairs)
    trials = [
        Trial(i, c, s, "done", {"y": Estimate(functions[s](float(x)))})
        for i, (c, (x, s)) in enumerate(zip(candidates, pairs, strict=True), start=1)
    ]
    return trials, [RoundRecord(1, 0, candidates, {}, tuple(s for _, s in pairs))]


def start() -> list[float]:
    """Return the points of the initial design, so that nothing of it is left to be done."""
    _, _, proposal = ask([], [], n=8)
    return [float(c["x"]) for c in proposal.candidates[0::2]]


def test_a_cheap_source_leads_to_the_best_and_only_the_target_counts():
    grid = np.linspace(0, 1, 13)
    trials, rounds = history_of({"full": forrester, "cheap": lambda x: 3 * forrester(x) + 7}, start(), grid)
    problem, history, proposal = ask(trials, rounds)
    told = json.loads(json.dumps(proposal.diagnostics, allow_nan=False))
    assert told["models"]["y"]["sources"]["cheap"]["correlation"] > 0.9
    one = told["candidates"][0]
    assert set(one["compared"]) == {"full", "cheap"}
    assert one["source"] == proposal.sources[0] == max(one["compared"], key=one["compared"].get)
    assert one["cost"]["value"] == {"full": 1.0, "cheap": 0.1}[one["source"]]
    assert set(one["predicted"]["y"]) == {"mean", "sd", "interval", "reach"}
    assert float(proposal.candidates[0]["x"]) == pytest.approx(0.757, abs=0.05)  # nothing was measured there
    asked = {(t.candidate, t.source) for t in trials}
    assert (proposal.candidates[0], proposal.sources[0]) not in asked
    assert BAYES.propose(problem, history, 1, round_seed(1, 2)) == proposal


def test_of_a_source_that_knows_nothing_nothing_is_bought_however_cheap():
    trials, rounds = history_of({"full": forrester, "cheap": misleading}, [*start(), 0.1, 0.33, 0.5, 0.62, 0.85, 0.95])
    for cost in (0.1, 0.001):
        _, _, proposal = ask(trials, rounds, cost=cost)
        learned = proposal.diagnostics["models"]["y"]["sources"]["cheap"]["correlation"]
        assert abs(learned) < 0.6
        told = proposal.diagnostics["candidates"][0]["compared"]
        if cost == 0.1:
            assert proposal.sources == ("full",)
            value = told["cheap"]
    # a hundredfold lower cost is all that it gains: what it tells does not depend on what it costs
    assert told["cheap"] == pytest.approx(value + math.log(100.0), abs=0.7)


def test_what_the_model_believes_of_a_source():
    from sdl.planners.bayes.data import FeatureMap, observe
    from sdl.planners.bayes.isolation import isolated
    from sdl.planners.bayes.source_models import fit_sources
    from sdl.planners.bayes.sources import of_source

    xs = np.linspace(0, 1, 15)
    for low, bounds in ((cheap, (0.6, 1.0)), (misleading, (-0.6, 0.6)), (lambda x: 3 * forrester(x) + 7, (0.97, 1.0))):
        trials = [
            Trial(i, Candidate({"x": float(x)}), "cheap", "done", {"y": Estimate(low(x))}) for i, x in enumerate(xs, 1)
        ]
        trials += [
            Trial(i, Candidate({"x": float(x)}), "full", "done", {"y": Estimate(forrester(x))})
            for i, x in enumerate(xs[::2], 20)
        ]
        problem, history, _ = ask(trials, [RoundRecord(1, 0, (), {}, ())])
        features = FeatureMap(SPACE)
        with isolated(0):
            seen = {
                s: observe(features, of_source(problem, history, s), GOAL, {}).outcomes["y"] for s in ("full", "cheap")
            }
            model, _ = fit_sources(seen["full"], {"cheap": seen["cheap"]}, features.groups)
            told = model.told()["cheap"]
            assert bounds[0] <= told["correlation"] <= bounds[1], (low, told)
            _, sd, moved = model.both(torch.tensor(features(np.array([[0.47]]))), "cheap")
            assert 0 < float(moved[0]) <= float(sd[0])
            mean, _ = model.predict(features(np.array([[0.5]])))
            assert mean[0] == pytest.approx(forrester(0.5), abs=0.3)  # measured there


def test_where_the_target_can_no_longer_be_paid_nothing_cheap_is_bought():
    trials, rounds = history_of({"full": forrester, "cheap": cheap}, start())
    _, _, proposal = ask(trials, rounds, limit=5.0)
    assert proposal.sources == ("full",)  # 4.4 h are spent: the loop ends the campaign with it
    assert any("left of 'stop.cost'" in note for note in proposal.diagnostics["fallbacks"])


def test_while_nothing_is_feasible_a_source_that_says_nothing_of_that_is_not_asked():
    trials, rounds = history_of({"full": forrester, "cheap": cheap}, start())
    with_bound = [
        Trial(
            t.number,
            t.candidate,
            t.source,
            "done",
            {**t.outcomes, **({"z": Estimate(0.0)} if t.source == "full" else {})},
        )
        for t in trials
    ]
    _, _, proposal = ask(with_bound, rounds, constraints={"z": OutcomeConstraint(at_least=1.0)})
    assert proposal.sources == ("full",)
    _, _, matched = ask(trials, rounds, goal={"y": Objective(goal="match", value=-3.0)})
    name = matched.diagnostics["candidates"][0]["acquisition_function"]
    assert name.startswith("log expected improvement") and name.endswith("per cost")
