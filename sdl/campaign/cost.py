"""Read `cost`, of the campaign or of each source, and `stop.cost`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl.errors import UnitError, brief, listed
from sdl.space import Cost
from sdl.units import DIMENSIONLESS, canonical_unit, convert, is_compatible, is_offset, read_quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader
    from sdl.space import Space

_SHAPE = "write a quantity such as 2 h, or {expression: 'hold + 2', unit: h}"


def read_costs(
    reader: Reader, sources: Iterable[str], target: str, parameters: Mapping[str, object], space: Space | None
) -> dict[str, Cost]:
    """Return source → what an experiment on it costs, all in the unit of the target's; empty where no cost is stated.

    Args:
        reader: of the campaign file.
        sources: the sources that could be read.
        target: the one whose results count.
        parameters: as read; None where one could not be read.
        space: the space, or None where it could not be read.
    """
    places: dict[str, Where] = {}
    if "sources" not in reader.document.data:
        places = {name: ("cost",) for name in sources if "cost" in reader.document.data}
    else:
        if "cost" in reader.document.data:
            reader.wrong(("cost",), "with 'sources' each source has its own 'cost'; move it there")
        places = {n: ("sources", n, "cost") for n in sources if reader.at(("sources", n, "cost")) is not None}
    costs = {name: cost for name, where in places.items() if (cost := _cost(reader, where, parameters, space))}
    unit = costs[target].unit if target in costs else None
    for name, cost in list(costs.items()):
        if unit is None or cost.unit == unit:
            continue
        if not is_compatible(cost.unit, unit):
            where = (*places[name], "unit")
            reader.wrong(where, f"is {cost.unit}, and that of '{target}' is {unit}: costs cannot be compared")
        else:
            costs[name] = Cost(cost.expression, unit, convert(1.0, cost.unit, unit))
    return costs


def _cost(reader: Reader, where: Where, parameters: Mapping[str, object], space: Space | None) -> Cost | None:
    data = reader.at(where)
    if isinstance(data, dict):
        reader.only(where, ("expression", "unit"))
        written, unit = data.get("expression"), data.get("unit", DIMENSIONLESS)
        if isinstance(written, bool) or not isinstance(written, str | int | float):
            place = (*where, "expression") if "expression" in data else where
            reader.wrong(place, f"'expression' must be an expression of parameters, got {brief(written)}; {_SHAPE}")
            return None
    else:
        try:
            quantity = read_quantity(data)
        except UnitError as error:
            reader.wrong(where, f"{error}; {_SHAPE}")
            return None
        written, unit = repr(quantity.value), quantity.unit
    if (wrong := _wrong_unit(unit)) is not None:
        reader.wrong((*where, "unit") if isinstance(data, dict) else where, wrong)
        return None
    try:
        cost = Cost(str(written).strip(), str(unit))
    except ValueError as error:
        reader.wrong(where, str(error))
        return None
    misfits = cost.misfits(parameters)
    for said in misfits:
        reader.wrong(where, said)
    if misfits or space is None:
        return None if misfits else cost
    problem = cost.problem(space)
    if problem is not None:
        reader.wrong(where, f"{cost} {problem}")
        return None
    return cost


def _wrong_unit(unit: Any) -> str | None:  # noqa: ANN401  as written
    if not isinstance(unit, str):
        return f"must be a unit, got {brief(unit)}"
    try:
        canonical_unit(unit)
        if is_offset(unit):
            return f"{unit} has no zero that means nothing, so it cannot be a cost's unit"
    except UnitError as error:
        return f"{error}; money has no unit here: leave it out"
    return None


def read_stop_cost(reader: Reader, costs: Mapping[str, Cost]) -> float | None:
    """Return `stop.cost` in the unit of the costs, or None where it is not stated or wrong, which is noted.

    Args:
        reader: of the campaign file.
        costs: source → cost.
    """
    where: Where = ("stop", "cost")
    given = reader.at(where)
    if given is None:
        return None
    if not costs:
        data = reader.document.data
        if "cost" not in data and "sources" not in data:  # what could not be read is noted already
            reader.wrong(
                where, "needs to know what an experiment costs: state 'cost', such as {expression: 'hold + 2', unit: h}"
            )
        elif "sources" in data and all(reader.at(("sources", n, "cost")) is None for n in reader.mapping(("sources",))):
            reader.wrong(where, "needs to know what an experiment costs: state 'cost' of each source")
        return None
    unit = next(iter(costs.values())).unit
    try:
        quantity = read_quantity(given)
        limit = quantity.to(unit)
    except UnitError as error:
        reader.wrong(where, f"{error}; costs are in {unit}")
        return None
    if not limit > 0:
        reader.wrong(where, f"must be above 0, got {brief(given)}")
        return None
    return limit


def check_costs_stated(reader: Reader, sources: Iterable[str], costs: Mapping[str, Cost]) -> None:
    """Note which of several sources state no cost: between sources is chosen by what they cost."""
    names = list(sources)
    for name in names:
        if len(names) > 1 and name not in costs and reader.at(("sources", name, "cost")) is None:
            reader.wrong(
                ("sources", name), f"'cost' is missing: between sources ({listed(names)}) is chosen by value for cost"
            )
