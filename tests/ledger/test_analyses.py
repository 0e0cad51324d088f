"""Rows of analyses: projected, proved, exported and backed up with the data of their figures."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from sdl.ledger import AnalysisRecorded, Event, Ledger, ObservationRecorded
from sdl.ledger.backup import backup, restore
from sdl.ledger.export import export
from sdl.ledger.queries import counting_observations, table_of
from sdl.ledger.verify import verify

FIGURE = b'{"format": "of a test"}'


def analysed(ledger: Ledger) -> list[Event]:
    """Return an analysis of the first command's raw data and the flagged observation that it gave."""
    raw = ledger.artefacts.put("spectrum.csv", b"spectrum 0", "text/csv")
    figure = ledger.artefacts.put("analysis-figure.json", FIGURE, "application/json")
    command = str(uuid.UUID(int=1))
    return [
        AnalysisRecorded(
            analysis="1.0.1",
            experiment=1,
            step=0,
            command=command,
            name="trace",
            status="succeeded",
            artefacts=[{"name": raw.name, "sha256": raw.sha256}],
            fields={"long": {"value": 0.3, "uncertainty": None, "lower": 0.2, "upper": 0.5, "unit": "mm"}},
            flags=["noisy; 5 % µ", "two"],
            diagnostics={"chi": 1.25, "none": None},
            figure={
                "name": figure.name,
                "sha256": figure.sha256,
                "size": figure.size,
                "media_type": figure.media_type,
            },
            environment={"numpy": "2"},
        ),
        ObservationRecorded(
            observation="1.length.1",
            experiment=1,
            outcome="length",
            value=300.0,
            uncertainty=None,
            unit="um",
            source="default",
            status="flagged",
            command=command,
            lower=200.0,
            upper=500.0,
            flags=["noisy; 5 % µ", "two"],
            analysis="1.0.1",
        ),
    ]


@pytest.fixture
def flagged(ledger: Ledger) -> Ledger:
    """The campaign `demo` with an analysis and a flagged observation after its last row."""
    ledger.append("demo", 70.0, analysed(ledger))
    return ledger


def test_rows_are_projected_and_proved_with_the_figure(flagged):
    found = verify(flagged, "demo")
    assert found.ok, found.text()
    assert found.artefacts == 4  # the figure beside the three of the campaign; the raw data are not counted twice
    [row] = table_of(flagged, "analyses", "demo")
    [event] = [r.event for r in flagged.rows("demo") if isinstance(r.event, AnalysisRecorded)]
    assert {k: row[k] for k in event.body() if k != "analysis"} == {
        k: v for k, v in event.body().items() if k != "analysis"
    }
    [last] = [o for o in table_of(flagged, "observations", "demo") if o["id"] == "1.length.1"]
    assert (last["lower"], last["upper"], last["flags"], last["analysis"]) == (
        200.0,
        500.0,
        ["noisy; 5 % µ", "two"],
        "1.0.1",
    )


@pytest.mark.parametrize(
    ("table", "column", "value", "where"),
    [
        ("observations", "lower", 0.0, "observations (1.length.1).lower"),
        ("observations", "flags", "[]", "observations (1.length.1).flags"),
        ("analyses", "figure", None, "analyses (1.0.1).figure"),
        ("analyses", "diagnostics", "{}", "analyses (1.0.1).diagnostics"),
    ],
)
def test_what_is_changed_afterwards_is_found(flagged, tamper, table, column, value, where):
    assert tamper(f"UPDATE {table} SET {column} = ? WHERE id IN ('1.length.1', '1.0.1')", value) == 1
    assert [f.where for f in verify(flagged, "demo").findings] == [where]


def test_json_holds_all_of_it(flagged, tmp_path):
    export(flagged, "demo", "json", tmp_path / "demo.json")
    data = json.loads((tmp_path / "demo.json").read_text())
    [analysis] = data["analyses"]
    assert analysis["fields"]["long"] == {"value": 0.3, "uncertainty": None, "lower": 0.2, "upper": 0.5, "unit": "mm"}
    assert analysis["artefacts"][0]["sha256"] == data["commands"][0]["artefacts"][0]["sha256"]
    assert [o["id"] for o in data["observations"] if o["analysis"] == analysis["id"]] == ["1.length.1"]


def test_a_backup_takes_the_figure_along_and_names_it_where_it_is_gone(flagged, tmp_path):
    copy = backup(flagged.home, tmp_path / "a.tar.gz")
    assert not copy.missing
    restore(tmp_path / "a.tar.gz", tmp_path / "again")
    again = Ledger(tmp_path / "again")
    assert verify(again, "demo").ok
    again.close()
    [row] = table_of(flagged, "analyses", "demo")
    Path(flagged.artefacts._path(row["figure"]["sha256"])).unlink()
    assert backup(flagged.home, tmp_path / "b.tar.gz").missing == (row["figure"]["sha256"],)


def test_the_last_observation_counts_unless_it_was_retracted(flagged):
    rows = flagged.rows("demo")
    assert counting_observations(rows)[1, "length"].status == "flagged"
    later = ObservationRecorded(
        "1.length.2", 1, "length", 300.0, None, "um", "default", "retracted", str(uuid.UUID(int=1)), "1.length.1"
    )
    flagged.append("demo", 80.0, [later])
    assert (1, "length") not in counting_observations(flagged.rows("demo"))
    assert (1, "conductivity") in counting_observations(flagged.rows("demo"))
