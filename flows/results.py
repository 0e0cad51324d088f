"""What Prefect shows of a campaign's results so far: the best experiment, or with several objectives their Pareto set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.campaign import label_of
from sdl.loop import best, pareto
from sdl.objective import is_several, judged, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.engine import View
    from sdl.loop import ExperimentRecord
    from sdl.objective import Estimate

_SHOWN = 30
"""Experiments of a Pareto set that are listed (chosen); the report has them all."""


def headed(name: str, unit: str) -> str:
    """Return a name with its unit, as it stands above a column."""
    return name if unit in {"", "dimensionless"} else f"{name} [{unit}]"


def front_numbers(view: View) -> frozenset[int] | None:
    """Return the numbers of the experiments in the Pareto set, or None with one objective."""
    if not is_several(view.plan.objectives):
        return None
    return frozenset(
        e.number for e in pareto(view.plan.objectives, view.plan.outcome_constraints, view.state, view.plan.others)
    )


def result_lines(view: View, units: Mapping[str, str], outcome_units: Mapping[str, str]) -> list[str]:
    """Return what was reached as Markdown, a line an entry; empty where nothing feasible was found.

    Args:
        view: of the campaign.
        units: parameter → unit.
        outcome_units: outcome → unit.
    """
    if is_several(view.plan.objectives):
        front = pareto(view.plan.objectives, view.plan.outcome_constraints, view.state, view.plan.others)
        return _front_lines(front, units, outcome_units) if front else []
    record = best(view.plan, view.state)
    if record is None:
        return []
    lines = [
        f"Best so far: experiment **{record.number}** ({label_of(record.candidate, units)})",
        "",
        "| outcome | value |",
        "|--|--|",
    ]
    parts = parts_of(view.plan.objectives, record.outcomes)
    for name, estimate in judged(view.plan.objectives, record.outcomes).items():
        part = f" (desirability {parts[name]:.3g})" if name in parts else ""
        lines.append(f"| {headed(name, outcome_units.get(name, ''))} | {_value(estimate)}{part} |")
    return lines


def _front_lines(
    front: tuple[ExperimentRecord, ...], units: Mapping[str, str], outcome_units: Mapping[str, str]
) -> list[str]:
    count = "1 experiment" if len(front) == 1 else f"{len(front)} experiments"
    heads = ["experiment", *(headed(name, unit) for name, unit in outcome_units.items()), "candidate"]
    lines = [f"Pareto set so far: {count}", "", f"| {' | '.join(heads)} |", "|--" * len(heads) + "|"]
    for record in front[:_SHOWN]:
        values = [_value(record.outcomes[name]) if name in record.outcomes else "" for name in outcome_units]
        label = label_of(record.candidate, units).replace("|", "\\|")
        lines.append(f"| {' | '.join([f'**{record.number}**', *values, label])} |")
    if len(front) > _SHOWN:
        lines += ["", f"and {len(front) - _SHOWN} more: see the report"]
    return lines


def _value(estimate: Estimate) -> str:
    return f"{estimate.value:.5g}{'' if estimate.uncertainty is None else f' ± {estimate.uncertainty:.2g}'}"
