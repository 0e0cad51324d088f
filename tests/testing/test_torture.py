"""Torture finds nothing wrong with the platform, and finds what is wrong with one that is broken on purpose."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sdl.cli.outcome import Output
from sdl.cli.torture import oracle, runner, served_subject, torture
from sdl.driver import Reconciled
from sdl.lab import EmbeddedLab
from sdl.ledger import CommandSettled, Ledger, QuestionOpened
from sdl.ledger.verify import verify
from sdl.preflight import check
from sdl.testing.torture import Fault, Lane, Subject, Torture, TortureResult, every_boundary, judge
from sdl.testing.torture.database import BOUNDARIES, Database, reason_against
from sdl.testing.torture.faults import AT_RANDOM
from sdl.testing.torture.planning import places, planned
from sdl.testing.torture.served import ServedLane

CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "electrolyte_sintering.yaml"
OPTIONS = ("stop={experiments: 4}", "planner={type: sobol}")


needs_postgresql = pytest.mark.skipif(reason_against() is not None, reason=str(reason_against()))


def subject(sabotage=None, inline=True, options=OPTIONS) -> Subject:
    run = runner(CAMPAIGN, options, simulate=False, inline=inline)
    return Subject.of(check(CAMPAIGN, overrides=options), run, sabotage)


@pytest.mark.slow
@pytest.mark.timeout(900)  # forty seconds of one core; many processes, of which a busy machine starts each slowly
def test_fifty_faults_of_all_processes_and_nothing_happens_twice_or_is_lost(tmp_path):
    """Planner and analyses share the campaign's process but where it is the worker that dies: a start costs a second."""
    few = ("stop={experiments: 2}", OPTIONS[1])
    served = served_subject(check(CAMPAIGN, overrides=OPTIONS), CAMPAIGN, OPTIONS, inline=True)
    parts = {
        "campaign": Torture(partial(Lane, subject()), tmp_path / "1", faults=18, seed=7),
        "served": Torture(partial(ServedLane, served), tmp_path / "2", faults=20, seed=7),
        "worker": Torture(
            partial(Lane, subject(inline=False, options=few)), tmp_path / "3", faults=6, seed=7, processes=["worker"]
        ),
    }
    if reason_against() is None:
        lane = partial(Lane, subject(), make_database=Database)
        parts["database"] = Torture(lane, tmp_path / "4", faults=6, seed=7, processes=["database"])
    result = TortureResult.of([p.run() for p in parts.values()])
    assert result.problems == []
    assert sum(result.struck.values()) >= 44 + 6 * ("database" in parts)
    struck = {process for process, _, _ in result.struck}
    assert struck == {"campaign", "server", "network", "worker", *(p for p in parts if p == "database")}
    assert result.plain == len(result.trials)
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
    assert met["campaign"][fault.boundary] >= fault.count
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


def test_faults_reach_every_boundary_of_every_process_equally_often():
    met = {
        "campaign": {"before a": 4, "after a": 4, "before commit of b": 9, "before effect": 3, "after effect": 3},
        "worker": {"before propose": 3, "after propose": 3},
        "database": {BOUNDARIES[0]: 1},
    }
    faults = planned(met, np.random.default_rng(0))
    found = [next(faults) for _ in range(400)]
    often = Counter((f.process, f.boundary) for f in found)
    assert set(often) == {(process, name) for process, names in places(met).items() for name in names}
    assert {name for process, name in often if process == "database"} == {*BOUNDARIES, AT_RANDOM}
    assert ("campaign", "before reconciling") in often
    assert max(often.values()) - min(often.values()) <= 3
    assert {f.kind for f in found if f.process == "campaign"} == {"kill", "freeze"}  # a database fills another disk
    assert {f.kind for f in found if f.process == "worker"} == {"kill"}
    again = planned(met, np.random.default_rng(0))
    assert [next(again) for _ in range(400)] == found
    other = planned(met, np.random.default_rng(1))
    assert [next(other) for _ in range(400)] != found


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


WORKER = (
    "before propose",
    "before analyse",
    "after propose",
    "after analyse",
    "in the middle of an answer",
    "after answering",
)
"""In an order in which a campaign of four experiments has a call left for each."""


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_the_call_repeated(tmp_path):
    lane = Lane(subject(inline=False), tmp_path)
    undisturbed, met = lane.undisturbed()
    assert set(met["worker"]) == set(WORKER)
    faults = [Fault("kill", name, process="worker") for name in WORKER]
    trial = lane.trial(0, iter(faults), undisturbed)
    assert trial.problems == ()
    assert [(a.fault.boundary, a.struck) for a in trial.attempts] == [(name, True) for name in WORKER]
    assert all(a.resumed is not None for a in trial.attempts)
    assert trial.verdict.difference is None
    ledger = Ledger(trial.folder)
    epochs = [r for r in ledger.rows(lane.subject.name) if r.event.kind == "epoch.raised"]
    ledger.close()
    assert len(epochs) == 1  # the campaign itself lived through all of it


def gives_up() -> None:
    """Break the worker: one that died is not replaced."""
    from sdl.engine import worker

    worker._ATTEMPTS = 1


