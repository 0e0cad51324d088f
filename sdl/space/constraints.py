"""Linear constraints between parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from sdl.space.parameters import Number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.space.candidate import Value
    from sdl.space.parameters import Categorical, Continuous, Discrete, Integer

TOLERANCE = 1e-6
"""By how much of its scale (the largest sum of its terms' sizes in the box) a constraint may be missed and still hold."""


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

    def scale(self, parameters: Mapping[str, Continuous | Integer | Discrete | Categorical]) -> float:
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
