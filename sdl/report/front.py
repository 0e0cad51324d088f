"""What a report shows of several objectives at once: the Pareto set, and the hypervolume over the experiments."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdl.objective import (
    MOST_FOR_HYPERVOLUME,
    best_first,
    hypervolume,
    is_several,
    merits_of,
    pareto_set,
    reference_point,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.objective import Objective
    from sdl.report.data import ReportedExperiment


@dataclass(frozen=True)
class Front:
    """The Pareto set of a campaign with several objectives.

    Attributes:
        numbers: of its experiments, the best in the first objective first.
        reference: objective → the value that hypervolumes are measured from, in the objective's unit; for a number to be matched
            the distance from it. Empty where there is no hypervolume.
        beyond: numbers of those in the Pareto set that are not better than the reference in all objectives.
        volumes: experiment number → hypervolume of the feasible experiments up to it, from the first feasible one on.
        missing: why there is no hypervolume, in words, or None.
    """

    numbers: tuple[int, ...]
    reference: Mapping[str, float] = field(default_factory=dict)
    beyond: tuple[int, ...] = ()
    volumes: tuple[tuple[int, float], ...] = ()
    missing: str | None = None


def front_of(objectives: Mapping[str, Objective], experiments: Sequence[ReportedExperiment]) -> Front | None:
    """Return the Pareto set, or None with one objective or joined ones.

    Args:
        objectives: in the order of the campaign.
        experiments: in order of number; whether they are feasible is known.
    """
    if not is_several(objectives):
        return None
    feasible = [e for e in experiments if e.is_feasible]
    results = [e.outcomes for e in feasible]
    chosen = best_first(objectives, results, pareto_set(objectives, {}, results))
    numbers = tuple(feasible[i].number for i in chosen)
    if len(objectives) > MOST_FOR_HYPERVOLUME:
        return Front(numbers, missing=f"it is computed for 2 or 3 objectives, and there are {len(objectives)}")
    if not numbers:
        return Front(numbers, missing="no result is feasible yet")
    merits = {e.number: merits_of(objectives, e.outcomes) for e in feasible}
    reference = reference_point(objectives, [merits[n] for n in numbers])
    beyond = tuple(n for n in numbers if any(m <= r for m, r in zip(merits[n], reference, strict=True)))
    volumes: list[tuple[int, float]] = []
    unbeaten: list[tuple[float, ...]] = []
    for experiment in experiments:
        if experiment.state == "proposed":
            continue
        if experiment.number in merits:
            new = merits[experiment.number]
            if not any(all(a >= b for a, b in zip(other, new, strict=True)) for other in unbeaten):
                unbeaten = [o for o in unbeaten if not all(b >= a for a, b in zip(o, new, strict=True))] + [new]
                volumes.append((experiment.number, hypervolume(unbeaten, reference)))
                continue
        if volumes:
            volumes.append((experiment.number, volumes[-1][1]))
    if not all(math.isfinite(v) for _, v in volumes):
        return Front(numbers, missing="it is too large for a number")
    shown = {
        name: goal.merit(merit) if goal.value is None else -merit
        for (name, goal), merit in zip(objectives.items(), reference, strict=True)
    }
    return Front(numbers, shown, beyond, tuple(volumes))
