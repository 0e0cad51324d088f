"""Read, check and convert quantities. pint knows the units; no text is ever evaluated as an expression.

Temperatures: `degC` and `degF` have an offset, so a *value* (1050 degC) and a *difference* (±5 degC) convert
differently. `convert` is for values, `convert_difference` for tolerances, rates and uncertainties.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdl.errors import UnitError

if TYPE_CHECKING:
    from pint import UnitRegistry

DIMENSIONLESS = "dimensionless"

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_QUANTITY = re.compile(rf"^\s*({_NUMBER})\s*(1\s*/.*|[^0-9.].*)?$")
# Unit names, products, quotients and one small integer power each: nothing else reaches pint's parser, which would
# evaluate `m**9**9**9` until the end of days.
_LETTER = r"A-Za-z\u00b5\u03bc\u2126\u03a9\u00c5\u212b\u0394\u00b0%_"  # micro, mu, ohm, omega, angstrom, A ring, delta, degree
_FACTOR = rf"[{_LETTER}][{_LETTER}0-9]*(?:\s*(?:\*\*|\^)\s*-?[0-9]{{1,2}}|⁻?[¹²³⁴])?"
_UNIT = re.compile(rf"^(?:1\s*/\s*)?{_FACTOR}(?:\s*(?:\*|/| )\s*{_FACTOR})*$")
_LONGEST_UNIT = 80


@dataclass(frozen=True)
class Quantity:
    """A number with a unit, as a user wrote it.

    Attributes:
        value: the number; always finite.
        unit: the unit as written, `dimensionless` where none was.
    """

    value: float
    unit: str

    def to(self, unit: str) -> float:
        """Return the value in `unit`.

        Raises:
            UnitError: the dimensions differ.
        """
        return convert(self.value, self.unit, unit)

    def __str__(self) -> str:
        return f"{self.value:g}" if self.unit == DIMENSIONLESS else f"{self.value:g} {self.unit}"


@functools.cache
def _registry() -> UnitRegistry[Any]:
    import pint

    registry: UnitRegistry[Any] = pint.UnitRegistry(cache_folder=None, on_redefinition="ignore")
    # pint counts a revolution as 2π, so that 100 rpm would reach a stirrer as 628 1/min. At the bench rpm counts turns
    # (ISO 80000-3: rotational frequency, 1 r/min = 1/60 1/s).
    registry.define("revolutions_per_minute = 1 / minute = rpm")
    return registry


@functools.lru_cache(maxsize=4096)
def _unit(text: str) -> Any:  # noqa: ANN401  pint's unit class is made by the registry
    import pint

    stripped = text.strip()
    if stripped in {"", "1"}:
        stripped = DIMENSIONLESS
    if stripped == "%":
        stripped = "percent"
    if len(stripped) > _LONGEST_UNIT or not _UNIT.match(stripped):
        raise UnitError(
            f"'{text}' is not a unit: write names joined by *, / and small powers, such as 'mS/cm' or 'W/m**2/K'"
        )
    try:
        return _registry().parse_units(stripped)
    except (
        pint.errors.PintError,
        AttributeError,
        ValueError,
        TypeError,
        KeyError,
        SyntaxError,
        AssertionError,
    ) as error:
        raise UnitError(f"unknown unit '{text}'; use a unit that pint knows, such as degC, h, g, mS/cm") from error


def canonical_unit(unit: str) -> str:
    """Return the unit's one spelling, as pint writes it: `canonical_unit("mS / cm") == "millisiemens / centimeter"`.

    Raises:
        UnitError: no such unit.
    """
    return str(_unit(unit)) or DIMENSIONLESS


def is_compatible(one: str, other: str) -> bool:
    """Tell whether values can be converted from one unit to the other.

    A temperature (degC) and a difference of temperatures (delta_degC) do not measure the same thing; kelvin fits both.

    Raises:
        UnitError: one of them is unknown.
    """
    source, goal = _unit(one), _unit(other)
    if source.dimensionality != goal.dimensionality or _angle(source) != _angle(goal):
        return False
    try:
        _image(1.0, source, goal)
    except UnitError:
        return False
    return True


def is_offset(unit: str) -> bool:
    """Tell whether the unit's zero is not the quantity's zero (degC, degF): ratios and logarithms mean nothing there."""
    return _image(0.0, _unit(unit), None) != 0.0


def convert(value: float, unit: str, target: str) -> float:
    """Convert a value from `unit` to `target`; a temperature is a point on a scale.

    Raises:
        UnitError: the dimensions differ, or a unit is unknown.
    """
    return _convert(value, unit, target, difference=False)


def convert_difference(value: float, unit: str, target: str) -> float:
    """Convert a difference (a tolerance, a rate, an uncertainty) from `unit` to `target`: 5 degC is 5 K.

    Raises:
        UnitError: the dimensions differ, or a unit is unknown.
    """
    return _convert(value, unit, target, difference=True)


def _convert(value: float, unit: str, target: str, *, difference: bool) -> float:
    source, goal = _unit(unit), _unit(target)
    if source == goal:
        return float(value)
    if source.dimensionality != goal.dimensionality:
        raise UnitError(
            f"{value:g} {unit} cannot be given in {target}: one is {source.dimensionality}, the other {goal.dimensionality}"
        )
    if _angle(source) != _angle(goal):
        raise UnitError(
            f"{value:g} {unit} cannot be given in {target}: one counts an angle, the other does not, and a turn is 2π rad; "
            "write turns as rpm, Hz or 1/min, and angles as rad or deg on both sides"
        )
    if difference and (is_offset(unit) or is_offset(target)):
        converted = float(value) * _degree(unit) / _degree(target)
    else:
        converted = _image(float(value), source, goal)
    if math.isfinite(value) and not math.isfinite(converted):
        raise UnitError(f"{value:g} {unit} has no finite value in {target}")
    return converted


_ANGLES = ("radian", "degree", "turn", "arcminute", "arcsecond", "grade")


def _angle(unit: Any) -> float:  # noqa: ANN401  pint's unit class is made by the registry
    """Return the power of angle in a unit, which pint's dimensions leave out: 1 for rad/s, 0 for 1/s."""
    items = _registry().Quantity(1.0, unit).unit_items()
    return sum(float(str(power)) for name, power in items if str(name).endswith(_ANGLES))


