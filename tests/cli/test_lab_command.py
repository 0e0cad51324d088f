"""`sdl lab`: serving a lab file, tokens, status; what is wrong is said with its place, and nothing is served."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

LAB = """
name: bench
clock: {type: scaled, factor: 100}
world: {seed: 1}
places: {tray: {capacity: 2}}
instruments:
  dispenser: {driver: simulated_dispenser, safe_after: 10 min}
  furnace:   {driver: simulated_box_furnace}
"""


@pytest.fixture
def sdl(tmp_path):
    """Run `sdl lab …` to its end."""
    environment = {**os.environ, "SDL_LOCKS": str(tmp_path / "locks"), "SDL_LAB_TOKEN": ""}

    def run(*arguments: str, **more: str):
        return subprocess.run(
            [sys.executable, "-m", "sdl.cli", "lab", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**environment, **more},
        )

    return run


@contextmanager
def serving(tmp_path, lab, *arguments: str):
    process = subprocess.Popen(
        [sys.executable, "-m", "sdl.cli", "lab", "serve", str(lab), "--home", str(tmp_path / "home"), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SDL_LOCKS": str(tmp_path / "locks")},
    )
    said = []
    try:
        while not (said and " at http://" in said[-1]):
            said.append(process.stdout.readline())
            assert said[-1], "".join(said)
        yield process, re.search(r"at (http://\S+)", said[-1]).group(1), "".join(said)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_lab_is_served_with_a_token_that_is_shown_once(tmp_path, write, sdl):
    lab = write("lab.yaml", LAB)
    with serving(tmp_path, lab, "--port", "0") as (process, url, said):
        (token,) = re.findall(r"sdl_\S+", said)
        store = tmp_path / "home" / "labs" / "tokens.json"
        assert stat.S_IMODE(store.stat().st_mode) == 0o600
        assert token not in store.read_text()
        refused = sdl("status", url)
        assert refused.returncode == 1
        assert "a token is needed; make one with sdl lab token new and set SDL_LAB_TOKEN" in refused.stderr
        shown = sdl("status", url, "--json", SDL_LAB_TOKEN=token)
        assert shown.returncode == 0, shown.stderr
        data = json.loads(shown.stdout)
        assert data["lab"]["name"] == "bench"
        assert data["lab"]["places"] == {"tray": 2}
        assert data["lab"]["instruments"]["dispenser"]["safe_after"] == 600.0
        assert data["health"]["furnace"]["state"] == "ok"
        assert "furnace: simulated simulated_box_furnace, ok (idle); idle" in shown.stderr
        made = sdl("token", "new", "--role", "observe", "--home", str(tmp_path / "home"), "--json")
        other = json.loads(made.stdout)
        assert other["role"] == "observe"
        headers = {"Authorization": f"Bearer {other['token']}"}
        assert httpx.get(f"{url}/lab", headers=headers, trust_env=False).status_code == 200
        answer = httpx.post(f"{url}/campaigns/c/abort", json={"epoch": 1}, headers=headers, trust_env=False)
        assert answer.status_code == 403
        log = (tmp_path / "home" / "labs" / "bench" / "server.log").read_text()
        assert "401 for 127.0.0.1" in log
        assert "403 for 127.0.0.1" in log and other["name"] in log
        assert token not in log and other["token"] not in log
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "lab 'bench' is closed" in process.stdout.read()
    with serving(tmp_path, lab, "--port", "0") as (_, url, said):
        assert "sdl_" not in said.replace("simulated", "")  # shown once: the old one still holds
        assert sdl("status", url, SDL_LAB_TOKEN=token).returncode == 0


def test_a_lab_is_stopped_and_released(tmp_path, write, sdl):
    lab = write("lab.yaml", LAB)
    with serving(tmp_path, lab, "--port", "0") as (_, url, said):
        (operate,) = re.findall(r"sdl_\S+", said)
        refused = sdl("safe", url, SDL_LAB_TOKEN=operate)
        assert refused.returncode == 1
        assert "may operate; this needs one that may administer" in refused.stderr
        made = sdl("token", "new", "--role", "administer", "--home", str(tmp_path / "home"), "--json")
        token = json.loads(made.stdout)
        done = sdl("safe", url, "--json", SDL_LAB_TOKEN=token["token"])
        assert done.returncode == 0, done.stderr
        assert f"the lab at {url} is stopped: no command begins before  sdl lab release {url}" in done.stderr
        assert "furnace: safe state confirmed" in done.stderr
        assert json.loads(done.stdout)["instruments"]["furnace"]["confirmed"] is True
    with serving(tmp_path, lab, "--port", "0") as (_, url, _):
        shown = sdl("status", url, SDL_LAB_TOKEN=operate)
        assert f"stopped by token {token['name']} at 20" in shown.stdout
        done = sdl("release", url, SDL_LAB_TOKEN=token["token"])
        assert done.returncode == 0, done.stderr
        assert f"is released (it was stopped by token {token['name']} at 20" in done.stdout
        assert "stopped" not in sdl("status", url, SDL_LAB_TOKEN=operate).stdout
        assert "it was not stopped" in sdl("release", url, SDL_LAB_TOKEN=token["token"]).stdout


def test_what_is_wrong_with_a_lab_file_is_said_at_its_place(write, sdl):
    lab = write("lab.yaml", LAB.replace("simulated_box_furnace", "simulated_box_furnance").replace("10 min", "10 kg"))
    done = sdl("serve", str(lab), "--port", "0", "--no-token")
    assert done.returncode == 2
    assert "lab.yaml:6:56: instruments.dispenser.safe_after: 10 kg" in done.stderr
    assert "did you mean 'simulated_box_furnace'?" in done.stderr
    assert sdl("serve", str(lab.with_name("none.yaml"))).returncode == 2


def test_without_tokens_only_this_machine_is_let_in(tmp_path, write, sdl):
    lab = write("lab.yaml", LAB)
    refused = sdl("serve", str(lab), "--no-token", "--host", "0.0.0.0", "--home", str(tmp_path / "home"))
    assert refused.returncode == 2
    assert "--no-token is for the loopback interface alone, not for 0.0.0.0" in refused.stderr
    with serving(tmp_path, lab, "--port", "0", "--no-token") as (_, url, said):
        assert "shown" not in said
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/lab", trust_env=False).status_code == 200


def test_a_taken_port_and_an_unknown_role_are_said(tmp_path, write, sdl):
    lab = write("lab.yaml", LAB)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = sdl("serve", str(lab), "--port", port, "--no-token", "--home", str(tmp_path / "home"))
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in done.stderr
    done = sdl("token", "new", "--role", "root", "--home", str(tmp_path / "home"))
    assert done.returncode == 2
    assert "a role is one of 'observe', 'operate', 'administer'" in done.stderr


def test_nobody_there_is_said(sdl):
    done = sdl("status", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "no lab server answers at http://127.0.0.1:9" in done.stderr
