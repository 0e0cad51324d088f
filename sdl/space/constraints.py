"""Constraints between parameters: linear ones, expressions, and how many components may be there."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

from sdl.errors import listed, near_miss
from sdl.space.expressions import Comparison, Condition, binding, broken, holds, leaves, mentions, names_in, shortfall
from sdl.space.grammar import read_condition
from sdl.space.parameters import Categorical, Continuous, Discrete, Integer, Number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.space.candidate import Value

    Array = NDArray[np.float64]
    Parameters = Mapping[str, Continuous | Integer | Discrete | Categorical]

TOLERANCE = 1e-6
"""By how much of its scale (the largest sum of its terms' sizes in the box) a constraint may be missed and still hold."""

_ROUNDING = 1e-9
"""Relative tolerance of the smallest amount of a component: what is left is rounding."""


class LinearConstraint(BaseModel):
    """Σ terms[name]·value(name) equals, or is at most, or is at least a number.

    Terms are pure numbers: each parameter counts in its declared unit, on its natural scale (hours, not log hours).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["linear"]
    terms: dict[str, Number]
    equals: Number | None = None
    at_most: Number | None = None
    at_least: Number | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.terms or not any(self.terms.values()):
            raise ValueError("needs at least one term that is not 0")
        if (self.equals is None) == (self.at_most is None and self.at_least is None):
            raise ValueError("give either 'equals' or 'at_most' and/or 'at_least'")
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it binds."""
        return tuple(self.terms)

    @property
    def lower(self) -> float:
        """Smallest allowed sum, −∞ where there is none."""
        bound = self.equals if self.equals is not None else self.at_least
        return float("-inf") if bound is None else float(bound)

    @property
    def upper(self) -> float:
        """Largest allowed sum, ∞ where there is none."""
        bound = self.equals if self.equals is not None else self.at_most
        return float("inf") if bound is None else float(bound)

    @property
    def is_equality(self) -> bool:
        """Whether it takes away a degree of freedom."""
        return self.lower == self.upper

    def sum_of(self, candidate: Mapping[str, Value]) -> float:
        """Return Σ terms·values of a candidate."""
        return sum(float(weight) * float(candidate[name]) for name, weight in self.terms.items())

    def scale(self, parameters: Parameters) -> float:
        """Return the largest sum of the terms' sizes within the bounds of the parameters; tolerances are shares of it."""
        return sum(
            abs(weight) * max(abs(p.lower), abs(p.upper))
            for name, weight in self.terms.items()
            if (p := parameters[name]).type != "categorical"
        )

    def problem(self, candidate: Mapping[str, Value], scale: float) -> str | None:
        """Say how a candidate breaks the constraint, or None; `scale` is that of the method `scale`."""
        total = self.sum_of(candidate)
        slack = TOLERANCE * scale
        if self.lower - slack <= total <= self.upper + slack:
            return None
        return f"{self} is broken: the sum is {total:g}"

    def __str__(self) -> str:
        total = " + ".join(name if weight == 1 else f"{weight:g}·{name}" for name, weight in self.terms.items())
        if self.equals is not None:
            return f"{total} = {self.equals:g}"
        left = "" if self.at_least is None else f"{self.at_least:g} ≤ "
        right = "" if self.at_most is None else f" ≤ {self.at_most:g}"
        return f"{left}{total}{right}"


@functools.lru_cache(maxsize=256)
def _tree(text: str) -> Condition:
    return read_condition(text)


class ExpressionConstraint(BaseModel):
    """A condition that may be non-linear: `temperature * hold <= 9000`, `if gas == "air" then temperature <= 1100`.

    The words are those of `sdl.space.grammar`. Each parameter counts as the plain number in its declared unit. Where a
    side of a comparison is no finite number, as in log(0), the comparison is broken. Equalities are for levels
    (integer, discrete) and categories: no point drawn at random meets one between continuous parameters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["expression"]
    expression: Annotated[str, Strict()]

    @field_validator("expression")
    @classmethod
    def _read(cls, expression: str) -> str:
        if not any(True for _ in mentions(_tree(expression))):
            raise ValueError("the expression names no parameter")
        return expression.strip()

    @property
    def tree(self) -> Condition:
        """The condition as a tree."""
        return _tree(self.expression)

    @property
    def is_equality(self) -> bool:
        """Never: it takes away no degree of freedom."""
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it mentions, in the order of the text."""
        return tuple(dict.fromkeys(m.name for m in mentions(self.tree)))

    def misfits(self, parameters: Mapping[str, object]) -> list[str]:
        """Say everything that does not fit the parameters; a parameter that is None could not be read and passes."""
        said = []
        for mention in mentions(self.tree):
            if mention.name not in parameters:
                hint = near_miss(mention.name, parameters)
                said.append(
                    f"character {mention.at}: unknown parameter '{mention.name}'{hint}; "
                    f"parameters are {listed(parameters)}; a category stands in quotes"
                )
        if said:
            return said
        for leaf in leaves(self.tree):
            if isinstance(leaf, Comparison):
                said.extend(_misfits_of(leaf, parameters))
                continue
            parameter = parameters[leaf.name]
            if isinstance(parameter, Categorical) and leaf.value not in parameter.values:
                hint = near_miss(leaf.value, parameter.values)
                said.append(
                    f"character {leaf.at}: '{leaf.name}' never is '{leaf.value}'{hint}; it is one of "
                    f"{listed(parameter.values)}"
                )
            elif not isinstance(parameter, Categorical | None):
                said.append(f"character {leaf.at}: '{leaf.name}' is a number and cannot be the text '{leaf.value}'")
        return said

    def columns(self, codes: Array, names: tuple[str, ...]) -> dict[str, Array]:
        """Return the columns of codes, shape (n, d), that the expression mentions."""
        return {name: codes[:, names.index(name)] for name in self.names}

    def holds(self, codes: Array, parameters: Parameters, slack: float = 0.0) -> NDArray[np.bool_]:
        """Tell per row of codes, shape (n, d), whether it holds; `slack` is a share of a comparison's larger side."""
        return holds(self.tree, self.columns(codes, tuple(parameters)), _categories(parameters), slack)

    def shortfall(self, codes: Array, parameters: Parameters) -> Array:
        """Return per row of codes, shape (n, d), by how much it is missed: 0 where it holds; see `expressions`."""
        return shortfall(self.tree, self.columns(codes, tuple(parameters)), _categories(parameters))

    def binding(self, code: Array, parameters: Parameters) -> list[Comparison]:
        """Return comparisons that imply the constraint while levels and categories stay as in a code, shape (d,)."""
        columns = self.columns(code[None, :], tuple(parameters))
        found = binding(self.tree, columns, _categories(parameters))
        return [c for c in found or () if _is_continuous(c, parameters)]

    def problem_of(self, code: Array, parameters: Parameters) -> str | None:
        """Say how a code, shape (d,), breaks it by more than rounding, or None."""
        columns = self.columns(code[None, :], tuple(parameters))
        said = broken(self.tree, columns, _categories(parameters), TOLERANCE)
        return f"{self} is broken: {' or '.join(said)}" if said else None

    def __str__(self) -> str:
        return self.expression


def _misfits_of(leaf: Comparison, parameters: Mapping[str, object]) -> list[str]:
    found = [parameters[m.name] for side in (leaf.left, leaf.right) for m in names_in(side)]
    said = [
        f"character {m.at}: '{m.name}' is categorical and no number; compare it with a category in quotes, such as "
        f'{m.name} == "{parameter.values[0]}"'
        for side in (leaf.left, leaf.right)
        for m in names_in(side)
        if isinstance(parameter := parameters[m.name], Categorical)
    ]
    if not said and leaf.operator in {"==", "!="} and any(isinstance(p, Continuous) for p in found):
        why = "no point drawn at random meets it; use type: linear with equals, or two inequalities"
        said = [f"character {leaf.at}: '{leaf.operator}' between continuous parameters: {why}"]
    return said


def _is_continuous(comparison: Comparison, parameters: Parameters) -> bool:
    return any(
        isinstance(parameters[m.name], Continuous)
        for side in (comparison.left, comparison.right)
        for m in names_in(side)
    )


def _categories(parameters: Parameters) -> dict[str, tuple[str, ...]]:
    return {name: p.values for name, p in parameters.items() if isinstance(p, Categorical)}


class CountConstraint(BaseModel):
    """How many of some components are there: at most, at least or exactly so many are not 0.

    Attributes:
        of: amounts: numeric parameters whose lower bound is 0. One that is not there is exactly 0.
        at_most, at_least, equals: how many are there.
        smallest: the smallest amount of a component that is there, in its declared unit; 0 for any. Needed with
            `at_least` and `equals`, where a trace would count as much as a half.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["count"]
    of: tuple[Annotated[str, Strict()], ...]
    at_most: Annotated[int, Strict(), Field(ge=1)] | None = None
    at_least: Annotated[int, Strict(), Field(ge=1)] | None = None
    equals: Annotated[int, Strict(), Field(ge=1)] | None = None
    smallest: Annotated[Number, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.of) < 2 or len(set(self.of)) != len(self.of):
            raise ValueError(f"'of' needs at least two parameters, each once, got {list(self.of)}")
        if (self.equals is None) == (self.at_most is None and self.at_least is None):
            raise ValueError("give either 'equals' or 'at_most' and/or 'at_least'")
        if self.fewest > self.most:
            raise ValueError(f"at_least {self.fewest} is above at_most {self.most}")
        largest = max(n for n in (self.at_most, self.at_least, self.equals) if n is not None)
        if largest > len(self.of):
            raise ValueError(f"{largest} of {len(self.of)} parameters: 'of' names too few")
        if (self.at_least or self.equals) and self.smallest == 0:
            raise ValueError(
                "'smallest' is missing: the smallest amount that counts as there; without it a trace of a component "
                "would count as one"
            )
        return self

    @property
    def fewest(self) -> int:
        """How many are there at least."""
        return self.equals or self.at_least or 0

    @property
    def most(self) -> int:
        """How many are there at most."""
        return self.equals or self.at_most or len(self.of)

    @property
    def is_equality(self) -> bool:
        """Never: it takes away no degree of freedom that could be counted."""
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it binds."""
        return self.of

    def misfits(self, parameters: Mapping[str, object]) -> list[tuple[int, str]]:
        """Return (index in `of`, what is wrong with that parameter); one that is None could not be read and passes."""
        said: list[tuple[int, str]] = []
        for index, name in enumerate(self.of):
            parameter = parameters.get(name)
            if name not in parameters:
                hint = near_miss(name, parameters)
                said.append((index, f"unknown parameter '{name}'{hint}; parameters are {listed(parameters)}"))
            elif isinstance(parameter, Categorical):
                said.append((index, f"'{name}' is categorical; only amounts can be counted"))
            elif isinstance(parameter, Continuous | Integer | Discrete):
                if parameter.lower != 0:
                    said.append(
                        (index, f"'{name}' cannot be left out: its lower bound is {parameter.lower:g}, it must be 0")
                    )
                elif parameter.upper < self.smallest:
                    said.append(
                        (index, f"'{name}' is at most {parameter.upper:g}, less than 'smallest' {self.smallest:g}")
                    )
        return said

    def holds(self, codes: Array, parameters: Parameters) -> NDArray[np.bool_]:
        """Tell per row of codes, shape (n, d), whether so many are there, each with its smallest amount."""
        names = tuple(parameters)
        amounts = codes[:, [names.index(n) for n in self.of]]
        there = amounts != 0
        count = there.sum(axis=1)
        enough = (~there | (amounts >= self.smallest * (1 - _ROUNDING))).all(axis=1)
        return np.asarray((count >= self.fewest) & (count <= self.most) & enough)

    def problem_of(self, code: Array, parameters: Parameters) -> str | None:
        """Say how a code, shape (d,), breaks it, or None."""
        if self.holds(code[None, :], parameters)[0]:
            return None
        names = tuple(parameters)
        there = {n: float(code[names.index(n)]) for n in self.of if code[names.index(n)] != 0}
        shown = ", ".join(f"{n} {v:g}" for n, v in there.items())
        return f"{self} is broken: {len(there)} are there ({shown or 'none'})"

    def __str__(self) -> str:
        if self.equals is not None:
            how = f"exactly {self.equals}"
        else:
            ends = (("at least", self.at_least), ("at most", self.at_most))
            how = " and ".join(f"{word} {n}" for word, n in ends if n is not None)
        least = f", each at least {self.smallest:g}" if self.smallest else ""
        return f"{how} of {', '.join(self.of)} there{least}"


Constraint = LinearConstraint | ExpressionConstraint | CountConstraint
"""Any of them."""
