"""Trouble around the engine: watchers that fail, slow safe states, odd raw data, drivers that cannot be closed."""

from __future__ import annotations

import asyncio
import threading

import pytest
from enginekit import CAMPAIGN, Behaviour, Diary, Gauge, Press, run, settled

from sdl.clock.shared import SharedVirtualClock
from sdl.driver import Reconciled, SafeReport
from sdl.engine import Hooks, InlineWorker, open_session
from sdl.errors import ClockError, InstrumentFault, InstrumentRefused
from sdl.ledger import CommandIntended, CommandSettled, Ledger
from sdl.preflight import check
from sdl.world.process import WorldServer


@pytest.fixture
def lab(drivers):
    drivers(press=Press, gauge=Gauge)
    Press.behaviour.__init__()
    return Press.behaviour


@pytest.fixture
def campaign(write, lab):
    return write("pellets.yaml", CAMPAIGN)


class Failing(Hooks):
    """Fails at everything."""

    async def started(self, view):
        raise OSError("no terminal")

    async def experiment(self, number, label, run):
        raise ConnectionError("no Prefect")

    def recorded(self, rows, view):
        raise BrokenPipeError

    async def round_over(self, view):
        raise ValueError("no artifact")

    def diary(self, text):
        raise BrokenPipeError

    async def ended(self, view):
        raise OSError("no terminal")


def test_watchers_that_fail_do_not_touch_the_campaign(campaign, tmp_path):
    end, state, _ = run(campaign, tmp_path / "home", hooks=Failing())
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["done"] * 5
    assert max(Press.behaviour.executed.values()) == 1


class FailsAfterwards(Hooks):
    """Carries the experiment out, then fails."""

    async def experiment(self, number, label, run):
        await run()
        raise ConnectionError("Prefect did not take the end")


def test_a_watcher_that_fails_after_an_experiment_does_not_repeat_it(campaign, tmp_path):
    end, state, _ = run(campaign, tmp_path / "home", hooks=FailsAfterwards())
    assert end[0] == "done"
    assert max(Press.behaviour.executed.values()) == 1
    assert [e.state for e in state.experiments.values()] == ["done"] * 5


class AbortInTheMiddle(Diary):
    engine = None

    def recorded(self, rows, view):
        if any(isinstance(r.event, CommandIntended) and r.event.experiment == 1 for r in rows):
            self.task = asyncio.ensure_future(self.engine.abort())


def test_every_instrument_is_safe_before_anything_is_closed(drivers, write, tmp_path):
    order: list[str] = []

    class Slow(Press):
        behaviour = Behaviour()

        async def safe_state(self):
            await asyncio.sleep(0.05)
            order.append(f"{self.name} safe")
            return SafeReport(True, "read back")

        async def close(self):
            order.append(f"{self.name} closed")

    class SlowGauge(Gauge):
        safe_state, close = Slow.safe_state, Slow.close

    drivers(press=Slow, gauge=SlowGauge)
    hook = AbortInTheMiddle()
    file = write("pellets.yaml", CAMPAIGN)
    end, _, rows = run(file, tmp_path / "home", hooks=hook, steer=lambda e: setattr(hook, "engine", e))
    assert end == ("stopped", "aborted")
    assert set(order[:2]) == {"press safe", "gauge safe"}
    assert set(order[2:]) == {"press closed", "gauge closed"}
    assert sum("safe state confirmed" in line for line in hook.lines) == 2
    assert "aborted" in settled(rows)


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_an_abort_reaches_what_a_dead_process_left_running(drivers, write, tmp_path, monkeypatch):
    aborted: list[str] = []

    class Goes(Press):
        behaviour = Behaviour()

        async def reconcile(self, command):
            return Reconciled("running", ends=self.clock.now() + 3600)

        async def abort(self, command):
            aborted.append(command.id)
            return True

    drivers(press=Goes, gauge=Gauge)
    file = write("pellets.yaml", CAMPAIGN)
    append, left = Ledger.append, 6  # the press was asked, and its end is not recorded

    def dying(self, *arguments):
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return append(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", dying)
        with pytest.raises(Killed):
            run(file, tmp_path / "home", "concurrency=1")

    class AbortSoon(Diary):
        engine = None

        def diary(self, text):
            super().diary(text)
            if "goes on" in text:
                asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self.engine.abort()))

    hook = AbortSoon()
    end, state, _ = run(
        file, tmp_path / "home", "concurrency=1", hooks=hook, steer=lambda e: setattr(hook, "engine", e)
    )
    assert end[0] == "stopped"
    assert len(aborted) == 1
    assert state.experiments[1].state == "aborted"


def test_odd_raw_data_fail_their_experiment_alone(campaigns, tmp_path, monkeypatch):
    from sdl.analysis.impedance import BulkConductivity

    calls = 0
    examine = BulkConductivity.examine

    def odd(self, artefacts):
        nonlocal calls
        calls += 1
        return 1 / 0 if calls == 2 else examine(self, artefacts)

    monkeypatch.setattr(BulkConductivity, "examine", odd)
    options = ["planner={type: sobol}", "stop={experiments: 3}", "concurrency=1"]
    end, state, _ = run(campaigns / "electrolyte_sintering.yaml", tmp_path / "home", *options)
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["done", "failed", "done"]
    assert "ZeroDivisionError" in state.experiments[2].reason


