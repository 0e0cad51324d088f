"""Questions and control from another terminal, by real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

SDL = [sys.executable, "-m", "sdl.cli"]
CAMPAIGN = """
name: by-hand
space: {parameters: {mass: {type: continuous, bounds: [1, 5], unit: g}}}
objectives: {weighed: {goal: maximize, unit: mg}}
protocol:
  - {instrument: person, action: weigh, with: {mass: $mass}, gives: {weighed: weighed}}
lab:
  allow_real: true
  instruments:
    person:
      driver: manual
      settings:
        actions:
          weigh:
            instructions: "Weigh {mass} of powder into crucible {sample}."
            effect: irreversible
            parameters: {mass: {unit: g, limits: [0, 10]}}
            results: {weighed: {unit: g, limits: [0, 20]}}
            duration: 10 min
planner: {type: random}
stop: {experiments: 2}
"""


def sdl(*arguments):
    return subprocess.run(
        [*SDL, *map(str, arguments)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False
    )


def last_json(result):
    return json.loads(result.stdout.strip().splitlines()[-1])


def until(condition, seconds=90.0):
    """Poll until something is so."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.05)
    return found


class Running:
    """`sdl run` in the background."""

    def __init__(self, file, home, *options):
        self.home = home
        self.process = subprocess.Popen(
            [*SDL, "run", str(file), "--home", str(home), "--engine", "local", "--json", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def state(self):
        result = sdl("status", "by-hand", "--home", self.home, "--json")
        return last_json(result)["state"] if result.returncode == 0 else None

    def end(self):
        out, err = self.process.communicate(timeout=90)
        return self.process.returncode, json.loads(out.strip().splitlines()[-1]), err


@pytest.fixture
def running(write, tmp_path, request):
    made = Running(write("c.yaml", CAMPAIGN), tmp_path / "home", *getattr(request, "param", ()))
    until(lambda: made.state() == "waiting")
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


def test_a_waiting_campaign_takes_answers_and_is_done(running):
    home = running.home
    listed = sdl("questions", "--home", home)
    assert listed.returncode == 0
    assert "by-hand/Q1  experiment 1" in listed.stdout
    assert "sdl answer by-hand/Q1 done weighed=…" in listed.stdout
    assert "weighed: a number in g, 0 to 20" in listed.stdout
    (question,) = last_json(sdl("questions", "by-hand", "--home", home, "--json"))["questions"]
    assert (question["id"], question["about"], question["times"]) == ("by-hand/Q1", "command", 1)
    assert list(question["answers"]) == ["done", "did-not-happen", "discard", "abort"]

    # typed and unit-checked before anybody waits for it
    for bad, said in (
        ([], "nothing was written"),
        (["weighed=30"], "outside the limits"),
        (["weighed=3 s"], "weighed: "),
        (["wieghed=3"], "did you mean 'weighed'"),
        (["weighed"], "is no NAME=VALUE"),
    ):
        refused = sdl("answer", "by-hand/Q1", "done", *bad, "--home", home)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
    assert "did you mean 'discard'" in sdl("answer", "Q1", "discrad", "--home", home).stderr
    assert "open: 'by-hand/Q1'" in sdl("answer", "Q7", "done", "--home", home).stderr

    given = sdl("answer", "Q1", "done", "weighed=2500 mg", "--as", "Ann", "--reason", "on my balance", "--home", home)
    assert given.returncode == 0, given.stderr
    assert "by-hand: Q1 answered: done" in given.stdout
    late = sdl("answer", "by-hand/Q1", "discard", "--home", home)
    assert late.returncode == 2
    assert "was answered already: done, by Ann (" in late.stderr
    until(lambda: "Q2" in sdl("questions", "--home", home).stdout)
    assert sdl("answer", "Q2", "discard", "--home", home, "--json").returncode == 0
    code, said, _ = running.end()
    assert (code, said["state"]) == (0, "done")
    assert said["best"]["outcomes"]["weighed"]["value"] == pytest.approx(2500)
    assert said["experiments"] == {"started": 2, "done": 1, "failed": 0, "aborted": 1, "running": 0}
    assert "no open questions" in sdl("questions", "--home", home).stdout
    every = sdl("questions", "--all", "--home", home).stdout
    assert "answered: done, by Ann (" in every and "(on my balance)" in every
    assert sdl("verify", "by-hand", "--home", home).returncode == 0


def test_pause_resume_stop_and_go_on_from_the_record(running):
    home = running.home
    paused = sdl("pause", "by-hand", "--reason", "lunch", "--home", home)
    assert (paused.returncode, "paused: nothing new" in paused.stdout) == (0, True)
    assert running.state() == "paused"
    again = sdl("pause", "by-hand", "--home", home)
    assert (again.returncode, "refused: the campaign is paused already" in again.stdout) == (2, True)
    assert "goes on" in sdl("resume", "by-hand", "--home", home).stdout
    until(lambda: running.state() == "waiting")
    stopped = sdl("stop", "by-hand", "--reason", "weekend", "--as", "Ann", "--home", home, "--json")
    assert last_json(stopped)["outcome"] == "done"
    code, said, _ = running.end()
    assert (code, said["state"]) == (4, "stopped")
    assert said["reason"].startswith("stopped by Ann (") and said["reason"].endswith("): weekend")

    # without a process: steering is refused, an answer waits, and `resume` runs from what is recorded
    for kind in ("pause", "stop", "abort"):
        nothing = sdl(kind, "by-hand", "--home", home)
        assert nothing.returncode == 2
        assert f"no process runs campaign 'by-hand': there is nothing to {kind}" in nothing.stderr
    noted = sdl("answer", "Q1", "done", "weighed=2 g", "--home", home, "--json")
    assert noted.returncode == 0
    assert last_json(noted)["outcome"] is None
    assert "taken at the next sdl run" in noted.stderr
    resumed = sdl("resume", "by-hand", "--engine", "local", "--no-wait", "--home", home, "--json")
    assert resumed.returncode == 3, resumed.stderr
    assert last_json(resumed)["experiments"]["done"] == 1
    assert [q["id"] for q in last_json(resumed)["questions"]] == ["Q2"]


def test_abort_makes_safe_and_a_killed_one_is_interrupted(running, write):
    home = running.home
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()
    assert running.state() == "interrupted"
    again = Running(home.parent / "c.yaml", home)
    try:
        until(lambda: again.state() == "waiting")
        aborted = sdl("abort", "by-hand", "--reason", "smoke", "--home", home)
        assert (aborted.returncode, "made safe" in aborted.stdout) == (0, True)
        code, said, err = again.end()
        assert (code, said["state"]) == (4, "stopped")
        assert "person: safe state NOT confirmed" in err
    finally:
        if again.process.poll() is None:
            again.process.kill()
            again.process.communicate()


@pytest.mark.parametrize("running", [("--set", "stop.experiments=3")], indirect=True)
def test_a_person_proposes_rejects_and_retracts(running):
    home = running.home
    added = sdl("add", "by-hand", "mass=3000 mg", "--reason", "a hunch", "--home", home)
    assert added.returncode == 0, added.stderr
    assert "experiment 3 is proposed" in added.stdout
    too_much = sdl("add", "by-hand", "mass=2 g", "--home", home)
    assert too_much.returncode == 2
    assert "the budget of 3 experiments" in too_much.stdout
    assert "is no parameter" in sdl("add", "by-hand", "mess=2 g", "--home", home).stdout
    assert "will not be started" in sdl("reject", "by-hand", "3", "--reason", "no", "--home", home).stdout
    assert (
        "no observation that counts" in sdl("retract", "by-hand", "1.weighed.1", "--reason", "x", "--home", home).stdout
    )
    assert "still at work" in sdl("clear", "by-hand", "by-hand-0001", "--reason", "x", "--home", home).stdout
    assert sdl("reject", "by-hand", "2", "--home", home).returncode == 2  # a reason is needed
    assert sdl("stop", "by-hand", "--home", home).returncode == 0
    assert running.end()[0] == 4
    assert sdl("answer", "Q1", "done", "weighed=2 g", "--home", home).returncode == 0
    assert sdl("resume", "by-hand", "--engine", "local", "--no-wait", "--home", home).returncode == 3
    late = sdl("retract", "by-hand", "1.weighed.1", "--reason", "the balance drifted", "--home", home)
    assert "taken at the next sdl run" in late.stdout
    done = sdl("resume", "by-hand", "--engine", "local", "--no-wait", "--home", home, "--json")
    assert last_json(done)["best"] is None
    assert sdl("verify", "by-hand", "--home", home).returncode == 0


@pytest.mark.parametrize(
    "command", ["questions", "answer", "pause", "resume", "stop", "abort", "add", "reject", "retract", "clear"]
)
def test_help_is_short_and_quick(command):
    result = sdl(command, "--help")
    assert result.returncode == 0
    assert f"Usage: sdl {command}" in result.stdout.replace("-m sdl.cli", "sdl").replace("python sdl", "sdl")
    assert "--home" in result.stdout
    code = (
        f"import sys; sys.argv=['sdl','{command}','--help']\n"
        "from sdl.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch','prefect','sqlalchemy','scipy','pint','numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["questions"], "there is no ledger", id="no-ledger"),
        pytest.param(["pause", "x"], "there is no ledger", id="pause"),
        pytest.param(["resume", "x"], "there is no ledger", id="resume"),
        pytest.param(["resume", "x", "--engine", "slurm"], "'slurm' is no engine", id="engine"),
        pytest.param(["answer", "Q1", "done"], "there is no ledger", id="answer"),
    ],
)
def test_what_is_not_there_is_said(arguments, said, tmp_path):
    result = sdl(*arguments, "--home", tmp_path / "none")
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
