"""Commands at a server that only a person can bring on: the campaign is told, and of nothing that another one may still do."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from labkit import command, plan_of, served, until

from sdl.errors import OutcomeUnknown


def move(id_: str, to: str | None, *samples: str, **options):
    return command(id_, "arm", "move", with_=options, destination=to, samples=samples)


def test_a_command_behind_a_kept_instrument_waits_for_a_person(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            changes: list[list[str]] = []
            client.when_held(lambda: changes.append(client.blocked()))
            lost = move("a", None, "s1", breaks=True)
            assert (await client.execute(lost, True)).status == "unknown"
            assert client.blocked() == []
            waiting = asyncio.create_task(client.execute(move("b", None, "s2"), True))
            other = await client.execute(command("f"), True)  # another instrument is nobody's concern
            assert other.status == "succeeded"
            await until(lambda: changes)
            said = "'arm' is held until a person says what became of command a"
            assert changes == [[said]]
            assert lab.server.work.standing("b").message == said
            client.answered(lost, "not_started")
            assert client.blocked() == []  # at once: the server hears of it right now
            assert (await waiting).status == "succeeded"
            assert client.blocked() == []
            await client.close()

    asyncio.run(main())


def test_it_becomes_so_while_it_waits(tmp_path):
    """The command before it was running when it came; the news reaches whoever asks, also over a restart of the server."""

    async def main():
        async with served(tmp_path) as lab:
            client = await lab.client()
            told, said = asyncio.Event(), asyncio.Event()
            client.when_held(told.set)

            async def ask(form):
                await said.wait()
                raise OutcomeUnknown("nobody knows")

            client.put_questions_to(ask)
            first = asyncio.create_task(client.execute(command("q", "person", "tell"), True))
            await until(lambda: "q" in lab.server.work.jobs and lab.server.work.jobs["q"].question is not None)
            second = asyncio.create_task(client.execute(command("r", "person", "tell", samples=("s2",)), True))
            await until(lambda: "r" in lab.server.work.jobs)
            lab.server.work.look()
            assert lab.server.work.standing("r").held is None
            said.set()
            assert (await first).status == "unknown"
            await asyncio.wait_for(told.wait(), 20)
            assert client.blocked() == ["'person' is held until a person says what became of command q"]
            second.cancel()
            await client.close()
        async with served(tmp_path) as lab:
            client = await lab.client(epoch=2)
            asking = asyncio.create_task(client.reconcile(command("r", "person", "tell", samples=("s2",))))
            await until(lambda: client.blocked() == ["'person' is held until a person says what became of command q"])
            asking.cancel()
            await client.close()

    asyncio.run(main())


def test_what_another_campaign_lost_counts_once_it_had_time_to_say_that_it_may_be_done_again(tmp_path, monkeypatch):
    async def main():
        async with served(tmp_path) as lab:
            one, two = await lab.client("one"), await lab.client("two")
            assert (await one.execute(move("a", None, "s1", breaks=True), True)).status == "unknown"
            waiting = asyncio.create_task(two.execute(replace(move("b", None, "s2"), campaign="two"), True))
            await until(lambda: "b" in lab.server.work.jobs)
            lab.server.work.look()
            assert lab.server.work.standing("b").held is None
            monkeypatch.setattr("sdl.lab.held.GRACE", 0.0)
            await until(two.blocked)
            assert two.blocked()[0].endswith("became of command a, which another campaign sent")
            waiting.cancel()
            await one.close()
            await two.close()

    asyncio.run(main())


def test_room_counts_only_where_nobody_else_here_can_make_it(tmp_path):
    async def main():
        async with served(tmp_path, plan=plan_of(places={"tray": 1, "shelf": 1})) as lab:
            one, two = await lab.client("one"), await lab.client("two")
            assert (await one.execute(move("a", "tray", "one-1"), True)).status == "succeeded"
            own = asyncio.create_task(one.execute(move("b", "tray", "one-2"), True))
            await until(one.blocked)
            assert one.blocked() == ["'tray' holds 1 of 1: 'one-1'"]
            others = asyncio.create_task(two.execute(move("c", "tray", "two-1"), True))
            await until(lambda: "c" in lab.server.work.jobs)
            lab.server.work.look()
            assert two.blocked() == []
            assert "tray" in lab.server.work.standing("c").message
            own.cancel()
            one.withdraw()
            await one.close()  # it says goodbye
            await until(two.blocked)
            assert two.blocked() == ["'tray' holds 1 of 1: 'one-1'"]
            two.cleared("one-1")
            assert (await others).status == "succeeded"
            await two.close()

    asyncio.run(main())
