"""The embedded lab: one command at a time, samples under way first, ids once, epochs, aborts, settlement."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl.clock import ClockSettings, RealClock, VirtualClock
from sdl.driver import (
    ArtefactRef,
    Command,
    Context,
    DriverSettings,
    Health,
    Instrument,
    Limits,
    Reconciled,
    SafeReport,
    Unit,
    action,
)
from sdl.errors import (
    DriverError,
    InstrumentFault,
    InstrumentRefused,
    LedgerError,
    NameInUseError,
    OutcomeUnknown,
    ProtocolError,
)
from sdl.lab import EmbeddedLab, InstrumentPlan, LabPlan
from sdl.lab.queue import InstrumentQueue


@dataclass
class Found:
    value: Annotated[float, Unit("g")]


class Box(Instrument):
    """A box that does as it is told."""

    nature = "simulated"
    log: list[tuple[float, str, int]]
    then: Callable[..., Any] | None = None
    answers: list[Any]
    stops = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.log, self.answers, self.closed = [], [], False

    @action(effect="irreversible", duration="10 s", abortable=True)
    async def work(self, ctx: Context, seconds: Annotated[float, Unit("s"), Limits(0, 1000)] = 10.0) -> Found:
        """Work."""
        self.log.append((self.clock.now(), "begins", ctx.command.experiment))
        await ctx.sleep(seconds)
        result = Found(1.5) if self.then is None else await self.then(ctx)
        self.log.append((self.clock.now(), "ends", ctx.command.experiment))
        return result

    @action(effect="reads")
    async def look(self, ctx: Context) -> Found:
        """Look."""
        assert self.then is not None
        found: Found = await self.then(ctx)
        return found

    async def abort(self, command: Command) -> bool:
        return self.stops

    async def close(self) -> None:
        self.closed = True

    async def reconcile(self, command: Command) -> Reconciled:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Reconciled)
        return answer

    async def safe_state(self) -> SafeReport:
        return SafeReport(confirmed=True, message="cold")


class RealBox(Box):
    nature = "real"


class Sulky(Box):
    async def connect(self) -> None:
        raise TimeoutError("no answer on port 5")

    async def safe_state(self) -> SafeReport:
        raise OSError("gone")

    async def health(self) -> Health:
        raise OSError("gone")


class Unmakeable(Box):
    def __init__(self, *args: Any, **options: Any) -> None:
        raise DriverError("needs a world")


def store(name: str, data: bytes, media_type: str) -> ArtefactRef:
    return ArtefactRef(name, hashlib.sha256(data).hexdigest(), len(data), media_type)


def plan_of(**boxes: type[Box]) -> LabPlan:
    return LabPlan(
        "lab",
        ClockSettings("virtual"),
        {},
        {
            n: InstrumentPlan(n, b.__name__, b, DriverSettings(), b.describe(DriverSettings(), b.__name__))
            for n, b in boxes.items()
        },
    )


def make(clock: Any = None, locks: Path | None = None, **boxes: type[Box]) -> EmbeddedLab:
    return EmbeddedLab(plan_of(**(boxes or {"box": Box})), clock or VirtualClock(0.0), store, None, locks)


def command(
    number: int = 1, *, id: str = "", instrument: str = "box", do: str = "work", epoch: int = 1, **arguments: Any
) -> Command:
    return Command(id or f"id{number}", "c", epoch, number, 0, instrument, do, arguments, (f"s{number}",), 0)


def run(lab: EmbeddedLab, *actors: Callable[[EmbeddedLab], Awaitable[Any]]) -> list[Any]:
    """Open the lab, run actors that are counted before any of them moves, and close it."""

    async def main() -> list[Any]:
        await lab.open()

        async def one(actor: Any, counted: Any) -> Any:
            try:
                return await actor(lab)
            finally:
                counted.__exit__(None, None, None)

        tasks = []
        for actor in actors:
            counted = lab.clock.actor()
            counted.__enter__()
            tasks.append(asyncio.create_task(one(actor, counted)))
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await lab.close()
        return found

    return asyncio.run(main())


def ask(cmd: Command, *, begins: bool = False, after: float = 0.0) -> Callable[[EmbeddedLab], Awaitable[Any]]:
    async def actor(lab: EmbeddedLab) -> Any:
        await lab.clock.sleep(after, (cmd.experiment, cmd.step))
        return await lab.execute(cmd, begins)

    return actor


def box_of(lab: EmbeddedLab, name: str = "box") -> Box:
    found = lab.instruments[name]
    assert isinstance(found, Box)
    return found


def acting(lab: EmbeddedLab, then: Callable[[Context], Awaitable[Any]], do: str = "work") -> Any:
    async def actor(lab: EmbeddedLab) -> Any:
        box_of(lab).then = then
        return await lab.execute(command(do=do), begins_sample=False)

    return run(lab, actor)[0]


# --- carrying out ----------------------------------------------------------------------------------------------------


def test_a_command_is_carried_out() -> None:
    reply = run(make(), ask(command(seconds=30.0)))[0]
    assert (reply.status, dict(reply.values), reply.error) == ("succeeded", {"value": 1.5}, None)
    assert (reply.started, reply.finished, reply.duration, reply.simulated) == (0.0, 30.0, 30.0, True)


def test_progress_and_artefacts() -> None:
    told = []

    async def then(ctx: Context) -> Found:
        await ctx.progress(0.5, "half")
        ctx.artefact("raw.csv", b"1,2", "text/csv")
        return Found(2.0)

    async def actor(lab: EmbeddedLab) -> Any:
        async def progress(fraction: float, message: str) -> None:
            told.append((fraction, message))

        box_of(lab).then = then
        return await lab.execute(command(), begins_sample=True, progress=progress)

    reply = run(make(), actor)[0]
    assert told == [(0.5, "half")]
    assert [a.name for a in reply.artefacts] == ["raw.csv"]


def test_a_sample_under_way_goes_before_one_that_begins() -> None:
    lab = make()
    run(
        lab,
        ask(command(1), begins=True),
        ask(command(2), begins=True, after=1),
        ask(command(3), begins=True, after=2),
        ask(command(4), begins=False, after=3),
        ask(command(5), begins=False, after=4),
    )
    # the lab let go of its instruments: the order stands in the moments at which each ended
    assert lab.clock.now() == 50.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(1, 20)), min_size=1, max_size=8))
def test_the_order_of_the_queue(plan: list[tuple[bool, int, int]]) -> None:
    lab = make()
    log: list[tuple[float, str, int]] = []

    def actor(number: int, begins: bool, after: int, seconds: int) -> Any:
        async def act(lab: EmbeddedLab) -> Any:
            log_of = box_of(lab)
            log_of.log = log
            return await ask(command(number, seconds=float(seconds)), begins=begins, after=after)(lab)

        return act

    replies = run(lab, *(actor(i, *p) for i, p in enumerate(plan)))
    assert all(r.status == "succeeded" for r in replies)
    began = [n for _, what, n in log if what == "begins"]
    assert [what for _, what, _ in log] == ["begins", "ends"] * len(plan), "one command at a time"
    # Replay the rule: whenever the instrument is free, of those that wait the ones under way go first, then arrival.
    arrived = sorted(range(len(plan)), key=lambda i: (plan[i][1], i))
    free, expected, left = -1.0, [], list(arrived)  # free before anybody arrives: the first finds it so
    while left:
        waiting = [i for i in left if plan[i][1] <= free]
        # who arrives at the very moment at which it becomes free may find it free or not: both orders are lawful
        if any(plan[i][1] == free for i in left) and expected:
            return
        pick = min(waiting, key=lambda i: (plan[i][0], arrived.index(i))) if waiting else left[0]
        free = max(free, plan[pick][1]) + plan[pick][2]
        expected.append(pick)
        left.remove(pick)
    assert began == expected


def test_two_instruments_work_at_once() -> None:
    lab = make(box=Box, other=Box)
    run(lab, ask(command(1)), ask(command(2, instrument="other")))
    assert lab.clock.now() == 10.0


def test_busy_says_what_is_done() -> None:
    async def watch(lab: EmbeddedLab) -> Any:
        await lab.clock.sleep(5)
        return dict(lab.busy())

    found = run(make(), ask(command(7)), watch)
    assert found[1] == {"box": "work, experiment 7"}


# --- what goes wrong -------------------------------------------------------------------------------------------------


def raising(error: BaseException) -> Callable[[Context], Awaitable[Any]]:
    async def then(_: Context) -> Any:
        raise error

    return then


@pytest.mark.parametrize(
    ("error", "do", "status", "said"),
    [
        (InstrumentFault("door open"), "work", "failed", "door open"),
        (ValueError("oops"), "work", "failed", "ValueError: oops"),
        (OutcomeUnknown("no reply"), "work", "unknown", "no reply"),
        (TimeoutError("read"), "work", "unknown", "what happened at the instrument is not known"),
        (ConnectionResetError("gone"), "work", "unknown", "what happened at the instrument is not known"),
        (TimeoutError("read"), "look", "failed", "TimeoutError: read"),
        (asyncio.CancelledError(), "work", "unknown", "the driver gave up by itself"),
        (asyncio.CancelledError(), "look", "failed", "the driver gave up by itself"),
    ],
)
def test_a_driver_that_raises(error: BaseException, do: str, status: str, said: str) -> None:
    reply = acting(make(), raising(error), do)
    assert reply.status == status
    assert said in reply.error
    assert not reply.values


def test_the_platforms_own_failures_are_not_the_specimens() -> None:
    found = acting(make(), raising(LedgerError("the disk is full")))
    assert isinstance(found, LedgerError), "the command stays open"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (Found(float("nan")), "the result cannot be used: value: nan is not finite"),
        (Found(float("inf")), "value: inf is not finite"),
        (Found("heavy"), "value: 'heavy' is not a number"),  # type: ignore[arg-type]
        ({"weight": 1.0}, "'value' is missing; 'weight' was not declared"),
        (None, "'value' is missing"),
        (5, "TypeError"),
    ],
)
def test_a_result_that_cannot_be_used(result: Any, said: str) -> None:
    async def then(_: Context) -> Any:
        return result

    reply = acting(make(), then)
    assert reply.status == "failed"
    assert said in reply.error
    assert not reply.values


@pytest.mark.parametrize("value", [np.float64(2.5), np.float32(2.5), np.int64(2)])
def test_numpy_scalars_become_plain(value: Any) -> None:
    async def then(_: Context) -> Any:
        return Found(value)

    reply = acting(make(), then)
    assert reply.status == "succeeded"
    assert type(reply.values["value"]) in {float, int}


def test_arguments_outside_their_limits_move_nothing() -> None:
    lab = make()
    reply = run(lab, ask(command(seconds=1001.0)))[0]
    assert reply.status == "failed"
    assert "outside the limits [0, 1000] s" in reply.error
    assert reply.refused
    assert reply.started is None
    assert lab.clock.now() == 0.0


def test_the_instrument_is_free_after_a_failure() -> None:
    async def actor(lab: EmbeddedLab) -> Any:
        box_of(lab).then = raising(ValueError("oops"))
        first = await lab.execute(command(1), begins_sample=False)
        box_of(lab).then = None
        return first, await lab.execute(command(2), begins_sample=False)

    first, second = run(make(), actor)[0]
    assert (first.status, second.status) == ("failed", "succeeded")


# --- ids, digests, epochs --------------------------------------------------------------------------------------------


def test_an_id_is_accepted_once() -> None:
    found = run(
        make(), ask(command(1, id="x")), ask(command(2, id="x"), after=1), ask(command(3, id="x", seconds=5.0), after=2)
    )
    assert found[0].status == "succeeded"
    assert isinstance(found[1], ProtocolError)
    assert str(found[1]) == "command x was accepted before; nothing was moved"
    assert "accepted before with other arguments; nothing was moved" in str(found[2])


def test_a_refused_command_uses_up_its_id() -> None:
    found = run(make(), ask(command(1, id="x", seconds=5000.0)), ask(command(1, id="x"), after=1))
    assert found[0].status == "failed"
    assert isinstance(found[1], ProtocolError)


def test_an_old_epoch_is_refused() -> None:
    found = run(make(), ask(command(1, epoch=2)), ask(command(2, epoch=1), after=1), ask(command(3, epoch=3), after=2))
    assert isinstance(found[1], ProtocolError)
    assert "comes from epoch 1 of 'c', which process 2 has taken over; nothing was moved" in str(found[1])
    assert found[2].status == "succeeded"


@pytest.mark.parametrize(
    ("cmd", "said"),
    [
        (command(instrument="bx"), "the lab has no instrument 'bx'"),
        (command(do="dance"), "box has no action 'dance'"),
        (command(seconds=float("nan")), "its arguments are no JSON"),
        (command(seconds=object()), "its arguments are no JSON"),
    ],
)
def test_commands_that_break_the_rules(cmd: Command, said: str) -> None:
    found = run(make(), ask(cmd))[0]
    assert isinstance(found, ProtocolError)
    assert said in str(found)


# --- withdrawing and aborting ----------------------------------------------------------------------------------------


def test_withdrawn_commands_never_start() -> None:
    async def stop(lab: EmbeddedLab) -> None:
        await lab.clock.sleep(5)
        lab.withdraw()

    found = run(
        make(), ask(command(1)), ask(command(2), after=1), ask(command(3), after=2), stop, ask(command(4), after=6)
    )
    assert [r.status for r in (*found[:3], found[4])] == ["succeeded", "not_started", "not_started", "succeeded"]
    assert found[1].error == "withdrawn from the queue"
    assert found[1].started is None
    assert found[4].started == 10.0


def test_aborted_commands_are_said_to_be() -> None:
    async def stop(lab: EmbeddedLab) -> None:
        await lab.clock.sleep(5)
        await lab.abort()

    lab = make()
    found = run(lab, ask(command(1)), ask(command(2), after=1), stop)
    assert (found[0].status, found[0].error, found[0].finished) == ("aborted", "aborted on request", 5.0)
    assert (found[1].status, found[1].started) == ("succeeded", 5.0)


def test_a_driver_that_turns_an_abort_into_a_fault() -> None:
    async def then(ctx: Context) -> Any:
        try:
            await ctx.sleep(100)
        except asyncio.CancelledError:
            raise InstrumentFault("stopped at 500 degC") from None

    async def stop(lab: EmbeddedLab) -> None:
        box_of(lab).then = then
        await lab.clock.sleep(15)
        await lab.abort()

    found = run(make(), ask(command(1)), stop)
    assert (found[0].status, found[0].error) == ("aborted", "stopped at 500 degC"), "not a failed specimen"


class Stubborn(RealBox):
    stops = False


class Raising(Box):
    async def abort(self, command: Command) -> bool:
        raise OSError("no line")


def test_what_cannot_be_stopped_goes_on() -> None:
    async def stop(lab: EmbeddedLab) -> None:
        await lab.clock.sleep(5)
        await lab.abort()

    found = run(make(box=Stubborn, other=Raising), ask(command(1)), ask(command(2, instrument="other")), stop)
    assert (found[0].status, found[0].finished) == ("succeeded", 10.0)
    assert (found[1].status, found[1].finished) == ("succeeded", 10.0), "a simulation goes on as well as a real one"


def test_cancelling_the_caller_frees_the_instrument() -> None:
    lab = make()

    async def canceller(lab: EmbeddedLab) -> Any:
        async def one() -> Any:
            with lab.clock.actor():
                return await lab.execute(command(1), begins_sample=False)

        task = asyncio.create_task(one())
        await asyncio.sleep(0)
        await lab.clock.sleep(3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        return await lab.execute(command(2), begins_sample=False)

    assert run(lab, canceller)[0].status == "succeeded"
    assert lab.clock._working == 0  # type: ignore[attr-defined]


def test_a_cancelled_waiter_does_not_take_the_turn() -> None:
    clock = VirtualClock(0.0)

    async def main() -> None:
        queue = InstrumentQueue(clock)
        turns = []

        async def worker(name: str, seconds: float) -> None:
            with clock.actor():
                if await queue.take(begins_sample=False):
                    turns.append((name, clock.now()))
                    await clock.sleep(seconds)
                    queue.give()

        with clock.actor():
            first, second, third = (asyncio.create_task(worker(n, 10)) for n in "abc")
            await asyncio.sleep(0)
            await clock.sleep(5)
            second.cancel()
            await clock.sleep(20)
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert turns == [("a", 0.0), ("c", 10.0)]

    asyncio.run(main())


def test_withdrawn_and_cancelled_at_once_frees_nothing() -> None:
    clock = VirtualClock(0.0)

    async def main() -> None:
        queue = InstrumentQueue(clock)

        async def waiter() -> bool:
            with clock.actor():
                return await queue.take(begins_sample=False)

        with clock.actor():
            assert await queue.take(begins_sample=False)
            task = asyncio.create_task(waiter())
            await asyncio.sleep(0)
            queue.withdraw()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert queue._free == 0, "somebody else is still at the instrument"
            assert not queue._withdrawn
            queue.give()
            assert queue._free == 1

    asyncio.run(main())


# --- reconcile -------------------------------------------------------------------------------------------------------


def reconciled(*answers: Any) -> tuple[Any, float]:
    lab = make()

    async def actor(lab: EmbeddedLab) -> Any:
        box_of(lab).answers = list(answers)
        return await lab.reconcile(command(1))

    return run(lab, actor)[0], lab.clock.now()


def test_reconcile() -> None:
    done = Reconciled("done", {"value": 2.0}, started=1.0, finished=4.0)
    reply, _ = reconciled(done)
    assert (reply.status, dict(reply.values), reply.duration) == ("succeeded", {"value": 2.0}, 3.0)
    assert reconciled(Reconciled("not_started"))[0] is None
    assert reconciled(Reconciled("unknown"))[0].status == "unknown"
    assert reconciled(Reconciled("done", error="cracked"))[0].status == "failed"
    reply, _ = reconciled(Reconciled("done", {"value": float("nan")}))
    assert (reply.status, dict(reply.values)) == ("failed", {})
    reply, _ = reconciled(OSError("no line"))
    assert reply.status == "unknown"
    assert "OSError: no line" in reply.error


def test_reconcile_waits_while_it_runs() -> None:
    reply, moment = reconciled(Reconciled("running", ends=500.0), Reconciled("done", {"value": 2.0}))
    assert (reply.status, moment) == ("succeeded", 500.0)
    reply, moment = reconciled(*[Reconciled("running")] * 3, Reconciled("done", {"value": 2.0}))
    assert (reply.status, moment) == ("succeeded", 3.0)
    # Late: the moment at which it should have ended has passed; it is asked at intervals, not in a closed loop.
    reply, moment = reconciled(*[Reconciled("running", ends=0.0)] * 4, Reconciled("not_started"))
    assert (reply, moment) == (None, 4.0)


def test_reconcile_of_what_the_lab_does_not_have() -> None:
    async def actor(lab: EmbeddedLab) -> Any:
        return await lab.reconcile(command(1, instrument="gone"))

    assert "the lab has no instrument 'gone'" in str(run(make(), actor)[0])


def test_an_instrument_is_kept_for_what_a_dead_process_sent() -> None:
    old, older = command(8, id="old"), command(9, id="older")

    async def settle(lab: EmbeddedLab) -> Any:
        lab.reserve([("old", "box"), ("older", "box"), ("lost", "gone")])
        box_of(lab).answers = [
            Reconciled("done", {"value": 1.0}),
            Reconciled("running", ends=50.0),
            Reconciled("unknown"),
        ]
        first = await lab.reconcile(old)
        assert lab.clock.now() == 0.0
        return first, await lab.reconcile(older)

    found = run(make(), settle, ask(command(1), after=5), ask(command(2), begins=True, after=1))
    assert [r.status for r in found[0]] == ["succeeded", "unknown"]
    assert [r.started for r in found[1:]] == [50.0, 60.0], "nothing starts before all of it is settled"


# --- opening, closing, owning ----------------------------------------------------------------------------------------


def test_all_that_cannot_be_connected_are_named() -> None:
    lab = make(one=Sulky, good=Box, two=Unmakeable)
    kept: list[Box] = []
    connect = Box.connect

    async def noting(self: Box) -> None:
        kept.append(self)
        await connect(self)

    Box.connect = noting  # type: ignore[method-assign]
    try:
        with pytest.raises(DriverError) as caught:
            asyncio.run(lab.open())
    finally:
        del Box.connect  # type: ignore[misc]
    assert "one (Sulky): TimeoutError: no answer on port 5" in str(caught.value)
    assert "two (Unmakeable): DriverError: needs a world" in str(caught.value)
    assert "good" not in str(caught.value)
    assert all(b.closed for b in kept)
    assert lab.instruments == {}


def test_closing_lets_go_of_all() -> None:
    class Clinging(Box):
        async def close(self) -> None:
            raise OSError("stuck")

    async def main() -> None:
        lab = make(one=Clinging, two=Box)
        await lab.open()
        two = box_of(lab, "two")
        with pytest.raises(InstrumentFault, match="one: OSError: stuck"):
            await lab.close()
        assert two.closed
        await lab.close()

    asyncio.run(main())


def test_safe_state_and_health_of_all() -> None:
    class Faulty(Sulky):
        async def connect(self) -> None: ...

    async def actor(lab: EmbeddedLab) -> Any:
        return await lab.safe_state(), await lab.health()

    safe, health = run(make(one=Faulty, two=Box), actor)[0]
    assert safe == {"one": SafeReport(False, "OSError: gone"), "two": SafeReport(True, "cold")}
    assert (health["one"].state, health["one"].reason) == ("fault", "OSError: gone")
    assert health["two"].state == "ok"


CLAIMER = """
import asyncio, importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("t", sys.argv[1]); t = importlib.util.module_from_spec(spec)
sys.modules["t"] = t; spec.loader.exec_module(t)
async def main():
    lab = t.make(t.RealClock(), Path(sys.argv[2]), box=t.RealBox)
    await lab.open(); print("open", flush=True); sys.stdin.read()
