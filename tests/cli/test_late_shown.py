"""Late commands where people look: `sdl status` and the report."""

from __future__ import annotations

import json

import pytest
from enginekit import CAMPAIGN, Gauge, Press, run
from slowkit import SlowPress

from sdl.cli.outcome import Output
from sdl.cli.status import show_status
from sdl.ledger import CommandLate, Ledger
from sdl.report import render_report


@pytest.fixture
def campaign(write, drivers):
    drivers(press=SlowPress, gauge=Gauge)
    Press.behaviour.__init__()
    SlowPress.takes.clear()
    return write("pellets.yaml", CAMPAIGN)


def _status(home, capsys, *, as_json=False):
    show_status("pellets", home, Output(as_json=as_json))
    return capsys.readouterr().out


def test_one_that_is_over(campaign, tmp_path, capsys):
    SlowPress.takes.update({1: 3 * 3600.0, 2: 4 * 3600.0})
    run(campaign, tmp_path, "stop.experiments=3", "concurrency=1")
    text = _status(tmp_path, capsys)
    assert "late, and over: 2 commands; the last: experiment 2, press.press: began 2000-01-01 03:01:00 UTC" in text
    assert "should take 60 min, late after 2 h: succeeded after 4 h" in text and "LATE:" not in text
    found = json.loads(_status(tmp_path, capsys, as_json=True))["late"]
    assert [(x["experiment"], x["is_open"], x["limit"]) for x in found] == [
        (1, False, {"value": 7200.0, "unit": "s"}),
        (2, False, {"value": 7200.0, "unit": "s"}),
    ]
    ledger = Ledger(tmp_path)
    page = render_report(ledger, "pellets")
    ledger.close()
    assert "Late commands" in page and "experiment 2, press.press: </b>began" in page


def test_one_that_still_runs_where_its_process_died(campaign, tmp_path, capsys):
    SlowPress.takes[1] = 3 * 3600.0
    _, _, rows = run(campaign, tmp_path / "full", "stop.experiments=1")
    end = next(i for i, r in enumerate(rows, 1) if isinstance(r.event, CommandLate))
    ledger = Ledger(tmp_path / "cut")
    for row in rows[:end]:
        ledger.append("pellets", 0.0, [row.event])
    ledger.close()
    text = _status(tmp_path / "cut", capsys)
    assert "LATE: experiment 1, press.press: began 2000-01-01 00:00:00 UTC" in text and "not known to be over" in text


def test_none(campaign, tmp_path, capsys):
    run(campaign, tmp_path, "stop.experiments=1")
    assert "late" not in _status(tmp_path, capsys).lower()
    ledger = Ledger(tmp_path)
    assert "Late commands" not in render_report(ledger, "pellets")
    ledger.close()
