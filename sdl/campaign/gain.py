"""Read `stop.gain`: the campaign is over when it is unlikely that much is still to be gained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict

from sdl.errors import UnitError, brief, listed
from sdl.units import convert_difference, read_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader
    from sdl.objective import Objective

PROBABILITY = 0.05
"""Probability that is small enough where the campaign does not say; chosen."""
ROUNDS = 3
"""Rounds in a row that must say so where the campaign does not say how many; chosen: one of them may be a whim of the model."""


class GainSpec(BaseModel):
    """`stop.gain`, as written.

    Attributes:
        more_than: an improvement of the objective, as a number in its unit or as a quantity.
        probability: below which, or at which, a larger improvement is not waited for.
        rounds: so many rounds of the model in a row must say so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    more_than: Annotated[
        Any,
        Field(
            description="an improvement of the objective that would matter, '0.05 mS/cm'",
            json_schema_extra={"type": ["number", "string"]},
        ),
    ]
    probability: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = PROBABILITY
    rounds: Annotated[int, Strict(), Field(ge=1, le=1000)] = ROUNDS


@dataclass(frozen=True)
class StopGain:
    """When too little is still to be gained.

    Attributes:
        objective: of what.
        more_than: the improvement that would matter, in the objective's unit; above 0.
        unit: of the objective.
        probability: at most so probable it must be that more is to be gained.
        rounds: in so many rounds of the planner in a row, each of which states that probability.
    """

    objective: str
    more_than: float
    unit: str
    probability: float = PROBABILITY
    rounds: int = ROUNDS

    def __str__(self) -> str:
        unit = "" if self.unit == "dimensionless" else f" {self.unit}"
        return f"{self.more_than:g}{unit}"

    @property
    def in_words(self) -> str:
        """The rule, to follow on "stop once"."""
        which = "a round says" if self.rounds == 1 else f"{self.rounds} rounds in a row say"
        return (
            f"{which} that the probability is at most {self.probability:g} that more than {self} is still to be gained"
        )


def read_gain(reader: Reader, objectives: Mapping[str, Objective | None]) -> StopGain | None:
    """Return what `stop.gain` says, or None where it says nothing or is wrong, which is noted.

    Args:
        reader: of the campaign file.
        objectives: as read; None where one could not be read.
    """
    where: Where = ("stop", "gain")
    if reader.at(where) is None:
        return None
    spec = reader.model(GainSpec, where)
    if len(objectives) > 1:
        reader.wrong(
            where,
            f"with several objectives ({listed(objectives)}) what is gained is hypervolume, in the product of their units, and "
            "no threshold is taken for that; leave it out, or state a target for each",
        )
        return None
    name, objective = next(iter(objectives.items()), ("", None))
    if spec is None or objective is None:
        return None
    try:
        size = _size(spec.more_than, objective.unit)
    except UnitError as error:
        reader.wrong(
            (*where, "more_than"), f"{error}; write an improvement of '{name}', such as '0.1 {objective.unit}'"
        )
        return None
    if not size > 0:
        reader.wrong(
            (*where, "more_than"),
            f"must be above 0, got {brief(spec.more_than)}: some tiny bit is always to be gained",
        )
        return None
    return StopGain(name, size, objective.unit, spec.probability, spec.rounds)


def _size(given: Any, unit: str) -> float:  # noqa: ANN401  as written
    """Return an improvement, which is a difference, in a unit: 5 degC are 5 K."""
    quantity = read_quantity(given)
    if quantity.unit == "dimensionless":
        return quantity.value
    return convert_difference(quantity.value, quantity.unit, unit)
