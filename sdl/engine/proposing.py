"""Ask the planner for a round and check what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.engine.worker import Proposed, propose
from sdl.errors import PlannerError
from sdl.ledger import RoundProposed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdl.engine.worker import Worker
    from sdl.loop import Propose
    from sdl.planners import History
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
    return RoundProposed(
        decision.round,
        planner,
        [dict(c) for c in answer.proposal.candidates],
        first(),
        answer.proposal.diagnostics,
        answer.environment,
        round(answer.seconds, 4),
    )
