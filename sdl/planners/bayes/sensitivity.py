"""Which parameters matter to a function over a space: shares of its variance, and effects of one and two parameters.

Without pool and constraints parameters are independent, each uniform on its scale within its bounds (levels and categories
have equal shares). Shares are then Sobol indices (Sobol, Mathematics and Computers in Simulation 55, 271 (2001)), of first order
by the estimator of Saltelli et al. (Computer Physics Communications 181, 259 (2010), table 2b) and in total by Jansen's
(Computer Physics Communications 117, 35 (1999)), as in `scipy.stats.sobol_indices`.

With a pool or constraints parameters depend on each other, and what the variance would be without the constraints is of no
use. Shares of first order are then correlation ratios over rows of the pool, or over feasible points, sorted into bins, in
the unbiased form of Kelley (PNAS 21, 554 (1935)). They may add up to more than 1; total shares are not defined.

An effect is the mean of the function given one or two parameters: over all others in the first case, over the rows or points
in a bin in the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import qmc, sobol_indices

from sdl.space import Categorical, Continuous
from sdl.space.sampling import uniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sdl.space import Space, Value

    Array = NDArray[np.float64]
    Predict = Callable[[Array], Array]
    """Codes, shape (n, d) → the function, shape (n,)."""
    Draw = Callable[[Array], Array]
    """Codes, shape (n, d) → draws of the function, shape (draws, n)."""

SHARE = 0.9
"""Share of the draws within a band."""
_EVALUATIONS = 1 << 15
"""Up to so many points are predicted for the indices of one outcome. Chosen."""
_MOST, _LEAST = 1 << 12, 1 << 8
"""Limits of the number of base points of the indices. Chosen."""
_STEPS = 9
"""Values of a parameter at which its effect is told. Chosen."""
_TOGETHER = 1152
"""Points that are drawn together for the band of one effect: 128 for each of nine values. Chosen."""
_PAIRED = 3
"""So many of the parameters that matter most are told in pairs. Chosen."""
_PAIR_STEPS = 7
_PAIR_BASE = 64
_POINTS = 1024
"""Rows or feasible points that are averaged over. Chosen."""
_BINS, _PAIR_BINS = 8, 4
_IN_BIN = 4
"""Least mean number of points in a bin. Chosen."""
_FLAT = 1e-9
"""Spread relative to the size of the values below which a function counts as constant: what is left is rounding."""


@dataclass(frozen=True)
class Index:
    """What share of the variance a parameter has.

    Attributes:
        parameter: name.
        first: share of the variance of the function's mean given the parameter.
        total: share that is left when all others are given; None where parameters depend on each other.
    """

    parameter: str
    first: float
    total: float | None


@dataclass(frozen=True)
class Effect:
    """The function's mean given one parameter.

    Attributes:
        parameter: name.
        at: its values, in its unit, or categories.
        mean: of the function.
        low, high: ends of the band that holds 90 % of the draws.
    """

    parameter: str
    at: tuple[Value, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class PairEffect:
    """The function's mean given two parameters.

    Attributes:
        parameters: both names.
        at: values of the first, and of the second.
        mean: one row a value of the first; None where no row or point lies.
        interaction: share of the variance that is not the sum of what either does; None where they depend on each other.
        low, high: ends of the band that holds 90 % of the draws, as `mean`.
    """

    parameters: tuple[str, str]
    at: tuple[tuple[Value, ...], tuple[Value, ...]]
    mean: tuple[tuple[float | None, ...], ...]
    interaction: float | None
    low: tuple[tuple[float | None, ...], ...] = ()
    high: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True)
class Sensitivity:
    """What matters to a function over a space.

    Attributes:
        over: what is averaged over, in words.
        indices: the parameters, the one that matters most first; empty where the function is constant.
        effects: one a parameter, in the same order.
        pairs: of the parameters that matter most.
        missing: why there are no indices, in words, or None.
    """

    over: str
    indices: tuple[Index, ...]
    effects: tuple[Effect, ...]
    pairs: tuple[PairEffect, ...]
    missing: str | None = None


def sensitivity(space: Space, predict: Predict, draw: Draw) -> Sensitivity:
    """Return what matters to a function.

    Args:
        space: the parameters.
        predict: the function.
        draw: draws of it, for the bands.

    Raises:
        SpaceError: no feasible point was found.
    """
    if space.pool is not None or space.constraints:
        return _over_points(space, predict, draw)
    over = "the box: each parameter uniform on its scale within its bounds, independently of the others"
    names = space.names
    d = len(names)
    n = min(max(1 << ((_EVALUATIONS // (d + 2)).bit_length() - 1), _LEAST), _MOST)
    both = qmc.Sobol(d=2 * d, scramble=True, seed=np.random.default_rng(0)).random(n)
    a, b = both[:, :d], both[:, d:]
    at_a, at_b = predict(space.from_unit(a)), predict(space.from_unit(b))
    variance = float(np.var(np.concatenate([at_a, at_b])))
    if _is_flat(np.concatenate([at_a, at_b])):
        return Sensitivity(over, (), (), (), "the model predicts the same everywhere")
    mixed = []
    for i in range(d):
        x = a.copy()
        x[:, i] = b[:, i]
        mixed.append(predict(space.from_unit(x)))
    # centred, which changes no index and loses no digits where the values are large
    centre = float(np.mean(np.concatenate([at_a, at_b])))
    found = sobol_indices(
        func={
            "f_A": (at_a - centre)[None, :],
            "f_B": (at_b - centre)[None, :],
            "f_AB": (np.stack(mixed) - centre)[:, None, :],
        },
        n=n,
    )
    first, total = np.ravel(found.first_order), np.ravel(found.total_order)
    order = np.argsort(-total, kind="stable")
    return Sensitivity(
        over,
        tuple(Index(names[i], float(first[i]), float(total[i])) for i in order),
        tuple(_effect(space, int(i), predict, draw) for i in order),
        tuple(_pair(space, i, j, predict, draw, variance) for i, j in _paired(order)),
    )


def _is_flat(values: Array) -> bool:
    return not np.ptp(values) > _FLAT * float(np.abs(values).max())


def _paired(order: NDArray[np.intp]) -> list[tuple[int, int]]:
    leading = [int(i) for i in order[:_PAIRED]]
    return [(i, j) for k, i in enumerate(leading) for j in leading[k + 1 :]]


def _values_of(space: Space, column: int, unit: Array) -> Array:
    """Return values of a parameter as codes: all categories, levels where they are few, else those at unit coordinates."""
    parameter = space.parameters[space.names[column]]
    if isinstance(parameter, Categorical):
        return np.arange(len(parameter.values), dtype=np.float64)
    if parameter.type != "continuous" and len(parameter.levels) <= len(unit):
        return np.asarray(parameter.levels, dtype=np.float64)
    return np.unique(parameter.from_unit(unit))


def _told(space: Space, column: int, codes: Array) -> tuple[Value, ...]:
    parameter = space.parameters[space.names[column]]
    if isinstance(parameter, Categorical):
        return tuple(parameter.values[int(code)] for code in codes)
    return tuple(float(code) for code in codes)


def _base(space: Space, n: int) -> Array:
    size = 1 << max(0, (n - 1).bit_length())
    return space.from_unit(qmc.Sobol(d=len(space.names), scramble=True, seed=np.random.default_rng(1)).random(size)[:n])


def _effect(space: Space, column: int, predict: Predict, draw: Draw) -> Effect:
    values = _values_of(space, column, np.linspace(0.0, 1.0, _STEPS))
    base = _base(space, max(8, _TOGETHER // len(values)))
    codes = np.tile(base, (len(values), 1))
    codes[:, column] = np.repeat(values, len(base))
    mean = predict(codes).reshape(len(values), -1).mean(axis=1)
    drawn = draw(codes)
    low, high = _band(drawn.reshape(len(drawn), len(values), -1).mean(axis=2))
    return Effect(space.names[column], _told(space, column, values), tuple(map(float, mean)), tuple(low), tuple(high))


def _band(drawn: Array) -> tuple[list[float], list[float]]:
    low, high = np.quantile(drawn, [0.5 - SHARE / 2, 0.5 + SHARE / 2], axis=0)
    return [float(v) for v in low], [float(v) for v in high]


def _nodes(space: Space, column: int) -> tuple[Array, Array]:
    """Return values of a parameter as codes, shape (k,), and their shares of the box, shape (k,).

    Continuous parameters at the nodes of a Gauss–Legendre quadrature along their scale; others at all or evenly spread levels.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_PAIR_STEPS)
    parameter = space.parameters[space.names[column]]
    if isinstance(parameter, Continuous):
        return parameter.from_unit(0.5 * (nodes + 1.0)), weights / 2.0
    values = _values_of(space, column, (np.arange(_PAIR_STEPS) + 0.5) / _PAIR_STEPS)
    return values, np.full(len(values), 1.0 / len(values))


