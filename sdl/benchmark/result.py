"""What a benchmark brought, as plain data: it crosses process borders and is written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.objective import Objective, OutcomeConstraint, Target
    from sdl.space import Value


@dataclass(frozen=True)
class Tried:
    """One experiment of a run.

    Attributes:
        number: from 1.
        parameters: parameter → value in its declared unit.
        state: `done`, `failed`, or how far it was when the run ended.
        outcomes: outcome → measured value in its declared unit; may be incomplete where it failed.
        row: row of the pool, or None.
        truth: outcome → true value of its sample in the declared unit; None where nobody knows (no such sample, it broke),
            or where the pool's truth tells (`BenchmarkResult.pool`).
    """

    number: int
    parameters: Mapping[str, Value]
    state: str
    outcomes: Mapping[str, float]
    row: int | None = None
    truth: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Run:
    """One planner with one seed.

    Attributes:
        planner: name.
        seed: of the campaign; the world's seed follows from it.
        tried: experiments in the order in which they were started.
        reason: why the run ended.
        inputs: SHA-256 over the file as overridden and all files that it refers to.
        seconds: CPU seconds of each proposal; the only thing that may differ between two benchmarks of the same inputs.
    """

    planner: str
    seed: int
    tried: tuple[Tried, ...]
    reason: str
    inputs: str
    seconds: tuple[float, ...] = field(compare=False, default=())


@dataclass(frozen=True, eq=False)
class PoolTruth:
    """The true outcomes of a pool.

    Attributes:
        values: outcome → shape (rows,), in the outcome's declared unit; NaN where it is unknown.
    """

    values: Mapping[str, NDArray[np.float64]]

    def of(self, row: int) -> dict[str, float] | None:
        """Return outcome → true value of a row, or None where any is unknown."""
        found = {name: float(column[row]) for name, column in self.values.items()}
        return found if all(np.isfinite(v) for v in found.values()) else None


@dataclass(frozen=True)
class Question:
    """What the runs are judged by; the parts of a campaign that a judge needs.

    Attributes:
        objectives: name → objective, in the order of the file; the first one is judged.
        outcome_constraints: outcome → bounds.
        targets: objective → bounds that count as a hit; they do not stop a run.
    """

    objectives: Mapping[str, Objective]
    outcome_constraints: Mapping[str, OutcomeConstraint]
    targets: Mapping[str, Target]

    @property
    def name(self) -> str:
        """The objective that is judged."""
        return next(iter(self.objectives))

    @property
    def objective(self) -> Objective:
        """The objective that is judged."""
        return self.objectives[self.name]


@dataclass(frozen=True, eq=False)
class BenchmarkResult:
    """Everything that a benchmark brought.

    Attributes:
        campaign: name of the campaign.
        path: the campaign file.
        files: the campaign file and every file that it refers to, by key → SHA-256.
        overrides: `path=value` of `--set`.
        question: what is judged.
        pool_size: rows of the pool, or None where there is no pool.
        pool: its true outcomes; None without a pool, or where the lab does not know them beforehand.
        planners: in the order asked for.
        seeds: in the order asked for.
        budget: experiments per run.
        until_hit: whether runs ended at the first hit.
        runs: planner by planner, seed by seed.
        notes: what a reader must know: settings that were left out, truths that are unknown.
        environment: library versions and machine.
        wall: seconds that it took.
    """

    campaign: str
    path: str
    files: Mapping[str, str]
    overrides: tuple[str, ...]
    question: Question
    pool_size: int | None
    pool: PoolTruth | None
    planners: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: int
    until_hit: bool
    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    environment: Mapping[str, str]
    wall: float

    def of(self, planner: str) -> tuple[Run, ...]:
        """Return a planner's runs in the order of the seeds."""
        return tuple(run for run in self.runs if run.planner == planner)

    def noting(self, *lines: str) -> BenchmarkResult:
        """Return it with further notes."""
        return replace(self, notes=(*self.notes, *lines))
