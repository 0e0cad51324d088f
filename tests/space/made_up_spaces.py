"""Spaces made up by hypothesis, for the tests of the space and of the planners."""

from __future__ import annotations

import numpy as np
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
from sdl.space.expressions import value
from sdl.space.grammar import read_term
from sdl.space.sampling import uniform


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


@st.composite
def constrained_space(draw: st.DrawFn) -> Space:
    """A space with counted amounts, perhaps a mixture, and expressions that at least one point drawn before keeps."""
    n = draw(st.integers(2, 5))
    upper = draw(st.sampled_from([0.4, 0.7, 1.0]))
    parameters: dict[str, Continuous | Integer | Discrete | Categorical] = {
        f"c{i}": Continuous(type="continuous", bounds=(0, upper)) for i in range(n)
    }
    amounts = list(parameters)
    constraints: list[LinearConstraint | ExpressionConstraint | CountConstraint] = []
    if draw(st.booleans()):
        constraints.append(LinearConstraint(type="linear", terms=dict.fromkeys(amounts, 1.0), equals=1))
    if draw(st.booleans()):
        smallest = draw(st.sampled_from([0.0, 0.05]))
        how = draw(st.sampled_from(["at_most", "equals"] if smallest else ["at_most"]))
        k = draw(st.integers(1, n))
        constraints.append(CountConstraint(type="count", of=tuple(amounts), smallest=smallest, **{how: k}))
    for i, p in enumerate(draw(st.lists(parameter(), min_size=0, max_size=3))):
        parameters[f"p{i}"] = p
    try:
        plain = Space(parameters, constraints)
        point = plain.decode(uniform(plain, 1, np.random.default_rng(draw(st.integers(0, 99)))))[0]
    except SpaceError:  # a total that the bounds or the count do not allow
        plain = Space(parameters)
        constraints = []
        point = plain.decode(uniform(plain, 1, np.random.default_rng(0)))[0]
    for _ in range(draw(st.integers(0, 2))):
        one, two = draw(st.sampled_from(amounts)), draw(st.sampled_from(amounts))
        form = draw(st.sampled_from(["{a} * {b}", "exp({a}) + {b} ** 2", "abs({a} - {b})", "max({a}, 2 * {b})"]))
        text = form.format(a=one, b=two)
        here = float(np.ravel(value(read_term(text), {n: np.array([float(point[n])]) for n in amounts}))[0])
        text = f"{text} <= {here + draw(st.sampled_from([1e-3, 0.1])):.6f}"
        names = [name for name, p in parameters.items() if isinstance(p, Categorical)]
        if names and draw(st.booleans()):
            name = draw(st.sampled_from(names))
            text = f"if {name} == '{point[name]}' then {text}"
        constraints.append(ExpressionConstraint(type="expression", expression=text))
    try:
        return Space(parameters, constraints)
    except SpaceError:  # too rare to be found
        return plain
