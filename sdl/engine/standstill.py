"""Which instruments stand still until a person has told what became of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.loop.policy import may_go_on

if TYPE_CHECKING:
    from sdl.loop import CampaignState, CommandState, Plan


def is_kept(plan: Plan, state: CampaignState, lost: CommandState) -> bool:
    """Tell whether an instrument is kept for a command of which nobody knows: not where it may simply be sent again."""
    step = plan.step(lost.intended.step)
    records = (state.experiments[n] for n in state.members(lost.intended.command))
    return any(r.rejected is not None or not may_go_on(step, r) for r in records)
