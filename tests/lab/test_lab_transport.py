"""Trouble of transport is no answer: dropped requests and replies, a server that is not there, another server in its place."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress

import pytest
from labkit import command, effects, plan_of, served, until

from sdl.clock import RealClock
from sdl.errors import LabError, ProtocolError
from sdl.lab.client import RemoteLab
from sdl.lab.served_plan import served_plan


async def message_of(reader: asyncio.StreamReader) -> bytes:
    """One HTTP message, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().splitlines() if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)


class Proxy:
    """Hands one request a connection on, and loses some.

    Args:
        port: of the server.
        fates: what becomes of each message on its way, in turn: `none`, or which of its parts is lost.
    """

    def __init__(self, port: int, *fates: str) -> None:
        self.port, self.fates, self.count, self.lost = port, fates, 0, []
        self.is_harmful = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._one(reader, writer)
        finally:
            writer.close()

    async def _one(self, reader, writer) -> None:
        request = await message_of(reader)
        fate = "none"
        if self.is_harmful:
            fate = self.fates[self.count % len(self.fates)]
            self.count += 1
        if fate != "none":
            self.lost.append(request.split(b"\r\n")[0].decode())
        if fate == "request":  # it never reaches the server
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        far_writer.write(request)
        reply = await message_of(far_reader)
        far_writer.close()
        if fate == "twice":  # it reaches the server twice
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
            far_writer.write(request)
            reply = await message_of(far_reader)
            far_writer.close()
        if fate == "reply":  # the server did it, and nobody hears of it
            return
        writer.write(reply[: len(reply) // 2] if fate == "half" else reply)
        await writer.drain()


@asynccontextmanager
async def proxied(url: str, *fates: str):
    proxy = Proxy(int(url.rsplit(":", 1)[1]), *fates)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxy
    finally:
        server.close()


async def client_at(url: str, store, patience: float = 20.0) -> RemoteLab:
    client = RemoteLab(plan_of(server=url), "c", None, store, patience=patience)
    await client.open()
    await client.take_over("c.id", 1)
    return client


@pytest.mark.parametrize(
    "fates",
    [
        ("request", "none"),
        ("reply", "none"),
        ("half", "none"),
        ("twice",),
        ("request", "reply", "half", "none", "twice"),
    ],
    ids=" ".join,
)
def test_whatever_is_lost_on_the_way_it_is_done_once(tmp_path, fates):
    async def main():
        async with served(tmp_path, clock=RealClock(1000.0)) as lab, proxied(lab.url, *fates) as (url, proxy):
            client = await client_at(url, lab.store.put)
            said = []
            client.say_to(said.append)
            proxy.is_harmful = True
            for number in range(5):
                fired, read = await asyncio.gather(
                    client.execute(command(f"f{number}", with_={"hold": 5.0}), True),
                    client.execute(command(f"p{number}", "probe", "read", with_={"x": 2.0}), False),
                )
                assert (fired.status, read.status, read.values) == ("succeeded", "succeeded", {"value": 4.0})
                assert lab.store.get(read.artefacts[0].sha256) == b"x\n2.0\n"
            proxy.is_harmful = False
            assert any(line.startswith("POST /commands?") for line in proxy.lost)
            if fates != ("twice",):
                assert "does not answer" in said[0]
                assert said[-1].endswith("answers again")
            await client.close()
            assert effects(tmp_path) == [f"f{n}" for n in range(5)]

    asyncio.run(main())


def test_a_server_that_is_not_there_is_said_and_nothing_is_sent(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(LabError, match=r"no lab server answers at .*nothing was sent; start it with: sdl lab serve"):
        served_plan(url, None)

    async def main():
        client = RemoteLab(plan_of(server=url), "c", None, lambda *_: None, patience=0.2)
        try:
            with pytest.raises(LabError, match="has not answered for 0 s"):
                await client.open()
        finally:
            await client.close()

    asyncio.run(main())


def test_patience_ends_and_the_command_stays_open(tmp_path):
    async def main():
        async with served(tmp_path, clock=RealClock(100.0)) as lab, proxied(lab.url, "reply") as (url, proxy):
            client = await client_at(url, lab.store.put, patience=0.5)
            proxy.is_harmful = True
            with pytest.raises(
                LabError, match=r"not answered for 0 s .*what was sent stays open.*run the same command again"
            ):
                await client.execute(command("f", with_={"hold": 1.0}), True)
            proxy.is_harmful = False
            await until(lambda: lab.server.log.record("f").state == "finished")
            assert (await client.reconcile(command("f"))).status == "succeeded"  # what reached the server is kept
            await client.close()

    asyncio.run(main())


def test_an_abort_that_cannot_be_is_soon_said(tmp_path, monkeypatch):
    monkeypatch.setattr("sdl.lab.client._URGENT", 0.3)

    async def main():
        async with served(tmp_path) as lab:
            client = await client_at(lab.url, lab.store.put)
        for do in (client.abort, client.safe_state):
            with pytest.raises(LabError, match="has not answered for 0 s"):
                await do()
        await client.close()

    asyncio.run(main())


def test_what_nobody_acknowledged_is_not_sent_again_after_an_abort(tmp_path, monkeypatch):
    monkeypatch.setattr("sdl.lab.client._URGENT", 0.3)

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
        said = []
        client.say_to(said.append)
        firing = asyncio.create_task(client.execute(command("f"), True))
        await until(lambda: said)
        client.withdraw()
        with pytest.raises(LabError, match="has not answered for 0 s"):
            await client.abort()
        async with served(tmp_path, port=int(lab.url.rsplit(":", 1)[1])) as lab:
            with pytest.raises(LabError, match="it is not asked again; what was sent stays open"):
                await asyncio.wait_for(firing, 20)
            assert lab.server.log.record("f") is None
            assert effects(tmp_path) == []
            assert (await client.execute(command("g"), True)).status == "succeeded"  # sent since
            await client.close()
            later = await lab.client(epoch=2)
            assert await later.reconcile(command("f")) is None
            await later.close()

    asyncio.run(main())


def test_what_waited_when_the_server_died_does_not_begin_after_an_abort(tmp_path, monkeypatch):
    monkeypatch.setattr("sdl.lab.client._URGENT", 0.3)

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            sent = [asyncio.create_task(client.execute(command("f", with_={"hold": 3.0}), True))]
            await until(lambda: effects(tmp_path) == ["f"])
            sent.append(asyncio.create_task(client.execute(command("g", samples=("s2",), experiment=2), True)))
            await until(lambda: "g" in client._following._said_of or lab.server.log.record("g") is not None)
        client.withdraw()
        with pytest.raises(LabError, match="has not answered for 0 s"):
            await client.abort()
        client._withdrawing.cancel()  # as if its patience had ended
        async with served(tmp_path, port=int(lab.url.rsplit(":", 1)[1])) as lab:
            fired, waited = await asyncio.wait_for(asyncio.gather(*sent, return_exceptions=True), 30)
            assert fired.status == "succeeded"  # nobody could abort it
            assert isinstance(waited, LabError) or waited.status == "not_started"
            await lab.server.idle.wait()
            assert effects(tmp_path) == ["f"]
            await client.close()

    asyncio.run(main())


def test_another_server_in_its_place_gets_nothing(tmp_path):
    async def main():
        async with served(tmp_path / "one") as lab:
            client = await client_at(lab.url, lab.store.put)
        async with served(tmp_path / "two", port=int(lab.url.rsplit(":", 1)[1])):
            with pytest.raises(LabError, match=r"keeps another command log.*start it with its old --home"):
                await client.execute(command("f"), True)
            client._epoch = 0
            await client.close()
        assert effects(tmp_path / "two") == []

    asyncio.run(main())


def test_a_server_that_came_back_knows_who_asks(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await client_at(lab.url, lab.store.put)
        async with served(tmp_path, port=int(lab.url.rsplit(":", 1)[1])) as lab:
            assert (await client.execute(command("f"), True)).status == "succeeded"
            assert lab.server.presence.gone("c.id") < 5
            with pytest.raises(ProtocolError, match="epoch"):
                lab.server.here("c.id", 0)
            await client.close()

    asyncio.run(main())


def test_what_is_no_lab_server_is_said(tmp_path):
    async def web(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(web, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(LabError, match=f"what answers at {url} is no lab server"):
            await asyncio.to_thread(served_plan, url, None)
        server.close()

    asyncio.run(main())
