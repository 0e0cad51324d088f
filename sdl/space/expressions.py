"""Expressions of parameters as trees: values, derivatives, and what it takes for a condition to hold.

A tree is made by `sdl.space.grammar` and is never evaluated as code. Numbers are the plain numbers of the parameters'
declared units. A point is given as columns: name → array of shape (n,), for a category the indices of its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[np.float64]
Truth = NDArray[np.bool_]
Columns = Mapping[str, Array]
Slopes = dict[str, Array]
"""Parameter → derivative with respect to it, shape (n,); parameters without influence are missing."""

ROUNDING = 1e-9
"""Relative difference within which levels count as equal: what is left is rounding (chosen)."""

_OPPOSITE = {"<=": ">", "<": ">=", ">=": "<", ">": "<=", "==": "!=", "!=": "=="}


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True)
class Name:
    """The value of a parameter; `at` is the character of the text at which it stands, from 1."""

    name: str
    at: int


@dataclass(frozen=True)
class Operation:
    """left + − * / ** right."""

    operator: str
    left: Term
    right: Term


@dataclass(frozen=True)
class Negative:
    """−term."""

    term: Term


@dataclass(frozen=True)
class Call:
    """A function of the vocabulary: exp, log, log10, sqrt, abs (one argument), min, max (two or more)."""

    function: str
    arguments: tuple[Term, ...]


Term = Number | Name | Operation | Negative | Call
"""What is a number."""


@dataclass(frozen=True)
class Comparison:
    """left <= < >= > == != right; broken where a side is no finite number, such as log(0)."""

    left: Term
    operator: str
    right: Term
    at: int


@dataclass(frozen=True)
class Category:
    """A categorical parameter is (or is not) one of its values."""

    name: str
    value: str
    is_it: bool
    at: int


@dataclass(frozen=True)
class AllOf:
    """Every part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Condition, ...]


Condition = Comparison | Category | AllOf | AnyOf
"""What holds or does not."""


def negated(condition: Condition) -> Condition:
    """Return the opposite; a comparison and its opposite are both broken where a side is no finite number."""
    match condition:
        case Comparison(left, operator, right, at):
            return Comparison(left, _OPPOSITE[operator], right, at)
        case Category(name, value, is_it, at):
            return Category(name, value, not is_it, at)
        case AllOf(parts):
            return AnyOf(tuple(negated(p) for p in parts))
        case AnyOf(parts):
            return AllOf(tuple(negated(p) for p in parts))


def leaves(condition: Condition) -> Iterator[Comparison | Category]:
    """Yield the comparisons of a condition in the order of the text."""
    if isinstance(condition, AllOf | AnyOf):
        for part in condition.parts:
            yield from leaves(part)
    else:
        yield condition


def names_in(term: Term) -> Iterator[Name]:
    """Yield every mention of a parameter in a term, in the order of the text."""
    match term:
        case Name():
            yield term
        case Operation(_, left, right):
            yield from names_in(left)
            yield from names_in(right)
        case Negative(inner):
            yield from names_in(inner)
        case Call(_, arguments):
            for argument in arguments:
                yield from names_in(argument)


def mentions(condition: Condition) -> Iterator[Name]:
    """Yield every mention of a parameter in a condition, in the order of the text."""
    for leaf in leaves(condition):
        if isinstance(leaf, Category):
            yield Name(leaf.name, leaf.at)
        else:
            yield from names_in(leaf.left)
            yield from names_in(leaf.right)


# --- values ------------------------------------------------------------------------------------------------------------


def value(term: Term, columns: Columns) -> Array:
    """Return a term's value at every point, shape (n,) or () for a constant; not finite where it has none."""
    with np.errstate(all="ignore"):
        return _value(term, columns)


def _value(term: Term, columns: Columns) -> Array:
    match term:
        case Number(number):
            return np.asarray(number, dtype=np.float64)
        case Name(name):
            return columns[name]
        case Operation(operator, left, right):
            return _OPERATIONS[operator](_value(left, columns), _value(right, columns))
        case Negative(inner):
            return -_value(inner, columns)
        case Call(function, arguments):
            values = [_value(a, columns) for a in arguments]
            result = FUNCTIONS[function](values[0])
            for other in values[1:]:
                result = _OF_MANY[function](result, other)
            return result


