"""Hints: what is known of an outcome before it is measured, as functions of what the models see.

A hint is physics (a model named in the campaign) or an earlier campaign, whose own Gaussian process is asked. Both are
differentiable functions of features, so that the search can climb along them; where a model states no derivatives, differences
are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from sdl.errors import PlannerError
from sdl.planners.base import History
from sdl.planners.bayes.data import FeatureMap, observe
from sdl.planners.bayes.isolation import isolated
from sdl.planners.beforehand import PointModel, point_of, values_of
from sdl.space import Continuous
from sdl.space.sampling import uniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sdl.planners.base import Problem
    from sdl.planners.bayes.models import OutcomeModel
    from sdl.planners.beforehand import Role, SourceTask

    Array = NDArray[np.float64]

Tensor = Any

REFERENCE = 256
"""Points of the space over which a hint's spread is looked at. Chosen."""
_STEP = 1e-4
"""Step of a difference, in shares of a parameter's range. Chosen: far above rounding, far below what bends."""
_MOST_SOURCE = 200
"""Results of an earlier campaign from which on so many are drawn: beyond, its model costs more than it tells. Chosen."""
_REMEMBERED = 16
_ASKED = 3
"""Answers that are kept, besides the last one. Chosen."""


@dataclass(frozen=True, eq=False)
class Hint:
    """Something that says what an outcome may be.

    Attributes:
        name: of the physics or of the earlier campaign.
        kind: which of the two.
        role: whether it is what is expected beforehand, or a further input.
        digest: SHA-256 of what it rests on.
        at: features (…, f) → its value in the outcome's unit (…,), differentiable.
        reference: its values at points of the space, shape (r,).
        source: the model of the earlier campaign; None for physics.
        left_open: the covariance of what the earlier campaign leaves open, on its model's scale, between features (…, n, f)
            and (…, m, f), or its diagonal; None for physics.
        notes: what was not done the usual way.
    """

    name: str
    kind: Literal["physics", "transfer"]
    role: Role
    digest: str
    at: Callable[[Tensor], Tensor]
    reference: Array
    source: OutcomeModel | None = None
    left_open: SourcePosterior | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_positive(self) -> bool:
        """Whether its values are above 0, so that they have a place on a logarithmic scale."""
        above = self.source is not None and self.source.data.scale.bend == "log"
        return above or float(self.reference.min()) > 0


def hints_for(problem: Problem, features: FeatureMap, outcome: str) -> tuple[Hint, ...]:
    """Return the hints on an outcome, physics first, in the order of the campaign.

    Raises:
        PlannerError: a model is not finite at a point of the space.
    """
    found = [
        _physics(features, problem.models[physics.name], physics.role)
        for physics in problem.physics
        if physics.outcome == outcome
    ]
    for task in problem.transfer:
        hint = _source(problem, features, task, outcome)
        if hint is not None:
            found.append(hint)
    return tuple(found)


def _reference(features: FeatureMap) -> Array:
    space = features.space
    count = REFERENCE if space.pool is None else min(REFERENCE, len(space.pool))
    return uniform(space, count, np.random.default_rng(0))


# --- physics ---------------------------------------------------------------------------------------------------------


def _physics(features: FeatureMap, model: PointModel, role: Role) -> Hint:
    reference = values_of(model, features.space, _reference(features))
    called = _Called(features, model, float(np.median(reference)))
    count = len(features.names)
    return Hint(model.name, "physics", role, model.digest, Once(called, count), reference)


