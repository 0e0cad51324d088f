"""Planner `sobol`: a scrambled Sobol sequence from the campaign's seed, continued from round to round."""

from __future__ import annotations

from typing import ClassVar

from sdl.planners.base import Capabilities, History, PlannerSettings, Problem, Proposal
from sdl.planners.grouping import drawn
from sdl.planners.points import known_codes, to_candidates
from sdl.planners.random_search import ANY_NUMBER, used_up


class SobolSettings(PlannerSettings):
    """`sobol` has no settings."""


class SobolPlanner:
    """Points k … k + n − 1 of one sequence, k having been proposed before; space-filling rows on a pool."""

    name: ClassVar[str] = "sobol"
    settings_model: ClassVar[type[PlannerSettings]] = SobolSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        expressions=True, counts=True, objectives=ANY_NUMBER, groups=True, desirability=True
    )

    def propose(self, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        """Propose n candidates; the round's seed is not used, the sequence belongs to the campaign.

        Raises:
            SpaceError: no point satisfies the constraints.
        """
        del seed
        space = problem.space
        start = sum(len(r.candidates) for r in history.rounds)
        taken, notes = known_codes(space, history)
        codes, grouped = drawn(problem, "sobol", start, n, taken)
        return Proposal(
            tuple(to_candidates(space, codes)),
            {
                "planner": self.name,
                "candidates": [{"origin": "sobol", "index": start + i} for i in range(len(codes))],
                "fallbacks": [*notes, *used_up(len(codes), n)],
                **grouped,
            },
        )
