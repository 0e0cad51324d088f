"""What a journal row can say. A row is written once and never changed; everything else is a projection of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdl.ledger.campaign_events import (
    CampaignCreated,
    CampaignEnded,
    CampaignPaused,
    CampaignResumed,
    CampaignWaiting,
    CandidatesAdded,
    EpochRaised,
    ModelVersionRecorded,
    RequestSettled,
    RoundOpened,
    RoundProposed,
    VersionRecorded,
)
from sdl.ledger.event import Event, Json, canonical
from sdl.ledger.experiment_events import (
    AnalysisRecorded,
    CommandIntended,
    CommandLate,
    CommandSettled,
    ExperimentFailing,
    ExperimentFinished,
    ExperimentRejected,
    ExperimentStarted,
    ObservationRecorded,
    QuestionAnswered,
    QuestionAskedAgain,
    QuestionOpened,
    SampleCleared,
    StepSkipped,
)
from sdl.ledger.people_events import ConstraintAdded, ConstraintLifted, ResultsTold

__all__ = [
    "AnalysisRecorded",
    "CampaignCreated",
    "CampaignEnded",
    "CampaignPaused",
    "CampaignResumed",
    "CampaignWaiting",
    "CandidatesAdded",
    "CommandIntended",
    "CommandLate",
    "CommandSettled",
    "ConstraintAdded",
    "ConstraintLifted",
    "EVENTS",
    "EpochRaised",
    "Event",
    "ExperimentFailing",
    "ExperimentFinished",
    "ExperimentRejected",
    "ExperimentStarted",
    "Json",
    "ModelVersionRecorded",
    "ObservationRecorded",
    "QuestionAnswered",
    "QuestionAskedAgain",
    "QuestionOpened",
    "RequestSettled",
    "ResultsTold",
    "RoundOpened",
    "RoundProposed",
    "SampleCleared",
    "StepSkipped",
    "VersionRecorded",
    "canonical",
    "event_of",
]

EVENTS: dict[str, type[Event]] = {
    e.kind: e
    for e in (
        CampaignCreated,
        VersionRecorded,
        EpochRaised,
        RoundOpened,
        RoundProposed,
        CandidatesAdded,
        ConstraintAdded,
        ConstraintLifted,
        ResultsTold,
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
