"""What an action does: it works, in its time, by the lab's clock, the same twice, and says what is simulated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdl.testing.bench import NAME, Bench, late
from sdl.testing.rule import Finding, NotApplicable, rule
from sdl.testing.watch import sleeps_outside_the_clock

if TYPE_CHECKING:
    from sdl.driver import Reply
    from sdl.testing.subject import Subject

_TEXT = ("text/", "application/json", "application/xml", "application/yaml")


@rule(
    "actions-work",
    says="every action, asked with valid arguments, succeeds and gives the declared fields, all finite",
    why="the other rules can only be tried on actions that work",
)
async def actions_work(subject: Subject) -> Finding | None:
    """See the rule."""
    for action in subject.description.actions:
        async with Bench(subject) as bench, bench.life() as life:
            try:
                await life.prepare(action, "s1")
            except NotApplicable as error:
                return Finding(str(error))
            command = life.command(action)
            running = life.begin(command)
            if not await life.wait(running, late(bench.description.actions[action], command.arguments)):
                running.task.cancel()
                return None  # the rule `ends-in-time` says so
            reply = running.task.result()
            if reply.status != "succeeded":
                return Finding(
                    f"{action} with {dict(command.arguments)}: {reply.status}: {reply.error} (are these arguments it can do, "
                    "and is the sample ready for it? give `arguments` and `prepare`)"
                )
    return None


@rule(
    "ends-in-time",
    says="every action ends within three times its stated duration and a minute, and takes no less than a third of it",
    why="an action that never ends stops the campaign, and a wrong duration hides it",
)
async def ends_in_time(subject: Subject) -> Finding | None:
    """See the rule."""
    async with Bench(subject) as bench, bench.life() as life:
        for number, (action, spec) in enumerate(bench.description.actions.items()):
            await life.prepare(action, f"s{number}")
            command = life.command(action, sample=f"s{number}")
            expected = spec.seconds(spec.check(command.arguments))
            limit = late(spec, command.arguments)
            began = life.clock.now()
            running = life.begin(command)
            if not await life.wait(running, limit):
                running.task.cancel()
                return Finding(f"{action}: expected to take {expected:g} s, has not ended after {limit:g} s")
            took = life.clock.now() - began
            if running.task.result().status == "succeeded" and took < expected / 3:
                return Finding(f"{action}: expected to take {expected:g} s, said to be done after {took:g} s")
    return None


@rule(
    "waits-in-lab-time",
    says="waits go through ctx.sleep, never asyncio.sleep",
    why="a wait past the clock makes a simulated week last a week, and stops virtual time",
)
async def waits_in_lab_time(subject: Subject) -> Finding | None:
    """See the rule."""
    if subject.nature == "real":
        raise NotApplicable("a real driver may have to wait in real time for its transport")
    with sleeps_outside_the_clock() as found:
        async with Bench(subject) as bench, bench.life() as life:
            for action in bench.description.actions:
                await life.prepare(action, f"s-{action}")
                await life.do(life.command(action, sample=f"s-{action}"))
            await life.instrument.health()
            await life.instrument.read_state()
    return Finding("; ".join(dict.fromkeys(found))) if found else None


@rule(
    "nature-true",
    says="the nature in description, class and replies is one; what is not simulated leaves the simulated world alone; "
    "raw data of a simulation say so",
    why="a simulated number taken for a measured one is worse than none",
)
async def nature_true(subject: Subject) -> Finding | None:
    """See the rule."""
    description = subject.description
    if description.nature != subject.driver.nature and not subject.driver.nature_in_settings:
        return Finding(f"the class says {subject.driver.nature}, its description says {description.nature}")
    async with Bench(subject) as bench, bench.life() as life:
        for action in description.actions:
            await life.prepare(action, f"s-{action}")
            reply = await life.do(life.command(action, sample=f"s-{action}"))
            if reply.simulated != (description.nature in {"simulated", "calculation"}):
                return Finding(
                    f"{action}: the reply says simulated = {reply.simulated}, the driver is {description.nature}"
                )
            for artefact in reply.artefacts if description.nature == "simulated" else ():
                text = artefact.media_type.startswith(_TEXT)
                if text and b"simulated" not in bench.artefacts[artefact.sha256].lower():
                    return Finding(
                        f"{action}: nothing in {artefact.name} says that it was simulated (write 'simulated: true')"
                    )
        if description.nature != "simulated" and any(o.instrument == NAME for o in life.world.all_operations()):
            return Finding(f"the driver says that it is {description.nature}, but works on the simulated world")
    return None


@rule(
    "same-twice",
    says="in the same world a sample gives the same values, whatever else was measured, in whatever order; of a simulated "
    "or replay driver",
    why="two runs of one seed must be equal bit for bit, and a sample must never get another one's data",
)
async def same_twice(subject: Subject) -> Finding | None:
    """See the rule."""
    if subject.nature not in {"simulated", "replay"}:
        raise NotApplicable(f"a {subject.nature} instrument may give another value each time")
    actions = tuple(subject.description.actions)
    orders = [("s1", "s2"), ("s2", "s1"), ("s1", "s2")]
    found: list[dict[tuple[str, str], Mapping[str, Any]]] = []
    for samples in orders:
        async with Bench(subject) as bench, bench.life() as life:
            given: dict[tuple[str, str], Mapping[str, Any]] = {}
            for action in actions:
                await life.prepare(action, *(f"{s}-{action}" for s in samples))
                for sample in samples:
                    reply: Reply = await life.do(life.command(action, sample=f"{sample}-{action}"))
                    hashes = {f"artefact {a.name}": a.sha256 for a in reply.artefacts}
                    given[sample, action] = {"status": reply.status, **reply.values, **hashes}
            found.append(given)
    for what, other in (
        ("again, in a fresh world of the same seed", found[2]),
        ("with the samples in the other order", found[1]),
    ):
        for (sample, action), values in found[0].items():
            if different := [n for n, v in values.items() if not _equal(v, other[sample, action].get(n))]:
                name = different[0]
                return Finding(
                    f"{action} of '{sample}', {what}: {name} = {other[sample, action].get(name)!r}, was {values[name]!r}"
                )
    return None


def _equal(one: Any, two: Any) -> bool:  # noqa: ANN401  values as actions give them
    nan = isinstance(one, float) and isinstance(two, float) and math.isnan(one) and math.isnan(two)
    return nan or one == two
