"""Costs in a running campaign: recorded when an experiment starts, and a limit that is never passed."""

from __future__ import annotations

import csv
import json

import pytest
from enginekit import CAMPAIGN, Gauge, Press, run
from typer.testing import CliRunner

from sdl.cli.main import app
from sdl.ledger import ExperimentStarted, Ledger, RoundProposed
from sdl.loop import CampaignState
from sdl.report import report_data

COSTLY = CAMPAIGN.replace(
    "stop: {experiments: 5}", "cost: {expression: force / 10, unit: h}\nstop: {experiments: 30, cost: 26 h}"
)


@pytest.fixture
def campaign(write, drivers):
    drivers(press=Press, gauge=Gauge)
    Press.behaviour.__init__()
    return write("pellets.yaml", COSTLY)


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_limit_is_never_passed_and_everybody_is_told(campaign, tmp_path):
    Press.behaviour.fails = {2}  # what failed was paid for, too
    home = tmp_path / "home"
    (end, reason), state, rows = run(campaign, home)
    started = [r.event for r in rows if isinstance(r.event, ExperimentStarted)]
    assert len(started) > 2
    for event in started:
        force = state.experiments[event.experiment].candidate["force"]
        assert (event.cost, event.cost_unit) == (pytest.approx(force / 10), "h")
    spent = sum(e.cost for e in started)
    assert spent == pytest.approx(state.spent("h")) == pytest.approx(state.spent("min") / 60)
    assert spent <= 26.0
    last = max(state.experiments)
    assert state.experiments[last].state == "proposed"
    assert spent + state.experiments[last].candidate["force"] / 10 > 26.0
    assert end == "done" and reason.startswith("of 26 h") and f"experiment {last} costs" in reason

    told = json.loads(invoke("status", "pellets", "--home", home, "--json"))
    assert told["cost"] == {
        "spent": pytest.approx(spent),
        "unit": "h",
        "limit": 26.0,
        "by_source": {"default": pytest.approx(spent)},
    }
    assert f"cost: {spent:.6g} h of 26 h spent" in invoke("status", "pellets", "--home", home)
    invoke("export", "pellets", "--home", home, "-o", tmp_path / "x.csv")
    with (tmp_path / "x.csv").open() as file:
        costs = [row["cost [h]"] for row in csv.DictReader(file)]
    assert [float(c) for c in costs if c] == [e.cost for e in sorted(started, key=lambda e: e.experiment)]
    ledger = Ledger(home)
    try:
        data = report_data(ledger, "pellets")
        assert CampaignState(ledger.rows("pellets")).spent("h") == pytest.approx(spent)
    finally:
        ledger.close()
    assert (data.cost_unit, data.cost_limit, data.spent) == ("h", 26.0, pytest.approx(spent))


def test_the_plan_says_what_it_costs(campaign):
    said = invoke("plan", campaign)
    assert "cost of an experiment: force / 10 [h]" in said
    assert "planner 'random' takes no account of costs" in said
    assert "or where the next one would cost more than is left of 26 h" in said
    (told,) = json.loads(invoke("plan", campaign, "--json"))["costs"]
    assert 1.0 <= told["least"] < told["mean"] < told["most"] <= 9.0


def test_rows_of_before_there_were_costs_read_back_as_they_were():
    body = ExperimentStarted(1, "default", "x-0001").body()
    assert body == {"experiment": 1, "source": "default", "sample": "x-0001"}
    assert ExperimentStarted(**body).cost is None
    proposed = RoundProposed(1, "bayes", [{"force": 1.0}], 1, {}, {}, 0.1).body()
    assert "sources" not in proposed
    assert RoundProposed(**proposed).sources == []
