"""What to do next: a pure function of the ledger's state, of now, and of which experiments this process works on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sdl.objective import best_of
from sdl.planners import round_seed
from sdl.units import convert, convert_difference

if TYPE_CHECKING:
    from sdl.loop.plan import Plan, StepPlan
    from sdl.loop.state import CampaignState, CommandState, ExperimentRecord


@dataclass(frozen=True)
class Propose:
    """Ask the planner: open a round, or repeat one that was opened and never answered."""

    round: int
    count: int
    seed: int
    is_open: bool


@dataclass(frozen=True)
class Start:
    """Begin to carry out a proposed experiment."""

    experiment: int


@dataclass(frozen=True)
class Continue:
    """Go on with an experiment that another process began."""

    experiment: int


@dataclass(frozen=True)
class End:
    """Nothing is left to do."""

    state: Literal["done", "waiting", "failed"]
    reason: str


Decision = Propose | Start | Continue | End


@dataclass(frozen=True)
class RunStep:
    """Send the next command of an experiment."""

    step: StepPlan


@dataclass(frozen=True)
class Settle:
    """Find out what became of a command that a dead process left open."""

    command: CommandState


@dataclass(frozen=True)
class Observe:
    """Turn a finished step's result or artefacts into outcomes."""

    step: StepPlan
    command: CommandState


@dataclass(frozen=True)
class Block:
    """Only a person can say how the experiment goes on."""

    command: CommandState


@dataclass(frozen=True)
class Finish:
    """The experiment is over."""

    state: Literal["done", "failed", "aborted"]
    reason: str | None


StepDecision = RunStep | Settle | Observe | Block | Finish


def decide(plan: Plan, state: CampaignState, now: float, live: Collection[int] = ()) -> tuple[Decision, ...]:
    """Return what to do next, in order; empty where there is nothing to do but wait.

    Args:
        plan: the campaign.
        state: its journal so far.
        now: the present moment. Nothing here depends on it yet; waiting times and deadlines will.
        live: experiments that this process is carrying out.
    """
    del now
    running = state.in_state("running")
    # In the order in which their open commands were sent, so that queues form again as they were.
    sent = {c.intended.experiment: c.seq for c in state.open_commands()}
    waiting = sorted(running, key=lambda e: (sent.get(e.number, 0), e.number))
    decisions: list[Decision] = [Continue(e.number) for e in waiting if e.number not in live and not e.is_blocked]
    over = finished_because(plan, state)
    proposed = state.in_state("proposed")
    free = plan.concurrency - sum(not e.is_blocked for e in running)
    left = plan.budget - state.started
    if over is None:
        starts = proposed[: max(0, min(free, left))]
        decisions += [Start(e.number) for e in starts]
        wanted = min(free, left) - len(starts)
        if wanted > 0 and len(starts) == len(proposed):
            round_ = _next_round(plan, state, wanted)
            if round_ is not None:
                decisions.append(round_)
    if decisions or any(not e.is_blocked for e in running):
        return tuple(decisions)
    blocked = [e for e in running if e.is_blocked]
    if blocked:
        numbers = ", ".join(str(e.number) for e in blocked)
        return (End("waiting", f"a person must say what became of experiment {numbers}; see sdl status"),)
    return (End("done", over or "every candidate of the pool was tried"),)


def _next_round(plan: Plan, state: CampaignState, wanted: int) -> Propose | None:
    last = state.rounds[-1] if state.rounds else None
    if last is not None and last.proposed is None:
        return Propose(last.opened.round, last.opened.count, last.opened.seed, is_open=True)
    if (
        last is not None
        and last.proposed is not None
        and len(last.proposed.candidates) < last.opened.count
        and not state.news
    ):
        return None  # the planner had nothing more to propose, and nothing was learned since
    number = len(state.rounds) + 1
    return Propose(number, wanted, round_seed(plan.seed, number), is_open=False)


def next_step(plan: Plan, record: ExperimentRecord) -> StepDecision:
    """Return what an experiment that was started needs next."""
    for step in plan.steps:
        command = record.commands.get(step.index)
        if command is None or command.status == "not_started":
            return RunStep(step)
        if command.status == "open":
            return Settle(command)
        if command.status == "unknown":
            return Block(command)
        if command.status in {"failed", "aborted"}:
            settled = command.settled
            said = settled.error if settled is not None and settled.error else command.status
            where = f"{step.instrument}.{step.action.name}"
            return Finish("failed" if command.status == "failed" else "aborted", f"{where}: {said}")
        if any(g.outcome not in record.outcomes for g in step.gives):
            return Observe(step, command)
    return Finish("done", None)


def finished_because(plan: Plan, state: CampaignState) -> str | None:
    """Say why no further experiment is to be started, or None."""
    if reached := target_reached(plan, state):
        return reached
    if state.started >= plan.budget:
        return f"{plan.budget} experiments were started"
    return None


def target_reached(plan: Plan, state: CampaignState) -> str | None:
    """Say which experiment reached every target by its stated uncertainty while feasible, or None."""
    if not plan.targets:
        return None
    for record in state.in_state("done"):
        outcomes = record.outcomes
        if not all(c in outcomes and b.holds(outcomes[c].value) for c, b in plan.outcome_constraints.items()):
            continue
        passed = []
        for name, target in plan.targets.items():
            if name not in outcomes:
                break
            unit = plan.objectives[name].unit
            value = convert(outcomes[name].value, unit, target.unit)
            margin = convert_difference(outcomes[name].uncertainty or 0.0, unit, target.unit)
            if not target.holds(value, margin):
                break
            passed.append(f"{name} {target}")
        else:
            return f"experiment {record.number} reached the target: {', '.join(passed)}"
    return None


def best(plan: Plan, state: CampaignState) -> ExperimentRecord | None:
    """Return the best feasible experiment by the first objective, or None."""
    done = state.in_state("done")
    name, objective = next(iter(plan.objectives.items()))
    index = best_of((name, objective), plan.outcome_constraints, [e.outcomes for e in done])
    return None if index is None else done[index]
