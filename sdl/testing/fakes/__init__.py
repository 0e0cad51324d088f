"""Fakes: a good instrument, instruments that misbehave (one per behaviour), and broken drivers (one per conformance rule)."""

from sdl.testing.fakes.broken import BROKEN
from sdl.testing.fakes.device import Device
from sdl.testing.fakes.line import Line
from sdl.testing.fakes.misbehaving import (
    MISBEHAVING,
    DelaysReplies,
    DiesInTheMiddle,
    DropsReplies,
    DuplicatesReplies,
    Fails,
    Forgets,
    GivesAnotherSamplesData,
    GivesNan,
    LiesReady,
    NeverEnds,
    ReordersReplies,
    Slow,
)
from sdl.testing.fakes.press import FakeSettings, GoodPress

__all__ = [
    "BROKEN",
    "MISBEHAVING",
    "DelaysReplies",
    "Device",
    "DiesInTheMiddle",
    "DropsReplies",
    "DuplicatesReplies",
    "FakeSettings",
    "Fails",
    "Forgets",
    "GivesAnotherSamplesData",
    "GivesNan",
    "GoodPress",
    "Line",
    "LiesReady",
    "NeverEnds",
    "ReordersReplies",
    "Slow",
]
