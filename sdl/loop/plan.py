"""A campaign as the loop sees it: steps with everything looked up, checked and converted beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdl.loop.policy import Approval, IfFails
from sdl.objective import Estimate
from sdl.space import Candidate
from sdl.units import convert, convert_difference

if TYPE_CHECKING:
    from sdl.campaign import StopGain
    from sdl.driver import ActionSpec, FieldSpec
    from sdl.objective import Objective, OutcomeConstraint, Target
    from sdl.space import Cost, Value
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
class Route:
    """How a further source carries experiments out.

    Attributes:
        steps: its protocol; the indices of all sources' steps are distinct.
        on_failure: steps that follow where an experiment failed.
    """

    steps: tuple[StepPlan, ...]
    on_failure: tuple[StepPlan, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What `decide` needs to know of a campaign.

    Attributes:
        source: the name of the source whose results count, which is the only one in most campaigns.
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
        gain: the campaign is over when it is unlikely that more than this is still to be gained; or None.
        others: further sources → how they carry experiments out.
        costs: source → what an experiment on it costs, all in one unit; empty where no cost is stated.
        cost_limit: what all experiments together may cost, or None.
        group_size: experiments are asked of the planner in multiples of this (`group.capacity`), as far as the budget goes.
        was: parameter → its value in experiments from before there was that parameter.
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
    gain: StopGain | None = None
    others: Mapping[str, Route] = field(default_factory=dict)
    costs: Mapping[str, Cost] = field(default_factory=dict)
    cost_limit: float | None = None
    group_size: int = 1
    was: Mapping[str, Value] = field(default_factory=dict)

    def step(self, index: int) -> StepPlan:
        """Return a step of any source by its index, those after a failure included."""
        routes = [Route(self.steps, self.on_failure), *self.others.values()]
        return tuple(step for route in routes for step in (*route.steps, *route.on_failure))[index]

    def begins(self, index: int) -> bool:
        """Tell whether a step is the first of its source's protocol, which makes the sample."""
        return self.number_of(index) == 1

    def number_of(self, index: int) -> int:
        """Return the number of a step within its own source, from 1, for people."""
        starts = [route.steps[0].index for route in self.others.values() if route.steps]
        return index + 1 - max((start for start in starts if start <= index), default=0)

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources, the one whose results count first."""
        return (self.source, *self.others)

    @property
    def every_step(self) -> tuple[StepPlan, ...]:
        """The steps of all sources' protocols, without those after a failure."""
        return (*self.steps, *(step for route in self.others.values() for step in route.steps))

    def source_of(self, source: str) -> str:
        """Return the source that carries an experiment out: the one named, or the target's where that is none of them."""
        return source if source in self.others else self.source

    def steps_of(self, source: str) -> tuple[StepPlan, ...]:
        """Return the protocol of an experiment by its source."""
        return self.others[source].steps if source in self.others else self.steps

    def on_failure_of(self, source: str) -> tuple[StepPlan, ...]:
        """Return the steps that follow where an experiment failed, by its source."""
        return self.others[source].on_failure if source in self.others else self.on_failure

    @property
    def cost_unit(self) -> str:
        """The unit of all costs."""
        return next((cost.unit for cost in self.costs.values()), "dimensionless")

    def cost_of(self, candidate: Candidate, source: str) -> float | None:
        """Return what an experiment costs, in the unit of the costs, or None where no cost is stated.

        Raises:
            SpaceError: it is no finite number above 0 there.
        """
        cost = self.costs.get(self.source_of(source))
        return None if cost is None else cost.of(Candidate({**self.was, **candidate}))

    def needs(self, candidate: Candidate, source: str = "") -> dict[str, float]:
        """Return consumable → what an experiment uses up of it, in the unit of the stock."""
        total: dict[str, float] = {}
        had = {**self.was, **candidate}
        for step in self.steps_of(source):
            for name, (amount, unit) in step.action.amounts(step.values(had)).items():
                total[name] = total.get(name, 0.0) + convert(amount, unit, self.stock[name].unit)
        return total

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Every outcome that the steps give."""
        return tuple(g.outcome for s in self.steps for g in s.gives)

    def seconds(self, candidate: Candidate, source: str = "") -> float:
        """Return the expected duration of an experiment in seconds, without waiting for instruments."""
        return sum(s.action.seconds(s.values(candidate)) for s in self.steps_of(source))
