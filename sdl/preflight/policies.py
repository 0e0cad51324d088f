"""Check the policies of a step against its action and the lab."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sdl.errors import UnitError, brief, listed
from sdl.loop import Approval, IfFails
from sdl.units import DIMENSIONLESS, read_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.campaign import Reader, Step, Where
    from sdl.driver import ActionSpec, FieldSpec
    from sdl.lab import LabPlan


def check_if_fails(
    reader: Reader, step: Step, action: ActionSpec, lab: LabPlan | None, before: Sequence[Step]
) -> IfFails:
    """Return what follows where the step fails; problems are noted.

    An irreversible action is never sent again by itself, not even on another instrument: what it did to the sample before it
    failed is not undone.

    Args:
        reader: of the campaign file.
        step: as written.
        action: which it asks.
        lab: in which the other instrument is looked for.
        before: the steps before it.
    """
    spec = step.if_fails
    if spec is None or spec.then == "fail":
        return IfFails()
    where: Where = (*step.where, "if_fails")
    what = f"'{step.instrument}.{step.action}'"
    if spec.then in {"retry", "instrument"} and action.effect == "irreversible":
        reader.wrong(
            where,
            f"{what} is irreversible and is never sent again by itself; write 'ask' (a person decides), 'skip' or 'fail'",
        )
        return IfFails()
    if spec.then == "skip":
        lost = "gives an outcome" if step.gives else "moves the sample" if action.with_role("place") is not None else ""
        if lost:
            reader.wrong(where, f"{what} {lost}: an experiment cannot go on without it; write 'ask' or 'fail'")
            return IfFails()
    if spec.then == "instrument" and step.together is not None:
        reader.wrong(
            where, "a command that experiments share stays with its instrument; write {retry: 1}, 'ask' or 'fail'"
        )
        return IfFails()
    if spec.then == "instrument" and not _is_alike(reader, (*where, "instrument"), step, spec.instrument, action, lab):
        return IfFails()
    occurrence = sum(s.instrument == spec.instrument and s.action == step.action for s in before)
    return IfFails(spec.then, spec.times, spec.instrument, occurrence)


def _is_alike(reader: Reader, where: Where, step: Step, other: str, action: ActionSpec, lab: LabPlan | None) -> bool:
    """Tell whether another instrument can do the same at the same place; what is in the way is noted."""
    if lab is None:
        return False
    if other not in lab.instruments:
        reader.unknown(where, other, lab.instruments.keys(), "instrument")
        return False
    if other == step.instrument:
        reader.wrong(where, f"'{other}' is the instrument that failed; name another one, or write {{retry: 1}}")
        return False
    known = lab.instruments[other].description.actions.get(step.action)
    if known is None or (known.parameters, known.results, known.effect) != (
        action.parameters,
        action.results,
        action.effect,
    ):
        reader.wrong(
            where, f"'{other}' is of another kind: it has no action '{step.action}' of the same arguments and results"
        )
        return False
    mine, its = lab.instruments[step.instrument].place, lab.instruments[other].place
    if mine != its:
        reader.wrong(
            where, f"'{other}' works at {brief(its)} and '{step.instrument}' at {brief(mine)}: the sample is not there"
        )
        return False
    return True


def check_approve(reader: Reader, step: Step, action: ActionSpec) -> Approval | None:
    """Return when a person must agree, or None; problems are noted."""
    spec = step.approve
    if spec is None:
        return None
    where: Where = (*step.where, "approve")
    known = {p.name: p for p in action.parameters}
    outside: dict[str, tuple[float, float]] = {}
    for name, ends in spec.outside.items():
        at = (*where, "outside", name)
        if name not in known:
            reader.unknown(at, name, known.keys(), "argument", f"'{step.instrument}.{step.action}'")
            continue
        field = known[name]
        if field.kind not in {"number", "integer"}:
            reader.wrong(at, f"'{name}' is no number; ranges can be given for {_numbers(known.values())}")
            continue
        low, high = (_end(reader, at, end, field) for end in ends)
        if low is None or high is None:
            continue
        if low > high:
            reader.wrong(at, f"the lower end, {low:g} {field.unit}, is above the upper one, {high:g} {field.unit}")
            continue
        outside[name] = (low, high)
    return Approval(spec.when, spec.seconds, outside)


def _end(reader: Reader, where: Where, written: float | str, field: FieldSpec) -> float | None:
    """Return the end of a range in the field's unit; a plain number is in that unit already."""
    try:
        quantity = read_quantity(written)
        value = quantity.value if quantity.unit == DIMENSIONLESS else quantity.to(field.unit)
    except UnitError as error:
        reader.wrong(where, f"{error}; the action takes {field.allowed}")
        return None
    if not math.isfinite(value):
        reader.wrong(where, f"{brief(written)} is not finite")
        return None
    return value


def _numbers(fields: Any) -> str:  # noqa: ANN401  FieldSpecs
    return listed(f.name for f in fields if f.kind in {"number", "integer"})
