"""What to do next: a pure function of the ledger's state, of now, and of which experiments this process works on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sdl.errors import LimitError
from sdl.loop.gain import gain_unlikely
from sdl.loop.loads import Load, WakeAt, in_groups, loads
from sdl.loop.policy import approval_wanted, as_sent, may_go_on
from sdl.loop.spending import affordable, cost_reached
from sdl.objective import DESIRABILITY, best_first, best_result, judged, judged_by, least_desirability, pareto_set
from sdl.planners import round_seed
from sdl.units import convert, convert_difference

if TYPE_CHECKING:
    from sdl.loop.plan import Plan, StepPlan
    from sdl.loop.state import CampaignState, CommandState, ExperimentRecord
    from sdl.objective import Objective, OutcomeConstraint


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


Decision = Propose | Start | Continue | Load | WakeAt | End


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
class Ask:
    """Only a person can say how the experiment goes on.

    Attributes:
        step: which.
        about: `command`, `failure` or `approval`; see `QuestionOpened`.
        command: the one in question, or None where none was sent.
        why: what is known.
    """

    step: StepPlan
    about: Literal["command", "failure", "approval"]
    command: CommandState | None
    why: str


@dataclass(frozen=True)
class Skip:
    """A step that failed is passed over."""

    step: StepPlan
    reason: str


@dataclass(frozen=True)
class Finish:
    """The experiment is over."""

    state: Literal["done", "failed", "aborted"]
    reason: str | None


@dataclass(frozen=True)
class Gather:
    """Wait for the command that the experiment shares with others: until it is sent, or until it is settled."""

    step: StepPlan


@dataclass(frozen=True)
class Fail:
    """The experiment has failed, and steps that clear up come before it is over."""

    reason: str
    ends: Literal["failed", "aborted"] = "failed"


StepDecision = RunStep | Gather | Settle | Observe | Ask | Skip | Fail | Finish


def decide(plan: Plan, state: CampaignState, now: float, live: Collection[int] = ()) -> tuple[Decision, ...]:
    """Return what to do next, in order; empty where there is nothing to do but wait, and while the campaign is paused.

    Args:
        plan: the campaign.
        state: its journal so far.
        now: the present moment; how long a load waits for others depends on it.
        live: experiments that this process is carrying out.
    """
    if state.standing == "paused":
        return ()
    running = state.in_state("running")
    # Those that wait for an instrument first, as they first asked for it, so that queues form again as they were.
    turns = state.turns()
    waiting = sorted(running, key=lambda e: (e.number not in turns, turns.get(e.number, 0), e.number))
    decisions: list[Decision] = [Continue(e.number) for e in waiting if e.number not in live and not e.is_blocked]
    over = finished_because(plan, state)
    proposed = state.in_state("proposed")
    free = plan.concurrency - sum(e.takes_a_turn for e in running)
    left = plan.budget - state.started
    if over is None:
        starts = affordable(plan, state, _supplied(plan, state, proposed[: max(0, min(free, left))]))
        decisions += [Start(e.number) for e in starts]
        wanted = in_groups(plan, min(free, left) - len(starts), left - len(starts))
        if wanted > 0 and len(starts) == len(proposed):
            round_ = _next_round(plan, state, wanted)
            if round_ is not None:
                decisions.append(round_)
    # Who begins now may still join, so loads are looked at when nothing else is left to do.
    if not decisions:
        decisions += loads(plan, state, now, live)
    if decisions or any(not e.is_blocked for e in running):
        return tuple(decisions)
    blocked = [e for e in running if e.is_blocked]
    if blocked:
        numbers = ", ".join(str(e.number) for e in blocked)
        return (End("waiting", f"a person must say how experiment {numbers} goes on; see sdl questions"),)
    return (End("done", over or "every candidate of the pool was tried"),)


def _next_round(plan: Plan, state: CampaignState, wanted: int) -> Propose | None:
    last = state.rounds[-1] if state.rounds else None
    if last is not None and last.is_open:
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


def next_step(plan: Plan, record: ExperimentRecord, approved: Collection[int] = ()) -> StepDecision:
    """Return what an experiment that was started needs next.

    Args:
        plan: the campaign.
        record: the experiment.
        approved: steps that a person has approved in any experiment.
    """
    if record.failing is not None:
        return _clear_up(plan, record, record.failing)
    for step in plan.steps_of(record.source):
        command, decided = record.commands.get(step.index), record.decided.get(step.index)
        if decided == "skip":
            continue
        if command is None or command.status == "not_started" or decided == "retry":
            return _begin(plan, record, step, approved)
        if command.status == "open":
            return _settle(record, step, command)
        if command.status == "aborted":
            # Where a person gave the sample up, the lab is cleared; where everything was aborted, nothing more is sent.
            gave_up = command.settled is not None and command.settled.how == "answered"
            said = _said(step, command)
            return failed(plan, record, said, "aborted") if gave_up else Finish("aborted", said)
        if command.status in {"failed", "unknown"}:
            return _after_failure(plan, record, step, command, approved)
        if any(g.outcome not in record.outcomes for g in step.gives):
            return Observe(step, command)
    return Finish("done", None)


def _begin(plan: Plan, record: ExperimentRecord, step: StepPlan, approved: Collection[int]) -> StepDecision:
    """Return what comes before, or with, a new command."""
    if record.rejected is not None:
        return failed(plan, record, record.rejected, "aborted")
    try:
        why = approval_wanted(step, record, approved)
    except LimitError:
        why = None  # sending it says what is wrong
    if why is not None:
        return Ask(step, "approval", None, why)
    return RunStep(as_sent(step, record)) if step.together is None else Gather(step)


def _settle(record: ExperimentRecord, step: StepPlan, command: CommandState) -> StepDecision:
    """Return what an open command needs; who shares one leaves it to the first of them."""
    return Settle(command) if command.intended.experiment == record.number else Gather(step)


def _after_failure(
    plan: Plan, record: ExperimentRecord, step: StepPlan, command: CommandState, approved: Collection[int]
) -> StepDecision:
    """Return what follows a command that failed, or of which nobody knows what became of it."""
    said = _said(step, command)
    if record.rejected is None and may_go_on(step, record):
        return _begin(plan, record, step, approved)
    if command.status == "unknown":
        return Ask(step, "command", command, said)
    policy = step.if_fails.then
    if record.rejected is None and record.decided.get(step.index) != "fail":
        if policy == "ask":
            return Ask(step, "failure", command, said)
        if policy == "skip":
            return Skip(step, f"{said}; its policy is to skip it")
    if command.settled is not None and (command.settled.interlock or command.settled.refused):
        return failed(plan, record, said, "aborted")  # the lab was not ready: that says nothing of the candidate
    return failed(plan, record, said)


def failed(
    plan: Plan, record: ExperimentRecord, reason: str, ends: Literal["failed", "aborted"] = "failed"
) -> Fail | Finish:
    """Return how an experiment goes on that comes to no good end: where there is something to clear up, that comes first.

    Args:
        plan: the campaign.
        record: the experiment.
        reason: why.
        ends: `failed` teaches the planner; `aborted` (by a person, an interlock or a refusal) says nothing of the candidate.
    """
    clears_up = plan.on_failure_of(record.source) and _is_in_the_lab(plan, record)
    return Fail(reason, ends) if clears_up else Finish(ends, reason)


def _is_in_the_lab(plan: Plan, record: ExperimentRecord) -> bool:
    """Tell whether there is something to clear up: a step before the one that makes the sample in its place leaves nothing."""
    placed = next((step for step in plan.steps_of(record.source) if step.destination is not None), None)
    if placed is not None and placed.action.with_role("place") is None:
        return bool(record.held)
    return record.has_begun


def _clear_up(plan: Plan, record: ExperimentRecord, reason: str) -> StepDecision:
    for step in plan.on_failure_of(record.source):
        command = record.commands.get(step.index)
        if command is None or command.status == "not_started":
            return RunStep(step)
        if command.status == "open":
            return _settle(record, step, command)
        if command.status == "unknown":
            return Ask(step, "command", command, _said(step, command))
        if command.status == "aborted":
            return Finish("aborted", f"{reason}; then {_said(step, command)}")
        if command.status == "failed":
            said = f"{reason}; the sample could not be cleared away: {_said(step, command)}"
            return Finish(record.ends, said)
    return Finish(record.ends, reason)


def _said(step: StepPlan, command: CommandState) -> str:
    settled = command.settled
    said = settled.error if settled is not None and settled.error else command.status
    return f"{command.intended.instrument}.{step.action.name}: {said}"


def finished_because(plan: Plan, state: CampaignState) -> str | None:
    """Say why no further experiment is to be started, or None."""
    if reached := target_reached(plan, state):
        return reached
    if state.started >= plan.budget:
        return f"{plan.budget} experiments were started"
    return gain_unlikely(plan.gain, state) or cost_reached(plan, state) or used_up(plan, state)


def used_up(plan: Plan, state: CampaignState) -> str | None:
    """Say which consumable does not last for the next experiment, or None.

    What every experiment that was begun takes in all counts as used, so that none runs dry on the way.
    """
    for record in state.in_state("proposed")[:1]:
        left = _left(plan, state)
        for name, amount in plan.needs(record.candidate, record.source).items():
            if not _lasts(amount, left[name]):
                unit, there = plan.stock[name].unit, max(left[name], 0.0)
                return f"of '{name}' {there:g} {unit} are left and experiment {record.number} takes {amount:g} {unit}"
    return None


def _left(plan: Plan, state: CampaignState) -> dict[str, float]:
    """Return consumable → what is left of it, in the unit of the stock."""
    left = {name: amount.value for name, amount in plan.stock.items()}
    for record in state.experiments.values() if left else ():
        if record.started is not None:
            for name, amount in plan.needs(record.candidate, record.source).items():
                left[name] -= amount
    return left


def _lasts(amount: float, left: float) -> bool:
    return amount <= left + 1e-9 * amount  # sums of grams are not exact


def _supplied(plan: Plan, state: CampaignState, proposed: list[ExperimentRecord]) -> list[ExperimentRecord]:
    """Return the experiments, from the first, for which the consumables last."""
    left, found = _left(plan, state), []
    for record in proposed:
        needs = plan.needs(record.candidate, record.source) if left else {}
        if not all(_lasts(amount, left[name]) for name, amount in needs.items()):
            break
        for name, amount in needs.items():
            left[name] -= amount
        found.append(record)
    return found


def target_reached(plan: Plan, state: CampaignState) -> str | None:
    """Say which one experiment reached every target by its stated uncertainty while feasible, or None.

    That one experiment reaches one target and another one the other is not enough: what is wanted is a sample with both.
    """
    if not plan.targets:
        return None
    for record in state.counting(plan.others):
        outcomes = judged(plan.objectives, record.outcomes)
        if not all(c in outcomes and b.holds(outcomes[c].value) for c, b in plan.outcome_constraints.items()):
            continue
        passed = []
        for name, target in plan.targets.items():
            if name not in outcomes:
                break
            unit = judged_by(plan.objectives)[name].unit
            value = convert(outcomes[name].value, unit, target.unit)
            least = least_desirability(plan.objectives, outcomes)
            doubt = outcomes[name].uncertainty or 0.0
            if name == DESIRABILITY and least is not None:
                doubt = outcomes[name].value - least
            margin = convert_difference(doubt, unit, target.unit)
            if not target.holds(value, margin):
                break
            passed.append(f"{name} {target}")
        else:
            which = "the target" if len(passed) == 1 else "all targets"
            return f"experiment {record.number} reached {which}: {', '.join(passed)}"
    return None


def best(plan: Plan, state: CampaignState) -> ExperimentRecord | None:
    """Return the best feasible experiment of the target source by the first objective or the joint desirability, or None."""
    done = state.counting(plan.others)
    index = best_result(plan.objectives, plan.outcome_constraints, [e.outcomes for e in done])
    return None if index is None else done[index]


def pareto(
    objectives: Mapping[str, Objective],
    constraints: Mapping[str, OutcomeConstraint],
    state: CampaignState,
    others: Collection[str] = (),
) -> tuple[ExperimentRecord, ...]:
    """Return the feasible experiments that no other one beats in all objectives, the best in the first objective first.

    Args:
        objectives: name → objective.
        constraints: outcome → bounds.
        state: of the campaign.
        others: sources whose results do not count.
    """
    done = state.counting(others)
    results = [e.outcomes for e in done]
    return tuple(done[i] for i in best_first(objectives, results, pareto_set(objectives, constraints, results)))
