"""A late command is reported once, before its end; an interlock ends an experiment without teaching the planner."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import pytest
from enginekit import CAMPAIGN, Diary, Gauge, Press, run
from slowkit import SlowPress

from sdl.clock import VIRTUAL_EPOCH, utc_text
from sdl.driver import Context, Limits, Reconciled, Unit, action
from sdl.ledger import CommandIntended, CommandLate, CommandSettled, ExperimentFinished, Ledger
from sdl.loop import CampaignState


@pytest.fixture
def slow(drivers):
    """The press whose speed a test sets."""
    drivers(press=SlowPress, gauge=Gauge)
    Press.behaviour.__init__()
    SlowPress.takes.clear()
    SlowPress.hot_from = float("inf")
    return SlowPress


@pytest.fixture
def campaign(write, slow):
    return write("pellets.yaml", CAMPAIGN)


def _late(rows) -> list[CommandLate]:
    return [r.event for r in rows if isinstance(r.event, CommandLate)]


def _at(rows, kind, number: int) -> list[tuple[int, str]]:
    """Rows of a kind about the press's command of an experiment: (seq, moment)."""
    ids = {
        r.event.command
        for r in rows
        if isinstance(r.event, CommandIntended) and (r.event.experiment, r.event.instrument) == (number, "press")
    }
    return [(r.seq, r.at) for r in rows if isinstance(r.event, kind) and r.event.command in ids]


def test_a_late_command_is_reported_once_at_its_limit(campaign, slow, tmp_path):
    slow.takes[2] = 5 * 3600.0
    diary = Diary()
    end, state, rows = run(campaign, tmp_path / "home", "concurrency=1", hooks=diary)
    assert end[0] == "done" and state.experiments[2].state == "done"
    (late,) = _late(rows)
    assert (late.expected, late.limit) == (3600.0, 7200.0)
    (reported,), (over,) = _at(rows, CommandLate, 2), _at(rows, CommandSettled, 2)
    begins = VIRTUAL_EPOCH + 3660.0  # after the first experiment: an hour in the press, a minute in the gauge
    assert late.started == utc_text(begins)
    assert (reported[1], over[1]) == (utc_text(begins + 7200), utc_text(begins + 5 * 3600))
    assert reported[0] < over[0]
    (line,) = [x for x in diary.lines if "LATE" in x]
    for words in ("experiment 2, press.press began 2 h ago", "still under way", "should take 60 min", "late after 2 h"):
        assert words in line, line
    assert CampaignState(rows).late == {late.command: late}


def test_late_comes_before_failed(campaign, slow, tmp_path):
    slow.takes[1] = 3 * 3600.0
    Press.behaviour.fails.add(1)
    _, state, rows = run(campaign, tmp_path / "home", "stop.experiments=1")
    assert state.experiments[1].state == "failed"
    (late,), (over,) = _at(rows, CommandLate, 1), _at(rows, CommandSettled, 1)
    assert late < over and late[1] == utc_text(VIRTUAL_EPOCH + 7200)


@pytest.mark.parametrize(("seconds", "count"), [(7199.0, 0), (7200.0, 0), (7200.1, 1)])
def test_one_that_ends_at_its_limit_is_not_late(campaign, slow, tmp_path, seconds, count):
    slow.takes[1] = seconds
    _, _, rows = run(campaign, tmp_path / "home", "stop.experiments=1")
    assert len(_late(rows)) == count


def test_waiting_for_the_instrument_does_not_count(campaign, slow, tmp_path):
    slow.takes.update(dict.fromkeys(range(1, 6), 7000.0))
    _, _, rows = run(campaign, tmp_path / "home", "concurrency=5")
    assert _late(rows) == []


def test_without_a_stated_limit_it_is_half_as_long_again(write, drivers, tmp_path):
    class Plain(Press):
        @action(effect="irreversible", duration="1 h", abortable=True)
        async def press(self, ctx: Context, force: Annotated[float, Unit("kN"), Limits(0, 100)]) -> None:
            """Press a pellet."""
            await ctx.sleep(6000.0)

    drivers(press=Plain, gauge=Gauge)
    Press.behaviour.__init__()
    _, _, rows = run(write("pellets.yaml", CAMPAIGN), tmp_path / "home", "stop.experiments=1")
    assert [late.limit for late in _late(rows)] == [5400.0]


def test_two_runs_report_it_in_the_same_rows(campaign, slow, tmp_path):
    slow.takes.update({2: 9000.0, 4: 9000.0})
    runs = [run(campaign, tmp_path / name)[2] for name in ("one", "two")]
    assert len(_late(runs[0])) == 2
    one, two = ([(r.at, type(r.event).__name__) for r in rows] for rows in runs)
    assert one == two


