"""Which experiments share a command, such as a furnace load: a pure function of the state and of now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sdl.clock import on_grid
from sdl.errors import LimitError
from sdl.loop.policy import approval_wanted, may_go_on

if TYPE_CHECKING:
    from collections.abc import Collection

    from sdl.loop.plan import Plan, StepPlan
    from sdl.loop.state import CampaignState, ExperimentRecord


@dataclass(frozen=True)
class Load:
    """Send one command for several experiments.

    Attributes:
        step: which step of theirs.
        experiments: in the order of the samples; the first one carries the command out.
    """

    step: StepPlan
    experiments: tuple[int, ...]


@dataclass(frozen=True)
class WakeAt:
    """Nothing to do for an experiment before a moment: decide again then.

    Attributes:
        moment: seconds since 1970, UTC.
    """

    moment: float


def loads(plan: Plan, state: CampaignState, now: float, live: Collection[int]) -> list[Load | WakeAt]:
    """Return the loads that are to be sent now, and when to look again.

    Experiments at a shared step wait for others that will ask the same of it. A load is sent when it is full; when nobody who is
    under way would still join; or when the first one has waited as long as the step says. While the instrument is busy with
    an earlier load only full ones are sent, since nothing is lost by waiting.

    Args:
        plan: the campaign.
        state: its journal so far.
        now: the present moment.
        live: experiments that this process carries out.
    """
    found: list[Load | WakeAt] = []
    for step in plan.every_step:
        if step.together is None:
            continue
        here: dict[str, list[ExperimentRecord]] = {}
        coming: set[str] = set()
        for record in state.in_state("running"):
            if plan.others and all(s is not step for s in plan.steps_of(record.source)):
                continue  # experiments of different sources share no command
            at = _position(plan, record)
            if at is None or at[0] > step.index or (record.rejected is not None and not at[1]):
                continue
            key = _key(step, record)
            if at[0] < step.index:
                coming.add(key)
            elif not at[1] and record.number in live and not _needs_approval(step, record, state):
                here.setdefault(key, []).append(record)
        busy = any(c.intended.step == step.index for c in state.open_commands())
        for key, records in here.items():
            records.sort(key=lambda r: (r.touched, r.number))
            most = step.together.at_most
            while len(records) >= most:
                found.append(Load(step, tuple(r.number for r in records[:most])))
                records, busy = records[most:], True
            if not records or busy:
                continue  # the end of the load under way decides again
            until = on_grid(_moment(records[0].touched) + step.together.wait)
            if key not in coming or now >= until:
                found.append(Load(step, tuple(r.number for r in records)))
                busy = True
            else:
                found.append(WakeAt(until))
    return found


def in_groups(plan: Plan, wanted: int, left: int) -> int:
    """Return how many experiments to ask of the planner, so that whole groups begin together and can share their loads.

    Args:
        plan: the campaign.
        wanted: how many could be begun now.
        left: how many the budget still allows; the last group may be smaller.
    """
    return wanted if wanted >= left else wanted - wanted % plan.group_size


def _position(plan: Plan, record: ExperimentRecord) -> tuple[int, bool] | None:
    """Return the step that an experiment is at, and whether its command is under way; None where it is past all or failed."""
    if record.failing is not None or record.is_blocked:
        return None
    for step in plan.steps_of(record.source):
        command, decided = record.commands.get(step.index), record.decided.get(step.index)
        if decided == "skip":
            continue
        if command is None or command.status == "not_started" or decided == "retry":
            return step.index, False
        if command.status in {"failed", "unknown"} and may_go_on(step, record):
            return step.index, False
        if command.status != "succeeded":
            return (step.index, True) if command.status == "open" else None
    return None


def _needs_approval(step: StepPlan, record: ExperimentRecord, state: CampaignState) -> bool:
    try:
        return approval_wanted(step, record, state.approved) is not None
    except LimitError:
        return False  # it will fail by itself


def _key(step: StepPlan, record: ExperimentRecord) -> str:
    """Return what must be equal for experiments to share the command."""
    try:
        return json.dumps(step.values(record.candidate), sort_keys=True)
    except LimitError:
        return f"{record.number}"  # it will fail by itself


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
