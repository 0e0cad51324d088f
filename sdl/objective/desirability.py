"""Several outcomes as one objective: desirabilities by Derringer and Suich, joined as their weighted geometric mean.

Each outcome has a desirability d between 0 (of no use) and 1 (as good as wanted); of a value y that is to be large

    d = ((y − from) / (to − from))^shape, 0 below `from` and 1 above `to`,

of one that is to be small the same with `from` above `to`, of one that is to be `value`

    d = (1 − |y − value| / within)^shape, 0 beyond,

and all together have D = exp(Σ w ln d / Σ w), 0 where any of them is 0: G. Derringer and R. Suich, Journal of Quality Technology
12, 214 (1980), equations for one- and two-sided desirabilities; weights: G. Derringer, Quality Progress 27(6), 51 (1994).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sdl.errors import UnitError
from sdl.space.parameters import Quantified, in_unit
from sdl.units import DIMENSIONLESS, convert_difference, read_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.objective.objectives import Estimate, Objective

DESIRABILITY = "desirability"
"""What the joint desirability is called where outcomes are: no outcome may have this name beside it."""

_Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Desirability(BaseModel):
    """How good values of an outcome are, from 0 to 1.

    Attributes:
        worst: `from` in the file: the value from which on nothing is of use, in the objective's unit; not for `match`.
        best: `to` in the file: the value from which on nothing more is wanted, in the objective's unit; not for `match`.
        within: for `match`: the distance from the value at which nothing is of use, a difference in the objective's unit.
        weight: in the geometric mean.
        shape: the power: above 1 only values near the best count, below 1 any that are of use.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    worst: Quantified | None = Field(
        default=None,
        alias="from",
        description="where the desirability is 0; below 'to' with maximize, above it with minimize",
    )
    best: Quantified | None = Field(default=None, alias="to", description="where the desirability is 1")
    within: Quantified | None = Field(
        default=None, description="for match: the distance at which the desirability is 0"
    )
    weight: _Above0 = Field(default=1.0, description="in the geometric mean of all desirabilities")
    shape: _Above0 = Field(default=1.0, description="the power that the desirability is raised to")

    def misfit(self, goal: str) -> str | None:
        """Say what is wrong with it for a goal, or None."""
        if goal == "match":
            if self.within is None or self.worst is not None or self.best is not None:
                return "with goal: match a desirability has 'within', the distance at which it is 0, and neither 'from' nor 'to'"
            return None if self.within > 0 else f"'within' must be above 0, got {self.within:g}"
        if self.worst is None or self.best is None or self.within is not None:
            return f"with goal: {goal} a desirability has 'from', where it is 0, and 'to', where it is 1; 'within' is for match"
        if (self.worst < self.best) if goal == "maximize" else (self.worst > self.best):
            return None
        side = "below" if goal == "maximize" else "above"
        return f"with goal: {goal} 'from' ({self.worst:g}) must lie {side} 'to' ({self.best:g})"

    def line(self, value: float | None) -> tuple[float, float]:
        """Return (zero, one) of a line t(y) = (y − zero)/(one − zero): the desirability, where it rises and for shape 1.

        With a number to be matched, y stands for the distance from it.

        Args:
            value: the number to be matched, or None.
        """
        if value is not None:
            assert self.within is not None
            return float(self.within), 0.0
        assert self.worst is not None
        assert self.best is not None
        return float(self.worst), float(self.best)


def in_units(given: Any, unit: str | None) -> Any:  # noqa: ANN401  as written
    """Return a desirability as written, its quantities as numbers in a unit; what is no quantity is left to the model.

    Raises:
        UnitError: a quantity does not fit the unit.
    """
    if not isinstance(given, dict):
        return given
    read = dict(given)
    for key in ("from", "to", "within"):
        if not isinstance(read.get(key), str):
            continue
        try:
            if key != "within":
                read[key] = in_unit(read[key], unit)
            else:
                size = read_quantity(read[key])
                plain = unit is None or size.unit == DIMENSIONLESS
                read[key] = size.value if plain else convert_difference(size.value, size.unit, str(unit))
        except UnitError as error:
            raise UnitError(f"'{key}': {error}") from error
    return read


