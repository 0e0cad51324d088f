"""Whether experiments that are under way will ever come on by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.loop.policy import may_go_on

if TYPE_CHECKING:
    from collections.abc import Collection

    from sdl.lab import Lab
    from sdl.loop import CampaignState, CommandState, Plan


def is_kept(plan: Plan, state: CampaignState, lost: CommandState) -> bool:
    """Tell whether an instrument is kept for a command of which nobody knows: not where it may simply be sent again."""
    step = plan.step(lost.intended.step)
    records = (state.experiments[n] for n in state.members(lost.intended.command))
    return any(r.rejected is not None or not may_go_on(step, r) for r in records)


def stuck(plan: Plan, state: CampaignState, lab: Lab, live: Collection[int]) -> list[str]:
    """Say for each experiment that only a person can bring on what it waits for.

    A lab in this process knows all who wait, for room too. Of a lab server the campaign itself knows at least who waits for an
    instrument that is kept until a person says what became of a command.

    Args:
        plan: the campaign.
        state: its journal.
        lab: where its commands wait.
        live: experiments that this process carries out.
    """
    said = list(lab.blocked())
    if said or not lab.is_served:
        return said
    kept = {c.intended.instrument: c.intended.command for c in state.lost_commands() if is_kept(plan, state, c)}
    waiting = [
        c.intended.instrument for n in live for c in state.experiments[n].commands.values() if c.status == "open"
    ]
    return [f"'{i}' is held until a person says what became of command {kept[i]}" for i in waiting if i in kept]