def test_a_worker_that_is_not_replaced_is_caught(tmp_path):
    lane = Lane(subject(gives_up, inline=False), tmp_path)
    trial = lane.trial(0, iter([Fault("kill", "before propose", process="worker")]), None)
    assert any("the campaign was under way and ended (exit 1), but only hurt was: worker" in p for p in trial.problems)


@pytest.fixture
def database_lane(tmp_path):
    made = []

    def make(sabotage=None):
        made.append(Lane(subject(sabotage), tmp_path / str(len(made)), make_database=Database))
        return made[-1]

    yield make
    for lane in made:
        lane.close()


@needs_postgresql
@pytest.mark.slow
@pytest.mark.postgresql
def test_a_database_that_dies_is_waited_for(database_lane):
    lane = database_lane()
    undisturbed, met = lane.undisturbed()
    assert set(met["database"]) == set(BOUNDARIES)
    faults = [
        *[Fault("kill", name, 2, process="database") for name in BOUNDARIES],
        Fault("kill both", BOUNDARIES[2], 2, process="database"),
        Fault("kill", AT_RANDOM, process="database"),
    ]
    trial = lane.trial(0, iter(faults), undisturbed)
    assert trial.problems == ()
    assert [a.struck for a in trial.attempts] == [True] * len(faults)
    assert trial.verdict.difference is None
    ledger = Ledger(trial.folder)
    epochs = [r for r in ledger.rows(lane.subject.name) if r.event.kind == "epoch.raised"]
    ledger.close()
    assert len(epochs) == 2  # begun anew but once: after `kill both`
    assert not (trial.folder / "ledger.db").exists()


def does_not_ask_the_journal() -> None:
    """Break the ledger: rows of which nobody knows whether they were committed are written again."""
    from sdl.ledger import ledger

    ledger._stands = lambda connection, row: False


@needs_postgresql
@pytest.mark.slow
@pytest.mark.postgresql
def test_a_ledger_that_writes_rows_twice_is_caught(database_lane):
    fault = Fault("kill", "before the answer to the commit", 12, process="database")
    trial = database_lane(does_not_ask_the_journal).trial(0, iter([fault]), None)
    assert [a.struck for a in trial.attempts] == [True]
    assert trial.problems != ()


def test_the_users_own_ledger_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SDL_LEDGER_URL", "postgresql://nobody@127.0.0.1:1/none")
    faults = Torture(partial(Lane, subject()), tmp_path, faults=1).run()
    assert faults.problems == []
    assert (faults.trials[0].folder / "ledger.db").exists()
    assert os.environ["SDL_LEDGER_URL"].startswith("postgresql://nobody")


def test_where_there_is_no_postgresql_the_table_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sdl.cli.torture.reason_against", lambda: "PostgreSQL is not installed")
    options = (OPTIONS, False, 2, 0, 1, tmp_path / "kept")
    assert torture(CAMPAIGN, *options, Output(), served=False) == 0
    said = capsys.readouterr().out
    assert "LEFT OUT faults of the database: PostgreSQL is not installed" in said
    assert "boundaries of all processes" in said
    assert (tmp_path / "kept" / "embedded" / "undisturbed").exists()
    assert not (tmp_path / "kept" / "database").exists()


def test_a_difference_has_a_cause_before_it_or_is_a_failure(tmp_path):
    lane = Lane(subject(), tmp_path)
    (rows, effects), _ = lane.undisturbed()
    intended = {r.event.command: r.seq for r in rows if r.event.kind == "command.intended"}

    def verdict(rows, effects):
        return judge(rows, effects, lane.subject.outcomes, lane.subject.reads, whole)

    whole = (rows, effects)
    assert verdict(rows, effects).difference is None
    # The last observation is another number, and nothing explains it.
    last = max(r.seq for r in rows if r.event.kind == "observation.recorded")
    changed = [replace(r, event=replace(r.event, value=0.5)) if r.seq == last else r for r in rows]
    found = verdict(changed, effects)
    assert f"row {last}, observation" in found.difference
    assert "0.5" in found.difference
    assert found.cause is None
    assert any("without a cause" in p for p in found.problems)
    # A measurement that was carried out again before it is a cause; one that was carried out again after it is none.
    measured = [e for e in effects if (e.instrument, e.action) in lane.subject.reads and intended[e.command] < last]
    again = [*effects, measured[0]]
    found = verdict(changed, again)
    assert measured[0].command in found.cause
    assert found.problems == ()
    assert not found.is_plain
    first = min(r.seq for r in rows if r.event.kind == "observation.recorded")
    changed = [replace(r, event=replace(r.event, value=0.5)) if r.seq == first else r for r in rows]
    late = next(e for e in effects if (e.instrument, e.action) in lane.subject.reads and intended[e.command] > first)
    found = verdict(changed, [*effects, late])
    assert f"row {first}, observation" in found.difference
    assert found.cause is None
    assert found.problems != ()
    # So is a question that was asked before it.
    asked = replace(
        rows[0], seq=first - 1, event=QuestionOpened("Q1", "command", 1, measured[0].command, "Did it happen?")
    )
    found = verdict([asked, *changed], effects)
    assert found.cause == f"question Q1 (row {first - 1})"
    assert found.problems == ()
