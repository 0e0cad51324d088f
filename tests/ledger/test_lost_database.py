"""A live campaign whose PostgreSQL is killed under it: nothing new moves, it says so, and it goes on; from either home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from postgreskit import home_in

from sdl.ledger import CommandIntended, Ledger
from sdl.ledger.verify import verify

pytestmark = pytest.mark.postgresql

CAMPAIGN = """
name: lost
space:
  parameters:
    temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
    hold:        {type: continuous, bounds: [1, 4], unit: h}
objectives:
  relative_density: {goal: maximize}
protocol:
  - {instrument: dispenser,  action: weigh,  with: {li_excess: 0.1, mass: 2 g}}
  - {instrument: furnace,    action: sinter, with: {temperature: $temperature, hold: $hold, atmosphere: oxygen, firings: 1}}
  - {instrument: pycnometer, action: measure, gives: {relative_density: relative_density}}
lab:
  clock: {type: scaled, factor: 30000}
  world: {seed: 1}
  instruments:
    dispenser:  {driver: simulated_dispenser}
    furnace:    {driver: simulated_box_furnace}
    pycnometer: {driver: simulated_pycnometer}
planner: {type: sobol}
stop: {experiments: 6}
"""


@pytest.fixture
def url(postgres):
    made = postgres.database()
    yield made
    postgres.drop(made)


@pytest.fixture
def file(write):
    return write("lost.yaml", CAMPAIGN)


@contextmanager
def running(file: Path, home: Path, *options: str, **environment: str):
    """Run the campaign in a process of its own; its standard error and output are one list of lines."""
    process = subprocess.Popen(
        [Path(sys.executable).with_name("sdl"), "run", file, "--engine", "local", "--home", home, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout))
    reader.start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


def until_settled(postgres, url, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many commands are settled."""
    last = time.monotonic() + 90.0
    while True:
        assert time.monotonic() < last
        assert process.poll() is None
        made = postgres.execute("SELECT to_regclass('journal') IS NOT NULL", url)[0][0]
        query = "SELECT count(*) FROM journal WHERE kind = 'command.settled'"
        if made and postgres.execute(query, url)[0][0] >= count:
            return
        time.sleep(0.05)


def repeated(ledger: Ledger) -> list[tuple[int, int]]:
    """The steps that were sent more than once."""
    sent = [(r.event.experiment, r.event.step) for r in ledger.rows("lost") if isinstance(r.event, CommandIntended)]
    return sorted({step for step in sent if sent.count(step) > 1})


@pytest.mark.slow
def test_a_campaign_outlives_its_database(postgres, url, file, tmp_path):
    home = tmp_path / "home"
    with running(file, home, SDL_LEDGER_URL=url.render_as_string(hide_password=False)) as (process, lines):
        until_settled(postgres, url, 4, process)
        postgres.kill()
        try:
            last = time.monotonic() + 60.0
            while not any("nothing new begins before it is back" in line for line in lines):
                assert time.monotonic() < last
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            postgres.start()
        assert process.wait(timeout=120) == 0
    said = "".join(lines)
    assert "is back" in said
    assert "lost: done (6 experiments were started)" in said
    assert postgres.url.password not in said
    assert postgres.url.password not in (home / "ledger.url").read_text()
    ledger = Ledger(home_in(home, url))
    assert verify(ledger, "lost").ok
    assert repeated(ledger) == []
    assert {e.event.experiment for e in ledger.rows("lost") if isinstance(e.event, CommandIntended)} == {
        1,
        2,
        3,
        4,
        5,
        6,
    }
    ledger.close()


@pytest.mark.slow
def test_a_campaign_that_gave_up_or_was_killed_goes_on_and_no_other_home_runs_it_meanwhile(
    postgres, url, file, tmp_path
):
    home, other = home_in(tmp_path / "home", url), home_in(tmp_path / "other", url)
    with running(file, home, SDL_LEDGER_PATIENCE="0.2") as (process, lines):
        until_settled(postgres, url, 2, process)
        process.send_signal(signal.SIGSTOP)  # a frozen owner is one too, and does not come to its end meanwhile
        with running(file, other) as (second, said):
            assert second.wait(timeout=60) == 2
        assert f"campaign 'lost' is being run by process {process.pid} on" in "".join(said)
        postgres.kill()
        process.send_signal(signal.SIGCONT)
        try:
            assert process.wait(timeout=60) == 1
        finally:
            postgres.start()
    assert "no further step is started" in "".join(lines)
    with running(file, home) as (process, _):
        until_settled(postgres, url, 5, process)
        process.kill()
        process.wait()
    with running(file, home) as (process, lines):
        assert process.wait(timeout=120) == 0
    assert "lost: done" in "".join(lines)
    ledger = Ledger(home)
    assert verify(ledger, "lost").ok
    assert repeated(ledger) == []
    ledger.close()
