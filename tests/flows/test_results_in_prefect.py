"""What Prefect is given to show of several objectives; no server is needed to make it."""

from __future__ import annotations

import asyncio

import pytest

from sdl.engine import View, open_session
from sdl.engine.worker import InlineWorker
from sdl.preflight import check

pytestmark = pytest.mark.prefect

POINTS = "a,y,z\n0,1,1\n1,9,5\n2,5,1\n3,6,2\n4,7,4\n"
TEXT = """
name: both
space:
  parameters: {a: {type: discrete, values: [0, 1, 2, 3, 4]}}
  candidates: {table: points.csv}
objectives: {y: {goal: maximize, unit: mm}, z: {goal: minimize}}
protocol: [{instrument: table, action: measure, with: {a: $a}, gives: {y: y, z: z}}]
lab:
  clock: {type: virtual}
  instruments:
    table: {driver: replay, settings: {table: points.csv, outcomes: [y, z], units: {y: mm}}}
planner: {type: random}
stop: {experiments: 5}
"""


def test_the_pareto_set_is_shown(write, tmp_path):
    from sdl_flows.hooks import PrefectHooks

    write("points.csv", POINTS)
    checked = check(write("both.yaml", TEXT))

    async def go():
        session = open_session(checked, tmp_path / "home")
        try:
            hooks = PrefectHooks(session, tmp_path / "home")
            nothing = View("both", checked.plan, session.state)
            assert "No feasible result yet." in await hooks._markdown(nothing)
            engine = await session.engine(InlineWorker())
            assert (await engine.run())[0] == "done"
            view = View("both", checked.plan, session.state)
            return await hooks._markdown(view), hooks._rows(view), session.state
        finally:
            await session.close()

    markdown, rows, state = asyncio.run(go())
    best = {1.0, 2.0, 3.0, 4.0}  # a = 0 is beaten by a = 2
    assert {r["a"] for r in rows if r["in Pareto set"] == "yes"} == best
    assert len(rows) == 5
    table = [line for line in markdown.splitlines() if line.startswith("| **")]
    numbers = [int(line.split("**")[1]) for line in table]
    assert [state.experiments[n].outcomes["y"].value for n in numbers] == [9.0, 7.0, 6.0, 5.0]
    assert "| experiment | y [mm] | z | candidate |" in markdown
    assert "![progress so far](data:image/png;base64,iVBOR" in markdown
