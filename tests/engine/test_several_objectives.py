"""A campaign with two objectives, from its file to what a user sees of it."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path

import pytest
from enginekit import run
from rich.console import Console
from sdl_flows.results import front_numbers, result_lines
from typer.testing import CliRunner

from sdl.cli.live import LiveView
from sdl.cli.main import app
from sdl.engine import View
from sdl.ledger import Ledger, RoundProposed
from sdl.loop import pareto
from sdl.preflight import check
from sdl.report import report_data

NAME = "electrolyte-low-firing"
QUICK = ("planner={type: sobol}", "stop.experiments=8")

POINTS = """\
a,y,z
0,1,1
1,9,5
2,5,1
3,6,2
4,7,4
"""
POOL = """\
name: both
space:
  parameters: {a: {type: discrete, values: [0, 1, 2, 3, 4]}}
  candidates: {table: points.csv}
objectives: {y: {goal: maximize}, z: {goal: minimize}}
protocol: [{instrument: table, action: measure, with: {a: $a}, gives: {y: y, z: z}}]
lab:
  clock: {type: virtual}
  instruments:
    table: {driver: replay, settings: {table: points.csv, outcomes: [y, z]}}
planner: {type: random}
stop: {experiments: 5, target: {y: {at_least: LEAST}, z: {at_most: 2}}}
"""


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The shipped example, with a design for a planner: (home, state, plan)."""
    home = tmp_path_factory.mktemp("low") / "home"
    path = Path(__file__).parents[2] / "campaigns" / "electrolyte_low_firing.yaml"
    end, state, _ = run(path, home, *QUICK)
    assert end[0] == "done"
    return home, state, check(path, overrides=QUICK).plan


@pytest.fixture(scope="module")
def front(finished):
    """Numbers of the Pareto set by its definition, the best conductivity first."""
    _, state, _ = finished
    feasible = {
        e.number: (e.outcomes["conductivity"].value, -e.outcomes["peak_temperature"].value)
        for e in state.in_state("done")
        if e.outcomes["relative_density"].value >= 0.85
    }
    found = [
        n
        for n, (a, b) in feasible.items()
        if not any(c >= a and d >= b and (c, d) != (a, b) for c, d in feasible.values())
    ]
    assert 1 < len(found) < len(feasible) < 8
    return sorted(found, key=lambda n: -feasible[n][0])


@pytest.mark.parametrize(("least", "reached"), [(6, True), (7, False)])
def test_one_experiment_must_reach_all_targets(write, tmp_path, least, reached):
    write("points.csv", POINTS)
    file = write("both.yaml", POOL.replace("LEAST", str(least)))
    (how, why), state, _ = run(file, tmp_path / "home")
    assert how == "done"
    hit = [e.number for e in state.in_state("done") if e.candidate["a"] == 3]
    if reached:
        assert why == f"experiment {hit[0]} reached all targets: y ≥ {least}, z ≤ 2"
        assert state.started == hit[0]
    else:  # each target was reached by some, both by none
        assert why == "5 experiments were started"
        done = [e.outcomes for e in state.in_state("done")]
        assert any(o["y"].value >= 7 for o in done)
        assert any(o["z"].value <= 2 for o in done)


def test_the_plan_says_what_is_sought(campaigns, write):
    said = invoke("plan", campaigns / "electrolyte_low_firing.yaml")
    assert "maximize conductivity [mS/cm]; worse than 0.05 mS/cm counts as no gain" in said
    assert "what is sought is the Pareto set" in said
    write("points.csv", POINTS)
    assert "or once one has y ≥ 6 and z ≤ 2\n" in invoke("plan", write("both.yaml", POOL.replace("LEAST", "6")))


def test_status_lists_the_pareto_set(finished, front):
    home, state, plan = finished
    assert [e.number for e in pareto(plan.objectives, plan.outcome_constraints, state)] == front
    said = invoke("status", NAME, "--home", home)
    assert f"  Pareto set: {len(front)} experiments\n" in said
    lines = [line for line in said.splitlines() if line.startswith("    experiment ")]
    assert [int(line.split()[1].rstrip(":")) for line in lines] == front
    assert "best:" not in said
    data = json.loads(invoke("status", NAME, "--home", home, "--json"))
    assert data["best"] is None
    assert [e["experiment"] for e in data["pareto_set"]] == front
    first = state.experiments[front[0]]
    assert data["pareto_set"][0]["parameters"] == dict(first.candidate)
    assert data["pareto_set"][0]["outcomes"]["conductivity"]["value"] == first.outcomes["conductivity"].value


def test_export_and_report_agree(finished, front, tmp_path):
    home, _, _ = finished
    invoke("export", NAME, "--home", home, "-o", tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert sorted(front) == [int(r["number"]) for r in rows if r["in Pareto set"] == "true"]
    invoke("export", NAME, "--home", home, "-o", tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["pareto_set"] == sorted(front)
    ledger = Ledger(home)
    data = report_data(ledger, NAME)
    ledger.close()
    assert data.front is not None
    assert list(data.front.numbers) == front
    assert data.front.reference == {"conductivity": 0.05, "peak_temperature": 1250.0}


def test_the_live_view_and_prefect_show_it(finished, front, monkeypatch):
    _, state, plan = finished
    view = View(NAME, plan, state)
    units = {"temperature": "degC", "hold": "h", "li_excess": "dimensionless"}
    outcome_units = {"conductivity": "mS/cm", "peak_temperature": "degC", "relative_density": "dimensionless"}
    live = LiveView(units, outcome_units)
    live._console = Console(width=200, record=True)
    asyncio.run(live.started(view))
    asyncio.run(live.ended(view))
    said = live._console.export_text()
    assert f"Pareto set so far: {len(front)} experiments" in said
    rows = [line for line in said.splitlines() if "conductivity" in line]
    assert [int(line.split()[0]) for line in rows[-len(front) :]] == front
    lines = result_lines(view, units, outcome_units)
    assert lines[0] == f"Pareto set so far: {len(front)} experiments"
    assert [int(line.split("**")[1]) for line in lines if line.startswith("| **")] == front
    assert front_numbers(view) == frozenset(front)


def test_planner_bayes_is_told_the_reference(campaigns, tmp_path):
    pytest.importorskip("torch")
    settings = "planner={type: bayes, initial: {type: sobol, count: 5}}"
    _, _, rows = run(campaigns / "electrolyte_low_firing.yaml", tmp_path / "home", settings, "stop.experiments=6")
    [last] = [r.event for r in rows if isinstance(r.event, RoundProposed) and r.event.first == 6]
    assert last.diagnostics["candidates"][0]["reference"] == pytest.approx(
        {"conductivity": 0.05, "peak_temperature": 1250}
    )
