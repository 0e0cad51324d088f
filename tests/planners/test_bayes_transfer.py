"""Earlier campaigns at work: a related one saves experiments, an unrelated one costs none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sdl.objective import Estimate, Objective
from sdl.planners.base import History, Problem, RoundRecord, Trial
from sdl.planners.beforehand import SourceTask
from sdl.space import Candidate, Continuous, Space

pytest.importorskip("botorch")

from sdl.planners.bayes import BayesPlanner, BayesSettings, InitialDesign

NAMES = ("a", "b", "c")
SPACE = Space({n: Continuous(type="continuous", bounds=(0, 1)) for n in NAMES})
EXPERIMENTS, INITIAL = 8, 4


def member(x, shift):
    """A family of functions: one hill whose place moves, on a wave; x of shape (n, 3)."""
    away = (x - np.array([0.3, 0.6, 0.5]) - shift) ** 2
    return np.exp(-(away * np.array([8.0, 5.0, 3.0])).sum(axis=1)) + 0.15 * np.sin(6 * x[:, 0] + 2 * shift.sum())


def trial(number, x, y):
    return Trial(number, Candidate(dict(zip(NAMES, map(float, x), strict=True))), "default", "done", {"z": Estimate(y)})


def run(seed, kind):
    """Return the regret after each experiment, and in how many rounds the earlier campaign was used."""
    rng = np.random.default_rng([seed, 7])
    here, there = rng.uniform(-0.08, 0.08, (2, 3))
    known = rng.random((30, 3))
    values = 2.5 * member(known, there) + 1 + rng.normal(0, 0.01, 30)
    noise = rng.normal(0, 0.01, EXPERIMENTS)
    if kind == "negated":
        values = -values
    elif kind == "shuffled":
        values = np.random.default_rng(seed).permutation(values)
    rows = tuple(trial(i + 1, x, float(y)) for i, (x, y) in enumerate(zip(known, values, strict=True)))
    problem = Problem(
        SPACE,
        {"z": Objective(goal="maximize")},
        {},
        BayesSettings(initial=InitialDesign(count=INITIAL)),
        seed=seed,
        budget=EXPERIMENTS,
        transfer=() if kind == "none" else (SourceTask("old", rows, f"{seed} {kind}"),),
    )
    best = float(member(np.random.default_rng(0).random((50_000, 3)), here).max())
    trials, rounds, regret, used = [], [], [], 0
    for k in range(EXPERIMENTS):
        proposal = BayesPlanner().propose(problem, History(tuple(trials), tuple(rounds)), 1, seed * 100 + k)
        (candidate,) = proposal.candidates
        x = np.array([candidate[n] for n in NAMES])
        value = float(member(x[None], here)[0])
        diagnostics = json.loads(json.dumps(proposal.diagnostics))
        rounds.append(RoundRecord(k + 1, seed * 100 + k, proposal.candidates, diagnostics))
        trials.append(trial(k + 1, x, value + noise[k]))
        regret.append(min([best - value, *regret[-1:]]))
        model = (diagnostics["models"] or {}).get("z", {})
        used += bool(model) and model["choice"].get("hints", {}).get("old", {}).get("used", False)
    return np.array(regret), used


def compare(seeds, kinds):
    alone = np.array([run(s, "none")[0] for s in seeds])
    related, used = zip(*(run(s, "related") for s in seeds), strict=True)
    # the first experiment that a model proposes, and all until the end
    assert np.mean([r[INITIAL] for r in related]) < 0.5 * alone[:, INITIAL].mean()
    assert np.mean(related) < alone.mean()
    assert min(used) >= 2
    for kind in kinds:
        other, used = zip(*(run(s, kind) for s in seeds), strict=True)
        assert np.mean(used) <= 1  # of the four rounds with models
        assert np.mean([r[-1] for r in other]) <= alone[:, -1].mean() + 0.1


@pytest.mark.slow
def test_a_related_campaign_saves_experiments_and_a_shuffled_one_costs_none():
    compare(range(2), ["shuffled"])


@pytest.mark.validate
def test_so_it_is_for_more_seeds_and_the_opposite_of_a_campaign():
    compare(range(2, 8), ["shuffled", "negated"])
