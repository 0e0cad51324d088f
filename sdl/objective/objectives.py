"""Objectives and outcome constraints, and how results are compared by them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from sdl.errors import UnitError
from sdl.objective.desirability import (
    DESIRABILITY,
    Desirability,
    in_units,
    is_joint,
    joint_desirability,
)
from sdl.space.parameters import Quantified, in_unit
from sdl.units import DIMENSIONLESS, canonical_unit


@dataclass(frozen=True)
class Estimate:
    """An outcome's value.

    Attributes:
        value: in the outcome's declared unit.
        uncertainty: standard uncertainty in the same unit (a difference), or None where it was not stated.
    """

    value: float
    uncertainty: float | None = None


class OutcomeSettings(BaseModel):
    """Base of everything that names an outcome: it has a unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: str = DIMENSIONLESS

    @field_validator("unit")
    @classmethod
    def _known_unit(cls, unit: str) -> str:
        try:
            canonical_unit(unit)
        except UnitError as error:
            raise ValueError(str(error)) from error
        return unit


def _in_unit(value: object, info: ValidationInfo) -> object:
    """Read a number that may be written as a quantity."""
    if not isinstance(value, str):
        return value
    try:
        return in_unit(value, info.data.get("unit"))
    except UnitError as error:
        raise ValueError(str(error)) from error


class Objective(OutcomeSettings):
    """An outcome that is to be made large, small, or equal to a number.

    Attributes:
        goal: `maximize`, `minimize` or `match`.
        value: the number to be matched, in `unit`; only for `match`.
        reference: with several objectives, the worst value that is still of interest, in `unit`; for `match`, the farthest
            one. What is worse counts as no gain; None for what follows from the results.
        desirability: how good values are, from 0 to 1, where all objectives are joined as one; or None.
    """

    goal: Literal["maximize", "minimize", "match"]
    value: Quantified | None = Field(default=None, description="the number to be matched; only for match")
    reference: Quantified | None = Field(
        default=None,
        description="with several objectives: the worst value that is still of interest (for match: the farthest one); what is "
        "worse counts as no gain [default: follows from the results]",
    )

    desirability: Desirability | None = Field(
        default=None,
        description="how good values are, from 0 to 1: where all objectives have one, their weighted geometric mean is maximised",
    )

    _value = field_validator("value", "reference", mode="before")(_in_unit)

    @field_validator("desirability", mode="before")
    @classmethod
    def _desirability_in_unit(cls, given: object, info: ValidationInfo) -> object:
        try:
            return in_units(given, info.data.get("unit"))
        except UnitError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.goal == "match") != (self.value is not None):
            raise ValueError("'value' goes with goal: match, and only with it")
        if self.value is not None and self.reference == self.value:
            raise ValueError(f"'reference' is the value to be matched, {self.value:g}: then nothing could be gained")
        if self.desirability is not None and (wrong := self.desirability.misfit(self.goal)):
            raise ValueError(wrong)
        return self

    def merit(self, value: float) -> float:
        """Return a number that is larger for a better value."""
        if self.goal == "maximize":
            return value
        if self.goal == "minimize":
            return -value
        assert self.value is not None
        return -abs(value - float(self.value))


class _Bounded(OutcomeSettings):
    at_least: Quantified | None = None
    at_most: Quantified | None = None

    _bounds = field_validator("at_least", "at_most", mode="before")(_in_unit)

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give 'at_least' and/or 'at_most'")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}")
        return self

    def holds(self, value: float, margin: float = 0.0) -> bool:
        """Tell whether a value keeps the bounds, with `margin` to spare (both in `unit`)."""
        above = self.at_least is None or value - margin >= self.at_least
        return above and (self.at_most is None or value + margin <= self.at_most)

    def __str__(self) -> str:
        parts = []
        if self.at_least is not None:
            parts.append(f"≥ {self.at_least:g}")
        if self.at_most is not None:
            parts.append(f"≤ {self.at_most:g}")
        return " and ".join(parts) + ("" if self.unit == DIMENSIONLESS else f" {self.unit}")


class OutcomeConstraint(_Bounded):
    """An outcome that must lie within bounds for a result to count as feasible."""


class Target(_Bounded):
    """When an objective is good enough to stop; bounds in the objective's unit unless another is stated."""


def judged_by(objectives: Mapping[str, Objective]) -> Mapping[str, Objective]:
    """Return what results are compared by: the objectives, or their joint desirability alone."""
    return {DESIRABILITY: Objective(goal="maximize")} if is_joint(objectives) else objectives


def judged(objectives: Mapping[str, Objective], outcomes: Mapping[str, Estimate]) -> Mapping[str, Estimate]:
    """Return a result's outcomes, the joint desirability (without an uncertainty) before them where objectives are joined."""
    joint = joint_desirability(objectives, outcomes)
    return outcomes if joint is None else {DESIRABILITY: Estimate(joint), **outcomes}


def best_result(
    objectives: Mapping[str, Objective],
    constraints: Mapping[str, OutcomeConstraint],
    results: Sequence[Mapping[str, Estimate]],
) -> int | None:
    """Return the index of the best feasible result by the joint desirability, else by the first objective; see `best_of`."""
    first = next(iter(judged_by(objectives).items()))
    return best_of(first, constraints, [judged(objectives, outcomes) for outcomes in results])


def best_of(
    objective: tuple[str, Objective],
    constraints: Mapping[str, OutcomeConstraint],
    results: Sequence[Mapping[str, Estimate]],
) -> int | None:
    """Return the index of the best feasible result, the earliest among equals, or None where none is feasible.

    Args:
        objective: name and objective to compare by.
        constraints: outcome → bounds that must hold.
        results: per experiment, outcome → estimate; one that lacks an outcome is passed over.
    """
    name, goal = objective
    best: int | None = None
    best_merit = -math.inf
    for index, outcomes in enumerate(results):
        if name not in outcomes or not all(
            c in outcomes and bounds.holds(outcomes[c].value) for c, bounds in constraints.items()
        ):
            continue
        merit = goal.merit(outcomes[name].value)
        if merit > best_merit:
            best, best_merit = index, merit
    return best
