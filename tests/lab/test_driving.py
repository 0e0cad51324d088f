"""What is recorded of a command that is being aborted is decided once its instrument has answered the abort."""

from __future__ import annotations

import asyncio

import pytest
from labkit import Oven, command, effects, served, until

from sdl.errors import InstrumentFault, OutcomeUnknown


@pytest.mark.parametrize(
    ("error", "stops", "status"),
    [
        (ConnectionError("link lost"), False, "unknown"),
        (OutcomeUnknown("nobody saw"), False, "unknown"),
        (InstrumentFault("door open"), False, "failed"),
        (ConnectionError("link lost"), True, "aborted"),
        (InstrumentFault("stopped at 500 degC"), True, "aborted"),
    ],
)
def test_a_link_that_breaks_under_an_abort_stops_nothing(tmp_path, monkeypatch, error, stops, status):
    async def main():
        broken = asyncio.Event()

        async def perform(oven, action, ctx, arguments):
            oven.world.begin(ctx.command, oven.clock.now(), 600.0)
            await broken.wait()
            raise error

        async def abort(oven, command):
            broken.set()
            await asyncio.sleep(0.2)
            return stops

        real = Oven.perform
        monkeypatch.setattr(Oven, "perform", perform)
        monkeypatch.setattr(Oven, "abort", abort)
        async with served(tmp_path) as lab:
            client = await lab.client()
            firing = asyncio.create_task(client.execute(command("f", with_={"hold": 600.0}), True))
            await until(lambda: effects(tmp_path) == ["f"])
            await client.abort()
            reply = await asyncio.wait_for(firing, 10)
            assert (reply.status, str(error) in reply.error) == (status, True)
            monkeypatch.setattr(Oven, "perform", real)
            following = asyncio.create_task(client.execute(command("g", samples=("s2",)), True))
            if status == "unknown":
                await until(lab.server.lab.blocked)
                assert effects(tmp_path) == ["f"], "nobody knows what is in the furnace"
                client.withdraw()
            assert (await following).status == ("not_started" if status == "unknown" else "succeeded")
            await client.close()

    asyncio.run(main())


def test_a_server_that_ends_under_an_abort_records_nothing(tmp_path, monkeypatch):
    async def main():
        asked = asyncio.Event()

        async def abort(oven, command):
            asked.set()
            await asyncio.sleep(600)
            return True

        monkeypatch.setattr(Oven, "abort", abort)
        async with served(tmp_path) as lab:
            client = await lab.client()
            firing = asyncio.create_task(client.execute(command("f", with_={"hold": 600.0}), True))
            await until(lambda: effects(tmp_path) == ["f"])
            aborting = asyncio.create_task(lab.server.lab.abort())
            await asked.wait()
            await lab.server.work.end()
            assert lab.server.log.record("f").state == "started"
            for task in (aborting, firing):
                task.cancel()
            await asyncio.gather(aborting, firing, return_exceptions=True)
            await client.close()

    asyncio.run(main())
