"""Asynchronous against batches: the clock of both, by planner `random`, which knows nothing of the results."""

from __future__ import annotations

import pytest
from planners.asynchrony import BUDGET, INSTRUMENTS, MODES, TASKS, Run, report, run

from sdl.objective import Objective
from sdl.planners import Problem, get_planner
from sdl.space import Candidate, Continuous, Space

RANDOM = get_planner("random")
LINE = Space({"x0": Continuous(type="continuous", bounds=(0.0, 1.0))})


@pytest.fixture
def hopeless(monkeypatch):
    """A task whose target is out of reach: 1 + 7x hours."""
    from planners.asynchrony import Timed

    monkeypatch.setitem(TASKS, "hopeless", Timed(1, lambda x: x[0], -1.0, lambda x: 1.0 + 7.0 * x[0]))
    return TASKS["hopeless"]


def test_time_passes_from_one_result_to_the_next(hopeless):
    problem = Problem(LINE, {"y": Objective(goal="minimize")}, {}, RANDOM.settings_model(), 0)
    state = Run(hopeless, problem, RANDOM, 0)
    state.begin([Candidate({"x0": 0.5}), Candidate({"x0": 0.0})])
    state.finish_next()
    assert (state.now, state.trials[0].state, state.trials[1].outcomes["y"].value) == (1.0, "pending", 0.0)
    state.begin([Candidate({"x0": 0.25})])
    state.finish_next()
    assert state.now == pytest.approx(1.0 + 2.75)  # before the first, which takes 4.5 h
    state.finish_next()
    assert state.now == pytest.approx(4.5)
    assert state.busy == pytest.approx(1.0 + 2.75 + 4.5)


def test_nobody_waits_for_others_but_in_batches(hopeless):
    asynchronous, batches = (run("hopeless", mode, 1, planner="random") for mode in MODES)
    for record in (asynchronous, batches):
        assert record["experiments"] == BUDGET
        assert record["hours"] is None
    assert asynchronous["busy"] > 0.8 > batches["busy"]
    assert asynchronous["ended"] < batches["ended"]
    # the longest of 8 uniform durations from 1 to 8 h is 1 + 7·8/9 = 7.2 h in the mean
    assert batches["ended"] == pytest.approx(BUDGET / INSTRUMENTS * 7.2, rel=0.1)


def test_the_table_pairs_seeds(hopeless):
    records = [
        {
            "task": "branin",
            "mode": mode,
            "seed": seed,
            "hours": hours,
            "ended": hours or 9.0,
            "experiments": 9,
            "busy": 0.5,
        }
        for mode, all_hours in zip(MODES, ([4.0, 6.0], [8.0, None]), strict=True)
        for seed, hours in enumerate(all_hours)
    ]
    first, second = report(records).splitlines()[2:]
    assert first == "| branin | asynchronous | 5.0 [4.0, 6.0] | 0 | 9 [9, 9] | 50 % | 2 | 0.58 [0.50, 0.67] |"
    assert second == "| branin | batches of 8 | 8.5 [8.0, 9.0] | 1 | 9 [9, 9] | 50 % | 2 |  |"
