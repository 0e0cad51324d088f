"""The whole ceramics line in virtual time: the same twice, and the same after being killed in the middle of shared loads."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from enginekit import observations, proposals, run

from sdl.cli.torture import runner
from sdl.ledger import CommandIntended
from sdl.preflight import check
from sdl.testing.torture import Fault, Subject
from sdl.testing.torture.lane import Lane, records

CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "ceramics_line.yaml"
FEW = ("planner={type: sobol}", "stop.experiments=9", "space.parameters.temperature.values=[1150, 1175]")


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    subject = Subject.of(check(CAMPAIGN, overrides=FEW), runner(CAMPAIGN, FEW, simulate=False))
    found = Lane(subject, tmp_path_factory.mktemp("line"))
    return found, *found.undisturbed()


@pytest.mark.slow
def test_loads_are_shared_and_positions_hold_one_sample(lane):
    (rows, effects), _ = lane[1], lane[2]
    firings = [r.event for r in rows if isinstance(r.event, CommandIntended) and r.event.action == "sinter"]
    assert max(len(f.samples) for f in firings) > 1
    assert all(len(f.samples) <= 4 for f in firings)
    assert sum(len(f.samples) for f in firings) == 9
    # the arm carries one sample at a time
    moves = sorted((e.begins, e.over) for e in effects if e.action == "move")
    assert all(over <= begins for (_, over), (begins, _) in pairwise(moves))
    assert all(len(e.samples) == 1 for e in effects if e.action == "move")


@pytest.mark.slow
def test_twice_the_same_bit_for_bit(lane, tmp_path):
    rows, effects = lane[1]
    run(CAMPAIGN, tmp_path, *FEW)
    again, others = records(lane[0].subject, tmp_path)
    assert proposals(again) == proposals(rows)
    assert observations(again) == observations(rows)
    assert [(r.at, r.event.kind) for r in again] == [(r.at, r.event.kind) for r in rows]
    assert [(e.samples, e.instrument, e.action, e.begins, e.ends) for e in others] == [
        (e.samples, e.instrument, e.action, e.begins, e.ends) for e in effects
    ]


@pytest.mark.slow
def test_killed_in_the_middle_of_loads_it_equals_the_undisturbed_run(lane):
    worker, undisturbed, met = lane[0], lane[1], lane[2]["campaign"]
    faults = [
        Fault("kill", "after commit of command.intended", 12),
        Fault("kill", "before commit of command.settled", 9),
        Fault("kill", "after effect", 17),
        Fault("kill", "before sending", 15),
        Fault("kill", "after the reply", 20),
        Fault("kill", "after commit of analysis.recorded", 4),
        Fault("kill", "before commit of experiment.finished", 2),
    ]
    assert all(met[f.boundary] >= f.count for f in faults)
    trial = worker.trial(0, iter(faults), undisturbed)
    assert trial.problems == ()
    assert sum(a.struck for a in trial.attempts) >= 5
    assert trial.verdict.questions == 0
    assert trial.verdict.difference is None
