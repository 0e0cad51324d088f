"""Faults by the hundred: planned over all boundaries, spread over lanes, counted."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.testing.torture.every import in_lanes
from sdl.testing.torture.faults import AT_RANDOM, Fault, Kind
from sdl.testing.torture.lane import Lane, Subject, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sdl.ledger import Row
    from sdl.world import Operation

RANDOM_SHARE, FREEZE_SHARE, DISK_SHARE = 0.10, 0.05, 0.05
"""Shares of faults that strike at a random time, freeze, or fill the disk; all others kill at a boundary."""


@dataclass(frozen=True)
class TortureResult:
    """What came of it.

    Attributes:
        trials: every campaign.
        met: boundary → how often the undisturbed run met it.
        seconds: wall time.
    """

    trials: tuple[Trial, ...]
    met: Mapping[str, int]
    seconds: float

    @property
    def problems(self) -> list[str]:
        """Everything that must not happen, with the folder of its campaign."""
        return [f"{t.folder}: {p}" for t in self.trials for p in t.problems]

    @property
    def struck(self) -> Counter[tuple[Kind, str]]:
        """(kind, boundary) → how many faults struck there."""
        return Counter((a.fault.kind, a.fault.boundary) for t in self.trials for a in t.attempts if a.struck)

    @property
    def median_resume(self) -> float | None:
        """Median seconds from a start after a fault to the first row of its own."""
        times = [a.resumed for t in self.trials for a in t.attempts if a.resumed is not None]
        return statistics.median(times) if times else None

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON data."""
        return {
            "faults": sum(self.struck.values()),
            "campaigns": len(self.trials),
            "struck": {f"{kind}, {boundary}": number for (kind, boundary), number in sorted(self.struck.items())},
            "executed_twice": sum(len(t.verdict.twice) for t in self.trials),
            "lost": sum(len(t.verdict.lost) for t in self.trials),
            "observations_missing": sum(len(t.verdict.missing) for t in self.trials),
            "observations_doubled": sum(len(t.verdict.doubled) for t in self.trials),
            "questions": sum(t.verdict.questions for t in self.trials),
            "campaigns_equal_to_undisturbed": sum(t.verdict.difference is None for t in self.trials),
            "median_seconds_to_resume": self.median_resume,
            "seconds": self.seconds,
            "problems": self.problems,
        }


class Torture:
    """Tortures a campaign.

    Args:
        subject: what is tortured.
        folder: for homes, notes and output; it must be empty.
        faults: how many are to strike.
        seed: of their choice.
        lanes: how many campaigns at once.
        compare: whether every run is held against the undisturbed one (virtual time).
        say: told how far it is.
    """

    def __init__(
        self,
        subject: Subject,
        folder: Path,
        *,
        faults: int,
        seed: int = 0,
        lanes: int = 1,
        compare: bool = True,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.subject = subject
        self.folder = folder
        self.faults = faults
        self.seed = seed
        self.lanes = lanes
        self.compare = compare
        self._say = say or (lambda _: None)

    def run(self) -> TortureResult:
        """Run until enough faults have struck.

        Raises:
            RuntimeError: the campaign does not come to its end even without faults, or a lane broke.
        """
        began = time.monotonic()
        undisturbed, met = Lane(self.subject, self.folder).undisturbed()
        self._say(f"undisturbed: {len(undisturbed[0])} rows, {len(undisturbed[1])} effects, {len(met)} boundaries")
        shares = [self.faults // self.lanes + (i < self.faults % self.lanes) for i in range(self.lanes)]
        trials = in_lanes(lambda i: self._lane(i, shares[i], met, undisturbed), self.folder, self.lanes)
        return TortureResult(tuple(trials), met, time.monotonic() - began)

    def _lane(
        self, lane: int, share: int, met: Mapping[str, int], undisturbed: tuple[list[Row], list[Operation]]
    ) -> list[Trial]:
        worker = Lane(self.subject, self.folder / f"lane{lane}")
        faults = planned(met, np.random.default_rng([self.seed, lane]), lane * len(met) // max(self.lanes, 1))
        trials: list[Trial] = []
        struck = 0
        while struck < share:
            trial = worker.trial(len(trials), faults, undisturbed if self.compare else None)
            trials.append(trial)
            new = sum(a.struck for a in trial.attempts)
            struck += new
            self._say(
                f"lane {lane}: {struck} of {share} faults, {len(trials)} campaigns, {len(trial.problems)} problems"
            )
            if not new and len(trials) > 20 + 2 * share:
                raise RuntimeError("faults do not strike; the campaign is too short for torture")
        return trials


def planned(met: Mapping[str, int], rng: np.random.Generator, first: int = 0) -> Iterator[Fault]:
    """Yield faults without end: every boundary in turn, at one of the first times that it is met after a start.

    Args:
        met: boundary → how often the undisturbed run met it.
        rng: source of everything random.
        first: boundary to begin with.
    """
    names = sorted(met)
    turn = first
    while True:
        draw = rng.random()
        if draw < RANDOM_SHARE:
            yield Fault("kill", AT_RANDOM, seconds=float(rng.uniform(0.0, 2.0)))
            continue
        boundary = names[turn % len(names)]
        turn += 1
        # Counts begin anew with every process, and a campaign that has come far meets a boundary seldom.
        count = int(rng.integers(1, max(2, met[boundary] // 4 + 1)))
        kind: Kind = "kill"
        if draw < RANDOM_SHARE + FREEZE_SHARE:
            kind = "freeze"
        elif draw < RANDOM_SHARE + FREEZE_SHARE + DISK_SHARE and boundary.startswith("before commit"):
            kind = "full disk"
        yield Fault(kind, boundary, count)
