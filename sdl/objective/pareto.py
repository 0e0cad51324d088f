"""Several objectives at once: the Pareto set, and the hypervolume that it dominates."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.objective.objectives import Estimate, Objective, OutcomeConstraint

    Merits = tuple[float, ...]

MOST_FOR_HYPERVOLUME = 3
"""Objectives up to which `hypervolume` computes it: the slices of more take long in plain Python (chosen)."""

_SHARE = 0.1
"""Share of the range that the reference point lies below the worst of the Pareto set: Ishibuchi et al. (GECCO 2011)."""


def merits_of(objectives: Mapping[str, Objective], outcomes: Mapping[str, Estimate]) -> Merits:
    """Return a result's merits, larger for better, in the order of the objectives.

    Raises:
        KeyError: it lacks an objective.
    """
    return tuple(goal.merit(outcomes[name].value) for name, goal in objectives.items())


def pareto_set(
    objectives: Mapping[str, Objective],
    constraints: Mapping[str, OutcomeConstraint],
    results: Sequence[Mapping[str, Estimate]],
) -> tuple[int, ...]:
    """Return the indices of the feasible results that no other feasible one beats, in order.

    One result beats another where it is better in an objective and worse in none; of equal ones all are returned. A result
    that lacks an objective or a constrained outcome is passed over. With one objective these are its best results.

    Args:
        objectives: name → objective.
        constraints: outcome → bounds that must hold.
        results: per experiment, outcome → estimate.
    """
    merits = {
        index: merits_of(objectives, outcomes)
        for index, outcomes in enumerate(results)
        if all(name in outcomes for name in objectives)
        and all(c in outcomes and bounds.holds(outcomes[c].value) for c, bounds in constraints.items())
    }
    # From the best in the first objective (of equal ones in the second, …) on, whoever is beaten is beaten by one before it,
    # and then by one that is not beaten itself.
    unbeaten: list[int] = []
    for index in sorted(merits, key=lambda i: merits[i], reverse=True):
        if not any(_beats(merits[other], merits[index]) for other in unbeaten):
            unbeaten.append(index)
    return tuple(sorted(unbeaten))


def best_first(
    objectives: Mapping[str, Objective], results: Sequence[Mapping[str, Estimate]], indices: Sequence[int]
) -> tuple[int, ...]:
    """Return indices of results from the best to the worst in the first objective, the earliest first among equals.

    Args:
        objectives: name → objective.
        results: per experiment, outcome → estimate.
        indices: of results that have all objectives.
    """
    return tuple(sorted(indices, key=lambda i: (*(-m for m in merits_of(objectives, results[i])), i)))


def reference_point(objectives: Mapping[str, Objective], front: Sequence[Merits]) -> Merits:
    """Return the reference point of hypervolumes as merits: what is given with the objectives, the rest from results.

    What is not given lies a tenth of the Pareto set's range below its worst (Ishibuchi, Akedo and Nojima, GECCO 2011); where
    there is no range, a tenth of the value itself, or 1 where that is 0 (chosen). Planner `bayes` uses the same rule on what
    its models predict.

    Args:
        objectives: name → objective.
        front: merits of the Pareto set; at least one.

    Raises:
        ValueError: the Pareto set is empty.
    """
    if not front:
        raise ValueError("a Pareto set without results has no reference point")
    point = []
    for column, goal in zip(zip(*front, strict=True), objectives.values(), strict=True):
        if goal.reference is not None:
            point.append(goal.merit(float(goal.reference)))
        else:
            worst, best = min(column), max(column)
            point.append(worst - (_SHARE * (best - worst) or _SHARE * abs(worst) or 1.0))
    return tuple(point)


def hypervolume(points: Sequence[Merits], reference: Merits) -> float:
    """Return the volume of what points dominate, down to a reference point: exact but for rounding.

    By slices: from the best value of the last objective down, each slice is as thick as the way to the next point, and as large
    as the area that the points so far dominate in the other objectives (While, Hingston, Barone and Huband, IEEE Transactions
    on Evolutionary Computation 10, 29 (2006)). The area is summed by one sweep.

    Args:
        points: merits, 2 or 3 each, larger for better; those that are not better than the reference in all add nothing.
        reference: as many merits.

    Returns:
        The volume, in the product of the objectives' units; infinite where it is too large for a float.

    Raises:
        ValueError: other than 2 or 3 objectives.
    """
    if not 2 <= len(reference) <= MOST_FOR_HYPERVOLUME:
        raise ValueError(f"hypervolumes are computed for 2 or 3 objectives, not for {len(reference)}")
    inside = [p for p in points if all(m > r for m, r in zip(p, reference, strict=True))]
    return _volume(inside, reference)


def _volume(inside: list[Merits], reference: Merits) -> float:
    if len(reference) == 2:
        total, ceiling = 0.0, reference[1]
        for first, second in sorted(inside, reverse=True):
            if second > ceiling:
                total += (first - reference[0]) * (second - ceiling)
                ceiling = second
        return total
    falling = sorted(inside, key=lambda p: p[-1], reverse=True)
    ends = [*(p[-1] for p in falling[1:]), reference[-1]]
    return sum(
        (
            (point[-1] - end) * _volume([p[:-1] for p in falling[: count + 1]], reference[:-1])
            for count, (point, end) in enumerate(zip(falling, ends, strict=False))
            if point[-1] > end
        ),
        0.0,
    )


def _beats(one: Merits, other: Merits) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and one != other
