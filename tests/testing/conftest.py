"""Subjects of the shipped drivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdl.testing import Preparation

_TABLE = Path(__file__).parents[2] / "campaigns" / "data" / "opv_wf3.csv"
_WEIGH = Preparation("simulated_dispenser", "weigh", {"li_excess": 0.1, "mass": 2.0})
_SINTER = Preparation(
    "simulated_box_furnace", "sinter", {"temperature": 1150.0, "hold": 4.0, "atmosphere": "oxygen", "firings": 1}
)
_LINE_WEIGH = Preparation("simulated_line_dispenser", "weigh", {"li_excess": 0.1, "gallium": 0.2, "mass": 1.5})
_LINE_MILL = Preparation("simulated_mill", "mill", {"duration": 6.0, "speed": 300.0})
_LINE_PRESS = Preparation("simulated_press", "press", {"pressure": 200.0, "container": "alumina_crucible"})
_LINE_SINTER = Preparation(
    "simulated_batch_furnace", "sinter", {"temperature": 1150.0, "hold": 4.0, "ramp": 5.0, "atmosphere": "oxygen"}
)
_LINE_PELLET = (_LINE_WEIGH, _LINE_MILL, _LINE_PRESS, _LINE_SINTER)

SHIPPED: dict[str, dict[str, Any]] = {
    "replay": {
        "settings": {"table": str(_TABLE), "outcomes": ["degradation"], "duration": "10 min"},
        "arguments": {"measure": {"wf3": 1.0, "p3ht": 0.0, "pcbm": 0.0, "oidtbr": 0.0}},
    },
    "simulated_dispenser": {},
    "simulated_box_furnace": {"prepare": (_WEIGH,)},
    "simulated_impedance_analyser": {"prepare": (_WEIGH, _SINTER)},
    "simulated_pycnometer": {"prepare": (_WEIGH, _SINTER)},
    "simulated_line_dispenser": {},
    "simulated_mill": {"prepare": (_LINE_WEIGH,)},
    "simulated_press": {"prepare": (_LINE_WEIGH, _LINE_MILL)},
    "simulated_batch_furnace": {
        "prepare": (_LINE_WEIGH, _LINE_MILL, _LINE_PRESS),
        "arguments": {"sinter": {"temperature": 1150.0, "hold": 4.0, "ramp": 5.0, "atmosphere": "air"}},
    },
    "simulated_robot_arm": {"prepare": (_LINE_WEIGH,), "arguments": {"move": {"to": "archive"}}},
    "simulated_diffractometer": {"prepare": _LINE_PELLET, "arguments": {"scan": {"time_per_step": 1.0}}},
    "simulated_electron_microscope": {"prepare": _LINE_PELLET, "arguments": {"image": {"grains_across": 20.0}}},
    "simulated_line_impedance_analyser": {"prepare": _LINE_PELLET},
    "simulated_line_pycnometer": {"prepare": _LINE_PELLET},
}


_FUNCTION = """
from typing import Annotated
from sdl.driver import Limits, Unit

def area(radius: Annotated[float, Unit("mm"), Limits(0.1, 10)]) -> Annotated[float, Unit("mm**2")]:
    \"\"\"Area of a disc.\"\"\"
    return 3.14159 * radius**2
"""

_CLASS = """
from typing import Annotated
from sdl.driver import Limits, Unit

class Pump:
    \"\"\"A pump.\"\"\"
    volume = 0.0

    def dose(self, volume: Annotated[float, Unit("ml"), Limits(0.1, 10)]) -> Annotated[float, Unit("ml")]:
        \"\"\"Dose a volume.\"\"\"
        self.volume = volume
        return volume

    def answers(self):
        return True
"""


@pytest.fixture
def by_settings(tmp_path) -> dict[str, dict[str, Any]]:
    """Drivers whose actions follow from settings."""
    (tmp_path / "function.py").write_text(_FUNCTION)
    (tmp_path / "pump.py").write_text(_CLASS)
    grind = {
        "instructions": "Grind {sample} at {speed}.",
        "effect": "irreversible",
        "duration": "10 min",
        "parameters": {"speed": {"unit": "1/min", "limits": [1, 10]}},
        "results": {"mass": {"unit": "g"}},
    }
    dose = {"effect": "irreversible", "duration": "1 min", "result": "volume"}
    return {
        "manual": {"settings": {"actions": {"grind": grind}}},
        "calculation": {"settings": {"target": "area", "file": str(tmp_path / "function.py"), "result": "area"}},
        "python": {
            "settings": {
                "target": "Pump",
                "file": str(tmp_path / "pump.py"),
                "nature": "simulated",
                "actions": {"dose": dose},
                "health": "answers",
                "safe_state": "answers",
                "read_state": {"volume": {"unit": "ml"}},
            }
        },
    }


@pytest.fixture
def shipped() -> dict[str, dict[str, Any]]:
    return SHIPPED
