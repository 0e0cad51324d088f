"""Fixtures of the report's tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from reportkit import CERAMICS, Story, point

from sdl.ledger import Ledger

Tell = Callable[..., Story]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "home")


@pytest.fixture
def tell(ledger: Ledger) -> Tell:
    """Return a function that begins a story."""

    def begin(name: str = "sintering") -> Story:
        return Story(ledger, name)

    return begin


@pytest.fixture
def ceramics(tell: Tell) -> Story:
    """A campaign with initial and model-based, feasible, infeasible and failed experiments; done."""
    story = tell()
    story.create(CERAMICS.format(name="sintering", description="Garnets."))
    story.epoch(furnace="simulated", probe="simulated")
    story.propose([point(n) for n in range(1, 5)], "initial")
    for n in range(1, 5):
        story.run(n, {"conductivity": (0.1 * n + 0.0123456789, 0.004), "relative_density": (0.85 + 0.02 * n, 0.003)})
    story.propose([point(n) for n in range(5, 9)], "model")
    for n in range(5, 8):
        story.run(n, {"conductivity": (0.7 - 0.05 * n, None), "relative_density": (0.95, None)})
    story.run(8, {}, "failed")
    story.end("done", "12 experiments were started")
    return story
