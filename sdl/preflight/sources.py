"""The sources of a campaign: each one's steps, what it gives, and what the planner is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl.campaign import Reference
from sdl.errors import listed, near_miss
from sdl.loop import Route
from sdl.planners import Source
from sdl.preflight.steps import check_steps

if TYPE_CHECKING:
    from sdl.campaign import Draft, Step
    from sdl.lab import LabPlan
    from sdl.loop import StepPlan
    from sdl.planners import Planner

Steps = tuple[tuple["StepPlan", ...], tuple["StepPlan", ...]]


def check_sources(draft: Draft, lab: LabPlan | None) -> dict[str, Steps]:
    """Return source → its steps and those after a failure, the target's first; problems are noted in the draft.

    The indices of all steps are distinct: a command's step says which source it belongs to.
    """
    order = sorted(draft.sources, key=lambda name: name != draft.target)  # stable: the others as written
    found: dict[str, Steps] = {}
    first = 0
    for name in order:
        if draft.is_by_people:
            found[name] = ((), ())
        else:
            found[name] = check_steps(draft, draft.sources[name], lab, first, is_target=name == draft.target)
        first += sum(len(part) for part in found[name])
    return found


def routes_of(steps: dict[str, Steps]) -> dict[str, Route]:
    """Return the sources that are not the target → how they carry experiments out."""
    return {name: Route(*parts) for name, parts in list(steps.items())[1:]}


def sources_of(draft: Draft) -> dict[str, Source]:
    """Return what a planner is told of the sources, the target first."""
    order = sorted(draft.sources, key=lambda name: name != draft.target)
    return {
        name: Source(
            tuple(dict.fromkeys([*draft.objectives, *draft.outcome_constraints]))
            if draft.is_by_people
            else tuple(dict.fromkeys(o for step in draft.sources[name] for o in step.gives)),
            name == draft.target,
            draft.costs.get(name),
        )
        for name in order
    }


def check_planner(draft: Draft, planner: Planner | None) -> None:
    """Note what a planner cannot do with several sources; groups, tolerances, physics and earlier campaigns see to themselves."""
    if planner is None or len(draft.sources) < 2:
        return
    reader = draft.reader()
    if not planner.capabilities.sources:
        reader.wrong(
            ("planner", "type"),
            f"planner '{planner.name}' cannot choose between sources, the campaign has {len(draft.sources)}: "
            f"{listed(draft.sources)}; leave one, or choose 'bayes'",
        )
    if draft.stop is not None and draft.stop.gain is not None:
        reader.wrong(("stop", "gain"), "is not computed with several sources yet; leave it out, or state 'stop.cost'")


def check_outcomes(draft: Draft) -> None:
    """Every wanted outcome is given by exactly one step of the target, and every parameter is used by one.

    Another source may give some outcomes only, one objective at least, and need not use every parameter.
    """
    if draft.is_by_people:
        return
    reader = draft.reader()
    given: dict[str, dict[str, tuple[Any, ...]]] = {}
    used: set[str] = set()
    for source, steps in draft.sources.items():
        given[source] = {}
        for step in steps:
            for outcome in step.gives:
                where = (*step.where, "gives", outcome)
                if outcome in given[source]:
                    reader.wrong(where, f"the outcome '{outcome}' is given twice")
                given[source][outcome] = where
                if outcome not in draft.objectives and outcome not in draft.outcome_constraints:
                    wanted_names = [*draft.objectives, *draft.outcome_constraints]
                    hint = near_miss(outcome, wanted_names)
                    reader.wrong(where, f"'{outcome}' is neither an objective nor an outcome constraint{hint}")
        if source == draft.target:
            used |= _used(steps)
    used |= _used(draft.on_failure)
    if not draft.is_protocol_complete:
        return  # what a step that could not be read uses and gives is not known
    several = len(draft.sources) > 1
    target = f" of '{draft.target}', the target," if several else ""
    for section, wanted in (("objectives", draft.objectives), ("outcome_constraints", draft.outcome_constraints)):
        for name in wanted:
            if name not in given.get(draft.target, {}):
                there = listed(given.get(draft.target, {}))
                reader.wrong((section, name), f"no step{target} gives '{name}'; steps give {there}")
    for source, outcomes in given.items():
        if source != draft.target and not set(outcomes) & set(draft.objectives):
            reader.wrong(
                ("sources", source), f"gives no objective ({listed(draft.objectives)}), so nothing is learned from it"
            )
    if any(step.unreadable for steps in draft.sources.values() for step in steps):
        return  # a misspelt $name would be named twice, once as if its parameter were not used
    for name in draft.parameters:
        if name not in used:
            where = ("space", "parameters", name)
            reader.wrong(where, f"no step{target} uses the parameter '{name}' (as ${name} under 'with')")


def _used(steps: tuple[Step, ...]) -> set[str]:
    return {a.parameter for step in steps for a in step.arguments.values() if isinstance(a, Reference)}
