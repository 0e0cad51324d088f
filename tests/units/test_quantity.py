"""Quantities are read as number and unit, never evaluated; values and differences of temperature are told apart."""

from __future__ import annotations

import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.errors import UnitError
from sdl.units import (
    Quantity,
    canonical_unit,
    convert,
    convert_difference,
    is_compatible,
    is_offset,
    read_duration,
    read_quantity,
)

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)
LENGTHS = ["m", "km", "mm", "um", "angstrom"]
TEMPERATURES = ["K", "degC", "degF"]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("2 g", 2.0, "g"),
        ("2g", 2.0, "g"),
        (" 1323 K ", 1323.0, "K"),
        ("-5 degC", -5.0, "degC"),
        ("1e-3 mol/L", 1e-3, "mol/L"),
        (".5 h", 0.5, "h"),
        ("5 %", 5.0, "%"),
        ("3 g/cm³", 3.0, "g/cm³"),
        ("3 g/cm**3", 3.0, "g/cm**3"),
        ("2 1/h", 2.0, "1/h"),
        ("2 \u00b5m", 2.0, "\u00b5m"),
        ("2 \u03bcm", 2.0, "\u03bcm"),
        ("0.5", 0.5, "dimensionless"),
        (7, 7.0, "dimensionless"),
    ],
)
def test_a_quantity_is_read(text: str | float, value: float, unit: str) -> None:
    assert read_quantity(text) == Quantity(value, unit)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5 apples", "unknown unit 'apples'"),
        ("2 g; import os", "is not a unit"),
        ("2 __import__('os')", "is not a unit"),
        ("2 m**9**9**9**9", "is not a unit"),
        ("2 m^99999", "is not a unit"),
        ("2 m*3", "is not a unit"),
        ("2 m 3", "is not a"),
        ("1 " + "m*" * 60 + "m", "is not a unit"),
        ("nan K", "is not a quantity"),
        ("inf g", "is not a quantity"),
        ("1e999 g", "is not finite"),
        ("g", "is not a quantity"),
        ("", "is not a quantity"),
        ("2 + 2", "is not a unit"),
        ("\u0663 g", "is not a quantity"),
        (math.nan, "is not finite"),
        (math.inf, "is not finite"),
        (10**400, "too large"),
        (True, "neither a number nor a quantity"),
        (None, "neither a number nor a quantity"),
        ([1], "neither a number nor a quantity"),
    ],
    ids=lambda x: str(x)[:24],
)
def test_what_is_no_quantity_is_refused(text: object, said: str) -> None:
    with pytest.raises(UnitError, match=said):
        read_quantity(text)  # type: ignore[arg-type]


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        quantity = read_quantity(text)
    except UnitError:
        return
    assert math.isfinite(quantity.value)


@given(st.text(alphabet=string.digits + "mgK*/^-. ()e1", max_size=30))
def test_text_that_looks_like_an_expression_is_read_or_refused(text: str) -> None:
    try:
        quantity = read_quantity("1 " + text)
    except UnitError:
        return
    assert math.isfinite(quantity.value)


@given(finite, st.sampled_from(LENGTHS), st.sampled_from(LENGTHS))
def test_conversion_there_and_back(value: float, one: str, other: str) -> None:
    assert convert(convert(value, one, other), other, one) == pytest.approx(value, rel=1e-12, abs=1e-12)


@given(finite, st.sampled_from(TEMPERATURES), st.sampled_from(TEMPERATURES))
def test_a_difference_ignores_the_zero_of_the_scale(value: float, one: str, other: str) -> None:
    there = convert_difference(value, one, other)
    assert convert_difference(0.0, one, other) == 0.0
    assert convert_difference(there, other, one) == pytest.approx(value, rel=1e-9, abs=1e-9)
    size = {"K": 1.0, "degC": 1.0, "degF": 5 / 9}
    assert there == pytest.approx(value * size[one] / size[other], rel=1e-9)


@given(finite.filter(lambda v: abs(v) < 1e9), st.floats(-1e6, 1e6), st.sampled_from(TEMPERATURES))
def test_a_difference_is_the_difference_of_two_values(value: float, step: float, unit: str) -> None:
    values = convert(value + step, unit, "K") - convert(value, unit, "K")
    assert values == pytest.approx(convert_difference(step, unit, "K"), abs=1e-5)


@given(finite)
def test_text_and_number_agree(value: float) -> None:
    assert read_quantity(f"{value!r} g").value == value


