"""`calculation`: a function as an action, computed in worker processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from typing import Any

import pytest
from enginekit import observations, settled
from enginekit import run as run_campaign
from sdl_instruments import calculation

from sdl.clock import ClockSettings, RealClock, VirtualClock
from sdl.driver import Command, Reconciled, get_driver
from sdl.errors import DriverError, FileProblems
from sdl.lab import EmbeddedLab, InstrumentPlan, LabPlan
from sdl.preflight import check

MODELS = '''
import os
import random
import sys
import time
from pathlib import Path

import numpy as np


def energy(x: float) -> float:
    """Compute an energy."""
    return (x - 2.0) ** 2


def pid(seconds: float) -> dict:
    print("noise between the frames")
    time.sleep(seconds)
    return {"pid": os.getpid()}


def fails(x: float) -> float:
    raise ValueError(f"no cell of {x} can be relaxed")


def leaves(x: float) -> float:
    sys.exit("bye")


def draws() -> dict:
    return {"a": random.random(), "b": np.float64(np.random.rand())}


def dies_once(flag: str) -> float:
    if not Path(flag).exists():
        Path(flag).write_text("was here")
        os._exit(3)
    return 7.0


def dies(x: float) -> float:
    os._exit(3)


def many(x: float) -> list:
    return [x]


async def waits(x: float) -> float:
    return x


def nothing() -> None:
    pass


CONSTANT = 3
'''
X = {"parameters": {"x": {"unit": "angstrom", "limits": [0, 10]}}}
E = {"result": "energy", "results": {"energy": {"unit": "eV"}}}


@pytest.fixture
def models(write):
    return write("models.py", MODELS)


def settings(models: Any, target: str = "energy", **more: Any) -> Any:
    return get_driver("calculation").settings_model.model_validate({"target": target, "file": str(models), **more})


class Lab:
    """A lab with one calculation."""

    def __init__(self, models: Any, target: str = "energy", clock: Any = None, **more: Any) -> None:
        driver, given = get_driver("calculation"), settings(models, target, **more)
        plan = InstrumentPlan("it", "calculation", driver, given, driver.describe(given))
        self.clock = clock or RealClock()
        self.lab = EmbeddedLab(LabPlan("b", ClockSettings(), {}, {"it": plan}), self.clock, lambda *a: None, None)  # type: ignore[arg-type, return-value]

    async def __aenter__(self):
        await self.lab.open()
        return self

    async def __aexit__(self, *exc):
        await self.lab.close()

    @property
    def instrument(self) -> Any:
        return self.lab.instruments["it"]

    def command(self, **arguments: Any) -> Command:
        return Command(str(uuid.uuid4()), "c", 1, 1, 0, "it", "compute", arguments, ("s",), 0)

    async def do(self, **arguments: Any) -> Any:
        return await self.lab.execute(self.command(**arguments), begins_sample=False)


def once(models: Any, target: str, arguments: dict[str, Any], **more: Any) -> Any:
    async def go():
        async with Lab(models, target, **more) as lab:
            return await lab.do(**arguments)

    return asyncio.run(go())


@pytest.fixture
def inline(monkeypatch):
    """Compute in this process: what is asked has nothing to do with processes, and beginning one takes a second."""

    async def call(pool: Any, function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(calculation, "_end_with_parent", lambda: None)
    monkeypatch.setattr(calculation.WorkerPool, "call", call)


def test_the_description(models):
    found = get_driver("calculation").describe(settings(models, cost="2 h", duration="20 min", processes=3, **X, **E))
    spec = found.actions["compute"]
    assert (found.nature, found.places, found.is_real) == ("calculation", 3, False)
    assert (spec.effect, spec.duration, spec.abortable, spec.doc) == ("repeatable", 1200, True, "Compute an energy.")
    assert [(r.name, r.unit) for r in spec.results] == [("energy", "eV"), ("cost", "h")]
    named = get_driver("calculation").describe(settings(models, action="relax", **X, **E))
    assert list(named.actions) == ["relax"]


@pytest.mark.parametrize(
    ("target", "more", "said"),
    [
        ("enrgy", {}, "has no 'enrgy' (did you mean 'energy'?)"),
        ("CONSTANT", {}, "is no function but int"),
        ("waits", {}, "a calculation is a plain function"),
        ("nothing", {}, "a calculation must give something"),
        ("energy", E, "'x': nothing says in which unit it is"),
        ("energy", X, r"it returns one value (number); name it with 'result: name'"),
        (
            "pid",
            {"results": {"pid": {"type": "integer", "unit": "dimensionless"}}},
            "'seconds': nothing says in which unit",
        ),
        ("many", X, "its result (<class 'list'>) has no description"),
        ("energy", {**X, **E, "duration": "3 m"}, "cannot be given in s"),
        ("energy", {**X, **E, "time_limit": "3"}, "time_limit"),
        (
            "energy",
            {**X, "cost": 1, "result": "cost", "results": {"cost": {"unit": "h"}}},
            "a result of the function has that name",
        ),
    ],
)
def test_what_is_missing_is_said(models, target, more, said):
    with pytest.raises(DriverError) as found:
        get_driver("calculation").describe(settings(models, target, **more))
    assert said in str(found.value)


def test_a_file_that_cannot_be_imported(write):
    with pytest.raises(DriverError, match=r"broken\.py cannot be imported: NameError"):
        get_driver("calculation").describe(settings(write("broken.py", "x = y\n")))
    with pytest.raises(DriverError, match=r"there is no file .*nowhere\.py"):
        get_driver("calculation").describe(settings("nowhere.py"))


def test_it_computes_elsewhere_and_says_that_it_is_no_measurement(models):
    integer = {"pid": {"type": "integer", "unit": "dimensionless"}}
    parameters = {"seconds": {"unit": "s", "limits": [0, 60]}}
    reply = once(models, "pid", {"seconds": 0.0}, parameters=parameters, results=integer)
    assert reply.status == "succeeded" and reply.simulated
    assert reply.values["pid"] != os.getpid()
    assert dict(once(models, "energy", {"x": 5.0}, cost=2.5, **X, **E).values) == {"energy": 9.0, "cost": 2.5}


@pytest.mark.usefixtures("inline")
def test_random_states_follow_from_the_arguments(models):
    results = {n: {"unit": "dimensionless"} for n in "ab"}
    one, two = (once(models, "draws", {}, results=results) for _ in range(2))
    assert dict(one.values) == dict(two.values)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("fails", "fails: ValueError: no cell of 5.0 can be relaxed"),
        ("leaves", "leaves: SystemExit: bye"),
    ],
)
@pytest.mark.usefixtures("inline")
def test_failures_keep_the_functions_words(models, target, said):
    reply = once(models, target, {"x": 5.0}, **X, **E)
    assert (reply.status, reply.error.startswith(said)) == ("failed", True), reply.error


def test_a_function_that_kills_every_process_fails(models):
    reply = once(models, "dies", {"x": 5.0}, **X, **E)
    assert (reply.status, reply.error.startswith("dies: the worker process died 3 times")) == ("failed", True)


@pytest.mark.usefixtures("inline")
def test_what_was_not_declared_is_refused(models):
    reply = once(models, "many", {"x": 5.0}, results={"energy": {"unit": "eV"}}, **X)
    assert reply.status == "failed" and "returned a list; it must return a number, a mapping" in reply.error


def test_a_killed_worker_is_replaced_and_the_call_repeated(models):
    async def go():
        integer = {"pid": {"type": "integer", "unit": "dimensionless"}}
        parameters = {"seconds": {"unit": "s", "limits": [0, 60]}}
        async with Lab(models, "pid", parameters=parameters, results=integer) as lab:
            first = await lab.do(seconds=0.0)
            running = asyncio.ensure_future(lab.do(seconds=0.5))
            await asyncio.sleep(0.2)
            os.kill(first.values["pid"], signal.SIGKILL)
            again = await running
            assert again.status == "succeeded" and again.values["pid"] != first.values["pid"]

    asyncio.run(go())


def test_abort_and_time_limit_kill_the_process(models):
    integer = {"pid": {"type": "integer", "unit": "dimensionless"}}
    parameters = {"seconds": {"unit": "s", "limits": [0, 60]}}

    async def go():
        async with Lab(models, "pid", parameters=parameters, results=integer) as lab:
            (await lab.do(seconds=0.0)).values["pid"]
            running = asyncio.ensure_future(lab.do(seconds=50.0))
            await asyncio.sleep(0.1)
            (pid,) = lab.instrument.pids
            began = time.monotonic()
            await lab.lab.abort()
            assert (await running).status == "aborted" and time.monotonic() - began < 2
            await gone(pid)
            # The next call gets its own answer, from a fresh process.
            assert (await lab.do(seconds=0.0)).values["pid"] != pid
        async with Lab(models, "pid", parameters=parameters, results=integer, time_limit="1.5 s") as lab:
            await lab.do(seconds=0.0)
            reply = await lab.do(seconds=50.0)
            assert reply.status == "failed" and "given up after its time limit of 1.5 s" in reply.error

    asyncio.run(go())


async def gone(pid: int) -> None:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"process {pid} is still there")


def test_several_at_once_where_the_pool_has_several(models):
    async def go():
        integer = {"pid": {"type": "integer", "unit": "dimensionless"}}
        parameters = {"seconds": {"unit": "s", "limits": [0, 60]}}
        async with Lab(models, "pid", parameters=parameters, results=integer, processes=2) as lab:
            replies = await asyncio.gather(*(lab.do(seconds=0.3) for _ in range(3)))
            assert len({r.values["pid"] for r in replies}) == 2
            spans = sorted((r.started, r.finished) for r in replies)
            first_end = min(spans[0][1], spans[1][1])
            assert spans[1][0] < first_end <= spans[2][0] + 1e-3
            assert (await lab.instrument.health()).reason == "0 of 2 processes at work"

    asyncio.run(go())


def test_nothing_outlives_the_process(models):
    async def go():
        async with Lab(models, **X, **E) as lab:
            assert await lab.instrument.reconcile(lab.command(x=1.0)) == Reconciled("not_started")
            assert (await lab.instrument.safe_state()).confirmed

    asyncio.run(go())


@pytest.mark.usefixtures("inline")
def test_virtual_time(models):
    async def go():
        clock = VirtualClock(0.0)
        with clock.actor():
            async with Lab(models, clock=clock, duration="3 h", **X, **E) as lab:
                await lab.do(x=1.0)
                return clock.now()

    assert asyncio.run(go()) == 3 * 3600


CAMPAIGN = """
name: computed
space: {parameters: {x: {type: continuous, bounds: [0.1, 0.9], unit: nm}}}
objectives: {energy: {goal: minimize, unit: meV}}
protocol:
  - {instrument: model, action: compute, with: {x: $x}, gives: {energy: energy}}