def test_a_driver_that_cannot_be_closed_keeps_nothing_else_open(drivers, write, tmp_path):
    class Stuck(Gauge):
        async def close(self):
            raise InstrumentFault("the port hangs")

    Press.behaviour.__init__()
    drivers(press=Press, gauge=Stuck)
    file = write("pellets.yaml", CAMPAIGN)

    async def go():
        session = open_session(check(file), tmp_path / "home")
        engine = await session.engine(InlineWorker())
        end = await engine.run()
        with pytest.raises(InstrumentFault, match="the port hangs"):
            await session.close()
        return end

    assert asyncio.run(go())[0] == "done"
    again = open_session(check(file), tmp_path / "home")  # the lock is free again
    assert again.is_done
    asyncio.run(again.close())


def test_a_world_that_dies_is_said_and_nothing_hangs(tmp_path):
    server = WorldServer(1, tmp_path / "w.jsonl", {})
    serving = threading.Thread(target=server.serve_forever)
    serving.start()

    async def go():
        clock = await SharedVirtualClock.connect("127.0.0.1", server.port, "a")
        other = await SharedVirtualClock.connect("127.0.0.1", server.port, "b")
        with clock.actor(), other.actor():
            waiting = asyncio.ensure_future(clock.sleep(10))
            await asyncio.sleep(0)
            clock._writer.transport.abort()  # as if the world had been killed
            with pytest.raises(ClockError, match="gone"):
                await asyncio.wait_for(waiting, 20)
            with pytest.raises(ClockError, match="gone"):
                await asyncio.wait_for(clock.sleep(1), 20)
        await other.close()

    try:
        asyncio.run(go())
    finally:
        server.close()
        serving.join()


def _stubborn(executed, finished):
    """Return a press that goes on whatever is asked of it, as its world does: it ends so many real seconds after it began."""

    class Stubborn(Press):
        behaviour = Behaviour()

        async def perform(self, action, ctx, arguments):
            executed.append(ctx.command.id)
            return await super().perform(action, ctx, arguments)

        async def abort(self, command):
            return False

        async def reconcile(self, command):
            assert command.id in executed
            return Reconciled("done", {}, started=0.0, finished=3600.0) if finished else Reconciled("unknown")

    return Stubborn


class AbortSoon(Diary):
    """Aborts as soon as the first command is about to be sent."""

    engine = None

    def recorded(self, rows, view):
        if any(isinstance(r.event, CommandIntended) for r in rows):
            asyncio.get_running_loop().call_later(0.05, self.engine.begin_abort)


def _aborted(file, home, *options):
    hook = AbortSoon()
    found = run(file, home, *options, hooks=hook, steer=lambda e: setattr(hook, "engine", e))
    return hook, *found


@pytest.mark.parametrize("known", [True, False], ids=["the-instrument-knows", "nobody-knows"])
def test_what_did_not_stop_stays_open_and_the_process_ends_all_the_same(drivers, write, tmp_path, monkeypatch, known):
    monkeypatch.setattr("sdl.engine.leaving.LEAVE_AFTER", 0.1)
    executed: list[str] = []
    drivers(press=_stubborn(executed, known), gauge=Gauge)
    file = write("pellets.yaml", CAMPAIGN)
    slow = ("concurrency=1", "stop.experiments=2", "lab.clock={type: scaled, factor: 1}")
    hook, end, state, rows = _aborted(file, tmp_path / "home", *slow)
    assert end == ("stopped", "aborted")
    assert settled(rows) == []  # neither aborted nor failed: nobody has seen its end
    assert [c.intended.command for c in state.open_commands()] == executed
    assert any("press.press of experiment 1 did not stop and goes on" in line for line in hook.lines)

    _, end, state, rows = _aborted(file, tmp_path / "home", *slow)
    assert settled(rows)[0] == ("succeeded" if known else "unknown")
    assert executed.count(executed[0]) == 1  # and it was not sent a second time
    if not known:
        assert [q.command for q in state.open_questions()] == executed[:1]
        assert len(executed) == 1  # its instrument is held


def test_in_virtual_time_an_abort_waits_for_what_does_not_stop(drivers, write, tmp_path):
    executed: list[str] = []
    drivers(press=_stubborn(executed, finished=True), gauge=Gauge)

    class AbortAtOnce(AbortSoon):
        def recorded(self, rows, view):
            if any(isinstance(r.event, CommandIntended) for r in rows):
                asyncio.get_running_loop().call_soon(self.engine.begin_abort)

    hook = AbortAtOnce()
    file = write("pellets.yaml", CAMPAIGN)
    end, state, rows = run(
        file, tmp_path / "home", "concurrency=1", hooks=hook, steer=lambda e: setattr(hook, "engine", e)
    )
    assert end == ("stopped", "aborted")
    assert settled(rows) == ["succeeded"]  # the hour of the press is over, and its result is kept
    assert state.experiments[1].state == "running"


def test_a_refusal_says_nothing_of_the_specimen(drivers, write, tmp_path):
    class Busy(Press):
        behaviour = Behaviour()

        async def perform(self, action, ctx, arguments):
            if ctx.command.experiment == 2:
                raise InstrumentRefused("press is busy: somebody uses it at its panel")
            return await super().perform(action, ctx, arguments)

    drivers(press=Busy, gauge=Gauge)
    end, state, rows = run(write("pellets.yaml", CAMPAIGN), tmp_path / "home")
    assert end[0] == "done"
    assert [e.state for e in state.experiments.values()] == ["done", "aborted", "done", "done", "done"]
    assert state.experiments[2].reason == "press.press: press is busy: somebody uses it at its panel"
    assert 2 not in {t.number for t in state.history().trials}
    refused = [r.event for r in rows if isinstance(r.event, CommandSettled) and r.event.refused]
    assert [(e.status, e.started) for e in refused] == [("failed", None)]
