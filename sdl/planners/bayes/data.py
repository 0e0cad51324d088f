"""What the models see: points as features, and each outcome's observations on a scale of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import SpaceError
from sdl.planners.bayes.scales import Scale, bent, plain
from sdl.planners.bayes.scatter import scatter_of
from sdl.space import Categorical, Continuous
from sdl.space.space import category_features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.objective import Objective, OutcomeConstraint
    from sdl.planners.base import History, Trial
    from sdl.planners.bayes.hints import Hint
    from sdl.planners.bayes.scales import Bend
    from sdl.planners.bayes.scatter import Scatter
    from sdl.space import Space

    Array = NDArray[np.float64]

_EXACT = 1e-6
"""Share of a parameter's range within which a number counts as one of its levels: what is left is rounding."""
_VAGUE = 1e3
"""A result whose uncertainty is this many times the spread of all results tells nothing."""

_ROUNDING = 1e-12
"""A result this small beside the largest is a zero with a rounding error, which has no place on a logarithmic scale. Chosen."""


@dataclass(frozen=True)
class FeatureMap:
    """Turns codes into what the models see.

    Numbers are on [0, 1] along their scale, over their bounds or, with a pool, over the range that the pool covers;
    categories are one-hot (sharing one length scale) or scaled descriptors (one length scale each).
    """

    space: Space

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name per feature: `x`, `x=category` or `x.descriptor`."""
        names: list[str] = []
        for name, parameter in self.space.parameters.items():
            if not isinstance(parameter, Categorical):
                names.append(name)
            elif parameter.descriptors is None:
                names.extend(f"{name}={value}" for value in parameter.values)
            else:
                names.extend(f"{name}.{key}" for key in next(iter(parameter.descriptors.values())))
        return tuple(names)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Per feature the name of its length scale."""
        return tuple(name.split("=", 1)[0] if "=" in name else name for name in self.names)

    @cached_property
    def columns(self) -> dict[str, int]:
        """Parameter → its column among the features; numbers only."""
        return {name: i for i, name in enumerate(self.names) if name in self.space.parameters}

    @cached_property
    def _range(self) -> tuple[Array, Array]:
        low, span = np.zeros(len(self.names)), np.ones(len(self.names))
        if self.space.pool is not None and len(self.space.pool):
            every = self.space.features(self.space.pool.codes)
            numeric = list(self.columns.values())
            low[numeric] = every[:, numeric].min(axis=0)
            width = np.ptp(every[:, numeric], axis=0)
            span[numeric] = np.where(width > 0, width, 1.0)
        return low, span

    @property
    def limits(self) -> tuple[Array, Array]:
        """Where features begin, and how wide they are, in unit coordinates; shapes (f,)."""
        return self._range

    def __call__(self, codes: Array) -> Array:
        """Return features, shape (n, f), of codes, shape (n, d)."""
        low, span = self._range
        return np.ascontiguousarray((self.space.features(codes) - low) / span)

    def codes(self, features: Array) -> Array:
        """Return codes, shape (n, d), of features, shape (n, f): levels and categories are the nearest ones."""
        low, span = self._range
        unit = features * span + low
        columns: list[Array] = []
        at = 0
        for parameter in self.space.parameters.values():
            if isinstance(parameter, Categorical):
                known = category_features(parameter)
                mine = unit[:, at : at + known.shape[1]]
                columns.append(((mine[:, None, :] - known) ** 2).sum(axis=2).argmin(axis=1).astype(np.float64))
                at += known.shape[1]
                continue
            u = unit[:, at]
            at += 1
            if isinstance(parameter, Continuous):
                columns.append(_along(parameter, u))
            else:
                levels = parameter.levels
                column = parameter.lower + u * (parameter.upper - parameter.lower)
                right = np.clip(np.searchsorted(levels, column), 1, len(levels) - 1)
                low_one, high_one = levels[right - 1], levels[right]
                near = np.where(column - low_one <= high_one - column, low_one, high_one)
                # between and outside the levels (an earlier campaign may have been there) a number stays as it is
                columns.append(np.where(np.abs(column - near) <= _EXACT * (levels[-1] - levels[0]), near, column))
        return np.stack(columns, axis=1)

    def stretch(self, codes: Array) -> Array:
        """Return the derivative of each continuous parameter's code by its feature, shape (n, d); 0 for all others."""
        found = np.zeros(codes.shape)
        _, span = self._range
        for i, (name, parameter) in enumerate(self.space.parameters.items()):
            if isinstance(parameter, Continuous):
                width = parameter.upper - parameter.lower
                along = codes[:, i] * math.log(parameter.upper / parameter.lower) if parameter.scale == "log" else width
                found[:, i] = along * span[self.columns[name]]
        return found


