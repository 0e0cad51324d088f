"""Interlocks on a lab server: they hold without the campaign's process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from labkit import served, standing, until

from sdl.campaign.interlocks import Requirement
from sdl.clock import ClockSettings
from sdl.driver import Command, Context, DriverSettings, Instrument, Reading, SafeReport, action
from sdl.lab.plan import InstrumentPlan, LabPlan
from sdl.units import read_quantity


class Stove(Instrument):
    """A stove as hot as the test says."""

    nature = "simulated"
    celsius = 20.0

    @action(effect="repeatable")
    async def nothing(self, ctx: Context) -> None:
        """Do nothing."""

    async def read_state(self) -> dict[str, Reading]:
        return {"plate": Reading(self.celsius, "degC", self.clock.now())}


class Hand(Instrument):
    """A hand that moves until it is stopped."""

    nature = "simulated"
    said: list[str]

    @action(effect="irreversible", duration="1 h", abortable=True)
    async def move(self, ctx: Context) -> None:
        """Move."""
        self.said = ["moves"]
        await ctx.sleep(3600)

    async def abort(self, command: Command) -> bool:
        self.said.append("aborted")
        return True

    async def safe_state(self) -> SafeReport:
        self.said.append("safe")
        return SafeReport(True, "hand at rest")


def _plan(wait: float = 0.0) -> LabPlan:
    cool = Requirement("stove", "plate", at_most=read_quantity("60 degC"), wait=wait, every=0.02)
    kinds: dict[str, tuple[type[Instrument], Any]] = {"stove": (Stove, ()), "hand": (Hand, (cool,))}
    return LabPlan(
        "bench",
        ClockSettings(),
        {"seed": 1},
        {
            n: InstrumentPlan(n, n, k, DriverSettings(), k.describe(DriverSettings(), n), requires=r)
            for n, (k, r) in kinds.items()
        },
    )


def _move(id_: str = "m1") -> Command:
    return Command(id_, "c", 1, 1, 0, "hand", "move", {}, ("s1",), 0)


def test_the_server_denies_and_the_campaign_is_told_why(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, plan=_plan()) as lab:
            lab.server.lab.instruments["stove"].celsius = 431.0
            client = await lab.client()
            reply = await client.execute(_move(), begins_sample=True)
            assert (reply.status, reply.interlock, reply.started) == ("failed", True, None)
            assert "stove.plate is 431 degC, allowed is at most 60 degC" in reply.error
            assert not hasattr(lab.server.lab.instruments["hand"], "said")
            await client.close()

    asyncio.run(main())


def test_who_waits_is_told_for_what_and_can_be_withdrawn(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, plan=_plan(wait=600.0)) as lab:
            lab.server.lab.instruments["stove"].celsius = 431.0
            client = await lab.client()
            waiting = asyncio.ensure_future(client.execute(_move(), begins_sample=True))
            await until(lab.server.lab.busy)
            now = await standing(lab.url, "m1")
            assert now["state"] == "accepted" and "waits up to 10 min: stove.plate is 431 degC" in now["message"]
            client.withdraw()
            reply = await asyncio.wait_for(waiting, 20)
            assert (reply.status, reply.interlock) == ("not_started", False)
            lab.server.lab.instruments["stove"].celsius = 20.0
            moving = asyncio.ensure_future(
                client.execute(_move("m2"), begins_sample=True)
            )  # the instrument is free again
            await until(lambda: hasattr(lab.server.lab.instruments["hand"], "said"))
            await client.abort()
            assert (await asyncio.wait_for(moving, 20)).status == "aborted"
            await client.close()

    asyncio.run(main())


def test_it_holds_when_the_campaign_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, plan=_plan()) as lab:
            client = await lab.client()
            sent = asyncio.ensure_future(client.execute(_move(), begins_sample=True))
            hand = lab.server.lab.instruments["hand"]
            await until(lambda: hasattr(hand, "said"))
            sent.cancel()
            await client.close()
            lab.server.lab.instruments["stove"].celsius = 431.0
            await until(lambda: lab.server.log.record("m1").state == "finished")
            reply = lab.server.log.record("m1").reply
            assert (reply.status, reply.interlock) == ("failed", True)
            assert "stove.plate is 431 degC" in reply.error and "confirmed: hand at rest" in reply.error
            assert hand.said == ["moves", "aborted", "safe"]

    asyncio.run(main())
