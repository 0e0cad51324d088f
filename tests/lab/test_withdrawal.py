"""What was withdrawn or aborted does not begin, be it in the queue, on its way, or sent to a server that is frozen."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx
import pytest
from labkit import Process, command, effects, plan_of, served, standing, until

from sdl.artefacts import ArtefactStore
from sdl.errors import LabError, LedgerError, ProtocolError
from sdl.lab.client import RemoteLab


class Post:
    """Takes POST /commands of a client away before they leave, to be delivered late."""

    def __init__(self, client: RemoteLab) -> None:
        self.taken: list[dict] = []
        real = client._server.once

        async def once(method, path, message=None, **options):
            if path.startswith("/commands?"):
                self.taken.append(message)
                await asyncio.sleep(0.05)
                raise httpx.ReadTimeout("nobody answers")
            return await real(method, path, message, **options)

        client._server.once = once


async def deliver(url: str, message: dict) -> dict:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        answer = await http.post("/commands", json=message)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.mark.parametrize("how", ["withdraw", "abort"])
def test_a_request_that_comes_after_its_withdrawal_is_refused_for_good(tmp_path, how):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            post = Post(client)
            firing = asyncio.create_task(client.execute(command("f"), True))
            await until(lambda: post.taken)
            if how == "abort":
                await client.abort()
            else:
                client.withdraw()
            reply = await asyncio.wait_for(firing, 20)
            assert (reply.status, reply.error) == ("not_started", "withdrawn before it arrived")
            late = await deliver(lab.url, post.taken[0])
            assert (late["state"], late["reply"]["status"]) == ("finished", "not_started")
            await client.close()
        async with served(tmp_path) as lab:
            assert (await deliver(lab.url, post.taken[0]))["reply"]["status"] == "not_started"
            back = await lab.client(epoch=2)
            assert await back.reconcile(command("f")) is None
            assert [c.id for c, _ in await back.commands_sent()] == []
            await back.close()
        assert effects(tmp_path) == []

    asyncio.run(main())


def test_what_cannot_be_written_as_refused_is_refused_all_the_same(tmp_path, monkeypatch):
    """And what runs is aborted: a full disk must not keep anybody from that."""
    monkeypatch.setattr("sdl.lab.client._URGENT", 0.3)

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            running = asyncio.create_task(client.execute(command("r", with_={"hold": 600.0}), True))
            await until(lambda: effects(tmp_path) == ["r"])
            post = Post(client)
            firing = asyncio.create_task(client.execute(command("f", samples=("s2",)), True))
            await until(lambda: post.taken)
            refused, is_full = lab.server.log.refused, True

            def full(*arguments):
                if is_full:
                    raise LedgerError("the disk is full")
                refused(*arguments)

            lab.server.log.refused = full
            with pytest.raises(LabError, match="the disk is full"):
                await client.abort()
            with pytest.raises(LabError, match="it is not asked again"):
                await asyncio.wait_for(firing, 20)
            await until(lambda: lab.server.log.record("r").state == "finished")
            async with httpx.AsyncClient(base_url=lab.url, trust_env=False) as http:
                assert (await http.post("/commands", json=post.taken[0])).status_code == 503
            is_full = False
            assert (await deliver(lab.url, post.taken[0]))["reply"]["status"] == "not_started"
            assert (await running).status == "aborted"
            assert effects(tmp_path) == ["r"]
            await client.close()

    asyncio.run(main())


def test_an_abort_alone_lets_nothing_begin(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            first = asyncio.create_task(client.execute(command("f", with_={"hold": 600.0}), True))
            await until(lambda: effects(tmp_path) == ["f"])
            second = asyncio.create_task(client.execute(command("g", samples=("s2",)), True))
            await until(lambda: lab.server.log.record("g") is not None)
            await client.abort()
            assert [r.status for r in await asyncio.gather(first, second)] == ["aborted", "not_started"]
            assert effects(tmp_path) == ["f"]
            await client.close()

    asyncio.run(main())


def test_nobody_withdraws_what_is_not_his(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client, other = await lab.client(), await lab.client("other")
            post = Post(other)
            firing = asyncio.create_task(other.execute(command("f"), True))
            await until(lambda: post.taken)
            async with httpx.AsyncClient(base_url=lab.url, trust_env=False) as http:
                message = {"epoch": 1, "commands": [post.taken[0]]}
                assert (await http.post("/campaigns/c.id/withdraw", json=message)).json() == 0
                broken = {"epoch": 1, "commands": [{**post.taken[0], "digest": "0" * 64}]}
                assert (await http.post("/campaigns/other.id/withdraw", json=broken)).status_code == 409
            assert (await deliver(lab.url, post.taken[0]))["state"] != "finished"
            await until(lambda: lab.server.log.record("f").state == "finished")
            assert lab.server.log.record("f").reply.status == "succeeded"
            firing.cancel()
            with pytest.raises(ProtocolError, match="epoch"):
                lab.server.withdraw("c.id", 0)
            await client.close()
            await other.close()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["stopped while it was frozen", "thawed before"])
def test_a_frozen_server_that_thaws_begins_nothing_that_was_aborted(tmp_path, monkeypatch, how):
    monkeypatch.setattr("sdl.lab.client._URGENT", 0.5)

    async def main():
        with Process(tmp_path) as server:
            store = ArtefactStore(str(tmp_path / "client"))
            client = RemoteLab(plan_of(server=server.url), "c", None, store.put)
            await client.open()
            await client.take_over("c.id", 1)
            blocking = asyncio.create_task(client.execute(command("r", with_={"hold": 600.0}), True))
            await until(lambda: effects(tmp_path) == ["r"])
            os.kill(server.process.pid, signal.SIGSTOP)
            firing = asyncio.create_task(client.execute(command("f", samples=("s2",)), True))
            await until(lambda: "f" in client._unacknowledged)
            if how.startswith("stopped"):
                client.withdraw()
                with pytest.raises(LabError, match="has not answered for 0 s"):  # soon, though nothing broke off
                    await asyncio.wait_for(client.abort(), 10)
                os.kill(server.process.pid, signal.SIGCONT)
            else:
                aborting = asyncio.create_task(client.abort())
                await asyncio.sleep(0)
                os.kill(server.process.pid, signal.SIGCONT)
                await aborting
            reply = await asyncio.wait_for(firing, 30)
            assert reply.status == "not_started"
            assert (await standing(server.url, "f"))["reply"]["status"] == "not_started"
            assert effects(tmp_path) == ["r"]
            await client.abort()
            assert (await blocking).status == "aborted"
            await client.close()

    asyncio.run(main())
