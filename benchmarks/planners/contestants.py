"""Who takes part, with which settings, and in which version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sdl.planners
import sdl.space
from sdl.planners import Planner, PlannerSettings, get_planner

from .plain import PlainBotorch
from .tasks import INITIAL

OURS = "bayes"


@dataclass(frozen=True)
class Contestant:
    """A planner with its settings.

    Attributes:
        name: in tables.
        planner: its name among the platform's planners, or `botorch` for the benchmark's own.
        settings: other than the defaults.
        library: the distribution whose version counts; None for the platform's own, whose sources count.
    """

    name: str
    planner: str
    settings: Mapping[str, Any]
    library: str | None = None

    def made(self) -> tuple[Planner, PlannerSettings]:
        """Return the planner and its settings."""
        planner: Planner = PlainBotorch() if self.planner == "botorch" else get_planner(self.planner)
        return planner, planner.settings_model(**self.settings)

    def version(self) -> str:
        """Return what a result is only comparable with: library versions, or a digest of our own sources."""
        if self.library is None:
            return f"sdl sources {_digest()}"
        return ", ".join(f"{name} {version(name)}" for name in dict.fromkeys((self.library, "botorch", "torch")))


@cache
def _digest() -> str:
    """Return a digest of the planners' sources, adapters apart, and of the space's."""
    files = [
        *Path(sdl.planners.__path__[0]).rglob("*.py"),
        *Path(sdl.space.__path__[0]).rglob("*.py"),
    ]
    found = hashlib.sha256()
    for file in sorted(files):
        if "adapters" not in file.parts:
            found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()[:12]


CONTESTANTS = {
    c.name: c
    for c in (
        # the initial points are given, so none is left to its design
        Contestant(OURS, "bayes", {"initial": {"count": INITIAL}}),
        Contestant("botorch", "botorch", {}, "botorch"),
        Contestant("baybe", "baybe", {}, "baybe"),
        Contestant("ax", "ax", {}, "ax-platform"),
        Contestant("optuna_gp", "optuna", {"sampler": "gp"}, "optuna"),
        Contestant("optuna_tpe", "optuna", {"sampler": "tpe"}, "optuna"),
        Contestant("sobol", "sobol", {}),
        Contestant("random", "random", {}),
    )
}
