"""What Prefect shows of a campaign whose process was killed: nothing that still runs, and no form whose answer is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from sdl.ledger import Ledger, QuestionAnswered

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore"),
]

CAMPAIGN = """
name: asked
space: {parameters: {x: {type: discrete, values: [0.1, 0.5, 0.9], unit: mL}}}
objectives: {pushed: {goal: maximize, unit: mL}}
protocol: [{instrument: pump, action: push, with: {x: $x}, gives: {pushed: pushed}, approve: always}]
lab:
  clock: {type: virtual}
  instruments:
    pump:
      driver: python
      settings:
        target: Pump
        file: pump.py
        nature: simulated
        actions:
          push:
            effect: irreversible
            parameters: {x: {unit: mL, limits: [0, 1]}}
            results: {pushed: {unit: mL}}
            duration: 10 s
planner: {type: sobol}
stop: {experiments: 2}
"""

PUMP = """
class Pump:
    def push(self, x):
        return x
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The API address of a Prefect server of this module's own."""
    from sdl_flows import server

    home = tmp_path_factory.mktemp("prefect")
    own, _ = server.start(home)
    yield own.api_url
    server.stop(home)


@pytest.fixture
def file(write):
    write("pump.py", PUMP)
    return write("asked.yaml", CAMPAIGN)


@pytest.fixture
def sdl(tmp_path, url):
    """Return a function that starts the command; what is left at the end is killed."""
    started = []

    def start(*arguments):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "sdl.cli", *map(str, arguments), "--home", str(tmp_path / "home")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**environment, "PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path / "prefect")},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _until(condition, seconds=90.0):
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.2)
    return found


def _post(url, path, **body):
    from urllib.request import Request, urlopen

    asked = Request(f"{url}/{path}", json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(asked, timeout=30) as reply:
        return json.loads(reply.read() or "null")


def _shown(url, tag="asked"):
    """Return all flow runs of the campaign, the oldest first."""
    return _post(url, "flow_runs/filter", flow_runs={"tags": {"all_": [tag]}}, sort="EXPECTED_START_TIME_ASC")


def _form(url, name, process):
    """Wait until a process shows the form of a question; returns the form's flow run."""

    def look():
        assert process.poll() is None, process.communicate()[0]
        found = [r for r in _shown(url) if f"· {name} ·" in r["name"] and r["state"]["type"] == "PAUSED"]
        if not found or not (found[-1]["state"]["state_details"].get("run_input_keyset")):
            return None
        schema = found[-1]["state"]["state_details"]["run_input_keyset"]["schema"]
        return found[-1] if _post(url, f"flow_runs/{found[-1]['id']}/input/filter", prefix=schema, limit=1) else None

    return _until(look)


def _send(url, form, **values):
    said = _post(url, f"flow_runs/{form['id']}/resume", run_input={"by": "ann", "reason": "", **values})
    assert said["status"] == "ACCEPT", said


def _types(url):
    return [(r["name"].split(" · ")[1], r["state"]["type"]) for r in _shown(url)]


def test_killed_answered_meanwhile_in_prefect_and_gone_on_with(url, file, sdl, tmp_path):
    first = sdl("run", file)
    form = _form(url, "Q1", first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert dict(_types(url)) == {"sobol": "RUNNING", "Q1": "PAUSED"}  # all that Prefect can know
    _send(url, form, answer="approve", reason="looked at it")

    second = sdl("run", file)
    _send(url, _form(url, "Q2", second), answer="approve")
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert "Q1 was answered in Prefect while no process ran the campaign: approve, by ann (Prefect)" in said
    ledger = Ledger(tmp_path / "home")
    answers = [r.event for r in ledger.rows("asked") if isinstance(r.event, QuestionAnswered)]
    ledger.close()
    assert [(a.question, a.answer, a.by, a.reason) for a in answers] == [
        ("Q1", "approve", "ann (Prefect)", "looked at it"),
        ("Q2", "approve", "ann (Prefect)", ""),
    ]
    runs = _shown(url)
    campaigns = [r for r in runs if r["name"] == "asked · sobol"]
    assert [r["state"]["type"] for r in campaigns] == ["CRASHED", "COMPLETED"]
    assert campaigns[0]["state"]["message"] == (
        f"its process is gone; the campaign goes on in flow run {campaigns[1]['id']}"
    )
    old = next(r for r in runs if r["id"] == form["id"])
    assert (old["state"]["type"], old["state"]["name"]) == ("COMPLETED", "Sent")
    assert {r["state"]["type"] for r in runs} == {"CRASHED", "COMPLETED"}


def test_a_done_campaign_whose_process_died_before_it_could_say_so(url, file, sdl, tmp_path):
    process = sdl("run", file, "--name", "last-words", "--set", "protocol=" + json.dumps([_step()]))
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    (run,) = _shown(url, "last-words")
    _post(url, f"flow_runs/{run['id']}/set_state", state={"type": "RUNNING"}, force=True)  # as its death leaves it
    again = sdl("run", file, "--name", "last-words", "--set", "protocol=" + json.dumps([_step()]))
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert "is done; nothing to do" in said
    (run,) = _shown(url, "last-words")
    assert run["state"]["type"] == "COMPLETED"
    assert "the campaign is done" in run["state"]["message"]


def _step():
    return {"instrument": "pump", "action": "push", "with": {"x": "$x"}, "gives": {"pushed": "pushed"}}


def test_a_configured_server_that_is_away_is_named_before_anything_moves(file, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    said = subprocess.run(
        [sys.executable, "-m", "sdl.cli", "run", str(file), "--home", str(tmp_path / "away")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**environment, "PREFECT_API_URL": "http://127.0.0.1:9/api"},
    )
    assert said.returncode == 1
    assert "http://127.0.0.1:9/api does not answer" in said.stderr
    assert "Traceback" not in said.stderr