@pytest.mark.parametrize("unit", ["mS/cm", "degC", "1/h", "m**-1", "kg*m**2/s**2", "percent", "degC/min", "W/m**2/K"])
def test_a_canonical_unit_is_its_own_canonical_unit(unit: str) -> None:
    once = canonical_unit(unit)
    assert canonical_unit(once) == once
    assert is_compatible(unit, once)


def test_one_unit_has_one_spelling() -> None:
    assert canonical_unit("mS / cm") == canonical_unit("millisiemens/centimeter") == "millisiemens / centimeter"
    assert canonical_unit("") == canonical_unit("1") == canonical_unit("dimensionless") == "dimensionless"


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        (1050, "degC", "K", 1323.15),
        (32, "degF", "degC", 0.0),
        (90, "min", "h", 1.5),
        (5, "degC/min", "K/s", 5 / 60),
        (5, "K", "delta_degC", 5.0),
        (50, "percent", "dimensionless", 0.5),
    ],
)
def test_known_conversions(value: float, unit: str, target: str, expected: float) -> None:
    assert convert(value, unit, target) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("value", "unit", "target", "said"),
    [
        (2, "g", "h", r"2 g cannot be given in h: one is \[mass\], the other \[time\]"),
        (5, "degC", "delta_degC", "a difference of temperatures"),
        (5, "delta_degC", "degC", "a difference of temperatures"),
        (1e308, "km", "nm", "no finite value in nm"),
        (0, "mW", "dBm", "no finite value in dBm"),
        (-1, "mW", "dBm", "no finite value in dBm"),
    ],
)
def test_conversions_without_meaning_are_refused(value: float, unit: str, target: str, said: str) -> None:
    with pytest.raises(UnitError, match=said):
        convert(value, unit, target)


def test_differences_without_meaning_are_refused() -> None:
    with pytest.raises(UnitError, match="a difference has no meaning in dBm"):
        convert_difference(3, "dBm", "mW")


def test_differences_between_a_scale_and_its_degrees() -> None:
    assert convert_difference(5, "degC", "delta_degC") == pytest.approx(5)
    assert convert_difference(9, "delta_degF", "degC") == pytest.approx(5)


def test_offset_units() -> None:
    assert is_offset("degC")
    assert is_offset("degF")
    assert not any(is_offset(u) for u in ["K", "h", "mS/cm", "delta_degC", "degC/min", "dimensionless"])


def test_compatible_units() -> None:
    assert is_compatible("degC", "K")
    assert is_compatible("K", "delta_degC")
    assert not is_compatible("degC", "delta_degC")
    assert not is_compatible("g", "h")
    with pytest.raises(UnitError, match="unknown unit"):
        is_compatible("g", "apples")


def test_durations() -> None:
    assert read_duration("4 h") == 14400.0
    with pytest.raises(UnitError, match="cannot be negative: -1 h"):
        read_duration("-1 h")
    with pytest.raises(UnitError, match="cannot be given in s"):
        read_duration("4 g")
    with pytest.raises(UnitError, match="cannot be given in s"):
        read_duration("4")


def test_a_quantity_shows_itself() -> None:
    assert str(Quantity(2.0, "g")) == "2 g"
    assert str(Quantity(0.5, "dimensionless")) == "0.5"
    assert Quantity(1.0, "h").to("min") == 60.0


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        pytest.param(100, "rpm", "1/min", 100, id="rpm"),
        pytest.param(600, "rpm", "Hz", 10, id="rpm-hz"),
        pytest.param(2, "Hz", "1/min", 120, id="hz"),
        pytest.param(180, "deg", "rad", math.pi, id="degrees"),
        pytest.param(360, "deg/s", "rad/min", 120 * math.pi, id="angular-speed"),
    ],
)
def test_turns_are_counted_and_angles_are_angles(value, unit, target, expected):
    """ISO 80000-3: rotational frequency counts revolutions; angular velocity is 2π times that."""
    assert convert(value, unit, target) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unit", "target"), [("rad/s", "Hz"), ("rad/s", "rpm"), ("deg", "dimensionless"), ("turn/min", "1/min")]
)
def test_an_angle_never_becomes_a_plain_number(unit, target):
    assert not is_compatible(unit, target)
    with pytest.raises(UnitError, match="a turn is 2π rad"):
        convert(1.0, unit, target)