def _degree(unit: str) -> float:
    """Return the size of a unit's degree in base units, by which differences scale."""
    low, middle, high = (_image(x, _unit(unit), None) for x in (0.0, 1.0, 2.0))
    if not math.isclose(high - middle, middle - low, rel_tol=1e-9):
        raise UnitError(f"a difference has no meaning in {unit}, whose degrees differ in size; use another unit")
    return middle - low


def _image(value: float, source: Any, goal: Any) -> float:  # noqa: ANN401  pint's unit class is made by the registry
    """Return a value as a point on the scale of `goal`, of base units where that is None."""
    import pint

    quantity = _registry().Quantity(value, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a logarithm of 0: the result is looked at instead
            return float((quantity.to_base_units() if goal is None else quantity.to(goal)).magnitude)
    except (pint.errors.PintError, ArithmeticError, ValueError) as error:
        raise UnitError(
            f"{value:g} {source:~} cannot be given in {goal or 'base units'}: "
            "a temperature and a difference of temperatures (delta_degC) are not the same thing"
            if source.dimensionality == {"[temperature]": 1}
            else f"{value:g} {source:~} cannot be given in {goal or 'base units'}: {error}"
        ) from error


def read_quantity(text: str | float) -> Quantity:
    """Read `2 g`, `1323 K`, `0.5` or a plain number.

    Raises:
        UnitError: no number in front, a number that is not finite, or an unknown unit.

    >>> read_quantity("1323 K")
    Quantity(value=1323.0, unit='K')
    """
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise UnitError(f"{text!r} is neither a number nor a quantity such as '2 g'")
    if isinstance(text, int | float):
        try:
            value, unit = float(text), DIMENSIONLESS
        except OverflowError as error:
            raise UnitError(f"a number with {len(str(text))} digits is too large") from error
    else:
        match = _QUANTITY.match(text)
        if match is None:
            raise UnitError(f"'{text}' is not a quantity: write a number and a unit, such as '2 g'")
        value, unit = float(match.group(1)), (match.group(2) or "").strip() or DIMENSIONLESS
    if not math.isfinite(value):
        raise UnitError(f"{text!r} is not finite")
    _unit(unit)
    return Quantity(value, unit)


def read_duration(text: str | float) -> float:
    """Read a duration such as `4 h`; returns seconds.

    Raises:
        UnitError: not a time, or negative.
    """
    quantity = read_quantity(text)
    seconds = quantity.to("s")
    if seconds < 0:
        raise UnitError(f"a duration cannot be negative: {quantity}")
    return seconds
