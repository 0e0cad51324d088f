"""The joint desirability of several outcomes as one merit: of joint draws, and what is expected of it.

A draw of standardised outcomes is turned into the outcomes' units, each outcome into its desirability, and all into their
weighted geometric mean (`sdl.objective.desirability`). That is 0, and has no slope, wherever one outcome is of no use: a search
that begins there would not know where to go. So the acquisition sees each desirability, before its power, with a lower tail:
as it is above f = 0.01, below it f²/(2f − t), where t is the line that it follows (0 at `from`, 1 at `to`), carried on below
0. Value and slope are continuous at f; the tail falls as 1/|t|, so that it keeps a slope far away, and adds at most f/2. Chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.utils.sampling import draw_sobol_normal_samples

from sdl.planners.bayes.models import tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.objective import Objective
    from sdl.planners.bayes.models import OutcomeModel
    from sdl.planners.bayes.scales import Scale

    Array = NDArray[np.float64]

Tensor = Any
Model = Any

FLOOR = 0.01
_DRAWS = 512
_LARGEST = 300.0
"""Exponent beyond which an outcome on a bent scale is not followed: its desirability has long been 0 or 1."""


class Joint:
    """The joint desirability as a function of draws of standardised outcomes.

    Args:
        models: outcome → model, in the order of the draws' last axis.
        objectives: name → objective; all have a desirability and a model.
        floor: where the lower tail begins; 0 for the desirability itself.
    """

    def __init__(
        self, models: Mapping[str, OutcomeModel], objectives: Mapping[str, Objective], floor: float = FLOOR
    ) -> None:
        names = list(models)
        self._parts = [(names.index(name), models[name].data.scale, goal) for name, goal in objectives.items()]
        self._floor = floor

    def __call__(self, samples: Tensor, X: Tensor = None) -> Tensor:  # noqa: N803  BoTorch's name
        """Return the joint desirability of draws, shape (…, outcomes), as shape (…)."""
        del X
        total, weights = 0.0, 0.0
        for column, scale, goal in self._parts:
            wanted = goal.desirability
            assert wanted is not None
            y = natural(scale, samples[..., column])
            zero, one = wanted.line(goal.value)
            at = y if goal.value is None else (y - float(goal.value)).abs()
            share = ((at - zero) / (one - zero)).clamp_max(1.0)
            if self._floor > 0:
                f = self._floor
                share = torch.where(share >= f, share, f**2 / (2 * f - share.clamp_max(f)))
            else:
                share = share.clamp_min(0.0)
            total = total + wanted.weight * wanted.shape * share.log()
            weights += wanted.weight
        found: Tensor = torch.exp(total / weights)
        return found

    def expected(self, model: Model, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation at points, shape (m, f), each by itself: (m,) each.

        By 512 quasi-random draws, always the same, of the outcomes, which have a model each and so are independent at a point.

        Args:
            model: of the outcomes, standardised, in the order of `models`.
            points: features.
        """
        with torch.no_grad():
            posterior = model.posterior(points)
            mean, sd = posterior.mean, posterior.variance.clamp_min(0.0).sqrt()
            normal = draw_sobol_normal_samples(mean.shape[-1], _DRAWS, dtype=mean.dtype, seed=0)
            drawn = self(mean + normal[:, None, :] * sd)
        return drawn.mean(dim=0), drawn.std(dim=0, correction=0)


def natural(scale: Scale, z: Tensor) -> Tensor:
    """Return standardised values in the outcome's unit, as `Scale.natural` does; differentiable."""
    bent = z * scale.width + scale.centre
    if scale.bend == "log":
        return bent.clamp_max(_LARGEST).exp()
    if scale.bend == "power":
        bent = _grown_back(bent.clamp_min(0.0), scale.power) - _grown_back((-bent).clamp_min(0.0), 2.0 - scale.power)
    return bent * scale.spread + scale.location


def _grown_back(t: Tensor, power: float) -> Tensor:
    exponent = t if power < 1e-9 else torch.log1p(power * t) / power
    return torch.expm1(exponent.clamp_max(_LARGEST))


def predicted(
    models: Mapping[str, OutcomeModel], objectives: Mapping[str, Objective], model: Model, x: Array
) -> tuple[Array, Array]:
    """Return mean and standard deviation of the joint desirability, without a tail, at features x, shape (m, f): (m,) each.

    Args:
        models: outcome → model.
        objectives: name → objective.
        model: all models as one, in the same order (`models.joint`), of outcomes or of their expectations within tolerances.
        x: features.
    """
    mean, sd = Joint(models, objectives, floor=0.0).expected(model, tensor(x))
    return mean.numpy(), sd.numpy()
