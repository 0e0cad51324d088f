"""The state of a campaign: a fold over the rows of its journal, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from sdl.ledger import (
    CampaignEnded,
    CommandIntended,
    CommandSettled,
    EpochRaised,
    ExperimentFinished,
    ExperimentStarted,
    ObservationRecorded,
    QuestionOpened,
    RoundOpened,
    RoundProposed,
)
from sdl.objective import Estimate
from sdl.planners import History, RoundRecord, Trial
from sdl.space import Candidate

if TYPE_CHECKING:
    from sdl.ledger import Row

ExperimentState = Literal["proposed", "running", "done", "failed", "aborted"]


@dataclass(frozen=True)
class CommandState:
    """A command: what was asked, in which row, and what became of it (None while that is open)."""

    intended: CommandIntended
    seq: int
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
        round: the round that proposed it.
        candidate: its point.
        state: how far it is.
        source: which source carries it out, once started.
        sample: id of its sample, once started.
        commands: step → the last command of the step.
        outcomes: outcome → its valid estimate.
        reason: why it failed, or None.
        started, finished: UTC text, or None.
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

    @property
    def is_blocked(self) -> bool:
        """Whether only a person can say how it goes on."""
        return self.state == "running" and any(c.status == "unknown" for c in self.commands.values())


@dataclass(frozen=True)
class RoundState:
    """A round of the planner: opened, and answered unless `proposed` is None."""

    opened: RoundOpened
    seq: int
    proposed: RoundProposed | None = None


class CampaignState:
    """What the journal says so far. `apply` takes the next row; nothing else changes it."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.epoch = 0
        self.rounds: list[RoundState] = []
        self.experiments: dict[int, ExperimentRecord] = {}
        self.questions: dict[str, QuestionOpened] = {}
        self.ended: CampaignEnded | None = None
        self.last_moment: str | None = None
        self.news = 0
        """How many experiments came to an end since the last round was opened."""
        self._by_command: dict[str, tuple[int, int]] = {}
        for row in rows:
            self.apply(row)

    def apply(self, row: Row) -> None:
        """Take one more row."""
        self.last_moment = row.at
        match row.event:
            case EpochRaised() as event:
                self.epoch = event.epoch
                self.ended = None
            case RoundOpened() as event:
                self.rounds.append(RoundState(event, row.seq))
                self.news = 0
            case RoundProposed() as event:
                self.rounds[-1] = replace(self.rounds[-1], proposed=event)
                for index, values in enumerate(event.candidates):
                    number = event.first + index
                    self.experiments[number] = ExperimentRecord(number, event.round, Candidate(values))
            case ExperimentStarted() as event:
                self._change(
                    event.experiment, state="running", source=event.source, sample=event.sample, started=row.at
                )
            case ExperimentFinished() as event:
                self._change(event.experiment, state=event.state, reason=event.reason, finished=row.at)
                self.news += 1
            case CommandIntended() as event:
                self._by_command[event.command] = (event.experiment, event.step)
                self._command(event.experiment, event.step, CommandState(event, row.seq))
            case CommandSettled() as event:
                experiment, step = self._by_command[event.command]
                command = self.experiments[experiment].commands[step]
                self._command(experiment, step, replace(command, settled=event))
            case ObservationRecorded() as event:
                outcomes = dict(self.experiments[event.experiment].outcomes)
                if event.status == "retracted":
                    outcomes.pop(event.outcome, None)
                else:
                    outcomes[event.outcome] = Estimate(event.value, event.uncertainty)
                self._change(event.experiment, outcomes=outcomes)
            case QuestionOpened() as event:
                self.questions[event.question] = event
            case CampaignEnded() as event:
                self.ended = event
            case _:
                pass  # versions and creation do not bear on what to do next

    def _change(self, number: int, **values: Any) -> None:  # noqa: ANN401  fields of the record
        self.experiments[number] = replace(self.experiments[number], **values)

    def _command(self, number: int, step: int, command: CommandState) -> None:
        self._change(number, commands={**self.experiments[number].commands, step: command})

    @property
    def started(self) -> int:
        """How many experiments were started, whatever became of them."""
        return sum(e.state != "proposed" for e in self.experiments.values())

    def open_commands(self) -> list[CommandState]:
        """Return the commands of which nobody has said yet what became of them, in the order in which they were sent."""
        running = (c for e in self.in_state("running") for c in e.commands.values() if c.status == "open")
        return sorted(running, key=lambda c: c.seq)

    def in_state(self, *states: ExperimentState) -> list[ExperimentRecord]:
        """Return the experiments in one of the states, in order of number."""
        return [e for _, e in sorted(self.experiments.items()) if e.state in states]

    def history(self) -> History:
        """Return what a planner may see; an aborted experiment says nothing of its candidate and is left out."""
        trials = []
        for record in self.in_state("proposed", "running", "done", "failed"):
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
            )
            for r in self.rounds
            if r.proposed is not None
        )
        return History(tuple(trials), rounds)
