"""Interlocks: asked before an action and while it runs; what is out of bounds, stale or missing denies, and nothing moves."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import pytest

from sdl.campaign.interlocks import Requirement
from sdl.clock import ClockSettings, RealClock, VirtualClock
from sdl.driver import (
    ArtefactRef,
    Command,
    Context,
    DriverSettings,
    Instrument,
    Limits,
    Reading,
    Reconciled,
    Reply,
    SafeReport,
    Unit,
    action,
)
from sdl.errors import OutcomeUnknown
from sdl.lab import EmbeddedLab, InstrumentPlan, LabPlan, interlocks
from sdl.units import read_quantity


class Furnace(Instrument):
    """A furnace that cools, or heats, by some kelvin an hour."""

    nature = "simulated"
    at, rate, door = 25.0, 0.0, "closed"
    reads: Any = None
    asked = 0

    @action(effect="repeatable")
    async def nothing(self, ctx: Context) -> None:
        """Do nothing."""

    async def read_state(self) -> Mapping[str, Any]:
        self.asked += 1
        if self.reads is not None:
            return await self.reads()
        now = self.clock.now()
        kelvin = self.at + self.rate * now / 3600 + 273.15
        return {"chamber": Reading(kelvin, "K", now), "door": Reading(self.door, "", now)}


class Arm(Instrument):
    """An arm that moves for ten minutes."""

    nature = "simulated"
    then: Any = None
    stops, safe = True, SafeReport(True, "arm at rest")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.log: list[tuple[float, str]] = []

    @action(effect="irreversible", duration="10 min", abortable=True)
    async def move(self, ctx: Context, seconds: Annotated[float, Unit("s"), Limits(0, 1e6)] = 600.0) -> None:
        """Move."""
        self.log.append((self.clock.now(), "moves"))
        await ctx.sleep(seconds)
        if self.then is not None:
            await self.then(ctx)
        self.log.append((self.clock.now(), "there"))

    @action(effect="reads")
    async def look(self, ctx: Context) -> None:
        """Look."""
        self.log.append((self.clock.now(), "looks"))

    async def abort(self, command: Command) -> bool:
        self.log.append((self.clock.now(), "aborted"))
        return self.stops

    async def safe_state(self) -> SafeReport:
        self.log.append((self.clock.now(), "safe"))
        return self.safe

    async def reconcile(self, command: Command) -> Reconciled:
        ends = 3600.0
        return Reconciled("running", ends=ends) if self.clock.now() < ends else Reconciled("done")


class RealArm(Arm):
    nature = "real"
    stops = False


COOL = Requirement("furnace", "chamber", at_most=read_quantity("60 degC"))
COOLS = Requirement("furnace", "chamber", at_most=read_quantity("60 degC"), wait=7200.0)
CLOSED = Requirement("furnace", "door", equals="closed")


def store(name: str, data: bytes, media_type: str) -> ArtefactRef:
    return ArtefactRef(name, hashlib.sha256(data).hexdigest(), len(data), media_type)


def make(*requires: Requirement, arm: type[Arm] = Arm, clock: Any = None, places: Any = None) -> EmbeddedLab:
    def plan(name: str, kind: type[Instrument], needs: tuple[Requirement, ...]) -> InstrumentPlan:
        description = kind.describe(DriverSettings(), name)
        return InstrumentPlan(name, name, kind, DriverSettings(), description, requires=needs)

    instruments = {"furnace": plan("furnace", Furnace, ()), "arm": plan("arm", arm, requires)}
    lab = LabPlan("lab", ClockSettings("virtual"), {}, instruments, places or {})
    return EmbeddedLab(lab, clock or VirtualClock(0.0), store, None)


def command(do: str = "move", number: int = 1, destination: str | None = None, **arguments: Any) -> Command:
    return Command(f"id{number}", "c", 1, number, 0, "arm", do, arguments, (f"s{number}",), 0, destination)


def run(
    lab: EmbeddedLab, *actors: Callable[[], Awaitable[Any]], before: Callable[[], None] = lambda: None
) -> list[Any]:
    """Open the lab and run actors, counted before any of them moves."""

    async def main() -> list[Any]:
        await lab.open()
        before()

        async def one(actor: Callable[[], Awaitable[Any]], counted: Any) -> Any:
            try:
                return await actor()
            finally:
                counted.__exit__(None, None, None)

        tasks = []
        for actor in actors:
            counted = lab.clock.actor()
            counted.__enter__()
            tasks.append(asyncio.create_task(one(actor, counted)))
        found = await asyncio.wait_for(asyncio.gather(*tasks), 60)
        await lab.close()
        return list(found)

    return asyncio.run(main())


def one(lab: EmbeddedLab, do: str = "move", *, say: list[str] | None = None, **state: Any) -> Reply:
    """Send one command with the furnace in a state."""

    def before() -> None:
        for name, value in state.items():
            setattr(lab.instruments["furnace"], name, value)

    if say is not None:
        lab.say_to(say.append)
    return run(lab, lambda: lab.execute(command(do), begins_sample=True), before=before)[0]


@pytest.fixture
def arms(monkeypatch: pytest.MonkeyPatch) -> list[Arm]:
    """The arms that are made; the lab lets go of them at its end."""
    made: list[Arm] = []
    plain = Arm.__init__

    def init(self: Arm, *args: Any, **options: Any) -> None:
        plain(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(Arm, "__init__", init)
    return made


def test_what_holds_lets_the_action_begin(arms) -> None:
    reply = one(make(COOL, CLOSED))
    assert (reply.status, reply.interlock, reply.duration) == ("succeeded", False, 600.0)


def test_a_violated_reading_denies_and_nothing_moves(arms) -> None:
    reply = one(make(COOL), at=431.0)
    assert (reply.status, reply.interlock, reply.started) == ("failed", True, None)
    assert "furnace.chamber is 704.15 K, allowed is at most 60 degC" in reply.error
    assert "nothing was moved" in reply.error and "wait" in reply.error
    assert arms[0].log == []


def test_words_are_compared(arms) -> None:
    reply = one(make(CLOSED), door="open")
    assert "furnace.door is 'open', allowed is 'closed'" in reply.error
    assert arms[0].log == []


def test_it_holds_for_what_changes_something_unless_actions_are_named(arms) -> None:
    assert one(make(COOL), "look", at=500.0).status == "succeeded"
    named = Requirement("furnace", "chamber", at_most=read_quantity("60 degC"), actions=("look",))
    assert one(make(named), "look", at=500.0).status == "failed"
    assert one(make(named), "move", at=500.0).status == "succeeded"


def test_it_waits_as_long_as_the_lab_file_says_and_tells_what_for(arms) -> None:
    said: list[str] = []
    lab = make(COOLS)
    reply = one(lab, say=said, at=120.0, rate=-60.0)  # 60 degC after an hour
    assert reply.status == "succeeded"
    began = arms[0].log[0][0]
    assert 3600.0 <= began <= 3600.0 + 72.0  # looks come every hundredth of the wait
    assert len(said) == 1
    assert "experiment 1, arm.move: waits up to 2 h: furnace.chamber is 393.15 K, allowed is at most 60 degC" in said[0]


def test_after_the_wait_it_denies(arms) -> None:
    lab = make(COOLS)
    reply = one(lab, at=500.0, rate=-1.0)
    assert reply.status == "failed" and lab.clock.now() == 7200.0
    assert "after waiting 2 h" in reply.error and arms[0].log == []


def test_the_shortest_wait_of_what_does_not_hold_counts(arms) -> None:
    lab = make(COOLS, CLOSED)
    assert one(lab, at=500.0, door="open").status == "failed"
    assert lab.clock.now() == 0.0


async def _hangs(furnace: Furnace) -> Mapping[str, Any]:
    await asyncio.Event().wait()
    return {}


async def _hangs_on(furnace: Furnace) -> Mapping[str, Any]:
    for _ in range(10):
        with contextlib.suppress(asyncio.CancelledError):  # it does not let go at once
            await asyncio.sleep(0.1)
    return {}


async def _raises(furnace: Furnace) -> Mapping[str, Any]:
    raise OSError("no answer on port 5")


def _gives(value: Any, unit: str, age: float = 0.0) -> Callable[[Furnace], Awaitable[Mapping[str, Any]]]:
    async def reads(furnace: Furnace) -> Mapping[str, Any]:
        return {"chamber": Reading(value, unit, furnace.clock.now() - age)}

    return reads


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        (_gives(20.0, "degC", 61.0), "furnace.chamber is stale: read 61 s ago, no more than 60 s is allowed"),
        (_gives(20.0, "degC", float("nan")), "is stale"),
        (_gives(20.0, "degC", -61.0), "in the future"),
        (_gives(float("nan"), "degC"), "is nan degC"),
        (_gives("cold", ""), "is 'cold', which is no number"),
        (_gives(True, "degC"), "is True, which is no number"),
        (_gives(20.0, "bar"), "cannot be compared with 60 degC"),
        (_gives(20.0, "no unit"), "cannot be compared with 60 degC"),
        (_raises, "furnace gave no readings: OSError: no answer on port 5"),
        (_hangs, "furnace gave no readings within 0.1 s"),
        (_hangs_on, "furnace gave no readings within 0.1 s"),
    ],
)
def test_a_reading_that_cannot_be_used_denies(arms, monkeypatch, reads, said) -> None:
    monkeypatch.setattr(interlocks, "PATIENCE", 0.1)
    monkeypatch.setattr(Furnace, "reads", reads)
    reply = one(make(COOL))
    assert (reply.status, reply.interlock) == ("failed", True)
    assert said in reply.error, reply.error
    assert arms[0].log == []


def test_a_missing_reading_denies_and_says_what_there_is(arms) -> None:
    reply = one(make(Requirement("furnace", "chambre", at_most=read_quantity("60 degC"))))
    assert "furnace.chambre is missing (furnace reads chamber, door)" in reply.error


def test_a_reading_that_leaves_its_bounds_stops_the_action_and_makes_it_safe(arms) -> None:
    lab = make(COOL)
    reply = one(lab, at=25.0, rate=350.0)  # 60 degC after six minutes
    assert (reply.status, reply.interlock) == ("failed", True)
    times = [t for t, what in arms[0].log]
    assert [what for _, what in arms[0].log] == ["moves", "aborted", "safe"]
    assert 360.0 < times[1] <= 390.0  # twice within max_age
    assert reply.finished == times[1]
    for words in ("while arm.move ran", "furnace.chamber is 33", "at most 60 degC", "confirmed: arm at rest"):
        assert words in reply.error, reply.error


def test_a_reading_that_becomes_stale_stops_the_action(arms, monkeypatch) -> None:
    async def frozen(furnace: Furnace) -> Mapping[str, Any]:
        return {"chamber": Reading(25.0, "degC", min(furnace.clock.now(), 100.0))}

    monkeypatch.setattr(Furnace, "reads", frozen)
    reply = one(make(COOL))
    assert reply.status == "failed" and "furnace.chamber is stale" in reply.error
    assert 160.0 < arms[0].log[1][0] <= 190.0


def test_a_safe_state_that_was_not_read_back_is_said(arms, monkeypatch) -> None:
    monkeypatch.setattr(Arm, "safe", SafeReport(False, "no answer"))
    reply = one(make(COOL), rate=350.0)
    assert "NOT confirmed, go and look: no answer" in reply.error


def test_one_that_cannot_be_stopped_does_not_count_as_succeeded(arms) -> None:
    lab = make(COOL, arm=RealArm)
    reply = one(lab, rate=350.0)
    assert (reply.status, reply.values) == ("failed", {})
    assert "could not be stopped" in reply.error and "came to its end all the same" in reply.error
    assert arms[0].log[-1] == (600.0, "there")


def test_what_nobody_knows_stays_unknown(arms, monkeypatch) -> None:
    async def lost(arm: Arm, ctx: Context) -> None:
        raise OutcomeUnknown("the cable came off")

    monkeypatch.setattr(Arm, "then", lost)
    reply = one(make(COOL, arm=RealArm), rate=350.0)
    assert reply.status == "unknown"
    assert "the cable came off" in reply.error and "furnace.chamber" in reply.error


def test_a_long_firing_in_virtual_time_is_looked_at_a_hundred_times(arms) -> None:
    lab = make(COOL)
    furnace: list[Furnace] = []
    run(
        lab,
        lambda: lab.execute(command(seconds=600.0), begins_sample=True),
        before=lambda: furnace.append(lab.instruments["furnace"]),
    )
    assert furnace[0].asked == 1 + 19  # at dispatch, and every 30 s of ten minutes
    long = Requirement("furnace", "chamber", at_most=read_quantity("60 degC"), max_age=1.0)
    lab, furnace = make(long), []
    run(
        lab,
        lambda: lab.execute(command(seconds=600.0), begins_sample=True),
        before=lambda: furnace.append(lab.instruments["furnace"]),
    )
    assert 95 <= furnace[0].asked <= 101
    stated = Requirement("furnace", "chamber", at_most=read_quantity("60 degC"), every=1.0)
    lab, furnace = make(stated), []
    run(
        lab,
        lambda: lab.execute(command(seconds=600.0), begins_sample=True),
        before=lambda: furnace.append(lab.instruments["furnace"]),
    )
    assert furnace[0].asked == 600


def test_in_real_time_it_is_looked_at_twice_within_max_age(arms) -> None:
    quick = Requirement("furnace", "chamber", at_most=read_quantity("60 degC"), max_age=0.1)
    lab = make(quick, clock=RealClock())
    furnace: list[Furnace] = []
    reply = run(
        lab,
        lambda: lab.execute(command(seconds=0.5), begins_sample=True),
        before=lambda: furnace.append(lab.instruments["furnace"]),
    )[0]
    assert reply.status == "succeeded"
    assert 3 <= furnace[0].asked <= 12


def test_a_command_that_waits_can_be_withdrawn(arms) -> None:
    lab = make(COOLS)

    async def stop() -> None:
        await lab.clock.sleep(1800.0)
        assert "waits up to 2 h: furnace.chamber" in lab.busy()["arm"]
        lab.withdraw()

    reply, _ = run(
        lab,
        lambda: lab.execute(command(), begins_sample=True),
        stop,
        before=lambda: setattr(lab.instruments["furnace"], "at", 500.0),
    )
    assert (reply.status, reply.interlock) == ("not_started", False)
    assert arms[0].log == [] and lab.busy() == {} and lab.clock.now() == 1800.0


def test_a_command_whose_reading_is_under_way_can_be_withdrawn(arms, monkeypatch) -> None:
    lab = make(COOL, clock=RealClock(100.0))
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(furnace: Furnace) -> Mapping[str, Any]:
        asked.set()
        await answer.wait()
        return {"chamber": Reading(300.0, "K", furnace.clock.now())}

    monkeypatch.setattr(Furnace, "read_state", slow)

    async def main() -> Reply:
        await lab.open()
        sent = asyncio.ensure_future(lab.execute(command(seconds=1.0), begins_sample=True))
        await asked.wait()
        lab.withdraw()
        await lab.abort()
        await lab.safe_state()
        answer.set()
        reply = await asyncio.wait_for(sent, 20)
        assert reply.status == "not_started" and "withdrawn while its interlock was read" in reply.error
        assert [done for _, done in arms[0].log] == ["safe"]
        again = await asyncio.wait_for(lab.execute(command(number=2, seconds=1.0), begins_sample=True), 20)
        await lab.close()
        return again

    assert asyncio.run(main()).status == "succeeded"  # the withdrawal counts for those alone that were there


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_denied_move_leaves_no_sample_behind(arms, cancelled) -> None:
    lab = make(COOLS if cancelled else COOL, places={"rack": 1})

    async def send() -> Reply | None:
        task = asyncio.ensure_future(lab.execute(command(destination="rack"), begins_sample=True))
        if cancelled:
            while not lab.busy():  # noqa: ASYNC110  until it waits
                await asyncio.sleep(0)
            task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    run(lab, send, before=lambda: setattr(lab.instruments["furnace"], "at", 500.0))
    assert lab.places.where("s1") is None and arms[0].log == []


def test_what_a_dead_process_began_is_watched_too(arms) -> None:
    lab = make(COOL)

    def hot() -> None:
        lab.instruments["furnace"].at = 500.0
        lab.reserve([("id1", "arm")])

    reply = run(lab, lambda: lab.reconcile(command()), before=hot)[0]
    assert (reply.status, reply.interlock) == ("failed", True)
    assert "furnace.chamber is 773.15 K" in reply.error
    assert arms[0].log == [(30.0, "aborted"), (30.0, "safe")]
    lab = make(COOL)
    reply = run(lab, lambda: lab.reconcile(command()))[0]
    assert (reply.status, reply.interlock, lab.clock.now()) == ("succeeded", False, 3600.0)


def test_commands_at_work_at_once_share_one_reading(arms) -> None:
    lab = make(COOL)
    found: list[int] = []

    async def ask() -> None:
        furnace = lab.instruments["furnace"]
        await asyncio.gather(*(lab.interlocks.permit(command(number=n)) for n in range(5)))
        found.append(furnace.asked)

    run(lab, ask)
    assert found == [1]


def test_in_virtual_time_looks_come_at_the_same_moments_after_a_restart(arms) -> None:
    class Told(Arm):
        async def reconcile(self, command: Command) -> Reconciled:
            return Reconciled("running", started=-100.0, ends=3600.0)

    lab = make(COOL, arm=Told)
    run(lab, lambda: lab.reconcile(command()), before=lambda: setattr(lab.instruments["furnace"], "at", 500.0))
    assert arms[0].log == [(20.0, "aborted"), (20.0, "safe")]  # every 30 s from the moment at which it began


def test_in_real_time_what_a_dead_process_began_is_looked_at_at_once(arms) -> None:
    class Running(Arm):
        async def reconcile(self, command: Command) -> Reconciled:
            return Reconciled("running", ends=self.clock.now() + 3600.0)

    lab = make(COOL, arm=Running, clock=RealClock())
    began = lab.clock.now()

    class Never(RealClock):
        async def sleep(self, seconds: float, key: Any = (0, 0)) -> None:
            raise AssertionError("it waited before it looked")

    lab.interlocks.clock = Never()
    run(lab, lambda: lab.reconcile(command()), before=lambda: setattr(lab.instruments["furnace"], "at", 500.0))
    assert [what for _, what in arms[0].log] == ["aborted", "safe"] and arms[0].log[0][0] - began < 20.0
