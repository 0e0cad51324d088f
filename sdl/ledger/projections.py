"""Project a journal row into the tables; the same function serves the running campaign and `verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, insert, select, update

from sdl.ledger import tables as t
from sdl.ledger.events import (
    CampaignCreated,
    CampaignEnded,
    CommandIntended,
    CommandSettled,
    EpochRaised,
    Event,
    ExperimentFinished,
    ExperimentStarted,
    ModelVersionRecorded,
    ObservationRecorded,
    QuestionOpened,
    RoundOpened,
    RoundProposed,
    VersionRecorded,
    canonical,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Executable


def project(connection: Connection, campaign: str, seq: int, at: str, event: Event) -> None:
    """Bring the projections up to date with one row, in the transaction that writes the row."""
    for statement in _statements(campaign, seq, at, event):
        connection.execute(statement)


def _statements(campaign: str, seq: int, at: str, event: Event) -> Iterator[Executable]:
    match event:
        case CampaignCreated():
            yield insert(t.campaigns).values(
                name=campaign, created=at, seed=event.seed, settings=canonical(event.settings), version=0, epoch=0, state="created"
            )
        case VersionRecorded():
            yield insert(t.versions).values(
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
            yield insert(t.rounds).values(
                campaign=campaign, round=event.round, count=event.count, seed=str(event.seed), opened_seq=seq
            )
        case RoundProposed():
            yield update(t.rounds).where(and_(t.rounds.c.campaign == campaign, t.rounds.c.round == event.round)).values(
                planner=event.planner,
                candidates=canonical(event.candidates),
                diagnostics=canonical(event.diagnostics),
                environment=canonical(event.environment),
                seconds=event.seconds,
            )
            for index, candidate in enumerate(event.candidates):
                yield insert(t.experiments).values(
                    campaign=campaign,
                    number=event.first + index,
                    round=event.round,
                    candidate=canonical(candidate),
                    state="proposed",
                )
        case ExperimentStarted():
            yield _experiment(campaign, event.experiment, state="running", source=event.source, sample=event.sample, started=at)
        case ExperimentFinished():
            yield _experiment(campaign, event.experiment, state=event.state, reason=event.reason, finished=at)
        case CommandIntended() | CommandSettled():
            yield from _command(campaign, event)
        case ObservationRecorded():
            body = {k: v for k, v in event.body().items() if k != "observation"}
            yield insert(t.observations).values(campaign=campaign, id=event.observation, **body)
        case QuestionOpened():
            body = {k: v for k, v in event.body().items() if k != "question"}
            yield insert(t.questions).values(campaign=campaign, id=event.question, state="open", **body)
        case ModelVersionRecorded():
            yield insert(t.model_versions).values(
                campaign=campaign, model=event.model, version=event.version, digest=event.digest, gates=canonical(event.gates)
            )
        case CampaignEnded():
            yield _campaign(campaign, state=event.state, reason=event.reason)
        case _:
            raise TypeError(f"no projection for a row of kind {event.kind}")


def _campaign(name: str, **values: Any) -> Executable:  # noqa: ANN401  columns
    return update(t.campaigns).where(t.campaigns.c.name == name).values(**values)


def _experiment(campaign: str, number: int, **values: Any) -> Executable:  # noqa: ANN401  columns
    where = and_(t.experiments.c.campaign == campaign, t.experiments.c.number == number)
    return update(t.experiments).where(where).values(**values)


def _command(campaign: str, event: CommandIntended | CommandSettled) -> Iterator[Executable]:
    if isinstance(event, CommandIntended):
        yield insert(t.commands).values(
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
        )
        where = and_(t.steps.c.campaign == campaign, t.steps.c.experiment == event.experiment, t.steps.c.step == event.step)
        yield t.steps.delete().where(where)  # a retry takes the step over
        yield insert(t.steps).values(
            campaign=campaign,
            experiment=event.experiment,
            step=event.step,
            instrument=event.instrument,
            action=event.action,
            state="open",
        )
        return
    yield update(t.commands).where(t.commands.c.id == event.command).values(
        state=event.status,
        result=canonical(event.values),
        error=event.error,
        started=event.started,
        finished=event.finished,
        duration=event.duration,
        simulated=event.simulated,
        how=event.how,
    )
    of_command = select(t.commands.c.experiment, t.commands.c.step).where(t.commands.c.id == event.command).subquery()
    yield update(t.steps).where(
        and_(
            t.steps.c.campaign == campaign,
            t.steps.c.experiment == select(of_command.c.experiment).scalar_subquery(),
            t.steps.c.step == select(of_command.c.step).scalar_subquery(),
        )
    ).values(state=event.status)
    for artefact in event.artefacts:
        same = and_(
            t.artefacts.c.campaign == campaign,
            t.artefacts.c.sha256 == artefact["sha256"],
            t.artefacts.c.name == artefact["name"],
        )
        yield t.artefacts.delete().where(same)  # the same bytes under the same name: the last command counts
        yield insert(t.artefacts).values(campaign=campaign, command=event.command, **artefact)
