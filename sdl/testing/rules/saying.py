"""What an instrument says when it is asked how it is."""

from __future__ import annotations

import math
import typing
from typing import TYPE_CHECKING, Any

from sdl.driver import Health, Reading
from sdl.driver.instrument import Health as _Health
from sdl.errors import UnitError, listed
from sdl.testing.bench import Bench, Life
from sdl.testing.rule import Finding, NotApplicable, rule
from sdl.units import canonical_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.testing.subject import Subject

_QUICK = 60.0
"""Lab seconds within which an instrument says how it is, and which a reading may be old."""

_STATES: tuple[str, ...] = typing.get_args(typing.get_type_hints(_Health)["state"])


@rule(
    "health-answers",
    says="health() gives a known state in bounded time; ok or degraded once connected; with a reason where it is not ok, "
    "and not ok in a fault",
    why="an instrument that is said to be well from memory is sent commands that nobody carries out",
)
async def health_answers(subject: Subject) -> Finding | None:
    """See the rule."""
    async with Bench(subject) as bench, bench.life() as life:
        health: Any = await life.within(life.instrument.health(), _QUICK, "health")
        if not isinstance(health, Health) or health.state not in _STATES:
            return Finding(f"health gave {health!r}")
        if health.state not in {"ok", "degraded"}:
            return Finding(f"just connected, health says {health.state}: {health.reason}")
        cause = fault_hook(subject, life)
        if cause is not None:
            cause()
            health = await life.within(life.instrument.health(), _QUICK, "health in a fault")
            if health.state == "ok":
                return Finding("the device is in fault, and health says ok")
        if health.state != "ok" and not health.reason:
            return Finding(f"health says {health.state} without a reason")
    return None


def fault_hook(subject: Subject, life: Life) -> Any:  # noqa: ANN401  a function without arguments, or None
    """Return what puts the device into fault, or None where nobody says how."""
    if subject.cause_fault is not None:
        hook = subject.cause_fault
        return lambda: hook(life.instrument)
    return getattr(life.instrument, "simulate_fault", None)


@rule(
    "readings-complete",
    says="read_state() gives finite values or words, each with a known unit and the moment of reading, not older than a minute; "
    "what moves matter, or simulates it, has something to read",
    why="a reading without unit and moment cannot be reconciled with anything",
)
async def readings_complete(subject: Subject) -> Finding | None:
    """See the rule."""
    async with Bench(subject) as bench, bench.life() as life:
        wrong = await _readings(life, "idle")
        if not wrong:
            await life.sleep(3600.0)
            wrong = await _readings(life, "an hour later")
        if not wrong:
            for action, spec in bench.description.actions.items():
                await life.prepare(action, f"s-{action}")
                running = life.begin(life.command(action, sample=f"s-{action}"))
                await life.sleep(0.5 * subject.expected(spec))
                wrong = wrong or await _readings(life, f"during {action}")
                await life.wait(running, 3.0 * subject.expected(spec) + 60.0)
                running.task.cancel()
    return Finding("; ".join(wrong)) if wrong else None


async def _readings(life: Life, when: str) -> list[str]:
    asked = life.clock.now()
    readings: Mapping[str, Any] = await life.within(life.instrument.read_state(), _QUICK, "read_state")
    if not readings and life.subject.nature in {"real", "simulated"}:
        return [f"{when}: nothing can be read"]
    wrong = []
    for name, reading in readings.items():
        if not isinstance(reading, Reading):
            wrong.append(f"{when}: {name} is no Reading: {reading!r}")
            continue
        if isinstance(reading.value, bool) or not isinstance(reading.value, str | int | float):
            wrong.append(f"{when}: {name} = {reading.value!r} is no number and no word")
        elif not isinstance(reading.value, str) and not math.isfinite(reading.value):
            wrong.append(f"{when}: {name} = {reading.value!r}")
        try:
            canonical_unit(reading.unit)
        except UnitError as error:
            wrong.append(f"{when}: {name}: {error}")
        age = asked - reading.moment
        if not -_QUICK <= age <= _QUICK:
            late = f"{age:g} s old" if age > 0 else "from the future"
            wrong.append(f"{when}: {name} is {late} when it is read")
    return wrong


@rule(
    "readings-described",
    says="what the description lists under readings is always there, when idle and while an action is under way, in that unit",
    why="an interlock on a reading is checked against the description before anything moves; a missing one always denies",
)
async def readings_described(subject: Subject) -> Finding | None:
    """See the rule."""
    listed_ones = subject.description.readings
    if listed_ones is None:
        raise NotApplicable("it lists no readings; whether one that an interlock needs is there shows when it is asked")
    async with Bench(subject) as bench, bench.life() as life:
        wrong = await _missing(life, listed_ones, "idle")
        for action, spec in bench.description.actions.items():
            if wrong:
                break
            await life.prepare(action, f"s-{action}")
            running = life.begin(life.command(action, sample=f"s-{action}"))
            await life.sleep(0.5 * subject.expected(spec))
            wrong = await _missing(life, listed_ones, f"during {action}")
            await life.wait(running, 3.0 * subject.expected(spec) + 60.0)
            running.task.cancel()
    return Finding("; ".join(wrong)) if wrong else None


async def _missing(life: Life, described: Mapping[str, str], when: str) -> list[str]:
    given = await life.within(life.instrument.read_state(), _QUICK, "read_state")
    wrong = []
    for name, unit in described.items():
        if name not in given:
            wrong.append(f"{when}: '{name}' is not there; it gives {listed(given)}")
        elif canonical_unit(given[name].unit) != canonical_unit(unit):
            wrong.append(f"{when}: '{name}' is in '{given[name].unit}', described is '{unit}'")
    return wrong


@rule(
    "busy-said",
    says="while an action is under way, health() or read_state() says so in words: other than when idle, before and after",
    why="'ready' while busy is the commonest lie of a driver, and whoever believes it sends the next command on top",
)
async def busy_said(subject: Subject) -> Finding | None:
    """See the rule.

    What is asked for is that the instrument *says* it, not that it refuses a second command: the lab's queue sends one command
    at a time, but a person, another program or a lab that was started anew has nothing else to go by than what it says.
    """
    if subject.nature not in {"real", "simulated"}:
        raise NotApplicable(f"a {subject.nature} driver has nothing that could be in use")
    tried = False
    for action, spec in subject.description.actions.items():
        expected = subject.expected(spec)
        if expected <= 0:
            continue
        async with Bench(subject) as bench, bench.life() as life:
            await life.prepare(action, "s1")
            idle = await _words(life)
            running = life.begin(life.command(action))
            await life.sleep(0.5 * expected)
            if running.ended:
                continue  # the rules on durations and on what works have their say
            tried = True
            busy = await _words(life)
            ended = await life.wait(running, 3.0 * expected + 60.0)
            running.task.cancel()
            if busy == idle:
                return Finding(f"in the middle of {action}, it says the same as when idle: {_said(busy)}")
            if ended and await _words(life) == busy:
                return Finding(f"{action} is over, and it still says: {_said(busy)}")
    if not tried:
        raise NotApplicable("no action lasts long enough to be busy with")
    return None


async def _words(life: Life) -> dict[str, str]:
    """Return what the instrument says in words; numbers differ for other reasons than being busy."""
    health = await life.within(life.instrument.health(), _QUICK, "health")
    readings = await life.within(life.instrument.read_state(), _QUICK, "read_state")
    words = {name: r.value for name, r in readings.items() if isinstance(r.value, str)}
    return {"health": f"{health.state} {health.reason}".strip(), **words}


def _said(words: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {word}" for name, word in words.items())
