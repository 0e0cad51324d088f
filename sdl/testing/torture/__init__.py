"""Torture: a campaign is killed, frozen and starved at every boundary, then held against the world's own record."""

from sdl.testing.torture.every import every_boundary
from sdl.testing.torture.faults import Fault
from sdl.testing.torture.lane import Lane
from sdl.testing.torture.run import Torture, TortureResult
from sdl.testing.torture.trial import Attempt, Subject, Trial, harmless
from sdl.testing.torture.verdict import Verdict, judge

__all__ = [
    "Attempt",
    "Fault",
    "Lane",
    "Subject",
    "Torture",
    "TortureResult",
    "Trial",
    "Verdict",
    "every_boundary",
    "harmless",
    "judge",
]
