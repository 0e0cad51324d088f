"""What a person is asked while an action is under way, with typed, unit-checked fields, and how an answer is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sdl.driver.description import FieldSpec
from sdl.errors import InputError, UnitError, brief, near_miss
from sdl.units import DIMENSIONLESS, read_quantity

_TRUTH = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}


@dataclass(frozen=True)
class Form:
    """A question to the person at the bench.

    Attributes:
        title: which experiment, instrument and action, in a few words.
        instructions: what to do.
        fields: what to tell afterwards; where there is none, that it was done.
        command: id of the command that asks; `Context.ask` fills it in.
    """

    title: str
    instructions: str
    fields: tuple[FieldSpec, ...] = ()
    command: str = ""

    def problems(self, answer: Mapping[str, Any]) -> str | None:
        """Say what is wrong with an answer (values in the fields' units), or None."""
        known = {f.name: f for f in self.fields}
        wrong = [f"'{name}' is missing" for name in known if name not in answer]
        wrong += [f"'{name}' was not asked for{near_miss(name, known)}" for name in answer if name not in known]
        for name, spec in known.items():
            if name in answer and (problem := spec.problem(answer[name])) is not None:
                wrong.append(f"{name}: {problem}")
        return "; ".join(wrong) or None


Ask = Callable[[Form], Awaitable[Mapping[str, Any]]]
"""Asks a person. Raises `InstrumentFault` where they say that it failed, `OutcomeUnknown` where nobody can be asked."""


def read_field(spec: FieldSpec, text: str) -> Any:  # noqa: ANN401  of the field's kind
    """Return the value that a person wrote for a field, in the field's unit.

    A plain number is in the unit that the prompt shows; a quantity such as `12 mm` is converted.

    Raises:
        InputError: it cannot be taken; says why and what is allowed.
    """
    written = text.strip()
    if not written:
        if not spec.required:
            return spec.default
        raise InputError(f"nothing was written; '{spec.name}' takes {said(spec)}")
    value: Any = written
    if spec.kind == "boolean":
        value = _TRUTH.get(written.lower(), written)
        if not isinstance(value, bool):
            raise InputError(f"{brief(written)} is neither yes nor no")
    elif spec.kind in {"number", "integer"}:
        try:
            quantity = read_quantity(written)
            value = quantity.value if quantity.unit == DIMENSIONLESS else quantity.to(spec.unit)
        except UnitError as error:
            raise InputError(f"{error}; '{spec.name}' takes {said(spec)}") from error
        if spec.kind == "integer" and float(value).is_integer():
            value = int(value)
    problem = spec.problem(value)
    if problem is not None:
        raise InputError(problem + (near_miss(written, spec.choices) if spec.choices else ""))
    return value


def said(spec: FieldSpec) -> str:
    """Return in words what a field takes: `a number in mm, 0 to 10`."""
    if spec.kind == "boolean":
        return "yes or no"
    if spec.kind == "text":
        return f"one of {', '.join(spec.choices)}" if spec.choices else "a text"
    unit = "" if spec.unit == DIMENSIONLESS else f" in {spec.unit}"
    what = "a whole number" if spec.kind == "integer" else "a number"
    low, high = (None if abs(x) == float("inf") else f"{x:g}" for x in (spec.lower, spec.upper))
    span = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
    return f"{what}{unit}" + (f", {span}" if span else "")
