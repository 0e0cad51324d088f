"""The command by its real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SDL = [sys.executable, "-m", "sdl.cli"]
QUICK = ["--engine", "local", "--set", "planner={type: random}", "--set", "stop.experiments=4"]


def sdl(*arguments, cwd=None, **environment):
    return subprocess.run(
        [*SDL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


def last_json(result):
    return json.loads(result.stdout.strip().splitlines()[-1])


def test_help_imports_nothing_heavy():
    code = (
        "import sys, time; sys.argv=['sdl','--help']\n"
        "from sdl.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy=[m for m in ('torch','botorch','prefect','pandas','sqlalchemy','scipy','pint','numpy') if m in sys.modules]\n"
        "print('HEAVY', heavy)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in result.stdout
    assert "Usage: sdl" in result.stdout


def test_run_status_export_report_verify(campaigns, tmp_path):
    home = tmp_path / "home"
    file = campaigns / "opv_photostability.yaml"
    result = sdl("run", file, "--home", home, "--json", *QUICK)
    assert result.returncode == 0, result.stderr
    data = last_json(result)
    assert data["name"] == "opv-photostability"
    assert data["state"] == "done"
    assert data["experiments"]["done"] == 4
    assert data["experiments"]["failed"] == 0
    assert set(data["best"]["parameters"]) == {"wf3", "p3ht", "pcbm", "oidtbr"}
    assert Path(data["report"]).is_file()
    assert len(result.stdout.strip().splitlines()) == 1

    again = sdl("run", file, "--home", home, *QUICK)
    assert again.returncode == 0
    assert "is done; nothing to do" in again.stdout

    status = sdl("status", "opv-photostability", "--home", home, "--json")
    assert last_json(status)["state"] == "done"
    for format_ in ("csv", "parquet", "json"):
        out = tmp_path / f"x.{format_}"
        assert sdl("export", "opv-photostability", "--home", home, "--format", format_, "-o", out).returncode == 0
        assert out.stat().st_size > 100
    assert sdl("report", "opv-photostability", "--home", home, "-o", tmp_path / "r.html").returncode == 0
    verified = sdl(
        "verify", "opv-photostability", "--home", home, "--recompute", "--json", "--against", tmp_path / "r.html"
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert last_json(verified)["ok"] is True

    archive = tmp_path / "b.tar.gz"
    assert sdl("backup", archive, "--home", home).returncode == 0
    assert sdl("restore", archive, "--home", tmp_path / "other").returncode == 0
    assert sdl("verify", "opv-photostability", "--home", tmp_path / "other").returncode == 0


def test_an_edited_ledger_does_not_verify(campaigns, tmp_path):
    import sqlite3

    home = tmp_path / "home"
    assert sdl("run", campaigns / "opv_photostability.yaml", "--home", home, *QUICK).returncode == 0
    with sqlite3.connect(home / "ledger.db") as connection:
        connection.execute("UPDATE observations SET value = value * 0.5")
    result = sdl("verify", "opv-photostability", "--home", home)
    assert result.returncode == 1
    assert "observations" in result.stdout


def test_another_spec_under_the_same_name_is_refused(campaigns, tmp_path):
    home = tmp_path / "home"
    file = campaigns / "opv_photostability.yaml"
    assert sdl("run", file, "--home", home, *QUICK).returncode == 0
    result = sdl("run", file, "--home", home, "--json", *QUICK, "--set", "stop.experiments=9")
    assert result.returncode == 2
    assert "stop.experiments: recorded 4, now 9" in last_json(result)["error"]
    assert "Traceback" not in result.stderr
    named = sdl("run", file, "--home", home, "--name", "other", *QUICK, "--set", "stop.experiments=2")
    assert named.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["run", "no-such.yaml"], "cannot be read", id="no-file"),
        pytest.param(["run"], "argument", id="no-argument"),
        pytest.param(["run", "{opv}", "--set", "nonsense"], "path=value", id="bad-set"),
        pytest.param(["run", "{opv}", "--set", "planner.type=bays"], "did you mean 'bayes'", id="planner"),
        pytest.param(["run", "{opv}", "--seed", "-4"], "seed", id="seed"),
        pytest.param(["run", "{opv}", "--name", "a/b"], "name", id="name"),
        pytest.param(["run", "{opv}", "--engine", "slurm"], "slurm", id="engine"),
        pytest.param(["status", "nobody"], "", id="status-of-nobody"),
    ],
)
def test_bad_input_ends_with_2_and_one_json_object(campaigns, tmp_path, arguments, said):
    filled = [a.replace("{opv}", str(campaigns / "opv_photostability.yaml")) for a in arguments]
    result = sdl(*filled, "--json", "--home", tmp_path / "home", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    json.loads(result.stdout.strip().splitlines()[-1])
    assert said in result.stderr + result.stdout
    assert not (tmp_path / "home" / "ledger.db").exists()


def test_plan_moves_nothing(campaigns, tmp_path):
    result = sdl("plan", campaigns / "electrolyte_sintering.yaml", "--json", SDL_HOME=str(tmp_path / "home"))
    assert result.returncode == 0, result.stderr
    data = last_json(result)
    assert [s["instrument"] for s in data["steps"]] == ["dispenser", "furnace", "impedance", "pycnometer"]
    assert data["lab_time"]["value"] > 40 * 3600
    assert not (tmp_path / "home").exists()


def test_drivers_are_listed_and_described(campaigns):
    listed = sdl("drivers")
    assert listed.returncode == 0
    assert "replay" in listed.stdout
    described = sdl("drivers", "describe", "simulated_box_furnace", "--json")
    actions = last_json(described)["actions"]
    assert actions["sinter"]["effect"] == "irreversible"
    assert actions["sinter"]["arguments"]["properties"]["temperature"]["x-unit"] == "degC"
    table = campaigns / "data" / "opv_wf3.csv"
    replay = sdl("drivers", "describe", "replay", "--setting", f"table={table}", "--setting", "outcomes=[degradation]")
    assert "takes wf3" in replay.stdout
    assert sdl("drivers", "describe", "replai").returncode == 2


def test_schema_is_json():
    assert json.loads(sdl("schema").stdout)["title"].startswith("sdl campaign file")
    assert json.loads(sdl("schema", "--lab").stdout)["title"].startswith("sdl lab file")


SLOW_LAB = """
name: slow-pellets
space: {parameters: {a: {type: continuous, bounds: [0, 1]}}}
objectives: {y: {goal: minimize}}
protocol: [{instrument: table, action: measure, with: {a: $a}, gives: {y: y}}]
lab:
  clock: {type: scaled, factor: 3600}
  instruments:
    table:
      driver: replay
      settings: {table: points.csv, outcomes: [y], match: nearest, tolerance: 1, duration: 2 h}
