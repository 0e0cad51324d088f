"""Replay: tables good and bad, exact and nearest points, replicates, cost, uncertainty, size."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sdl.clock import VirtualClock
from sdl.driver import Command, Context, Instrument, get_driver
from sdl.errors import DriverError, InstrumentFault
from sdl.world import World

TABLE = """temperature,gas,strength,price,spread
10.0,air,1.0,5,0.1
10.0,air,3.0,7,0.2
20.0,air,4.0,6,0.1
20.0,argon,8.0,6,0.1
"""


def settings(path: Path, **changes: Any) -> Any:
    return get_driver("replay").settings_model(
        **{"table": str(path), "outcomes": ["strength"], "parameters": ["temperature", "gas"], **changes}
    )


def replay(path: Path, world: World | None = None, clock: VirtualClock | None = None, **changes: Any) -> Instrument:
    return get_driver("replay")("archive", settings(path, **changes), clock=clock or VirtualClock(), world=world)


def ask(instrument: Instrument, sample: str = "s1", occurrence: int = 0, **arguments: Any) -> Any:
    command = Command("id", "c", 1, 1, 0, "archive", "measure", arguments, (sample,), occurrence)

    async def main() -> Any:
        with instrument.clock.actor():
            return await instrument.perform("measure", Context(command, instrument.clock), arguments)

    return asyncio.run(main())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


def test_description_follows_the_columns(table: Path) -> None:
    cls = get_driver("replay")
    spec = cls.describe(
        settings(table, units={"temperature": "degC", "strength": "MPa"}, cost="price", duration="2 h"), "replay"
    ).actions["measure"]
    temperature, gas = spec.parameters
    assert (temperature.kind, temperature.unit, temperature.lower, temperature.upper) == ("number", "degC", 10.0, 20.0)
    assert (gas.kind, gas.choices) == ("text", ("air", "argon"))
    assert [(r.name, r.unit) for r in spec.results] == [("strength", "MPa"), ("cost", "dimensionless")]
    assert (spec.effect, spec.duration) == ("reads", 7200.0)


def test_parameters_are_all_other_columns_unless_named(table: Path) -> None:
    spec = get_driver("replay").describe(settings(table, parameters=None, cost="price"), "replay").actions["measure"]
    assert [p.name for p in spec.parameters] == ["temperature", "gas", "spread"]


def test_replicates_are_averaged_by_default(table: Path) -> None:
    assert ask(replay(table), temperature=10, gas="air") == {"strength": 2.0}
    assert ask(replay(table, cost="price"), temperature=10, gas="air") == {"strength": 2.0, "cost": 6.0}


def test_uncertainty_of_one_and_of_a_mean(table: Path) -> None:
    known = replay(table, standard_uncertainty={"strength": 0.4})
    assert ask(known, temperature=20, gas="air")["strength_uncertainty"] == pytest.approx(0.4)
    assert ask(known, temperature=10, gas="air")["strength_uncertainty"] == pytest.approx(0.4 / np.sqrt(2))
    column = replay(table, standard_uncertainty={"strength": "spread"})
    assert ask(column, temperature=10, gas="air")["strength_uncertainty"] == pytest.approx(np.hypot(0.1, 0.2) / 2)


def test_drawn_replicates_depend_on_seed_point_sample_and_occurrence_only(table: Path) -> None:
    drawn = replay(table, World(3), replicates="draw")
    series = [ask(drawn, f"s{i}", temperature=10, gas="air")["strength"] for i in range(40)]
    again = [ask(drawn, f"s{i}", temperature=10, gas="air")["strength"] for i in reversed(range(40))]
    assert series == again[::-1]
    assert set(series) == {1.0, 3.0}
    assert len({ask(drawn, "s1", k, temperature=10, gas="air")["strength"] for k in range(40)}) == 2
    other = replay(table, replicates="draw", seed=4)
    assert [ask(other, f"s{i}", temperature=10, gas="air")["strength"] for i in range(40)] != series


def test_the_duration_passes(table: Path) -> None:
    clock = VirtualClock()
    start = clock.now()
    ask(replay(table, clock=clock, duration="2 h"), temperature=20, gas="air")
    assert clock.now() - start == 7200.0


def test_a_miss_names_point_and_nearest_row(table: Path) -> None:
    with pytest.raises(InstrumentFault, match=r"temperature = 19.*nearest is temperature = 20.0, gas = air.*line 4"):
        ask(replay(table), temperature=19, gas="air")
    with pytest.raises(InstrumentFault, match="gas = oxygen"):
        ask(replay(table), temperature=20, gas="oxygen")


def test_a_number_survives_text_and_units(table: Path) -> None:
    assert ask(replay(table), temperature=10 * (1 + 1e-14), gas="air") == {"strength": 2.0}
    with pytest.raises(InstrumentFault):
        ask(replay(table), temperature=10 * (1 + 1e-9), gas="air")


@pytest.mark.parametrize(
    ("temperature", "gas", "strength"),
    [(10.9, "air", 2.0), (11.0, "air", 2.0), (19.5, "argon", 8.0), (11.01, "air", None), (10.0, "argon", None)],
)
def test_nearest_within_the_tolerance(table: Path, temperature: float, gas: str, strength: float | None) -> None:
    near = replay(table, match="nearest", tolerance={"temperature": "1 K"}, units={"temperature": "degC"})
    if strength is None:
        with pytest.raises(InstrumentFault, match="within the tolerance"):
            ask(near, temperature=temperature, gas=gas)
    else:
        assert ask(near, temperature=temperature, gas=gas) == {"strength": strength}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param("", "empty", id="empty"),
        pytest.param("\n \n", "empty", id="blank"),
        pytest.param("temperature,gas,strength\n", "no rows", id="header only"),
        pytest.param("1,2,3\n1,2,3\n", "must name the columns", id="no header"),
        pytest.param("temperature,gas,strength\n1,air,2\n1,air\n", "line 3: 2 cells", id="ragged, short"),
        pytest.param("temperature,gas,strength\n1,air,2,9\n", "line 2: 4 cells", id="ragged, long"),
        pytest.param(
            "temperature,gas,strength\n1,air,\n", "line 2, column 'strength': the cell is empty", id="empty cell"
        ),
        pytest.param("temperature,gas,strength\n1,air,2\n1,air,nan\n", "line 3, column 'strength': nan", id="nan"),
        pytest.param("temperature,gas,strength\n1,air,inf\n", "line 2, column 'strength': inf", id="inf"),
        pytest.param("temperature,gas,strength\nnan,air,1\n", "column 'temperature'", id="nan parameter"),
        pytest.param("temperature,gas,strength\n1,air,high\n", "line 2, column 'strength': 'high'", id="not a number"),
        pytest.param("temperature,gas,strength\n1,air,1_000\n", "'1_000' is not a number", id="python's own number"),
        pytest.param(
            "temperature,gas,strengh\n1,air,2\n", "no column 'strength' .did you mean 'strengh'", id="near miss"
        ),
        pytest.param("temperature,gas,gas,strength\n1,a,b,2\n", "'gas' is named twice", id="duplicate column"),
        pytest.param("temperature,,strength\n1,a,2\n", "column 2 has no name", id="nameless column"),
        pytest.param("temperature;gas;strength\n1;a;2\n", "separated by commas", id="semicolons"),
        pytest.param(b"temperature,gas,strength\n1,\xff\xfe,2\n", "line 2: not UTF-8", id="undecodable"),
        pytest.param(b"\x00\x01\x02PNG", "binary", id="binary"),
        pytest.param('temperature,gas,strength\n1,"a,2\n', "malformed", id="open quote"),
    ],
)
def test_bad_tables_are_refused_when_described(tmp_path: Path, text: str | bytes | None, said: str) -> None:
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DriverError, match=said) as error:
        get_driver("replay").describe(settings(path), "replay")
    assert str(path) in str(error.value)


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode())
    assert ask(replay(path), temperature=10, gas="air") == {"strength": 2.0}


def test_parquet_gives_the_same(table: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "table.parquet"
    pandas.read_csv(table).to_parquet(path)
    assert ask(replay(path), temperature=10, gas="air") == {"strength": 2.0}
    (tmp_path / "bad.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(DriverError, match="not a Parquet file"):
        get_driver("replay").describe(settings(tmp_path / "bad.parquet"), "replay")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"match": "nearest"}, "tolerance"),
        ({"tolerance": 1.0}, "only with it"),
        ({"outcomes": []}, "outcomes"),
        ({"outcomes": ["strength", "strength"]}, "twice"),
        ({"parameters": ["strength"]}, "not both"),
        ({"duration": "2"}, "dimensionless"),
        ({"duration": "-2 h"}, "negative"),
        ({"units": {"strength": "parrots"}}, "parrots"),
        ({"standard_uncertainty": {"strenth": 0.1}}, "did you mean 'strength'"),
        ({"standard_uncertainty": {"strength": -0.1}}, "not negative"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_settings_are_refused(table: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(table, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"match": "nearest", "tolerance": {"temprature": 1.0}}, "did you mean 'temperature'"),
        ({"match": "nearest", "tolerance": {}}, "needs a tolerance for 'temperature'"),
        ({"match": "nearest", "tolerance": 0.0}, "above 0"),
        ({"match": "nearest", "tolerance": "1 kg", "units": {"temperature": "degC"}}, "kg"),
        ({"cost": "prize"}, "did you mean 'price'"),
        ({"units": {"temprature": "degC"}}, "did you mean 'temperature'"),
        ({"parameters": ["temperature"], "standard_uncertainty": {"strength": "gas"}}, "'air' is not a number"),
        ({"parameters": ["temperature", "price"], "cost": "price"}, "one role"),
    ],
)
def test_settings_that_do_not_fit_the_table(table: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DriverError, match=said):
        get_driver("replay").describe(settings(table, **changes), "replay")


def test_truth_health_reconcile_and_safe_state(table: Path) -> None:
    archive = replay(table, replicates="draw", cost="price")
    assert archive.truth("measure", {"temperature": 10, "gas": "air"}, "s") == {"strength": 2.0}
    assert asyncio.run(archive.health()).state == "ok"
    command = Command("id", "c", 1, 1, 0, "archive", "measure", {}, (), 0)
    assert asyncio.run(archive.reconcile(command)).state == "not_started"
    assert asyncio.run(archive.safe_state()).confirmed
    table.unlink()
    assert asyncio.run(archive.health()).state == "fault"


@pytest.mark.parametrize("changes", [{}, {"match": "nearest", "tolerance": 1e-6}], ids=["exact", "nearest"])
def test_a_hundred_thousand_rows(tmp_path: Path, changes: dict[str, Any]) -> None:
    rows = np.random.default_rng(0).random((100_000, 5))
    path = tmp_path / "large.csv"
    np.savetxt(path, rows, delimiter=",", header="a,b,c,d,y", comments="", fmt="%.17g")
    archive = replay(path, outcomes=["y"], parameters=None, **changes)
    archive.truth("measure", dict(zip("abcd", rows[0, :4].tolist(), strict=True)), "")
    start = time.process_time()
    for row in rows[:1000].tolist():
        assert archive.truth("measure", dict(zip("abcd", row[:4], strict=True)), "") == {"y": row[4]}
    assert time.process_time() - start < 2.0


def test_the_shipped_table() -> None:
    path = Path(__file__).parents[2] / "campaigns" / "data" / "opv_wf3.csv"
    archive = replay(path, outcomes=["degradation"], parameters=None)
    assert len(archive._archive.points) == 1020
    assert archive.truth("measure", {"wf3": 1, "p3ht": 0, "pcbm": 0, "oidtbr": 0}, "") == {"degradation": 0.189174654}
