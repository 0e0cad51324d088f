"""A command log of a lab server that was restored from a backup has nothing begin twice."""

from __future__ import annotations

import asyncio
import shutil
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from enginekit import Diary
from labkit import Blind, command, effects, served, until
from test_served_campaign import FAST, lab_in, of, run, write

from sdl.clock import RealClock
from sdl.engine import InlineWorker, open_session
from sdl.errors import LabError, LedgerError
from sdl.ledger import CommandIntended, CommandSettled, QuestionOpened
from sdl.preflight import check


def copy_log(source: Path, target: Path) -> None:
    """Put a folder's command log in the place of another's."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("commands.db*"):
        old.unlink()
    for file in source.glob("commands.db*"):
        shutil.copy(file, target / file.name)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("backup", ["before the campaign", "during the campaign"])
def test_a_command_that_was_acknowledged_is_not_sent_to_a_restored_log(tmp_path, monkeypatch, backup):
    folder, back, port, calls = tmp_path / "lab", tmp_path / "back", free_port(), []
    perform = Blind.perform

    async def counted(self, action, ctx, arguments):
        calls.append(ctx.command.id)
        return await perform(self, action, ctx, arguments)

    monkeypatch.setattr(Blind, "perform", counted)

    async def main():
        async with served(folder, port=port) as lab:
            other = await lab.client("other")
            await other.close()
        copy_log(folder, back)
        async with AsyncExitStack() as first:
            lab = await first.enter_async_context(served(folder, port=port))
            client = await lab.client()
            if backup == "during the campaign":
                await client.execute(command("a", "idle", "nothing"), False)
                copy_log(folder, back)
            stirring = asyncio.create_task(client.execute(command("f", "blind", "stir", with_={"seconds": 30}), True))
            await until(client.busy)
        copy_log(back, folder)
        async with served(folder, port=port) as lab:
            with pytest.raises(LabError, match=r"older than .* acknowledged .*nothing is sent.*stays open"):
                await asyncio.wait_for(stirring, 20)
            with pytest.raises(LabError, match="older"):
                await client.execute(command("g", "blind", "stir", with_={"seconds": 0.01}, samples=("s2",)), True)
            assert not lab.server.log.knows("f")
            assert not lab.server.log.knows("g")
            await client.close()
        assert calls == ["f"]

    asyncio.run(main())


def test_a_whole_log_goes_on_with_what_it_had_accepted(tmp_path):
    """A queued command that was acknowledged begins once at a server that was started again."""
    port = free_port()

    async def main():
        async with served(tmp_path, port=port) as lab:
            client = await lab.client()
            first = asyncio.create_task(client.execute(command("f", with_={"hold": 2.0}), True))
            second = asyncio.create_task(client.execute(command("g", samples=("s2",)), True))
            await until(lambda: client._following.acknowledged.keys() == {"f", "g"})
        async with served(tmp_path, port=port):
            assert [(await asyncio.wait_for(t, 20)).status for t in (first, second)] == ["succeeded", "succeeded"]
            await client.close()
        assert effects(tmp_path) == ["f", "g"]

    asyncio.run(main())


async def dies(path: Path, home: Path, when) -> None:
    """Run the campaign and let it die without a goodbye once a condition holds."""
    session = open_session(await asyncio.to_thread(check, path), home)
    engine = await session.engine(InlineWorker(), Diary())
    running = asyncio.create_task(engine.run())
    await until(when)
    running.cancel()
    for task in engine._live.values():
        task.cancel()
    await asyncio.gather(running, *engine._live.values(), return_exceptions=True)
    await session.close()


@pytest.mark.parametrize("backup", ["before the campaign", "before its first run", "during its first run"])
def test_the_next_process_refuses_a_log_that_is_older_than_the_ledger(tmp_path, backup):
    home, lab_folder, back = tmp_path / "home", tmp_path / "lab", tmp_path / "back"

    async def main():
        async with lab_in(tmp_path) as lab:
            port = int(lab.url.rsplit(":", 1)[1])
            path = write(tmp_path, lab.url, budget=1)
        copy_log(lab_folder, back)
        async with lab_in(tmp_path, port) as lab:
            if backup == "during its first run":
                accept = lab.server.log.accept

                def copies_once(*args):
                    if not effects(lab_folder):
                        copy_log(lab_folder, back)
                    accept(*args)

                lab.server.log.accept = copies_once
            if backup == "before the campaign":
                await dies(path, home, lambda: len(effects(lab_folder)) == 1)
            else:
                assert (await run(path, home))[0][0] == "done"
        whole = tmp_path / "whole"
        copy_log(lab_folder, whole)
        copy_log(back, lab_folder)
        async with lab_in(tmp_path, port):
            for _ in range(2):  # and again: the refusal hides nothing
                with pytest.raises(LabError, match=r"older than .*nothing is sent"):
                    await run(path, home)
        assert len(effects(lab_folder)) == 1
        copy_log(whole, lab_folder)
        async with lab_in(tmp_path, port):
            end, events, _ = await run(path, home)
            assert end[0] == "done"
        assert len(effects(lab_folder)) == 1
        assert of(events, QuestionOpened) == []

    asyncio.run(main())


def test_an_open_command_that_a_restarted_server_does_not_know_becomes_a_question(tmp_path):
    """Restored from right before it: the epoch is known, every settled command is, and the firing took place all the same."""
    home, lab_folder, back = tmp_path / "home", tmp_path / "lab", tmp_path / "back"

    async def main():
        async with lab_in(tmp_path) as lab:
            port = int(lab.url.rsplit(":", 1)[1])
            path = write(tmp_path, lab.url, budget=1)
            accept = lab.server.log.accept

            def copies_first(*args):
                copy_log(lab_folder, back)
                accept(*args)

            lab.server.log.accept = copies_first
            await dies(path, home, lambda: len(effects(lab_folder)) == 1)
        copy_log(back, lab_folder)
        async with lab_in(tmp_path, port):
            for _ in range(2):
                end, events, _ = await run(path, home)
                assert end[0] == "waiting"
            assert of(events, CommandSettled)[0].status == "unknown"
            (question,) = of(events, QuestionOpened)
            assert "may have been restored" in question.text
        assert len(effects(lab_folder)) == 1

    asyncio.run(main())


def test_an_open_command_that_never_came_is_settled_as_not_started(tmp_path):
    """The server lives since before it was to be sent, so its log is whole."""
    home, lab_folder = tmp_path / "home", tmp_path / "lab"

    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url, budget=1)
            session = open_session(await asyncio.to_thread(check, path), home)
            engine = await session.engine(InlineWorker(), Diary())
            tried = []

            async def never(*args, **options):
                tried.append(args)
                await asyncio.sleep(1e6)

            engine.lab.execute = never
            running = asyncio.create_task(engine.run())
            await until(lambda: tried)
            running.cancel()
            for task in engine._live.values():
                task.cancel()
            await asyncio.gather(running, *engine._live.values(), return_exceptions=True)
            await session.close()
            end, events, _ = await run(path, home)
            assert end[0] == "done"
            assert [e.status for e in of(events, CommandSettled)] == ["not_started", "succeeded", "succeeded"]
            assert of(events, CommandIntended)[0].command not in effects(lab_folder)

    asyncio.run(main())


def test_a_form_that_the_ledger_cannot_take_is_asked_again(tmp_path):
    async def main():
        async with served(tmp_path) as lab:
            client, said, calls = await lab.client(), [], []
            client.say_to(said.append)

            async def ask(form):
                calls.append(form.command)
                if len(calls) == 1:
                    raise LedgerError("the database is away")
                return {"value": 2.0}

            client.put_questions_to(ask)
            reply = await asyncio.wait_for(client.execute(command("p", "person", "tell"), False), 20)
            assert reply.values == {"value": 2.0}
            assert calls == ["p", "p"]
            assert len(said) == 1
            assert "the database is away" in said[0]
            assert "asked again" in said[0]
            await client.close()

    asyncio.run(main())


def test_a_stranger_under_way_is_asked_about_once_it_is_over(tmp_path):
    """The ledger was restored from before a firing that still goes on; nobody can say yet what becomes of it."""
    home, copy, lab_folder = tmp_path / "home", tmp_path / "copy", tmp_path / "lab"

    async def main():
        async with served(lab_folder, plan=FAST, clock=RealClock(10.0)) as lab:  # 20 s of firing last 2 s
            path = write(tmp_path, lab.url, budget=1)
            session = open_session(await asyncio.to_thread(check, path), home)
            await session.close()
            await asyncio.to_thread(shutil.copytree, home, copy)
            await dies(path, home, lambda: len(effects(lab_folder)) == 1)
            await asyncio.to_thread(shutil.rmtree, home)
            await asyncio.to_thread(shutil.copytree, copy, home)
            (fired,) = effects(lab_folder)
            assert lab.server.log.record(fired).state == "started"
            end, events, _ = await run(path, home)
            assert end[0] == "waiting"
            assert lab.server.log.record(fired).state == "finished"
            settled = of(events, CommandSettled)[0]
            assert (settled.command, settled.status) == (fired, "unknown")
            assert "it ended: succeeded" in settled.error
            assert len(of(events, QuestionOpened)) == 1
            assert effects(lab_folder) == [fired]

    asyncio.run(main())