def _along(parameter: Continuous, unit: Array) -> Array:
    """Return what lies at unit coordinates, shape (n,), along a parameter's scale, also beyond its bounds."""
    if parameter.scale == "log":
        return np.asarray(parameter.lower * np.exp(unit * math.log(parameter.upper / parameter.lower)))
    return np.asarray(parameter.lower + unit * (parameter.upper - parameter.lower))


@dataclass(frozen=True, eq=False)
class OutcomeData:
    """One outcome's observations.

    Attributes:
        name: of the outcome.
        numbers: the experiments' numbers, length n.
        features: shape (n, f).
        values: in the outcome's unit, shape (n,).
        uncertainties: standard uncertainties in the outcome's unit, shape (n,), or None where the models do not use
            them.
        scale: on which the model sees them.
        landmarks: numbers that the campaign compares the outcome with, in its unit.
        excess: standard deviations of a noise of its own that a doubted result has, in the outcome's unit, shape (n,), zero
            for all others; or None where none is doubted.
        hints: what is known of the outcome beforehand, as far as it is used (`hints`).
        scatter: how noise differs over the space, where duplicates say that it does.
        core: rows that hyperparameters are fitted to in long runs (`subset`); None for all.
    """

    name: str
    numbers: tuple[int, ...]
    features: Array
    values: Array
    uncertainties: Array | None
    scale: Scale
    landmarks: tuple[float, ...] = ()
    excess: Array | None = None
    hints: tuple[Hint, ...] = ()
    scatter: Scatter | None = None
    core: tuple[int, ...] | None = None

    @cached_property
    def standardised(self) -> Array:
        """The values on the model's scale, shape (n,)."""
        return self.scale.standardised(self.values)

    @cached_property
    def noise(self) -> Array | None:
        """Known noise variances on the model's scale, shape (n,), or None: by the slope of the scale at each value."""
        parts = [u**2 for u in (self.uncertainties, self.excess) if u is not None]
        if self.scatter is not None:
            parts.append(self.scatter.excess(self.features))
        if not parts:
            return None
        known = sum(parts)
        return np.asarray(known * self.scale.slope(self.values) ** 2)

    @property
    def doubted(self) -> list[int]:
        """Numbers of the experiments whose results are believed less."""
        return [] if self.excess is None else [n for n, e in zip(self.numbers, self.excess, strict=True) if e > 0]

    @property
    def trusted(self) -> Array:
        """The values that are not doubted: a scale follows from them alone, else one broken reading could hide all others."""
        return self.values if self.excess is None else self.values[self.excess == 0]

    def bent(self, bend: Bend) -> OutcomeData | None:
        """Return the same observations on a bent scale, or None where that bend makes no sense for them."""
        below = any(h.role == "mean" and not h.is_positive for h in self.hints)
        if bend == "log" and (below or self.values.min() <= _ROUNDING * self.values.max()):
            return None  # even a doubted result, or what is expected, needs a place on the scale
        scale = bent(plain(self.name, self.trusted, self.landmarks)[0], bend, self.trusted, self.landmarks)
        return None if scale is None else replace(self, scale=scale)


@dataclass(frozen=True, eq=False)
class Observed:
    """The history as arrays.

    Attributes:
        outcomes: outcome → its observations; outcomes that nothing has been observed of are missing.
        results: codes of the experiments with results, shape (k, d), in order of number.
        has_objective: per row of `results`, whether every objective was measured.
        pending: codes of experiments under way, shape (p, d).
        failed: codes of failed experiments, shape (q, d).
        notes: what was left aside or assumed, one line each.
    """

    outcomes: Mapping[str, OutcomeData]
    results: Array
    has_objective: NDArray[np.bool_]
    pending: Array
    failed: Array
    notes: tuple[str, ...]


