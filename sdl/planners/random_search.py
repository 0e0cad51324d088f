"""Planner `random`: uniform within the constraints, the yardstick for all others."""

from __future__ import annotations

from typing import ClassVar

from sdl.planners.base import Capabilities, History, PlannerSettings, Problem, Proposal
from sdl.planners.grouping import drawn
from sdl.planners.points import known_codes, to_candidates

ANY_NUMBER = 1_000_000
"""Of objectives, for planners that look at none."""


class RandomSettings(PlannerSettings):
    """`random` has no settings."""


class RandomPlanner:
    """Uniform on each parameter's scale within the constraints; rows of a pool without replacement."""

    name: ClassVar[str] = "random"
    settings_model: ClassVar[type[PlannerSettings]] = RandomSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        expressions=True, counts=True, objectives=ANY_NUMBER, groups=True, desirability=True
    )

    def propose(self, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        """Propose n candidates drawn from the round's seed; fewer where a pool or a finite space is used up.

        Raises:
            SpaceError: no point satisfies the constraints.
        """
        space = problem.space
        taken, notes = known_codes(space, history)
        codes, grouped = drawn(problem, "random", 0, n, taken, seed)
        return Proposal(
            tuple(to_candidates(space, codes)),
            {
                "planner": self.name,
                "candidates": [{"origin": "random"} for _ in codes],
                "fallbacks": [*notes, *used_up(len(codes), n)],
                **grouped,
            },
        )


def used_up(found: int, wanted: int) -> list[str]:
    """Return the line that says that fewer candidates were left than asked for, or nothing."""
    return [f"the space is used up: {found} of {wanted} candidates were left"] if found < wanted else []
