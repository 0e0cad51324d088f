"""Intervals told before a measurement keep what they say in the long run, whatever the model is worth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sdl.objective import Estimate
from sdl.planners import History, RoundRecord, Trial
from sdl.planners.bayes.intervals import SHARE, reach
from sdl.space import Candidate


def told(truth_sd: float, said_sd: float, rounds: int, seed: int = 0):
    """Play against a model that says a standard deviation while the truth has another."""
    rng = np.random.default_rng(seed)
    trials: list[Trial] = []
    records: list[RoundRecord] = []
    held = []
    for i in range(rounds):
        wide = reach(History(tuple(trials), tuple(records)), "z") * said_sd
        candidate = Candidate({"x": float(i)})
        value = truth_sd * float(rng.normal())
        held.append(-wide <= value <= wide)
        records.append(
            RoundRecord(i, i, (candidate,), {"candidates": [{"predicted": {"z": {"interval": [-wide, wide]}}}]})
        )
        trials.append(Trial(i + 1, candidate, "default", "done", {"z": Estimate(value)}))
    return np.array(held), History(tuple(trials), tuple(records))


@pytest.mark.parametrize(("truth", "said"), [(1.0, 1.0), (2.0, 1.0), (1.0, 2.0)])
def test_the_stated_share_holds_whatever_the_model_says(truth, said):
    held, _ = told(truth, said, 300)
    assert held[30:].mean() == pytest.approx(SHARE, abs=0.04)


def test_before_anything_was_told_it_is_the_normal_distribution_s():
    assert reach(History(), "z") == pytest.approx(norm.ppf(0.95))


def test_what_was_not_measured_teaches_nothing():
    _, history = told(1.0, 1.0, 5)
    pending = tuple(Trial(t.number, t.candidate, "default", "pending") for t in history.trials)
    assert reach(History(pending, history.rounds), "z") == pytest.approx(norm.ppf(0.95))
    assert reach(history, "another") == pytest.approx(norm.ppf(0.95))
