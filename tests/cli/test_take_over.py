"""A campaign is taken from a process that is frozen, and from no other; the one that thaws writes nothing."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdl.cli.outcome import Output
from sdl.cli.run import resume_campaign, run_campaign
from sdl.engine import InlineWorker
from sdl.errors import NameInUseError
from sdl.ledger import EpochRaised, Ledger
from sdl.ledger.verify import verify

FILE = """
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
stop: {experiments: 3}
"""


@pytest.fixture
def file(write):
    write("points.csv", "a,y\n0,1\n0.5,0\n1,1\n")
    return write("slow.yaml", FILE)


def until(found, process, seconds=60):
    """Wait until something is found; the process must live meanwhile."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if answer := found():
            return answer
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("it did not come")


def sent(home: Path, count: int) -> bool:
    """Whether so many commands stand in the ledger, the last of them open."""
    try:
        with sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True) as connection:
            states = [s for (s,) in connection.execute("SELECT state FROM commands")]
    except sqlite3.OperationalError:
        return False
    return len(states) >= count and "open" in states


@pytest.fixture
def frozen(file, tmp_path):
    """A campaign's process, frozen in the middle of its first command."""
    home = tmp_path / "home"
    command = [sys.executable, "-m", "sdl.cli", "run", str(file), "--home", str(home), "--engine", "local"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: sent(home, 1), process)
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


def _silent(home: Path, seconds: float) -> None:
    """Let the last sign of life be so old, as it would be that much later."""
    lock = home / "locks" / "slow-pellets.lock"
    then = time.time() - seconds
    os.utime(lock, (then, then))


def _go_on(file, home, take_over):
    output = Output(as_json=True)
    return run_campaign(
        file, home, None, None, (), "local", False, output, take_over=take_over, make_worker=InlineWorker, reports=False
    )


def test_a_frozen_owner_is_followed_and_writes_nothing_when_it_thaws(file, frozen, tmp_path, capfd):
    home = tmp_path / "home"
    with pytest.raises(NameInUseError, match=rf"process {frozen.pid} on .*last sign of life is \d+ s old"):
        _go_on(file, home, 60.0)
    with pytest.raises(NameInUseError, match=f"process {frozen.pid}"):
        _go_on(file, home, None)
    _silent(home, 61)
    assert _go_on(file, home, 60.0) == 0
    last = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert (last["state"], last["experiments"]["done"]) == ("done", 3)

    ledger = Ledger(home)
    try:
        rows = ledger.rows("slow-pellets")
        taken = [
            r.event.environment["took_over"] for r in rows if isinstance(r.event, EpochRaised) and r.event.epoch > 1
        ]
        assert {t["pid"] for t in taken} == {frozen.pid}
        assert all(t["silent"] >= 61 and t["asked_by"] for t in taken)

        frozen.send_signal(signal.SIGCONT)
        _, said = frozen.communicate(timeout=60)
        assert "was taken over" in said  # by its next look at the lock, or by its next row, whichever came first
        assert ledger.rows("slow-pellets") == rows  # nothing of the old process came after
        assert verify(ledger, "slow-pellets").ok
        assert not ledger.is_owned("slow-pellets")
    finally:
        ledger.close()


def test_resume_takes_over_as_well(frozen, tmp_path, capfd):
    home = tmp_path / "home"
    _silent(home, 3600)
    output = Output(as_json=True)
    assert resume_campaign("slow-pellets", "", None, home, "local", True, output, take_over=60.0) == 0
    assert json.loads(capfd.readouterr().out.strip().splitlines()[-1])["state"] == "done"


def test_one_that_ended_needs_no_silence(file, frozen, tmp_path):
    frozen.kill()
    frozen.wait()
    assert _go_on(file, tmp_path / "home", 60.0) == 0


def test_a_running_campaign_gives_signs_of_life(file, tmp_path, monkeypatch):
    command = [sys.executable, "-m", "sdl.cli", "run", str(file), "--home", str(tmp_path / "home"), "--engine", "local"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: sent(tmp_path / "home", 1), process)
        lock = tmp_path / "home" / "locks" / "slow-pellets.lock"
        _silent(tmp_path / "home", 3600)
        until(lambda: time.time() - lock.stat().st_mtime < 60, process)
    finally:
        process.kill()
        process.communicate()
