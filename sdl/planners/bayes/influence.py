"""How much each experiment has to do with what a model holds to be best: Shapley values over data points.

The value of a set of experiments is the best outcome that the model predicts, from these experiments alone, at any of a fixed
set of points: its hyperparameters are those of the full fit, and predictions are medians in the outcome's unit. An experiment's
Shapley value is by how much it raises that value when it joins those that came before it, in the mean over all orders
(Shapley 1953; Ghorbani and Zou, "Data Shapley", ICML 2019). The values of all experiments sum to the value of all of
them less that of none, in each order already.

Up to eight experiments are summed exactly over all sets. Of more, orders are drawn at random, each with its reverse; the standard
error is that over such pairs. Nothing needs to be cut short as in the truncated sampling of Ghorbani and Zou: one Cholesky
decomposition of the covariance in an order has those of all its beginnings as leading blocks, so that an order costs no more
than one fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sdl.planners.bayes.models import tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sdl.objective import Objective
    from sdl.planners.bayes.models import OutcomeModel

    Array = NDArray[np.float64]
    Value = Callable[[Sequence[int]], Array]
    """An order of experiments, length n → the value of each of its beginnings, from none to all; shape (n + 1,)."""

MOST = 500
"""Results beyond which no influence is computed. Chosen."""
_EXACT = 8
_PAIRS = 256
"""Most pairs of orders. Chosen."""
_WORK = 1.5e9
"""Multiplications that may be spent on orders, some seconds on one core. Chosen."""
_LEAST_PAIRS = 8


@dataclass(frozen=True)
class Share:
    """What one experiment contributes.

    Attributes:
        experiment: number; 0 and below for what was known before the campaign.
        value: Shapley value, in the outcome's unit: positive where it makes the predicted best better.
        error: standard error of the value by the drawing of orders; 0 where it is exact.
        left_out: by how much the predicted best is better with it than without it, all others being there.
    """

    experiment: int
    value: float
    error: float
    left_out: float


@dataclass(frozen=True)
class Influence:
    """What the experiments contribute to what a model holds to be best.

    Attributes:
        outcome, unit: of what.
        shares: the experiments, the largest value in size first.
        none, all: the predicted best without any experiment, and with all of them, in the outcome's unit; for a number to be
            matched the distance from it.
        points: at how many points the best is looked for.
        orders: how many orders were drawn, or None where the values are exact.
    """

    outcome: str
    unit: str
    shares: tuple[Share, ...]
    none: float
    all: float
    points: int
    orders: int | None


def influence(model: OutcomeModel, goal: Objective, points: Array) -> Influence:
    """Return what each result contributes to what the model holds to be best.

    Args:
        model: fitted to n results.
        goal: what is wanted of the outcome.
        points: features among which the best is looked for, shape (m, f), at least one.

    Raises:
        ValueError: there are more results than `MOST`.
        torch.linalg.LinAlgError: the covariance of the results is not positive definite.
    """
    numbers = model.data.numbers
    n = len(numbers)
    if n > MOST:
        raise ValueError(f"there are {n} results, and it is computed for at most {MOST}")
    value = _value_of(model, goal, points)
    straight = value(range(n))
    left_out = [float(straight[-1] - value([j for j in range(n) if j != i])[-1]) for i in range(n)]
    orders: int | None = None
    if n <= _EXACT:
        values, errors = exact(value, n), np.zeros(n)
    else:
        per_order = n**2 * len(points) + n**3 / 3
        pairs = int(min(_PAIRS, max(_LEAST_PAIRS, _WORK / (2 * per_order))))
        values, errors = sampled(value, n, pairs)
        orders = 2 * pairs
    found = [
        Share(numbers[i], float(values[i]), float(errors[i]), left_out[i])
        for i in np.argsort(-np.abs(values), kind="stable")
    ]
    sign = -1.0 if goal.goal != "maximize" else 1.0
    return Influence(
        model.data.name,
        goal.unit,
        tuple(found),
        sign * float(straight[0]),
        sign * float(straight[-1]),
        len(points),
        orders,
    )


def exact(value: Value, n: int) -> Array:
    """Return the Shapley values of n players, shape (n,), by all of their 2ⁿ sets."""
    worth = {
        frozenset(members): float(value(members)[-1])
        for size in range(n + 1)
        for members in combinations(range(n), size)
    }
    found = np.zeros(n)
    for members, with_all in worth.items():
        weight = (
            math.factorial(len(members) - 1) * math.factorial(n - len(members)) / math.factorial(n) if members else 0.0
        )
        for i in members:
            found[i] += weight * (with_all - worth[members - {i}])
    return found


def sampled(value: Value, n: int, pairs: int, seed: int = 0) -> tuple[Array, Array]:
    """Return estimates of the Shapley values of n players, and their standard errors; shape (n,) each.

    Args:
        value: of beginnings of an order.
        n: how many players.
        pairs: how many orders are drawn, at least 2; each is taken forwards and backwards (Mitchell et al., Journal of Machine
            Learning Research 23, 43 (2022), section 4: antithetic sampling).
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    gained = np.zeros((pairs, n))
    for row in gained:
        order = rng.permutation(n)
        for one in (order, order[::-1]):
            row[one] += 0.5 * np.diff(value(list(one)))
    return gained.mean(axis=0), gained.std(axis=0, ddof=1) / math.sqrt(pairs)


def _value_of(model: OutcomeModel, goal: Objective, points: Array) -> Value:
    """Return the value function: merits, larger for better, of the best median that is predicted at the points."""
    scale = model.data.scale
    prior, noise = _prior(model, points)
    n = len(model.data.numbers)
    mean, covariance = prior
    residual = tensor(model.data.standardised) - mean[:n]
    known = covariance[:n, :n] + torch.diag(noise)
    across = covariance[:n, n:]

    def best(standard: Array) -> Array:
        natural = scale.natural(standard)
        if goal.value is not None:
            merit = -np.abs(natural - float(goal.value))
        else:
            merit = natural if goal.goal == "maximize" else -natural
        top: Array = merit.max(axis=-1)
        return top

    def value(order: Sequence[int]) -> Array:
        rows = torch.as_tensor(list(order), dtype=torch.long)
        if not len(rows):
            return best(mean[n:].numpy()[None, :])
        root = torch.linalg.cholesky(known[rows][:, rows])
        # in the decomposition of an order those of all its beginnings are leading blocks
        by_step = torch.linalg.solve_triangular(
            root, torch.cat([across[rows], residual[rows][:, None]], dim=1), upper=False
        )
        steps = by_step[:, :-1] * by_step[:, -1:]
        predicted = mean[n:] + torch.cat([torch.zeros(1, steps.shape[1]), steps.cumsum(dim=0)])
        return best(predicted.numpy())

    return value


def _prior(model: OutcomeModel, points: Array) -> tuple[tuple[Any, Any], Any]:
    """Return the prior's mean and covariance at results and points, and the results' noise variances, standardised."""
    gp = model.gp
    with torch.no_grad():
        x = torch.cat([tensor(model.data.features), tensor(points)])
        joint = gp.forward(gp.transform_inputs(x))
        noise = torch.full((len(model.data.numbers),), model.noise)
        if model.data.noise is not None:
            noise = noise + tensor(model.data.noise).clamp_min(1e-6)
        return (joint.mean, joint.covariance_matrix), noise