def _power(base: Array, exponent: Array) -> Array:
    return np.asarray(np.power(base, exponent), dtype=np.float64)


_OPERATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: np.asarray(np.divide(a, b), dtype=np.float64),
    "**": _power,
}
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": lambda a: a,
    "max": lambda a: a,
}
"""Name → function; `min` and `max` take two or more arguments, the others one."""

_OF_MANY: dict[str, Callable[[Array, Array], Array]] = {"min": np.minimum, "max": np.maximum}
MANY = tuple(_OF_MANY)


def slopes(term: Term, columns: Columns) -> tuple[Array, Slopes]:
    """Return value and derivatives of a term by forward-mode differentiation (Wengert, Commun. ACM 7, 463 (1964)).

    At the kink of abs, min or max it is the derivative of one side.
    """
    with np.errstate(all="ignore"):
        return _slopes(term, columns)


def _slopes(term: Term, columns: Columns) -> tuple[Array, Slopes]:
    match term:
        case Number(number):
            return np.asarray(number, dtype=np.float64), {}
        case Name(name):
            return columns[name], {name: np.ones_like(columns[name])}
        case Operation(operator, left, right):
            return _slope_of_operation(operator, _slopes(left, columns), _slopes(right, columns))
        case Negative(inner):
            x, dx = _slopes(inner, columns)
            return -x, {n: -d for n, d in dx.items()}
        case Call(function, arguments):
            x, dx = _slopes(arguments[0], columns)
            if function not in _OF_MANY:
                return FUNCTIONS[function](x), _scaled(dx, _DERIVATIVES[function](x))
            for argument in arguments[1:]:
                y, dy = _slopes(argument, columns)
                first = np.asarray(x <= y if function == "min" else x >= y, dtype=np.float64)
                dx = _added(_scaled(dx, first), _scaled(dy, 1.0 - first))
                x = _OF_MANY[function](x, y)
            return x, dx


_DERIVATIVES: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": lambda x: 1.0 / x,
    "log10": lambda x: 1.0 / (x * np.log(10.0)),
    "sqrt": lambda x: 0.5 / np.sqrt(x),
    "abs": np.sign,
}


def _slope_of_operation(operator: str, one: tuple[Array, Slopes], two: tuple[Array, Slopes]) -> tuple[Array, Slopes]:
    (x, dx), (y, dy) = one, two
    result = _OPERATIONS[operator](x, y)
    unit = np.ones_like(result)
    if operator == "+":
        return result, _added(dx, dy)
    if operator == "-":
        return result, _added(dx, _scaled(dy, -unit))
    if operator == "*":
        return result, _added(_scaled(dx, y), _scaled(dy, x))
    if operator == "/":
        return result, _added(_scaled(dx, 1.0 / y), _scaled(dy, -x / (y * y)))
    slope = _scaled(dx, y * _power(x, y - 1.0)) if dx else {}
    return result, _added(slope, _scaled(dy, result * np.log(x))) if dy else slope


def _scaled(slope: Slopes, factor: Array) -> Slopes:
    return {name: d * factor for name, d in slope.items()}


def _added(one: Slopes, two: Slopes) -> Slopes:
    return {name: one.get(name, np.asarray(0.0)) + two.get(name, np.asarray(0.0)) for name in {**one, **two}}


# --- conditions --------------------------------------------------------------------------------------------------------


def holds(condition: Condition, columns: Columns, values: Mapping[str, Sequence[str]], slack: float = 0.0) -> Truth:
    """Tell at which points a condition holds, shape (n,).

    Args:
        condition: what is asked.
        columns: the points.
        values: categorical parameter → its values, whose indices stand in the columns.
        slack: by which share of its larger side a comparison may be missed.
    """
    with np.errstate(all="ignore"):
        return _holds(condition, columns, values, slack)


def _holds(condition: Condition, columns: Columns, values: Mapping[str, Sequence[str]], slack: float) -> Truth:
    match condition:
        case AllOf(parts):
            return np.asarray(np.logical_and.reduce([_holds(p, columns, values, slack) for p in parts]))
        case AnyOf(parts):
            return np.asarray(np.logical_or.reduce([_holds(p, columns, values, slack) for p in parts]))
        case Category(name, text, is_it):
            same = columns[name] == list(values[name]).index(text)
            return np.asarray(same if is_it else ~same)
        case Comparison(left, operator, right):
            a, b = _value(left, columns), _value(right, columns)
            return np.asarray(_compared(a, operator, b, slack) & np.isfinite(a) & np.isfinite(b))


