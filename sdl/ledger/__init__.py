"""The ledger: journal, projections and artefacts; the only state that there is."""

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
from sdl.ledger.ledger import Ledger, Row
from sdl.ledger.ownership import Ownership

__all__ = [
    "CampaignCreated",
    "CampaignEnded",
    "CommandIntended",
    "CommandSettled",
    "EpochRaised",
    "Event",
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
