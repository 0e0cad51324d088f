"""Counts of components and expressions: what is refused, and that samples keep them, whichever way they are drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdl.errors import SpaceError
from sdl.space import (
    Categorical,
    Continuous,
    CountConstraint,
    Discrete,
    ExpressionConstraint,
    Integer,
    LinearConstraint,
    Space,
)
from sdl.space.sampling import sobol, uniform

slow_ok = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def amounts(names: str, upper: float = 1.0) -> dict[str, Any]:
    return {n: Continuous(type="continuous", bounds=(0, upper)) for n in names}


def count(of: str, **bounds: Any) -> CountConstraint:
    return CountConstraint(type="count", of=tuple(of), **bounds)


def whole(names: str, total: float = 1.0) -> LinearConstraint:
    return LinearConstraint(type="linear", terms=dict.fromkeys(names, 1.0), equals=total)


def expression(text: str) -> ExpressionConstraint:
    return ExpressionConstraint(type="expression", expression=text)


SPACES = {
    "mixture, at most 3 of 5": Space(amounts("abcde"), [whole("abcde"), count("abcde", at_most=3)]),
    "amounts, exactly 2 of 4": Space(amounts("abcd", 50.0), [count("abcd", equals=2, smallest=5)]),
    "mixture and process": Space(
        {**amounts("abcd", 0.7), "t": Continuous(type="continuous", bounds=(300, 900), unit="K")},
        [
            whole("abcd"),
            count("abcd", at_least=2, at_most=3, smallest=0.05),
            LinearConstraint(type="linear", terms={"a": 1, "t": 0.001}, at_most=1.0),
            expression("a * b <= 0.1 or t < 500"),
        ],
    ),
    "unequal weights": Space(
        amounts("abcd"),
        [
            LinearConstraint(type="linear", terms={"a": 1, "b": 2, "c": 1, "d": 3}, equals=1.5),
            count("abc", at_most=2),
            expression("exp(a) + b ** 2 <= 2.2"),
        ],
    ),
    "levels": Space(
        {
            "n": Integer(type="integer", bounds=(0, 4)),
            "d": Discrete(type="discrete", values=(0, 1.5, 3)),
            "x": amounts("x")["x"],
            "k": Categorical(type="categorical", values=("p", "q")),
        },
        [count("ndx", at_most=2), expression('if k == "p" then n + d <= 4')],
    ),
    "rare expression": Space(amounts("xyz"), [expression("x ** 2 + y ** 2 + z ** 2 <= 1e-4")]),
    "thin band": Space(amounts("xy"), [expression("0.25 <= x * y <= 0.2501")]),
    "two islands": Space(amounts("xy"), [expression("x + y <= 0.05 or x + y >= 1.95")]),
    "triples": Space(
        {k: Integer(type="integer", bounds=(1, 9)) for k in "abc"}, [expression("a ** 2 + b ** 2 == c ** 2")]
    ),
    "counts that share": Space(amounts("abcd"), [count("abcd", at_most=3), count("ab", at_most=1)]),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("draw", ["uniform", "sobol"])
def test_samples_keep_everything_and_are_prefixes(name: str, draw: str) -> None:
    space = SPACES[name]

    def points(n: int) -> Any:
        return sobol(space, n, 7) if draw == "sobol" else uniform(space, n, np.random.default_rng(7))

    longest = points(40)
    assert longest.shape == (40, len(space.names))
    for candidate in space.decode(longest):
        assert space.problems(candidate) == []
    for n in (1, 2, 5, 16):
        np.testing.assert_array_equal(points(n), longest[:n])


def test_components_are_exactly_absent_and_choices_equally_likely() -> None:
    space = SPACES["mixture, at most 3 of 5"]
    codes = uniform(space, 12_500, np.random.default_rng(0))
    np.testing.assert_allclose(codes.sum(axis=1), 1.0)
    found = Counter("".join(n for n, v in zip("abcde", row, strict=True) if v > 0) for row in codes)
    # none of the five can be away altogether: 5 choices of one, 10 of two, 10 of three
    assert len(found) == 25
    assert min(found.values()) > 420
    assert max(found.values()) < 580
    assert not found[""]


def test_present_components_have_their_smallest_amount() -> None:
    codes = uniform(SPACES["amounts, exactly 2 of 4"], 500, np.random.default_rng(1))
    assert set((codes > 0).sum(axis=1)) == {2}
    assert codes[codes > 0].min() >= 5


def test_islands_are_both_found() -> None:
    codes = uniform(SPACES["two islands"], 200, np.random.default_rng(1))
    assert 60 < (codes.sum(axis=1) < 1).sum() < 140


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"of": ["a"], "at_most": 1}, "at least two parameters"),
        ({"of": ["a", "a"], "at_most": 1}, "each once"),
        ({"of": ["a", "b"]}, "give either 'equals' or 'at_most'"),
        ({"of": ["a", "b"], "equals": 1, "at_most": 1, "smallest": 1}, "give either 'equals'"),
        ({"of": ["a", "b"], "at_most": 3}, "3 of 2 parameters"),
        ({"of": ["a", "b"], "at_most": 0}, "greater than or equal to 1"),
        ({"of": ["a", "b", "c"], "at_most": 1, "at_least": 2, "smallest": 1}, "at_least 2 is above at_most 1"),
        ({"of": ["a", "b"], "equals": 1}, "'smallest' is missing"),
        ({"of": ["a", "b"], "at_most": 1.5}, "valid integer"),
    ],
)
def test_what_is_no_count_is_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CountConstraint(type="count", **data)


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ([count("az", at_most=1)], "unknown parameter 'z'"),
        ([count("ak", at_most=1)], "'k' is categorical; only amounts can be counted"),
        ([count("at", at_most=1)], "'t' cannot be left out: its lower bound is 1, it must be 0"),
        ([count("ab", equals=1, smallest=2)], "'a' is at most 0.4, less than 'smallest' 2"),
        (
            [whole("abc"), count("abc", at_most=2)],
            "no candidate satisfies the constraints (a + b + c = 1; at most 2 of",
        ),
        ([expression("z <= 1")], "unknown parameter 'z'"),
    ],
)
def test_what_does_not_fit_the_space(constraints: list[Any], said: str) -> None:
    parameters = {
        **amounts("abc", 0.4),
        "t": Continuous(type="continuous", bounds=(1, 2)),
        "k": Categorical(type="categorical", values=("p", "q")),
    }
    with pytest.raises(SpaceError) as caught:
        Space(parameters, constraints)
    assert said in str(caught.value)


def test_a_candidate_is_told_which_components_are_too_many() -> None:
    space = SPACES["mixture, at most 3 of 5"]
    said = space.problems({"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25, "e": 0.0})
    assert said == ["at most 3 of a, b, c, d, e there is broken: 4 are there (a 0.25, b 0.25, c 0.25, d 0.25)"]


@slow_ok
@given(st.data(), st.integers(0, 2**32))
def test_any_space_is_sampled_within_its_constraints(made_up: Any, data: st.DataObject, seed: int) -> None:
    space = data.draw(made_up.constrained_space())
    try:
        codes = uniform(space, 6, np.random.default_rng(seed))
    except SpaceError as error:
        assert "satisfy the constraints" in str(error)
        return
    for candidate in space.decode(codes):
        assert space.problems(candidate) == []
    np.testing.assert_array_equal(uniform(space, 2, np.random.default_rng(seed)), codes[:2])
