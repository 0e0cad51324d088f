"""Project a journal row into the tables; the same function serves the running campaign and `verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, update

from sdl.errors import LedgerError
from sdl.ledger import tables as t
from sdl.ledger.events import (
    AnalysisRecorded,
    CampaignCreated,
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
    Event,
    ExperimentFailing,
    ExperimentFinished,
    ExperimentRejected,
    ExperimentStarted,
    ModelVersionRecorded,
    ObservationRecorded,
    QuestionAnswered,
    QuestionAskedAgain,
    QuestionOpened,
    RequestSettled,
    ResultsTold,
    RoundOpened,
    RoundProposed,
    SampleCleared,
    StepSkipped,
    VersionRecorded,
    canonical,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection, Executable, Table


def project(connection: Connection, campaign: str, seq: int, at: str, event: Event) -> None:
    """Bring the projections up to date with one row, in the transaction that writes the row.

    Raises:
        LedgerError: the row speaks of something that no earlier row recorded, so that it would vanish without a trace.
    """
    for statement, values in _changes(campaign, seq, at, event):
        result = connection.execute(statement, values)
        if statement in _MUST_FIND and result.rowcount == 0:
            raise LedgerError(
                f"row {seq} of campaign '{campaign}' ({event.kind}) speaks of something that no earlier row recorded; "
                "a row can only follow those that it builds on"
            )


# Statements are made once and given their values when they are executed: a row then costs a fraction. Names of
# parameters that choose a row begin with `of_`; all others are columns that are set.


def _chosen(table: Table, *columns: str) -> list[ColumnElement[bool]]:
    return [table.c[name] == bindparam(f"of_{name}") for name in columns]


_CAMPAIGN = update(t.campaigns).where(*_chosen(t.campaigns, "name"))
_ROUND = update(t.rounds).where(*_chosen(t.rounds, "campaign", "round"))
_EXPERIMENT = update(t.experiments).where(*_chosen(t.experiments, "campaign", "number"))
_COMMAND = update(t.commands).where(*_chosen(t.commands, "campaign", "id"))
_STEP = update(t.steps).where(*_chosen(t.steps, "campaign", "command"))
_STEP_OF = update(t.steps).where(*_chosen(t.steps, "campaign", "experiment", "step"))
_PROPOSED = update(t.experiments).where(
    *_chosen(t.experiments, "campaign", "number"), t.experiments.c.state == "proposed"
)
_QUESTION = update(t.questions).where(*_chosen(t.questions, "campaign", "id"))
_DROP_STEP = delete(t.steps).where(*_chosen(t.steps, "campaign", "experiment", "step"))
_DROP_ARTEFACTS = delete(t.artefacts).where(*_chosen(t.artefacts, "campaign", "command"))
_ADD = {table.name: insert(table) for table in t.PROJECTIONS}

_MUST_FIND = frozenset({_CAMPAIGN, _ROUND, _EXPERIMENT, _COMMAND, _QUESTION})

_Change = tuple["Executable", dict[str, Any]]


def _changes(campaign: str, seq: int, at: str, event: Event) -> Iterator[_Change]:
    """Yield what a row changes: statements with their values."""
    match event:
        case CampaignCreated():
            yield _add(
                t.campaigns,
                name=campaign,
                created=at,
                seed=event.seed,
                settings=canonical(event.settings),
                version=0,
                epoch=0,
                state="created",
            )
        case VersionRecorded():
            yield _add(
                t.versions,
                campaign=campaign,
                version=event.version,
                digest=event.digest,
                text=event.text,
                data=canonical(event.data),
                overrides=canonical(event.overrides),
                files=canonical(dict(event.files)),
            )
            yield _campaign(campaign, version=event.version)
        case EpochRaised():
            yield _campaign(campaign, epoch=event.epoch, pid=event.pid, host=event.host, state="running", reason=None)
        case RoundOpened():
            yield _add(
                t.rounds,
                campaign=campaign,
                round=event.round,
                count=event.count,
                seed=str(event.seed),
                opened_seq=seq,
            )
        case RoundProposed():
            yield from _proposed(campaign, event)
        case ExperimentStarted():
            values = {"state": "running", "source": event.source, "sample": event.sample, "started": at}
            yield _experiment(campaign, event.experiment, **values)
        case ExperimentFailing():
            yield _experiment(campaign, event.experiment, reason=event.reason)
        case ExperimentFinished():
            yield _experiment(campaign, event.experiment, state=event.state, reason=event.reason, finished=at)
        case CommandIntended():
            yield from _intended(campaign, event)
        case CommandSettled():
            yield from _settled(campaign, event)
        case ObservationRecorded():
            body = {k: v for k, v in event.body().items() if k != "observation"}
            body["flags"] = canonical(event.flags)
            yield _add(t.observations, campaign=campaign, id=event.observation, **body)
        case AnalysisRecorded():
            yield _analysed(campaign, event)
        case QuestionOpened() | QuestionAskedAgain() | QuestionAnswered():
            yield _asked(campaign, at, event)
        case CandidatesAdded():
            for index, candidate in enumerate(event.candidates):
                yield _candidate(campaign, event.first + index, 0, candidate)
        case ExperimentRejected():
            # One that runs ends by a row of its own.
            values = {"state": "aborted", "reason": event.reason, "finished": at}
            yield _PROPOSED, {"of_campaign": campaign, "of_number": event.experiment, **values}
        case StepSkipped():
            key = {"of_campaign": campaign, "of_experiment": event.experiment, "of_step": event.step}
            yield _STEP_OF, {**key, "state": "skipped"}
        case CampaignPaused():
            yield _campaign(campaign, state="paused", reason=event.reason or None)
        case CampaignWaiting():
            yield _campaign(campaign, state="waiting", reason=event.reason)
        case CampaignResumed():
            yield _campaign(campaign, state="running", reason=None)
        case (
            RequestSettled() | SampleCleared() | CommandLate() | ResultsTold() | ConstraintAdded() | ConstraintLifted()
        ):
            pass  # nothing of it stands in a table
        case ModelVersionRecorded():
            yield _add(
                t.model_versions,
                campaign=campaign,
                model=event.model,
                version=event.version,
                digest=event.digest,
                gates=canonical(event.gates),
            )
        case CampaignEnded():
            yield _campaign(campaign, state=event.state, reason=event.reason)
        case _:
            raise TypeError(f"no projection for a row of kind {event.kind}")


def _add(table: Table, **values: Any) -> _Change:  # noqa: ANN401  columns
    return _ADD[table.name], values


def _campaign(name: str, **values: Any) -> _Change:  # noqa: ANN401  columns
    return _CAMPAIGN, {"of_name": name, **values}


def _experiment(campaign: str, number: int, **values: Any) -> _Change:  # noqa: ANN401  columns
    return _EXPERIMENT, {"of_campaign": campaign, "of_number": number, **values}


def _proposed(campaign: str, event: RoundProposed) -> Iterator[_Change]:
    values = {
        "planner": event.planner,
        "candidates": canonical(event.candidates),
        "diagnostics": canonical(event.diagnostics),
        "environment": canonical(event.environment),
        "seconds": event.seconds,
    }
    yield _ROUND, {"of_campaign": campaign, "of_round": event.round, **values}
    for index, candidate in enumerate(event.candidates):
        yield _candidate(campaign, event.first + index, event.round, candidate)


def _candidate(campaign: str, number: int, round_: int, candidate: Mapping[str, Any]) -> _Change:
    """Return the row of an experiment that was proposed; round 0 stands for a person."""
    return _add(
        t.experiments,
        campaign=campaign,
        number=number,
        round=round_,
        candidate=canonical(dict(candidate)),
        state="proposed",
    )


def _asked(campaign: str, at: str, event: QuestionOpened | QuestionAskedAgain | QuestionAnswered) -> _Change:
    key = {"of_campaign": campaign, "of_id": event.question}
    if isinstance(event, QuestionAskedAgain):
        return _QUESTION, {**key, "times": event.times, "expires": event.expires}
    if isinstance(event, QuestionAnswered):
        told = canonical(event.values) if event.values else None
        said = {"state": "answered", "answer": event.answer, "told": told, "answered_by": event.by, "answered": at}
        return _QUESTION, {**key, **said, "reason": event.reason or None}
    body = {k: v for k, v in event.body().items() if k != "question"}
    for name in ("answers", "fields"):
        body[name] = canonical(body[name]) if body[name] else None
    return _add(t.questions, campaign=campaign, id=event.question, state="open", **body)


def _analysed(campaign: str, event: AnalysisRecorded) -> _Change:
    body = {k: v for k, v in event.body().items() if k != "analysis"}
    for name in ("artefacts", "fields", "flags", "diagnostics", "environment"):
        body[name] = canonical(body[name])
    body["figure"] = None if event.figure is None else canonical(event.figure)
    return _add(t.analyses, campaign=campaign, id=event.analysis, **body)


def _intended(campaign: str, event: CommandIntended) -> Iterator[_Change]:
    yield _add(
        t.commands,
        id=event.command,
        campaign=campaign,
        experiment=event.experiment,
        step=event.step,
        instrument=event.instrument,
        action=event.action,
        arguments=canonical(event.arguments),
        samples=canonical(event.samples),
        occurrence=event.occurrence,
        digest=event.digest,
        epoch=event.epoch,
        state="open",
        members=canonical(event.members) if event.members else None,
        destination=event.destination,
    )
    for experiment, step in ((event.experiment, event.step), *event.members):
        # A retry takes the step over.
        yield _DROP_STEP, {"of_campaign": campaign, "of_experiment": experiment, "of_step": step}
        yield _add(
            t.steps,
            campaign=campaign,
            experiment=experiment,
            step=step,
            instrument=event.instrument,
            action=event.action,
            command=event.command,
            state="open",
        )


def _settled(campaign: str, event: CommandSettled) -> Iterator[_Change]:
    values = {
        "state": event.status,
        "result": canonical(event.values),
        "error": event.error,
        "started": event.started,
        "finished": event.finished,
        "duration": event.duration,
        "simulated": event.simulated,
        "how": event.how,
        "failed_samples": canonical(dict(event.failed_samples)) if event.failed_samples else None,
    }
    yield _COMMAND, {"of_campaign": campaign, "of_id": event.command, **values}
    # Only where no retry took the step over meanwhile: a late answer says nothing of the newer command.
    yield _STEP, {"of_campaign": campaign, "of_command": event.command, "state": event.status}
    # Settled again: the last answer counts, as in the command's own row.
    yield _DROP_ARTEFACTS, {"of_campaign": campaign, "of_command": event.command}
    for position, artefact in enumerate(event.artefacts):
        yield _add(t.artefacts, campaign=campaign, command=event.command, position=position, **artefact)
