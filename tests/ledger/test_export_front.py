"""The column that tells which experiments are in the Pareto set."""

from __future__ import annotations

import json

import pytest

from sdl.errors import LedgerError
from sdl.ledger import (
    CampaignCreated,
    ExperimentFinished,
    ExperimentStarted,
    ObservationRecorded,
    RoundOpened,
    RoundProposed,
    VersionRecorded,
)
from sdl.ledger.export import experiment_table, export

DATA = {
    "name": "two",
    "space": {"parameters": {"x": {"type": "integer", "bounds": [1, 9]}}},
    "objectives": {"time": {"goal": "minimize", "unit": "h"}, "gain": {"goal": "maximize"}},
    "outcome_constraints": {"time": {"at_most": 10}},
}
#       (time, its unit, gain, state): 2 is beaten by 1, 3 is too slow, 4 in another unit, 5 failed
TRIALS = [
    (2.0, "h", 3.0, "done"),
    (3.0, "h", 3.0, "done"),
    (11.0, "h", 9.0, "done"),
    (60.0, "min", 2.0, "done"),
    (0.5, "h", 9.0, "failed"),
]


@pytest.fixture
def ledger(empty):
    empty.append("two", 0.0, [CampaignCreated(1, {}), VersionRecorded(1, "d" * 64, "", DATA, [], {})])
    empty.append("two", 0.0, [RoundOpened(1, 6, 1)])
    empty.append("two", 0.0, [RoundProposed(1, "random", [{"x": n} for n in range(1, 7)], 1, {}, {}, 0.1)])
    for number, (time, unit, gain, state) in enumerate(TRIALS, start=1):
        empty.append("two", 0.0, [ExperimentStarted(number, "default", f"s{number}")])
        seen = [
            observed(number, "time", time, unit),
            observed(number, "gain", gain),
            ExperimentFinished(number, state, "cracked" if state == "failed" else None),
        ]
        empty.append("two", 0.0, seen)
    return empty


def observed(number, outcome, value, unit="dimensionless", status="valid", version=1):
    return ObservationRecorded(
        f"{number}.{outcome}.{version}", number, outcome, value, None, unit, "default", status, "c"
    )


def column(ledger):
    table = experiment_table(ledger, "two")
    index = [c.header for c in table.columns].index("in Pareto set")
    assert table.columns[index].kind == "flag"
    return [row[index] for row in table.rows]


def test_who_is_in_the_pareto_set(ledger, tmp_path):
    assert column(ledger) == [True, False, False, True, None, None]
    export(ledger, "two", "json", tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["pareto_set"] == [1, 4]


def test_a_retracted_value_makes_room(ledger):
    ledger.append("two", 1.0, [observed(1, "gain", 3.0, status="retracted", version=2)])
    assert column(ledger) == [False, True, False, True, None, None]


def test_the_version_in_force_counts_for_all(ledger):
    turned = {**DATA, "objectives": {**DATA["objectives"], "gain": {"goal": "minimize"}}}
    ledger.append("two", 1.0, [VersionRecorded(2, "e" * 64, "", turned, [], {})])
    assert column(ledger) == [False, False, False, True, None, None]


def test_with_one_objective_there_is_no_column(ledger, tmp_path):
    one = {**DATA, "objectives": {"gain": {"goal": "maximize"}}, "outcome_constraints": {}}
    ledger.append("two", 1.0, [VersionRecorded(2, "e" * 64, "", one, [], {})])
    assert "in Pareto set" not in [c.header for c in experiment_table(ledger, "two").columns]
    export(ledger, "two", "json", tmp_path / "x.json")
    assert "pareto_set" not in json.loads((tmp_path / "x.json").read_text())


def test_objectives_that_cannot_be_read(ledger):
    odd = {**DATA, "objectives": {**DATA["objectives"], "gain": {"goal": "please"}}}
    ledger.append("two", 1.0, [VersionRecorded(2, "e" * 64, "", odd, [], {})])
    with pytest.raises(LedgerError, match="recorded objectives cannot be read"):
        experiment_table(ledger, "two")


def test_of_several_sources_the_table_says_whose_results_count(empty):
    data = {**DATA, "objectives": {"time": {"goal": "minimize", "unit": "h"}}, "outcome_constraints": {}}
    empty.append("two", 0.0, [CampaignCreated(1, {}), VersionRecorded(1, "d" * 64, "", data, [], {})])
    empty.append("two", 0.0, [RoundOpened(1, 3, 1)])
    proposed = RoundProposed(1, "bayes", [{"x": n} for n in range(1, 4)], 1, {}, {}, 0.1, ["model", "full", "model"])
    empty.append("two", 0.0, [proposed, ExperimentStarted(1, "model", "s1"), ExperimentStarted(2, "full", "s2")])
    assert "of the target" not in [c.header for c in experiment_table(empty, "two").columns]
    several = {**data, "sources": {"model": {"protocol": []}, "full": {"target": True, "protocol": []}}}
    empty.append("two", 1.0, [VersionRecorded(2, "e" * 64, "", several, [], {})])
    table = experiment_table(empty, "two")
    index = [c.header for c in table.columns].index("of the target")
    assert [row[index] for row in table.rows][:2] == [False, True]
