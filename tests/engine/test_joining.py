"""A campaign is gone on with only where everything that its journal says is known."""

from __future__ import annotations

import asyncio
import os

import pytest

from sdl.engine import InlineWorker, open_session
from sdl.errors import LedgerError, NameInUseError
from sdl.ledger import RoundOpened
from sdl.preflight import check

FILE = """
name: pellets
space: {parameters: {a: {type: continuous, bounds: [0, 1]}}}
objectives: {y: {goal: minimize}}
protocol: [{instrument: table, action: measure, with: {a: $a}, gives: {y: y}}]
lab:
  clock: {type: virtual}
  instruments:
    table: {driver: replay, settings: {table: points.csv, outcomes: [y], match: nearest, tolerance: 1, duration: 2 h}}
planner: {type: random}
stop: {experiments: 3}
"""


@pytest.fixture
def file(write):
    write("points.csv", "a,y\n0,1\n0.5,0\n1,1\n")
    return write("pellets.yaml", FILE)


def test_a_take_over_that_is_refused_takes_nothing(file, tmp_path):
    """Else the campaign would have lost its owner, frozen or not, without a fence against it."""

    async def go():
        first = open_session(check(file), tmp_path)
        await first.engine(InlineWorker())
        os.utime(tmp_path / "locks" / "pellets.lock", (0, 0))
        with pytest.raises(NameInUseError, match="planner"):
            open_session(check(file, overrides=("planner.type=sobol",)), tmp_path, take_over=60)
        with pytest.raises(NameInUseError, match=f"process {os.getpid()}"):
            open_session(check(file), tmp_path)
        await first.close()

    asyncio.run(go())


def test_rows_that_came_after_the_journal_was_read_are_not_passed_over(file, tmp_path):
    async def go():
        session = open_session(check(file), tmp_path)
        session.ledger.append("pellets", 0.0, [RoundOpened(1, 1, 1)])
        with pytest.raises(LedgerError, match=r"another process has written 1 row\(s\)"):
            await session.engine(InlineWorker())
        await session.close()
        again = open_session(check(file), tmp_path)
        await again.engine(InlineWorker())
        assert len(again.state.rounds) == 1
        await again.close()

    asyncio.run(go())
