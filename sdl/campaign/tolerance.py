"""Read `tolerance:` : how far a parameter may really lie from where it was set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl.errors import UnitError, brief
from sdl.space import Continuous
from sdl.units import DIMENSIONLESS, convert_difference, read_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader
    from sdl.campaign.space import AnyParameter
    from sdl.space import Space


def read_tolerances(
    reader: Reader, parameters: Mapping[str, AnyParameter | None], space: Space | None
) -> dict[str, float]:
    """Return parameter → half the width of where it may really lie, in its unit; problems are noted.

    Args:
        reader: of the campaign file.
        parameters: as read; None where one could not be read.
        space: as read; None where it could not be.
    """
    if reader.at(("tolerance",)) is None:
        return {}
    found: dict[str, float] = {}
    for name, written in reader.mapping(("tolerance",), what="parameter: how far off it may be, '5 degC'").items():
        where: Where = ("tolerance", name)
        if name not in parameters:
            reader.unknown(where, name, parameters, "parameter")
            continue
        parameter = parameters[name]
        if parameter is None:
            continue  # noted already
        if not isinstance(parameter, Continuous):
            reader.wrong(where, f"'{name}' is {parameter.type}: only what is continuous can be a little off")
            continue
        size = _read(reader, where, written, parameter)
        if size is not None and _fits(reader, where, name, size, parameter, space):
            found[name] = size
    return found


def _read(reader: Reader, where: Where, written: Any, parameter: Continuous) -> float | None:  # noqa: ANN401  plain data
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        reader.wrong(where, f"must be a number in {parameter.unit} or a quantity, got {brief(written)}")
        return None
    try:
        quantity = read_quantity(written)
        unit = parameter.unit if quantity.unit == DIMENSIONLESS else quantity.unit
        return convert_difference(quantity.value, unit, parameter.unit)  # ±5 degC is ±5 K
    except UnitError as error:
        reader.wrong(where, str(error))
        return None


def _fits(reader: Reader, where: Where, name: str, size: float, parameter: Continuous, space: Space | None) -> bool:
    unit = "" if parameter.unit == DIMENSIONLESS else f" {parameter.unit}"
    width = parameter.upper - parameter.lower
    if not 0 < size < width / 2:
        reader.wrong(
            where,
            f"±{size:g}{unit} must be above 0 and below half the range of '{name}', which is {width / 2:g}{unit}",
        )
    elif parameter.scale == "log" and size >= parameter.lower:
        reader.wrong(
            where,
            f"±{size:g}{unit} may reach 0 at the lower bound of '{name}', {parameter.lower:g}{unit}, which has no place on its "
            "logarithmic scale; raise the bound, or lower the tolerance",
        )
    elif space is not None and any(c.is_equality and name in c.terms for c in space.linear):
        reader.wrong(
            where,
            f"'{name}' is bound by an equality: it cannot be off alone, and how the others follow is not known; leave it out",
        )
    else:
        return True
    return False
