"""A command that a dead server sent is under way from the first question on: seen, aborted, and left alone by others."""

from __future__ import annotations

import asyncio

import pytest
from labkit import Oven, Process, command, effects, plan_of, served, until

from sdl.clock import RealClock
from sdl.driver import Reconciled, SafeReport
from sdl.lab.embedded import EmbeddedLab
from sdl.world import World


class Asked:
    """Ovens whose answer to `reconcile` is waited for; what is done to them is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.began, self.answers = asyncio.Event(), asyncio.Event()
        real_asked, real_abort = Oven.reconcile, Oven.abort

        async def reconcile(oven, command):
            self.began.set()
            await self.answers.wait()
            return await real_asked(oven, command)

        async def abort(oven, command):
            self.done.append(f"abort {command.id}")
            return await real_abort(oven, command)

        async def safe_state(oven):
            self.done.append("safe")
            return SafeReport(True, "heater off")

        monkeypatch.setattr(Oven, "reconcile", reconcile)
        monkeypatch.setattr(Oven, "abort", abort)
        monkeypatch.setattr(Oven, "safe_state", safe_state)


async def _die_firing(folder) -> None:
    """Have a server die under a firing of 600 s."""
    with Process(folder) as server:
        from sdl.artefacts import ArtefactStore
        from sdl.lab.client import RemoteLab

        client = RemoteLab(plan_of(server=server.url), "c", None, ArtefactStore(str(folder / "client")).put)
        await client.open()
        await client.take_over("c.id", 1)
        firing = asyncio.create_task(client.execute(command("f", with_={"hold": 600.0}), True))
        await until(lambda: effects(folder) == ["f"])
        server.kill()
        firing.cancel()
        await asyncio.gather(firing, return_exceptions=True)
        await client.close()


def test_another_campaign_leaves_alone_what_is_being_asked(tmp_path, monkeypatch):
    async def main():
        await _die_firing(tmp_path)
        asked = Asked(monkeypatch)
        async with served(tmp_path) as lab:
            other = await lab.client("d")
            await asked.began.wait()
            await other.abort()
            report = (await other.safe_state())["oven"]
            assert asked.done == []
            assert not report.confirmed
            assert "at work for another campaign" in report.message
            assert [c.id for c in lab.server.lab.under_way()] == ["f"]
            await other.close()
            asked.answers.set()

    asyncio.run(main())


@pytest.mark.parametrize("answer", ["running", "unknown"])
def test_a_lab_that_is_stopped_aborts_what_is_being_asked(tmp_path, monkeypatch, answer):
    async def main():
        await _die_firing(tmp_path)
        asked = Asked(monkeypatch)
        async with served(tmp_path) as lab:
            await asked.began.wait()

            async def late(oven, command):
                await asked.answers.wait()
                return Reconciled(answer, ends=oven.clock.now() + 600) if answer == "running" else Reconciled(answer)

            await lab.server.stopping.stop("a person")
            assert asked.done[0] == "abort f"
            monkeypatch.setattr(Oven, "reconcile", late)
            asked.answers.set()
            await until(lambda: lab.server.log.record("f").state == "finished")
            assert lab.server.lab.under_way() == []

    asyncio.run(main())


def _embedded(folder) -> EmbeddedLab:
    return EmbeddedLab(plan_of(), RealClock(), lambda *_: None, World(1, folder / "world.jsonl"))


@pytest.mark.parametrize("answer", ["running", "unknown", "breaks"])
@pytest.mark.parametrize("stops", [True, False])
def test_what_is_said_of_it_is_decided_once_the_abort_has_answered(tmp_path, monkeypatch, answer, stops):
    async def main():
        asked, aborting = asyncio.Event(), asyncio.Event()
        calls: list[str] = []

        async def reconcile(oven, command):
            calls.append(answer)
            asked.set()
            if len(calls) > 1:
                return Reconciled("done", {}, started=0.0, finished=1.0)
            await aborting.wait()
            if answer == "breaks":
                raise ConnectionError("link lost")
            return Reconciled(answer)

        async def abort(oven, command):
            aborting.set()
            await asyncio.sleep(0.1)
            return stops

        monkeypatch.setattr(Oven, "reconcile", reconcile)
        monkeypatch.setattr(Oven, "abort", abort)
        lab = _embedded(tmp_path)
        await lab.open()
        asking = asyncio.create_task(lab.reconcile(command("f")))
        await asked.wait()
        await lab.abort()
        status = (await asyncio.wait_for(asking, 10)).status
        assert status == ("aborted" if stops else {"running": "succeeded"}.get(answer, "unknown"))
        assert lab.under_way() == []
        await lab.close()

    asyncio.run(main())


def test_an_interlock_that_finds_nothing_to_stop_says_so(tmp_path):
    async def main():
        lab = _embedded(tmp_path)
        await lab.open()
        assert "could not be stopped" in await lab._interrupt(command("f"))
        await lab.close()

    asyncio.run(main())
