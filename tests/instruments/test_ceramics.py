"""The simulated ceramics drivers: limits, order, draws, reconcile, abort, state."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sdl.analysis import AnalysisInput, get_analysis
from sdl.clock import VirtualClock
from sdl.driver import DriverSettings, Reconciled, get_driver
from sdl.errors import DriverError, InstrumentFault, LimitError
from sdl.world import World


def test_a_whole_experiment_gives_what_the_truth_says(bench: Any) -> None:
    weighed, log, spectrum, density = bench.carry_out(
        bench.weigh(), bench.sinter(), bench.measure("impedance"), bench.measure("pycnometer")
    )
    assert weighed["mass"] == pytest.approx(2.0, abs=0.005)
    assert weighed["li_excess"] == pytest.approx(0.1, abs=0.02)
    assert log["peak_temperature"] == pytest.approx(1150.0, abs=5.0)
    assert spectrum["temperature"] == 25.0
    truth = bench.instruments["pycnometer"].truth("measure", {}, "s1")["relative_density"]
    assert abs(density["relative_density"] - truth) < 5 * density["relative_density_uncertainty"]
    (data,) = bench.artefacts.values()
    estimate = get_analysis("bulk_conductivity").analyse((AnalysisInput("a.csv", "text/csv", data),))[
        "bulk_conductivity"
    ]
    truth = bench.instruments["impedance"].truth("measure", {}, "s1")["bulk_conductivity"]
    assert abs(estimate.value - truth) < 5 * estimate.uncertainty
    assert b"# simulated: true" in data


def test_durations_are_those_described(bench: Any) -> None:
    start = bench.clock.now()
    bench.carry_out(bench.weigh())
    assert bench.clock.now() - start == pytest.approx(300 + 120)
    command = bench.sinter(firings=2)
    furnace = bench.instruments["furnace"]
    expected = type(furnace).describe(furnace.settings).actions["sinter"].seconds(command.arguments)
    start = bench.clock.now()
    bench.carry_out(command)
    assert bench.clock.now() - start == pytest.approx(expected)
    assert expected == pytest.approx(2 * (2 * 1125 / 5 * 60 + 4 * 3600))


@pytest.mark.parametrize(
    ("instrument", "action", "arguments", "said"),
    [
        pytest.param("dispenser", "weigh", {"li_excess": 0.31, "mass": 2.0}, "li_excess", id="too much lithium"),
        pytest.param("dispenser", "weigh", {"li_excess": 0.1, "mass": 50.0}, "mass", id="too heavy"),
        pytest.param("furnace", "sinter", {"temperature": 1401.0}, "1400", id="too hot"),
        pytest.param("furnace", "sinter", {"atmosphere": "vacuum"}, "vacuum", id="no such gas"),
        pytest.param("furnace", "sinter", {"firings": 4}, "firings", id="too many firings"),
        pytest.param("furnace", "sinter", {"firings": 1.5}, "whole", id="half a firing"),
        pytest.param("furnace", "sinter", {"hold": float("nan")}, "finite", id="hold not a number"),
    ],
)
def test_out_of_limits_is_refused_and_nothing_happens(
    bench: Any, instrument: str, action: str, arguments: dict[str, Any], said: str
) -> None:
    full = {**bench.sinter().arguments, **arguments} if action == "sinter" else arguments
    with pytest.raises(LimitError, match=said):
        bench.carry_out(bench.command(instrument, action, full))
    assert bench.world.all_operations() == []


def test_units_are_declared() -> None:
    cls = get_driver("simulated_box_furnace")
    spec = cls.describe(cls.settings_model()).actions["sinter"]
    assert {p.name: p.unit for p in spec.parameters} == {
        "temperature": "degC",
        "hold": "h",
        "atmosphere": "dimensionless",
        "firings": "dimensionless",
    }
    assert spec.effect == "irreversible"
    assert spec.abortable


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        pytest.param(["sinter"], "'s1' is unknown.*weigh it in", id="firing an unweighed sample"),
        pytest.param(["impedance"], "'s1' is unknown", id="measuring an unknown sample"),
        pytest.param(["weigh", "weigh"], "'s1' was weighed in already", id="weighing twice"),
        pytest.param(["weigh", "impedance"], "'s1' is pressed powder.*sinter it", id="spectrum before sintering"),
        pytest.param(["weigh", "pycnometer"], "'s1' is pressed powder.*sinter it", id="density before sintering"),
    ],
)
def test_wrong_order_is_a_fault_that_says_what_to_do(bench: Any, steps: list[str], said: str) -> None:
    make = {"weigh": bench.weigh, "sinter": bench.sinter}
    commands = [make[s]() if s in make else bench.measure(s) for s in steps]
    with pytest.raises(InstrumentFault, match=said):
        bench.carry_out(*commands)
    assert bench.world.operation(commands[-1].id) is None


def test_a_sample_in_the_furnace_cannot_be_measured(bench: Any) -> None:
    async def work() -> None:
        await bench.do(bench.weigh())
        firing = bench.sinter()
        bench.world.begin(firing, bench.clock.now(), 1000.0)
        await bench.do(bench.measure("pycnometer"))

    with pytest.raises(InstrumentFault, match="'s1' is in 'furnace'"):
        bench.run(work)


def test_a_busy_chamber_takes_no_second_sample(bench: Any) -> None:
    async def work() -> None:
        await bench.do(bench.weigh("s1"))
        await bench.do(bench.weigh("s2"))
        bench.world.begin(bench.sinter("s1"), bench.clock.now(), 1000.0)
        await bench.do(bench.sinter("s2"))

    with pytest.raises(InstrumentFault, match=r"furnace is busy: sinter of sample 's1' .chamber at"):
        bench.run(work)


def test_draws_do_not_depend_on_the_order_of_calls(make_bench: Any) -> None:
    one, two = make_bench(), make_bench()
    for sample in ("a", "b"):
        one.carry_out(one.weigh(sample), one.sinter(sample))
    for sample in ("b", "a"):
        two.carry_out(two.weigh(sample), two.sinter(sample))
    first = [one.carry_out(one.measure(i, s))[0] for s in ("a", "b") for i in ("impedance", "pycnometer")]
    second = [two.carry_out(two.measure(i, s))[0] for s in ("b", "a") for i in ("pycnometer", "impedance")]
    assert first == second[::-1]
    assert one.artefacts == two.artefacts


def test_another_sample_occurrence_seed_or_instrument_draws_anew(make_bench: Any) -> None:
    def density(seed: int, sample: str, occurrence: int) -> float:
        bench = make_bench(world=World(seed))
        bench.carry_out(bench.weigh(sample), bench.sinter(sample))
        return bench.carry_out(bench.measure("pycnometer", sample, occurrence))[0]["relative_density"]

    readings = {density(1, "a", 0), density(1, "a", 1), density(1, "b", 0), density(2, "a", 0)}
    assert len(readings) == 4
    assert density(1, "a", 0) in readings


def test_reconcile_before_during_and_after(make_bench: Any, world_file: Path) -> None:
    bench = make_bench(world=World(1, world_file))
    furnace = bench.instruments["furnace"]
    commands = [bench.weigh(), bench.sinter(), bench.measure("impedance"), bench.measure("pycnometer")]

    async def work() -> list[Any]:
        assert (await furnace.reconcile(commands[1])).state == "not_started"
        values = [await bench.do(commands[0])]
        task = await bench.start(commands[1])
        await bench.clock.sleep(3600.0)
        during = await furnace.reconcile(commands[1])
        assert during.state == "running"
        assert during.ends == bench.world.operation(commands[1].id).ends
        await bench.clock.sleep(1e6)
        values.append(task.result())
        return values + [await bench.do(c) for c in commands[2:]]

    direct = bench.run(work)
    kept = dict(bench.artefacts)
    bench.world.close()
    # another process: the world is rebuilt from its record, the artefacts anew
    again = make_bench(world=World(1, world_file), clock=VirtualClock(bench.clock.now()))
    for command, values in zip(commands, direct, strict=True):
        found: Reconciled = asyncio.run(again.instruments[command.instrument].reconcile(command))
        assert (found.state, found.error) == ("done", None)
        assert found.values == values
        assert found.finished == again.world.operation(command.id).ends
        assert [a.name for a in found.artefacts] == (
            ["impedance_spectrum.csv"] if command.instrument == "impedance" else []
        )
    assert again.artefacts == kept


def test_a_process_that_dies_does_not_stop_a_firing(make_bench: Any, world_file: Path) -> None:
    bench = make_bench(world=World(1, world_file))
    bench.carry_out(bench.weigh())
    firing = bench.sinter()
    begun = bench.world.begin(firing, bench.clock.now(), 100_000.0)
    bench.world.close()
    again = make_bench(world=World(1, world_file), clock=VirtualClock(begun.ends))
    assert asyncio.run(again.instruments["furnace"].reconcile(firing)).state == "done"
    assert again.carry_out(again.measure("pycnometer"))[0]["relative_density"] > 0.5


@pytest.mark.parametrize("after", [1800.0, 6 * 3600.0])
def test_abort_cools_and_the_sample_keeps_what_it_got(make_bench: Any, after: float) -> None:
    bench, whole = make_bench(), make_bench()
    furnace = bench.instruments["furnace"]
    firing = bench.sinter()

    async def work() -> float:
        await bench.do(bench.weigh())
        task = await bench.start(firing)
        await bench.clock.sleep(after)
        assert await furnace.abort(firing)
        assert not await furnace.abort(firing)
        moment = bench.clock.now()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.clock.now() == moment  # the action does not wait for the end that will not come
        hot = (await furnace.read_state())["chamber_temperature"].value
        with pytest.raises(InstrumentFault, match="is in 'furnace'"):
            await bench.do(bench.measure("pycnometer"))
        await bench.clock.sleep(12 * 3600.0)
        assert (await furnace.read_state())["chamber_temperature"].value == 25.0
        return hot

    hot = bench.run(work)
    assert hot == pytest.approx(min(1150.0, 25 + after * 5 / 60))
    found = asyncio.run(furnace.reconcile(firing))
    assert found.state == "aborted"
    assert "aborted" in (found.error or "")
    short = bench.carry_out(bench.measure("pycnometer"))[0]["relative_density"]
    whole.carry_out(whole.weigh(), whole.sinter())
    assert 0.5 < short < whole.carry_out(whole.measure("pycnometer"))[0]["relative_density"]


def test_cancelling_the_waiting_process_leaves_the_firing_alone(bench: Any) -> None:
    firing = bench.sinter()

    async def work() -> None:
        await bench.do(bench.weigh())
        task = await bench.start(firing)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    bench.run(work)
    assert bench.world.operation(firing.id).aborted is None


def test_safe_state_ends_a_running_action_with_a_fault(bench: Any) -> None:
    async def work() -> None:
        await bench.do(bench.weigh())
        task = await bench.start(bench.sinter())
        await bench.clock.sleep(3600.0)
        assert (await bench.instruments["furnace"].safe_state()).confirmed
        with pytest.raises(InstrumentFault, match=r"was aborted at .* 3600 s after its start"):
            await task

    bench.run(work)


def test_no_truth_without_a_pellet(bench: Any) -> None:
    bench.carry_out(bench.weigh())
    assert bench.instruments["impedance"].truth("measure", {}, "s1") is None
    assert bench.instruments["pycnometer"].truth("measure", {}, "nobody") is None


def test_safe_state_is_idempotent_and_read_back(bench: Any) -> None:
    furnace = bench.instruments["furnace"]
    firing = bench.sinter()

    async def work() -> None:
        await bench.do(bench.weigh())
        assert (await furnace.safe_state()).confirmed
        bench.world.begin(firing, bench.clock.now(), 50_000.0)
        await bench.clock.sleep(7200.0)
        for _ in range(2):
            report = await furnace.safe_state()
            assert report.confirmed
            assert "heater off, chamber at 625 degC" in report.message

    bench.run(work)
    assert bench.world.operation(firing.id).aborted is not None


@pytest.mark.parametrize("name", ["dispenser", "furnace", "impedance", "pycnometer"])
def test_health_state_and_safe_state(bench: Any, name: str) -> None:
    instrument = bench.instruments[name]

    async def work() -> None:
        assert (await instrument.health()).state == "ok"
        state = await instrument.read_state()
        assert state["state"].value == "idle"
        assert all(r.moment == bench.clock.now() for r in state.values())
        assert (await instrument.safe_state()).confirmed

    bench.run(work)
    assert instrument.nature == "simulated"


def test_cracked_specimens_are_faults_and_stay_broken(make_bench: Any) -> None:
    bench = make_bench(world=World(1, settings={"failure_rate": 1.0}))
    firing = bench.sinter()
    with pytest.raises(InstrumentFault, match=r"'s1' cracked"):
        bench.carry_out(bench.weigh(), firing)
    assert "cracked" in (asyncio.run(bench.instruments["furnace"].reconcile(firing)).error or "")
    with pytest.raises(InstrumentFault, match="make a new one"):
        bench.carry_out(bench.measure("impedance"))


def test_cracks_come_at_their_rate(make_bench: Any) -> None:
    from sdl_instruments.ceramics.samples import cracks

    bench = make_bench(world=World(1, settings={"failure_rate": 0.2}))
    broken = 0
    for number in range(500):
        firing = bench.sinter(f"s{number}")
        broken += cracks(bench.world, bench.world.begin(firing, 0.0, 1.0))
    assert 70 <= broken <= 130


@pytest.mark.parametrize("rate", [-0.1, 1.5, "often", True])
def test_a_bad_failure_rate_is_refused(make_bench: Any, rate: Any) -> None:
    with pytest.raises(DriverError, match="failure_rate"):
        make_bench(world=World(1, settings={"failure_rate": rate}))


def test_without_a_world_there_is_no_simulation() -> None:
    with pytest.raises(DriverError, match="needs a world"):
        get_driver("simulated_pycnometer")("p", DriverSettings(), clock=VirtualClock())


def test_a_second_execution_is_an_error(bench: Any) -> None:
    command = bench.weigh()
    bench.carry_out(command)
    other = bench.sinter()
    bench.carry_out(other)
    with pytest.raises(Exception, match="already"):
        bench.carry_out(command)