@dataclass(frozen=True, eq=False)
class _Called:
    """A model as a function of features, shape (n, f) → (n,).

    Attributes:
        elsewhere: what is taken for its value where it has none outside the space, whither a search may stray but from where
            nothing is proposed.
    """

    features: FeatureMap
    model: PointModel
    elsewhere: float

    def __call__(self, x: Tensor) -> Tensor:
        found: Tensor = _AtPoints.apply(x, self)
        return found

    def values(self, codes: Array) -> Array:
        """Return finite values at codes, shape (n, d); shape (n,)."""
        found = self.model(codes)
        wrong = ~np.isfinite(found)
        if not wrong.any():
            return found
        space = self.features.space
        values_of(self.model, space, codes[wrong & space.in_box(codes) & space.satisfies(codes)])
        return np.where(wrong, self.elsewhere, found)

    def slopes(self, codes: Array) -> Array:
        """Return derivatives by features, shape (n, f), at codes, shape (n, d)."""
        space = self.features.space
        stretch = self.features.stretch(codes)
        by_code = self.model.slopes(codes)
        if by_code is None:
            by_code = np.zeros(codes.shape)
            for i, parameter in enumerate(space.parameters.values()):
                if not isinstance(parameter, Continuous):
                    continue
                at = codes[:, i]
                step = _STEP * np.abs(stretch[:, i])
                up, down = codes.copy(), codes.copy()
                up[:, i] = np.minimum(at + step, np.maximum(parameter.upper, at))
                down[:, i] = np.maximum(at - step, np.minimum(parameter.lower, at))
                width = up[:, i] - down[:, i]
                by_code[:, i] = (self.values(up) - self.values(down)) / np.where(width > 0, width, 1.0)
        found = np.zeros((len(codes), len(self.features.names)))
        for i, name in enumerate(space.names):
            if name in self.features.columns:
                found[:, self.features.columns[name]] = by_code[:, i] * stretch[:, i]
        return np.where(np.isfinite(found), found, 0.0)  # a kink: one side says nothing


class _AtPoints(torch.autograd.Function):  # type: ignore[misc]  # torch has no types
    """A model's values at features, with its derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, called: _Called) -> Tensor:  # noqa: ANN401  torch's context
        codes = called.features.codes(x.detach().numpy())
        ctx.called, ctx.codes = called, codes
        return torch.from_numpy(np.array(called.values(codes), dtype=np.float64))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return grads[0][:, None] * torch.from_numpy(ctx.called.slopes(ctx.codes)), None


def each_once(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return a function of points, (n, f) → (n, …), at many batches of points, (…, q, f) → (…, q, …).

    Points that stand at the same place in every batch (what was measured, beside one candidate each) are asked for once.
    """
    if x.dim() == 2:
        return function(x)
    batches = x.reshape(-1, x.shape[-2], x.shape[-1])
    same = (batches == batches[:1]).all(dim=-1).all(dim=0)
    if len(batches) == 1 or not bool(same.any()):
        found = function(batches.reshape(-1, x.shape[-1]))
        return found.reshape(*x.shape[:-1], *found.shape[1:])
    order = torch.argsort(same.to(torch.int8), descending=True, stable=True)
    shared = function(batches[0, same])
    shared = shared.expand(len(batches), *shared.shape)
    if not bool(same.all()):
        own = batches[:, ~same]
        rest = function(own.reshape(-1, x.shape[-1]))
        shared = torch.cat([shared, rest.reshape(*own.shape[:2], *rest.shape[1:])], dim=1)[:, torch.argsort(order)]
    return shared.reshape(*x.shape[:-1], *shared.shape[2:])