asyncio.run(main())
"""


def test_a_real_instrument_belongs_to_one_process(tmp_path: Path) -> None:
    async def main() -> None:
        lab = make(RealClock(), tmp_path, first=RealBox, box=RealBox)
        with pytest.raises(NameInUseError) as caught:
            await lab.open()
        assert f"instrument 'box' (RealBox) of lab 'lab' is being driven by process {other.pid} on" in str(caught.value)
        assert lab.instruments == {}
        # what was claimed before the refusal is free again
        again = make(RealClock(), tmp_path, first=RealBox)
        await again.open()
        await again.close()

    with subprocess.Popen(
        [sys.executable, "-c", CLAIMER, __file__, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        asyncio.run(main())
        other.kill()
        other.wait()

    async def after() -> None:
        lab = make(RealClock(), tmp_path, box=RealBox)
        await lab.open()  # a dead process holds nothing
        with pytest.raises(NameInUseError, match=f"process {os.getpid()} "):
            await make(RealClock(), tmp_path, box=RealBox).open()
        await lab.close()

    asyncio.run(after())


def test_a_simulated_instrument_needs_no_lock(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = make(RealClock(), tmp_path), make(RealClock(), tmp_path)
        await one.open()
        await two.open()
        await one.close()
        await two.close()

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_truth() -> None:
    class Knowing(Box):
        def truth(self, action_name: str, arguments: Any, sample: str) -> Any:
            return {"value": arguments["v"]}

    async def actor(lab: EmbeddedLab) -> Any:
        assert lab.truth("box", "work", {"v": 2.0}, "s") == {"value": 2.0}
        assert lab.truth("other", "work", {}, "s") is None
        with pytest.raises(DriverError, match="not finite"):
            lab.truth("box", "work", {"v": float("nan")}, "s")

    assert run(make(box=Knowing, other=Box), actor) == [None]


def test_the_plan_knows_what_is_real() -> None:
    assert plan_of(box=Box).is_simulated
    assert not plan_of(box=Box, other=RealBox).is_simulated


# --- refusals and places ---------------------------------------------------------------------------------------------


def placed(**capacities: int) -> EmbeddedLab:
    """A lab whose box works at the place `oven`."""
    plan = plan_of(box=Box)
    box = replace(plan.instruments["box"], place="oven")
    places = {"bench": 1, "oven": 1, **capacities}
    return EmbeddedLab(replace(plan, instruments={"box": box}, places=places), VirtualClock(0.0), store, None)


def to(place: str, cmd: Command) -> Command:
    return replace(cmd, destination=place)


def test_a_sample_that_is_elsewhere_is_refused_before_anything_happens() -> None:
    lab = placed()
    lab.locate({"s1": ["bench"]})
    reply = run(lab, ask(command(1)))[0]
    assert (reply.status, reply.refused, reply.started) == ("failed", True, None)
    assert reply.error == "box works at 'oven', but sample 's1' is at 'bench'; move it there first"


@pytest.mark.parametrize(("error", "made"), [(InstrumentRefused("busy"), False), (InstrumentFault("jammed"), True)])
def test_what_was_refused_is_not_half_made(error: Exception, made: bool) -> None:
    lab = placed()

    async def first(lab: EmbeddedLab) -> Any:
        box_of(lab).then = raising(error)
        return await lab.execute(to("bench", command(1)), begins_sample=True)

    reply = run(lab, first)[0]
    assert (reply.status, reply.refused, reply.started is None) == ("failed", not made, not made)
    assert lab.places.where("s1") == ("bench" if made else None)
    assert lab.places.held("bench") == (("s1",) if made else ())


@pytest.mark.parametrize(
    ("answer", "held"),
    [(Reconciled("not_started"), ()), (Reconciled("done", {"value": 1.0}, started=0.0, finished=1.0), ("s1",))],
    ids=["never-began", "done"],
)
def test_room_for_what_was_to_be_made_is_free_where_it_never_began(answer: Reconciled, held: tuple[str, ...]) -> None:
    lab = placed()
    making = to("bench", command(1))
    lab.reserve([(making.id, "box")])
    lab.locate({"s1": ["bench"]}, coming=["s1"])
    assert lab.places.where("s1") is None
    assert lab.places.held("bench") == ("s1",)

    async def settle(lab: EmbeddedLab) -> Any:
        box_of(lab).answers.append(answer)
        return await lab.reconcile(making)

    run(lab, settle)
    assert lab.places.held("bench") == held
