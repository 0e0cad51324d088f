"""Planner `bayes` as the platform sees it; imports nothing heavy until it proposes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sdl.errors import PlannerError
from sdl.planners.base import Capabilities, History, PlannerSettings, Problem, Proposal
from sdl.planners.bayes.settings import BayesSettings, initial_misfits

if TYPE_CHECKING:
    from types import ModuleType


class BayesPlanner:
    """Bayesian optimisation: Gaussian processes, log expected improvement, feasibility, pending points, failures."""

    name: ClassVar[str] = "bayes"
    settings_model: ClassVar[type[PlannerSettings]] = BayesSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        expressions=True,
        counts=True,
        objectives=16,
        gain=True,
        costs=True,
        sources=True,
        physics=True,
        transfer=True,
        groups=True,
        tolerances=True,
        desirability=True,
    )

    def propose(self, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        """Propose n candidates: the initial design first, then what the acquisition likes best, one after the other.

        The result depends on the arguments only, bit for bit on one machine type; all global random states, torch's
        thread count and default dtype, and warning filters are left as they were. Warnings of numerical trouble end up
        among the diagnostics' fall-backs.

        Raises:
            PlannerError: torch is not installed.
            SpaceError: no point satisfies the constraints.
        """
        proposal: Proposal = _proposing().propose(problem, history, n, seed)
        return proposal

    def misfits(self, problem: Problem) -> list[tuple[str, str]]:
        """See `Checking.misfits`."""
        return initial_misfits(problem)


def _proposing() -> ModuleType:
    try:
        from sdl.planners.bayes import proposing
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "botorch", "gpytorch", "linear_operator"):
            raise
        raise PlannerError(
            f"planner 'bayes' needs {error.name}, which is not installed; run: pip install 'sdl[bayes]'"
        ) from error
    return proposing
