"""A disk that fails under a driver at the server: raw data are held until it takes them, and no command passes a broken one."""

from __future__ import annotations

import asyncio

from labkit import Oven, command, effects, served, until

from sdl.errors import LedgerError


def test_raw_data_that_the_disk_refuses_are_kept_until_it_takes_them(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("sdl.lab.keeping._AGAIN", 0.01)

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            put, refused = lab.server.store.put, []

            def full(name, data, media_type):
                if len(refused) < 3:
                    refused.append(name)
                    assert lab.server.log.record("p").state == "started"  # its reply is not told before
                    raise LedgerError(f"raw data '{name}' cannot be kept: the disk is full")
                return put(name, data, media_type)

            lab.server.store.put = full
            reply = await client.execute(command("p", "probe", "read", with_={"x": 3.0}), False)
            assert (reply.status, reply.values) == ("succeeded", {"value": 9.0})
            assert refused == ["trace.csv"] * 3
            assert lab.store.get(reply.artefacts[0].sha256) == b"x\n3.0\n"
            assert lab.server.store.get(reply.artefacts[0].sha256) == b"x\n3.0\n"
            await client.close()

    asyncio.run(main())
    assert caplog.text.count("waits for its raw data: raw data 'trace.csv' cannot be kept") == 2


def test_what_broke_off_for_want_of_disk_is_asked_of_its_driver_before_the_next_one_begins(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("sdl.lab.work._AGAIN", 0.3)
    perform, states = Oven.perform, []

    async def breaks(self, action, ctx, arguments):
        if ctx.command.id != "f":
            states.append("g begins")
        found = await perform(self, action, ctx, arguments)
        if ctx.command.id == "f":
            states.append("f broke off")
            raise LedgerError("the disk is full")
        return found

    asked = Oven.reconcile

    async def reconcile(self, of):
        states.append(f"{of.id} is asked about")
        return await asked(self, of)

    monkeypatch.setattr(Oven, "perform", breaks)
    monkeypatch.setattr(Oven, "reconcile", reconcile)

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            first = asyncio.create_task(client.execute(command("f", with_={"hold": 0.1}), True))
            await until(lambda: effects(tmp_path) == ["f"])
            second = asyncio.create_task(client.execute(command("g", samples=("s2",)), True))
            replies = await asyncio.wait_for(asyncio.gather(first, second), 20)
            assert [r.status for r in replies] == ["succeeded", "succeeded"]
            assert states == ["f broke off", "f is asked about", "g begins"]
            assert effects(tmp_path) == ["f", "g"]
            await client.close()

    asyncio.run(main())
    assert "broke off (the disk is full): its driver is asked" in caplog.text