planner: {type: random}
stop: {experiments: 6}
"""


@pytest.fixture
def slow(write):
    write("points.csv", "a,y\n0,1\n0.5,0\n1,1\n")
    return write("slow.yaml", SLOW_LAB)


def _started(home: Path, count: int, process: subprocess.Popen) -> None:
    """Wait until so many experiments stand in the ledger."""
    import sqlite3

    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        assert process.poll() is None, process.communicate()
        try:
            with sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True) as connection:
                (found,) = connection.execute("SELECT count(*) FROM commands WHERE state = 'open'").fetchone()
                (begun,) = connection.execute("SELECT count(*) FROM experiments WHERE started IS NOT NULL").fetchone()
            if begun >= count and found:
                return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.05)
    raise AssertionError("no experiment was started")


def test_ctrl_c_stops_and_the_next_run_goes_on(slow, tmp_path):
    home = tmp_path / "home"
    process = subprocess.Popen(
        [*SDL, "run", str(slow), "--home", str(home), "--engine", "local", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started(home, 1, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert json.loads(out.strip().splitlines()[-1])["state"] == "stopped"
    assert "go on with: sdl run" in err
    result = sdl("run", slow, "--home", home, "--engine", "local", "--json")
    assert result.returncode == 0, result.stderr
    assert last_json(result)["experiments"]["done"] == 6


def test_second_ctrl_c_aborts_and_makes_safe_third_leaves_at_once(slow, tmp_path):
    slow.write_text(slow.read_text().replace("factor: 3600", "factor: 60"))  # an experiment takes two minutes
    home = tmp_path / "home"
    command = [*SDL, "run", str(slow), "--home", str(home), "--engine", "local", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _started(home, 1, process)
    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if "stopping: no new step" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert "safe state confirmed" in err
    assert json.loads(out.strip().splitlines()[-1])["experiments"]["aborted"] == 1

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _started(home, 2, process)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 4
    assert set(json.loads(out.strip().splitlines()[-1])) >= {"name", "state", "experiments", "best", "report"}


def test_killed_in_the_middle_shows_as_interrupted_and_goes_on(slow, tmp_path):
    home = tmp_path / "home"
    process = subprocess.Popen(
        [*SDL, "run", str(slow), "--home", str(home), "--engine", "local"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _started(home, 2, process)
    alive = sdl("run", slow, "--home", home, "--engine", "local", "--json")
    assert alive.returncode == 2
    assert f"process {process.pid}" in last_json(alive)["error"]
    assert last_json(sdl("status", "slow-pellets", "--home", home, "--json"))["state"] == "running"
    process.kill()
    process.wait()
    assert last_json(sdl("status", "slow-pellets", "--home", home, "--json"))["state"] == "interrupted"
    result = sdl("run", slow, "--home", home, "--engine", "local", "--json")
    assert result.returncode == 0, result.stderr
    assert last_json(result)["experiments"] == {"started": 6, "done": 6, "failed": 0, "aborted": 0, "running": 0}
    assert sdl("verify", "slow-pellets", "--home", home).returncode == 0
