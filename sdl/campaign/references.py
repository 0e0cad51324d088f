"""Check the reference values of objectives: that they have an effect, and leave something to be gained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.units import convert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader
    from sdl.objective import Objective, Target

_SIDES = {
    "maximize": "below the target",
    "minimize": "above the target",
    "match": "farther from 'value' than the target's bounds",
}


def check_references(reader: Reader, objectives: Mapping[str, Objective | None], targets: Mapping[str, Target]) -> None:
    """Note every reference that has no effect, or beyond which the target lies.

    Args:
        reader: of the campaign file.
        objectives: as read; None where one could not be read.
        targets: objective → bounds at which the campaign is over.
    """
    for name, objective in objectives.items():
        if objective is None or objective.reference is None:
            continue
        where: Where = ("objectives", name, "reference")
        if objective.desirability is not None:
            continue  # noted where desirabilities are looked at
        if len(objectives) == 1:
            reader.wrong(
                where,
                "a reference says what counts as a gain where several objectives are weighed; with one objective it has no "
                "effect: leave it out, or name another objective",
            )
        elif name in targets and not _leaves_a_gain(objective, targets[name]):
            unit = "" if objective.unit == "dimensionless" else f" {objective.unit}"
            reader.wrong(
                where,
                f"with goal: {objective.goal} and the reference {objective.reference:g}{unit} a result that reaches the target "
                f"({name} {targets[name]}) may count as no gain; the reference must lie {_SIDES[objective.goal]}",
            )


def _leaves_a_gain(objective: Objective, target: Target) -> bool:
    """Tell whether what just reaches a target is better than the reference."""
    low, high = (
        None if bound is None else convert(float(bound), target.unit, objective.unit)
        for bound in (target.at_least, target.at_most)
    )
    assert objective.reference is not None
    if objective.goal == "match":
        bounds = [b for b in (low, high) if b is not None]
    else:
        worst, other = (low, high) if objective.goal == "maximize" else (high, low)
        bounds = [b for b in (other if worst is None else worst,) if b is not None]
    return all(objective.merit(b) > objective.merit(float(objective.reference)) for b in bounds)
