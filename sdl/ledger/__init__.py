"""The ledger: journal, projections and artefacts; the only state that there is."""

from sdl.ledger.events import (
    AnalysisRecorded,
    CampaignCreated,
    CampaignEnded,
    CommandIntended,
    CommandSettled,
    EpochRaised,
    Event,
    ExperimentFailing,
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
from sdl.ledger.ledger import Ledger, Row
from sdl.ledger.ownership import Ownership

__all__ = [
    "AnalysisRecorded",
    "CampaignCreated",
    "CampaignEnded",
    "CommandIntended",
    "CommandSettled",
    "EpochRaised",
    "Event",
    "ExperimentFailing",
    "ExperimentFinished",
    "ExperimentStarted",
    "Ledger",
    "ModelVersionRecorded",
    "ObservationRecorded",
    "Ownership",
    "QuestionOpened",
    "RoundOpened",
    "RoundProposed",
    "Row",
    "VersionRecorded",
    "canonical",
]
