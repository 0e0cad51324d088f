"""Whether an amendment leaves every experiment with its source, and its cost with its unit: neither may come to mean another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.errors import listed
from sdl.units import DIMENSIONLESS, is_compatible

if TYPE_CHECKING:
    from sdl.campaign import Draft
    from sdl.loop import CampaignState, ExperimentRecord, Plan


def wrong_sources(before: Draft, plan: Plan, state: CampaignState) -> list[str]:
    """Say which experiments would count for the target and did not, or the other way round; a line each.

    An experiment of a source that the campaign does not name is the target's: so the target may get another name, and no other
    source may.

    Args:
        before: the version in force.
        plan: of the new version.
        state: the journal so far.
    """
    known = [e for _, e in sorted(state.experiments.items()) if e.started is not None or e.state == "proposed"]
    others = set(before.others)
    said = []
    for name in dict.fromkeys(e.source for e in known):
        numbers = [e.number for e in known if e.source == name]
        if name in others and name not in plan.sources:
            said.append(
                f"source '{name}' carried out, or is to carry out, experiment {_listed(numbers)}, and the new version has no "
                f"such source: its results would be taken for those of '{plan.source}', the target; keep '{name}' under sources"
            )
        elif name in others and name == plan.source:
            said.append(_turned(name, before.target, numbers))
        elif name not in others and name in plan.others:
            said.append(
                f"experiment {_listed(numbers)} ('{name}') counts as a result of the target, and '{name}' would be another "
                f"source: keep '{name}' as the target, or choose another name for the new source"
            )
    measured = [e.number for e in known if e.source not in others and e.started is not None]
    if measured and plan.source in others and not said:
        said.append(_turned(plan.source, before.target, measured))
    return said


def wrong_costs(plan: Plan, state: CampaignState) -> list[str]:
    """Say which costs that are recorded cannot be added to those of the new version; a line each unit.

    Args:
        plan: of the new version.
        state: the journal so far.
    """
    costly: dict[str, list[ExperimentRecord]] = {}
    for _, record in sorted(state.experiments.items()):
        if record.cost is not None and not is_compatible(record.cost_unit, plan.cost_unit):
            costly.setdefault(record.cost_unit, []).append(record)
    becomes = "no cost is stated" if not plan.costs else f"costs would be {_unit(plan.cost_unit)}"
    return [
        f"experiment {_listed([e.number for e in records])} cost {records[0].cost:.6g} {unit}"
        f"{'' if len(records) == 1 else ' and so on'}, and by the new version {becomes}: they cannot be added up; "
        f"keep 'cost' in {unit}"
        for unit, records in costly.items()
    ]


def uncounted_costs(plan: Plan, state: CampaignState) -> list[str]:
    """Say which experiments 'stop.cost' does not count, as none was stated when they were started; a line at most."""
    free = [e.number for _, e in sorted(state.experiments.items()) if e.started is not None and e.cost is None]
    if plan.cost_limit is None or not free:
        return []
    return [f"experiment {_listed(free)} had no cost when it was started and counts for nothing in 'stop.cost'"]


def _turned(name: str, target: str, numbers: list[int]) -> str:
    return (
        f"'{name}' was not the target and would become it: experiment {_listed(numbers)} would count for what it does not say; "
        f"keep target: true at '{target}', or begin another campaign (--name) with these results under 'start'"
    )


def _unit(unit: str) -> str:
    return "plain numbers" if unit == DIMENSIONLESS else f"in {unit}"


def _listed(numbers: list[int]) -> str:
    shown = listed(str(n) for n in numbers[:12]).replace("'", "")
    return shown if len(numbers) <= 12 else f"{shown} and {len(numbers) - 12} more"
