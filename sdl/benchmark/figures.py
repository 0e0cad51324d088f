"""The figures of a benchmark: every run judged by what is truly so, then summed up per planner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.benchmark import judging
from sdl.benchmark.judging import Ratio, Spread, spread
from sdl.benchmark.running import TOP_SHARES
from sdl.benchmark.truth import is_feasible, pool_merit, reaches_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.benchmark.result import BenchmarkResult, Run, Tried

BASELINE = "random"
"""The planner that others are compared with, where it takes part."""

FACTOR_SHARE = 0.05
"""Enhancement and acceleration are counted over the top 5 % of the pool, as Liang et al. (2021) do."""

LEVELS = (0.1, 0.5)
"""Levels of Top% at which the acceleration factor is given."""


@dataclass(frozen=True)
class Hitting:
    """Experiments until something was found.

    Attributes:
        what: `top 1 %`, `top 5 %` or `target`.
        counts: per seed, the first experiment that found it; budget + 1 for a miss.
        spread: of the counts.
        misses: how many seeds missed.
        ratio: mean of `random` over mean of this planner; None for `random` itself or where it did not take part.
    """

    what: str
    counts: tuple[int, ...]
    spread: Spread
    misses: int
    ratio: Ratio | None


@dataclass(frozen=True)
class Factors:
    """Enhancement and acceleration over random search's exact expectation (Liang et al. 2021).

    Attributes:
        top_percent: Top%(i) for i = 1 … budget, a share, the mean over the seeds.
        highest: the largest EF(i), at experiment `highest_at`; the maximum of a noisy curve lies above its true one.
        at_budget: EF(budget).
        acceleration: level of Top% → AF, None where the level was not reached within the budget.
    """

    top_percent: tuple[float, ...]
    highest: float
    highest_at: int
    at_budget: float
    acceleration: Mapping[float, float | None]


@dataclass(frozen=True)
class PlannerFigures:
    """How one planner did.

    Attributes:
        planner: name.
        hitting: what was to be found, in the order of `TOP_SHARES`, then the target.
        best: best true feasible value within the budget, over the runs that had one.
        without_best: runs in which nothing feasible of known truth was tried.
        regret: simple regret at the budget, over the same runs; None without a known pool.
        factors: None without a known pool.
        seconds: CPU seconds a proposal, over all proposals of all seeds.
        failed: failed experiments over all seeds.
        experiments: experiments over all seeds.
    """

    planner: str
    hitting: tuple[Hitting, ...]
    best: Spread | None
    without_best: int
    regret: Spread | None
    factors: Factors | None
    seconds: Spread | None
    failed: int
    experiments: int


@dataclass(frozen=True)
class Expectation:
    """What random search does, exactly.

    Attributes:
        what: `top 1 %` or `top 5 %`.
        rows: how many rows belong to it; more than max(1, round(share·N)) where the last of them tie.
        mean: (N + 1) / (k + 1) experiments.
        within: the same where a search ends at the budget and a miss counts budget + 1.
        misses: probability of a miss within the budget.
    """

    what: str
    rows: int
    mean: float
    within: float
    misses: float


@dataclass(frozen=True)
class Figures:
    """All figures of a benchmark.

    Attributes:
        planners: in the order of the result.
        expectations: random search's, for the shares of a known pool; empty without one.
        best_of_pool: the best truly feasible value of the pool, or None.
    """

    planners: tuple[PlannerFigures, ...]
    expectations: tuple[Expectation, ...]
    best_of_pool: float | None


def share_name(share: float) -> str:
    """Return `top 1 %`."""
    return f"top {100 * share:g} %"


def figures(result: BenchmarkResult) -> Figures:
    """Judge every run of a benchmark."""
    judge = _Judge(result)
    return Figures(tuple(judge.planner(name) for name in result.planners), judge.expectations(), judge.best_of_pool)


class _Judge:
    """Looks up what is true of every experiment, once."""

    def __init__(self, result: BenchmarkResult) -> None:
        self.result = result
        self.question = result.question
        self.measured = result.pool is None and not any(t.truth is not None for run in result.runs for t in run.tried)
        self.tops: dict[float, NDArray[np.bool_]] = {}
        self.best_merit: float | None = None
        self.best_of_pool: float | None = None
        if result.pool is not None:
            merit, feasible = pool_merit(self.question, result.pool)
            self.tops = {share: judging.top_rows(merit, feasible, share) for share in TOP_SHARES}
            self.best_merit = judging.best_feasible(merit, feasible)
            if self.best_merit is not None:
                row = int(np.flatnonzero(feasible & (merit == self.best_merit))[0])
                self.best_of_pool = float(result.pool.values[self.question.name][row])

    def truth(self, tried: Tried) -> Mapping[str, float] | None:
        """Return what is true of an experiment: the pool's row, else the sample, else (no truth anywhere) what was measured."""
        if self.result.pool is not None and tried.row is not None:
            return self.result.pool.of(tried.row)
        if not self.measured:
            return tried.truth
        complete = all(n in tried.outcomes for n in [self.question.name, *self.question.outcome_constraints])
        return tried.outcomes if complete else None

    # --- per planner -----------------------------------------------------------------------------------------------------

    def planner(self, name: str) -> PlannerFigures:
        """Return one planner's figures."""
        runs = self.result.of(name)
        found = [self._best(run) for run in runs]
        goal, full = self.question.objective, not self.result.until_hit
        merits = [goal.merit(v) for v in found if v is not None]
        regret = [judging.simple_regret(m, self.best_merit) for m in merits]
        return PlannerFigures(
            planner=name,
            hitting=tuple(self._hitting(name, what) for what in self._whats()),
            best=spread([v for v in found if v is not None]),
            without_best=sum(v is None for v in found),
            regret=spread([r for r in regret if r is not None]) if full and self.tops else None,
            factors=self._factors(runs) if full else None,
            seconds=spread([s for run in runs for s in run.seconds]),
            failed=sum(t.state == "failed" for run in runs for t in run.tried),
            experiments=sum(len(run.tried) for run in runs),
        )

    def _whats(self) -> list[str]:
        return [*(share_name(s) for s in self.tops), *(["target"] if self.question.targets else [])]

    def _is_hit(self, what: str, tried: Tried) -> bool:
        if what == "target":
            truth = self.truth(tried)
            return truth is not None and reaches_target(self.question, truth)
        top = next(rows for share, rows in self.tops.items() if share_name(share) == what)
        return tried.row is not None and bool(top[tried.row])

    def _counts(self, planner: str, what: str) -> tuple[int, ...]:
        budget = self.result.budget
        return tuple(
            judging.first_hit([self._is_hit(what, t) for t in run.tried], budget) for run in self.result.of(planner)
        )

    def _hitting(self, planner: str, what: str) -> Hitting:
        counts = self._counts(planner, what)
        over = spread(counts)
        assert over is not None
        ratio = None
        if planner != BASELINE and BASELINE in self.result.planners:
            ratio = judging.ratio_of_means(self._counts(BASELINE, what), counts)
        return Hitting(what, counts, over, sum(c > self.result.budget for c in counts), ratio)

    def _best(self, run: Run) -> float | None:
        """Return the best true feasible value of a run."""
        known = [o for t in run.tried if (o := self.truth(t)) is not None and is_feasible(self.question, o)]
        values = [o[self.question.name] for o in known]
        return max(values, key=self.question.objective.merit, default=None)

    def _factors(self, runs: tuple[Run, ...]) -> Factors | None:
        top = self.tops.get(FACTOR_SHARE)
        if top is None or not top.any():
            return None
        budget = self.result.budget
        share = np.mean([judging.found_share([t.row for t in run.tried], top, budget) for run in runs], axis=0)
        factor = judging.enhancement(share, len(top))
        at = int(np.argmax(factor))
        return Factors(
            top_percent=tuple(float(s) for s in share),
            highest=float(factor[at]),
            highest_at=at + 1,
            at_budget=float(factor[-1]),
            acceleration={level: judging.acceleration(share, len(top), level) for level in LEVELS},
        )

    # --- random search ----------------------------------------------------------------------------------------------------

    def expectations(self) -> tuple[Expectation, ...]:
        """Return random search's exact figures."""
        found = []
        for share, top in self.tops.items():
            n, k = len(top), int(top.sum())
            found.append(
                Expectation(
                    share_name(share),
                    k,
                    judging.expected_first_hit(n, k),
                    judging.expected_first_hit_within(n, k, self.result.budget),
                    judging.probability_of_none(n, k, min(self.result.budget, n)),
                )
            )
        return tuple(found)
