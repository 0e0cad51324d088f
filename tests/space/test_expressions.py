"""Expressions: what they mean, their derivatives against finite differences, and what is refused where."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl.errors import SpaceError
from sdl.space import Categorical, Continuous, ExpressionConstraint, Integer, Space
from sdl.space.expressions import binding, broken, holds, leaves, shortfall, slopes, value
from sdl.space.grammar import LONGEST, read_condition, read_term

GAS = {"gas": ("air", "argon")}


def at(**values: float) -> dict[str, Any]:
    return {name: np.array([float(v)]) for name, v in values.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("--2", 2),
        ("8 / 4 / 2", 1),
        ("7 - 2 - 1", 4),
        ("1e-3 * .5e3", 0.5),
        ("exp(log(3)) + log10(100) + sqrt(16) + abs(-1)", 10),
        ("min(3, 1, 2) + max(x, y)", 6),
        ("x * y ** 2", 50),
    ],
)
def test_values(text: str, expected: float) -> None:
    assert float(np.ravel(value(read_term(text), at(x=2, y=5)))[0]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x <= 2", True),
        ("x < 2", False),
        ("1 <= x <= 3", True),
        ("1 <= x < 2 <= y", False),
        ("x > 3 or y > 3", True),
        ("x > 3 and y > 3", False),
        ("x <= 2 and y >= 5 or x == 9", True),
        ("not x > 2", True),
        ("not (x <= 2 and y >= 5)", False),
        ("not (x > 2 or y < 5)", True),
        ("not not x == 2", True),
        ('gas == "air"', False),
        ("gas != 'air'", True),
        ('"argon" == gas', True),
        ('if gas == "air" then x <= 1', True),
        ('if gas == "argon" then x <= 1', False),
        ("if x == 2 then if y == 5 then gas == 'air'", False),
        ("(if x == 2 then y == 6) or x > 1", True),
        ("n == 3", True),
        ("n != 3", False),
    ],
)
def test_conditions(text: str, expected: bool) -> None:
    columns = at(x=2, y=5, n=3, gas=1)
    tree = read_condition(text)
    assert holds(tree, columns, GAS).tolist() == [expected]
    assert (shortfall(tree, columns, GAS) == 0).tolist() == [expected]
    assert (broken(tree, columns, GAS, 0.0) == []) == expected
    assert (binding(tree, columns, GAS) is not None) == expected


@pytest.mark.parametrize("text", ["log(x) <= 5", "1 / x <= 5", "sqrt(-1 - x) >= 0", "x / x == 1", "exp(1e6 + x) >= 0"])
def test_what_is_no_finite_number_is_broken_and_so_is_its_opposite(text: str) -> None:
    for condition in (text, f"not {text}"):
        tree = read_condition(condition)
        assert not holds(tree, at(x=0), {})[0]
        assert shortfall(tree, at(x=0), {})[0] == 1
        assert "is no finite number" in broken(tree, at(x=0), {}, 0.0)[0]


# --- properties ------------------------------------------------------------------------------------------------------

numbers = st.floats(0.2, 3.0).map(lambda v: repr(round(v, 3)))
terms = st.recursive(
    st.one_of(st.sampled_from(["x", "y"]), numbers),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(["exp", "abs", "log", "sqrt", "log10"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(inner, st.sampled_from(["2", "3", "-1", "0.5"])).map(lambda t: f"({t[0]}) ** {t[1]}"),
        inner.map(lambda t: f"-{t}"),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(terms, st.floats(0.3, 2.0), st.floats(0.3, 2.0))
def test_trees_mean_what_the_same_formula_means_in_python(text: str, x: float, y: float) -> None:
    # eval of a text that this test made itself: the tree is held against a second, independent reading of it
    names = {
        **{f: getattr(np, f) for f in ("exp", "log", "log10", "sqrt", "abs")},
        "min": np.minimum,
        "max": np.maximum,
        "x": np.float64(x),
        "y": np.float64(y),
    }
    # numbers become numpy's, whose 1/0 is infinite as in the tree
    python = re.sub(r"(?<![\w.])(\d+\.?\d*(?:e-?\d+)?)", r"F(\1)", text)
    with np.errstate(all="ignore"):
        expected = float(eval(python, {"__builtins__": {}, "F": np.float64}, names))
    found = float(np.ravel(value(read_term(text), at(x=x, y=y)))[0])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6, equal_nan=True)  # differences of equal numbers


@settings(max_examples=200, deadline=None, derandomize=True)
@given(terms, st.floats(0.3, 2.0), st.floats(0.3, 2.0))
def test_derivatives_are_those_of_finite_differences(text: str, x: float, y: float) -> None:
    tree = read_term(text)
    where = at(x=x, y=y)
    here, by = slopes(tree, where)
    assert np.array_equal(here, value(tree, where), equal_nan=True)
    for name in ("x", "y"):
        step = 1e-6
        up, down = ({**where, name: where[name] + s} for s in (step, -step))
        near = [float(np.ravel(value(tree, p))[0]) for p in (down, where, up)]
        if not np.isfinite(near).all() or max(map(abs, near)) > 1e4:
            continue
        left, right = (near[1] - near[0]) / step, (near[2] - near[1]) / step
        if abs(left - right) > 1e-3 * (1 + abs(left)):  # a kink of abs, min or max, or too steep for the step
            continue
        slope = float(np.ravel(by.get(name, np.zeros(1)))[0])
        assert slope == pytest.approx((left + right) / 2, rel=1e-3, abs=1e-3)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="xy<>=+-*/() 12.,\"'andorifthenotexp_!&", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        tree = read_condition(text)
    except ValueError as error:
        assert str(error)
        return
    assert list(leaves(tree))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the text ends too early"),
        ("x", "compares nothing"),
        ("x <=", "character 5: the text ends too early"),
        ("x <= 3 3", "character 8: '3' is not expected here"),
        ("x * h <= 9000 degC", "character 15: 'degC' after a number: numbers stand without units"),
        ("x = 3", "character 3: '=': write == for 'is'"),
        ("x ^ 2 <= 3", "character 3: '^': write ** for a power"),
        ("x ≤ 3", "write <="),
        ("x <= 3 && y <= 2", "character 8: '&': write and"),
        ("tanh(x) <= 1", "character 1: there is no function 'tanh'; there are 'exp', 'log'"),
        ("sqr(x) <= 1", "(did you mean 'sqrt'?)"),
        ("exp(x, y) <= 1", "'exp' takes one argument, got 2"),
        ("min(x) <= 1", "'min' takes at least two arguments, got 1"),
        ("exp(x + 1", "')' is expected, but the text ends"),
        ("(x + 1 <= 2", "character 12: ')' is expected"),
        ("if x <= 1", "'then' is expected"),
        ("if x then y <= 1", "a comparison is needed here"),
        ("if x <= 1 then y", "a comparison is needed here"),
        ("if x <= 1 then y <= 2 else y <= 3", "there is no 'else'"),
        ("x and y <= 2", "a comparison is needed here"),
        ("(x <= 1) + 2 <= 3", "a number is needed here, not a comparison"),
        ("1 <= 2", "two numbers are compared; name a parameter"),
        ('gas <= "air"', "'<=' does not go with a text"),
        ('x + 1 == "air"', "a text can be compared with a categorical parameter alone"),
        ("gas == 'air", "a text begins here and does not end"),
        ("__import__('os') <= 1", "there is no function '__import__'"),
        ("x.real <= 1", "character 2: '.'"),
        ("x[0] <= 1", "use round brackets"),
        ("x <= 1e999", "1e999 is too large"),
        ("(" * 60 + "x" + ")" * 60 + " <= 1", "nested deeper than 40"),
        ("x <= " + "1 + " * 300 + "1", f"at most {LONGEST} characters"),
        ("x <= " + "1+" * 300 + "1", "has more than 200 operations"),
    ],
)
def test_what_is_no_expression_is_refused_where_it_stands(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        read_condition(text)


UNIT = Continuous(type="continuous", bounds=(0, 1))
PARAMETERS = {
    "x": UNIT,
    "y": UNIT,
    "n": Integer(type="integer", bounds=(1, 3)),
    "gas": Categorical(type="categorical", values=("air", "argon")),
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("z <= 1", "character 1: unknown parameter 'z'"),
        ("x * gsa <= 1", "character 5: unknown parameter 'gsa' (did you mean 'gas'?)"),
        ("gas == air", "unknown parameter 'air'; parameters are 'x', 'y', 'n', 'gas'; a category stands in quotes"),
        (
            "gas <= 1",
            "'gas' is categorical and no number; compare it with a category in quotes, such as gas == \"air\"",
        ),
        ('gas == "oxigen"', "'gas' never is 'oxigen'; it is one of 'air', 'argon'"),
        ('gas == "argn"', "(did you mean 'argon'?)"),
        ('x == "air"', "'x' is a number and cannot be the text 'air'"),
        ("x == 0.5", "'==' between continuous parameters: no point drawn at random meets it"),
        ("x != n", "'!=' between continuous parameters"),
    ],
)
def test_what_does_not_fit_the_parameters(text: str, said: str) -> None:
    constraint = ExpressionConstraint(type="expression", expression=text)
    assert said in constraint.misfits(PARAMETERS)[0]
    with pytest.raises(SpaceError) as caught:
        Space(PARAMETERS, [constraint])
    assert said in str(caught.value)


def test_a_candidate_is_told_what_it_breaks() -> None:
    parameters = {
        "temperature": Continuous(type="continuous", bounds=(1000, 1250), unit="degC"),
        "hold": Continuous(type="continuous", bounds=(0.5, 16), unit="h", scale="log"),
        "gas": PARAMETERS["gas"],
    }
    space = Space(
        parameters,
        [
            ExpressionConstraint(type="expression", expression="temperature * hold <= 9000"),
            ExpressionConstraint(type="expression", expression='if gas == "air" then temperature <= 1100'),
        ],
    )
    assert space.problems({"temperature": 1100.0, "hold": 2.0, "gas": "air"}) == []
    assert space.problems({"temperature": 1200.0, "hold": 9.0, "gas": "air"}) == [
        "temperature * hold <= 9000 is broken: left side 10800 > 9000",
        "if gas == \"air\" then temperature <= 1100 is broken: gas is 'air' or left side 1200 > 1100",
    ]
    assert pickle.loads(pickle.dumps(space)).constraints == space.constraints
    assert hash(space.constraints[0]) == hash(
        ExpressionConstraint(type="expression", expression=str(space.constraints[0]))
    )


def test_a_space_in_which_nothing_was_found_says_what_came_nearest() -> None:
    square = {"x": UNIT, "y": UNIT}
    with pytest.raises(SpaceError) as caught:
        Space(square, [ExpressionConstraint(type="expression", expression="x * y >= 1.2")])
    said = str(caught.value)
    assert "(x * y >= 1.2) in 1024 walks" in said
    assert "the nearest was x " in said
    assert "x * y >= 1.2 is broken: left side " in said
    Space(square, [ExpressionConstraint(type="expression", expression="x * y >= 0.9999")])
