"""Spaces made up by hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from sdl.errors import SpaceError
from sdl.space import Categorical, Continuous, Discrete, Integer, LinearConstraint, Space


@st.composite
def continuous(draw: st.DrawFn) -> Continuous:
    log = draw(st.booleans())
    lower = draw(st.floats(1e-6, 1e3) if log else st.floats(-1e6, 1e6))
    width = draw(st.floats(1e-3, 1e6))
    upper = lower * (1 + width) if log else lower + width
    return Continuous(type="continuous", bounds=(lower, upper), scale="log" if log else "linear")


@st.composite
def integer(draw: st.DrawFn) -> Integer:
    lower = draw(st.integers(-1000, 1000))
    return Integer(type="integer", bounds=(lower, lower + draw(st.integers(1, 50))))


@st.composite
def discrete(draw: st.DrawFn) -> Discrete:
    numbers = st.integers(-10000, 10000).map(lambda n: n / 16)
    return Discrete(type="discrete", values=draw(st.lists(numbers, min_size=2, max_size=8, unique=True)))


@st.composite
def categorical(draw: st.DrawFn) -> Categorical:
    names = draw(st.lists(st.sampled_from(["air", "argon", "oxygen", "N2", "H2", "CO"]), min_size=2, unique=True))
    if draw(st.booleans()):
        return Categorical(type="categorical", values=names)
    numbers = {n: {"a": float(i), "b": draw(st.floats(-5, 5))} for i, n in enumerate(names)}
    return Categorical(type="categorical", values=names, descriptors=numbers)


def parameter() -> st.SearchStrategy[Continuous | Integer | Discrete | Categorical]:
    return st.one_of(continuous(), integer(), discrete(), categorical())


@st.composite
def space(draw: st.DrawFn, *, constrained: bool = True) -> Space:
    parameters = {f"p{i}": p for i, p in enumerate(draw(st.lists(parameter(), min_size=1, max_size=5)))}
    numeric = [n for n, p in parameters.items() if not isinstance(p, Categorical)]
    constraints = []
    for _ in range(draw(st.integers(0, 2)) if constrained and numeric else 0):
        names = draw(st.lists(st.sampled_from(numeric), min_size=1, unique=True))
        terms = {
            n: draw(st.sampled_from([-2.0, -1.0, 0.5, 1.0])) / (parameters[n].upper - parameters[n].lower)
            for n in names
        }
        # Bounds that at least the middle of the box keeps, so that most spaces are feasible.
        middle = sum(w * (parameters[n].lower + parameters[n].upper) / 2 for n, w in terms.items())
        kind = draw(st.sampled_from(["at_most", "at_least", "equals"]))
        constraints.append(LinearConstraint(type="linear", terms=terms, **{kind: middle}))
    try:
        return Space(parameters, constraints)
    except SpaceError:  # an equality that no level keeps
        return Space(parameters)


class Strategies:
    continuous = staticmethod(continuous)
    integer = staticmethod(integer)
    discrete = staticmethod(discrete)
    categorical = staticmethod(categorical)
    parameter = staticmethod(parameter)
    space = staticmethod(space)


@pytest.fixture(scope="session")
def made_up() -> type[Strategies]:
    return Strategies