def _compared(a: Array, operator: str, b: Array, slack: float) -> Truth:
    room = slack * np.maximum(np.abs(a), np.abs(b))
    match operator:
        case "<=":
            return np.asarray(a <= b + room)
        case "<":
            return np.asarray(a < b + room)
        case ">=":
            return np.asarray(a >= b - room)
        case ">":
            return np.asarray(a > b - room)
    same = np.abs(a - b) <= ROUNDING * np.maximum(np.abs(a), np.abs(b))
    return np.asarray(same if operator == "==" else ~same)


def shortfall(condition: Condition, columns: Columns, values: Mapping[str, Sequence[str]]) -> Array:
    """Return by how much a condition is missed, shape (n,): 0 exactly where it holds, else above 0.

    A comparison is missed by the difference of its sides in shares of their sizes, at most 1; parts that must all hold
    add up, of alternatives the nearest counts.
    """
    with np.errstate(all="ignore"):
        return _shortfall(condition, columns, values)


def _shortfall(condition: Condition, columns: Columns, values: Mapping[str, Sequence[str]]) -> Array:
    match condition:
        case AllOf(parts):
            return np.asarray(np.add.reduce([_shortfall(p, columns, values) for p in parts]))
        case AnyOf(parts):
            return np.asarray(np.minimum.reduce([_shortfall(p, columns, values) for p in parts]))
        case Category():
            return np.where(_holds(condition, columns, values, 0.0), 0.0, 1.0)
        case Comparison(left, _, right):
            a, b = _value(left, columns), _value(right, columns)
            missed = np.abs(a - b) / (np.abs(a) + np.abs(b))
            missed = np.where(np.isfinite(missed), np.maximum(missed, 1e-300), 1.0)
            return np.where(_holds(condition, columns, values, 0.0), 0.0, missed)


def binding(condition: Condition, columns: Columns, values: Mapping[str, Sequence[str]]) -> list[Comparison] | None:
    """Return comparisons that hold at a point (columns of shape (1,)) and that together imply the condition there.

    Categories are taken as they are at the point, so that they need no further thought while only numbers change; of
    several alternatives that hold, the one that asks least (fewest comparisons) is returned. None where the condition
    does not hold at the point.
    """
    match condition:
        case AllOf(parts):
            found: list[Comparison] = []
            for part in parts:
                needed = binding(part, columns, values)
                if needed is None:
                    return None
                found.extend(needed)
            return found
        case AnyOf(parts):
            options = [o for p in parts if (o := binding(p, columns, values)) is not None]
            return min(options, key=len) if options else None
    if not bool(np.all(holds(condition, columns, values))):
        return None
    return [condition] if isinstance(condition, Comparison) else []


def broken(condition: Condition, columns: Columns, values: Mapping[str, Sequence[str]], slack: float) -> list[str]:
    """Say what a point (columns of shape (1,)) breaks: `left side 1234 > 1200`; of alternatives all are named."""
    if bool(np.all(holds(condition, columns, values, slack))):
        return []
    match condition:
        case AllOf(parts):
            return [said for p in parts for said in broken(p, columns, values, slack)]
        case AnyOf(parts):
            return [" and ".join(said) for p in parts if (said := broken(p, columns, values, slack))]
        case Category(name, _, _):
            return [f"{name} is '{values[name][int(columns[name][0])]}'"]
        case Comparison(left, operator, right):
            a, b = (float(np.ravel(value(side, columns))[0]) for side in (left, right))
            if not (np.isfinite(a) and np.isfinite(b)):
                side = "right" if np.isfinite(a) else "left"
                return [f"the {side} side is no finite number there"]
            return [f"left side {_shown(a, b)} {_OPPOSITE[operator]} {_shown(b, a)}"]


def _shown(number: float, other: float) -> str:
    """Return a number with so many digits that it differs from the other in what is shown."""
    for digits in range(6, 17):
        if f"{number:.{digits}g}" != f"{other:.{digits}g}":
            return f"{number:.{digits}g}"
    return repr(number)
