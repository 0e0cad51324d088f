"""Settings of planner `bayes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

from sdl.planners.base import PlannerSettings
from sdl.planners.design import DesignType
from sdl.space import Categorical

if TYPE_CHECKING:
    from sdl.planners.base import Problem

_FEWEST = 4
_MOST = 12


class InitialDesign(BaseModel):
    """The first experiments, before a model is asked.

    Attributes:
        type: `sobol` (space filling; on a pool, rows that represent it) or `random`.
        count: how many, known experiments included; None for `default_count`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: DesignType = "sobol"
    count: Annotated[int, Strict(), Field(ge=1)] | None = None


class BayesSettings(PlannerSettings):
    """Settings of planner `bayes`; there is nothing to tune."""

    initial: InitialDesign = InitialDesign()


def default_count(problem: Problem) -> int:
    """Return how many initial experiments are made where the campaign does not say.

    One more than the degrees of freedom (as many as fix a linear trend): numbers and descriptors count one, k
    categories k − 1, an equality takes one away. At least 4, at most 12, and at most a third of the budget (but never
    below 1).
    """
    freedom = 0
    for parameter in problem.space.parameters.values():
        if not isinstance(parameter, Categorical):
            freedom += 1
        elif parameter.descriptors is None:
            freedom += len(parameter.values) - 1
        else:
            freedom += len(next(iter(parameter.descriptors.values())))
    freedom -= sum(c.is_equality for c in problem.space.constraints)
    count = min(max(freedom + 1, _FEWEST), _MOST)
    return count if problem.budget is None else max(1, min(count, problem.budget // 3))
