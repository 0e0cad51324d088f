"""kill -9 of the lab server in every state of a command, and of campaigns on a living server: nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from labkit import Process, command, effects, standing, until

from sdl.artefacts import ArtefactStore
from sdl.lab.client import RemoteLab
from sdl.lab.served_plan import served_plan
from sdl.ledger import CommandIntended, CommandSettled, Ledger

FACTOR = 1000.0


async def client_of(server: Process, folder: Path, epoch: int = 1) -> RemoteLab:
    plan = await asyncio.to_thread(served_plan, server.url, None)
    client = RemoteLab(plan, "c", None, ArtefactStore(str(folder / "client")).put)
    await client.open()
    await client.take_over("c.id", epoch)
    return client


async def state_of(server: Process, id_: str, wanted: str) -> None:
    last = time.monotonic() + 30
    while (await standing(server.url, id_)).get("state") != wanted:
        assert time.monotonic() < last, f"{id_} never was {wanted}"
        await asyncio.sleep(0.01)


def server_in(folder: Path, port: int = 0) -> Process:
    return Process(folder, port, "scaled", FACTOR)


@pytest.mark.parametrize("state", ["accepted", "started", "finished"])
@pytest.mark.parametrize("survivor", ["the same process", "the next process"])
def test_the_server_is_killed(tmp_path, state, survivor):
    """One firing takes the oven, another waits behind it; the server dies and comes back on its port."""

    async def main():
        with server_in(tmp_path) as server:
            client = await client_of(server, tmp_path)
            first = asyncio.create_task(client.execute(command("f", with_={"hold": 2000.0}), True))
            await state_of(server, "f", "started")
            second = asyncio.create_task(client.execute(command("g", with_={"hold": 10.0}), True))
            await state_of(server, "g", "accepted")
            if state == "finished":
                await state_of(server, "g", "finished")
                await asyncio.gather(first, second)
            if state == "started":
                second.cancel()
            server.kill()
            if survivor == "the next process":
                first.cancel()
                second.cancel()
            with server_in(tmp_path, server.port) as again:
                if survivor == "the same process":
                    replies = [await first, await second] if state != "started" else [await first]
                else:
                    await client.close()
                    client = await client_of(again, tmp_path, epoch=2)
                    replies = [
                        await client.reconcile(command(i, with_={"hold": h})) for i, h in (("f", 2e3), ("g", 1e1))
                    ]
                assert {r.status for r in replies} == {"succeeded"}
                firing = replies[0]
                assert firing.finished - firing.started == pytest.approx(
                    2000.0, abs=150.0 if state == "finished" else 1e-3
                )
                await client.close()

    asyncio.run(main())
    begun = effects(tmp_path)
    assert sorted(set(begun)) == sorted(begun), "an effect happened twice"
    assert begun[0] == "f"
    assert "g" in begun or (state == "started" and survivor == "the same process")


def test_what_nobody_can_be_asked_about_is_unknown(tmp_path):
    async def main():
        with server_in(tmp_path) as server:
            client = await client_of(server, tmp_path)
            stirring = asyncio.create_task(client.execute(command("b", "blind", "stir", with_={"seconds": 1e5}), True))
            await state_of(server, "b", "started")
            server.kill()
            with server_in(tmp_path, server.port):
                reply = await stirring
                assert reply.status == "unknown"
                assert "the instrument cannot say what became of it" in reply.error
                assert (await client.reconcile(command("b", "blind", "stir", with_={"seconds": 1e5}))) == reply
                await client.close()

    asyncio.run(main())


def test_a_second_server_is_refused_and_says_whose_it_is(tmp_path):
    with server_in(tmp_path) as server:
        for folder in (tmp_path, tmp_path / "another home"):
            environment = {**os.environ, "SDL_LOCKS": str(tmp_path / "locks")}
            arguments = [sys.executable, str(Path(__file__).parent / "labkit.py"), str(folder), "0", "real", "1", ""]
            other = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=60)
            assert other.returncode == 1
            assert f"process {server.process.pid} on {socket.gethostname()}" in other.stderr
    with server_in(tmp_path) as again:  # a dead process holds nothing
        assert httpx.get(f"{again.url}/lab", trust_env=False).status_code == 200


def test_signals_finish_what_runs_and_twice_leave_it_to_its_instrument(tmp_path):
    async def main():
        with server_in(tmp_path) as server:
            client = await client_of(server, tmp_path)
            first = asyncio.create_task(client.execute(command("f", with_={"hold": 1500.0}), True))
            await state_of(server, "f", "started")
            server.process.send_signal(signal.SIGTERM)
            assert (await first).status == "succeeded"
            assert await asyncio.to_thread(server.process.wait, 30) == 0
        with server_in(tmp_path, server.port) as server:
            # 8 s of real time: both signals must come while it runs, on a machine that is busy with other things too
            asking = asyncio.create_task(client.execute(command("g", with_={"hold": 8000.0}), True))
            await state_of(server, "g", "started")
            server.process.send_signal(signal.SIGINT)
            await asyncio.to_thread(server.process.stdout.readline)
            server.process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(server.process.wait, 30) == 4
            with server_in(tmp_path, server.port):
                reply = await asking
                assert reply.status == "succeeded"
                assert reply.finished - reply.started == pytest.approx(8000.0, abs=1e-3)
                await client.close()

    asyncio.run(main())
    assert effects(tmp_path) == ["f", "g"]


LAB = """
name: ceramics
clock: {type: scaled, factor: 7200}
world: {seed: 1}
instruments:
  dispenser:  {driver: simulated_dispenser}
  furnace:    {driver: simulated_box_furnace}
  pycnometer: {driver: simulated_pycnometer}
