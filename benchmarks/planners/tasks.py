"""What a task is: a problem, how it is measured, and how a run is judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners.points import to_candidates
from sdl.space import Candidate, Space

INITIAL = 5
"""Random initial points of every run, counted: the convention on pools, kept for all tasks."""

Values = dict[str, float]


@dataclass(frozen=True, eq=False)
class Task:
    """One task.

    Attributes:
        name: of the task.
        family: under which intervals are pooled.
        space: what may vary.
        objectives: outcome → objective.
        constraints: outcome → bounds.
        budget: experiments of a run, initial ones included.
        truth: candidate → outcome → value without noise.
        judged: `hit`, the number of experiments to the first of the best candidates, budget + 1 for a miss; or `gap`,
            how far the best point evaluated is from the optimum, by its true values.
        gap: the true values of all points evaluated so far → the gap; for `hit` 0 once one of the best was found.
        noise_sd: of a measurement, Gaussian.
        outlier: probability that a measurement is shifted by ±10 noise standard deviations.
        initial: random initial points.
    """

    name: str
    family: str
    space: Space
    objectives: Mapping[str, Objective]
    budget: int
    truth: Callable[[Candidate], Values]
    judged: Literal["hit", "gap"]
    gap: Callable[[list[Values]], float]
    constraints: Mapping[str, OutcomeConstraint] | None = None
    noise_sd: float = 0.0
    outlier: float = 0.0
    initial: int = INITIAL

    def start(self, seed: int) -> list[Candidate]:
        """Return the initial candidates of a seed: the same for every planner, uniform, without repeats on a pool.

        Drawn here and not by a planner's design, so that they stay what they are while planners change. No task without
        a pool has constraints between parameters.
        """
        rng = np.random.default_rng(_seed(self.name, seed, 0))
        if self.space.pool is not None:
            codes = self.space.pool.codes[rng.permutation(len(self.space.pool))[: self.initial]]
        else:
            codes = self.space.from_unit(rng.random((self.initial, len(self.space.names))))
        return to_candidates(self.space, codes)

    def measured(self, true: Values, seed: int, number: int) -> dict[str, Estimate]:
        """Return what is measured at experiment `number`: noise depends on task, seed, number and outcome only."""
        found = {}
        for outcome, value in true.items():
            rng = np.random.default_rng([_seed(self.name, seed, number), *outcome.encode()])
            error = self.noise_sd * rng.normal() if self.noise_sd else 0.0
            if self.outlier and rng.random() < self.outlier:
                error += 10.0 * self.noise_sd * rng.choice([-1.0, 1.0])
            found[outcome] = Estimate(value + error)
        return found


def _seed(name: str, seed: int, number: int) -> int:
    digest = hashlib.sha256(f"{name} {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