def observe(
    features: FeatureMap,
    history: History,
    objectives: Mapping[str, Objective],
    constraints: Mapping[str, OutcomeConstraint],
) -> Observed:
    """Read the history; candidates that the space cannot express are skipped, the caller reports them."""
    notes: list[str] = []
    space = features.space
    rows: dict[str, list[tuple[Trial, Array]]] = {"done": [], "failed": [], "pending": []}
    for trial in history.trials:
        try:
            code = space.encode([trial.candidate])[0]
        except (SpaceError, KeyError, ValueError):
            continue
        rows[trial.state].append((trial, code))
    sources = sorted({t.source for t, _ in rows["done"]})
    if len(sources) > 1:
        notes.append(f"results of sources {', '.join(sources)} are treated as one kind of measurement")
    unused = [t.number for t, _ in rows["failed"] if t.outcomes]
    if unused:
        notes.append(f"outcomes of failed experiments {unused} are not used")
    outcomes = {}
    for name in dict.fromkeys([*objectives, *constraints]):
        landmarks = _landmarks(name, objectives, constraints)
        data = _outcome(name, rows["done"], features, landmarks, notes)
        if data is not None:
            outcomes[name] = data
    known = [set(outcomes[name].numbers) if name in outcomes else set() for name in objectives]
    measured: set[int] = set.intersection(*known)
    d = len(space.names)
    stack = {state: np.array([code for _, code in found]).reshape(-1, d) for state, found in rows.items()}
    return Observed(
        outcomes=outcomes,
        results=stack["done"],
        has_objective=np.array([t.number in measured for t, _ in rows["done"]], dtype=bool),
        pending=stack["pending"],
        failed=stack["failed"],
        notes=tuple(notes),
    )


def _landmarks(
    name: str, objectives: Mapping[str, Objective], constraints: Mapping[str, OutcomeConstraint]
) -> list[float]:
    """Return the numbers that the campaign compares an outcome with."""
    found: list[float] = []
    if name in objectives:
        wanted = objectives[name]
        found.extend(float(v) for v in (wanted.value, wanted.reference) if v is not None)
    if name in constraints:
        bounds = constraints[name]
        found.extend(float(b) for b in (bounds.at_least, bounds.at_most) if b is not None)
    return found


def _outcome(
    name: str,
    done: Sequence[tuple[Trial, Array]],
    features: FeatureMap,
    landmarks: Sequence[float],
    notes: list[str],
) -> OutcomeData | None:
    numbers: list[int] = []
    codes: list[Array] = []
    values: list[float] = []
    stated: list[float | None] = []
    for trial, code in done:
        estimate = trial.outcomes.get(name)
        if estimate is None:
            notes.append(f"experiment {trial.number} has no '{name}'")
        elif not math.isfinite(estimate.value):
            notes.append(f"experiment {trial.number}: '{name}' is not finite and was left aside")
        else:
            numbers.append(trial.number)
            codes.append(code)
            values.append(float(estimate.value))
            stated.append(estimate.uncertainty)
    if not values:
        return None
    usable = [u for u in stated if u is not None and math.isfinite(u) and u >= 0]
    y = np.array(values)
    scale, note = plain(name, y, landmarks)
    notes.extend(note)
    most = _VAGUE * scale.spread
    uncertainties = None
    if len(usable) == len(values):
        uncertainties = np.array(usable)
        vague = [k for k, u in zip(numbers, uncertainties, strict=True) if u > most]
        if vague:
            notes.append(
                f"'{name}': the uncertainties of experiments {vague} exceed {_VAGUE:g} times the spread of all "
                f"results and are taken as that, which is to say that these results tell nothing"
            )
            uncertainties = np.minimum(uncertainties, most)
    elif any(u is not None for u in stated):
        notes.append(
            f"'{name}': {len(usable)} of {len(values)} results have a usable uncertainty; all are left aside and the "
            f"noise is inferred"
        )
    x = features(np.array(codes))
    scatter = scatter_of(x, y, len(features.space.names))
    return OutcomeData(name, tuple(numbers), x, y, uncertainties, scale, tuple(landmarks), scatter=scatter)
