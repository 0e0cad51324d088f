"""Rows about experiments: their commands, what is learned from them, and what people are asked and say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sdl.ledger.event import Event, Json


@dataclass(frozen=True)
class ExperimentStarted(Event):
    """A candidate begins to be carried out.

    Attributes:
        experiment: its number, from 1.
        source: which source carries it out.
        sample: id of the sample that is made for it.
        cost: what it costs by the campaign's own statement, or None where none is made.
        cost_unit: unit of that.
    """

    kind: ClassVar[str] = "experiment.started"
    experiment: int
    source: str
    sample: str
    cost: float | None = None
    cost_unit: str = "dimensionless"

    def body(self) -> Json:
        """Return the row's body as JSON data; a row without a cost reads back as it was written."""
        body = super().body()
        return body if self.cost is not None else {k: v for k, v in body.items() if not k.startswith("cost")}


@dataclass(frozen=True)
class CommandIntended(Event):
    """A command will be sent; committed before it is.

    Attributes:
        command: random id.
        experiment, step: what it belongs to.
        instrument, action, arguments, samples, occurrence: what is asked.
        digest: SHA-256 over instrument, action and arguments.
        epoch: of the process that asks.
        members: (experiment, step) of every other experiment that shares the command, in the order of the samples.
        destination: the place where the samples are afterwards, or None where they stay.
    """

    kind: ClassVar[str] = "command.intended"
    command: str
    experiment: int
    step: int
    instrument: str
    action: str
    arguments: Json
    samples: list[str]
    occurrence: int
    digest: str
    epoch: int
    members: list[list[int]] = field(default_factory=list)
    destination: str | None = None


@dataclass(frozen=True)
class CommandSettled(Event):
    """What became of a command.

    Attributes:
        command: its id.
        status: `succeeded`, `failed`, `aborted`, `unknown`, or `not_started` (and it can no longer start).
        values: result in the action's units.
        artefacts: name, sha256, size, media_type of each.
        error: in words, or None.
        started, finished: UTC text, or None.
        duration: seconds by the monotonic clock, or None.
        simulated: whether a simulation produced it.
        how: `reply`; `reconciled` where the instrument was asked after a crash; `answered` where a person said it.
        failed_samples: sample → what went wrong with it alone.
        interlock: whether an interlock of the lab denied or stopped it: that says nothing of the candidate.
        refused: whether lab or instrument refused it before anything happened: that says nothing of the candidate either.
    """

    kind: ClassVar[str] = "command.settled"
    command: str
    status: Literal["succeeded", "failed", "aborted", "unknown", "not_started"]
    values: Json
    artefacts: list[Json]
    error: str | None
    started: str | None
    finished: str | None
    duration: float | None
    simulated: bool
    how: Literal["reply", "reconciled", "answered"] = "reply"
    failed_samples: Mapping[str, str] = field(default_factory=dict)
    interlock: bool = False
    refused: bool = False


@dataclass(frozen=True)
class CommandLate(Event):
    """A command takes longer than its late limit; recorded once, before it is known what becomes of it.

    Attributes:
        command: its id.
        expected: seconds that it should have taken.
        limit: seconds after which it counts as late.
        started: UTC text of the moment from which they count.
    """

    kind: ClassVar[str] = "command.late"
    command: str
    expected: float
    limit: float
    started: str


@dataclass(frozen=True)
class AnalysisRecorded(Event):
    """An analysis looked at a command's raw data; its observations follow in the same transaction.

    Attributes:
        analysis: id, `EXPERIMENT.STEP.N`.
        experiment, step: what it belongs to.
        command: whose raw data it looked at.
        name: as in the protocol's `analysis:`.
        status: `succeeded`, `refused` (the data do not support a value) or `failed` (the analysis itself broke).
        artefacts: name and sha256 of everything that it was given.
        fields: field → value, uncertainty, lower, upper (None where not stated) and unit; also of fields that are no outcome.
        flags: what a person should know before trusting the values.
        diagnostics: name → number, None where it came out as none (NaN, infinity).
        figure: name, sha256, size, media_type of the data of its figure, or None.
        environment: library versions and machine type.
        error: why it refused or failed, or why its figure could not be kept; else None.
    """

    kind: ClassVar[str] = "analysis.recorded"
    analysis: str
    experiment: int
    step: int
    command: str
    name: str
    status: Literal["succeeded", "refused", "failed"]
    artefacts: list[Json]
    fields: dict[str, Json]
    flags: list[str]
    diagnostics: dict[str, float | None]
    figure: Json | None
    environment: Json
    error: str | None = None


