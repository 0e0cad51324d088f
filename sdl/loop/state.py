"""The state of a campaign: a fold over the rows of its journal, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from sdl.ledger import (
    CampaignEnded,
    CampaignPaused,
    CampaignResumed,
    CampaignWaiting,
    CandidatesAdded,
    CommandIntended,
    CommandLate,
    CommandSettled,
    ConstraintAdded,
    ConstraintLifted,
    EpochRaised,
    ExperimentFailing,
    ExperimentFinished,
    ExperimentRejected,
    ExperimentStarted,
    ObservationRecorded,
    QuestionAnswered,
    QuestionAskedAgain,
    QuestionOpened,
    RequestSettled,
    RoundOpened,
    RoundProposed,
    SampleCleared,
    StepSkipped,
    VersionRecorded,
)
from sdl.objective import Estimate
from sdl.planners import History, RoundRecord, Trial
from sdl.space import Candidate
from sdl.units import DIMENSIONLESS, convert

if TYPE_CHECKING:
    from sdl.ledger import Row

ExperimentState = Literal["proposed", "running", "done", "failed", "aborted"]


@dataclass(frozen=True)
class CommandState:
    """A command: what was asked, in which row, and what became of it (None while that is open).

    Attributes:
        intended: what was asked.
        seq: the row.
        settled: what became of it, or None.
        turn: the row in which its step first asked for its instrument: what never started is sent anew in its old turn.
    """

    intended: CommandIntended
    seq: int
    turn: int
    settled: CommandSettled | None = None

    @property
    def status(self) -> str:
        """`open`, or the status with which it was settled."""
        return "open" if self.settled is None else self.settled.status


@dataclass(frozen=True)
class ExperimentRecord:
    """An experiment as the journal tells it.

    Attributes:
        number: from 1.
        round: the round that proposed it; 0 for a person.
        candidate: its point.
        state: how far it is.
        source: which source carries it out; before the start it may be none of the campaign's, which means the target.
        sample: id of its sample, once started.
        commands: step → the last command of the step.
        outcomes: outcome → its valid estimate.
        reason: why it failed, or None.
        started, finished: UTC text, or None.
        failing: why it has failed, while the steps that follow a failure are still to be done; or None.
        touched: UTC text of the last row that changed it.
        held: the places where its sample holds room; the last is where it is.
        is_made: whether its sample, or what became of it half-way, is in the lab; while it is not, the room is only kept for it.
        ends: how it ends once `failing` is cleared up.
        asked: id of the open question that it waits for, or None.
        attempts: step → how many of its commands failed, or nobody knows what became of them.
        decided: step → what a person, or its policy, said after a failure: `retry`, `skip` or `fail`.
        approved: steps that a person approved.
        rejected: why a person gave it up, while it still runs; or None.
        retracted: outcomes that no longer count.
        cost: what it costs, once started, or None where no cost is stated.
        cost_unit: unit of that.
    """

    number: int
    round: int
    candidate: Candidate
    state: ExperimentState = "proposed"
    source: str = "default"
    sample: str = ""
    commands: Mapping[int, CommandState] = field(default_factory=dict)
    outcomes: Mapping[str, Estimate] = field(default_factory=dict)
    reason: str | None = None
    started: str | None = None
    finished: str | None = None
    failing: str | None = None
    touched: str = ""
    held: tuple[str, ...] = ()
    is_made: bool = False
    ends: Literal["failed", "aborted"] = "failed"
    asked: str | None = None
    attempts: Mapping[int, int] = field(default_factory=dict)
    decided: Mapping[int, str] = field(default_factory=dict)
    approved: frozenset[int] = frozenset()
    rejected: str | None = None
    retracted: frozenset[str] = frozenset()
    cost: float | None = None
    cost_unit: str = DIMENSIONLESS

    @property
    def has_begun(self) -> bool:
        """Whether something of it is in the lab: its sample has a place or, where the lab names none, a command was sent."""
        if any(c.intended.destination is not None for c in self.commands.values()):
            return bool(self.held)
        return any(c.status not in {"open", "not_started"} for c in self.commands.values())

    @property
    def is_blocked(self) -> bool:
        """Whether only a person can say how it goes on."""
        return self.state == "running" and self.asked is not None

    @property
    def takes_a_turn(self) -> bool:
        """Whether it counts among those that run at once: one of whose command nobody knows leaves its turn to others."""
        lost = self.is_blocked and any(c.status == "unknown" for c in self.commands.values())
        return self.state == "running" and not lost


@dataclass(frozen=True)
class RoundState:
    """A round of the planner: opened, answered unless `proposed` is None; `is_void` where the campaign changed before that."""

    opened: RoundOpened
    seq: int
    proposed: RoundProposed | None = None
    is_void: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the planner's answer is still to come."""
        return self.proposed is None and not self.is_void


