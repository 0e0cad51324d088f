"""Which planners there are: the built-in ones and those of installed packages (entry-point group `sdl.planners`)."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from sdl.errors import PlannerError, listed, near_miss
from sdl.objective import is_joint
from sdl.planners.adapters import AxPlanner, BaybePlanner, OptunaPlanner
from sdl.planners.base import Capabilities, Particular, Planner, PlannerSettings
from sdl.planners.bayes import BayesPlanner
from sdl.planners.designed import DesignPlanner
from sdl.planners.random_search import RandomPlanner
from sdl.planners.sobol_sequence import SobolPlanner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.objective import Objective, OutcomeConstraint
    from sdl.space import Space

GROUP = "sdl.planners"
"""Entry-point group in which an installed package offers a planner class (made without arguments) or object."""

_BUILT_IN: dict[str, type[Planner]] = {
    "random": RandomPlanner,
    "sobol": SobolPlanner,
    "bayes": BayesPlanner,
    "design": DesignPlanner,
    "ax": AxPlanner,
    "baybe": BaybePlanner,
    "optuna": OptunaPlanner,
}


@cache
def _installed() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in _BUILT_IN}


def planner_names() -> tuple[str, ...]:
    """Return the names of all planners: the built-in ones first, then those of installed packages by name."""
    return (*_BUILT_IN, *sorted(_installed()))


def get_planner(name: str) -> Planner:
    """Return the planner of that name.

    Raises:
        PlannerError: there is none, or an installed one cannot be loaded.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    if name not in _installed():
        raise PlannerError(
            f"there is no planner '{name}'{near_miss(name, planner_names())}; there are {listed(planner_names())}"
        )
    point = _installed()[name]
    try:
        found = point.load()
        planner: Planner = found() if isinstance(found, type) else found
    except Exception as error:  # a plugin may fail in any way; the user must learn which one it was
        raise PlannerError(f"planner '{name}' ({point.value}) cannot be loaded: {error}") from error
    model = getattr(planner, "settings_model", None)
    if (
        not callable(getattr(planner, "propose", None))
        or not isinstance(getattr(planner, "capabilities", None), Capabilities)
        or not (isinstance(model, type) and issubclass(model, PlannerSettings))
    ):
        raise PlannerError(
            f"planner '{name}' ({point.value}) is not a planner: it needs propose(), capabilities and settings_model"
        )
    return planner


def refusals(
    planner: Planner,
    space: Space,
    objectives: Mapping[str, Objective],
    outcome_constraints: Mapping[str, OutcomeConstraint],
    concurrency: int = 1,
    *,
    gain: bool = False,
) -> list[str]:
    """Say in plain words everything that a campaign asks and the planner cannot do; empty where it can do it all.

    Args:
        planner: the planner that was chosen.
        space: the campaign's space.
        objectives: name → objective.
        outcome_constraints: outcome → bounds.
        concurrency: how many experiments may run at a time.
        gain: whether it is to say how probable it is that more is still to be gained.
    """
    able = planner.capabilities
    said = []
    if space.pool is not None and not able.pools:
        said.append(f"planner '{planner.name}' cannot choose from a fixed list of candidates (space.candidates)")
    kinds = (
        (space.linear, able.constraints, "linear constraints between parameters"),
        (space.expressions, able.expressions, "constraints that are expressions"),
        (space.counts, able.counts, "counts of components"),
    )
    strange = [(what, found) for found, is_able, what in kinds if found and not is_able and space.pool is None]
    for what, found in strange:
        said.append(f"planner '{planner.name}' cannot keep {what} ({'; '.join(str(c) for c in found)})")
    if is_joint(objectives) and not able.desirability:
        said.append(
            f"planner '{planner.name}' does not seek a joint desirability ({listed(objectives)}); "
            "leave 'desirability' out, or choose 'bayes'"
        )
    elif len(objectives) > able.objectives:
        most = "one objective" if able.objectives == 1 else f"{able.objectives} objectives"
        said.append(
            f"planner '{planner.name}' handles at most {most}, the campaign has {len(objectives)}: {listed(objectives)}"
        )
    if outcome_constraints and not able.outcome_constraints:
        said.append(
            f"planner '{planner.name}' does not understand outcome constraints, "
            f"the campaign has them on {listed(outcome_constraints)}"
        )
    for name, objective in objectives.items():
        if objective.goal not in able.goals:
            said.append(
                f"planner '{planner.name}' does not understand goal '{objective.goal}' of objective '{name}'; "
                f"it understands {listed(able.goals)}"
            )
    if concurrency > 1 and not able.pending:
        said.append(
            f"planner '{planner.name}' does not take experiments under way into account, "
            f"so it cannot run {concurrency} at a time; set concurrency: 1"
        )
    if gain and not able.gain:
        said.append(
            f"planner '{planner.name}' states no probability that more is still to be gained, so 'stop.gain' cannot be decided; "
            "leave it out, or choose 'bayes'"
        )
    if (
        isinstance(planner, Particular) and not strange
    ):  # it need not look at constraints of a kind that it does not know
        said.extend(planner.cannot(space, objectives, outcome_constraints))
    return said
