"""How well the models predict what they have not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from sdl.planners.bayes.data import FeatureMap, observe
from sdl.planners.bayes.isolation import isolated
from sdl.planners.bayes.sources import of_target
from sdl.planners.bayes.weighing import modelled

if TYPE_CHECKING:
    from sdl.planners.base import History, Problem

FEWEST = 3
"""Results below which leaving one out says nothing."""


class LeftOut(TypedDict):
    """One experiment predicted from all others; everything in the outcome's unit."""

    number: int
    measured: float
    predicted: float
    sd: float


def leave_one_out(problem: Problem, history: History) -> dict[str, list[LeftOut]]:
    """Predict each measured outcome from all others, hyperparameters and constant mean being those of the full fit.

    Rasmussen and Williams, Gaussian Processes for Machine Learning (MIT Press 2006), eq. 5.12: with K the covariance
    of the observations, noise included, μᵢ = yᵢ − [K⁻¹(y − c)]ᵢ / [K⁻¹]ᵢᵢ and σᵢ² = 1 / [K⁻¹]ᵢᵢ. A replicate of a
    point stays in when another one is left out. The standard deviation is that of a new measurement, its noise
    included.

    Returns:
        outcome → one entry an experiment, in order of number; outcomes with fewer than three results are missing.
    """
    features = FeatureMap(problem.space)
    history = of_target(problem, history)
    with isolated(0):
        seen = observe(features, history, problem.objectives, problem.outcome_constraints)
        result: dict[str, list[LeftOut]] = {}
        for outcome, data in seen.outcomes.items():
            if len(data.numbers) < FEWEST:
                continue
            mean, sd = modelled(problem, history, features, data)[0].left_out()
            result[outcome] = [
                LeftOut(number=number, measured=float(value), predicted=float(m), sd=float(s))
                for number, value, m, s in zip(data.numbers, data.values, mean, sd, strict=True)
            ]
    return result
