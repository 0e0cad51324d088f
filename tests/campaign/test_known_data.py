"""Known data from a table: read with units, checked with line numbers, handed to the planner, kept with the version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdl.campaign import Files, draft_of, parse_document
from sdl.planners import History, Trial, get_planner
from sdl.preflight.known import known_trials

CAMPAIGN = """\
name: continued
space:
  parameters:
    temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
    firings: {type: integer, bounds: [1, 3]}
    gas: {type: categorical, values: [air, argon]}
start: {table: old.csv, units: {shrinkage: percent}}
objectives: {density: {goal: maximize}}
outcome_constraints: {shrinkage: {at_most: 0.2}}
protocol: []
lab: {}
planner: {type: random}
stop: {experiments: 10}
"""
TABLE = """\
temperature [K],firings,gas,density,density_uncertainty,shrinkage
1373.15,1,air,0.9,0.01,12
1423.15,2,argon,0.95,0.02,14
"""


def draft(folder: Path, table: str, text: str = CAMPAIGN) -> Any:
    (folder / "old.csv").write_text(table)
    return draft_of(parse_document(text, "c.yaml"), Files(folder))


def start_problems(made: Any) -> list[str]:
    return [str(p) for p in made.problems if str(p.where).startswith("start")]


def test_rows_arrive_in_declared_units(tmp_path: Path) -> None:
    made = draft(tmp_path, TABLE)
    assert start_problems(made) == []
    first, second = known_trials(made)
    assert dict(first.candidate) == pytest.approx({"temperature": 1100.0, "firings": 1, "gas": "air"})
    assert first.outcomes["density"].value == 0.9
    assert first.outcomes["density"].uncertainty == 0.01
    assert second.outcomes["shrinkage"].value == pytest.approx(0.14)
    assert [(t.number, t.source, t.state) for t in (first, second)] == [(0, "file", "done"), (-1, "file", "done")]
    assert list(made.files.used) == ["old.csv"], "its hash is part of the campaign's version"


def test_failed_rows_have_no_outcomes(tmp_path: Path) -> None:
    table = "temperature,firings,gas,density,state\n1100,1,air,0.9,done\n1200,3,air,0,failed\n"
    trials = known_trials(draft(tmp_path, table, CAMPAIGN.replace(", units: {shrinkage: percent}", "")))
    assert [(t.state, len(t.outcomes)) for t in trials] == [("done", 1), ("failed", 0)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1423.15", "1600", "old.csv, line 3, column 'temperature [K]': 1326.85 degC is outside [1000, 1250] degC"),
        ("2,argon", "2.5,argon", "old.csv, line 3, column 'firings': 2.5 is not a whole number"),
        ("argon", "neon", "old.csv, line 3, column 'gas': 'neon' is none of 'air', 'argon'"),
        ("0.95", "high", "old.csv, line 3, column 'density': 'high' is not a number"),
        ("0.95", "nan", "old.csv, line 3, column 'density': nan is not finite"),
        ("0.02", "-0.02", "old.csv, line 3, column 'density_uncertainty': -0.02 is below 0"),
        ("[K]", "[g]", "old.csv, column 'temperature [g]': "),
        ("[K]", "[apples]", "unknown unit 'apples'"),
        ("gas", "gass", "has no column 'gas' (did you mean 'gass'?)"),
        ("density,", "dnsity,", "the column 'dnsity' is neither a parameter nor an outcome (did you mean 'density'?)"),
        ("shrinkage\n", "shrinkage [percent],extra\n", "6 cells where the header names 7 columns"),
        (TABLE, "temperature,firings,gas\n1100,1,air\n", "has no outcome; one of 'density', 'shrinkage' is needed"),
        (TABLE, "temperature,firings,gas,density,state\n1100,1,air,1,bad\n", "line 2, column 'state': 'bad' is neither 'done'"),
        (TABLE, "firings,firings [g],gas,density\n1,1,air,1\n", "the columns 'firings' and 'firings [g]' say the same"),
    ],
)  # fmt: skip
def test_mistakes_in_the_table_are_named_with_their_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TABLE
    found = start_problems(draft(tmp_path, TABLE.replace(old, new)))
    assert any(said in p for p in found), "\n".join(found)
    assert all(p.startswith("c.yaml:7:") for p in found)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("{tabel: old.csv}", "start.tabel: unknown key 'tabel' (did you mean 'table'?)"),
        ("{table: no.csv}", "there is no such file"),
        ("{table: 5}", "needs 'table'"),
        ("old.csv", "needs 'table'"),
        (
            "{table: old.csv, units: {densty: g}}",
            "start.units.densty: unknown column 'densty' (did you mean 'density'?)",
        ),
        ("{table: old.csv, units: {density: 5}}", "must be a unit, got 5"),
        ("{table: old.csv, units: 5}", "must be a mapping"),
    ],
)
def test_mistakes_in_the_campaign(tmp_path: Path, start: str, said: str) -> None:
    text = CAMPAIGN.replace("{table: old.csv, units: {shrinkage: percent}}", start)
    found = start_problems(draft(tmp_path, TABLE, text))
    assert any(said in p for p in found), "\n".join(found)


def test_planners_are_told_and_the_budget_is_not_touched(tmp_path: Path) -> None:
    from sdl.planners import Problem

    made = draft(tmp_path, TABLE)
    objectives = {n: o for n, o in made.objectives.items() if o is not None}
    planner = get_planner("random")
    problem = Problem(made.space, objectives, {}, planner.settings_model(), 1, budget=10, known=known_trials(made))
    own = Trial(1, known_trials(made)[0].candidate, "default", "pending")
    told = problem.told(History((own,)))
    assert [t.number for t in told.trials] == [0, -1, 1]
    assert problem.budget == 10
    assert len(planner.propose(problem, told, 2, 1).candidates) == 2
