"""The instruments of the simulated ceramics line: a whole experiment, what each refuses, what the world remembers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from sdl_instruments.line.chamber import AGEING, drift, firing_number, position_offset
from sdl_instruments.line.lots import dispensed, lot_of
from sdl_instruments.line.places import held, places_of
from sdl_instruments.line.samples import sample_at

from sdl.analysis import AnalysisInput, get_analysis
from sdl.clock import VirtualClock
from sdl.driver import get_driver
from sdl.errors import DriverError, InstrumentFault, LimitError
from sdl.testing.subject import checked_settings
from sdl.world import World

pytest.importorskip("h5py")
pytest.importorskip("tifffile")
pytest.importorskip("pymatgen")
pytestmark = pytest.mark.filterwarnings("ignore")

READ = ("diffractometer", "microscope", "impedance", "pycnometer")


def test_a_whole_experiment_gives_what_the_truth_says(line: Any) -> None:
    replies = line.carry_out(*line.until_pressed(), line.sinter("s1"), *line.measuring())
    assert replies[0]["mass"] == pytest.approx(1.5, abs=0.003)
    assert replies[2]["particle_size"] == pytest.approx(0.55, rel=0.3)
    assert replies[4]["green_density"] == pytest.approx(0.54, abs=0.04)
    assert replies[6]["peak_temperature"] == pytest.approx(1150.0, abs=5.0)
    truth: dict[str, float] = {}
    for name in READ:
        action = "measure" if name in {"impedance", "pycnometer"} else "scan" if name == "diffractometer" else "image"
        truth.update(line.instruments[name].truth(action, {}, "s1"))
    density = replies[-2]
    assert abs(density["relative_density"] - truth["relative_density"]) < 5 * density["relative_density_uncertainty"]
    kinds = {"image/tiff": "microstructure", "application/x-hdf5": "phase_fraction", "text/csv": "bulk_conductivity"}
    seen = set()
    for data in line.artefacts.values():
        media = "image/tiff" if data[:2] == b"II" else "text/csv" if data[:1] == b"#" else "application/x-hdf5"
        for field, found in get_analysis(kinds[media]).analyse((AnalysisInput("a", media, data),)).items():
            assert abs(found.value - truth[field]) < 5 * found.uncertainty, field
            seen.add(field)
    assert seen == {"porosity", "grain_size", "phase_fraction", "lattice_parameter", "bulk_conductivity"}
    assert truth["porosity"] == pytest.approx(1.0 - truth["relative_density"])


def test_the_sample_is_a_fold_of_the_record(line: Any) -> None:
    line.carry_out(*line.until_pressed(), line.sinter("s1"), *line.measuring())
    sample = sample_at(line.world, "s1", line.clock.now())
    assert sample.place == "archive"
    assert sample.container == "alumina_crucible"
    assert sample.lithium == pytest.approx(1.1 + sample.lot.lithium, abs=0.02)
    assert sample.gallium == pytest.approx(0.2, abs=0.01)
    (fired,) = sample.history
    assert fired.peak == pytest.approx(1150.0, abs=20.0)
    assert (fired.plateau, fired.atmosphere, fired.position) == (4 * 3600.0, "oxygen", 0)
    assert float(sample.phases.cubic + sample.phases.tetragonal + sample.phases.pyrochlore) == pytest.approx(1.0)
    firing = next(o for o in line.world.all_operations() if o.action == "sinter")
    before = sample_at(line.world, "s1", firing.begins)
    assert before.place == "rack"
    assert before.density == pytest.approx(0.54, abs=0.04)
    assert before.occupied == firing
    assert sample_at(line.world, "s1", 0.0).lot is None


def test_measuring_destroys_nothing_and_repeats(line: Any) -> None:
    line.carry_out(*line.until_pressed(), line.sinter("s1"), line.move("microscope", occurrence=3))
    first = sample_at(line.world, "s1", line.clock.now())
    one, again, other = line.carry_out(
        line.read("microscope"), line.read("microscope"), line.read("microscope", occurrence=1)
    )
    assert one == again == other  # the pixel; the section differs with the occurrence
    assert len(line.artefacts) == 2
    now = sample_at(line.world, "s1", line.clock.now())
    assert (now.density, now.conductivity, now.history) == (first.density, first.conductivity, first.history)


def test_a_micrograph_is_the_same_in_both_formats(make_line: Any) -> None:
    found = []
    for form, media in (("tiff", "image/tiff"), ("hdf5", "application/x-hdf5")):
        line = make_line(world=World(1), settings={"microscope": {"format": form}})
        line.carry_out(line.weigh(), line.mill(), line.press(), line.sinter("s1"), line.read("microscope"))
        (data,) = line.artefacts.values()
        found.append(get_analysis("microstructure").analyse((AnalysisInput("a", media, data),)))
    assert found[0] == found[1]


# --- bad input ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("instrument", "action", "arguments", "said"),
    [
        pytest.param("furnace", "sinter", {"temperature": 1401.0}, r"1401 degC is outside .*1400", id="too hot"),
        pytest.param("furnace", "sinter", {"ramp": 21.0}, r"21 K/min is outside .*20", id="ramp too fast"),
        pytest.param("furnace", "sinter", {"ramp": 0.1}, r"0.1 K/min is outside", id="ramp too slow"),
        pytest.param("furnace", "sinter", {"atmosphere": "vacuum"}, "vacuum", id="no such gas"),
        pytest.param("mill", "mill", {"speed": 700.0}, r"700 rpm", id="too fast"),
        pytest.param("press", "press", {"pressure": 600.0}, r"600 MPa", id="too hard"),
        pytest.param("dispenser", "weigh", {"gallium": 0.6}, "gallium", id="too much gallium"),
    ],
)
def test_out_of_limits_is_refused_and_nothing_happens(
    line: Any, instrument: str, action: str, arguments: dict[str, Any], said: str
) -> None:
    full = {"furnace": line.sinter, "mill": line.mill, "press": line.press, "dispenser": line.weigh}[instrument]
    with pytest.raises(LimitError, match=said):
        line.carry_out(full("s1", **arguments))
    assert line.world.all_operations() == []


def refused(line: Any, command: Any, said: str) -> None:
    """Check that a command is refused with a message, and that nothing of it stands in the world."""
    number = len(line.world.all_operations())
    with pytest.raises(InstrumentFault, match=said):
        line.carry_out(command)
    assert len(line.world.all_operations()) == number


@pytest.mark.parametrize("instrument", ["mill", "press", "furnace", *READ])
def test_an_unknown_sample_is_refused(line: Any, instrument: str) -> None:
    commands = {"mill": line.mill, "press": line.press, "furnace": line.sinter}
    command = commands[instrument]("nobody") if instrument in commands else line.read(instrument, "nobody")
    refused(line, command, "'nobody' is unknown: nothing was weighed in")
    refused(line, line.move("mill", "nobody"), "'nobody' is unknown")


def test_a_sample_elsewhere_is_refused(line: Any) -> None:
    line.carry_out(line.weigh())
    refused(line, line.mill(), "mill works at 'mill', but sample 's1' is at 'tray'.*move it to 'mill' first")


def test_what_is_not_ready_is_refused(line: Any) -> None:
    line.carry_out(line.weigh(), line.move("rack"))
    refused(line, line.sinter("s1"), "nothing was heated: sample 's1' is loose powder; press it first")
    line.carry_out(line.move("press", occurrence=1), line.press(), line.move("pycnometer", occurrence=2))
    refused(line, line.read("pycnometer"), "'s1' is pressed powder: it was never fired")
    line.carry_out(line.move("press", occurrence=3))
    refused(line, line.press(), "'s1' is a pressed pellet, not powder")
    line.carry_out(line.move("tray", occurrence=4))
    refused(line, line.weigh(), "'s1' was weighed in already; use a new sample")


def test_a_container_that_is_unknown_or_cannot_stand_the_heat_is_refused(line: Any) -> None:
    line.carry_out(line.weigh(), line.move("press"))
    refused(line, line.press(container="alumina_crucibel"), r"no container 'alumina_crucibel'.*alumina_crucible")
    line.carry_out(line.press(container="steel_tray"), line.move("rack", occurrence=1), *line.until_pressed("s2"))
    refused(line, line.sinter("s2", "s1"), "'s1' is in a container 'steel_tray', which stands 900 degC, not 1150 degC")
    line.carry_out(line.sinter("s2", "s1", temperature=880.0))


def test_an_empty_jar_is_refused(make_line: Any, line_settings: dict[str, Any]) -> None:
    line_settings["consumables"] = {"garnet_powder": [0.005, "kg"]}
    line = make_line(world=World(1, settings=line_settings))
    line.carry_out(line.weigh("a", mass=2.0), line.weigh("b", mass=1.0))
    refused(line, line.weigh("c", mass=2.5), "2.5 g of 'garnet_powder' are asked for, 2 g of 5 g are left")
    line.carry_out(line.weigh("c", mass=2.0))
    assert dispensed(line.world, "garnet_powder") == 5.0


def test_an_occupied_or_unknown_place_is_refused(line: Any) -> None:
    line.carry_out(line.weigh("a"), line.weigh("b"), line.move("mill", "a"))
    refused(line, line.move("mill", "b"), r"place 'mill' is occupied: it holds 1 of 1 \('?a'?\)")
    refused(line, line.move("mil", "b"), "no place 'mil'.*mill")
    line.carry_out(line.move("mill", "a", 1))  # it stands there already
    assert {p: sorted(s) for p, s in held(line.world, line.clock.now()).items()} == {"mill": ["a"], "tray": ["b"]}


def test_a_full_tray_takes_no_new_sample(make_line: Any, line_settings: dict[str, Any]) -> None:
    line_settings["places"]["tray"] = 2
    line = make_line(world=World(1, settings=line_settings))
    line.carry_out(line.weigh("a"), line.weigh("b"))
    refused(line, line.weigh("c"), "place 'tray' is occupied: it holds 2 of 2")


def test_a_moving_sample_holds_both_places_and_is_left_alone(line: Any) -> None:
    async def work() -> None:
        await line.do(line.weigh())
        task = await line.start(line.move("mill"))
        await line.clock.sleep(30.0)
        now = line.clock.now()
        assert set(places_of(line.world.operations("s1"), now)) == {"mill", "tray"}
        with pytest.raises(InstrumentFault, match="'s1' is being moved to 'mill' by 'arm' until"):
            await line.do(line.mill())
        with pytest.raises(InstrumentFault, match="arm is busy: move of sample 's1' to 'mill'"):
            await line.do(line.move("press"))
        await line.clock.sleep(120.0)
        assert task.result() == {"place": "mill"}

    line.run(work)
    assert held(line.world, line.clock.now()) == {"mill": {"s1"}}


def test_a_stopped_arm_brings_the_sample_back(line: Any) -> None:
    arm = line.instruments["arm"]

    async def work() -> None:
        await line.do(line.weigh())
        task = await line.start(line.move("mill"))
        await line.clock.sleep(40.0)
        report = await arm.safe_state()
        assert report.confirmed
        assert "bringing sample 's1' back" in report.message
        with pytest.raises(InstrumentFault, match="was aborted"):
            await task
        await line.clock.sleep(39.0)
        with pytest.raises(InstrumentFault, match="arm is busy"):
            await line.do(line.move("press"))
        await line.clock.sleep(2.0)
        assert sample_at(line.world, "s1", line.clock.now()).place == "tray"
        await line.do(line.move("press", occurrence=1))

    line.run(work)


def test_a_sample_in_the_furnace_cannot_be_taken(line: Any) -> None:
    async def work() -> None:
        for command in [*line.until_pressed("a"), *line.until_pressed("b")]:
            await line.do(command)
        task = await line.start(line.sinter("a"))
        await line.clock.sleep(3600.0)
        with pytest.raises(InstrumentFault, match=r"sample 'a' is in 'furnace' \(sinter\) until"):
            await line.do(line.move("cell", "a"))
        with pytest.raises(InstrumentFault, match=r"furnace is busy: sinter of sample 'a' .chamber at 325 degC"):
            await line.do(line.sinter("b"))
        await line.clock.sleep(1e5)
        task.result()

    line.run(work)


def test_five_samples_are_no_load(line: Any) -> None:
    refused(line, line.sinter("a", "b", "c", "d", "e"), "a load is 1 to 4 samples, the command has 5; share it out")


def test_a_lab_without_places_checks_none(make_line: Any) -> None:
    line = make_line(world=World(1))
    line.carry_out(line.weigh(), line.mill(), line.press(container="anything"), line.sinter("s1"))
    line.carry_out(*(line.read(name) for name in READ))
    assert sample_at(line.world, "s1", line.clock.now()).place is None


# --- the furnace ----------------------------------------------------------------------------------------------------
def test_one_cracked_sample_leaves_its_neighbours_alone(make_line: Any, line_settings: dict[str, Any]) -> None:
    names = ("a", "b", "c", "d")

    def fired(rate: float) -> Any:
        line = make_line(world=World(5, settings={**line_settings, "failure_rate": rate}))
        for name in names:
            line.carry_out(*line.until_pressed(name))
        load = line.sinter(*names)
        line.carry_out(load)
        return line, load

    line, load = fired(0.3)
    assert 0 < len(line.failed) < 4
    whole = [n for n in names if n not in line.failed]
    unharmed, _ = fired(0.0)
    assert unharmed.failed == {}
    for name in whole:
        sample, other = (sample_at(x.world, name, x.clock.now()) for x in (line, unharmed))
        assert not sample.cracked
        assert (sample.density, sample.conductivity) == (other.density, other.conductivity)
    found = asyncio.run(line.instruments["furnace"].reconcile(load))
    assert (found.state, found.error) == ("done", None)
    assert dict(found.failed_samples) == line.failed
    broken = next(iter(line.failed))
    assert "cracked in the furnace; make a new one" in line.failed[broken]
    line.carry_out(line.move("cell", broken, 3))
    refused(line, line.read("impedance", broken), "cracked in the furnace and cannot be used")
    assert line.instruments["impedance"].truth("measure", {}, broken) is None
    line.carry_out(line.move("bin", broken, 4))  # cleared away all the same


def test_every_position_has_its_own_temperature(line: Any) -> None:
    names = ("a", "b", "c", "d")
    for name in names:
        line.carry_out(*line.until_pressed(name))
    line.carry_out(line.sinter(*names))
    peaks = [sample_at(line.world, n, line.clock.now()).history[0].peak for n in names]
    offsets = [position_offset(line.world, "furnace", p) for p in range(4)]
    assert len({round(o, 6) for o in offsets}) == 4
    for peak, offset in zip(peaks, offsets, strict=True):
        assert peak == pytest.approx(1150.0 + offset, abs=5 * 0.8)


def test_the_thermocouple_drifts_with_the_firings(line: Any) -> None:
    assert drift(line.world, "furnace", AGEING - 1) == 0.0
    assert drift(line.world, "furnace", 5 * AGEING) == pytest.approx(5 * drift(line.world, "furnace", AGEING))
    line.carry_out(*line.until_pressed("a"))
    numbers = []
    for occurrence in range(3):
        command = line.command(
            "furnace", "sinter", {"temperature": 300.0, "hold": 0.1, "ramp": 5.0, "atmosphere": "air"}, "a",
            occurrence=occurrence,
        )  # fmt: skip
        line.carry_out(command)
        numbers.append(firing_number(line.world, line.world.operation(command.id)))
    assert numbers == [0, 1, 2]
    state = asyncio.run(line.instruments["furnace"].read_state())
    assert state["firings"].value == 3


def test_heating_a_thick_pellet_fast_cracks_it(make_line: Any) -> None:
    broken = {}
    for ramp, mass in ((5.0, 1.5), (20.0, 1.5), (20.0, 0.5)):
        line = make_line()
        for number in range(4):
            line.carry_out(*line.until_pressed(f"s{number}", mass=mass))
        line.carry_out(line.sinter(*(f"s{n}" for n in range(4)), ramp=ramp))
        broken[ramp, mass] = len(line.failed)
    assert broken[5.0, 1.5] == 0
    assert broken[20.0, 1.5] > 0
    assert broken[20.0, 0.5] == 0  # thin pellets stand it


@pytest.mark.parametrize("after", [1800.0, 6 * 3600.0])
def test_an_aborted_firing_cools_and_the_samples_keep_what_they_got(make_line: Any, after: float) -> None:
    line, whole = make_line(), make_line()
    furnace, load = line.instruments["furnace"], line.sinter("a", "b")

    async def work() -> None:
        for command in [*line.until_pressed("a"), *line.until_pressed("b")]:
            await line.do(command)
        task = await line.start(load)
        await line.clock.sleep(after)
        assert await furnace.abort(load)
        with pytest.raises(asyncio.CancelledError):
            await task
        hot = (await furnace.read_state())["chamber_temperature"].value
        assert hot == pytest.approx(min(1150.0, 25 + after * 5 / 60))
        assert "heater off, chamber at" in (await furnace.safe_state()).message
        with pytest.raises(InstrumentFault, match="is in 'furnace'"):
            await line.do(line.move("cell", "b"))
        await line.clock.sleep((hot - 25.0) * 12.0 + 1.0)
        assert (await furnace.read_state())["chamber_temperature"].value == 25.0

    line.run(work)
    assert "aborted" in (asyncio.run(furnace.reconcile(load)).error or "")
    short = sample_at(line.world, "a", line.clock.now())
    whole.carry_out(*whole.until_pressed("a"), *whole.until_pressed("b"), whole.sinter("a", "b"))
    full = sample_at(whole.world, "a", whole.clock.now())
    green = sample_at(whole.world, "a", whole.world.operations("a")[-1].begins)
    assert short.density > 0.99 * green.density
    assert (short.density > 0.85) == (after > 4 * 3600.0)  # the first one never came to where it sinters
    assert green.grain_size <= short.grain_size < full.grain_size
    assert float(green.body.lithium) > float(short.body.lithium) > float(full.body.lithium)


def test_an_aborted_milling_keeps_what_was_ground(line: Any) -> None:
    async def work() -> None:
        await line.do(line.weigh())
        await line.do(line.move("mill"))
        milling = line.mill(duration=6.0)
        task = await line.start(milling)
        await line.clock.sleep(300.0 + 3 * 3600.0)
        assert await line.instruments["mill"].abort(milling)
        with pytest.raises(asyncio.CancelledError):
            await task

    line.run(work)
    from sdl_instruments.line.milling import fresh, mill

    sample = sample_at(line.world, "s1", line.clock.now())
    assert float(sample.powder.size) == pytest.approx(float(mill(fresh(sample.lot.size), 3.0, 300.0).size))


# --- lots -----------------------------------------------------------------------------------------------------------
def test_lots_follow_each_other_and_differ(make_line: Any) -> None:
    line = make_line(settings={"dispenser": {"lot": "4 g"}})
    lots = [line.carry_out(line.weigh(f"s{n}", mass=2.0))[0]["lot"] for n in range(6)]
    assert lots == [0, 0, 1, 1, 2, 2]
    samples = [sample_at(line.world, f"s{n}", line.clock.now()) for n in range(6)]
    assert samples[0].lot == samples[1].lot == lot_of(line.world, "garnet_powder", 0)
    assert len({s.lot.lithium for s in samples}) == 3
    assert len({lot_of(World(seed), "garnet_powder", 0) for seed in range(3)}) == 3
    assert lot_of(line.world, "other_powder", 0) != lot_of(line.world, "garnet_powder", 0)


def test_lots_are_as_stated() -> None:
    import numpy as np

    lots = [lot_of(World(1), "p", n) for n in range(400)]
    assert np.std([x.lithium for x in lots]) == pytest.approx(0.02, rel=0.15)
    assert np.median([x.size for x in lots]) == pytest.approx(4.0, rel=0.05)
    assert np.median([x.impurity for x in lots]) == pytest.approx(0.0015, rel=0.15)


@pytest.mark.parametrize("lot", ["0 g", "2 m", "much"])
def test_a_senseless_jar_is_refused(lot: str) -> None:
    with pytest.raises(DriverError, match="lot"):
        checked_settings(get_driver("simulated_line_dispenser"), "simulated_line_dispenser", {"lot": lot})


def test_the_dispenser_says_what_it_uses_up() -> None:
    cls = get_driver("simulated_line_dispenser")
    spec = cls.describe(cls.settings_model(powder="llzo")).actions["weigh"]
    assert spec.amounts({"li_excess": 0.1, "gallium": 0.2, "mass": 1.5}) == {"llzo": (1.5, "g")}
    assert cls.describe(cls.settings_model()).actions["weigh"].uses[0].consumable == "garnet_powder"


def test_roles_and_loads_are_declared() -> None:
    found = {}
    for driver in ("simulated_batch_furnace", "simulated_press", "simulated_robot_arm"):
        cls = get_driver(driver)
        found.update(cls.describe(cls.settings_model()).actions)
    assert found["sinter"].samples == 4
    assert found["sinter"].with_role("heats").name == "temperature"
    assert found["press"].with_role("container").name == "container"
    assert found["move"].with_role("place").name == "to"
    assert [found[a].effect for a in ("sinter", "press", "move")] == ["irreversible", "irreversible", "repeatable"]


def test_powder_of_the_simple_lab_is_refused(make_line: Any) -> None:
    line = make_line(world=World(1), names={"old": "simulated_dispenser", "mill": "simulated_mill"})
    line.carry_out(line.command("old", "weigh", {"li_excess": 0.1, "mass": 2.0}))
    refused(line, line.mill(), "weighed in by 'old', whose driver knows no lots.*simulated_line_dispenser")


# --- determinism and settling ---------------------------------------------------------------------------------------
def test_results_do_not_depend_on_the_order_of_calls(make_line: Any) -> None:
    one, two, other = make_line(), make_line(), make_line(world=World(2))
    for line, names in ((one, "ab"), (two, "ba"), (other, "ab")):
        for name in names:
            line.carry_out(*line.until_pressed(name), line.sinter(name), *line.measuring(name))
    assert one.artefacts == two.artefacts
    for name in "ab":
        samples = [sample_at(x.world, name, x.clock.now()) for x in (one, two, other)]
        assert samples[0].conductivity == samples[1].conductivity != samples[2].conductivity


def test_reconcile_gives_what_the_reply_gave(make_line: Any, line_settings: dict[str, Any], tmp_path: Path) -> None:
    record = tmp_path / "world.jsonl"
    line = make_line(world=World(1, record, line_settings))
    commands = [*line.until_pressed(), line.sinter("s1"), *line.measuring()]

    async def work() -> list[Any]:
        values = [await line.do(c) for c in commands[:6]]
        assert (await line.instruments["furnace"].reconcile(commands[6])).state == "not_started"
        task = await line.start(commands[6])
        await line.clock.sleep(3600.0)
        assert (await line.instruments["furnace"].reconcile(commands[6])).state == "running"
        await line.clock.sleep(1e5)
        values.append(task.result())
        return values + [await line.do(c) for c in commands[7:]]

    direct = line.run(work)
    kept = dict(line.artefacts)
    line.world.close()
    # another process: the world is rebuilt from its record, the artefacts anew
    again = make_line(world=World(1, record, line_settings), clock=VirtualClock(line.clock.now()))
    for command, values in zip(commands, direct, strict=True):
        found = asyncio.run(again.instruments[command.instrument].reconcile(command))
        assert (found.state, found.error, found.values) == ("done", None, values)
    assert again.artefacts == kept
    assert len(kept) == 3
    again.world.close()


def test_an_experiment_is_cheap(line: Any) -> None:
    """Sixty experiments have to fit into half a minute of the lab's processor time."""
    line.carry_out(
        *line.until_pressed("warm"), line.sinter("warm"), *line.measuring("warm")
    )  # loads libraries, lines of phases
    begun = time.process_time()
    for number in range(3):
        name = f"s{number}"
        line.carry_out(*line.until_pressed(name), line.sinter(name), *line.measuring(name))
    assert (time.process_time() - begun) / 3 < 0.5


def test_too_porous_a_section_crumbles(line: Any) -> None:
    line.carry_out(*line.until_pressed(pressure=20.0, speed=550.0), line.sinter("s1", temperature=300.0))
    line.carry_out(line.move("microscope", occurrence=3))
    refused(line, line.read("microscope"), "'s1' crumbles when it is polished")
