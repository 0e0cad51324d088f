"""`sdl plan`: what a campaign would do, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.cli.live import duration_text
from sdl.cli.plan_costs import estimate_costs, say_costs
from sdl.cli.plan_steps import show_step
from sdl.loop import cost_text, in_groups
from sdl.objective import describe_desirability, is_joint
from sdl.planners import History, round_seed
from sdl.preflight import Checked, check
from sdl.preflight.physics import told_of_physics
from sdl.space.sampling import uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.cli.outcome import Output
    from sdl.loop import StepPlan
    from sdl.space import Candidate

_SAMPLED = 64
"""How many candidates the estimate of lab time is averaged over."""


def show_plan(
    file: Path, name: str | None, seed: int | None, overrides: tuple[str, ...], simulate: bool, output: Output
) -> int:
    """Check a campaign and say what it would do first, and for how long."""
    checked = check(file, overrides=overrides, name=name, seed=seed, simulate=simulate)
    campaign, plan = checked.campaign, checked.plan
    output.say(f"{campaign.name}: {campaign.description}".rstrip(": "))
    _say_problem(checked, output)
    # Exactly what the first round will ask: whatever comes later depends on results.
    wanted = in_groups(plan, min(plan.concurrency, plan.budget), plan.budget)
    proposal = checked.planner.propose(
        checked.problem, checked.problem.told(History()), wanted, round_seed(campaign.seed, 1)
    )
    units = {n: p.unit for n, p in campaign.space.parameters.items()}
    output.say(
        f"\nfirst round of planner '{campaign.planner.type}' (seed {campaign.seed}); later ones depend on results:"
    )
    for number, candidate in enumerate(proposal.candidates, start=1):
        on = f" on '{proposal.sources[number - 1]}'" if proposal.sources else ""
        output.say(f"  {number:3d}  " + ", ".join(_value(n, v, units[n]) for n, v in candidate.items()) + on)
    if campaign.is_by_people:
        output.say(f"\npeople carry the experiments out: sdl propose {file} -n 3 --csv sheet.csv, then sdl tell")
        output.emit({"name": campaign.name, "proposals": [dict(c) for c in proposal.candidates], "steps": []})
        return 0
    first = proposal.candidates[0]
    output.say("\nsteps of the first experiment:" if not plan.others else f"\nsteps on '{plan.source}', the target:")
    steps = [show_step(checked, step, first, output) for step in plan.steps]
    on_failure = []
    if plan.on_failure:
        output.say("\nafter a failure:")
        on_failure = [show_step(checked, step, first, output) for step in plan.on_failure]
    for source, route in plan.others.items():
        output.say(f"\nsteps on '{source}':")
        steps += [show_step(checked, step, first, output) for step in route.steps]
    candidates = _sampled(checked)
    supplies = _supplies(checked, candidates)
    for what, (needed, stock, unit) in supplies.items():
        lasts = int(plan.budget * stock / needed) if needed > 0 else plan.budget
        said = f": NOT ENOUGH: it lasts for about {lasts} of {plan.budget} experiments, then the campaign ends"
        short = "" if needed <= stock else said
        output.say(f"{what}: about {needed:.4g} {unit} needed, {stock:.4g} {unit} there{short}")
    estimate, bottleneck = _lab_time(checked, candidates)
    costs = estimate_costs(checked, candidates, output)
    natures = {n: p.description.nature for n, p in checked.lab.instruments.items()}
    output.say(f"\nlab: {', '.join(f'{n} ({k})' for n, k in natures.items())}; {checked.lab.clock.type} time")
    output.say(
        f"estimated lab time for {plan.budget} experiments{f' on {plan.source!r} alone' if plan.others else ''}: "
        + duration_text(estimate)
        + (f" ({bottleneck} is the bottleneck)" if bottleneck else "")
    )
    output.emit(
        {
            "name": campaign.name,
            "proposals": [dict(c) for c in proposal.candidates],
            "steps": steps,
            "on_failure": on_failure,
            "lab_time": {"value": estimate, "unit": "s"},
            "costs": costs,
            "instruments": natures,
            "consumables": {
                name: {"needed": needed, "there": stock, "unit": unit}
                for name, (needed, stock, unit) in supplies.items()
            },
        }
    )
    return 0


def _say_problem(checked: Checked, output: Output) -> None:
    campaign, plan = checked.campaign, checked.plan
    for name, parameter in campaign.space.parameters.items():
        if parameter.type == "categorical":
            said: Any = ", ".join(parameter.values)
        elif parameter.type == "discrete":
            said = f"{', '.join(f'{v:g}' for v in parameter.values)} {parameter.unit}"
        else:
            log = " (log)" if parameter.type == "continuous" and parameter.scale == "log" else ""
            said = f"{parameter.lower:g} to {parameter.upper:g} {parameter.unit}{log}"
        if (off := campaign.tolerances.get(name)) is not None:
            said += f", may be off by {off:g} {parameter.unit}: the mean outcome counts"
        output.say(f"  {name}: {str(said).replace(' dimensionless', '')}")
    for constraint in campaign.space.constraints:
        output.say(f"  {constraint}")
    if campaign.space.pool is not None:
        output.say(f"  candidates: {len(campaign.space.pool)} distinct rows")
    if campaign.known:
        output.say(f"  known before: {len(campaign.known)} experiments")
    for line in told_of_physics(checked.problem):
        output.say(f"  {line}")
    for task in checked.problem.transfer:
        output.say(f"  earlier campaign '{task.name}': {task.overlap}")
    for name, objective in plan.objectives.items():
        what = f"  {objective.goal} {name} [{objective.unit}]"
        beyond = "" if objective.reference is None else f"; worse than {objective.reference:g} {objective.unit}"
        output.say(what + beyond.removesuffix(" dimensionless") + (beyond and " counts as no gain"))
        if objective.desirability is not None:
            output.say(f"    desirability {describe_desirability(objective)}")
    if is_joint(plan.objectives):
        output.say(
            "  all of them as one: what is sought is the largest weighted geometric mean of their desirabilities"
        )
    elif len(plan.objectives) > 1:
        output.say("  all of them at once: what is sought is the Pareto set, the results that no other one beats")
    for name, bounds in plan.outcome_constraints.items():
        output.say(f"  require {name} {bounds}")
    if (group := campaign.group) is not None:
        output.say(f"  in groups of up to {group.capacity} that share {', '.join(group.shared)}")
    say_costs(checked, output)
    stop = f"  stop after {plan.budget} experiments"
    if plan.pool_size is not None and plan.pool_size < plan.budget:
        stop += f" (but there are only {plan.pool_size} candidates)"
    if plan.targets:
        reached = " and ".join(f"{name} {t}" for name, t in plan.targets.items())
        stop += f", or once {reached} is reached" if len(plan.targets) == 1 else f", or once one has {reached}"
    if (gain := plan.gain) is not None:
        stop += f", or once {gain.in_words}"
    if plan.cost_limit is not None:
        stop += f", or where the next one would cost more than is left of {cost_text(plan.cost_limit, plan.cost_unit)}"
    output.say(stop)


def _value(name: str, value: Any, unit: str) -> str:  # noqa: ANN401
    if isinstance(value, str):
        return f"{name} {value}"
    return f"{name} {value:.5g}{'' if unit == 'dimensionless' else ' ' + unit}"


def _sampled(checked: Checked) -> list[Candidate]:
    """Return candidates over which estimates are averaged."""
    space = checked.campaign.space
    count = min(_SAMPLED, len(space.pool)) if space.pool is not None else _SAMPLED
    return space.decode(uniform(space, count, np.random.default_rng(checked.campaign.seed)))


def _supplies(checked: Checked, candidates: list[Candidate]) -> dict[str, tuple[float, float, str]]:
    """Return consumable → (what the whole budget needs, what there is, unit), averaged over candidates."""
    plan = checked.plan
    needs = [plan.needs(c) for c in candidates]
    return {
        name: (plan.budget * float(np.mean([n.get(name, 0.0) for n in needs])), amount.value, amount.unit)
        for name, amount in plan.stock.items()
        if any(name in n for n in needs)
    }


def _lab_time(checked: Checked, candidates: list[Candidate]) -> tuple[float, str]:
    """Return seconds for the whole budget, and the instrument that holds it up (empty where none does).

    No less than the busiest instrument works where every shared command is full, and no less than the experiments take
    side by side; averaged over candidates.
    """
    plan = checked.plan

    def mean(steps: Sequence[StepPlan], *, shared: bool) -> float:
        parts = {s.index: s.together.at_most if shared and s.together is not None else 1 for s in steps}
        return float(np.mean([sum(s.action.seconds(s.values(c)) / parts[s.index] for s in steps) for c in candidates]))

    used = {s.instrument for s in plan.steps}
    busy = {name: mean([s for s in plan.steps if s.instrument == name], shared=True) for name in sorted(used)}
    side_by_side = mean(plan.steps, shared=False) * plan.budget / plan.concurrency
    name, most = max(busy.items(), key=lambda item: item[1])
    if most * plan.budget > side_by_side:
        return most * plan.budget, name
    return side_by_side, ""
