"""A campaign with the constraints that people added on its way (`sdl reject … --constraint`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from sdl.campaign.space import pool_within
from sdl.errors import InputError, PlannerError
from sdl.planners.registry import refusals
from sdl.space import ExpressionConstraint, Space

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdl.planners import Problem
    from sdl.preflight.checked import Checked


def constrained_space(space: Space, constraints: Iterable[str]) -> Space:
    """Return a space with further constraints, each an expression; rows of its pool that break one are left out.

    Raises:
        InputError: one is no expression of the parameters, or nothing is left.
    """
    added = [_read(space, text) for text in constraints]
    known = {str(c) for c in space.constraints}
    added = [c for c in added if str(c) not in known]
    if not added:
        return space
    # Those that hold a frozen parameter come back with `frozen`.
    own = space.constraints[: len(space.constraints) - len(space.frozen)]
    return Space(space.parameters, [*own, *added], pool_within(space.pool, added, space.parameters), space.frozen)


def _read(space: Space, text: str) -> ExpressionConstraint:
    try:
        constraint = ExpressionConstraint(type="expression", expression=text)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]
        why = said.get("ctx", {}).get("error", said["msg"])
        raise InputError(f"'{text}' is no constraint: {why}") from error
    if misfits := constraint.misfits(space.parameters):
        raise InputError(f"'{text}' is no constraint of this space: {'; '.join(misfits)}")
    return constraint


def constrained_problem(problem: Problem, constraints: Iterable[str]) -> Problem:
    """Return a problem within further constraints; see `constrained_space`."""
    space = constrained_space(problem.space, constraints)
    return problem if space is problem.space else replace(problem, space=space)


def constrained(checked: Checked, constraints: Iterable[str]) -> Checked:
    """Return a campaign within further constraints.

    Raises:
        InputError: one is no expression of the parameters, nothing is left, or the planner cannot keep it.
    """
    problem = constrained_problem(checked.problem, constraints)
    if problem is checked.problem:
        return checked
    campaign, space = checked.campaign, problem.space
    cannot = refusals(checked.planner, space, campaign.objectives, campaign.outcome_constraints, campaign.concurrency)
    if cannot:
        raise PlannerError("; ".join(cannot))
    size = None if space.pool is None else len(space.pool)
    return replace(
        checked,
        problem=problem,
        campaign=replace(campaign, space=space),
        plan=replace(checked.plan, pool_size=size),
    )
