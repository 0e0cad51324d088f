"""A simulated ceramics laboratory: dispenser, box furnace, impedance analyser and pycnometer over one world."""

from .dispenser import Dispenser
from .furnace import BoxFurnace
from .impedance import ImpedanceAnalyser
from .pycnometer import Pycnometer

__all__ = ["BoxFurnace", "Dispenser", "ImpedanceAnalyser", "Pycnometer"]
