"""Groups of candidates that share some settings, chosen with a model: first the settings, then what differs.

A few settings are looked at that promise most: by the sum of what the best candidates with them are worth each for itself, which
no group with these settings can exceed, or, where the settings are continuous, at the tops of several hills. For each of them a
group is filled one by one, those before being under way; the settings whose group is worth most, all members together, win. At
last continuous settings are moved with the whole group while that helps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sdl.planners.bayes.acquisition import HYPERVOLUME
from sdl.planners.bayes.costs import NOTHING
from sdl.planners.bayes.models import tensor
from sdl.planners.bayes.search import Found, Search, best_listed
from sdl.planners.grouping import settings_of
from sdl.planners.points import rows_left
from sdl.planners.section import Section, held_columns
from sdl.space import Continuous

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sdl.planners.base import Group, Json
    from sdl.planners.bayes.acquisition import Acquisition
    from sdl.planners.bayes.data import FeatureMap

    Array = NDArray[np.float64]
    Acquire = Callable[[Sequence[Array]], Acquisition]

SETTINGS = 3
"""Settings for which a group is filled, so that the best of them is found. Chosen."""
_LOOKED_AT = 1 << 16
"""Rows of a large pool that are looked at for settings. Chosen."""
_MOVES = 32
_SIZES = (0.1, 0.03, 0.01)
"""Shares of their ranges by which the settings of a group are moved, `_MOVES` times each. Chosen."""
_MOST_MOVED = 4
"""Members up to which a group is moved with several objectives: the cost of hypervolumes doubles with each. Chosen."""
_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Member:
    """One of a group: where it lies, and the acquisition it was found with, those before it being under way."""

    found: Found
    acquisition: Acquisition


class Ground(Protocol):
    """A space as groups see it."""

    def settings(self, acquisition: Acquisition, size: int) -> list[Array]:
        """Return codes, shape (d,), whose shared settings promise most for a group of a size, the best first."""
        ...

    def best(self, at: Array, acquisition: Acquisition, avoid: Sequence[Array], *, climb: bool) -> Found | None:
        """Return the best new candidate with the settings of a code, shape (d,), or None where there is none.

        Args:
            at: has the settings.
            acquisition: what is wanted.
            avoid: codes that are taken too.
            climb: whether to look closely.
        """
        ...

    def moved(self, codes: Array, acquisition: Acquisition) -> Array | None:
        """Return the codes of a group, shape (k, d), with settings that make it worth more, or None."""
        ...


def choose_group(
    features: FeatureMap, group: Group, ground: Ground, acquire: Acquire, size: int
) -> tuple[list[Member], Json]:
    """Return up to `size` members that share their settings, none where nothing new is left, and what to tell of the group.

    Args:
        features: of the space.
        group: what is shared.
        ground: the space as groups see it.
        acquire: returns the acquisition with further codes, shape (d,) each, under way.
        size: how many members are wanted.
    """
    first = acquire([])
    looked_at = ground.settings(first, size)
    compared: list[tuple[float, Array]] = []
    if size > 1 and len(looked_at) > 1:
        for at in looked_at:
            members = _filled(ground, at, acquire, size, climb=False)
            if members:
                compared.append((worth(members, features), at))
        looked_at = [at for _, at in sorted(compared, key=lambda pair: -pair[0])]  # the first stays first among equals
    members = _filled(ground, looked_at[0], acquire, size, climb=True) if looked_at else []
    if not members:
        return [], {}
    moved = ground.moved(np.stack([m.found.code for m in members]), first) if len(members) > 1 else None
    if moved is not None:
        members = _valued(moved, members, acquire, features)
    space = features.space
    return members, {
        "settings": settings_of(space, group, members[0].found.code),
        "members": len(members),
        "worth": _finite(worth(members, features)),
        "compared": [{"settings": settings_of(space, group, at), "worth": _finite(value)} for value, at in compared],
    }


def worth(members: Sequence[Member], features: FeatureMap) -> float:
    """Return the logarithm of what a group is worth, all members together.

    With hypervolumes, and with costs, it is the sum of what each member adds to those before it. Every other acquisition judges a
    candidate together with all that is under way, so the value of the last member is that of all; how likely members are to
    succeed enters as the mean of the logarithms. What the acquisition is multiplied by, such as one over the cost, is that of
    the group.
    """
    x = tensor(features(np.stack([m.found.code for m in members])))
    values = np.array([m.found.value for m in members])
    for i, member in enumerate(members):
        values[i] -= sum(float(factor.log(x[i : i + 1])[0]) for factor in member.acquisition.factors)
    if not np.isfinite(values).all():
        return -math.inf
    acquisition = members[0].acquisition
    if acquisition.name == HYPERVOLUME or acquisition.factors:
        value = float(np.logaddexp.reduce(values))
    elif acquisition.success is None:
        value = float(values[-1])
    else:
        likely = acquisition.success.log_probability(x).numpy()
        value = float(values[-1] - likely[-1] + likely.mean())
    return value + sum(float(factor.log_of_group(x[None])[0]) for factor in acquisition.factors)


def _filled(ground: Ground, at: Array, acquire: Acquire, size: int, *, climb: bool) -> list[Member]:
    """Return members one after the other, each the best with those before it under way."""
    members: list[Member] = []
    while len(members) < size:
        codes = [m.found.code for m in members]
        acquisition = acquire(codes)
        found = ground.best(at, acquisition, codes, climb=climb)
        if found is None or (members and found.value < NOTHING):
            break
        members.append(Member(found, acquisition))
    return members


def _valued(codes: Array, members: Sequence[Member], acquire: Acquire, features: FeatureMap) -> list[Member]:
    """Return members that were moved to new codes, shape (k, d)."""
    made: list[Member] = []
    for code, member in zip(codes, members, strict=True):
        acquisition = acquire([m.found.code for m in made])
        value = float(acquisition.score(features(code[None, :]))[0])
        made.append(
            Member(Found(code, value, f"{member.found.how}, then the settings of the whole group"), acquisition)
        )
    return made


def _promising(settings: Array, values: Array, size: int) -> list[int]:
    """Return indices of the best rows of the most promising settings, the best settings first.

    Settings, shape (n, s), are compared by the sum of the `size` largest values (logarithms), shape (n,), among their rows.
    """
    _, which = np.unique(settings, axis=0, return_inverse=True)
    which = which.ravel()
    order = np.lexsort((np.arange(len(values)), -values, which))
    starts = np.r_[0, np.flatnonzero(np.diff(which[order])) + 1]
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    highest = values.max()
    size_of = np.exp(values - highest) if math.isfinite(highest) else np.ones(len(values))
    totals = np.bincount(which[order], np.where(rank < size, size_of[order], 0.0))
    best = np.argsort(-totals, kind="stable")[:SETTINGS]
    return [int(order[starts[k]]) for k in best]


class Listed:
    """A list of candidates as groups see it.

    Args:
        features: of the space.
        group: what is shared.
        codes: those that are left, shape (n, d).
    """

    def __init__(self, features: FeatureMap, group: Group, codes: Array) -> None:
        self.features = features
        self.held = held_columns(features.space, group.shared)
        self.codes = codes

    def settings(self, acquisition: Acquisition, size: int) -> list[Array]:
        """See `Ground.settings`; of a large list, rows drawn at random are looked at."""
        codes = self.codes
        if len(codes) > 4 * _LOOKED_AT:
            codes = codes[np.sort(np.random.default_rng(len(codes)).choice(len(codes), _LOOKED_AT, replace=False))]
        if not len(codes):
            return []
        values = acquisition.score(self.features(codes))
        return [codes[i] for i in _promising(codes[:, self.held], values, size)]

    def best(self, at: Array, acquisition: Acquisition, avoid: Sequence[Array], *, climb: bool) -> Found | None:
        """See `Ground.best`; every row is looked at."""
        del climb
        here = self.codes[(self.codes[:, self.held] == at[self.held]).all(axis=1)]
        taken = np.array(avoid).reshape(-1, self.codes.shape[1])
        return best_listed(acquisition, here[rows_left(here, taken)], self.features)

    def moved(self, codes: Array, acquisition: Acquisition) -> Array | None:
        """See `Ground.moved`; the settings of a list stay."""
        del codes, acquisition
        return None


class Open:
    """A space without a list as groups see it.

    Args:
        features: of the space.
        group: what is shared.
        search: of the whole space.
        anchors: codes around which to look closely, shape (a, d).
        seed: of the samples.
    """

    def __init__(self, features: FeatureMap, group: Group, search: Search, anchors: Array, seed: int) -> None:
        space = features.space
        self.features = features
        self.held = held_columns(space, group.shared)
        self.search = search
        self.anchors = anchors
        self.seed = seed
        self.sliding = self.held & np.array([isinstance(p, Continuous) for p in space.parameters.values()], dtype=bool)
        self._searches: dict[bytes, Search] = {}

    def settings(self, acquisition: Acquisition, size: int) -> list[Array]:
        """See `Ground.settings`; settings of levels and categories are compared by samples, others are those of hill tops."""
        if self.sliding.any():
            tops = sorted(self.search.tops(acquisition, self.anchors[:0]), key=lambda found: -found.value)
            chosen: list[Array] = []
            for top in tops:
                if not any((top.code[self.held] == c[self.held]).all() for c in chosen):
                    chosen.append(top.code)
            return chosen[:SETTINGS]
        codes = self.search.left()
        if not len(codes):
            return []
        values = acquisition.score(self.features(codes))
        return [codes[i] for i in _promising(codes[:, self.held], values, size)]

    def best(self, at: Array, acquisition: Acquisition, avoid: Sequence[Array], *, climb: bool) -> Found | None:
        """See `Ground.best`."""
        key = at[self.held].tobytes()
        if key not in self._searches:
            section = Section(self.features.space, self.held, at)
            self._searches[key] = Search(
                self.features, section.brought(self.anchors), self.search.taken, self.seed, region=section
            )
        taken = np.array(avoid).reshape(-1, len(at))
        return self._searches[key].best(acquisition, taken, climb=climb)

    def moved(self, codes: Array, acquisition: Acquisition) -> Array | None:
        """See `Ground.moved`; members take what differs with them."""
        if not self.sliding.any() or (acquisition.name == HYPERVOLUME and len(codes) > _MOST_MOVED):
            return None
        region, space = self.search.region, self.features.space
        rng = np.random.default_rng([self.seed, 8])
        best, value = codes, float(acquisition.of_group(self.features(codes)[None])[0])
        for size in _SIZES:
            unit = space.to_unit(best[:1])[0]
            tried = []
            for step in rng.normal(size=(_MOVES, len(unit))) * size:
                moved = space.from_unit(np.clip(unit + step, 0.0, 1.0)[None, :])[0]
                made = best.copy()
                made[:, self.sliding] = np.maximum(moved, region.least)[self.sliding]
                made = region.repaired(made)
                whole = (made[:, self.held] == made[0, self.held]).all()
                if whole and region.inside(made).all() and len(self.search.left(made)) == len(made):
                    tried.append(made)
            if not tried:
                continue
            values = acquisition.of_group(np.stack([self.features(made) for made in tried]))
            k = int(np.argmax(values))
            if values[k] > value + _TIE:
                best, value = tried[k], float(values[k])
        return None if best is codes else best


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