@dataclass(frozen=True)
class ObservationRecorded(Event):
    """An outcome's value; never changed, only superseded.

    Attributes:
        observation: id, `EXPERIMENT.OUTCOME.N`.
        experiment: which experiment.
        outcome: name.
        value, uncertainty: in `unit`; the standard uncertainty may be unknown.
        unit: the outcome's declared unit.
        source: which source it comes from.
        status: `valid`, `flagged` (it counts like a valid one, and a person should look before trusting it) or
            `retracted` (it no longer counts).
        command: which command it comes from.
        supersedes: id of the observation whose place it takes, or None.
        lower, upper: ends of the 95 % interval in `unit`, or None where none was stated.
        flags: what a person should know before trusting the value, in words.
        analysis: id of the analysis that gave it, or None where the instrument itself did.
    """

    kind: ClassVar[str] = "observation.recorded"
    observation: str
    experiment: int
    outcome: str
    value: float
    uncertainty: float | None
    unit: str
    source: str
    status: Literal["valid", "flagged", "retracted"]
    command: str
    supersedes: str | None = None
    # Rows written before these were known read back as what they said: nothing of the kind.
    lower: float | None = None
    upper: float | None = None
    flags: list[str] = field(default_factory=list)
    analysis: str | None = None


@dataclass(frozen=True)
class ExperimentFailing(Event):
    """An experiment has failed; the steps that follow a failure come before it is finished.

    Attributes:
        experiment: its number.
        reason: why.
        ends: `failed`, or `aborted` where a person gave it up, which says nothing of the candidate.
    """

    kind: ClassVar[str] = "experiment.failing"
    experiment: int
    reason: str
    ends: Literal["failed", "aborted"] = "failed"


@dataclass(frozen=True)
class ExperimentFinished(Event):
    """An experiment came to its end; `failed` is data too.

    Attributes:
        experiment: its number.
        state: `done`, `failed` (which teaches the planner), or `aborted` (by a person: says nothing of the candidate).
        reason: why it failed or was aborted, or None.
    """

    kind: ClassVar[str] = "experiment.finished"
    experiment: int
    state: Literal["done", "failed", "aborted"]
    reason: str | None = None


@dataclass(frozen=True)
class QuestionOpened(Event):
    """Something that only a person can settle.

    Attributes:
        question: id.
        about: `command` (nobody knows what became of it), `failure` (it failed, and a person shall say how to go on) or
            `approval` (a step that is not sent before a person agrees).
        experiment, command: what it is about; no command where none was sent yet.
        text: what is known and what is asked.
        step: which step, or None in rows written before that was recorded.
        answers: what can be answered.
        fields: what `done` must tell: name, kind, unit, lower, upper (None for no limit), choices and required of each.
        asker: the process that asks: user@machine, process.
        asked, expires: UTC text of the clock on the wall, by which people live.
    """

    kind: ClassVar[str] = "question.opened"
    question: str
    about: str
    experiment: int
    command: str
    text: str
    step: int | None = None
    answers: list[str] = field(default_factory=list)
    fields: list[Json] = field(default_factory=list)
    asker: str | None = None
    asked: str | None = None
    expires: str | None = None


@dataclass(frozen=True)
class QuestionAskedAgain(Event):
    """A question expired without an answer. That changes nothing: it is asked again, louder.

    Attributes:
        question: id.
        times: how often it was asked by now.
        expires: UTC text of the clock on the wall.
    """

    kind: ClassVar[str] = "question.asked_again"
    question: str
    times: int
    expires: str


@dataclass(frozen=True)
class QuestionAnswered(Event):
    """A person answered; what follows from it stands in the rows of the same transaction.

    Attributes:
        question: id.
        answer: one of the question's answers.
        values: the command's result in the action's units, where the answer is `done`.
        by: who.
        reason: why, in the person's words; may be empty.
    """

    kind: ClassVar[str] = "question.answered"
    question: str
    answer: str
    values: Json
    by: str
    reason: str


@dataclass(frozen=True)
class StepSkipped(Event):
    """A step that failed is passed over, and the experiment goes on.

    Attributes:
        experiment, step: which.
        reason: what had failed, and who or what says that it may be skipped.
    """

    kind: ClassVar[str] = "step.skipped"
    experiment: int
    step: int
    reason: str


@dataclass(frozen=True)
class ExperimentRejected(Event):
    """A person does not want an experiment: it never starts, or it ends as aborted after the step that it is at.

    Attributes:
        experiment: its number.
        by: who.
        reason: why.
    """

    kind: ClassVar[str] = "experiment.rejected"
    experiment: int
    by: str
    reason: str


@dataclass(frozen=True)
class SampleCleared(Event):
    """A person took a sample away: the room that it held is free.

    Attributes:
        experiment: whose sample.
        sample: id.
        by: who.
        reason: why.
    """

    kind: ClassVar[str] = "sample.cleared"
    experiment: int
    sample: str
    by: str
    reason: str
