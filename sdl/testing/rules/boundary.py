"""What the platform refuses must not reach the device, and what was asked must stay what was asked."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sdl.errors import ProtocolError
from sdl.testing.bench import NAME, Bench, Life
from sdl.testing.rule import Finding, rule
from sdl.testing.subject import beyond

if TYPE_CHECKING:
    from sdl.testing.subject import Subject


def _refusals(subject: Subject, action: str) -> list[tuple[str, dict[str, Any]]]:
    """Return arguments that must be refused, each with what is wrong."""
    spec = subject.description.actions[action]
    good = subject.example(action)
    wrong = [("a parameter that does not exist", {**good, "no_such_parameter": 1.0})]
    for p in spec.parameters:
        if p.required:
            wrong.append((f"'{p.name}' missing", {k: v for k, v in good.items() if k != p.name}))
        for what, value in beyond(p).items():
            wrong.append((f"{p.name} = {value!r} ({what})", {**good, p.name: value}))
    return wrong


@rule(
    "out-of-range-refused",
    says="arguments missing, surplus, of the wrong kind or beyond the limits are refused before the driver is asked",
    why="clipping an argument silently changes the science",
)
async def out_of_range_refused(subject: Subject) -> Finding | None:
    """See the rule."""
    async with Bench(subject) as bench, bench.life() as life:
        for action in bench.description.actions:
            for what, arguments in _refusals(subject, action):
                try:
                    reply = await life.lab.execute(life.command(action, arguments), begins_sample=False)
                except ProtocolError:
                    continue  # not even JSON: refused at the door
                if reply.status != "failed" or life.carried_out:
                    return Finding(f"{action} with {what} was not refused: {reply.status}, {reply.error}")
    return None


@rule(
    "ids-once",
    says="a command is carried out once, never again by the driver itself; its id again, with other arguments, "
    "or from an older epoch, is refused",
    why="no irreversible action may run twice",
)
async def ids_once(subject: Subject) -> Finding | None:
    """See the rule."""
    for action in subject.description.actions:
        async with Bench(subject) as bench, bench.life() as life:
            await life.prepare(action, "s1")
            effects, calls = _effects(life), len(life.carried_out)
            command = life.command(action)
            await life.do(command)
            if len(life.carried_out) > calls + 1 or _effects(life) > effects + 1:
                return Finding(
                    f"{action}: one command was carried out more than once (does the driver try again by itself?)"
                )
            before = len(life.carried_out)
            for what, other in (
                ("the same command again", command),
                ("the same id with other arguments", replace(command, arguments={**command.arguments, "other": 1})),
                ("an older epoch", replace(life.command(action), epoch=0)),
            ):
                if not await _refused(life, other):
                    return Finding(f"{action}: {what} was accepted")
            if len(life.carried_out) > before:
                return Finding(f"{action}: the driver was asked although the command was refused")
    return None


def _effects(life: Life) -> int:
    """Return how many effects of the driver under test stand in the world's record."""
    return sum(o.instrument == NAME for o in life.world.all_operations())


async def _refused(life: Life, command: Any) -> bool:  # noqa: ANN401
    try:
        await life.do(command)
    except ProtocolError:
        return True
    return False


@rule(
    "command-untouched",
    says="an action leaves its command and its arguments as they were, so that the digest stays the same",
    why="a command that was changed on the way cannot be matched with its intent after a crash",
)
async def command_untouched(subject: Subject) -> Finding | None:
    """See the rule."""
    async with Bench(subject) as bench, bench.life() as life:
        for action in bench.description.actions:
            await life.prepare(action, f"s-{action}")
            command = life.command(action, sample=f"s-{action}")
            before = copy.deepcopy(command)
            await life.do(command)
            if command != before or command.digest != before.digest:
                return Finding(
                    f"{action} changed its command's arguments: {dict(before.arguments)} became {dict(command.arguments)}"
                )
    return None