lab:
  instruments:
    model:
      driver: calculation
      settings:
        target: energy
        file: models.py
        processes: 2
        parameters: {x: {unit: angstrom, limits: [0, 10]}}
        results: {energy: {unit: eV}}
concurrency: 2
planner: {type: random}
stop: {experiments: 6}
"""


def test_a_campaign_of_calculations(write, models, tmp_path):
    file = write("c.yaml", CAMPAIGN)
    assert "models.py" in check(file).campaign.files.used
    end, state, rows = run_campaign(file, tmp_path / "home")
    assert end[0] == "done" and settled(rows) == ["succeeded"] * 6
    xs = {n: r.candidate["x"] for n, r in state.experiments.items()}
    for number, _, value in observations(rows):
        assert value == pytest.approx(1000 * (10 * xs[number] - 2) ** 2)


@pytest.mark.usefixtures("inline")
def test_a_failing_function_fails_its_experiments_alone(write, models):
    file = write("c.yaml", CAMPAIGN.replace("target: energy", "target: fails"))
    end, state, _ = run_campaign(file, None)
    assert end[0] == "done"
    assert all("ValueError: no cell of" in r.reason for r in state.experiments.values())


def test_preflight_imports_but_does_not_compute(write, models):
    with pytest.raises(FileProblems, match=r"outside the limits \[0, 10\] angstrom"):
        check(write("c.yaml", CAMPAIGN.replace("[0.1, 0.9]", "[0.1, 1.1]")))
    with pytest.raises(FileProblems, match=r"c.yaml:\d+:7: lab.instruments.model.settings"):
        check(write("c.yaml", CAMPAIGN.replace("target: energy", "target: entropy")))
