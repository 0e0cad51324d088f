"""`python`: any class with type hints as an instrument."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
from enginekit import run as run_campaign
from enginekit import settled

from sdl.clock import ClockSettings, RealClock, VirtualClock
from sdl.driver import Command, Context, Health, Limits, Reconciled, SafeReport, Unit, action, get_driver
from sdl.errors import DriverError, FileProblems, InstrumentFault
from sdl.lab import EmbeddedLab, InstrumentPlan, LabPlan
from sdl.preflight import check

HERE = __name__


@dataclass
class Weighed:
    """What a balance gives."""

    mass: Annotated[float, Unit("g")]
    stable: bool


class Pump:
    """A syringe pump of the bench."""

    made = 0
    threads: ClassVar[set[int]] = set()

    def __init__(self, port: str, speed: float = 1.0) -> None:
        type(self).made += 1
        self.port, self.speed = port, speed
        self.pressure = 1.5
        self.hold = threading.Event()
        self.state: Any = True
        self.closed = False
        self.threads.add(threading.get_ident())

    def dispense(self, volume: float, tip: Literal["wide", "narrow"] = "wide") -> float:
        """Push liquid out."""
        self.threads.add(threading.get_ident())
        return volume * 1.01

    def weigh(self) -> Weighed:
        """Weigh."""
        return Weighed(np.float64(2.5), stable=True)

    def measure(self, channel: int) -> dict[str, float]:
        """Measure."""
        return {"current": 3.0 + channel}

    def wrong(self) -> dict[str, float]:
        return {"current": float("nan")}

    def none(self) -> float:
        return None  # type: ignore[return-value]

    def loses_the_line(self) -> None:
        """Send and hear nothing."""
        raise OSError("write timed out")

    def exits(self) -> None:
        sys.exit("vendor says good-bye")

    def blocks(self) -> None:
        """Block until it is let go."""
        self.hold.wait(20)

    def unhinted(self, volume):
        """Nothing is hinted."""
        return volume

    def pathy(self, path: os.PathLike[str] | None = None, *, n: int = 1) -> float:
        """Take what the boundary cannot check."""
        return float(n)

    async def stir(self, speed: Annotated[float, Unit("rpm"), Limits(0, 500)]) -> None:
        """Stir."""
        await asyncio.sleep(0)

    @action(effect="repeatable", duration="2 min")
    async def rinse(self, ctx: Context, times: Annotated[int, Unit("dimensionless"), Limits(1, 3)]) -> None:
        """Rinse it."""
        await ctx.progress(0.5)

    def ready(self) -> bool:
        return self.state

    def halt(self) -> Any:
        return self.state

    def let_go(self) -> bool:
        self.hold.set()
        return True

    def what_became(self, action: str, command: str) -> str:
        return {"dispense": "not_started", "weigh": "running", "stir": "done"}.get(action, "maybe")

    def hang_up(self) -> None:
        self.closed = True


class Stirrer:
    """All of it is async."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    async def stir(self) -> None:
        """Stir for long."""
        await asyncio.sleep(20)

    async def fine(self) -> Health:
        return Health("degraded", "old")


class Marked:
    """States everything itself."""

    @action(effect="reads", duration="1 s")
    async def look(self, ctx: Context) -> Annotated[float, Unit("mm")]:  # type: ignore[type-var]
        """Look."""
        return 2.0


DISPENSE = {
    "effect": "irreversible",
    "parameters": {"volume": {"unit": "mL", "limits": [0, "0.01 L"]}},
    "results": {"given": {"unit": "mL"}},
    "duration": "5 min",
}
WEIGH = {"effect": "reads"}


def settings(target: str = "Pump", nature: str = "simulated", **more: Any) -> Any:
    given = {"target": f"{HERE}:{target}", "nature": nature, **more}
    if target == "Pump":
        given.setdefault("arguments", {"port": "COM1"})
    return get_driver("python").settings_model.model_validate(given)


def describe(**more: Any) -> Any:
    return get_driver("python").describe(settings(**more))


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    # Under importlib mode a test module is not always found by its own name again.
    monkeypatch.setitem(sys.modules, HERE, sys.modules[HERE])


