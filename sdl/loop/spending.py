"""What a campaign has cost so far, and whether `stop.cost` allows more: read from the journal alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.space import Candidate
from sdl.units import DIMENSIONLESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.loop.plan import Plan
    from sdl.loop.state import CampaignState, ExperimentRecord


def cost_reached(plan: Plan, state: CampaignState) -> str | None:
    """Say why `stop.cost` allows no further experiment, or None.

    What an experiment costs counts as spent once it was started, whatever became of it. One that would cost more than is left
    is not started: the limit is never passed.

    Raises:
        SpaceError: a proposed experiment's cost is no finite number above 0.
    """
    if plan.cost_limit is None:
        return None
    spent = state.spent(plan.cost_unit)
    whole = cost_text(plan.cost_limit, plan.cost_unit)
    left = plan.cost_limit - spent
    if not _fits(0.0, left):
        return f"{cost_text(spent, plan.cost_unit)} of {whole} are spent"
    for record in state.in_state("proposed")[:1]:
        cost = plan.cost_of(record.candidate, record.source)
        if cost is not None and not _fits(cost, left):
            wanted, there = cost_text(cost, plan.cost_unit), cost_text(left, plan.cost_unit)
            return f"of {whole} {there} are left and experiment {record.number} costs {wanted}"
    each = _same_for_all(plan)
    if not plan.every_step and each is not None and not state.in_state("proposed") and not _fits(each, left):
        # people: no experiment is proposed that could not be carried out
        return f"of {whole} {cost_text(left, plan.cost_unit)} are left and an experiment costs {cost_text(each, plan.cost_unit)}"
    return None


def unpromised(plan: Plan, state: CampaignState) -> float | None:
    """Return what of `stop.cost` is neither spent nor promised to proposed experiments, in the unit of the costs, or None.

    Raises:
        SpaceError: a proposed experiment's cost is no finite number above 0.
    """
    if plan.cost_limit is None:
        return None
    promised = sum(plan.cost_of(e.candidate, e.source) or 0.0 for e in state.in_state("proposed"))
    return plan.cost_limit - state.spent(plan.cost_unit) - promised


def how_many(plan: Plan, state: CampaignState, wanted: int) -> int:
    """Return how many of so many further experiments `stop.cost` may allow; what depends on their points is not known yet."""
    left, each = unpromised(plan, state), _same_for_all(plan)
    if left is None:
        return wanted
    if each is None:
        return wanted if _fits(0.0, left) else 0
    return next((n - 1 for n in range(1, wanted + 1) if not _fits(n * each, left)), wanted)


def too_many(plan: Plan, state: CampaignState, asked: Sequence[tuple[int, Candidate, str]]) -> list[tuple[int, str]]:
    """Return which new experiments pass the budget or `stop.cost`, with the reason; the others fit together with what is open.

    Args:
        plan: of the campaign.
        state: before they were proposed.
        asked: number, point and source of each, in order.
    """
    room = plan.budget - state.started - len(state.in_state("proposed"))
    left, found = unpromised(plan, state), []
    for number, candidate, source in asked:
        cost = plan.cost_of(candidate, source) or 0.0
        if room < 1:
            found.append((number, f"the budget of {plan.budget} experiments is used up or promised"))
        elif left is not None and not _fits(cost, left):
            there, whole = cost_text(max(0.0, left), plan.cost_unit), cost_text(plan.cost_limit or 0.0, plan.cost_unit)
            found.append((number, f"it costs {cost_text(cost, plan.cost_unit)}, and of {whole} {there} are left"))
        else:
            room, left = room - 1, None if left is None else left - cost
    return found


def affordable(plan: Plan, state: CampaignState, proposed: Sequence[ExperimentRecord]) -> list[ExperimentRecord]:
    """Return the experiments, from the first, that `stop.cost` allows."""
    if plan.cost_limit is None:
        return list(proposed)
    left, found = plan.cost_limit - state.spent(plan.cost_unit), []
    for record in proposed:
        cost = plan.cost_of(record.candidate, record.source) or 0.0
        if not _fits(cost, left):
            break
        left -= cost
        found.append(record)
    return found


def cost_text(value: float, unit: str) -> str:
    """Return a cost for people: `12.5 h`."""
    return f"{value:.6g}" if unit == DIMENSIONLESS else f"{value:.6g} {unit}"


def _same_for_all(plan: Plan) -> float | None:
    """Return what every experiment costs where that is one number, in the unit of the costs, or None."""
    cost = plan.costs.get(plan.source)
    return None if cost is None or cost.names or plan.others else cost.of(Candidate({}))


def _fits(cost: float, left: float) -> bool:
    """Tell whether a cost can still be borne; with none, whether anything is left at all."""
    return cost <= left + 1e-9 * cost if cost > 0 else left > 0  # sums of hours are not exact