def _interrupted(campaign, home, cut: int) -> None:
    """Leave a journal that ends after its first `cut` rows, as a process that died there leaves it."""
    full = home.with_name("full")
    _, _, rows = run(campaign, full, "stop.experiments=1")
    ledger = Ledger(home)
    for row in rows[:cut]:
        ledger.append("pellets", datetime.fromisoformat(row.at).timestamp(), [row.event])
    ledger.close()


def _cut_after(campaign, folder, kind) -> int:
    _, _, rows = run(campaign, folder, "stop.experiments=1")
    return next(i for i, r in enumerate(rows, 1) if isinstance(r.event, kind))


def test_after_a_restart_it_is_not_reported_again(campaign, slow, tmp_path):
    slow.takes[1] = 4 * 3600.0
    home = tmp_path / "home"
    _interrupted(campaign, home, _cut_after(campaign, tmp_path / "probe", CommandLate))
    Press.behaviour.reconciles = "running"
    _, state, rows = run(campaign, home, "stop.experiments=1")
    assert state.experiments[1].state == "done"
    assert len(_late(rows)) == 1


def test_one_that_became_late_while_nobody_watched_is_reported(campaign, slow, tmp_path):
    slow.takes[1] = 4 * 3600.0
    home = tmp_path / "home"
    _interrupted(campaign, home, _cut_after(campaign, tmp_path / "probe", CommandIntended))
    Press.behaviour.reconciles = "running"
    diary = Diary()
    _, _, rows = run(campaign, home, "stop.experiments=1", hooks=diary)
    (late,) = _late(rows)
    assert late.started == utc_text(VIRTUAL_EPOCH)
    (reported,), (over,) = _at(rows, CommandLate, 1), _at(rows, CommandSettled, 1)
    assert reported[1] == utc_text(VIRTUAL_EPOCH + 7200) and reported < over


def test_one_whose_end_alone_is_known_is_reported_with_it(campaign, slow, tmp_path):
    home = tmp_path / "home"
    _interrupted(campaign, home, _cut_after(campaign, tmp_path / "probe", CommandIntended))

    async def reconcile(self, command):
        return Reconciled("done", {}, started=VIRTUAL_EPOCH, finished=VIRTUAL_EPOCH + 7201.0)

    slow.reconcile, plain = reconcile, slow.reconcile
    try:
        diary = Diary()
        _, _, rows = run(campaign, home, "stop.experiments=1", hooks=diary)
    finally:
        slow.reconcile = plain
    (reported,), (over,) = _at(rows, CommandLate, 1), _at(rows, CommandSettled, 1)
    assert reported[0] == over[0] - 1 and reported[1] == over[1]
    assert any("LATE" in x and "it is over" in x for x in diary.lines)


def test_an_abort_leaves_no_alarm(campaign, slow, tmp_path):
    slow.takes[1] = 10 * 3600.0

    def steer(engine) -> None:
        async def later() -> None:
            with engine.clock.actor():
                await engine.clock.sleep(3600.0)
                engine.begin_abort("enough")

        steer.task = asyncio.ensure_future(later())

    end, _, rows = run(campaign, tmp_path / "home", "stop.experiments=1", steer=steer)
    assert end[0] == "stopped" and _late(rows) == []
    assert rows[-1].at == utc_text(VIRTUAL_EPOCH + 3600)


# --- interlocks through a campaign -----------------------------------------------------------------------------------

NEEDS = "gauge: {driver: gauge, requires: {press.ram: {at_most: 60 degC, wait: 30 min, actions: [measure]}}}"


@pytest.fixture
def locked(write, slow):
    return write("pellets.yaml", CAMPAIGN.replace("gauge: {driver: gauge}", NEEDS))


def test_an_interlock_ends_the_experiment_and_says_nothing_of_its_candidate(locked, slow, tmp_path):
    slow.hot_from = 3600.0 + 60.0  # the first experiment is through
    diary = Diary()
    end, state, rows = run(locked, tmp_path / "home", "concurrency=1", "stop.experiments=2", hooks=diary)
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["done", "aborted"]
    denied = [r.event for r in rows if isinstance(r.event, CommandSettled) and r.event.interlock]
    assert len(denied) == 1 and denied[0].started is None
    reason = next(r.event.reason for r in rows if isinstance(r.event, ExperimentFinished) and r.event.experiment == 2)
    assert "an interlock denied gauge.measure after waiting 30 min" in reason and "press.ram is 80 degC" in reason
    assert any("waits up to 30 min: press.ram is 80 degC, allowed is at most 60 degC" in x for x in diary.lines)
    assert [t.number for t in state.history().trials] == [1]
    assert CampaignState(Ledger(tmp_path / "home").rows("pellets")).experiments[2].state == "aborted"


def test_its_policy_may_be_to_ask(locked, slow, tmp_path):
    slow.hot_from = 0.0
    end, state, _ = run(locked, tmp_path / "home", "protocol[1].if_fails=ask", "stop.experiments=1")
    assert end[0] == "waiting"
    (question,) = state.open_questions()
    assert "press.ram is 80 degC" in question.text