class Lab:
    """A lab with one instrument."""

    def __init__(self, clock: Any = None, **more: Any) -> None:
        given = settings(**more)
        driver = get_driver("python")
        self.clock = clock or RealClock()
        plan = InstrumentPlan("it", "python", driver, given, driver.describe(given))
        self.lab = EmbeddedLab(LabPlan("bench", ClockSettings(), {}, {"it": plan}), self.clock, lambda *a: None, None)  # type: ignore[arg-type, return-value]

    async def __aenter__(self):
        await self.lab.open()
        return self

    async def __aexit__(self, *exc):
        await self.lab.close()

    @property
    def instrument(self) -> Any:
        return self.lab.instruments["it"]

    async def do(self, name: str, **arguments: Any) -> Any:
        return await self.lab.execute(self.command(name, **arguments), begins_sample=False)

    def command(self, name: str, **arguments: Any) -> Command:
        return Command(str(uuid.uuid4()), "c", 1, 1, 0, "it", name, arguments, ("s",), 0)


# --- describing ------------------------------------------------------------------------------------------------------


def test_describing_makes_no_instance():
    before = Pump.made
    found = describe(
        actions={
            "dispense": DISPENSE,
            "weigh": WEIGH,
            "measure": {"effect": "reads", "fixed": {"channel": 2}, "results": {"current": {"unit": "mA"}}},
        }
    )
    assert Pump.made == before
    assert found.nature == "simulated" and not found.is_real
    assert found.doc == "A syringe pump of the bench."
    volume, tip = found.actions["dispense"].parameters
    assert (volume.unit, volume.lower, volume.upper, volume.required) == ("mL", 0, 10, True)
    assert (tip.choices, tip.required, tip.default) == (("wide", "narrow"), False, "wide")
    assert found.actions["dispense"].duration == 300
    assert found.actions["dispense"].doc == "Push liquid out."
    assert [(r.name, r.kind, r.unit) for r in found.actions["weigh"].results] == [
        ("mass", "number", "g"),
        ("stable", "boolean", "dimensionless"),
    ]
    assert found.actions["measure"].parameters == ()
    assert describe(nature="real", actions={"weigh": WEIGH}).is_real


def test_a_class_that_states_all_needs_no_actions():
    found = describe(target="Marked", actions={"look": {"result": "height"}})
    assert found.actions["look"].effect == "reads"
    assert found.actions["look"].results[0].unit == "mm"
    with pytest.raises(DriverError, match=r"it returns one value \(number\); name it with 'result: name'"):
        describe(target="Marked")
    assert list(describe(actions={"rinse": None}).actions) == ["rinse"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"target": "Pumpe"}, "has no 'Pumpe' (did you mean 'Pump'?)"),
        ({"target": "HERE"}, "is no class but a str"),
        ({"arguments": {}}, "missing a required argument: 'port'"),
        ({"arguments": {"port": 1, "prot": 2}}, "unexpected keyword argument 'prot'"),
        ({"actions": {}}, "state its actions"),
        ({"actions": {"dispens": DISPENSE}}, "has no method 'dispens' (did you mean 'dispense'?)"),
        (
            {"actions": {"dispense": {**DISPENSE, "effect": None}}},
            "nothing says what Pump.dispense does; state 'effect: reads'",
        ),
        (
            {"actions": {"rinse": {"effect": "reads"}}},
            "the class says that Pump.rinse is repeatable, settings say reads",
        ),
        ({"actions": {"dispense": {**DISPENSE, "duration": None}}}, "state how long Pump.dispense takes"),
        ({"actions": {"dispense": {**DISPENSE, "duration": "5 m"}}}, "cannot be given in s"),
        ({"actions": {"dispense": {**DISPENSE, "parameters": {}}}}, "'volume': nothing says in which unit it is"),
        (
            {"actions": {"dispense": {**DISPENSE, "parameters": {"volume": {"unit": "mL"}}}}},
            "limits: [lowest, highest] in mL",
        ),
        ({"actions": {"dispense": {**DISPENSE, "parameters": {"volume": {"unit": "mLl"}}}}}, "unknown unit 'mLl'"),
        (
            {"actions": {"dispense": {**DISPENSE, "parameters": {"volum": {"unit": "mL"}}}}},
            "no parameter 'volum' (did you mean 'volume'?)",
        ),
        ({"actions": {"dispense": {**DISPENSE, "results": {"given": {}}}}}, "'given': nothing says in which unit"),
        ({"actions": {"dispense": {**DISPENSE, "results": None}}}, "name it with 'result: name'"),
        ({"actions": {"measure": {"effect": "reads", "fixed": {"channel": 1}}}}, "has no description; state 'results:"),
        (
            {"actions": {"unhinted": {"effect": "reads", "results": {}}}},
            "'volume': it has no type hint; hint it as float",
        ),
        ({"actions": {"pathy": {"effect": "reads", "result": "x"}}}, "'path': its type hint"),
        (
            {"actions": {"stir": {"effect": "reads", "parameters": {"speed": {"unit": "Hz"}}}}},
            "the type hint says rpm, settings say Hz",
        ),
        (
            {"actions": {"stir": {"effect": "reads", "parameters": {"speed": {"limits": [0, 501]}}}}},
            "reach outside the class's own [0, 500] rpm",
        ),
        ({"actions": {"weigh": WEIGH}, "health": "redy"}, "health: Pump has no method 'redy' (did you mean 'ready'?)"),
    ],
)
def test_what_is_missing_is_said(more, said):
    with pytest.raises(DriverError) as found:
        describe(**{"actions": {"weigh": WEIGH}, **more})
    assert said in str(found.value)


