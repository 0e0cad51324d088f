"""What a candidate is worth for what it costs.

The logarithm of the acquisition less the logarithm of the cost: expected improvement per unit of cost (Snoek, Larochelle and
Adams, "Practical Bayesian Optimization of Machine Learning Algorithms", NeurIPS 2012, §3.2). The cost is stated, not learned.
What costs more than is left of `stop.cost` is worth nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sdl.space.expressions import slopes
from sdl.units import convert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sdl.planners.base import History, Json, Problem
    from sdl.planners.bayes.data import FeatureMap
    from sdl.space import Cost

    Array = NDArray[np.float64]

Tensor = Any


NOTHING = -1e300
"""Log acquisitions below this one mean a worth of nothing: minus infinity may have been made finite on the way."""
BEYOND = "nothing was found that costs no more than what is left of 'stop.cost': it is left aside"


class _LogCost(torch.autograd.Function):  # type: ignore[misc]  # torch is not typed
    """The logarithm of the cost at features, shape (n, f) → (n,); infinite where the cost is no number above 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, price: Price) -> Tensor:  # noqa: ANN401  torch's own context
        codes = price.features.codes(x.detach().numpy())
        cost = price.cost.values(codes, price.features.space.names)
        usable = np.isfinite(cost) & (cost > 0)
        ctx.slope = price.slope(codes, np.where(usable, cost, 1.0))
        return torch.tensor(np.where(usable, np.log(np.where(usable, cost, 1.0)), np.inf), dtype=torch.float64)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return upstream[:, None] * torch.tensor(ctx.slope, dtype=torch.float64), None


class Price:
    """What candidates cost, as a factor of an acquisition.

    Args:
        features: of the space.
        cost: of the source on which candidates would be carried out.
        left: what may still be spent, in the unit of the cost, or None for any amount.

    Attributes:
        name: as it is told in the diagnostics.
    """

    name = "per cost"

    def __init__(self, features: FeatureMap, cost: Cost, left: float | None = None) -> None:
        self.features = features
        self.cost = cost
        self.left = left

    def log(self, x: Tensor) -> Tensor:
        """Return the logarithm of what an acquisition is multiplied by at features x, shape (n, f), as (n,); differentiable."""
        logs = _LogCost.apply(x, self)
        return -logs if self.left is None else torch.where(self._fits(logs.exp()), -logs, -torch.inf)

    def log_of_group(self, x: Tensor) -> Tensor:
        """Return the same of groups carried out together, shape (m, k, f), as (m,): a group costs what its members do."""
        logs = _LogCost.apply(x.flatten(0, 1), self).reshape(x.shape[:2])
        total = torch.logsumexp(logs, dim=1)
        return -total if self.left is None else torch.where(self._fits(total.exp()), -total, -torch.inf)

    def at(self, code: Array) -> float:
        """Return the cost of a code, shape (d,)."""
        return float(self.cost.values(code[None, :], self.features.space.names)[0])

    def slope(self, codes: Array, cost: Array) -> Array:
        """Return the derivative of the logarithm of the cost, shape (n,), at codes, shape (n, d), by features: (n, f)."""
        names = self.features.space.names
        found = np.zeros((len(codes), len(self.features.names)))
        stretch = self.features.stretch(codes)
        columns = {name: codes[:, names.index(name)] for name in self.cost.names}
        for name, by in slopes(self.cost.tree, columns)[1].items():
            along = np.broadcast_to(by, (len(codes),)) * self.cost.factor / cost
            found[:, self.features.columns[name]] = along * stretch[:, names.index(name)]
        return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)

    def _fits(self, cost: Tensor) -> Tensor:
        return cost <= (self.left or 0.0) * (1.0 + 1e-9)


def price_of(
    problem: Problem, history: History, features: FeatureMap, source: str, promised: float = 0.0
) -> Price | None:
    """Return what candidates cost on a source, or None where no cost is stated.

    Args:
        problem: what is asked.
        history: tells what was spent.
        features: of the space.
        source: which.
        promised: what the candidates of this round that are chosen already cost.
    """
    known = problem.sources.get(source)
    if known is None or known.cost is None:
        return None
    return Price(features, known.cost, left_of(problem, history, known.cost, promised))


def factors_of(
    problem: Problem, history: History, features: FeatureMap, chosen: Sequence[Array], *, limited: bool = True
) -> tuple[Price, ...]:
    """Return what the acquisition of the target is multiplied by for the sake of costs; nothing where none is stated.

    Args:
        problem: what is asked.
        history: tells what was spent.
        features: of the space.
        chosen: codes, shape (d,) each, of the candidates of this round that are chosen already.
        limited: whether what costs more than is left is worth nothing.
    """
    price = price_of(problem, history, features, problem.target)
    if price is None:
        return ()
    left = price.left
    if left is not None:
        left = left - sum(price.at(code) for code in chosen) if limited else None
    return (Price(features, price.cost, left),)


def cost_told(problem: Problem, source: str, code: Array) -> Json:
    """Return what a candidate costs as JSON to be told beside its acquisition; nothing where no cost is stated."""
    known = problem.sources.get(source)
    if known is None or known.cost is None:
        return {}
    value = float(known.cost.values(code[None, :], problem.space.names)[0])
    return {"cost": {"value": value, "unit": known.cost.unit}}


def left_of(problem: Problem, history: History, cost: Cost, promised: float) -> float | None:
    """Return what may still be spent, in the unit of the costs, or None for any amount."""
    if problem.cost_limit is None:
        return None
    spent = convert(history.spent, history.spent_unit, cost.unit) if history.spent > 0 else 0.0
    return problem.cost_limit - spent - promised
