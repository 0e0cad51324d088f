"""Torture finds nothing wrong with the platform, and finds what is wrong with one that is broken on purpose."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sdl.cli.torture import oracle, runner
from sdl.driver import Reconciled
from sdl.lab import EmbeddedLab
from sdl.ledger import CommandSettled, Ledger
from sdl.ledger.verify import verify
from sdl.preflight import check
from sdl.testing.torture import Fault, Subject, Torture, every_boundary, judge
from sdl.testing.torture.lane import Lane
from sdl.testing.torture.planning import planned

CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "electrolyte_sintering.yaml"
OPTIONS = ("stop={experiments: 4}", "planner={type: sobol}")


def subject(sabotage=None) -> Subject:
    return Subject.of(check(CAMPAIGN, overrides=OPTIONS), runner(CAMPAIGN, OPTIONS, simulate=False), sabotage)


@pytest.mark.slow
def test_fifty_faults_and_nothing_happens_twice_or_is_lost(tmp_path):
    result = Torture(partial(Lane, subject()), tmp_path, faults=50, lanes=2, seed=7).run()
    assert result.problems == []
    assert sum(result.struck.values()) >= 50
    assert all(t.verdict.difference is None for t in result.trials)
    assert result.median_resume is not None and result.median_resume < 5.0
    assert sum(t.verdict.questions for t in result.trials) == 0


@pytest.mark.slow
def test_every_boundary_of_a_campaign(tmp_path):
    few = ("stop={experiments: 3}", "planner={type: sobol}", "concurrency=2")
    run = runner(CAMPAIGN, few, simulate=False, inline=True)
    trials = every_boundary(Subject.of(check(CAMPAIGN, overrides=few), run), tmp_path, lanes=2)
    assert len(trials) > 40
    assert [p for t in trials for p in t.problems] == []
    assert all(t.verdict.difference is None and t.verdict.questions == 0 for t in trials)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("freeze", "before commit of command.settled", 2),
        Fault("full disk", "before commit of command.intended", 3),
        Fault("full disk", "before commit of command.settled", 3),
        Fault("kill", "after effect", 4),
    ],
    ids=str,
)
def test_each_kind_of_fault_strikes_and_is_survived(tmp_path, fault):
    lane = Lane(subject(), tmp_path)
    undisturbed, met = lane.undisturbed()
    assert met[fault.boundary] >= fault.count
    trial = lane.trial(0, iter([fault]), undisturbed)
    assert [a.struck for a in trial.attempts] == [True]
    assert trial.problems == ()


def dispatches_twice() -> None:
    """Break the client: what was answered is sent again as a new command."""
    execute = EmbeddedLab.execute

    async def twice(self, command, begins_sample, progress=None):
        await execute(self, command, begins_sample, progress)
        return await execute(self, replace(command, id=command.id[::-1]), begins_sample, progress)

    EmbeddedLab.execute = twice


def forgets_commands() -> None:
    """Break the settlement: after a crash an open command is taken for one that never started."""

    async def nothing(self, command):
        self._queues[command.instrument].release(command.id)

    EmbeddedLab.reconcile = nothing


@pytest.mark.parametrize(
    ("sabotage", "said"),
    [(forgets_commands, ("executed twice", "lost")), (dispatches_twice, ("executed twice", "exit", "lost"))],
    ids=["forgets commands", "dispatches twice"],
)
def test_what_is_broken_is_caught(tmp_path, sabotage, said):
    undisturbed, _ = Lane(subject(), tmp_path / "whole").undisturbed()
    trial = Lane(subject(sabotage), tmp_path / "broken").trial(0, iter([Fault("kill", "after effect", 3)]), undisturbed)
    assert trial.problems
    assert any(word in problem for word in said for problem in trial.problems), trial.problems


def test_an_observation_that_is_not_written_is_caught(tmp_path):
    lane = Lane(subject(), tmp_path)
    undisturbed, _ = lane.undisturbed()
    rows, effects = undisturbed
    cut = [r for r in rows if not (r.event.kind == "observation.recorded" and r.event.experiment == 2)]
    verdict = judge(cut, effects, lane.subject.outcomes, lane.subject.reads, undisturbed)
    assert {
        "observation missing: conductivity of experiment 2",
        "observation missing: relative_density of experiment 2",
    } <= set(verdict.problems)
    doubled = [*rows, *[r for r in rows if r.event.kind == "observation.recorded"][:1]]
    assert any("doubled" in p for p in judge(doubled, effects, lane.subject.outcomes, lane.subject.reads).problems)
    unsettled = [r for r in rows if not (isinstance(r.event, CommandSettled) and r.seq < 12)]
    assert any(
        "has no outcome" in p for p in judge(unsettled, effects, lane.subject.outcomes, lane.subject.reads).problems
    )
    unknown = [r for r in rows if r.event.kind != "command.intended"]
    assert any(
        "knows no command" in p for p in judge(unknown, effects, lane.subject.outcomes, lane.subject.reads).problems
    )


def test_faults_reach_every_boundary():
    met = {f"before {i}": 4 for i in range(10)}
    faults = planned(met, np.random.default_rng(0))
    found = [next(faults) for _ in range(200)]
    assert {f.boundary for f in found} >= set(met)
    assert {f.kind for f in found} >= {"kill", "freeze"}
    again = planned(met, np.random.default_rng(0))
    assert [next(again) for _ in range(200)] == found


def test_the_ledger_is_whole_after_torture(tmp_path):
    lane = Lane(subject(), tmp_path)
    undisturbed, _ = lane.undisturbed()
    trial = lane.trial(0, iter([Fault("kill", "before commit of command.settled", 3)]), undisturbed)
    ledger = Ledger(trial.folder)
    assert verify(ledger, lane.subject.name).findings == ()
    ledger.close()


def cannot_reconcile() -> None:
    """Take the instruments' memory away: none of them can say what became of a command."""
    from sdl_instruments.ceramics.base import WorldInstrument

    async def unknown(self, command):
        return Reconciled("unknown")

    WorldInstrument.reconcile = unknown


def test_drivers_that_cannot_reconcile_ask_once_for_a_fault_within_the_window(tmp_path):
    checked = check(CAMPAIGN, overrides=OPTIONS)
    run = runner(CAMPAIGN, OPTIONS, simulate=False)
    lane = Lane(Subject.of(checked, run, cannot_reconcile, oracle(checked)), tmp_path)
    undisturbed, _ = lane.undisturbed()
    faults = [
        Fault("kill", "after effect", 1),
        Fault("kill", "before commit of command.settled", 2),
        Fault("kill", "after commit of experiment.started", 1),
    ]
    trial = lane.trial(0, iter(faults), undisturbed)
    assert trial.problems == ()
    assert sum(a.struck for a in trial.attempts) >= 2
    # Two experiments at once: at most one open irreversible command each at every fault.
    assert 1 <= trial.verdict.questions <= 2 * sum(a.struck for a in trial.attempts)