def test_all_that_is_wrong_comes_at_once():
    with pytest.raises(DriverError) as found:
        describe(arguments={}, health="x", actions={"dispense": {}, "wegh": WEIGH})
    assert len(str(found.value).splitlines()) == 5


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere.pump:Pump", "there is no module 'nowhere'"),
        ("Pump", "write 'module:name', such as 'mylab.pump:Pump'"),
        (":Pump", "write 'module:name'"),
        ("sdl_instruments.replay:Replay", "is a driver itself"),
    ],
)
def test_targets_that_lead_nowhere(target, said):
    model = get_driver("python").settings_model
    with pytest.raises(DriverError) as found:
        get_driver("python").describe(model.model_validate({"target": target, "nature": "real"}))
    assert said in str(found.value)


def test_the_nature_is_never_inferred():
    with pytest.raises(ValueError, match="nature"):
        get_driver("python").settings_model.model_validate({"target": "a:B"})


# --- carrying out ----------------------------------------------------------------------------------------------------


def test_results_of_every_kind_and_one_thread():
    async def go():
        Pump.threads.clear()
        more = {
            "dispense": DISPENSE,
            "weigh": WEIGH,
            "stir": {"effect": "reads"},
            "rinse": None,
            "measure": {"effect": "reads", "fixed": {"channel": 2}, "results": {"current": {"unit": "mA"}}},
        }
        async with Lab(nature="real", actions=more, close="hang_up") as lab:
            replies = [await lab.do("dispense", volume=5.0), await lab.do("dispense", volume=1.0, tip="narrow")]
            replies += [
                await lab.do("weigh"),
                await lab.do("measure"),
                await lab.do("stir", speed=3.0),
                await lab.do("rinse", times=2),
            ]
            assert [r.status for r in replies] == ["succeeded"] * 6
            assert [dict(r.values) for r in replies] == [
                {"given": 5.05},
                {"given": 1.01},
                {"mass": 2.5, "stable": True},
                {"current": 5.0},
                {},
                {},
            ]
            assert not any(r.simulated for r in replies)
            refused = await lab.do("dispense", volume=10.5)
            assert refused.status == "failed" and "10.5 mL is outside the limits [0, 10] mL" in refused.error
            pump = lab.instrument._object
        assert pump.closed
        assert len(Pump.threads) == 1 and threading.get_ident() not in Pump.threads

    asyncio.run(go())


