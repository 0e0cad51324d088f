"""Ask the planner for a round and check what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.engine.worker import Proposed, propose
from sdl.errors import PlannerError, listed
from sdl.ledger import RoundProposed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdl.engine.worker import Worker
    from sdl.loop import Propose
    from sdl.planners import History, Proposal
    from sdl.preflight import Checked


async def ask_planner(
    worker: Worker, checked: Checked, history: History, decision: Propose, first: Callable[[], int]
) -> RoundProposed:
    """Return the row of the planner's answer.

    Args:
        worker: where the planner runs.
        checked: the campaign.
        history: the journal up to the row that opened the round, and nothing that came later.
        decision: what is asked.
        first: gives the number of the first experiment, once the answer is there: a person may have proposed some meanwhile.

    Raises:
        PlannerError: the planner failed, or proposed what lies outside the space.
    """
    planner = checked.campaign.planner.type
    answer: Proposed = await worker.call(propose, planner, checked.problem, history, decision.count, decision.seed)
    for candidate in answer.proposal.candidates:
        problems = checked.campaign.space.problems(candidate)
        if problems:
            raise PlannerError(
                f"planner '{planner}' proposed {dict(candidate)}, which lies outside the space: {'; '.join(problems)}"
            )
    sources = _sources(checked, answer.proposal)
    for candidate, source in zip(answer.proposal.candidates, sources, strict=True):
        checked.plan.cost_of(candidate, source)  # refuses what has no cost above 0, naming the point
    return RoundProposed(
        decision.round,
        planner,
        [dict(c) for c in answer.proposal.candidates],
        first(),
        answer.proposal.diagnostics,
        answer.environment,
        round(answer.seconds, 4),
        sources if checked.plan.others else [],
    )


def _sources(checked: Checked, proposal: Proposal) -> list[str]:
    """Return the source of each candidate.

    Raises:
        PlannerError: the planner named a source that there is not, or not one for each candidate.
    """
    if not proposal.sources:
        return [checked.plan.source] * len(proposal.candidates)
    planner, there = checked.campaign.planner.type, checked.plan.sources
    unknown = [s for s in proposal.sources if s not in there]
    if unknown or len(proposal.sources) != len(proposal.candidates):
        raise PlannerError(
            f"planner '{planner}' proposed {len(proposal.candidates)} candidates on the sources {listed(proposal.sources)}; "
            f"each needs one of {listed(there)}"
        )
    return list(proposal.sources)
