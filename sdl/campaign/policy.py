"""Read a step's policies: what follows where it fails, and when a person must agree before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl.campaign.model import ApproveSpec, IfFailsSpec
from sdl.errors import UnitError, brief, near_miss
from sdl.units import read_duration

if TYPE_CHECKING:
    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader

IF_FAILS = "fail, skip, ask, {retry: 2} or {instrument: NAME}"
APPROVE = "always, first, {cost_above: 12 h} or {outside: {ARGUMENT: [LOWER, UPPER]}}"

MOST_RETRIES = 100
"""A step that failed so often will fail again (chosen)."""


def read_if_fails(reader: Reader, where: Where) -> IfFailsSpec | None:
    """Read `if_fails`; None where it is not given or cannot be read."""
    data = reader.at(where)
    if data is None:
        return None
    if data in ("fail", "skip", "ask"):
        return IfFailsSpec(data)
    key, value = _single(data)
    if key == "retry":
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_RETRIES:
            reader.wrong((*where, key), f"must be a whole number from 1 to {MOST_RETRIES}, got {brief(value)}")
            return None
        return IfFailsSpec("retry", times=value)
    if key == "instrument":
        if not isinstance(value, str):
            reader.wrong((*where, key), f"must name an instrument of the lab, got {brief(value)}")
            return None
        return IfFailsSpec("instrument", instrument=value)
    hint = near_miss(data if isinstance(data, str) else str(key), ("fail", "skip", "ask", "retry", "instrument"))
    reader.wrong(where, f"must be {IF_FAILS}, got {brief(data)}{hint}")
    return None


def read_approve(reader: Reader, where: Where) -> ApproveSpec | None:
    """Read `approve`; None where it is not given or cannot be read."""
    data = reader.at(where)
    if data is None:
        return None
    if data in ("always", "first"):
        return ApproveSpec(data)
    key, value = _single(data)
    if key == "cost_above":
        try:
            return ApproveSpec("cost_above", seconds=read_duration(value))
        except UnitError as error:
            reader.wrong((*where, key), str(error))
            return None
    if key == "outside":
        return _outside(reader, (*where, key), value)
    hint = near_miss(data if isinstance(data, str) else str(key), ("always", "first", "cost_above", "outside"))
    reader.wrong(where, f"must be {APPROVE}, got {brief(data)}{hint}")
    return None


def _outside(reader: Reader, where: Where, data: Any) -> ApproveSpec | None:  # noqa: ANN401  as it was written
    if not isinstance(data, dict) or not data:
        reader.wrong(where, f"must be a mapping such as {{temperature: [1000, 1200]}}, got {brief(data)}")
        return None
    ranges: dict[str, tuple[float | str, float | str]] = {}
    for name, ends in data.items():
        good = isinstance(ends, list) and len(ends) == 2
        if not good or any(isinstance(e, bool) or not isinstance(e, int | float | str) for e in ends):
            reader.wrong((*where, name), f"must be two numbers or quantities, [LOWER, UPPER], got {brief(ends)}")
            continue
        ranges[name] = (ends[0], ends[1])
    return ApproveSpec("outside", outside=ranges) if len(ranges) == len(data) else None


def _single(data: Any) -> tuple[str, Any]:  # noqa: ANN401  as it was written
    """Return key and value of a mapping that has one; two empty ones for anything else."""
    if isinstance(data, dict) and len(data) == 1:
        return next(iter(data.items()))
    return "", None
