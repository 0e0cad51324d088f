"""Faults by the hundred: planned over all boundaries, spread over lanes, counted."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sdl.testing.torture.every import in_lanes
from sdl.testing.torture.lane import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sdl.testing.torture.faults import Fault, Kind, Process


class AnyLane(Protocol):
    """What takes one campaign after another through faults: with its lab in its own process, or on a lab server."""

    def undisturbed(self) -> tuple[Any, Any]:
        """Run a campaign without faults; returns its records, and how often it met each boundary."""

    def faults(self, met: Any, rng: np.random.Generator, lane: int, lanes: int) -> Iterator[Fault]:  # noqa: ANN401
        """Yield faults without end, for one lane of several."""

    def trial(self, number: int, faults: Iterator[Fault], undisturbed: Any) -> Trial:  # noqa: ANN401
        """Take one campaign through faults until it is done, and judge it."""


@dataclass(frozen=True)
class TortureResult:
    """What came of it.

    Attributes:
        trials: every campaign.
        seconds: wall time.
    """

    trials: tuple[Trial, ...]
    seconds: float

    @property
    def problems(self) -> list[str]:
        """Everything that must not happen, with the folder of its campaign."""
        return [f"{t.folder}: {p}" for t in self.trials for p in t.problems]

    @property
    def struck(self) -> Counter[tuple[Process, Kind, str]]:
        """(process, kind, boundary) → how many faults struck there."""
        faults = [a.fault for t in self.trials for a in t.attempts if a.struck]
        return Counter((f.process, f.kind, f.boundary) for f in faults)

    @property
    def median_resume(self) -> float | None:
        """Median seconds from a start after a fault to the first row of its own; of a lab server, until it answers."""
        times = [a.resumed for t in self.trials for a in t.attempts if a.resumed is not None]
        return statistics.median(times) if times else None

    @property
    def median_resumes(self) -> dict[str, float]:
        """The same for campaign and lab server, of those that were started again; after `kill both`, that of the campaign."""
        times: dict[str, list[float]] = {}
        for attempt in (a for t in self.trials for a in t.attempts if a.resumed is not None):
            is_server = attempt.fault.process == "server" and attempt.fault.kind == "kill"
            times.setdefault("server" if is_server else "campaign", []).append(float(attempt.resumed or 0.0))
        return {process: statistics.median(found) for process, found in sorted(times.items())}

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON data; what struck lab server and network stands under names of its own."""
        struck = sorted(self.struck.items())
        return {
            "faults": sum(self.struck.values()),
            "campaigns": len(self.trials),
            "struck": {
                f"{kind}, {place}": number for (process, kind, place), number in struck if process == "campaign"
            },
            **{
                f"struck_{other}": {
                    f"{kind}, {place}": number for (process, kind, place), number in struck if process == other
                }
                for other in sorted({process for (process, _, _), _ in struck} - {"campaign"})
            },
            "executed_twice": sum(len(t.verdict.twice) for t in self.trials),
            "lost": sum(len(t.verdict.lost) for t in self.trials),
            "observations_missing": sum(len(t.verdict.missing) for t in self.trials),
            "observations_doubled": sum(len(t.verdict.doubled) for t in self.trials),
            "questions": sum(t.verdict.questions for t in self.trials),
            "campaigns_equal_to_undisturbed": sum(t.is_compared and t.verdict.difference is None for t in self.trials),
            "campaigns_compared": sum(t.is_compared for t in self.trials),
            "median_seconds_to_resume": self.median_resume,
            "median_seconds_to_resume_by_process": self.median_resumes,
            "seconds": self.seconds,
            "problems": self.problems,
        }


class Torture:
    """Tortures a campaign.

    Args:
        make: makes, for a folder, what takes one campaign after another through faults: `partial(Lane, subject)`, or
            `partial(ServedLane, subject)`.
        folder: for homes, notes and output; it must be empty.
        faults: how many are to strike.
        seed: of their choice.
        lanes: how many campaigns at once.
        compare: whether every run is held against the undisturbed one (virtual time).
        say: told how far it is.
    """

    def __init__(
        self,
        make: Callable[[Path], AnyLane],
        folder: Path,
        *,
        faults: int,
        seed: int = 0,
        lanes: int = 1,
        compare: bool = True,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = folder
        self.faults = faults
        self.seed = seed
        self.lanes = lanes
        self.compare = compare
        self._make = make
        self._say = say or (lambda _: None)

    def run(self) -> TortureResult:
        """Run until enough faults have struck.

        Raises:
            RuntimeError: the campaign does not come to its end even without faults, or a lane broke.
        """
        began = time.monotonic()
        undisturbed, met = self._make(self.folder).undisturbed()
        self._say(f"undisturbed: done in {time.monotonic() - began:.1f} s")
        shares = [self.faults // self.lanes + (i < self.faults % self.lanes) for i in range(self.lanes)]
        trials = in_lanes(lambda i: self._lane(i, shares[i], met, undisturbed), self.folder, self.lanes)
        return TortureResult(tuple(trials), time.monotonic() - began)

    def _lane(self, lane: int, share: int, met: Any, undisturbed: Any) -> list[Trial]:  # noqa: ANN401  the lane's own
        worker = self._make(self.folder / f"lane{lane}")
        faults = worker.faults(met, np.random.default_rng([self.seed, lane]), lane, self.lanes)
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
