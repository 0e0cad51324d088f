"""Virtual time: everybody's order is fixed, and time stands still while anybody works."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.clock import Clock, ClockSettings, RealClock, VirtualClock, make_clock, utc_text
from sdl.clock import clocks as module
from sdl.errors import ClockError, InputError

Actor = Callable[[], Coroutine[Any, Any, None]]


def run_actors(clock: VirtualClock, *actors: Actor) -> list[Any]:
    """Run actors that are all counted before the first of them moves."""

    async def main() -> list[Any]:
        async def one(actor: Actor, counted: Any) -> None:
            try:
                await actor()
            finally:
                counted.__exit__(None, None, None)

        tasks = []
        for actor in actors:
            counted = clock.actor()
            counted.__enter__()
            tasks.append(asyncio.create_task(one(actor, counted)))
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(main())
    for error in found:
        if isinstance(error, AssertionError):
            raise error
    return found


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3)), max_size=25), st.randoms())
def test_waiters_wake_by_moment_then_key_then_arrival(plan: list[tuple[int, int, int]], random: Any) -> None:
    clock = VirtualClock(0.0)
    log: list[tuple[float, tuple[int, int], int]] = []

    def actor(number: int, moment: int, key: tuple[int, int]) -> Actor:
        async def run() -> None:
            await clock.sleep_until(moment, key)
            log.append((clock.now(), key, number))
            await asyncio.sleep(0)

        return run

    run_actors(clock, *(actor(i, moment, (a, b)) for i, (moment, a, b) in enumerate(plan)))
    assert log == sorted(log)
    assert len(log) == len(plan)


def test_time_stands_still_while_an_actor_works() -> None:
    clock = VirtualClock(100.0)
    seen = []

    async def worker() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
            seen.append(clock.now())
        await clock.sleep(5)

    async def sleeper() -> None:
        await clock.sleep(1)
        seen.append(clock.now())

    run_actors(clock, worker, sleeper)
    assert seen == [100.0] * 50 + [101.0]
    assert clock.now() == 105.0
    assert clock.elapsed() == 5.0


def test_one_at_a_time_at_one_instant() -> None:
    clock = VirtualClock(0.0)
    active: list[int] = []

    def actor(number: int) -> Actor:
        async def run() -> None:
            await clock.sleep(1, (number, 0))
            active.append(number)
            for _ in range(5):
                await asyncio.sleep(0)
                assert active[-1] == number
            await clock.sleep(1, (number, 0))

        return run

    run_actors(clock, *(actor(n) for n in (3, 1, 2)))
    assert active == [1, 2, 3]


def test_a_moment_that_has_passed_is_now() -> None:
    clock = VirtualClock(10.0)

    async def actor() -> None:
        await clock.sleep_until(3.0)
        assert clock.now() == 10.0

    assert run_actors(clock, actor) == [None]


@pytest.mark.parametrize("how", ["sleeping", "waiting"])
def test_a_cancelled_actor_counts_as_working_at_once(how: str) -> None:
    clock = VirtualClock(0.0)
    log = []

    async def main() -> None:
        async def victim() -> None:
            with clock.actor():
                try:
                    await (clock.sleep(100) if how == "sleeping" else clock.wait_for(clock.event()))
                except asyncio.CancelledError:
                    log.append(("cancelled", clock.now()))
                    await clock.sleep(5)
                    log.append(("tidied up", clock.now()))
                    raise

        async def other() -> None:
            with clock.actor():
                await clock.sleep(3)
                log.append(("other", clock.now()))

        with clock.actor():
            one, two = asyncio.create_task(victim()), asyncio.create_task(other())
            await asyncio.sleep(0)
            one.cancel()
            await clock.sleep(1)  # had the victim not been counted, time would have gone on without it
            log.append(("main", clock.now()))
        await asyncio.gather(one, two, return_exceptions=True)
        with clock.actor():
            await clock.sleep(1)

    asyncio.run(main())
    assert log == [("cancelled", 0.0), ("main", 1.0), ("other", 3.0), ("tidied up", 5.0)]
    assert clock.now() == 6.0
    assert clock._working == 0
    assert not clock._waiting


def test_cancelled_after_it_was_woken() -> None:
    clock = VirtualClock(0.0)

    async def main() -> None:
        event = clock.event()

        async def victim() -> None:
            with clock.actor():
                await clock.wait_for(event)

        with clock.actor():
            task = asyncio.create_task(victim())
            await asyncio.sleep(0)
            clock.settle(event)
            task.cancel()
            await clock.sleep(1)
        assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError

    asyncio.run(main())
    assert clock._working == 0
    assert clock.now() == 1.0


def test_deadlock_is_an_error_for_everybody_who_waits() -> None:
    clock = VirtualClock(0.0)

    async def actor() -> None:
        await clock.wait_for(clock.event())

    found = run_actors(clock, actor, actor)
    assert [type(e) for e in found] == [ClockError, ClockError]
    assert "virtual time stands still" in str(found[0])
    assert clock._working == 0


def test_no_deadlock_while_somebody_sleeps() -> None:
    clock = VirtualClock(0.0)
    events: list[asyncio.Future[None]] = []

    async def waiter() -> None:
        events.append(clock.event())
        await clock.wait_for(events[0])
        assert clock.now() == 7.0

    async def settler() -> None:
        await clock.sleep(7)
        clock.settle(events[0])
        clock.settle(events[0])
        await clock.sleep(1)

    assert run_actors(clock, waiter, settler) == [None, None]
    assert clock._working == 0


def test_settled_before_it_is_waited_for() -> None:
    clock = VirtualClock(0.0)

    async def actor() -> None:
        event = clock.event()
        clock.settle(event)
        await clock.wait_for(event)
        await clock.sleep(2)

    assert run_actors(clock, actor) == [None]
    assert clock.now() == 2.0


def test_two_tasks_cannot_wait_for_one_future() -> None:
    clock = VirtualClock(0.0)
    events: list[asyncio.Future[None]] = []

    async def waiter() -> None:
        events.append(clock.event())
        await clock.wait_for(events[0])

    async def late() -> None:
        await clock.sleep(1)
        clock.settle(events[0])

    found = run_actors(clock, waiter, waiter, late)
    assert found[0] is None
    assert "two tasks wait" in str(found[1])


def test_thousands_of_actors() -> None:
    clock = VirtualClock(0.0)
    log: list[float] = []

    def actor(number: int) -> Actor:
        async def run() -> None:
            for _ in range(4):
                await clock.sleep(86400, (number, 0))
                log.append(clock.now())

        return run

    run_actors(clock, *(actor(n) for n in range(4000)))
    assert len(log) == 16000
    assert clock.now() == 4 * 86400


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("make", [lambda: VirtualClock(0.0), RealClock], ids=["virtual", "real"])
def test_nobody_waits_for_ever_or_for_no_number(make: Callable[[], Clock], seconds: float) -> None:
    async def main() -> None:
        clock = make()
        with clock.actor():
            await clock.sleep(seconds)

    with pytest.raises(ClockError, match="nobody can wait"):
        asyncio.run(main())


class Wall:
    """Time for tests: monotonic and wall clock, moved by asyncio.sleep alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monotonic, self.wall = 50.0, 1_700_000_000.0
        self.slept: list[float] = []
        monkeypatch.setattr(module.time, "monotonic", lambda: self.monotonic)
        monkeypatch.setattr(module.time, "time", lambda: self.wall)
        monkeypatch.setattr(module.asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.monotonic += seconds
        self.wall += seconds


def test_scaled_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall(monkeypatch)
    clock = make_clock(ClockSettings("scaled", 3600.0), start=1000.0)
    assert clock.settings == ClockSettings("scaled", 3600.0)
    assert clock.now() == 1000.0
    asyncio.run(clock.sleep(7200.0))
    assert sum(wall.slept) == pytest.approx(2.0)
    assert clock.now() == pytest.approx(1000.0 + 7200.0)
    asyncio.run(clock.sleep_until(clock.now() + 3600.0))
    assert sum(wall.slept) == pytest.approx(3.0)
    assert clock.elapsed() == pytest.approx(10800.0)


def test_real_time_sleeps_by_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall(monkeypatch)
    clock = make_clock(ClockSettings("real"))
    assert clock.now() == wall.wall

    async def jumps(seconds: float) -> None:
        wall.slept.append(seconds)
        wall.monotonic += seconds
        wall.wall -= 1000.0  # somebody sets the wall clock back

    monkeypatch.setattr(module.asyncio, "sleep", jumps)
    asyncio.run(clock.sleep(5.0))
    assert wall.slept == [5.0]


def test_real_time_does_not_wait_for_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall(monkeypatch)
    asyncio.run(RealClock().sleep_until(0.0))
    assert wall.slept == []


def test_real_events() -> None:
    async def main() -> None:
        clock = RealClock()
        event = clock.event()
        with clock.actor():
            asyncio.get_running_loop().call_soon(clock.settle, event)
            await clock.wait_for(event)
        clock.settle(event)

    asyncio.run(main())


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_a_factor_must_be_positive(factor: float) -> None:
    with pytest.raises(InputError, match="factor must be above 0"):
        RealClock(factor)


def test_all_clocks_are_clocks() -> None:
    for settings in (ClockSettings(), ClockSettings("scaled", 2.0), ClockSettings("virtual")):
        assert isinstance(make_clock(settings), Clock)
    assert utc_text(make_clock(ClockSettings("virtual")).now()) == "2000-01-01T00:00:00.000000+00:00"
    assert make_clock(ClockSettings("virtual"), start=5.0).now() == 5.0


def test_scaled_time_is_put_forward_and_never_back():
    clock = RealClock(100.0, 1000.0)
    clock.not_before(5000.0)
    assert 5000.0 <= clock.now() < 5100.0
    clock.not_before(10.0)
    assert clock.now() >= 5000.0
    real = RealClock()
    before = real.now()
    real.not_before(before + 1e6)
    assert real.now() < before + 1e5
