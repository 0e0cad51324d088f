"""A small lab for tests of the engine: instruments whose truth is a formula, and which can be told to misbehave."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from sdl.driver import Context, Health, Instrument, Limits, Reconciled, SafeReport, Unit, action
from sdl.engine import Hooks, InlineWorker, open_session
from sdl.errors import InstrumentFault, OutcomeUnknown
from sdl.ledger import CommandSettled, ObservationRecorded, RoundProposed
from sdl.preflight import check


@dataclass(frozen=True)
class Size:
    """What the gauge reads."""

    size: Annotated[float, Unit("mm")]
    size_uncertainty: Annotated[float, Unit("mm")]


@dataclass
class Behaviour:
    """How the test instruments behave; one object for all, reset before each test."""

    executed: Counter[str] = field(default_factory=Counter)
    fails: set[int] = field(default_factory=set)
    nan: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    known: dict[str, str] = field(default_factory=dict)
    reconciles: str = "unknown"
    made_safe: int = 0


class Press(Instrument):
    """A press that takes an hour."""

    nature = "simulated"
    behaviour: ClassVar[Behaviour] = Behaviour()

    @action(effect="irreversible", duration="1 h", abortable=True)
    async def press(self, ctx: Context, force: Annotated[float, Unit("kN"), Limits(0, 100)]) -> None:
        """Press a pellet."""
        number = ctx.command.experiment
        self.behaviour.executed[f"{ctx.sample} press"] += 1
        await ctx.sleep(3600)
        if number in self.behaviour.fails:
            raise InstrumentFault("the pellet broke; make another")
        if number in self.behaviour.unknown:
            raise OutcomeUnknown("no answer after sending")

    async def reconcile(self, command):
        if self.behaviour.reconciles == "not_started":
            return Reconciled("not_started")
        if self.behaviour.reconciles == "done":
            return Reconciled("done", {}, started=0.0, finished=3600.0)
        return Reconciled("unknown")

    async def abort(self, command) -> bool:
        return True

    async def health(self) -> Health:
        return Health("ok")

    async def safe_state(self) -> SafeReport:
        self.behaviour.made_safe += 1
        return SafeReport(True, "open")


class Gauge(Instrument):
    """A gauge."""

    nature = "simulated"
    behaviour: ClassVar[Behaviour] = Press.behaviour

    @action(effect="reads", duration="1 min")
    async def measure(self, ctx: Context, force: Annotated[float, Unit("N")]) -> Size:
        """Measure the pellet."""
        await ctx.sleep(60)
        if ctx.command.experiment in self.behaviour.nan:
            return Size(math.nan, 0.1)
        return Size((force / 1000 - 40.0) ** 2, 0.1)

    async def reconcile(self, command):
        return Reconciled("not_started")


CAMPAIGN = """
name: pellets
space:
  parameters:
    force: {type: continuous, bounds: [10, 90], unit: kN}
objectives:
  size: {goal: minimize, unit: um}
protocol:
  - {instrument: press, action: press, with: {force: $force}}
  - {instrument: gauge, action: measure, with: {force: $force}, gives: {size: size}}
lab:
  clock: {type: virtual}
  instruments:
    press: {driver: press}
    gauge: {driver: gauge}
concurrency: 2
planner: {type: random}
stop: {experiments: 5}
"""


class Diary(Hooks):
    """Keeps the diary."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def diary(self, text: str) -> None:
        self.lines.append(text)


def run(path: Path, home: Path | None, *overrides: str, hooks: Hooks | None = None, steer=None, name=None, seed=None):
    """Run a campaign with the local engine; returns (end, session's state, rows)."""
    checked = check(path, overrides=tuple(overrides), name=name, seed=seed)

    async def go():
        session = open_session(checked, home)
        try:
            engine = await session.engine(InlineWorker(), hooks)
            if steer is not None:
                steer(engine)
            end = await engine.run()
            return end, session.state, session.ledger.rows(session.name)
        finally:
            await session.close()

    return asyncio.run(go())


def proposals(rows) -> list[dict]:
    """All candidates in the order of their numbers."""
    return [c for r in rows if isinstance(r.event, RoundProposed) for c in r.event.candidates]


def observations(rows) -> list[tuple[int, str, float]]:
    """All observations in the order of experiments."""
    return sorted(
        (r.event.experiment, r.event.outcome, r.event.value) for r in rows if isinstance(r.event, ObservationRecorded)
    )


def settled(rows) -> list[str]:
    """How commands ended, in order."""
    return [r.event.status for r in rows if isinstance(r.event, CommandSettled)]
