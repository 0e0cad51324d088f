"""Faults by the hundred: planned over all boundaries, spread over lanes, counted."""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.ledger.place import VARIABLE
from sdl.testing.torture.every import in_lanes
from sdl.testing.torture.faults import PROCESSES
from sdl.testing.torture.planning import places

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from sdl.testing.torture.faults import Kind, Process
    from sdl.testing.torture.lane import Lane
    from sdl.testing.torture.trial import Trial


@contextmanager
def no_ledger_of_the_user() -> Iterator[None]:
    """Leave the address of the user's own ledger out of the environment for as long as the block lasts."""
    kept = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ[VARIABLE] = kept


@dataclass(frozen=True)
class TortureResult:
    """What came of it.

    Attributes:
        trials: every campaign.
        seconds: wall time.
        places: (process, boundary) of all that were to be struck.
    """

    trials: tuple[Trial, ...]
    seconds: float
    places: frozenset[tuple[Process, str]] = frozenset()

    @classmethod
    def of(cls, results: Sequence[TortureResult]) -> TortureResult:
        """Return several results as one."""
        return cls(
            tuple(t for r in results for t in r.trials),
            sum(r.seconds for r in results),
            frozenset(p for r in results for p in r.places),
        )

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
    def by_boundary(self) -> dict[tuple[Process, str], int]:
        """(process, boundary) → how many faults of any kind struck there; 0 for those that none did."""
        found = Counter((process, boundary) for process, _, boundary in self.struck.elements())
        return {place: found[place] for place in sorted({*self.places, *found})}

    @property
    def process_faults(self) -> int:
        """How many faults struck a process: killed it, froze it, or filled its disk; the network is none."""
        return sum(number for (process, _, _), number in self.struck.items() if process != "network")

    @property
    def plain(self) -> int:
        """How many campaigns had nothing carried out a second time, and nothing asked."""
        return sum(t.verdict.is_plain for t in self.trials)

    @property
    def median_resume(self) -> float | None:
        """Median seconds from a start after a fault to the first row of its own; of a lab server, until it answers."""
        times = [a.resumed for t in self.trials for a in t.attempts if a.resumed is not None]
        return statistics.median(times) if times else None

    @property
    def median_resumes(self) -> dict[str, float]:
        """The same for each process that was started again; after `kill both`, that of the campaign.

        A worker is there again with its first answer, a database with the first commit after its death.
        """
        times: dict[str, list[float]] = {}
        for attempt in (a for t in self.trials for a in t.attempts if a.resumed is not None):
            process = attempt.fault.process if attempt.fault.kind == "kill" else "campaign"
            times.setdefault(process, []).append(float(attempt.resumed or 0.0))
        return {process: statistics.median(found) for process, found in sorted(times.items())}

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON data; what struck another process than the campaign stands under names of its own."""
        struck = sorted(self.struck.items())
        boundaries: dict[str, dict[str, int]] = {}
        for (process, boundary), number in self.by_boundary.items():
            boundaries.setdefault(process, {})[boundary] = number
        least = min(self.by_boundary.values(), default=0)
        return {
            "faults": sum(self.struck.values()),
            "faults_of_processes": self.process_faults,
            "struck_by_boundary": boundaries,
            "least_struck": least,
            "least_struck_boundaries": [f"{p}, {b}" for (p, b), n in self.by_boundary.items() if n == least],
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
            "campaigns_nothing_repeated_or_asked": self.plain,
            "campaigns_equal_to_undisturbed": sum(t.is_compared and t.verdict.difference is None for t in self.trials),
            "campaigns_compared": sum(t.is_compared for t in self.trials),
            "differences": [
                {"campaign": str(t.folder), "first": t.verdict.difference, "cause": t.verdict.cause}
                for t in self.trials
                if t.verdict.difference is not None
            ],
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
        processes: which are struck; all by default.
        compare: whether every run is held against the undisturbed one (virtual time).
        say: told how far it is.
    """

    def __init__(
        self,
        make: Callable[[Path], Lane],
        folder: Path,
        *,
        faults: int,
        seed: int = 0,
        lanes: int = 1,
        processes: Collection[Process] = PROCESSES,
        compare: bool = True,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = folder
        self.faults = faults
        self.seed = seed
        self.lanes = lanes
        self.processes = processes
        self.compare = compare
        self._make = make
        self._say = say or (lambda _: None)

    def run(self) -> TortureResult:
        """Run until enough faults have struck.

        Raises:
            RuntimeError: the campaign does not come to its end even without faults, or a lane broke.
        """
        began = time.monotonic()
        with no_ledger_of_the_user():
            whole = self._make(self.folder)
            try:
                undisturbed, found = whole.undisturbed()
            finally:
                whole.close()
            met = {process: number for process, number in found.items() if process in self.processes}
            self._say(f"undisturbed: done in {time.monotonic() - began:.1f} s")
            shares = [self.faults // self.lanes + (i < self.faults % self.lanes) for i in range(self.lanes)]
            trials = in_lanes(lambda i: self._lane(i, shares[i], met, undisturbed), self.folder, self.lanes)
        wanted = frozenset((process, name) for process, names in places(met).items() for name in names)
        return TortureResult(tuple(trials), time.monotonic() - began, wanted)

    def _lane(self, lane: int, share: int, met: Any, undisturbed: Any) -> list[Trial]:  # noqa: ANN401  the lane's own
        worker = self._make(self.folder / f"lane{lane}")
        try:
            return self._trials(worker, lane, share, met, undisturbed)
        finally:
            worker.close()

    def _trials(self, worker: Lane, lane: int, share: int, met: Any, undisturbed: Any) -> list[Trial]:  # noqa: ANN401
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
