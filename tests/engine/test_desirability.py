"""A campaign whose objectives are joined by desirabilities, from its file to what a user sees of it."""

from __future__ import annotations

import asyncio
import csv
import json

import pytest
from enginekit import run
from rich.console import Console
from sdl_flows.results import front_numbers, result_lines
from typer.testing import CliRunner

from sdl.cli.live import LiveView
from sdl.cli.main import app
from sdl.engine import View
from sdl.ledger import Ledger
from sdl.preflight import check
from sdl.report import convergence_png, render_report, report_data

POINTS = """\
a,y,z
0,1,1
1,9,5
2,5,1
3,6,2
4,7,4
"""
#  d(y) = (y − 1)/8, d(z) = (5 − z)/4 and both joined: a = 0: 0; 1: 0; 2: √0.5; 3: √(0.625 · 0.75); 4: √(0.75 · 0.25)
TEXT = """\
name: both
space:
  parameters: {a: {type: discrete, values: [0, 1, 2, 3, 4]}}
  candidates: {table: points.csv}
objectives:
  y: {goal: maximize, unit: MPa, desirability: {from: 1 MPa, to: 9 MPa}}
  z: {goal: minimize, desirability: {from: 5, to: 1}}
protocol: [{instrument: table, action: measure, with: {a: $a}, gives: {y: y, z: z}}]
lab:
  clock: {type: virtual}
  instruments:
    table: {driver: replay, settings: {table: points.csv, outcomes: [y, z], units: {y: MPa}}}
planner: {type: random}
stop: {experiments: 5TARGET}
"""
JOINT = {0: 0.0, 1: 0.0, 2: 0.5**0.5, 3: (0.625 * 0.75) ** 0.5, 4: (0.75 * 0.25) ** 0.5}


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def file(write):
    write("points.csv", POINTS)
    return write("both.yaml", TEXT.replace("TARGET", ""))


@pytest.fixture
def finished(file, tmp_path):
    """Everything was measured: (home, state, plan)."""
    end, state, _ = run(file, tmp_path / "home")
    assert end == ("done", "5 experiments were started")
    return tmp_path / "home", state, check(file).plan


def test_the_plan_says_what_is_sought(file):
    said = invoke("plan", file)
    assert "maximize y [MPa]\n    desirability 0 at 1 MPa, 1 at 9 MPa\n" in said
    assert "all of them as one: what is sought is the largest weighted geometric mean" in said
    assert "Pareto" not in said


@pytest.mark.parametrize(("least", "reached"), [(0.7, True), (0.71, False)])
def test_a_target_of_the_joint_desirability(write, tmp_path, least, reached):
    write("points.csv", POINTS)
    file = write("both.yaml", TEXT.replace("TARGET", f", target: {{desirability: {least}}}"))
    (how, why), state, _ = run(file, tmp_path / "home")
    assert how == "done"
    if reached:  # only a = 2 reaches it
        [hit] = [e.number for e in state.in_state("done") if e.candidate["a"] == 2]
        assert why == f"experiment {hit} reached the target: desirability ≥ 0.7"
    else:
        assert why == "5 experiments were started"


def test_status_and_export_tell_the_joint_and_the_parts(finished, tmp_path):
    home, _, _ = finished
    said = invoke("status", "both", "--home", home)
    assert "desirability 0.70711, y 5 MPa, z 1 (desirabilities: y 0.5, z 1) at a 2" in said
    assert "Pareto" not in said
    best = json.loads(invoke("status", "both", "--home", home, "--json"))["best"]
    assert best["parameters"] == {"a": 2}
    assert best["desirability"] == {"joint": pytest.approx(0.5**0.5), "parts": {"y": 0.5, "z": 1.0}}
    invoke("export", "both", "--home", home, "-o", tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert {float(r["a"]): float(r["desirability"]) for r in rows} == pytest.approx(JOINT)
    assert {float(r["a"]): float(r["desirability of z"]) for r in rows} == {0: 1.0, 1: 0.0, 2: 1.0, 3: 0.75, 4: 0.25}
    assert "in Pareto set" not in rows[0]


def test_the_report_shows_them(finished):
    home, state, _ = finished
    ledger = Ledger(home)
    data = report_data(ledger, "both", predict=True)
    page = render_report(ledger, "both")
    ledger.close()
    assert data.front is None
    assert data.best_experiment is not None
    assert data.best_experiment.candidate["a"] == 2
    so_far, top = [], 0.0
    for _, record in sorted(state.experiments.items()):
        top = max(top, JOINT[record.candidate["a"]])
        so_far.append((record.number, pytest.approx(top)))
    assert list(data.best_so_far) == so_far
    assert "Desirability: 0 at 1 MPa, 1 at 9 MPa." in page
    assert "maximised, desirability 0.5" in page
    assert "Pareto" not in page
    assert convergence_png(data)[:4] == b"\x89PNG"


def test_the_live_view_and_prefect_show_it(finished):
    _, state, plan = finished
    view = View("both", plan, state)
    live = LiveView({"a": "dimensionless"}, {"y": "MPa", "z": "dimensionless"})
    live._console = Console(width=200, record=True)
    asyncio.run(live.started(view))
    asyncio.run(live.ended(view))
    assert "best so far: desirability 0.7071, y 5 MPa, z 1" in live._console.export_text()
    lines = result_lines(view, {"a": "dimensionless"}, {"y": "MPa", "z": "dimensionless"})
    assert "| desirability | 0.70711 |" in lines
    assert "| y [MPa] | 5 (desirability 0.5) |" in lines
    assert front_numbers(view) is None
