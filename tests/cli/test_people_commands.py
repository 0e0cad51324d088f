"""`sdl propose`, `tell`, `amend` and `reject --constraint` by their real processes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CAMPAIGN = """
    name: by-hand
    space:
      parameters:
        temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
        gas: {type: categorical, values: [air, argon]}
    objectives: {conductivity: {goal: maximize, unit: mS/cm}}
    planner: {type: sobol}
    stop: {experiments: 4}
"""


def sdl(*arguments, code=0):
    result = subprocess.run(
        [sys.executable, "-m", "sdl.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=os.environ,
        check=False,
    )
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


def last_json(result):
    return json.loads(result.stdout.strip().splitlines()[-1])


def test_a_campaign_by_hand_from_its_file_to_its_report(write, tmp_path):
    file, home, sheet = write("c.yaml", CAMPAIGN), tmp_path / "home", tmp_path / "sheet.csv"
    asked = last_json(sdl("propose", file, "-n", 2, "--csv", sheet, "--home", home, "--json"))
    assert asked["proposed"] == [1, 2]
    assert asked["open"][0]["sample"] == "by-hand-0001"
    assert "people carry its experiments out" in sdl("run", file, "--home", home, code=2).stderr

    with sheet.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    rows[0]["conductivity [mS/cm]"] = "0,5"
    _fill(sheet, rows)
    assert "a decimal comma? write 0.5" in sdl("tell", "by-hand", sheet, "--home", home, code=2).stderr
    rows[0]["conductivity [mS/cm]"], rows[1]["state"] = "0.5", "failed"
    _fill(sheet, rows)
    told = last_json(sdl("tell", "by-hand", sheet, "--as", "Mia", "--home", home, "--json"))
    assert told["told"] == [1, 2]

    said = sdl("reject", "by-hand", 1, "--reason", "dark", "--constraint", "temperature <= 1200", "--home", home)
    assert "from now on nothing is proposed that breaks temperature <= 1200" in said.stdout
    amended = write("v2.yaml", CAMPAIGN.replace("experiments: 4", "experiments: 9"))
    shown = last_json(sdl("amend", "by-hand", amended, "--dry-run", "--home", home, "--json"))
    assert shown["changes"] == [{"where": "stop.experiments", "was": "4", "becomes": "9"}]
    assert shown["amended"] is False
    assert last_json(sdl("amend", "by-hand", amended, "--yes", "--home", home, "--json"))["amended"] is True

    asked = last_json(sdl("propose", amended, "-n", 7, "--home", home, "--json"))
    assert len(asked["proposed"]) == 7
    assert all(e["parameters"]["temperature"] <= 1200 for e in asked["open"])
    status = last_json(sdl("status", "by-hand", "--home", home, "--json"))
    assert status["constraints"] == ["temperature <= 1200"]
    assert status["changes"][1].startswith("version 2 since")
    assert last_json(sdl("verify", "by-hand", "--recompute", "--home", home, "--json"))["ok"] is True
    sdl("report", "by-hand", "-o", tmp_path / "r.html", "--home", home)
    page = (tmp_path / "r.html").read_text()
    assert "temperature &lt;= 1200" in page
    assert "sheet.csv" in page
    assert "by Mia" in page
    sdl("backup", tmp_path / "b.tar.gz", "--home", home)
    sdl("restore", tmp_path / "b.tar.gz", "--home", tmp_path / "other")
    assert "1 artefact" in sdl("verify", "by-hand", "--home", tmp_path / "other").stdout


def _fill(sheet, rows):
    with sheet.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)
