"""The wire schema of the lab server: `python -m sdl.lab.openapi FILE` writes it, and a test compares what is checked in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sdl.artefacts import ArtefactStore
from sdl.clock import ClockSettings, RealClock
from sdl.lab.log import MemoryLog
from sdl.lab.plan import LabPlan
from sdl.lab.routes import make_app
from sdl.lab.server import LabServer


def openapi() -> dict[str, Any]:
    """Return the wire schema (OpenAPI 3.1); it is the same whatever the lab."""
    plan = LabPlan("any", ClockSettings(), {}, {})
    server = LabServer(plan, RealClock(), ArtefactStore("memory://schema"), MemoryLog())
    return make_app(server, None).openapi()


def text() -> str:
    """Return the wire schema as it is checked in."""
    return json.dumps(openapi(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text())
