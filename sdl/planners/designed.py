"""Planner `design`: the points of a classical design, in the order of the campaign's seed, and nothing after them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, Strict

from sdl.errors import PlannerError
from sdl.planners.base import Capabilities, History, PlannerSettings, Problem, Proposal
from sdl.planners.d_optimal import ModelType
from sdl.planners.design import Design, fixed_design, misfit_of
from sdl.planners.points import known_codes, rows_left, to_candidates
from sdl.planners.random_search import ANY_NUMBER, used_up


class DesignSettings(PlannerSettings):
    """Settings of planner `design`.

    Attributes:
        design: `factorial`, `latin_hypercube`, `maximin` or `d_optimal`.
        levels: of continuous and integer parameters, for `factorial`.
        model: the polynomial whose coefficients are to be found, for `d_optimal`.
    """

    design: Literal["factorial", "latin_hypercube", "maximin", "d_optimal"]
    levels: Annotated[int, Strict(), Field(ge=2, le=100)] = 2
    model: ModelType = "interactions"


class DesignPlanner:
    """As many points as the campaign has experiments; of a factorial all, so that the campaign ends with the last."""

    name: ClassVar[str] = "design"
    settings_model: ClassVar[type[PlannerSettings]] = DesignSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        expressions=True, counts=True, objectives=ANY_NUMBER, desirability=True
    )

    def propose(self, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        """Propose the next n points that nothing has taken; the round's seed is not used, the design is the campaign's.

        Raises:
            PlannerError: settings of another planner.
            SpaceError: the design does not suit the space.
        """
        del seed
        space = problem.space
        taken, notes = known_codes(space, history)
        design = _design(problem)
        points = fixed_design(space, design, problem.seed, len(taken) + n)
        codes = points[rows_left(points, taken)][:n]
        return Proposal(
            tuple(to_candidates(space, codes)),
            {
                "planner": self.name,
                "design": str(design),
                "points": len(points),
                "candidates": [{"origin": str(design)} for _ in codes],
                "fallbacks": [*notes, *used_up(len(codes), n)],
            },
        )

    def misfits(self, problem: Problem) -> list[tuple[str, str]]:
        """See `Checking.misfits`."""
        said = misfit_of(problem.space, _design(problem), problem.budget, problem.seed)
        return [] if said is None else [("design", said)]


def _design(problem: Problem) -> Design:
    settings = problem.settings
    if not isinstance(settings, DesignSettings):
        raise PlannerError(f"planner 'design' needs DesignSettings, got {type(settings).__name__}")
    count = None if settings.design == "factorial" else problem.budget
    return Design(settings.design, count, settings.levels, settings.model)
