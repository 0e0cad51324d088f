"""The world as a process: one record, shared virtual time, and campaigns that may die."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading

import pytest
from enginekit import observations, proposals, run

from sdl.clock import VIRTUAL_EPOCH
from sdl.clock.authority import TimeAuthority
from sdl.clock.shared import SharedVirtualClock
from sdl.driver import Command
from sdl.errors import ClockError, InputError, LedgerError
from sdl.world import RemoteWorld
from sdl.world.process import WorldServer


@pytest.fixture
def world(tmp_path):
    server = WorldServer(1, tmp_path / "world.jsonl", {"failure_rate": 0.0})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.close()
    thread.join()


def _command(id_: str, sample: str = "s") -> Command:
    return Command(id_, "c", 1, 1, 0, "furnace", "sinter", {"t": 1.0}, (sample,), 0)


def test_the_record_is_one_for_all_and_a_second_execution_is_refused(world):
    one, other = RemoteWorld("127.0.0.1", world.port), RemoteWorld("127.0.0.1", world.port)
    begun = one.begin(_command("a"), 0.0, 5.0)
    assert other.operation("a") == begun
    assert other.operations("s") == [begun]
    with pytest.raises(LedgerError, match="already carried out"):
        other.begin(_command("a"), 0.0, 5.0)
    other.abort("a", 2.0)
    assert one.operation("a").over == 2.0
    # draws are the world's, wherever they are made
    assert one.rng("s", "x", 0).random() == world.world.rng("s", "x", 0).random()
    one.close()
    other.close()


def test_no_world_is_said(tmp_path):
    with pytest.raises(LedgerError, match="sdl world serve"):
        RemoteWorld("127.0.0.1", 1)
    with pytest.raises(ClockError, match="sdl world serve"):
        asyncio.run(SharedVirtualClock.connect("127.0.0.1", 1, "a"))


def _authority():
    log: list = []
    time = TimeAuthority(0.0)

    def join(name):
        return time.join(name, lambda m: log.append((name, m)), lambda e: log.append((name, e)))

    return time, join, log


def test_time_waits_for_every_actor_and_goes_by_moment_then_key():
    time, join, log = _authority()
    assert join("a")
    assert join("b")
    time.wait("a", (10.0, (2, 0)))
    assert log == []
    time.wait("b", (10.0, (1, 0)))
    assert log == [("b", 10.0)]
    time.wait("b", (12.0, (1, 0)))
    assert log == [("b", 10.0), ("a", 10.0)]


def test_time_stands_still_while_an_actor_is_down():
    time, join, log = _authority()
    join("a")
    join("b")
    time.wait("a", (1.0, (1, 0)))
    time.lost("b")
    time.wait("a", (1.0, (1, 0)))
    assert log == []
    assert time.actors == {"a": "waits", "b": "down"}
    assert join("b")
    assert not join("b")
    time.wait("b", (3.0, (1, 0)))
    assert log == [("a", 1.0)]
    time.wait("a", None)
    assert log[-1] == ("b", 3.0)


def test_all_waiting_for_each_other_is_an_error():
    time, join, log = _authority()
    join("a")
    join("b")
    time.wait("a", None)
    time.wait("b", None)
    assert len(log) == 2
    assert "stands still" in log[0][1]


def test_two_processes_share_one_time(world):
    log: list = []
    gate = threading.Barrier(2)

    async def actor(name, steps):
        clock = await SharedVirtualClock.connect("127.0.0.1", world.port, name)
        with clock.actor():
            await asyncio.to_thread(gate.wait)
            for seconds, key in steps:
                await clock.sleep(seconds, key)
                log.append((clock.now() - VIRTUAL_EPOCH, name))
        await clock.close()

    threads = [
        threading.Thread(target=lambda n=n, s=s: asyncio.run(actor(n, s)))
        for n, s in (("a", [(10, (1, 0)), (10, (1, 0)), (5, (1, 0))]), ("b", [(5, (2, 0)), (15, (0, 0)), (5, (2, 0))]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert log == [(5, "b"), (10, "a"), (20, "b"), (20, "a"), (25, "a"), (25, "b")]
    assert world.time.actors == {}


LAB = "lab.world={{seed: 1, server: '127.0.0.1:{port}'}}"


def _ceramics(write, campaigns):
    """The shipped campaign with its lab written into it, so that --set can reach the world."""
    import yaml

    data = yaml.safe_load((campaigns / "electrolyte_sintering.yaml").read_text())
    data["lab"] = yaml.safe_load((campaigns / data["lab"]).read_text())
    data["planner"] = {"type": "sobol"}
    data["stop"] = {"experiments": 4}
    return write("ceramics.yaml", json.dumps(data))


def test_a_campaign_on_a_served_world_equals_one_in_process(world, write, campaigns, tmp_path):
    file = _ceramics(write, campaigns)
    _, _, here = run(file, tmp_path / "a")
    end, _, there = run(file, tmp_path / "b", LAB.format(port=world.port))
    assert end[0] == "done"
    assert proposals(there) == proposals(here)
    assert observations(there) == observations(here)
    assert len(world.world.all_operations()) == 16
    assert world.time.actors == {}


def test_the_world_outlives_a_campaign_that_is_killed(write, campaigns, tmp_path):
    file = _ceramics(write, campaigns)
    _, _, undisturbed = run(file, tmp_path / "a")
    record = tmp_path / "w.jsonl"
    serving = subprocess.Popen(
        [sys.executable, "-m", "sdl.cli", "world", "serve", str(record), "--seed", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = int(re.search(r"127\.0\.0\.1:(\d+)", serving.stdout.readline()).group(1))
        lab = LAB.format(port=port)
        # dies in the middle of the second firing, at a record that the campaign never learns of
        code = (
            "import os, sys; sys.path.insert(0, sys.argv[1])\n"
            "from pathlib import Path\n"
            "from enginekit import run\n"
            "from sdl.ledger import Ledger\n"
            "append, left = Ledger.append, [22]\n"
            "def dying(self, *a):\n"
            "    left[0] -= 1\n"
            "    if left[0] < 0: os._exit(9)\n"
            "    return append(self, *a)\n"
            "Ledger.append = dying\n"
            "run(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])\n"
        )
        import enginekit

        kit = str(enginekit.__file__).rpartition("/")[0]
        died = subprocess.run([sys.executable, "-c", code, kit, str(file), str(tmp_path / "b"), lab], check=False)
        assert died.returncode == 9
        end, state, resumed = run(file, tmp_path / "b", lab)
        assert end[0] == "done"
        assert not state.questions
        assert observations(resumed) == observations(undisturbed)
        effects = [json.loads(line) for line in record.read_text().splitlines()]
        assert len({(e["sample"], e["instrument"]) for e in effects}) == len(effects) == 16
    finally:
        serving.send_signal(signal.SIGINT)
        assert serving.wait(30) == 0


def test_a_taken_port_is_said(world, tmp_path):
    with pytest.raises(InputError, match="choose another --port"):
        WorldServer(0, tmp_path / "other.jsonl", {}, world.port)


def test_a_message_finds_its_receiver_at_the_moment_at_which_it_was_sent(world):
    """A receiver that was asleep counts as working once that is confirmed, and its clock shows the sender's moment."""

    async def main():
        sender = await SharedVirtualClock.connect("127.0.0.1", world.port, "sender")
        receiver = await SharedVirtualClock.connect("127.0.0.1", world.port, "receiver")

        async def sleeper():
            with receiver.actor():
                await receiver.sleep(1000.0)
                return receiver.now()

        asleep = asyncio.ensure_future(sleeper())
        with sender.actor():
            await sender.sleep(10.0)
            assert receiver.now() == VIRTUAL_EPOCH
            receiver.received()
            await receiver.confirmed()
            assert receiver.now() == sender.now() == VIRTUAL_EPOCH + 10.0
            assert world.time.actors == {"receiver": "works", "sender": "works"}
            receiver.handled()
        assert await asleep == VIRTUAL_EPOCH + 1000.0
        await sender.close()
        await receiver.close()

    asyncio.run(main())


def test_a_world_that_is_gone_confirms_nothing(world):
    async def main():
        clock = await SharedVirtualClock.connect("127.0.0.1", world.port, "a")
        clock._writer.close()
        with pytest.raises(ClockError, match="the world's process is gone"):
            await clock.confirmed()

    asyncio.run(main())
