"""What is wanted: objectives, outcome constraints, targets, and the comparison of results."""

from sdl.objective.objectives import (
    Estimate,
    Objective,
    OutcomeConstraint,
    OutcomeSettings,
    Target,
    best_of,
)
from sdl.objective.pareto import (
    MOST_FOR_HYPERVOLUME,
    best_first,
    hypervolume,
    merits_of,
    pareto_set,
    reference_point,
)

__all__ = [
    "MOST_FOR_HYPERVOLUME",
    "Estimate",
    "Objective",
    "OutcomeConstraint",
    "OutcomeSettings",
    "Target",
    "best_first",
    "best_of",
    "hypervolume",
    "merits_of",
    "pareto_set",
    "reference_point",
]
