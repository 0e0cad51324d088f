"""What to do next: a pure function of the ledger and of now."""

from sdl.loop.decide import (
    Block,
    Continue,
    Decision,
    End,
    Finish,
    Observe,
    Propose,
    RunStep,
    Settle,
    Start,
    best,
    decide,
    finished_because,
    next_step,
    target_reached,
)
from sdl.loop.plan import Constant, FromParameter, Gives, Plan, StepPlan
from sdl.loop.state import CampaignState, CommandState, ExperimentRecord

__all__ = [
    "Block",
    "CampaignState",
    "CommandState",
    "Constant",
    "Continue",
    "Decision",
    "End",
    "ExperimentRecord",
    "Finish",
    "FromParameter",
    "Gives",
    "Observe",
    "Plan",
    "Propose",
    "RunStep",
    "Settle",
    "Start",
    "StepPlan",
    "best",
    "decide",
    "finished_because",
    "next_step",
    "target_reached",
]
