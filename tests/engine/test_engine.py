"""The engine against a small lab in virtual time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from enginekit import CAMPAIGN, Diary, Gauge, Press, observations, proposals, run, settled

from sdl.engine import Hooks
from sdl.errors import LedgerError, NameInUseError
from sdl.ledger import (
    CommandIntended,
    CommandSettled,
    ExperimentFinished,
    Ledger,
    RoundOpened,
    RoundProposed,
)


@pytest.fixture
def lab(drivers):
    """The two instruments, well-behaved."""
    drivers(press=Press, gauge=Gauge)
    Press.behaviour.__init__()
    return Press.behaviour


@pytest.fixture
def campaign(write, lab):
    return write("pellets.yaml", CAMPAIGN)


def test_a_campaign_runs_to_its_end(campaign, tmp_path):
    end, state, rows = run(campaign, tmp_path / "home")
    assert end == ("done", "5 experiments were started")
    assert [e.state for e in state.experiments.values()] == ["done"] * 5
    # the outcome is declared in µm, the gauge reads mm
    force = state.experiments[1].candidate["force"]
    assert state.experiments[1].outcomes["size"].value == pytest.approx(1000 * (force - 40.0) ** 2)
    assert state.experiments[1].outcomes["size"].uncertainty == pytest.approx(100.0)
    assert rows[-1].seq == len(rows)


def test_two_experiments_overlap_but_share_an_instrument_one_at_a_time(campaign, tmp_path):
    _, _, rows = run(campaign, tmp_path / "home")
    presses = sorted(
        (r.event.started, r.event.finished)
        for r in rows
        if isinstance(r.event, CommandSettled) and r.event.duration == 3600
    )
    assert len(presses) == 5
    for (_, before), (after, _) in pairwise(presses):
        assert after >= before


def test_everything_is_written_before_it_counts(campaign, tmp_path):
    _, _, rows = run(campaign, tmp_path / "home")
    seen: set[str] = set()
    opened = 0
    for row in rows:
        if isinstance(row.event, CommandIntended):
            seen.add(row.event.command)
        if isinstance(row.event, CommandSettled):
            assert row.event.command in seen
        if isinstance(row.event, RoundOpened):
            opened = row.event.round
        if isinstance(row.event, RoundProposed):
            assert row.event.round == opened


def test_an_action_makes_at_most_eight_commits(campaign, lab, monkeypatch):
    commits = 0
    append = Ledger.append

    def counted(self, *arguments):
        nonlocal commits
        commits += 1
        return append(self, *arguments)

    monkeypatch.setattr(Ledger, "append", counted)
    _, _, rows = run(campaign, None)
    actions = sum(isinstance(r.event, CommandIntended) for r in rows)
    # per action an intent and an outcome; per experiment a round of two, a start and an end; four for the campaign
    assert commits <= 2 * actions + 4 * 5 + 4
    assert commits / actions <= 8


def test_same_seed_same_proposals_other_seed_others(campaign, tmp_path):
    first = proposals(run(campaign, tmp_path / "a")[2])
    again = proposals(run(campaign, tmp_path / "b")[2])
    other = proposals(run(campaign, tmp_path / "c", seed=1)[2])
    assert first == again
    assert first != other


@pytest.mark.parametrize("instrument", ["fails", "nan"])
def test_a_failing_step_fails_its_experiment_alone(campaign, tmp_path, lab, instrument):
    getattr(lab, instrument).add(2)
    end, state, _ = run(campaign, tmp_path / "home")
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["done", "failed", "done", "done", "done"]
    assert "pellet broke" in state.experiments[2].reason or "not finite" in state.experiments[2].reason
    assert [t.state for t in state.history().trials] == ["done", "failed", "done", "done", "done"]


def test_an_unknown_command_becomes_a_question_and_its_instrument_is_held(campaign, tmp_path, lab):
    lab.unknown.add(2)
    diary = Diary()
    end, state, rows = run(campaign, tmp_path / "home", hooks=diary)
    assert end[0] == "waiting"
    assert "'press' is held until a person says what became of command" in end[1]
    assert state.experiments[2].state == "running"
    assert state.experiments[2].is_blocked
    assert [q.experiment for q in state.open_questions()] == [2]
    assert "irreversible" in next(iter(state.questions.values())).text
    assert settled(rows).count("unknown") == 1
    # the first, which needs the press no more, came to its end; the third waited for the press in vain
    assert state.experiments[1].state == "done"
    assert not state.experiments[3].is_blocked
    assert dict(lab.executed) == {"pellets-0001 press": 1, "pellets-0002 press": 1}
    # at the next start nothing is pressed either
    again, state, rows_again = run(campaign, tmp_path / "home")
    assert again[0] == "waiting"
    assert sum(lab.executed.values()) == 2
    assert len(state.questions) == 1
    assert settled(rows_again).count("unknown") == 1


class StopAfter(Hooks):
    """Stops the engine once so many experiments came to their end."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.engine = None

    def recorded(self, rows, view):
        if any(isinstance(r.event, ExperimentFinished) for r in rows):
            self.count -= 1
            if self.count == 0:
                self.engine.stop("the test says so")


