"""A command on a lab server that is late is reported while it still runs."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from enginekit import Diary
from labkit import plan_of, served

from sdl.clock import ClockSettings, RealClock
from sdl.engine import InlineWorker, open_session
from sdl.ledger import CommandLate, CommandSettled
from sdl.preflight import check

CAMPAIGN = """
name: c
space: {{parameters: {{x: {{type: continuous, bounds: [1, 3], unit: mm}}}}}}
objectives: {{value: {{goal: minimize, unit: mm}}}}
protocol:
  - {{instrument: blind, action: stir, with: {{seconds: {seconds} s}}}}
  - {{instrument: probe, action: read, with: {{x: $x}}, gives: {{value: value}}}}
lab: {{server: "{url}"}}
planner: {{type: random}}
stop: {{experiments: 1}}
"""


async def stirred(folder: Path, seconds: float) -> tuple[list[Any], list[str]]:
    """Run a campaign whose stirring should take 10 s, and counts as late after 310 s; returns events and diary."""
    plan = plan_of(ClockSettings("scaled", 1000.0))
    async with served(folder / "lab", plan=plan, clock=RealClock(1000.0)) as lab:
        path = folder / "c.yaml"
        path.write_text(CAMPAIGN.format(url=lab.url, seconds=seconds))
        checked, diary = await asyncio.to_thread(check, path), Diary()
        session = open_session(checked, folder / "home")
        try:
            engine = await session.engine(InlineWorker(), diary)
            assert (await engine.run())[0] == "done"
            return [r.event for r in session.ledger.rows("c")], diary.lines
        finally:
            await session.close()


def test_it_is_reported_while_it_runs(tmp_path: Path) -> None:
    events, lines = asyncio.run(stirred(tmp_path, 3000.0))
    (late,) = [e for e in events if isinstance(e, CommandLate)]
    assert (late.expected, late.limit) == (10.0, 310.0)
    order = [e for e in events if isinstance(e, CommandLate | CommandSettled)]
    began, told = (datetime.fromisoformat(x.started).timestamp() for x in (late, order[1]))
    assert order[0] is late and abs(began - told) < 100.0  # a tenth of a second on the wall
    (line,) = [x for x in lines if "LATE" in x]
    assert "blind.stir" in line and "still under way" in line


@pytest.mark.parametrize("seconds", [5.0, 150.0])
def test_one_in_time_is_not(tmp_path: Path, seconds: float) -> None:
    events, _ = asyncio.run(stirred(tmp_path, seconds))
    assert not [e for e in events if isinstance(e, CommandLate)]