"""
CAMPAIGN = """
name: firing
space:
  parameters:
    temperature: {{type: continuous, bounds: [900, 1000], unit: degC}}
objectives:
  density: {{goal: maximize}}
protocol:
  - {{instrument: dispenser,  action: weigh,  with: {{li_excess: 0.1, mass: 2 g}}}}
  - {{instrument: furnace,    action: sinter, with: {{temperature: $temperature, hold: 4 h, atmosphere: air, firings: 1}}}}
  - {{instrument: pycnometer, action: measure, gives: {{density: relative_density}}}}
lab: {{server: "http://127.0.0.1:{port}"}}
planner: {{type: random}}
stop: {{experiments: 1}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def sdl(folder: Path, *arguments: str, wait_for: str | None = None):
    """An `sdl` process; killed at the end."""
    environment = {**os.environ, "SDL_LOCKS": str(folder / "locks"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sdl.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    said = []
    try:
        while wait_for is not None:
            line = process.stdout.readline()
            said.append(line)
            assert line, "".join(said)
            if wait_for in line:
                break
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def records(server_home: Path) -> dict[str, str]:
    """Action → state, as the server's command log tells it."""
    import sqlite3

    path = server_home / "labs" / "ceramics" / "commands.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return dict(connection.execute("SELECT action, state FROM commands ORDER BY position"))


def wait_until(condition, seconds: float = 60.0) -> None:
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, "it never came true"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("server_dies", [False, True], ids=["server lives", "both die"])
def test_everything_is_killed_in_the_middle_of_a_firing(tmp_path, server_dies):
    (tmp_path / "lab.yaml").write_text(LAB)
    port = free_port()
    (tmp_path / "c.yaml").write_text(CAMPAIGN.format(port=port))
    lab_home, home = tmp_path / "lab", tmp_path / "home"
    serve = ("lab", "serve", str(tmp_path / "lab.yaml"), "--port", str(port), "--home", str(lab_home), "--no-token")
    run = ("run", str(tmp_path / "c.yaml"), "--home", str(home), "--engine", "local", "--json")
    with sdl(tmp_path, *serve, wait_for=" at http://") as server:
        with sdl(tmp_path, *run):
            wait_until(lambda: records(lab_home).get("sinter") == "started")
        if server_dies:
            server.kill()
            server.wait()
            with sdl(tmp_path, *serve, wait_for=" at http://"):
                wait_until(lambda: records(lab_home)["sinter"] == "finished")  # nobody had to ask for it
                end = finish(tmp_path, run)
        else:
            wait_until(lambda: records(lab_home)["sinter"] == "finished")  # the furnace finishes alone
            end = finish(tmp_path, run)
    assert (end["state"], end["experiments"]["done"]) == ("done", 1)
    ledger = Ledger(home)
    rows = [r.event for r in ledger.rows("firing")]
    ledger.close()
    intended = [e for e in rows if isinstance(e, CommandIntended)]
    assert [e.action for e in intended] == ["weigh", "sinter", "measure"]
    settled = {e.command: e for e in rows if isinstance(e, CommandSettled)}
    assert [settled[e.command].status for e in intended] == ["succeeded"] * 3
    firing = settled[intended[1].command]
    assert firing.how == "reconciled"
    assert firing.values["peak_temperature"] > 890
    world = (lab_home / "labs" / "ceramics" / "world.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in world] == ["weigh", "sinter", "measure"]


def finish(folder: Path, run: tuple[str, ...]) -> dict:
    """Go on with the campaign; returns what it says at the end."""
    environment = {**os.environ, "SDL_LOCKS": str(folder / "locks"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "sdl.cli", *run],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_until_is_not_for_ever():
    with pytest.raises(AssertionError, match="never came true"):
        asyncio.run(until(lambda: False, 0.02))
