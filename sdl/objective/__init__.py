"""What is wanted: objectives, outcome constraints, targets, and the comparison of results."""

from sdl.objective.objectives import (
    Estimate,
    Objective,
    OutcomeConstraint,
    OutcomeSettings,
    Target,
    best_of,
    pareto_set,
)

__all__ = ["Estimate", "Objective", "OutcomeConstraint", "OutcomeSettings", "Target", "best_of", "pareto_set"]
