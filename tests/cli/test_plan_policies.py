"""`sdl plan` shows what waits for a person, what follows a failure, when a step is late, and its interlocks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest

from sdl.cli.outcome import Output
from sdl.cli.plan import show_plan
from sdl.driver import Context, Instrument, Role, Unit, action
from sdl.driver.instrument import Reading


@dataclass(frozen=True)
class Size:
    """What is read."""

    size: Annotated[float, Unit("mm")]


class Oven(Instrument):
    """Dries samples."""

    nature = "simulated"
    readings: ClassVar = {"chamber_temperature": "degC"}

    @action(effect="repeatable", duration="2 h", late="5 h")
    async def dry(self, ctx: Context, temperature: Annotated[float, Unit("degC")]) -> None:
        """Dry a sample."""

    async def read_state(self):
        return {"chamber_temperature": Reading(25.0, "degC", self.clock.now())}


class Hand(Instrument):
    """Carries samples and measures them."""

    nature = "simulated"

    @action(effect="repeatable", duration="1 min")
    async def move(self, ctx: Context, to: Annotated[str, Role("place")]) -> None:
        """Carry a sample."""

    @action(effect="reads", duration="10 min")
    async def measure(self, ctx: Context) -> Size:
        """Measure a sample."""
        return Size(1.0)


CAMPAIGN = """
name: dried
space: {parameters: {temperature: {type: continuous, bounds: [50, 150], unit: degC}}}
objectives: {size: {goal: minimize, unit: mm}}
protocol:
  - instrument: oven
    action: dry
    with: {temperature: $temperature}
    if_fails: {instrument: spare}
    approve: {outside: {temperature: [60 degC, 120 degC]}}
  - {instrument: hand, action: move, with: {to: shelf}, if_fails: {retry: 2}, approve: first}
  - {instrument: hand, action: measure, gives: {size: size}, if_fails: ask, approve: {cost_above: 3 h}}
on_failure:
  - {instrument: hand, action: move, with: {to: bin}}
lab:
  clock: {type: virtual}
  places: {shelf: {capacity: 9}, bin: {capacity: 9}}
  instruments:
    oven: {driver: oven}
    spare: {driver: oven}
    hand:
      driver: hand
      requires: {oven.chamber_temperature: {at_most: 60 degC, wait: 1 h, max_age: 30 s}}
planner: {type: random}
stop: {experiments: 2}
"""


@pytest.fixture
def shown(drivers, write, capsys):
    drivers(oven=Oven, hand=Hand)
    assert show_plan(write("dried.yaml", CAMPAIGN), None, None, (), False, Output(as_json=False)) == 0
    return capsys.readouterr().out


def step(text, number, where="steps of the first experiment:"):
    """The lines of a step."""
    lines = text.split(where)[1].split("\n\n")[0].splitlines()
    begins = next(i for i, line in enumerate(lines) if line.startswith(f"  {number}. "))
    rest = [line.strip() for line in lines[begins + 1 :]]
    ends = next((i for i, line in enumerate(rest) if line[:2].rstrip(".").isdigit()), len(rest))
    return rest[:ends]


def test_each_step_shows_its_policies(shown):
    first, second, third = (step(shown, n) for n in (1, 2, 3))
    assert "sent after a person agreed: where temperature lies outside 60 to 120 degC" in first
    assert "if it fails: once more on 'spare'; else the experiment fails, then hand.move" in first
    assert "reported as late after 5 h" in first
    assert not any(line.startswith("only while") for line in first)
    assert "sent after a person agreed: the first time in the campaign" in second
    assert "if it fails: a new command up to 2 times; else the experiment fails, then hand.move" in second
    (guarded,) = [line for line in second if line.startswith("only while")]
    assert re.fullmatch(r"only while oven.chamber_temperature is at most 60(.0)? degC, .*", guarded)
    assert guarded.endswith("waits up to 60 min, by a reading no older than 30 s")
    assert "sent after a person agreed: where it takes longer than 3 h" in third
    assert "if it fails: a person is asked how it goes on" in third
    assert "reported as late after 15 min" in third  # 5 min more than the 10 that it should take
    assert not any(line.startswith("only while") for line in third)  # it only reads


def test_what_follows_a_failure_is_shown_like_a_step(shown):
    cleared = step(shown, 4, "after a failure:")
    assert "to = bin" in cleared
    assert "if it fails: the experiment ends where it is, and the sample stays there" in cleared


def test_the_same_stands_in_json(drivers, write, capsys):
    drivers(oven=Oven, hand=Hand)
    show_plan(write("dried.yaml", CAMPAIGN), None, None, (), False, Output(as_json=True))
    data = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    dry, move, measure = data["steps"]
    assert (dry["late_after"], measure["late_after"]) == (18000.0, 900.0)
    assert dry["approve"].startswith("where temperature lies outside")
    assert dry["requires"] == [] and measure["requires"] == []
    assert [(r["reading"], r["wait"], r["max_age"]) for r in move["requires"]] == [
        ("oven.chamber_temperature", 3600.0, 30.0)
    ]
    assert data["on_failure"][0]["arguments"] == {"to": "bin"}
