"""What is tortured, what was done to it, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdl.preflight import Checked
    from sdl.testing.torture.faults import Fault
    from sdl.testing.torture.verdict import Verdict

DONE, REFUSED, WAITING = 0, 2, 3
"""Exit codes of `sdl run`: the campaign is done; bad input, or another process has it; only a person can bring it on."""

HUNG = 300.0
"""Seconds after which a process counts as hung."""


@dataclass(frozen=True)
class Subject:
    """What is tortured.

    Attributes:
        run: what runs the campaign to its end in a home, as `sdl run` does; returns its exit code. Called in a forked child.
        name: of the campaign.
        outcomes: that every finished experiment must have.
        reads: (instrument, action) of actions that do no harm when they are repeated.
        sabotage: breaks the victim on purpose, to see whether that is noticed; or None.
        answer: answers the open questions of a home from the world's record, as a person who looks would; or None.
    """

    run: Callable[[Path], int]
    name: str
    outcomes: tuple[str, ...]
    reads: frozenset[tuple[str, str]]
    sabotage: Callable[[], None] | None = None
    answer: Callable[[Path], int] | None = None

    @classmethod
    def of(
        cls,
        checked: Checked,
        run: Callable[[Path], int],
        sabotage: Callable[[], None] | None = None,
        answer: Callable[[Path], int] | None = None,
    ) -> Subject:
        """Return a campaign that pre-flight has passed as a subject."""
        return cls(run, checked.campaign.name, checked.plan.outcomes, harmless(checked), sabotage, answer)


def harmless(checked: Checked) -> frozenset[tuple[str, str]]:
    """Return (instrument, action) of all actions of a lab that do no harm when they are repeated."""
    return frozenset(
        (name, action.name)
        for name, plan in checked.lab.instruments.items()
        for action in plan.description.actions.values()
        if action.effect != "irreversible"
    )


@dataclass(frozen=True)
class Attempt:
    """What a fault did.

    Attributes:
        fault: which.
        struck: whether it struck before the campaign was done.
        resumed: seconds from the next start to the first row of its own, or None where that was not seen.
    """

    fault: Fault
    struck: bool
    resumed: float | None = None


@dataclass(frozen=True)
class Trial:
    """One campaign that was tortured: what was done to it, and what came of it.

    Attributes:
        folder: its home.
        attempts: the faults that were meant for it.
        verdict: of its records.
        problems: everything that must not happen, those of the verdict included.
        is_compared: whether it was held against the undisturbed run.
    """

    folder: Path
    attempts: tuple[Attempt, ...]
    verdict: Verdict
    problems: tuple[str, ...]
    is_compared: bool = True
