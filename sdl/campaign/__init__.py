"""The campaign file as frozen objects."""

from sdl.campaign.document import Document, Where, parse_document, read_document
from sdl.campaign.files import Files
from sdl.campaign.gain import StopGain
from sdl.campaign.load import Draft, draft_of, load, load_campaign, with_overrides
from sdl.campaign.model import Campaign, InstrumentSpec, LabSpec, PlannerSpec, Reference, Step, Stop, label_of
from sdl.campaign.reader import Reader

__all__ = [
    "Campaign",
    "Document",
    "Draft",
    "Files",
    "InstrumentSpec",
    "LabSpec",
    "PlannerSpec",
    "Reader",
    "Reference",
    "Step",
    "Stop",
    "StopGain",
    "Where",
    "draft_of",
    "label_of",
    "load",
    "load_campaign",
    "parse_document",
    "read_document",
    "with_overrides",
]
