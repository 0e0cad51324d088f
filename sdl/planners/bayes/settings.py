"""Settings of planner `bayes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

from sdl.objective import is_joint
from sdl.planners.base import PlannerSettings
from sdl.planners.classical import grid
from sdl.planners.d_optimal import ModelType, fewest
from sdl.planners.design import Design, DesignType, misfit_of
from sdl.space import Categorical

if TYPE_CHECKING:
    from sdl.planners.base import Problem

_GROUPED = ("sobol", "random")
_FEWEST = 4
_MOST = 12


class InitialDesign(BaseModel):
    """The first experiments, before a model is asked.

    Attributes:
        type: `sobol` (space filling; on a pool, rows that represent it), `random`, `latin_hypercube`, `maximin`,
            `factorial` or `d_optimal`.
        count: how many, known experiments included; None for `default_count`.
        levels: of continuous and integer parameters, for `factorial`.
        model: the polynomial whose coefficients are to be found, for `d_optimal`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[DesignType, Field(alias="type")] = "sobol"
    count: Annotated[int, Strict(), Field(ge=1)] | None = None
    levels: Annotated[int, Strict(), Field(ge=2, le=100)] = 2
    model: ModelType = "interactions"

    @property
    def type(self) -> Design:
        """The design with what is stated of it."""
        return Design(self.name, self.count, self.levels, self.model)


class BayesSettings(PlannerSettings):
    """Settings of planner `bayes`; there is nothing to tune.

    Attributes:
        initial: the first experiments.
        replicates: whether what was measured may be measured again where that is worth more than anything new.
    """

    initial: InitialDesign = InitialDesign()
    replicates: Annotated[bool, Strict()] = False


def initial_misfits(problem: Problem) -> list[tuple[str, str]]:
    """Say why the initial design cannot be carried out, as `Checking.misfits` does."""
    stated = problem.settings.initial if isinstance(problem.settings, BayesSettings) else InitialDesign()
    if isinstance(problem.settings, BayesSettings) and problem.settings.replicates:
        for asked, what in (
            (is_joint(problem.objectives), "desirabilities"),
            (len(problem.objectives) > 1, "several objectives"),
            (problem.group is not None, "groups"),
            (bool(problem.tolerances), "tolerances"),
            (len(problem.sources) > 1, "several sources"),
        ):
            if asked:
                return [("replicates", f"what a repeat is worth is not known with {what}; leave 'replicates' out")]
    if problem.group is not None and stated.name not in _GROUPED:
        return [("initial", f"in groups there are the designs 'sobol' and 'random', not '{stated.name}'")]
    said = misfit_of(problem.space, stated.type, problem.budget, problem.seed)
    return [] if said is None else [("initial", said)]


def default_count(problem: Problem) -> int:
    """Return how many initial experiments are made where the campaign does not say.

    All points of a factorial, and as many as fix the coefficients of a D-optimal design. Otherwise:

    One more than the degrees of freedom (as many as fix a linear trend): numbers and descriptors count one, k
    categories k − 1, an equality takes one away. At least 4, at most 12, and at most a third of the budget (but never
    below 1). Where an earlier campaign or physics says what is to be expected, 4: enough to tell whether it may be believed.
    """
    initial = problem.settings.initial if isinstance(problem.settings, BayesSettings) else InitialDesign()
    if initial.type == "factorial":
        return len(grid(problem.space, initial.levels))
    if initial.type == "d_optimal":
        return fewest(problem.space, initial.model, problem.seed)
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
    if problem.transfer or any(p.role == "mean" for p in problem.physics):
        count = _FEWEST
    return count if problem.budget is None else max(1, min(count, problem.budget // 3))
