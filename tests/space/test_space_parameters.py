"""Parameters: what they refuse, and their unit coordinates there and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sdl.space import Categorical, Continuous, Discrete, Integer

KINDS = {"continuous": Continuous, "integer": Integer, "discrete": Discrete, "categorical": Categorical}


def make(**data: Any) -> Any:
    return KINDS[data["type"]](**data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"type": "continuous", "bounds": [2, 1]}, "lower below upper, got \\[2, 1\\]"),
        ({"type": "continuous", "bounds": [1, 1]}, "lower below upper"),
        ({"type": "continuous", "bounds": [0, math.inf]}, "inf is not finite"),
        ({"type": "continuous", "bounds": [math.nan, 1]}, "nan is not finite"),
        ({"type": "continuous", "bounds": [-1e308, 1e308]}, "too far apart"),
        ({"type": "continuous", "bounds": [1e-320, 1e300], "scale": "log"}, "too far apart"),
        ({"type": "continuous", "bounds": [0, 10**400]}, "too large"),
        ({"type": "continuous", "bounds": [False, 1]}, "False is not a number"),
        ({"type": "continuous", "bounds": ["0 g", 1], "unit": "K"}, "0 g cannot be given in K"),
        ({"type": "continuous", "bounds": ["a", 1]}, "is not a quantity"),
        ({"type": "continuous", "bounds": [1, 2, 3]}, "at most 2"),
        ({"type": "continuous", "bounds": [1]}, "Field required"),
        ({"type": "continuous", "bounds": [0, 1], "unit": "apples"}, "unknown unit 'apples'"),
        ({"type": "continuous", "bounds": [0, 1], "scale": "log"}, "log needs bounds above 0"),
        ({"type": "continuous", "bounds": [10, 20], "scale": "log", "unit": "degC"}, "log has no meaning in degC"),
        ({"type": "continuous", "bounds": [0, 1], "step": 1}, "Extra inputs"),
        ({"type": "integer", "bounds": [3, 1]}, "lower below upper, got \\[3, 1\\]"),
        ({"type": "integer", "bounds": [1, 2.5]}, "valid integer"),
        ({"type": "integer", "bounds": [0, 10**9]}, "more than 1000000 levels"),
        ({"type": "integer", "bounds": [0, 10**400]}, "less than or equal"),
        ({"type": "discrete", "values": [1]}, "at least two numbers"),
        ({"type": "discrete", "values": [1, 1.0]}, "stands twice"),
        ({"type": "discrete", "values": [-1e308, 1e308]}, "too far apart"),
        ({"type": "categorical", "values": ["a"]}, "at least two names"),
        ({"type": "categorical", "values": ["a", "a"]}, "stands twice"),
        ({"type": "categorical", "values": [1, 2]}, "valid string"),
        (
            {"type": "categorical", "values": ["a", "b"], "descriptors": {"a": {"r": 1}}},
            "descriptors must be given for",
        ),
        (
            {"type": "categorical", "values": ["a", "b"], "descriptors": {"a": {"r": 1}, "b": {"s": 1}}},
            "same descriptors",
        ),
        ({"type": "categorical", "values": ["a", "b"], "descriptors": {"a": {}, "b": {}}}, "same descriptors"),
    ],
    ids=lambda x: str(x)[:60] if isinstance(x, dict) else "",
)
def test_what_is_no_parameter_is_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        make(**data)


def test_bounds_may_be_quantities() -> None:
    found = Continuous(type="continuous", bounds=("1273.15 K", "1250 degC"), unit="degC")
    assert found.bounds == pytest.approx((1000.0, 1250.0))
    assert Discrete(type="discrete", values=("1 h", "90 min"), unit="h").values == (1.0, 1.5)
    with_bad_unit = {"type": "continuous", "bounds": ["1273 K", "1323 K"], "unit": "degc"}
    with pytest.raises(ValidationError) as caught:
        Continuous(**with_bad_unit)
    assert caught.value.error_count() == 1, "a wrong unit must not make its quantities wrong too"


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Integer(type="integer", bounds=(1, 3)).unit = "h"  # type: ignore[misc]


@given(st.data(), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_from_unit_stays_inside_and_comes_back(made_up: Any, data: st.DataObject, u: list[float]) -> None:
    parameter = data.draw(made_up.parameter())
    points = np.array(u)
    codes = parameter.from_unit(points)
    if isinstance(parameter, Categorical):
        assert set(codes) <= set(range(len(parameter.values)))
        return
    assert all(parameter.problem(float(c)) is None for c in codes)
    assert (codes >= parameter.lower).all()
    assert (codes <= parameter.upper).all()
    again = parameter.to_unit(codes)
    assert (again >= -1e-9).all()
    assert (again <= 1 + 1e-9).all()
    if isinstance(parameter, Continuous):
        np.testing.assert_allclose(again, points, atol=1e-6)
    else:
        assert set(codes) <= set(parameter.levels)


@given(st.data())
def test_levels_have_equal_shares(made_up: Any, data: st.DataObject) -> None:
    parameter = data.draw(st.one_of(made_up.integer(), made_up.discrete()))
    count = len(parameter.levels)
    codes = parameter.from_unit((np.arange(count * 20) + 0.5) / (count * 20))
    assert np.unique(codes, return_counts=True)[1].tolist() == [20] * count


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        (Continuous(type="continuous", bounds=(0, 1), unit="g"), 2.0, r"2 g is outside \[0, 1\] g"),
        (Continuous(type="continuous", bounds=(0, 1)), math.nan, "not a finite number"),
        (Continuous(type="continuous", bounds=(0, 1)), "a", "not a finite number"),
        (Continuous(type="continuous", bounds=(0, 1)), True, "not a finite number"),
        (Integer(type="integer", bounds=(1, 3)), 1.5, "not a whole number"),
        (Integer(type="integer", bounds=(1, 3)), 4, r"outside \[1, 3\]"),
        (Integer(type="integer", bounds=(1, 3)), math.inf, "not a whole number"),
        (Discrete(type="discrete", values=(1, 2)), 1.5, "1.5 is none of 1, 2"),
        (Categorical(type="categorical", values=("a", "b")), "c", "'c' is none of 'a', 'b'"),
    ],
)
def test_values_outside_are_named(parameter: Any, value: Any, said: str) -> None:
    assert parameter.problem(value) is not None
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(parameter.problem(value))


def test_values_inside_are_fine() -> None:
    assert Integer(type="integer", bounds=(1, 3)).problem(2.0) is None
    assert Continuous(type="continuous", bounds=(0, 1)).problem(1.0 + 1e-12) is None
    assert Discrete(type="discrete", values=(0.1, 0.3)).problem(0.1 + 0.2) is None
    assert Categorical(type="categorical", values=("a", "b")).problem("a") is None
