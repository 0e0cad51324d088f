"""How `sdl plan` shows a step: its arguments, what it waits for, and its policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl.cli.live import duration_text
from sdl.loop import Constant

if TYPE_CHECKING:
    from sdl.cli.outcome import Output
    from sdl.loop import StepPlan
    from sdl.preflight import Checked
    from sdl.space import Candidate


def show_step(checked: Checked, step: StepPlan, candidate: Candidate, output: Output) -> dict[str, Any]:
    """Say what a step is for a candidate; returns the same as JSON.

    Args:
        checked: the campaign.
        step: one of its protocol, or of what follows a failure.
        candidate: which gives its arguments.
        output: where it is said.
    """
    values = step.values(candidate)
    seconds = step.action.seconds(values)
    output.say(
        f"  {step.index + 1}. {step.instrument}.{step.action.name} ({step.action.effect}, {duration_text(seconds)})"
    )
    for argument in step.action.parameters:
        origin = step.arguments.get(argument.name)
        from_ = "" if origin is None or isinstance(origin, Constant) else f"   from ${origin.parameter}"
        shown = values[argument.name]
        text = f"{shown:.6g} {argument.unit}" if isinstance(shown, float | int) else str(shown)
        output.say(f"       {argument.name} = {text.replace(' dimensionless', '')}{from_}")
    if step.together is not None:
        output.say(
            f"       shared by up to {step.together.at_most} experiments that ask the same; "
            f"the first waits up to {duration_text(step.together.wait)}"
        )
    if step.approve is not None:
        output.say(f"       sent after a person agreed: {asks(step)}")
    requires = _requirements(checked, step, output)
    late = step.action.late_after(seconds)
    output.say(f"       reported as late after {duration_text(late)}")
    output.say(f"       if it fails: {follows(checked, step)}")
    if step.destination is not None:
        output.say(f"       then the sample is at {step.destination}")
    for gives in step.gives:
        via = "" if step.analysis is None else f" by analysis {step.analysis}"
        output.say(f"       gives {gives.outcome} [{gives.declared}] from {gives.field} [{gives.unit}]{via}")
    return {
        "instrument": step.instrument,
        "action": step.action.name,
        "effect": step.action.effect,
        "arguments": values,
        "seconds": seconds,
        "late_after": late,
        "if_fails": follows(checked, step),
        "approve": None if step.approve is None else asks(step),
        "requires": requires,
        "destination": step.destination,
    }


def _requirements(checked: Checked, step: StepPlan, output: Output) -> list[dict[str, Any]]:
    """Say which interlocks hold for a step; returns the same as JSON."""
    found = []
    for requirement in checked.lab.instruments[step.instrument].requires:
        if not requirement.covers(step.action.name, step.action.effect):
            continue
        waits = f", waits up to {duration_text(requirement.wait)}" if requirement.wait else ""
        age = f", by a reading no older than {duration_text(requirement.max_age)}"
        output.say(f"       only while {requirement.name} is {requirement.allowed}{waits}{age}")
        found.append(
            {
                "reading": requirement.name,
                "allowed": requirement.allowed,
                "wait": requirement.wait,
                "max_age": requirement.max_age,
            }
        )
    return found


def asks(step: StepPlan) -> str:
    """Say when a person must agree before a step is sent."""
    policy = step.approve
    if policy is None:
        return "never"
    if policy.when == "cost_above":
        return f"where it takes longer than {duration_text(policy.seconds)}"
    if policy.when == "outside":
        units = {p.name: p.unit for p in step.action.parameters}
        ranges = (f"{n} lies outside {low:g} to {high:g} {units[n]}" for n, (low, high) in policy.outside.items())
        return f"where {' or '.join(ranges)}".replace(" dimensionless", "")
    return "every time" if policy.when == "always" else "the first time in the campaign"


def follows(checked: Checked, step: StepPlan) -> str:
    """Say what follows where a step's command fails."""
    policy, plan = step.if_fails, checked.plan
    others = (r.on_failure for r in plan.others.values() if step in (*r.steps, *r.on_failure))
    failing = next(others, plan.on_failure)
    clears = ", ".join(f"{s.instrument}.{s.action.name}" for s in failing)
    fails = "the experiment fails" + (f", then {clears}" if clears else "")
    if step in failing:
        return "the experiment ends where it is, and the sample stays there"
    if policy.then == "retry":
        times = "once" if policy.times == 1 else f"up to {policy.times} times"
        return f"a new command {times}; else {fails}"
    if policy.then == "instrument":
        return f"once more on '{policy.instrument}'; else {fails}"
    if policy.then == "skip":
        return "the experiment goes on without it"
    if policy.then == "ask":
        return "a person is asked how it goes on"
    return fails
