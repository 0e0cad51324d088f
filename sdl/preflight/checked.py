"""The result of pre-flight: everything that the engine needs, looked up and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdl.campaign import Campaign
    from sdl.lab import LabPlan
    from sdl.loop import Plan
    from sdl.planners import Planner, Problem


@dataclass(frozen=True)
class Checked:
    """A campaign that passed pre-flight.

    Attributes:
        campaign: as in the file.
        lab: with drivers found and settings validated.
        planner: found by name.
        problem: what the planner is asked.
        plan: what the loop works by.
    """

    campaign: Campaign
    lab: LabPlan
    planner: Planner
    problem: Problem
    plan: Plan
