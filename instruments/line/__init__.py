"""A simulated ceramics line over one world: dispenser, mill, press, batch furnace, arm, and four instruments that measure."""

from .arm import RobotArm
from .diffractometer import LineDiffractometer
from .dispenser import LineDispenser
from .furnace import BatchFurnace
from .impedance import LineImpedanceAnalyser
from .microscope import ElectronMicroscope
from .mill import Mill
from .press import Press
from .pycnometer import LinePycnometer

__all__ = [
    "BatchFurnace",
    "ElectronMicroscope",
    "LineDiffractometer",
    "LineDispenser",
    "LineImpedanceAnalyser",
    "LinePycnometer",
    "Mill",
    "Press",
    "RobotArm",
]
