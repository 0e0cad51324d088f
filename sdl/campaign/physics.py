"""Read `physics`: models that say something of an outcome before it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

from sdl.campaign.words import NAME, NAME_RULE
from sdl.errors import UnitError, brief, listed, near_miss
from sdl.space import Categorical
from sdl.space.expressions import names_in
from sdl.space.grammar import read_term
from sdl.units import DIMENSIONLESS, canonical_unit, is_compatible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader
    from sdl.objective import Objective, OutcomeConstraint

CALCULATION = "calculation:"
"""What begins the name of a model that is an instrument of the lab."""

Text = Annotated[str, Strict()]


class PhysicsSpec(BaseModel):
    """One model.

    Attributes:
        outcome: of which it says something; may be left out where there is one objective.
        role: `mean` (it is what is expected beforehand) or `feature` (a further input of the outcome's model).
        expression: a closed form of the parameters, each the plain number in its declared unit.
        unit: of the expression's value; with role `mean` it must fit the outcome's.
        model: `calculation:NAME`, an instrument of the lab whose driver is a calculation.
        arguments: `with`: what its action is given, `$parameter`, number, quantity or text; by default the parameters of the
            same names.
        gives: which of its results is meant; may be left out where there is one.
        arrays: whether the function takes arrays, so that it is called once for many points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Text | None = Field(default=None, description="of which it says something [default: the one objective]")
    role: Literal["mean", "feature"] = "mean"
    expression: Text | None = Field(default=None, description="a closed form of the parameters")
    unit: Text = Field(default=DIMENSIONLESS, description="of the expression's value")
    model: Text | None = Field(default=None, description="calculation:NAME, an instrument of the lab")
    arguments: dict[str, Any] | None = Field(default=None, alias="with")
    gives: Text | None = None
    arrays: Annotated[bool, Strict()] = False

    @field_validator("role", mode="before")
    @classmethod
    def _no_source(cls, role: object) -> object:
        if role == "source":
            raise ValueError(
                "a model that is asked in the place of a measurement is a source: write its steps, its outcomes and its cost "
                "under 'sources'"
            )
        return role

    @field_validator("expression")
    @classmethod
    def _readable(cls, expression: str | None) -> str | None:
        if expression is not None:
            read_term(expression)
        return expression

    @field_validator("unit")
    @classmethod
    def _known_unit(cls, unit: str) -> str:
        try:
            canonical_unit(unit)
        except UnitError as error:
            raise ValueError(str(error)) from error
        return unit

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.expression is None) == (self.model is None):
            raise ValueError("give either 'expression' or 'model', such as model: calculation:NAME")
        if self.model is not None:
            if not self.model.startswith(CALCULATION) or not self.model[len(CALCULATION) :]:
                raise ValueError(
                    f"{brief(self.model)} names no model; write calculation:NAME, an instrument of the lab"
                )
            if self.unit != DIMENSIONLESS:
                raise ValueError("'unit' goes with 'expression': a calculation states the units of its results itself")
        else:
            surplus = [k for k, v in (("with", self.arguments), ("gives", self.gives)) if v is not None]
            surplus += ["arrays"] * self.arrays
            if surplus:
                raise ValueError(
                    f"{listed(surplus)}: goes with 'model', an expression knows the parameters by their names"
                )
        return self

    @property
    def instrument(self) -> str | None:
        """The calculation's name in the lab."""
        return None if self.model is None else self.model[len(CALCULATION) :]


def read_physics(
    reader: Reader,
    parameters: Mapping[str, object],
    wanted: Mapping[str, Objective | OutcomeConstraint | None],
    objectives: int,
) -> dict[str, PhysicsSpec]:
    """Read `physics`: name → model, or one model without a name. What is wrong is noted; only what is right is returned.

    Args:
        reader: of the campaign file.
        parameters: as read; None where one could not be read.
        wanted: outcome → its objective or constraint; None where it could not be read.
        objectives: how many of them are objectives; they stand first.
    """
    where: Where = ("physics",)
    if "physics" not in reader.document.data:
        return {}
    found: dict[str, PhysicsSpec] = {}
    for name, place in _places(reader, where).items():
        if not NAME.match(name):
            reader.wrong(place, f"{brief(name)} cannot be a model's name: {NAME_RULE}, at most 100")
            continue
        spec = reader.model(PhysicsSpec, place)
        if spec is None:
            continue
        if spec.outcome is None and objectives != 1:
            reader.wrong(place, f"'outcome' is missing: say which one it is about; there are {listed(wanted)}")
            continue
        spec = spec.model_copy(update={"outcome": spec.outcome or next(iter(wanted))})
        if _fits(reader, place, spec, parameters, wanted):
            found[name] = spec
    return found


def _places(reader: Reader, where: Where) -> dict[str, Where]:
    data = reader.at(where)
    if isinstance(data, dict) and any(isinstance(data.get(key), str) for key in ("model", "expression")):
        model = data.get("model")
        return {
            model[len(CALCULATION) :] if isinstance(model, str) and model.startswith(CALCULATION) else "physics": where
        }
    return {str(name): (*where, name) for name in reader.mapping(where, what="of names to models")}


def _fits(
    reader: Reader,
    where: Where,
    spec: PhysicsSpec,
    parameters: Mapping[str, object],
    wanted: Mapping[str, Objective | OutcomeConstraint | None],
) -> bool:
    before = len(reader.problems)
    outcome = str(spec.outcome)
    if outcome not in wanted:
        reader.unknown((*where, "outcome"), outcome, wanted, "outcome")
        return False
    if spec.expression is None:
        return True
    named = list(names_in(read_term(spec.expression)))
    for mention in named:
        if mention.name not in parameters:
            hint = near_miss(mention.name, parameters)
            reader.wrong(
                (*where, "expression"),
                f"character {mention.at}: unknown parameter '{mention.name}'{hint}; parameters are {listed(parameters)}",
            )
        elif isinstance(parameters[mention.name], Categorical):
            reader.wrong(
                (*where, "expression"),
                f"character {mention.at}: '{mention.name}' is categorical and no number; use a calculation for it",
            )
    if not named:
        reader.wrong((*where, "expression"), f"{brief(spec.expression)} names no parameter, so it says nothing")
    declared = wanted[outcome]
    if spec.role == "mean" and declared is not None and not is_compatible(spec.unit, declared.unit):
        reader.wrong(
            (*where, "unit"),
            f"the expression is in {spec.unit}, '{outcome}' in {declared.unit}: state 'unit', one that fits",
        )
    return len(reader.problems) == before
