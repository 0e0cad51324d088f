"""Jobs of a lab server: a full disk neither loses the task that commits a reply nor keeps a server from ending."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from labkit import command, plan_of, served, until

from sdl.errors import LedgerError
from sdl.lab import serving


class Disk:
    """A disk that refuses one kind of line of a command log while it is full."""

    def __init__(self, log, line: str) -> None:
        self.is_full = True
        self.refused = 0
        real = getattr(log, line)

        def write(*values):
            if self.is_full:
                self.refused += 1
                raise LedgerError("no space left on device")
            real(*values)

        setattr(log, line, write)


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr("sdl.lab.work._AGAIN", 0.02)
    monkeypatch.setattr("sdl.lab.driving.AGAIN", 0.02)


async def _one_fires_and_one_waits(lab, client) -> list[asyncio.Task]:
    firing = asyncio.create_task(client.execute(command("f", with_={"hold": 600.0}), True))
    await until(lambda: (r := lab.server.log.record("f")) is not None and r.state == "started")
    waiting = asyncio.create_task(client.execute(command("g", samples=("s2",)), True))
    await until(lambda: lab.server.log.record("g") is not None)
    return [firing, waiting]


def test_what_is_withdrawn_twice_is_answered_once_the_disk_is_mended(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            firing, waiting = await _one_fires_and_one_waits(lab, client)
            disk = Disk(lab.server.log, "finished")
            assert lab.server.work.send_away(lambda c: c.id == "g") == 1
            await until(lambda: disk.refused > 1)
            assert lab.server.work.send_away(lambda c: c.id == "g") == 0, "it is answered already"
            await until(lambda refused=disk.refused: disk.refused > refused + 1)
            assert lab.server.log.record("g").state == "accepted"
            disk.is_full = False
            assert (await asyncio.wait_for(waiting, 10)).status == "not_started"
            await client.abort()
            assert (await asyncio.wait_for(firing, 10)).status == "aborted"
            await asyncio.wait_for(lab.server.idle.wait(), 10)
            await client.close()

    asyncio.run(main())


def test_a_second_signal_leaves_though_a_reply_cannot_be_written(tmp_path, monkeypatch):
    async def main():
        left, said, ending = [], [], asyncio.Event()
        monkeypatch.setattr(serving.os, "_exit", left.append)
        async with served(tmp_path) as lab:
            client = await lab.client()
            disk = Disk(lab.server.log, "finished")
            firing = asyncio.create_task(client.execute(command("f"), True))
            await until(lambda: disk.refused > 1)
            serving._on_signals(lab.server, ending, said.append)
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await until(lambda: said)
                assert "the reply to oven.fire" in said[0]
                assert (left, ending.is_set()) == ([], False)
                os.kill(os.getpid(), signal.SIGTERM)
                await until(lambda: left)
                assert left == [serving.LEFT]
                assert "leaving at once" in said[1]
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().remove_signal_handler(number)
            disk.is_full = False
            await until(ending.is_set)
            firing.cancel()
            await asyncio.gather(firing, return_exceptions=True)
            await client.close()

    asyncio.run(main())


def test_room_is_free_where_a_start_that_cannot_be_written_is_withdrawn(tmp_path):
    async def main():
        async with served(tmp_path, plan=plan_of(places={"kiln": 1})) as lab:
            client = await lab.client()
            disk = Disk(lab.server.log, "started")
            move = command("m", "arm", "move", samples=("c-0001",), destination="kiln")
            moving = asyncio.create_task(client.execute(move, True))
            await until(lambda: disk.refused > 1)
            client.withdraw()
            assert (await asyncio.wait_for(moving, 10)).status == "not_started"
            assert lab.server.lab.places.held("kiln") == ()
            disk.is_full = False
            following = command("n", "arm", "move", samples=("c-0002",), destination="kiln")
            assert (await asyncio.wait_for(client.execute(following, True), 10)).status == "succeeded"
            await client.close()

    asyncio.run(main())


def test_whoever_waits_for_news_is_told_when_the_server_ends(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            tasks = await _one_fires_and_one_waits(lab, client)
            news = [asyncio.create_task(lab.server.work.news(n, 60.0)) for n in ("f", "g")]
            await until(lambda: all(lab.server.work.jobs[n].waiting for n in ("f", "g")))
            await lab.server.work.end()
            standings = await asyncio.wait_for(asyncio.gather(*news), 5)
            assert [s.state for s in standings] == ["started", "accepted"], "both are taken up at the next start"
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()

    asyncio.run(main())
