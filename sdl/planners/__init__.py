"""Planners: what to try next, as pure functions of the ledger.

Importing this package imports no heavy library: torch is loaded when `bayes` proposes, or `leave_one_out` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.planners.base import (
    Capabilities,
    Group,
    History,
    Planner,
    PlannerSettings,
    Problem,
    Proposal,
    RoundRecord,
    Source,
    Trial,
    round_seed,
)
from sdl.planners.registry import get_planner, planner_names, refusals

if TYPE_CHECKING:
    from sdl.planners.bayes.validation import LeftOut

__all__ = [
    "Capabilities",
    "Group",
    "History",
    "Planner",
    "PlannerSettings",
    "Problem",
    "Proposal",
    "RoundRecord",
    "Source",
    "Trial",
    "get_planner",
    "leave_one_out",
    "planner_names",
    "refusals",
    "round_seed",
]


def leave_one_out(problem: Problem, history: History) -> dict[str, list[LeftOut]]:
    """Predict each measured outcome from all the others; see `sdl.planners.bayes.validation.leave_one_out`.

    Returns:
        outcome → per experiment its number, the measured value, the predicted value and its standard deviation (of a
        measurement), all in the outcome's unit. An outcome with fewer than three results is left out.
    """
    from sdl.planners.bayes import validation

    return validation.leave_one_out(problem, history)
