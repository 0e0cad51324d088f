"""Keys of a parameter for a campaign that changes on its way: `frozen`, its value from now on, and `was`, its value so far.

A frozen parameter stays a parameter: what was measured at other values of it is still used, but nothing else is proposed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sdl.errors import UnitError, brief
from sdl.space import Categorical, Continuous
from sdl.space.parameters import in_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader
    from sdl.campaign.space import AnyParameter
    from sdl.space import Value

FROZEN = "frozen"
WAS = "was"
KEYS = (FROZEN, WAS)


def without_keys(data: Any) -> Any:  # noqa: ANN401  plain data
    """Return a parameter as written, without these keys: what its own type says of it."""
    return {k: v for k, v in data.items() if k not in KEYS} if isinstance(data, dict) else data


def read_frozen(reader: Reader, parameters: Mapping[str, AnyParameter | None]) -> dict[str, Value]:
    """Return parameter → the only value at which it is proposed, for those that are frozen; notes what is wrong."""
    found = _read(reader, parameters, FROZEN)
    for name, value in list(found.items()):
        parameter = parameters[name]
        problem = None if parameter is None else parameter.problem(value)
        if problem is not None:
            reader.wrong(("space", "parameters", name, FROZEN), f"{problem}; widen the parameter")
            del found[name]
    if found and len(found) == len(parameters):
        reader.wrong(("space", "parameters"), "all parameters are frozen: nothing is left to vary")
        return {}
    return found


def read_was(reader: Reader, parameters: Mapping[str, AnyParameter | None]) -> dict[str, Value]:
    """Return parameter → its value in experiments from before there was that parameter; notes what is wrong."""
    found = _read(reader, parameters, WAS)
    for name, value in list(found.items()):
        parameter = parameters[name]
        problem = None
        if isinstance(parameter, Categorical):
            problem = parameter.problem(value)
        elif isinstance(parameter, Continuous) and parameter.scale == "log" and float(value) <= 0:
            problem = f"{value:g} {parameter.unit} has no place on a log scale; use scale: linear"
        if problem is not None:
            reader.wrong(("space", "parameters", name, WAS), problem)
            del found[name]
    return found


def _read(reader: Reader, parameters: Mapping[str, AnyParameter | None], key: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, parameter in parameters.items():
        data = reader.at(("space", "parameters", name))
        if parameter is None or not isinstance(data, dict) or key not in data:
            continue
        value = _value(reader, ("space", "parameters", name, key), data[key], parameter)
        if value is not None:
            found[name] = value
    return found


def _value(reader: Reader, where: Where, given: Any, parameter: AnyParameter) -> Value | None:  # noqa: ANN401  as written
    if isinstance(parameter, Categorical):
        if not isinstance(given, str):
            reader.wrong(where, f"must be one of its names, got {brief(given)}")
            return None
        return given
    try:
        number = in_unit(given, parameter.unit) if isinstance(given, str) else given
    except UnitError as error:
        reader.wrong(where, str(error))
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        reader.wrong(where, f"must be a number in {parameter.unit}, or a quantity, got {brief(given)}")
        return None
    if parameter.type == "integer":
        if not float(number).is_integer():
            reader.wrong(where, f"must be a whole number, got {number:g}")
            return None
        return int(number)
    return float(number)