class CampaignState:
    """What the journal says so far. `apply` takes the next row; nothing else changes it."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.epoch = 0
        self.seq = 0
        """Of the last row that is known."""
        self.rounds: list[RoundState] = []
        self.experiments: dict[int, ExperimentRecord] = {}
        self.questions: dict[str, QuestionOpened] = {}
        self.answers: dict[str, QuestionAnswered] = {}
        self.asked_again: dict[str, QuestionAskedAgain] = {}
        self.requests: dict[int, RequestSettled] = {}
        self.late: dict[str, CommandLate] = {}
        """Command id → the row that says that it was late."""
        self.constraints: dict[str, ConstraintAdded] = {}
        """Constraints that people added and that are in force, by their text, in the order in which they were added."""
        self.approved: set[int] = set()
        """Steps that a person approved in any experiment."""
        self.standing: Literal["running", "paused", "waiting"] = "running"
        """How the campaign stands while a process lives."""
        self.ended: CampaignEnded | None = None
        self.last_moment: str | None = None
        self.news = 0
        """How many experiments came to an end since the last round was opened."""
        self.turned = 0
        """The row that last changed what earlier rounds were asked, or knew: a new version, a constraint lifted, an observation
        retracted or corrected."""
        self._by_command: dict[str, list[tuple[int, int]]] = {}
        self._now = ""
        for row in rows:
            self.apply(row)

    def apply(self, row: Row) -> None:
        """Take one more row."""
        self.last_moment = self._now = row.at
        self.seq = row.seq
        match row.event:
            case EpochRaised() as event:
                self.epoch = event.epoch
                self.ended = None
                self.standing = "running"
            case RoundOpened() as event:
                self.rounds.append(RoundState(event, row.seq))
                self.news = 0
            case RoundProposed() as event:
                self.rounds[-1] = replace(self.rounds[-1], proposed=event)
                for index, values in enumerate(event.candidates):
                    number = event.first + index
                    source = event.sources[index] if event.sources else "default"
                    self.experiments[number] = ExperimentRecord(number, event.round, Candidate(values), source=source)
            case CandidatesAdded() as event:
                for index, values in enumerate(event.candidates):
                    number = event.first + index
                    self.experiments[number] = ExperimentRecord(number, 0, Candidate(values))
            case ExperimentRejected() as event:
                said = f"rejected by {event.by}{': ' + event.reason if event.reason else ''}"
                if self.experiments[event.experiment].state == "proposed":
                    self._change(event.experiment, state="aborted", reason=said, finished=row.at)
                else:
                    self._change(event.experiment, rejected=said)
            case ExperimentStarted() as event:
                self._change(
                    event.experiment,
                    state="running",
                    source=event.source,
                    sample=event.sample,
                    started=row.at,
                    cost=event.cost,
                    cost_unit=event.cost_unit,
                )
            case ExperimentFailing() as event:
                self._change(event.experiment, failing=event.reason, ends=event.ends)
            case ExperimentFinished() as event:
                self._change(event.experiment, state=event.state, reason=event.reason, finished=row.at)
                self.news += 1
            case CommandIntended() as event:
                shared = [(event.experiment, event.step), *((m[0], m[1]) for m in event.members)]
                self._by_command[event.command] = shared
                for experiment, step in shared:
                    before = self.experiments[experiment].commands.get(step)
                    turn = before.turn if before is not None and before.status == "not_started" else row.seq
                    self._command(experiment, step, CommandState(event, row.seq, turn))
                    self._decide(experiment, step, None)
                    if event.destination is not None:
                        held = self.experiments[experiment].held
                        self._change(experiment, held=(event.destination, *held))
            case CommandLate() as event:
                self.late[event.command] = event
            case CommandSettled() as event:
                for experiment, step in self._sharing(event.command):
                    record = self.experiments[experiment]
                    settled = _of_sample(event, record.sample)
                    self._command(experiment, step, replace(record.commands[step], settled=settled))
                    if settled.status in {"failed", "unknown"}:
                        self._change(experiment, attempts=_counted(record.attempts, step))
                    self._moved(experiment, record.commands[step].intended.destination, event)
            case ObservationRecorded() as event:
                outcomes = dict(self.experiments[event.experiment].outcomes)
                retracted = self.experiments[event.experiment].retracted - {event.outcome}
                if event.status == "retracted":
                    outcomes.pop(event.outcome, None)
                    retracted |= {event.outcome}
                else:
                    outcomes[event.outcome] = Estimate(event.value, event.uncertainty)
                self._change(event.experiment, outcomes=outcomes, retracted=retracted)
                if event.status == "retracted" or event.supersedes is not None:
                    self.turned = row.seq
            case StepSkipped() as event:
                self._decide(event.experiment, event.step, "skip")
            case SampleCleared() as event:
                self._change(event.experiment, held=(), is_made=False)
            case QuestionOpened() as event:
                self.questions[event.question] = event
                for experiment in self._concerned(event):
                    self._change(experiment, asked=event.question)
            case QuestionAskedAgain() as event:
                self.asked_again[event.question] = event
            case QuestionAnswered() as event:
                self._answered(event)
            case RequestSettled() as event:
                self.requests[event.request] = event
            case CampaignPaused():
                self.standing = "paused"
            case CampaignWaiting():
                self.standing = "waiting"
            case CampaignResumed():
                self.standing = "running"
            case CampaignEnded() as event:
                self.ended = event
            case ConstraintAdded() as event:
                self.constraints[event.constraint] = event
            case ConstraintLifted() as event:
                self.constraints.pop(event.constraint, None)
                self.turned = row.seq
            case VersionRecorded() as event if event.version > 1:
                # What was asked of the planner is no question of the new version: it is asked anew, in a round of its own.
                if self.rounds and self.rounds[-1].is_open:
                    self.rounds[-1] = replace(self.rounds[-1], is_void=True)
                self.approved.clear()  # the same number may be another step now
                self.turned = row.seq
                self.news += 1
            case _:
                pass  # creation does not bear on what to do next

    def _change(self, number: int, **values: Any) -> None:  # noqa: ANN401  fields of the record
        self.experiments[number] = replace(self.experiments[number], touched=self._now, **values)

    def _decide(self, number: int, step: int, what: str | None) -> None:
        decided = {k: v for k, v in self.experiments[number].decided.items() if k != step}
        self._change(number, decided=decided if what is None else {**decided, step: what})

    def _concerned(self, question: QuestionOpened) -> list[int]:
        """Return the experiments that wait for an answer; an action that asks is under way, and its experiment with it."""
        if question.about == "form":
            return []
        sharing = self.members(question.command) if question.about == "command" else []
        return [n for n in sharing or [question.experiment] if n in self.experiments]

    def _answered(self, event: QuestionAnswered) -> None:
        question = self.questions[event.question]
        self.answers[event.question] = event
        for number in self._concerned(question):
            self._change(number, asked=None)
        if question.step is None:
            return
        if question.about == "approval" and event.answer == "approve":
            record = self.experiments[question.experiment]
            self._change(record.number, approved=record.approved | {question.step})
            self.approved.add(question.step)
        elif question.about == "failure" and event.answer in {"retry", "skip", "fail"}:
            self._decide(question.experiment, question.step, event.answer)

    def open_questions(self) -> list[QuestionOpened]:
        """Return the questions that nobody has answered yet, in the order in which they were asked."""
        return [q for key, q in self.questions.items() if key not in self.answers]

    def question_of(self, command: str) -> QuestionOpened | None:
        """Return the open question about what became of a command, or None."""
        return next((q for q in self.open_questions() if q.about == "command" and q.command == command), None)

    def _moved(self, number: int, destination: str | None, event: CommandSettled) -> None:
        if destination is None or event.status == "unknown":
            return
        held = self.experiments[number].held
        # A step that makes the sample and ends half-way leaves something where it was to be made.
        half_made = len(held) == 1 and event.status in {"failed", "aborted"} and event.started is not None
        if event.status == "succeeded" or half_made:
            self._change(number, held=(destination,), is_made=True)
        else:
            self._change(number, held=held[1:])

    def _command(self, number: int, step: int, command: CommandState) -> None:
        self._change(number, commands={**self.experiments[number].commands, step: command})

    @property
    def started(self) -> int:
        """How many experiments were started, whatever became of them."""
        return sum(e.started is not None for e in self.experiments.values())

    def spent(self, unit: str) -> float:
        """Return what all experiments that were started cost, whatever became of them, in a unit."""
        known = [(e.cost, e.cost_unit) for _, e in sorted(self.experiments.items())]
        return sum(convert(cost, own, unit) for cost, own in known if cost is not None)

    def counting(self, others: Collection[str] = ()) -> list[ExperimentRecord]:
        """Return the experiments that are done and whose results count as results, in order of number.

        Args:
            others: sources whose results only help to find the best, such as a simulation.
        """
        return [e for e in self.in_state("done") if e.source not in others]

    def members(self, command: str) -> list[int]:
        """Return the experiments that share a command, in the order of its samples; mostly one.

        Those that have sent a newer command for the step since are left out: the old one says nothing of them any more.
        """
        return [number for number, _ in self._sharing(command)]

    def _sharing(self, command: str) -> list[tuple[int, int]]:
        """Return (experiment, step) of everybody for whom a command is the last one of the step."""
        sharing = self._by_command.get(command, [])
        return [(n, i) for n, i in sharing if self.experiments[n].commands[i].intended.command == command]

    def open_commands(self) -> list[CommandState]:
        """Return the commands of which nobody has said yet what became of them, in the order in which they were sent."""
        return self._commands_in("open")

    def turns(self) -> dict[int, int]:
        """Return running experiment → the row in which it first asked for the instrument that it still waits for or uses."""
        return {
            e.number: min(asked)
            for e in self.in_state("running")
            if (asked := [c.turn for c in e.commands.values() if c.status in {"open", "not_started"}])
        }

    def lost_commands(self) -> list[CommandState]:
        """Return the commands of which nobody knows what became of them, in the order in which they were sent."""
        return self._commands_in("unknown")

    def _commands_in(self, status: str) -> list[CommandState]:
        found = {
            c.intended.command: c for e in self.in_state("running") for c in e.commands.values() if c.status == status
        }
        return sorted(found.values(), key=lambda c: c.seq)

    def in_state(self, *states: ExperimentState) -> list[ExperimentRecord]:
        """Return the experiments in one of the states, in order of number."""
        return [e for _, e in sorted(self.experiments.items()) if e.state in states]

    def history(self) -> History:
        """Return what a planner may see.

        An aborted experiment says nothing of its candidate, nor does one with a retracted observation: both are left out.
        """
        trials = []
        for record in self.in_state("proposed", "running", "done", "failed"):
            if record.retracted:
                continue
            state: Literal["pending", "done", "failed"] = "pending"
            if record.state in {"done", "failed"}:
                state = "done" if record.state == "done" else "failed"
            trials.append(
                Trial(
                    record.number, record.candidate, record.source, state, record.outcomes if state != "pending" else {}
                )
            )
        rounds = tuple(
            RoundRecord(
                r.opened.round,
                r.opened.seed,
                tuple(Candidate(c) for c in r.proposed.candidates),
                r.proposed.diagnostics,
                tuple(r.proposed.sources),
            )
            for r in self.rounds
            if r.proposed is not None
        )
        unit = next((e.cost_unit for _, e in sorted(self.experiments.items()) if e.cost is not None), DIMENSIONLESS)
        return History(tuple(trials), rounds, self.spent(unit), unit)


def _counted(attempts: Mapping[int, int], step: int) -> dict[int, int]:
    return {**attempts, step: attempts.get(step, 0) + 1}


def _of_sample(event: CommandSettled, sample: str) -> CommandSettled:
    """Return what became of a command for one of its samples."""
    if event.status != "succeeded" or sample not in event.failed_samples:
        return event
    return replace(event, status="failed", error=event.failed_samples[sample])
