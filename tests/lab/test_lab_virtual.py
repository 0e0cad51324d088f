"""Virtual time over three processes, campaign, lab server and world: bit for bit what one process gives, whoever is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from enginekit import observations, proposals, run

from sdl.ledger import ExperimentFinished, Ledger
from sdl.world.process import WorldServer

OPTIONS = ("stop={experiments: 5}", "planner={type: sobol}")


def finished(rows):
    return sorted((r.event.experiment, r.event.state, r.at) for r in rows if isinstance(r.event, ExperimentFinished))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = Path(__file__).parents[2] / "campaigns" / "electrolyte_sintering.yaml"
    end, _, rows = run(path, tmp_path_factory.mktemp("undisturbed"), *OPTIONS)
    assert end[0] == "done"
    return path, rows


@pytest.fixture
def world(tmp_path):
    server = WorldServer(1, tmp_path / "world.jsonl", {})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.close()
    thread.join()


class LabProcess:
    """`sdl lab serve` in virtual time."""

    def __init__(self, folder: Path, campaigns: Path, world: Any, port: int = 0, stderr: int | None = None) -> None:
        lab = (campaigns / "labs" / "simulated_ceramics.yaml").read_text()
        text = lab.replace("world: {seed: 1}", f"world: {{seed: 1, server: '127.0.0.1:{world.port}'}}")
        (folder / "lab.yaml").write_text(text)
        arguments = [
            "lab",
            "serve",
            str(folder / "lab.yaml"),
            "--port",
            str(port),
            "--no-token",
            "--home",
            str(folder / "lab"),
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sdl.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "SDL_LOCKS": str(folder / "locks"), "OMP_NUM_THREADS": "1"},
        )
        self.url = re.search(r" at (http://\S+)", self.process.stdout.readline()).group(1)
        self.port = int(self.url.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def same(rows, undisturbed, world) -> None:
    assert observations(rows) == observations(undisturbed)
    assert proposals(rows) == proposals(undisturbed)
    assert finished(rows) == finished(undisturbed)
    effects = [(o.sample, o.instrument, o.action) for o in world.world.all_operations()]
    assert len(set(effects)) == len(effects) == 20


def test_three_processes_give_what_one_gives(undisturbed, world, tmp_path):
    path, rows = undisturbed
    with LabProcess(tmp_path, path.parent, world) as lab:
        end, _, there = run(path, tmp_path / "home", *OPTIONS, f"lab={{server: '{lab.url}'}}")
        assert end[0] == "done"
        same(there, rows, world)
        assert list(world.time.actors) == ["lab simulated-ceramics"]
        lab.process.send_signal(signal.SIGTERM)
        assert lab.process.wait(30) == 0
    assert world.time.actors == {}


DYING = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from enginekit import run
from sdl.ledger import Ledger
append, left = Ledger.append, [int(sys.argv[4])]
def dying(self, *arguments):
    left[0] -= 1
    if left[0] < 0:
        os._exit(9)
    return append(self, *arguments)
Ledger.append = dying
run(Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[5:])
"""


@pytest.mark.parametrize("commits", [5, 17, 30])
def test_the_campaign_is_killed(undisturbed, world, tmp_path, commits):
    path, rows = undisturbed
    with LabProcess(tmp_path, path.parent, world) as lab:
        options = (*OPTIONS, f"lab={{server: '{lab.url}'}}")
        kit = str(Path(sys.modules["enginekit"].__file__).parent)
        died = subprocess.run(
            [sys.executable, "-c", DYING, kit, str(path), str(tmp_path / "home"), str(commits), *options], check=False
        )
        assert died.returncode == 9
        end, state, resumed = run(path, tmp_path / "home", *options)
        assert end[0] == "done"
        assert not state.questions
        same(resumed, rows, world)


@pytest.mark.parametrize("effects", [2, 7, 12])
def test_the_server_is_killed(undisturbed, world, tmp_path, effects):
    """Killed when so many effects have begun; time stands still until it is back."""
    path, rows = undisturbed
    with LabProcess(tmp_path, path.parent, world) as lab:
        again: list[LabProcess] = []

        def kill() -> None:
            last = time.monotonic() + 60
            while len(world.world.all_operations()) < effects:
                assert time.monotonic() < last
                time.sleep(0.001)
            lab.process.kill()
            lab.process.wait()
            again.append(LabProcess(tmp_path, path.parent, world, lab.port))

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            end, state, there = run(path, tmp_path / "home", *OPTIONS, f"lab={{server: '{lab.url}'}}")
            assert end[0] == "done"
            assert not state.questions
            same(there, rows, world)
        finally:
            killer.join()
            for process in again:
                process.__exit__()
    ledger = Ledger(tmp_path / "home")
    assert ledger.campaign("electrolyte-sintering")["state"] == "done"
    ledger.close()


def test_a_server_without_its_world_ends_and_says_so(tmp_path, campaigns):
    serve = [sys.executable, "-m", "sdl.cli", "world", "serve", str(tmp_path / "w.jsonl"), "--seed", "1"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as serving:
        try:
            port = int(re.search(r"127\.0\.0\.1:(\d+)", serving.stdout.readline()).group(1))
            with LabProcess(tmp_path, campaigns, SimpleNamespace(port=port), stderr=subprocess.PIPE) as lab:
                serving.kill()
                assert lab.process.wait(30) == 1
                said = lab.process.stderr.read()
                assert "the world's process is gone, and virtual time with it: start it again, then this server" in said
                lab.process.stderr.close()
        finally:
            serving.kill()


def test_virtual_time_needs_a_world_of_its_own(tmp_path, campaigns):
    lab = campaigns / "labs" / "simulated_ceramics.yaml"
    served = subprocess.run(
        [
            sys.executable,
            "-m",
            "sdl.cli",
            "lab",
            "serve",
            str(lab),
            "--port",
            "0",
            "--no-token",
            "--home",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SDL_LOCKS": str(tmp_path / "locks")},
    )
    assert served.returncode == 2
    assert "start sdl world serve, and give the lab file 'world: {server: HOST:PORT}'" in served.stderr
    assert served.stdout == ""