class Once:
    """A function of points, (n, f) → (n, …), at many batches of points, (…, q, f) → (…, q, …); see `each_once`.

    The same points are asked for several times in a row, for the mean and the covariance of one posterior: the last answers
    are kept, beside the points themselves, so that nothing else can take their place in memory.

    Args:
        function: what is asked; further features are passed over.
        count: how many features it has.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], count: int) -> None:
        self._function, self._count = function, count
        self._asked: list[tuple[Tensor, Tensor]] = []

    def __call__(self, x: Tensor) -> Tensor:
        """Return the function at features (…, q, f)."""
        if not x.requires_grad:
            for points, answer in self._asked:
                if _is_same(points, x):
                    return answer
        answer = each_once(self._function, x[..., : self._count])
        if not answer.requires_grad:
            self._asked = [(x, answer), *self._asked[:_ASKED]]
        return answer


def _is_same(one: Tensor, two: Tensor) -> bool:
    """Tell whether two tensors are the same place in memory, unchanged."""
    place = (one.data_ptr(), one.shape, one.stride(), one._version)  # noqa: SLF001  it counts changes; there is no public name
    return bool(place == (two.data_ptr(), two.shape, two.stride(), two._version))  # noqa: SLF001


# --- earlier campaigns -----------------------------------------------------------------------------------------------


_fitted: dict[tuple[Any, ...], OutcomeModel | None] = {}
"""Models of earlier campaigns: functions of their data alone, so remembering them changes nothing but the time."""


def _source(problem: Problem, features: FeatureMap, task: SourceTask, outcome: str) -> Hint | None:
    model = _model_of(problem, features, task, outcome)
    if model is None:
        return None
    scale = model.data.scale
    count = len(features.names)
    posterior = SourcePosterior(model, count)

    def predicted(x: Tensor) -> Tensor:
        return Mapped.apply(posterior.mean(x), scale.natural, lambda y: 1.0 / scale.slope(y))

    reference = _reference(features)
    with torch.no_grad():
        values = predicted(torch.from_numpy(features(reference))).numpy()
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise PlannerError(
            f"the model of the earlier campaign '{task.name}' gives '{outcome}' = {values[row]:g} at "
            f"{point_of(features.space, reference[row])}; leave the campaign out of 'transfer'"
        )
    found = {t.number for t in task.trials if outcome in t.outcomes}
    notes: tuple[str, ...] = ()
    if len(found) > _MOST_SOURCE:
        notes = (f"'{outcome}': of the {len(found)} results of '{task.name}' {_MOST_SOURCE} drawn at random are used",)
    return Hint(task.name, "transfer", "mean", task.digest, predicted, values, model, posterior, notes)


def _model_of(problem: Problem, features: FeatureMap, task: SourceTask, outcome: str) -> OutcomeModel | None:
    from sdl.planners.bayes.choice import choose

    wanted = (problem.objectives.get(outcome), problem.outcome_constraints.get(outcome))
    key = (task.digest, outcome, repr(problem.space.parameters), *(v.tobytes() for v in features.limits), repr(wanted))
    if key in _fitted:
        return _fitted[key]
    trials = [t for t in task.trials if outcome in t.outcomes and t.state == "done"]
    if len(trials) > _MOST_SOURCE:
        chosen = np.random.default_rng(0).choice(len(trials), size=_MOST_SOURCE, replace=False)
        trials = [trials[i] for i in sorted(chosen)]
    model: OutcomeModel | None = None
    if trials:
        with isolated(0):
            seen = observe(features, History(tuple(trials)), problem.objectives, problem.outcome_constraints)
            if outcome in seen.outcomes:
                model = choose(seen.outcomes[outcome], features.groups, None)[0]
    _fitted[key] = model
    while len(_fitted) > _REMEMBERED:
        _fitted.pop(next(iter(_fitted)))
    return model


class SourcePosterior:
    """What a model without hints believes, on its own scale, as differentiable functions of features.

    With K the covariance of its results, noise included: c + k(x, X)K⁻¹(z − c) and k(x, x') − k(x, X)K⁻¹k(X, x').

    Args:
        model: the model.
        count: how many features it has; further ones are passed over.
    """

    def __init__(self, model: OutcomeModel, count: int) -> None:
        self._kernel, self._known, self._count = model.gp.covar_module, model.gp.train_inputs[0], count
        self._constant = model.constant
        with torch.no_grad():
            prior = model.gp.likelihood(model.gp.forward(self._known), self._known)
            self._factor = torch.linalg.cholesky(prior.covariance_matrix)
            left = (model.gp.train_targets - prior.mean)[:, None]
            self._weights = torch.linalg.solve_triangular(self._factor, left, upper=False)[:, 0]
        self._whitened = Once(self._solved, count)
        """L⁻¹k(X, x) with K = LLᵀ, at features (…, f), shape (…, results)."""

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean at features (…, f), shape (…,)."""
        return self._constant + self._whitened(x) @ self._weights

    def __call__(self, one: Tensor, two: Tensor, diag: bool) -> Tensor:
        """Return the covariance between features (…, n, f) and (…, m, f), shape (…, n, m), or its diagonal, (…, n)."""
        left, right = self._whitened(one), self._whitened(two)
        one, two = one[..., : self._count], two[..., : self._count]
        if diag:
            return (self._kernel(one, two, diag=True) - (left * right).sum(dim=-1)).clamp_min(0.0)
        return self._kernel(one, two).to_dense() - left @ right.mT

    def _solved(self, x: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self._factor, self._kernel(self._known, x).to_dense(), upper=False).mT


class Mapped(torch.autograd.Function):  # type: ignore[misc]
    """A function of numbers with its slope, both of numpy, applied to each number of a tensor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Tensor:  # noqa: ANN401
        """Return the function's values."""
        found = value(x.detach().numpy())
        ctx.slope, ctx.found = slope, found
        return torch.from_numpy(np.array(found, dtype=np.float64))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        """Return the gradient by the numbers; the slope is a function of the value."""
        return grads[0] * torch.from_numpy(np.array(ctx.slope(ctx.found), dtype=np.float64)), None, None