def test_a_blocking_call_leaves_the_loop_free_and_is_given_up():
    async def go():
        blocks = {"effect": "irreversible", "duration": "1 s", "time_limit": "0.2 s"}
        reads = {"effect": "reads", "method": "blocks", "time_limit": "0.1 s"}
        async with Lab(
            nature="real", actions={"blocks": blocks, "peek": reads}, abort="let_go", safe_state="halt"
        ) as lab:
            beats = 0

            async def beat():
                nonlocal beats
                while True:
                    await asyncio.sleep(0.01)
                    beats += 1

            beating = asyncio.ensure_future(beat())
            reply = await lab.do("blocks")
            beating.cancel()
            assert reply.status == "unknown" and "did not return within its limit of 0.2 s" in reply.error
            assert beats > 5
            health = await lab.instrument.health()
            assert health.state == "ok" and "busy: in Pump.blocks" in health.reason
            lab.instrument._object.hold.set()
            lab.instrument._object.hold = threading.Event()
            failed = await lab.do("peek")
            assert failed.status == "failed"
            lab.instrument._object.hold.set()

    asyncio.run(go())


def test_nothing_is_sent_while_an_earlier_call_hangs(monkeypatch):
    from sdl_instruments import one_thread

    monkeypatch.setattr(one_thread, "PATIENCE", 0.1)

    async def go():
        reads = {"effect": "reads", "method": "blocks", "time_limit": "0.05 s"}
        async with Lab(nature="simulated", actions={"peek": reads, "weigh": WEIGH}) as lab:
            assert (await lab.do("peek")).status == "failed"
            reply = await lab.do("weigh")
            assert reply.status == "failed"
            assert "Pump.weigh was not called" in reply.error and "nothing was sent" in reply.error
            lab.instrument._object.hold.set()

    asyncio.run(go())


def test_abort_goes_past_the_thread():
    async def go():
        blocks = {"effect": "irreversible", "duration": "1 s"}
        async with Lab(nature="real", actions={"blocks": blocks}, abort="let_go", safe_state="halt") as lab:
            running = asyncio.ensure_future(lab.do("blocks"))
            await asyncio.sleep(0.05)
            began = time.monotonic()
            await lab.lab.abort()
            reply = await running
            assert reply.status == "aborted" and time.monotonic() - began < 2
            assert (await lab.lab.safe_state())["it"].confirmed
        async with Lab(target="Stirrer", actions={"stir": blocks}, health="fine") as lab:
            assert lab.instrument._object.thread == threading.get_ident()
            running = asyncio.ensure_future(lab.do("stir"))
            await asyncio.sleep(0.01)
            await lab.lab.abort()
            assert (await running).status == "aborted"
            assert (await lab.instrument.health()) == Health("degraded", "old")

    asyncio.run(go())


@pytest.mark.parametrize(
    ("name", "more", "status", "said"),
    [
        (
            "wrong",
            {"results": {"current": {"unit": "mA"}}},
            "failed",
            "Pump.wrong gave a result that cannot be used: current: nan is not finite",
        ),
        ("none", {"result": "x", "results": {"x": {"unit": "g"}}}, "failed", "'x' is missing"),
        ("weigh", {}, "succeeded", ""),
        ("exits", {}, "failed", "Pump.exits raised SystemExit: vendor says good-bye"),
        ("loses_the_line", {}, "failed", "OSError: write timed out"),
        (
            "loses_the_line",
            {"effect": "irreversible", "duration": "1 s"},
            "unknown",
            "what happened at the instrument is not known",
        ),
    ],
)
def test_what_goes_wrong(name, more, status, said):
    async def go():
        async with Lab(actions={name: {"effect": "reads", **more}}) as lab:
            return await lab.do(name)

    reply = asyncio.run(go())
    assert reply.status == status
    assert said in (reply.error or "")


def test_simulated_classes_take_their_time_in_virtual_time():
    async def go():
        clock = VirtualClock(0.0)
        with clock.actor():
            async with Lab(clock=clock, actions={"dispense": DISPENSE}) as lab:
                reply = await lab.do("dispense", volume=1.0)
                return reply, clock.now()

    reply, now = asyncio.run(go())
    assert reply.simulated and reply.duration == 300 and now == 300


