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


BEGIN = norm.ppf(0.99)


def test_before_anything_was_told_an_honest_model_would_miss_a_fifth_of_what_is_allowed():
    assert reach(History(), "z") == pytest.approx(BEGIN)
    assert norm.cdf(-BEGIN) == pytest.approx(0.2 * (1 - SHARE) / 2)


def test_after_fourteen_hits_it_is_the_normal_distribution_s():
    _, history = told(0.0, 1.0, 14)
    assert reach(history, "z") == pytest.approx(norm.ppf(0.95), abs=0.05)


def test_what_was_not_measured_teaches_nothing():
    _, history = told(1.0, 1.0, 5)
    pending = tuple(Trial(t.number, t.candidate, "default", "pending") for t in history.trials)
    assert reach(History(pending, history.rounds), "z") == pytest.approx(BEGIN)
    assert reach(history, "another") == pytest.approx(BEGIN)


def test_an_interval_of_a_rejected_proposal_is_not_held_against_a_later_trial_of_the_point():
    point = Candidate({"x": 0.5})

    def round_of(number, low, high):
        told = {"candidates": [{"predicted": {"z": {"interval": [low, high]}}}]}
        return RoundRecord(number, number, (point,), told)

    rounds = (round_of(1, 0.0, 1.0), round_of(2, 8.0, 9.0), round_of(3, 4.0, 6.0))
    trials = tuple(Trial(n, point, "default", "done", {"z": Estimate(v)}) for n, v in ((1, 0.5), (3, 5.0)))
    assert reach(History(trials, rounds), "z") == pytest.approx(BEGIN), "the second was rejected; nobody says which"
    both = reach(History(trials, (rounds[0], rounds[2])), "z")
    assert both < BEGIN