def _pair(space: Space, i: int, j: int, predict: Predict, draw: Draw, variance: float) -> PairEffect:
    (one, share_one), (two, share_two) = _nodes(space, i), _nodes(space, j)

    def at(base: Array) -> Array:
        codes = np.tile(base, (len(one) * len(two), 1))
        codes[:, i] = np.repeat(one, len(two) * len(base))
        codes[:, j] = np.tile(np.repeat(two, len(base)), len(one))
        return codes

    table = predict(at(_base(space, _PAIR_BASE))).reshape(len(one), len(two), -1).mean(axis=2)
    drawn = draw(at(_base(space, max(8, _TOGETHER // table.size))))
    ends = np.quantile(
        drawn.reshape(len(drawn), *table.shape, -1).mean(axis=3), [0.5 - SHARE / 2, 0.5 + SHARE / 2], axis=0
    )
    by_one, by_two = table @ share_two, share_one @ table
    rest = table - by_one[:, None] - by_two[None, :] + share_one @ table @ share_two
    return PairEffect(
        (space.names[i], space.names[j]),
        (_told(space, i, one), _told(space, j, two)),
        tuple(tuple(map(float, row)) for row in table),
        float(share_one @ rest**2 @ share_two / variance),
        *(tuple(tuple(map(float, row)) for row in end) for end in ends),
    )


def _over_points(space: Space, predict: Predict, draw: Draw) -> Sensitivity:
    rng = np.random.default_rng(0)
    if space.pool is not None and len(space.pool) <= _POINTS:
        codes = space.pool.codes
        over = f"the {len(codes)} rows of the pool"
    elif space.pool is not None:
        codes = uniform(space, _POINTS, rng)
        over = f"{_POINTS} rows of the pool's {len(space.pool)}, drawn at random"
    else:
        codes = uniform(space, _POINTS, rng)
        over = f"{_POINTS} points drawn at random where the constraints hold"
    values = predict(codes)
    if _is_flat(values):
        return Sensitivity(over, (), (), (), f"the model predicts the same for all of {over}")
    if len(codes) < 2 * _IN_BIN:
        return Sensitivity(over, (), (), (), f"{over} are too few for bins")
    sorted_into = [_bins(space, codes, i, _BINS) for i in range(len(space.names))]
    first = np.array([_correlation_ratio(values, bins) for bins in sorted_into])
    order = np.argsort(-first, kind="stable")
    drawn = draw(codes)
    return Sensitivity(
        over,
        tuple(Index(space.names[i], float(first[i]), None) for i in order),
        tuple(_binned(space, codes, int(i), sorted_into[i], values, drawn) for i in order),
        tuple(_binned_pair(space, codes, i, j, values, drawn) for i, j in _paired(order)),
    )


def _bins(space: Space, codes: Array, column: int, most: int) -> NDArray[np.intp]:
    """Return per code its bin, shape (n,): its category, its value where there are few, else one of equally full bins."""
    x = codes[:, column]
    distinct, which = np.unique(x, return_inverse=True)
    if isinstance(space.parameters[space.names[column]], Categorical) or len(distinct) <= most:
        return np.asarray(which.ravel(), dtype=np.intp)
    count = max(2, min(most, len(x) // _IN_BIN))
    edges = np.unique(np.quantile(x, np.arange(1, count) / count))
    raw = np.searchsorted(edges, x, side="left")
    return np.asarray(np.unique(raw, return_inverse=True)[1].ravel(), dtype=np.intp)


def _correlation_ratio(values: Array, bins: NDArray[np.intp]) -> float:
    """Return 1 − (1 − η²)(n − 1)/(n − bins), at least 0, with η² the share of the variance of the bins' means."""
    n, count = len(values), int(bins.max()) + 1
    if count < 2 or n <= count:
        return 0.0
    sizes = np.bincount(bins, minlength=count)
    means = np.bincount(bins, weights=values, minlength=count) / sizes
    within = float(((values - means[bins]) ** 2).sum() / ((values - values.mean()) ** 2).sum())
    return max(0.0, 1.0 - within * (n - 1) / (n - count))


def _centres(space: Space, codes: Array, column: int, bins: NDArray[np.intp]) -> tuple[Value, ...]:
    """Return the median value of each bin."""
    x = codes[:, column]
    medians = np.array([np.median(x[bins == k]) for k in range(int(bins.max()) + 1)])
    return _told(space, column, medians)


def _binned(space: Space, codes: Array, column: int, bins: NDArray[np.intp], values: Array, drawn: Array) -> Effect:
    inside = [bins == k for k in range(int(bins.max()) + 1)]
    low, high = _band(np.stack([drawn[:, rows].mean(axis=1) for rows in inside], axis=1))
    return Effect(
        space.names[column],
        _centres(space, codes, column, bins),
        tuple(float(values[rows].mean()) for rows in inside),
        tuple(low),
        tuple(high),
    )


def _binned_pair(space: Space, codes: Array, i: int, j: int, values: Array, drawn: Array) -> PairEffect:
    one, two = _bins(space, codes, i, _PAIR_BINS), _bins(space, codes, j, _PAIR_BINS)
    table, lows, highs = [], [], []
    for a in range(int(one.max()) + 1):
        cells = [(one == a) & (two == b) for b in range(int(two.max()) + 1)]
        table.append(tuple(float(values[cell].mean()) if cell.any() else None for cell in cells))
        bands = [_band(drawn[:, cell].mean(axis=1)[:, None]) if cell.any() else ([None], [None]) for cell in cells]
        lows.append(tuple(low[0] for low, _ in bands))
        highs.append(tuple(high[0] for _, high in bands))
    at = (_centres(space, codes, i, one), _centres(space, codes, j, two))
    return PairEffect((space.names[i], space.names[j]), at, tuple(table), None, tuple(lows), tuple(highs))