def test_state_health_safety_and_reconciliation():
    async def go():
        state = {"pressure": {"unit": "bar"}, "line": {"member": "port"}, "busy": {"member": "what_became"}}
        more = {"nature": "real", "actions": {"dispense": DISPENSE, "weigh": WEIGH, "stir": WEIGH}}
        async with Lab(
            **more, health="ready", safe_state="halt", reconcile="what_became", read_state=dict(list(state.items())[:2])
        ) as lab:
            it = lab.instrument
            readings = await it.read_state()
            assert readings["pressure"].value == 1.5 and readings["pressure"].unit == "bar"
            assert readings["line"].value == "COM1"
            assert (await it.health()).state == "ok"
            assert (await it.safe_state()).confirmed
            it._object.state = None
            assert (await it.health()).state == "fault"
            assert not (await it.safe_state()).confirmed
            it._object.state = SafeReport(confirmed=True, message="read 0 V")
            assert (await it.safe_state()).message == "read 0 V"
            found = [(await it.reconcile(lab.command(n))).state for n in ("dispense", "weigh")]
            assert found == ["not_started", "running"]
            with pytest.raises(InstrumentFault, match="must return 'done'"):
                await it.reconcile(lab.command("other"))
        async with Lab(**more) as lab:
            it = lab.instrument
            assert (await it.health()).state == "degraded"
            assert not (await it.safe_state()).confirmed
            assert await it.reconcile(lab.command("dispense")) == Reconciled("unknown")
            assert await it.reconcile(lab.command("weigh")) == Reconciled("not_started")
            assert not await it.abort(lab.command("weigh"))
        with pytest.raises(InstrumentFault, match="not connected"):
            await it.perform("weigh", Context(lab.command("weigh"), RealClock()), {})

    asyncio.run(go())


# --- in a campaign ---------------------------------------------------------------------------------------------------

PUMP = '''
import time

class Pump:
    """A pump in a file of its own."""

    def __init__(self, port: str):
        if port == "dead":
            raise OSError("no such port")
        self.port = port

    def dispense(self, volume: float) -> float:
        """Push liquid out."""
        time.sleep(0.002)
        return (volume - 3) ** 2

class FakePump(Pump):
    def __init__(self):
        super().__init__("fake")
'''
CAMPAIGN = """
name: pumped
space: {parameters: {volume: {type: continuous, bounds: [1, 9], unit: mL}}}
objectives: {error: {goal: minimize, unit: mL}}
protocol:
  - {instrument: pump, action: dispense, with: {volume: $volume}, gives: {error: error}}
lab:
  clock: {type: virtual}
  instruments:
    pump:
      driver: python
      settings:
        target: Pump
        file: pump.py
        nature: simulated
        arguments: {port: COM7}
        actions:
          dispense:
            effect: irreversible
            parameters: {volume: {unit: mL, limits: [0, 10]}}
            result: error
            results: {error: {unit: mL}}
            duration: 1 h
        simulate: {target: FakePump, file: pump.py}
planner: {type: random}
stop: {experiments: 4}
"""


def test_a_campaign_on_a_class_in_a_file(write):
    write("pump.py", PUMP)
    file = write("c.yaml", CAMPAIGN)
    assert "pump.py" in check(file).campaign.files.used
    end, _, rows = run_campaign(file, None)
    assert end[0] == "done"
    assert settled(rows) == ["succeeded"] * 4


def test_real_ones_are_guarded_and_have_a_stand_in(write):
    write("pump.py", PUMP)
    real = CAMPAIGN.replace("nature: simulated", "nature: real").replace("port: COM7", "port: dead")
    file = write("c.yaml", real)
    with pytest.raises(FileProblems, match="virtual time needs a simulated lab, but pump is real") as found:
        check(file)
    assert "driver 'python' is real and would run inside" in str(found.value)
    checked = check(file, simulate=True)
    assert checked.lab.instruments["pump"].description.nature == "simulated"
    assert checked.lab.is_simulated
    file = write("c.yaml", real.replace("        simulate: {target: FakePump, file: pump.py}\n", ""))
    with pytest.raises(FileProblems, match="driver 'python' is real here and its settings state no stand-in"):
        check(file, simulate=True)
    file = write("c.yaml", real.replace("lab:\n  clock: {type: virtual}", "lab:\n  allow_real: true"))
    with pytest.raises(DriverError, match="OSError: no such port"):
        run_campaign(file, None)


def test_limits_are_checked_over_the_whole_box(write):
    write("pump.py", PUMP)
    with pytest.raises(FileProblems, match=r"11 mL: 11 mL is outside the limits \[0, 10\] mL"):
        check(write("c.yaml", CAMPAIGN.replace("bounds: [1, 9]", "bounds: [1, 11]")))
