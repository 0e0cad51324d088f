"""Exports hold what the ledger holds, and their head is noted."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sdl.errors import InputError, LedgerError
from sdl.ledger import Ledger, ObservationRecorded, RoundOpened, RoundProposed, VersionRecorded
from sdl.ledger.events import canonical
from sdl.ledger.export import experiment_table, export
from sdl.ledger.ledger import GENESIS, row_hash
from sdl.ledger.verify import head_in_file, verify


def leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, dict):
        for value in data.values():
            yield from leaves(value)
    elif isinstance(data, list):
        for value in data:
            yield from leaves(value)
    else:
        yield data


def test_json_holds_every_value_of_the_journal_in_its_structured_part(ledger, tmp_path):
    path = tmp_path / "demo.json"
    export(ledger, "demo", "json", path)
    data = json.loads(path.read_text())
    structured = {(type(v), v) for v in leaves({k: v for k, v in data.items() if k != "journal"})}
    for row in ledger.rows("demo"):
        for value in leaves(row.event.body()):
            seed = isinstance(row.event, RoundOpened) and value == row.event.seed  # kept as text: 63 bits
            assert (type(value), value) in structured or (seed and (str, str(value)) in structured), (
                row.event.kind,
                value,
            )


def test_json_carries_rows_that_can_be_verified_without_the_ledger(ledger, tmp_path):
    path = tmp_path / "demo.json"
    export(ledger, "demo", "json", path)
    data = json.loads(path.read_text())
    previous = GENESIS
    for row in data["journal"]:
        assert row_hash(previous, "demo", row["seq"], row["at"], row["kind"], canonical(row["body"])) == row["hash"]
        previous = row["hash"]
    assert data["head"] == {"seq": len(data["journal"]), "hash": previous}
    head = head_in_file(path)
    assert (head.seq, head.hash, head.campaign) == (*ledger.head("demo"), "demo")
    assert [r.event.body() for r in ledger.rows("demo")] == [r["body"] for r in data["journal"]]


def test_json_puts_things_where_they_belong(ledger, tmp_path):
    export(ledger, "demo", "json", tmp_path / "demo.json")
    data = json.loads((tmp_path / "demo.json").read_text())
    assert data["campaign"]["name"] == "demo"
    assert data["versions"][0]["text"].startswith("name: demo\n# µ")
    assert data["rounds"][0]["diagnostics"] == {"origin": ["drawn", 1 / 3]}
    assert data["environment"][0]["environment"]["python"] == "3.11"
    assert [len(c["artefacts"]) for c in data["commands"]] == [1, 1, 0]
    assert data["questions"][0]["id"] == "Q1"
    assert data["observations"][0]["id"] == "1.conductivity.1"


def test_csv_has_one_row_an_experiment_with_units_in_the_header(ledger, tmp_path):
    export(ledger, "demo", "csv", tmp_path / "demo.csv")
    with (tmp_path / "demo.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "number",
        "state",
        "round",
        "source",
        "sample",
        "temperature [degC]",
        "firings",
        "atmosphere",
        "conductivity [mS/cm]",
        "conductivity standard uncertainty [mS/cm]",
        "conductivity 95 % lower [mS/cm]",
        "conductivity 95 % upper [mS/cm]",
        "conductivity flags",
        "density",
        "density standard uncertainty",
        "density 95 % lower",
        "density 95 % upper",
        "density flags",
        "simulated",
        "started",
        "finished",
        "reason",
    ]
    assert [r["state"] for r in rows] == ["done", "failed", "running"]
    assert float(rows[0]["temperature [degC]"]) == 1000.0 + 1 / 7  # to the last bit
    assert float(rows[1]["conductivity [mS/cm]"]) == 2 / 11
    assert rows[0]["density standard uncertainty"] == ""
    assert rows[1]["reason"] == 'cracked, "badly"'
    assert rows[2]["conductivity [mS/cm]"] == rows[2]["finished"] == ""
    assert {r["simulated"] for r in rows} == {"true"}


def test_parquet_holds_the_same_table_with_types(ledger, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    export(ledger, "demo", "parquet", tmp_path / "demo.parquet")
    frame = pandas.read_parquet(tmp_path / "demo.parquet")
    table = experiment_table(ledger, "demo")
    assert list(frame.columns) == [c.header for c in table.columns]
    assert len(frame) == 3
    assert frame["temperature [degC]"].tolist() == [1000.0 + n / 7 for n in (1, 2, 3)]
    assert str(frame["firings"].dtype) == "Int64"
    assert str(frame["simulated"].dtype) == "boolean"
    assert str(frame["started"].dt.tz) == "UTC"
    assert frame["finished"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_campaign_without_experiments_is_exported(empty, life, tmp_path, form):
    empty.append("new", 0.0, [])
    for batch in life(empty)[:2]:
        empty.append("new", 0.0, batch)
    export(empty, "new", form, tmp_path / "x")
    assert (tmp_path / "x").stat().st_size > 0


def test_heads_of_exports_are_noted(ledger, tmp_path):
    for form in ("csv", "json"):
        export(ledger, "demo", form, tmp_path / f"demo.{form}")
    found = verify(ledger, "demo")
    assert found.told_up_to == found.rows
    assert [h.where.split(" (")[0] for h in found.heads] == [
        f"export {tmp_path / f'demo.{f}'}" for f in ("csv", "json")
    ]


def test_retracted_and_superseded_observations(ledger):
    def observed(n: int, outcome: str, value: float, status: str) -> ObservationRecorded:
        return ObservationRecorded(
            f"1.{outcome}.{n}", 1, outcome, value, None, "mS/cm", "default", status, "c", f"1.{outcome}.1"
        )

    ledger.append("demo", 50.0, [observed(2, "conductivity", 5.0, "flagged"), observed(3, "density", 1.0, "retracted")])
    table = experiment_table(ledger, "demo")
    first = dict(zip([c.header for c in table.columns], table.rows[0], strict=True))
    assert first["conductivity [mS/cm]"] == 5.0
    assert first["density"] is None


def test_a_unit_that_changes_with_a_version_gets_a_column_of_its_own(ledger):
    data = ledger.rows("demo")[1].event.data
    parameters = {
        **data["space"]["parameters"],
        "temperature": {"type": "continuous", "bounds": [1273, 1523], "unit": "K"},
    }
    changed = {**data, "space": {"parameters": parameters}}
    ledger.append("demo", 50.0, [VersionRecorded(2, "d" * 64, "", changed, [], {})])
    ledger.append("demo", 51.0, [RoundOpened(4, 1, 1)])
    ledger.append(
        "demo",
        52.0,
        [RoundProposed(4, "random", [{"temperature": 1300.0, "firings": 1, "atmosphere": "air"}], 4, {}, {}, 0.0)],
    )
    table = experiment_table(ledger, "demo")
    cells = [dict(zip([c.header for c in table.columns], row, strict=True)) for row in table.rows]
    assert (cells[3]["temperature [K]"], cells[3]["temperature [degC]"]) == (1300.0, None)
    assert cells[0]["temperature [K]"] is None


def test_a_parameter_may_be_called_as_a_column_is(empty, life):
    [created, version], *_ = life(empty)
    data = {
        "space": {"parameters": {"state": {"type": "categorical", "values": ["dry", "wet"]}}},
        "objectives": {"round": {"goal": "minimize"}},
    }
    named = VersionRecorded(1, version.digest, "", data, [], {})
    empty.append(
        "x", 0.0, [created, named, RoundOpened(1, 1, 1), RoundProposed(1, "p", [{"state": "wet"}], 1, {}, {}, 0.0)]
    )
    table = experiment_table(empty, "x")
    [row] = table.rows
    cells = dict(zip([c.header for c in table.columns], row, strict=True))
    assert (cells["state"], cells["state (parameter)"], cells["round"]) == ("proposed", "wet", 1)
    assert "round (outcome)" in cells


def test_refusals(ledger, tmp_path):
    with pytest.raises(InputError, match=r"no campaign 'dmeo'; it has: 'demo'"):
        export(ledger, "dmeo", "csv", tmp_path / "x.csv")
    with pytest.raises(InputError, match=r"'xlsx' is no format.*'csv', 'parquet', 'json'"):
        export(ledger, "demo", "xlsx", tmp_path / "x")
    with pytest.raises(LedgerError, match="cannot be written: No such file"):
        export(ledger, "demo", "csv", tmp_path / "none" / "x.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home"]


def test_parquet_without_its_libraries_names_the_extra(ledger, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'sdl\[tables\]'"):
        export(ledger, "demo", "parquet", tmp_path / "x.parquet")
    assert not (ledger.home / "heads").exists()


def test_an_existing_file_is_replaced_whole(ledger, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("old" * 10_000)
    export(ledger, "demo", "csv", path)
    assert path.read_text().startswith("number,")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "x.csv"]


def test_a_ledger_in_memory_is_exported(fill, tmp_path):
    ledger = fill(Ledger(None))
    export(ledger, "demo", "json", tmp_path / "x.json")
    assert head_in_file(tmp_path / "x.json").seq == ledger.head("demo")[0]
    ledger.close()
