"""What a step's author wants done where it fails, and before it is sent: pure questions to the journal's state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sdl.loop.plan import StepPlan
    from sdl.loop.state import ExperimentRecord
    from sdl.space import Value


@dataclass(frozen=True)
class IfFails:
    """What follows where a step's command fails.

    Attributes:
        then: `fail` (the experiment), `retry` (a new command, so often), `skip` (go on without the step), `ask` (a person), or
            `instrument` (once more, on another one of the same kind).
        times: how often at most, for `retry`.
        instrument: the other one.
        occurrence: of the action on the other one; see `StepPlan`.
    """

    then: Literal["fail", "retry", "skip", "ask", "instrument"] = "fail"
    times: int = 0
    instrument: str = ""
    occurrence: int = 0

    @property
    def more(self) -> int:
        """How many commands may follow the first one by themselves."""
        return {"retry": self.times, "instrument": 1}.get(self.then, 0)


@dataclass(frozen=True)
class Approval:
    """When a person must agree before a step is sent.

    Attributes:
        when: `always`, `first` (the first time in the campaign), `cost_above` (it takes longer), or `outside` (an argument lies
            outside its range).
        seconds: the longest that needs nobody, for `cost_above`.
        outside: argument → (lower, upper) that need nobody, in the action's units, for `outside`.
    """

    when: Literal["always", "first", "cost_above", "outside"]
    seconds: float = 0.0
    outside: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def why(self, step: StepPlan, candidate: Mapping[str, Value]) -> str | None:
        """Say why a person must agree, or None where nobody need.

        Raises:
            LimitError: an argument is outside the action's limits.
        """
        if self.when == "always":
            return "every one of these steps needs a person's approval"
        if self.when == "first":
            return "the first of these steps needs a person's approval"
        values = step.values(candidate)
        if self.when == "cost_above":
            takes = step.action.seconds(values)
            longer = takes > self.seconds
            return f"it takes {_hours(takes)}, and above {_hours(self.seconds)} a person must agree" if longer else None
        units = {p.name: p.unit for p in step.action.parameters}
        said = [
            f"{name} is {values[name]:g} {units[name]}, and outside {low:g} to {high:g} {units[name]} a person must agree"
            for name, (low, high) in self.outside.items()
            if values[name] is not None and not low <= values[name] <= high
        ]
        return "; ".join(said) or None


def approval_wanted(step: StepPlan, record: ExperimentRecord, approved: Collection[int]) -> str | None:
    """Say why a person must agree before a step of an experiment is sent, or None.

    Args:
        step: which is to be sent.
        record: of the experiment.
        approved: steps that a person has approved in any experiment.

    Raises:
        LimitError: an argument is outside the action's limits.
    """
    policy = step.approve
    if policy is None or step.index in record.approved or (policy.when == "first" and step.index in approved):
        return None
    return policy.why(step, record.candidate)


def may_go_on(step: StepPlan, record: ExperimentRecord) -> bool:
    """Tell whether a new command may follow a failed one by itself; never where the action is irreversible."""
    attempts = record.attempts.get(step.index, 0)
    return step.action.effect != "irreversible" and attempts <= step.if_fails.more


def may_follow(step: StepPlan, record: ExperimentRecord) -> bool:
    """Tell whether a new command may follow the one under way by itself, should it fail."""
    attempts = record.attempts.get(step.index, 0) + 1
    return record.rejected is None and step.action.effect != "irreversible" and attempts <= step.if_fails.more


def as_sent(step: StepPlan, record: ExperimentRecord) -> StepPlan:
    """Return the step as its next command is sent: on the other instrument where it failed on the first."""
    policy = step.if_fails
    if policy.then != "instrument" or not record.attempts.get(step.index, 0):
        return step
    return replace(step, instrument=policy.instrument, occurrence=policy.occurrence)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s"