def desirability_of(objective: Objective, value: float) -> float:
    """Return the desirability of a value in the objective's unit; NaN for NaN.

    Raises:
        ValueError: the objective has none.
    """
    if objective.desirability is None:
        raise ValueError("the objective has no desirability")
    zero, one = objective.desirability.line(objective.value)
    at = value if objective.value is None else abs(value - float(objective.value))
    share = (at - zero) / (one - zero)
    return share if math.isnan(share) else float(min(max(share, 0.0), 1.0) ** objective.desirability.shape)


def describe_desirability(objective: Objective) -> str:
    """Return an objective's desirability in words: `0 at 20 MPa, 1 at 60 MPa, weight 2`.

    Raises:
        ValueError: the objective has none.
    """
    wanted = objective.desirability
    if wanted is None:
        raise ValueError("the objective has no desirability")
    unit = "" if objective.unit == DIMENSIONLESS else f" {objective.unit}"
    zero, one = wanted.line(objective.value)
    if objective.value is None:
        said = f"0 at {zero:g}{unit}, 1 at {one:g}{unit}"
    else:
        said = f"1 at {float(objective.value):g}{unit}, 0 where it is off by {zero:g}{unit}"
    weight = "" if wanted.weight == 1 else f", weight {wanted.weight:g}"
    return said + weight + ("" if wanted.shape == 1 else f", shape {wanted.shape:g}")


def is_joint(objectives: Mapping[str, Objective]) -> bool:
    """Tell whether objectives are joined as one desirability."""
    return bool(objectives) and all(goal.desirability is not None for goal in objectives.values())


def is_several(objectives: Mapping[str, Objective]) -> bool:
    """Tell whether there are several objectives, so that results make a Pareto set."""
    return len(objectives) > 1 and not is_joint(objectives)


def parts_of(objectives: Mapping[str, Objective], outcomes: Mapping[str, Estimate]) -> dict[str, float]:
    """Return objective → its desirability, of those that a result has; empty where objectives are not joined."""
    if not is_joint(objectives):
        return {}
    return {name: desirability_of(goal, outcomes[name].value) for name, goal in objectives.items() if name in outcomes}


def joint_desirability(objectives: Mapping[str, Objective], outcomes: Mapping[str, Estimate]) -> float | None:
    """Return a result's joint desirability; None where it lacks an outcome, or objectives are not joined."""
    parts = parts_of(objectives, outcomes)
    if not parts or len(parts) < len(objectives):
        return None
    return geometric_mean(objectives, parts)


def geometric_mean(objectives: Mapping[str, Objective], parts: Mapping[str, float]) -> float:
    """Return the weighted geometric mean of all desirabilities."""
    if min(parts.values()) <= 0.0:
        return 0.0
    weights = {name: goal.desirability.weight for name, goal in objectives.items() if goal.desirability is not None}
    return math.exp(sum(w * math.log(parts[name]) for name, w in weights.items()) / sum(weights.values()))


def least_desirability(objectives: Mapping[str, Objective], outcomes: Mapping[str, Estimate]) -> float | None:
    """Return the smallest joint desirability within one standard uncertainty of each outcome; None as in `joint_desirability`.

    Exact: between the ends of an interval a desirability is nowhere less than at the worse end.
    """
    if joint_desirability(objectives, outcomes) is None:
        return None
    parts = {}
    for name, goal in objectives.items():
        value, size = outcomes[name].value, outcomes[name].uncertainty or 0.0
        parts[name] = min(desirability_of(goal, value - size), desirability_of(goal, value + size))
    return geometric_mean(objectives, parts)
