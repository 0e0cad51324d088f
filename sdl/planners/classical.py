"""Classical designs of a fixed size: the full factorial, the Latin hypercube, and points as far apart as can be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import SpaceError
from sdl.space.sampling import uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.space import Space

    Array = NDArray[np.float64]

MOST_GRID = 1_000_000
"""Largest grid that is looked at, before constraints."""

_HYPERCUBES = 64
"""Latin hypercubes of which the most even one is taken (chosen)."""

_CANDIDATES = 2048
"""Random points among which the ones farthest apart are chosen (chosen: their mean gap is far below that of a design)."""

_POOL_PART = 1 << 16


def grid(space: Space, levels: int) -> Array:
    """Return the full factorial as codes, shape (n, d): the combinations that keep the constraints, in order.

    Continuous and integer parameters take `levels` numbers from end to end along their scale, discrete ones and
    categories all of theirs. With a mixture, levels = m + 1 gives the simplex lattice of degree m (Scheffé, J. R. Stat.
    Soc. B 20, 344 (1958)).

    Raises:
        SpaceError: there is a pool, the grid is too large, or no point of it keeps the constraints.
    """
    if space.pool is not None:
        raise SpaceError("a fixed list of candidates has no grid; use maximin or d_optimal")
    axes = []
    for column, parameter in enumerate(space.parameters.values()):
        if column in space.frozen_codes:
            axes.append(np.array([space.frozen_codes[column]]))
        elif parameter.type == "categorical":
            axes.append(np.arange(len(parameter.values), dtype=np.float64))
        elif parameter.type == "continuous":
            axes.append(parameter.from_unit(np.linspace(0.0, 1.0, levels)))
        elif parameter.type == "integer":
            axes.append(np.unique(np.round(np.linspace(parameter.lower, parameter.upper, levels))))
        else:
            axes.append(parameter.levels)
    size = math.prod(len(axis) for axis in axes)
    if size > MOST_GRID:
        raise SpaceError(f"the full factorial has {size} points before constraints, more than {MOST_GRID}")
    whole = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    whole = whole[space.satisfies(whole)]
    if not len(whole):
        raise SpaceError(f"no point of the full factorial with {levels} levels keeps the constraints; use maximin")
    return whole


def latin_hypercube(space: Space, n: int, rng: np.random.Generator) -> Array:
    """Return n points, shape (n, d), one in each of n equal strata of every parameter's scale.

    McKay, Beckman and Conover, Technometrics 21, 239 (1979); of 64 such designs the one whose closest points are farthest
    apart (Johnson, Moore and Ylvisaker, J. Stat. Plan. Inference 26, 131 (1990)).

    Raises:
        SpaceError: there is a pool or a constraint, within which strata cannot be kept.
    """
    if space.pool is not None or space.constraints:
        what = "a fixed list of candidates" if space.pool is not None else "constraints"
        raise SpaceError(f"a Latin hypercube cannot be kept with {what}; use maximin or sobol")
    best: Array = np.empty((0, len(space.names)))
    apart = -1.0
    for _ in range(_HYPERCUBES):
        strata = np.stack([rng.permutation(n) for _ in space.names], axis=1)
        codes = space.from_unit((strata + rng.random(strata.shape)) / n)
        closest = _closest(space.features(codes))
        if closest > apart:
            best, apart = codes, closest
    return best


def _closest(features: Array) -> float:
    if len(features) < 2:
        return 0.0
    closest = np.inf
    for i in range(len(features) - 1):
        closest = min(closest, float(((features[i + 1 :] - features[i]) ** 2).sum(axis=1).min()))
    return closest


def maximin(space: Space, n: int, rng: np.random.Generator) -> Array:
    """Return n points, shape (n, d), each the farthest from those before; the first k of n are those of k up to 512.

    The first is the farthest from the middle. Kennard and Stone, Technometrics 11, 137 (1969); that this greedy choice
    comes within a factor of two of the largest possible smallest distance: Gonzalez, Theor. Comput. Sci. 38, 293 (1985).
    Points are rows of the pool (of a large one, a random part of 65,536), else of a random sample of the space.

    Raises:
        SpaceError: the pool has fewer rows than asked for.
    """
    if space.pool is None:
        size = max(_CANDIDATES, 4 << max(0, (n - 1).bit_length()))
        candidates = uniform(space, size, rng)
    else:
        if n > len(space.pool):
            raise SpaceError(f"{n} rows asked for, the pool has {len(space.pool)}")
        candidates = space.pool.codes
        if n <= _POOL_PART < len(candidates):
            candidates = candidates[np.sort(rng.choice(len(candidates), size=_POOL_PART, replace=False))]
    features = space.features(candidates)
    middle = features.mean(axis=0)
    distance = ((features - middle) ** 2).sum(axis=1)
    chosen = [int(np.argmax(distance))]
    distance = ((features - features[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < n:
        distance[chosen[-1]] = -1.0  # also where all that is left coincides with what was chosen
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, ((features - features[chosen[-1]]) ** 2).sum(axis=1))
        distance[chosen] = -1.0
    return candidates[chosen]
