"""What a journal row can say. A row is written once and never changed; everything else is a projection of the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

Json = dict[str, Any]


def canonical(data: Any) -> str:  # noqa: ANN401  any JSON
    """Return JSON in the one spelling that is hashed; keys stay in their order, which is that of the user's file.

    Half a surrogate pair, which is no text (a broken byte in what an instrument said), becomes U+FFFD: a result must
    not be lost because of the words that came with it.

    Raises:
        ValueError: NaN or infinity, which JSON does not know.
        TypeError: what JSON cannot hold.
    """
    return _HALVES.sub("\ufffd", json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False))


_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Event:
    """Base of all rows' contents."""

    kind: ClassVar[str]

    def body(self) -> Json:
        """Return the row's body as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class CampaignCreated(Event):
    """The campaign exists from here on.

    Attributes:
        seed: of everything the planner draws.
        settings: what changes the course of the campaign and does not stand in the file (engine, clock, simulate).
        id: random, for lab servers: two homes may have a campaign of one name. Empty in rows from before there were any.
    """

    kind: ClassVar[str] = "campaign.created"
    seed: int
    settings: Json
    id: str = ""

    def body(self) -> Json:
        """Return the row's body as JSON data; a row without an id reads back as it was written."""
        body = super().body()
        return body if self.id else {k: v for k, v in body.items() if k != "id"}


@dataclass(frozen=True)
class VersionRecorded(Event):
    """A version of the campaign: its exact text and every file that it refers to, by hash.

    Attributes:
        version: from 1.
        digest: SHA-256 over all that makes the version.
        text: the campaign file as it was.
        data: what was read from it, with overrides applied.
        overrides: `path=value` from the command line.
        files: key → SHA-256; the bytes lie among the artefacts.
    """

    kind: ClassVar[str] = "campaign.version"
    version: int
    digest: str
    text: str
    data: Json
    overrides: list[str]
    files: Mapping[str, str]


@dataclass(frozen=True)
class EpochRaised(Event):
    """A process took the campaign over.

    Attributes:
        epoch: from 1; commands of older ones are refused.
        pid: of the process.
        host: its machine.
        environment: versions of everything that takes part, machine type, instruments and whether they are simulated.
    """

    kind: ClassVar[str] = "epoch.raised"
    epoch: int
    pid: int
    host: str
    environment: Json


@dataclass(frozen=True)
class RoundOpened(Event):
    """The planner is about to be asked; a proposal is a pure function of the rows up to this one.

    Attributes:
        round: from 1.
        count: how many candidates are asked for.
        seed: of the round.
    """

    kind: ClassVar[str] = "round.opened"
    round: int
    count: int
    seed: int


@dataclass(frozen=True)
class RoundProposed(Event):
    """The planner's answer.

    Attributes:
        round: which round.
        planner: name.
        candidates: parameter → value, in the order in which they are to be started.
        first: number of the first experiment made of them.
        diagnostics: the planner's own record.
        environment: library versions and machine type, for a later recomputation.
        seconds: CPU seconds that the planner took.
    """

    kind: ClassVar[str] = "round.proposed"
    round: int
    planner: str
    candidates: list[Json]
    first: int
    diagnostics: Json
    environment: Json
    seconds: float


@dataclass(frozen=True)
class ExperimentStarted(Event):
    """A candidate begins to be carried out.

    Attributes:
        experiment: its number, from 1.
        source: which source carries it out.
        sample: id of the sample that is made for it.
    """

    kind: ClassVar[str] = "experiment.started"
    experiment: int
    source: str
    sample: str


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
class CandidatesAdded(Event):
    """A person proposes: experiments that no planner's round made.

    Attributes:
        candidates: parameter → value.
        first: number of the first experiment made of them.
        by: who.
        reason: why, may be empty.
    """

    kind: ClassVar[str] = "candidates.added"
    candidates: list[Json]
    first: int
    by: str
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


@dataclass(frozen=True)
class RequestSettled(Event):
    """What came of a request that a person made from elsewhere; the rows that it led to stand in the same transaction.

    Attributes:
        request: id in the inbox.
        what: kind of the request.
        by: who asked.
        outcome: `done`, or `refused` because it did not fit (any more).
        said: what the person is told.
    """

    kind: ClassVar[str] = "request.settled"
    request: int
    what: str
    by: str
    outcome: Literal["done", "refused"]
    said: str


@dataclass(frozen=True)
class ModelVersionRecorded(Event):
    """A version of a surrogate.

    Attributes:
        model: name.
        version: from 1.
        digest: SHA-256 of its content.
        gates: gate → whether it passed, with the figures.
    """

    kind: ClassVar[str] = "model.version"
    model: str
    version: int
    digest: str
    gates: Json = field(default_factory=dict)


@dataclass(frozen=True)
class CampaignPaused(Event):
    """Nothing new is started until a person says so; commands under way come to their end.

    Attributes:
        by: who.
        reason: why, may be empty.
    """

    kind: ClassVar[str] = "campaign.paused"
    by: str
    reason: str


@dataclass(frozen=True)
class CampaignWaiting(Event):
    """The process lives, and there is nothing left to do before a person answers or acts.

    Attributes:
        reason: what for.
    """

    kind: ClassVar[str] = "campaign.waiting"
    reason: str


@dataclass(frozen=True)
class CampaignResumed(Event):
    """A campaign that was paused, or waited, goes on.

    Attributes:
        by: who.
        reason: why, may be empty.
    """

    kind: ClassVar[str] = "campaign.resumed"
    by: str
    reason: str


@dataclass(frozen=True)
class CampaignEnded(Event):
    """The process lets the campaign go.

    Attributes:
        state: `done`, `stopped` (by a person, can go on), `waiting` (for a person), or `failed`.
        reason: in words.
    """

    kind: ClassVar[str] = "campaign.ended"
    state: Literal["done", "stopped", "waiting", "failed"]
    reason: str


EVENTS: dict[str, type[Event]] = {
    e.kind: e
    for e in (
        CampaignCreated,
        VersionRecorded,
        EpochRaised,
        RoundOpened,
        RoundProposed,
        CandidatesAdded,
        ExperimentStarted,
        ExperimentRejected,
        CommandIntended,
        CommandLate,
        CommandSettled,
        StepSkipped,
        AnalysisRecorded,
        ObservationRecorded,
        ExperimentFailing,
        ExperimentFinished,
        SampleCleared,
        QuestionOpened,
        QuestionAskedAgain,
        QuestionAnswered,
        RequestSettled,
        ModelVersionRecorded,
        CampaignPaused,
        CampaignWaiting,
        CampaignResumed,
        CampaignEnded,
    )
}


def event_of(kind: str, body: Mapping[str, Any]) -> Event:
    """Return a row's content as an object.

    Raises:
        KeyError: an unknown kind.
        TypeError: a body that does not fit.
    """
    return EVENTS[kind](**body)
