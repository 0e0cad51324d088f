"""Frozen parameters: they stay in the space, for what was measured at other values, and only one value of them is proposed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.space.constraints import Constraint, ExpressionConstraint, LinearConstraint
from sdl.space.parameters import Categorical, Continuous

if TYPE_CHECKING:
    from sdl.space.candidate import Value
    from sdl.space.parameters import Discrete, Integer


def held(name: str, value: Value, parameter: Continuous | Integer | Discrete | Categorical) -> Constraint:
    """Return the constraint that holds a parameter at one value."""
    if isinstance(parameter, Continuous):
        return LinearConstraint(type="linear", terms={name: 1.0}, equals=float(value))
    if isinstance(parameter, Categorical):
        quoted = f'"{value}"' if "'" in str(value) else f"'{value}'"
        return ExpressionConstraint(type="expression", expression=f"{name} == {quoted}")
    return ExpressionConstraint(type="expression", expression=f"{name} == {value!r}")


def code_of(value: Value, parameter: Continuous | Integer | Discrete | Categorical) -> float:
    """Return a value as a code; see `Space`."""
    return float(parameter.values.index(str(value))) if isinstance(parameter, Categorical) else float(value)
