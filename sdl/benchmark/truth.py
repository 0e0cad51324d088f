"""What is really so: true outcomes from the lab's drivers, and whether they are feasible and reach the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdl.benchmark.result import PoolTruth
from sdl.errors import InstrumentFault
from sdl.units import convert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.benchmark.result import Question
    from sdl.lab import EmbeddedLab
    from sdl.loop import Plan
    from sdl.space import Space, Value


def true_outcomes(lab: EmbeddedLab, plan: Plan, candidate: Mapping[str, Value], sample: str) -> dict[str, float] | None:
    """Return every outcome's true value in its declared unit, or None where the drivers do not know all of them.

    A driver names a true value like the field that `gives` names, be it the action's or the analysis's, in that field's unit.

    Args:
        lab: open.
        plan: which steps give which outcomes.
        candidate: the point.
        sample: the thing that was made of it; a driver that needs none ignores it.
    """
    found: dict[str, float] = {}
    for step in plan.steps:
        if not step.gives:
            continue
        try:
            fields = lab.truth(step.instrument, step.action.name, step.values(candidate), sample)
        except InstrumentFault:
            return None  # there is no such point, or the sample broke: nothing to be true of
        if fields is None:
            return None
        for gives in step.gives:
            if gives.field not in fields:
                return None
            found[gives.outcome] = gives.estimate(fields[gives.field], None).value
    return found


def pool_truth(lab: EmbeddedLab, plan: Plan, space: Space) -> PoolTruth | None:
    """Return the true outcomes of all rows, or None where the lab knows none before an experiment was made."""
    if space.pool is None:
        return None
    values = {name: np.full(len(space.pool), np.nan) for name in plan.outcomes}
    for row, candidate in enumerate(space.decode(space.pool.codes)):
        found = true_outcomes(lab, plan, candidate, "")
        for name, value in (found or {}).items():
            values[name][row] = value
    known = all(np.isfinite(column).any() for column in values.values())
    return PoolTruth(values) if known else None


def is_feasible(question: Question, outcomes: Mapping[str, float]) -> bool:
    """Tell whether every outcome constraint holds."""
    return all(c in outcomes and bounds.holds(outcomes[c]) for c, bounds in question.outcome_constraints.items())


def reaches_target(question: Question, outcomes: Mapping[str, float]) -> bool:
    """Tell whether values are feasible and pass every target; False where there is no target."""
    if not question.targets or not is_feasible(question, outcomes):
        return False
    return all(
        name in outcomes and target.holds(convert(outcomes[name], question.objectives[name].unit, target.unit))
        for name, target in question.targets.items()
    )


def pool_merit(question: Question, truth: PoolTruth) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each row's true merit (NaN where unknown) and whether it is truly feasible, both of shape (rows,)."""
    column = truth.values[question.name]
    merit = np.array([question.objective.merit(float(v)) if np.isfinite(v) else np.nan for v in column])
    feasible = np.array([(o := truth.of(row)) is not None and is_feasible(question, o) for row in range(len(column))])
    return merit, feasible
