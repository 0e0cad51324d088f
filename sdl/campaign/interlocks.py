"""Interlocks as the lab file states them: what must hold, by another instrument's reading, before an action and while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdl.errors import UnitError, brief
from sdl.units import DIMENSIONLESS, Quantity, convert, is_compatible, read_duration, read_quantity

if TYPE_CHECKING:
    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader

MAX_AGE = 60.0
"""Seconds after which a reading is stale, where the lab file states no `max_age`. Chosen."""

_KEYS = ("at_least", "at_most", "equals", "wait", "max_age", "every", "actions")
_SHAPE = "'INSTRUMENT.READING', such as furnace.chamber_temperature"


@dataclass(frozen=True)
class Requirement:
    """One reading that must keep within bounds for an instrument to act.

    Attributes:
        instrument: whose reading.
        reading: key of what its `read_state` gives.
        at_least: smallest allowed value, or None.
        at_most: largest allowed value, or None.
        equals: the one allowed word, for a reading that is text; or None.
        wait: the longest that a command waits for it before it is denied, s of lab time.
        max_age: age above which the reading is stale, s of lab time.
        every: s of lab time between two looks, where the lab file states it; or None.
        actions: of the instrument that it holds for; empty for every one whose effect is not `reads`.
        where: its place in the file.
    """

    instrument: str
    reading: str
    at_least: Quantity | None = None
    at_most: Quantity | None = None
    equals: str | None = None
    wait: float = 0.0
    max_age: float = MAX_AGE
    every: float | None = None
    actions: tuple[str, ...] = ()
    where: Where = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """The reading as the lab file names it."""
        return f"{self.instrument}.{self.reading}"

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        if self.equals is not None:
            return f"'{self.equals}'"
        low = None if self.at_least is None else f"at least {self.at_least}"
        high = None if self.at_most is None else f"at most {self.at_most}"
        return " and ".join(part for part in (low, high) if part is not None)

    def covers(self, action: str, effect: str) -> bool:
        """Tell whether it holds for an action of its instrument."""
        return action in self.actions if self.actions else effect != "reads"

    def violation(self, value: object, unit: str) -> str | None:
        """Say why a value is not allowed, or None where it is.

        Args:
            value: what was read: a number in `unit`, or a word.
            unit: of the number.
        """
        if self.equals is not None:
            return None if value == self.equals else f"is {_value(value, unit)}, allowed is {self.allowed}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"is {_value(value, unit)}, which is no number; allowed is {self.allowed}"
        for bound, side in ((self.at_least, 1.0), (self.at_most, -1.0)):
            if bound is None:
                continue
            try:
                converted = convert(float(value), unit, bound.unit)
            except UnitError as error:
                return f"cannot be compared with {bound}: {error}"
            if not side * (converted - bound.value) >= 0:  # also where it is not a number
                return f"is {_value(value, unit)}, allowed is {self.allowed}"
        return None


def _value(value: object, unit: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return brief(value)
    return f"{value:.6g}" if unit in {"", DIMENSIONLESS} else f"{value:.6g} {unit}"


def read_requirements(reader: Reader, where: Where) -> tuple[Requirement, ...]:
    """Read `requires:` of an instrument: reading → what is allowed; a problem is noted for each that cannot be read.

    Args:
        reader: of the file.
        where: path of the mapping; nothing need stand there.
    """
    found = []
    for name in reader.mapping(where, required=False, what="of readings to what is allowed"):
        requirement = _requirement(reader, (*where, name), name)
        if requirement is not None:
            found.append(requirement)
    return tuple(found)


def _requirement(reader: Reader, where: Where, name: str) -> Requirement | None:
    before = len(reader.problems)
    instrument, dot, reading = name.partition(".")
    if not (instrument and dot and reading):
        reader.wrong(where, f"{brief(name)} names no reading: write {_SHAPE}")
    data = reader.at(where)
    if not isinstance(data, dict):
        reader.wrong(where, f"must say what is allowed, such as {{at_most: 60 degC}}, got {brief(data)}")
        return None
    reader.only(where, _KEYS)
    low, high = (_bound(reader, (*where, side), data.get(side)) for side in ("at_least", "at_most"))
    equals = data.get("equals")
    if equals is not None and (not isinstance(equals, str) or not equals):
        reader.wrong((*where, "equals"), f"must be a word that is read, such as closed, got {brief(equals)}")
    if all(data.get(key) is None for key in ("at_least", "at_most", "equals")):
        reader.wrong(where, "says nothing that must hold: give at_least, at_most, or equals (for words)")
    elif equals is not None and (data.get("at_least") is not None or data.get("at_most") is not None):
        reader.wrong(where, "a reading is a word (equals) or a number (at_least, at_most), not both")
    if low is not None and high is not None:
        _in_order(reader, where, low, high)
    wait = _duration(reader, (*where, "wait"), data.get("wait"))
    max_age = _duration(reader, (*where, "max_age"), data.get("max_age"), above_zero=True)
    every = _duration(reader, (*where, "every"), data.get("every"), above_zero=True)
    actions = data.get("actions", [])
    if (
        not isinstance(actions, list)
        or not all(isinstance(a, str) for a in actions)
        or actions != [*dict.fromkeys(actions)]
    ):
        reader.wrong(
            (*where, "actions"), f"must be a list of the instrument's actions, each once, got {brief(actions)}"
        )
        actions = []
    elif "actions" in data and not actions:
        reader.wrong(
            (*where, "actions"), "an empty list forbids nothing; name actions, or leave it out for all that move"
        )
    if len(reader.problems) > before:
        return None
    return Requirement(
        instrument=instrument,
        reading=reading,
        at_least=low,
        at_most=high,
        equals=equals,
        wait=0.0 if wait is None else wait,
        max_age=MAX_AGE if max_age is None else max_age,
        every=every,
        actions=tuple(actions),
        where=where,
    )


def _in_order(reader: Reader, where: Where, low: Quantity, high: Quantity) -> None:
    if not is_compatible(low.unit, high.unit):
        reader.wrong(where, f"at_least is in {low.unit}, at_most in {high.unit}; both bound one reading")
    elif low.to(high.unit) > high.value:
        reader.wrong(where, f"at_least {low} is above at_most {high}: nothing would ever be allowed")


def _bound(reader: Reader, where: Where, value: Any) -> Quantity | None:  # noqa: ANN401  plain data
    if value is None:
        return None
    try:
        return read_quantity(value)
    except UnitError as error:
        reader.wrong(where, f"{error}; write it such as '60 degC'")
        return None


def _duration(reader: Reader, where: Where, value: Any, *, above_zero: bool = False) -> float | None:  # noqa: ANN401
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise UnitError(f"must be a time such as '10 min', got {brief(value)}")
        seconds = read_duration(value)
        if above_zero and seconds == 0:
            raise UnitError(f"must be longer than nothing, got {brief(value)}")
    except UnitError as error:
        reader.wrong(where, str(error))
        return None
    return seconds
