"""What a driver says of itself before anything is connected."""

from __future__ import annotations

import json
import math
import typing
from typing import TYPE_CHECKING

from sdl.driver import get_driver
from sdl.driver.description import Effect
from sdl.driver.instrument import Nature
from sdl.errors import DriverError, UnitError, listed
from sdl.testing.rule import Finding, NotApplicable, rule
from sdl.testing.subject import checked_settings
from sdl.units import canonical_unit

if TYPE_CHECKING:
    from sdl.driver import Description, FieldSpec
    from sdl.testing.subject import Subject


def _fields(description: Description) -> list[tuple[str, FieldSpec]]:
    """Return every parameter and result with its full name."""
    return [
        (f"{action.name}.{f.name}", f)
        for action in description.actions.values()
        for f in (*action.parameters, *action.results)
    ]


@rule(
    "description-complete",
    says="the driver and every action have a docstring, a known nature, a known effect; there is an action",
    why="pre-flight, forms and the wire schema know nothing but the description",
)
async def description_complete(subject: Subject) -> Finding | None:
    """See the rule."""
    found = subject.description
    wrong = []
    if not found.doc:
        wrong.append("the driver has no docstring")
    if found.nature not in typing.get_args(Nature):
        wrong.append(f"nature {found.nature!r} is none of {listed(typing.get_args(Nature))}")
    if not found.actions:
        wrong.append("there is no action")
    for name, action in found.actions.items():
        if name != action.name:
            wrong.append(f"action '{action.name}' is listed as '{name}'")
        if not action.doc:
            wrong.append(f"action '{name}' has no docstring")
        if action.effect not in typing.get_args(Effect):
            wrong.append(f"{name}: effect {action.effect!r} is none of {listed(typing.get_args(Effect))}")
    return Finding("; ".join(wrong)) if wrong else None


@rule(
    "description-stable",
    says="describe(settings) gives the same twice, as JSON, without an instrument",
    why="what pre-flight checked must be what the lab enforces",
)
async def description_stable(subject: Subject) -> Finding | None:
    """See the rule."""
    try:
        one, two = (json.dumps(subject.description.schema(), allow_nan=False, sort_keys=True) for _ in range(2))
    except (TypeError, ValueError) as error:
        return Finding(f"the description is no JSON: {error}")
    if one != two:
        return Finding("two descriptions with the same settings differ")
    return None


@rule(
    "units-known",
    says="the unit of every parameter and result is known to the platform",
    why="a number whose unit nobody can convert will be read in another one",
)
async def units_known(subject: Subject) -> Finding | None:
    """See the rule."""
    wrong = []
    for name, spec in _fields(subject.description):
        try:
            canonical_unit(spec.unit)
        except UnitError as error:
            wrong.append(f"{name}: {error}")
    return Finding("; ".join(wrong)) if wrong else None


@rule(
    "limits-stated",
    says="every number that an action takes has a lower and an upper limit, and every default lies within",
    why="a slipped digit reaches the heater where nobody said what it can stand",
)
async def limits_stated(subject: Subject) -> Finding | None:
    """See the rule."""
    wrong = []
    for action in subject.description.actions.values():
        for p in action.parameters:
            if p.kind in {"number", "integer"} and not (math.isfinite(p.lower) and math.isfinite(p.upper)):
                wrong.append(f"{action.name}.{p.name} takes {p.allowed}: state Limits(lower, upper)")
            elif not p.required and (problem := p.problem(p.default)) is not None:
                wrong.append(f"{action.name}.{p.name}: the default {problem}")
    return Finding("; ".join(wrong)) if wrong else None


@rule(
    "durations-stated",
    says="every action says how long it takes: finite, not negative, at the ends of its limits too; "
    "above 0 where it changes something for good",
    why="late is noticed, and lab time planned, by what the description says",
)
async def durations_stated(subject: Subject) -> Finding | None:
    """See the rule."""
    wrong = []
    for action in subject.description.actions.values():
        example = subject.example(action.name)
        numbers = [p for p in action.parameters if p.kind in {"number", "integer"}]
        corners = [
            {p.name: getattr(p, end) for p in numbers if math.isfinite(getattr(p, end))} for end in ("lower", "upper")
        ]
        for arguments in (example, *({**example, **corner} for corner in corners)):
            try:
                seconds = action.seconds(arguments)
            except Exception as error:  # noqa: BLE001  whatever an estimate raises, pre-flight would meet it
                wrong.append(f"{action.name}: no duration for {arguments}: {type(error).__name__}: {error}")
                continue
            if not (math.isfinite(seconds) and seconds >= 0):
                wrong.append(f"{action.name}: {seconds!r} s for {arguments}")
            elif seconds == 0 and action.effect == "irreversible" and arguments is example:
                wrong.append(f"{action.name} changes something for good in no time at all: state its duration")
    return Finding("; ".join(dict.fromkeys(wrong))) if wrong else None


@rule(
    "simulator-alike",
    says="the simulator that a real driver names is installed and has the same actions, units and limits",
    why="a campaign that was tried in simulation must be the one that runs",
)
async def simulator_alike(subject: Subject) -> Finding | None:
    """See the rule."""
    name = subject.driver.simulator
    if name is None:
        raise NotApplicable(
            "the driver names no simulator" + (" (a real one should)" if subject.nature == "real" else "")
        )
    try:
        simulator = get_driver(name)
        settings = checked_settings(simulator, name, subject.settings.model_dump())
        theirs, ours = simulator.describe(settings, name), subject.description
    except DriverError as error:
        return Finding(f"--simulate cannot use the simulator '{name}': {error}")
    if simulator.nature != "simulated":
        return Finding(f"the simulator '{name}' says that it is {simulator.nature}")
    different = sorted(
        a
        for a in {*ours.actions, *theirs.actions}
        if a not in ours.actions or a not in theirs.actions or ours.actions[a].schema() != theirs.actions[a].schema()
    )
    return Finding(f"the simulator '{name}' differs in {listed(different)}") if different else None
