"""By which lock an instrument belongs to one process: one folder for all homes of a user, one name for each device."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdl.lab.plan import InstrumentPlan

VARIABLE = "SDL_LOCKS"
"""Environment variable that names the folder of the locks, where several users of a machine share its instruments."""


def lock_folder() -> Path:
    """Return the folder of the locks: `$SDL_LOCKS`, else one in the user's state folder, whichever home is used."""
    if configured := os.environ.get(VARIABLE):
        return Path(configured).expanduser().resolve()
    from platformdirs import user_state_path

    return user_state_path("sdl") / "locks"


def lock_name(lab: str, instrument: InstrumentPlan) -> str:
    """Return the name of an instrument's lock: the device that its driver says it holds, else its name in the lab."""
    transport = instrument.make.transport(instrument.settings)
    if transport is None:
        return f"instrument-{lab}-{instrument.name}"
    digest = hashlib.sha256(transport.encode()).hexdigest()[:8]
    return f"transport-{re.sub(r'[^A-Za-z0-9.-]+', '-', transport).strip('-')[:60]}-{digest}"
