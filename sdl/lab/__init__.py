"""The lab: instruments behind one door that checks, queues, carries out and answers."""

from sdl.lab.embedded import EmbeddedLab
from sdl.lab.interface import Lab
from sdl.lab.plan import InstrumentPlan, LabPlan
from sdl.lab.queue import InstrumentQueue

__all__ = ["EmbeddedLab", "InstrumentPlan", "InstrumentQueue", "Lab", "LabPlan"]