@pytest.mark.parametrize("after", [1, 2, 3, 4])
@pytest.mark.parametrize("planner", ["random", "sobol"])
def test_stopped_after_any_round_and_started_again_gives_the_same_proposals(campaign, tmp_path, after, planner):
    options = [f"planner={{type: {planner}}}", "concurrency=1"]
    _, _, undisturbed = run(campaign, tmp_path / "a", *options)
    hook = StopAfter(after)
    end, _, _ = run(campaign, tmp_path / "b", *options, hooks=hook, steer=lambda e: setattr(hook, "engine", e))
    assert end[0] == "stopped"
    end, _, rows = run(campaign, tmp_path / "b", *options)
    assert end[0] == "done"
    assert proposals(rows) == proposals(undisturbed)
    assert observations(rows) == observations(undisturbed)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may catch it."""


def _killed_after(monkeypatch, commits: int) -> None:
    append = Ledger.append
    left = commits

    def dying(self, *arguments):
        nonlocal left
        if left == 0:
            raise Killed
        rows = append(self, *arguments)
        left -= 1
        return rows

    monkeypatch.setattr(Ledger, "append", dying)


@pytest.mark.parametrize("reconciles", ["not_started", "done", "unknown"])
@pytest.mark.parametrize("commits", range(3, 27, 2))
def test_killed_at_any_commit_nothing_happens_twice(campaign, tmp_path, lab, monkeypatch, commits, reconciles):
    with monkeypatch.context() as patch:
        _killed_after(patch, commits)
        with pytest.raises(BaseException):  # noqa: B017, PT011  Killed, or the group that asyncio makes of it
            run(campaign, tmp_path / "home", "concurrency=1")
    lab.reconciles = reconciles
    before = dict(lab.executed)
    end, state, rows = run(campaign, tmp_path / "home", "concurrency=1")
    if end[0] == "waiting":
        assert reconciles == "unknown"
        assert len(state.questions) == 1
    else:
        assert end[0] == "done"
        assert [e.state for e in state.experiments.values()] == ["done"] * 5
    open_before = [k for k in before if lab.executed[k] > before[k]]
    # a press that was under way ran again only where the instrument said that it had never started
    assert not open_before or reconciles == "not_started"
    intended = [r.event.command for r in rows if isinstance(r.event, CommandIntended)]
    assert len(intended) == len(set(intended))


def test_abort_stops_commands_and_makes_every_instrument_safe(campaign, tmp_path, lab):
    class AbortInTheMiddle(Hooks):
        engine = None

        def recorded(self, rows, view):
            import asyncio

            if any(isinstance(r.event, CommandIntended) and r.event.experiment == 1 for r in rows):
                self.task = asyncio.ensure_future(self.engine.abort())

    hook = AbortInTheMiddle()
    end, state, rows = run(campaign, tmp_path / "home", hooks=hook, steer=lambda e: setattr(hook, "engine", e))
    assert end == ("stopped", "aborted")
    assert lab.made_safe == 1
    assert "aborted" in settled(rows)
    assert state.experiments[1].state == "aborted"
    # what was aborted says nothing of its candidate, and what waited in the queue was withdrawn
    assert 1 not in [t.number for t in state.history().trials]
    end, state, _ = run(campaign, tmp_path / "home")
    assert end[0] == "done"
    assert sum(e.state == "done" for e in state.experiments.values()) == 4


def test_a_ledger_that_cannot_be_written_stops_the_campaign(campaign, tmp_path, monkeypatch):
    append = Ledger.append
    left = 12

    def full(self, *arguments):
        nonlocal left
        left -= 1
        if left < 0:
            raise LedgerError("the disk is full; free it, then run the same command again")
        return append(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", full)
        with pytest.raises(LedgerError, match="disk is full"):
            run(campaign, tmp_path / "home", "concurrency=1")
    end, _, _ = run(campaign, tmp_path / "home", "concurrency=1")
    # the press that was under way when the disk was full cannot be asked: a question, and nothing is pressed twice
    assert end[0] in {"done", "waiting"}
    assert max(Press.behaviour.executed.values()) == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        pytest.param("stop.experiments=6", r"stop\.experiments: recorded 5, now 6", id="budget"),
        pytest.param("space.parameters.force.bounds=[10, 80]", r"bounds\[1\]: recorded 90, now 80", id="bounds"),
    ],
)
def test_a_changed_campaign_is_refused_with_the_difference(campaign, tmp_path, override, said):
    run(campaign, tmp_path / "home")
    with pytest.raises(NameInUseError, match=said):
        run(campaign, tmp_path / "home", override)


def test_another_seed_is_refused(campaign, tmp_path):
    run(campaign, tmp_path / "home")
    with pytest.raises(NameInUseError, match="seed: recorded 0, now 7"):
        run(campaign, tmp_path / "home", seed=7)


def test_a_campaign_that_is_alive_is_refused_by_pid(campaign, tmp_path):
    import os

    from sdl.engine import open_session
    from sdl.preflight import check

    session = open_session(check(campaign), tmp_path / "home")
    try:
        with pytest.raises(NameInUseError, match=f"process {os.getpid()} on "):
            open_session(check(campaign), tmp_path / "home")
    finally:
        session._ownership.release()
        session.ledger.close()
