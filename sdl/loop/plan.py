"""A campaign as the loop sees it: steps with everything looked up, checked and converted beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdl.loop.policy import Approval, IfFails
from sdl.objective import Estimate
from sdl.units import convert, convert_difference

if TYPE_CHECKING:
    from sdl.driver import ActionSpec, FieldSpec
    from sdl.objective import Objective, OutcomeConstraint, Target
    from sdl.space import Candidate, Value
    from sdl.units import Quantity


@dataclass(frozen=True)
class FromParameter:
    """An argument that comes from a parameter: converted from the parameter's unit to the action's."""

    parameter: str
    unit: str
    target: FieldSpec

    def value(self, candidate: Mapping[str, Value]) -> Any:  # noqa: ANN401  whatever the action takes
        """Return the argument for a candidate, in the action's unit."""
        value = candidate[self.parameter]
        if isinstance(value, str):
            return value
        converted = convert(float(value), self.unit, self.target.unit)
        return round(converted) if self.target.kind == "integer" else converted


@dataclass(frozen=True)
class Constant:
    """An argument that is the same in every experiment, in the action's unit."""

    given: Any

    def value(self, candidate: Mapping[str, Value]) -> Any:  # noqa: ANN401
        """Return the argument."""
        del candidate
        return self.given


@dataclass(frozen=True)
class Gives:
    """Which field becomes which outcome.

    Attributes:
        outcome: name.
        field: of the action's result, or of the analysis.
        unit: of the field.
        declared: unit of the outcome.
        uncertainty_field: the field that holds its standard uncertainty, or None.
    """

    outcome: str
    field: str
    unit: str
    declared: str
    uncertainty_field: str | None = None

    def estimate(self, value: float, uncertainty: float | None) -> Estimate:
        """Return the outcome in its declared unit; an uncertainty is a difference."""
        return Estimate(
            convert(value, self.unit, self.declared),
            None if uncertainty is None else convert_difference(uncertainty, self.unit, self.declared),
        )


@dataclass(frozen=True)
class Shared:
    """How experiments share the command of a step.

    Attributes:
        wait: the longest that the first of them waits for others, s.
        at_most: how many samples one command takes.
    """

    wait: float
    at_most: int


@dataclass(frozen=True)
class StepPlan:
    """One step, ready to be carried out.

    Attributes:
        index: from 0.
        instrument: name in the lab.
        action: its description.
        arguments: parameter of the action → where its value comes from.
        analysis: name, or None.
        gives: the outcomes that the step gives.
        occurrence: how many earlier steps ask the same action of the same instrument.
        destination: the place where the sample is afterwards, or None where it stays.
        together: how experiments share its command, or None.
        if_fails: what follows where its command fails.
        approve: when a person must agree before it is sent, or None for never.
    """

    index: int
    instrument: str
    action: ActionSpec
    arguments: Mapping[str, FromParameter | Constant]
    analysis: str | None
    gives: tuple[Gives, ...]
    occurrence: int
    destination: str | None = None
    together: Shared | None = None
    if_fails: IfFails = IfFails()  # noqa: RUF009  frozen
    approve: Approval | None = None

    def values(self, candidate: Mapping[str, Value]) -> dict[str, Any]:
        """Return the arguments for a candidate, in the action's units, in limits.

        Raises:
            LimitError: one of them is outside the action's limits.
        """
        return self.action.check({name: source.value(candidate) for name, source in self.arguments.items()})


@dataclass(frozen=True)
class Plan:
    """What `decide` needs to know of a campaign.

    Attributes:
        source: the name of the source that carries experiments out.
        steps: its protocol.
        concurrency: how many experiments may run at once.
        budget: how many experiments may be started.
        objectives: in the order of the file.
        outcome_constraints: outcome → bounds.
        targets: objective → bounds at which the campaign is over.
        seed: the campaign's.
        pool_size: how many candidates there are, or None where there is no pool.
        on_failure: steps that follow where an experiment failed; their indices go on after those of `steps`.
        stock: consumable → what there is of it when the campaign begins.
    """

    source: str
    steps: tuple[StepPlan, ...]
    concurrency: int
    budget: int
    objectives: Mapping[str, Objective]
    outcome_constraints: Mapping[str, OutcomeConstraint]
    targets: Mapping[str, Target]
    seed: int
    pool_size: int | None = None
    on_failure: tuple[StepPlan, ...] = ()
    stock: Mapping[str, Quantity] = field(default_factory=dict)

    def step(self, index: int) -> StepPlan:
        """Return a step by its index, those after a failure included."""
        return (*self.steps, *self.on_failure)[index]

    def needs(self, candidate: Candidate) -> dict[str, float]:
        """Return consumable → what an experiment uses up of it, in the unit of the stock."""
        total: dict[str, float] = {}
        for step in self.steps:
            for name, (amount, unit) in step.action.amounts(step.values(candidate)).items():
                total[name] = total.get(name, 0.0) + convert(amount, unit, self.stock[name].unit)
        return total

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Every outcome that the steps give."""
        return tuple(g.outcome for s in self.steps for g in s.gives)

    def seconds(self, candidate: Candidate) -> float:
        """Return the expected duration of an experiment in seconds, without waiting for instruments."""
        return sum(s.action.seconds(s.values(candidate)) for s in self.steps)
