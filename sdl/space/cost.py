"""What an experiment costs: an expression of its parameters, read as a tree and never run as code."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import SpaceError, listed, near_miss
from sdl.space.expressions import names_in, value
from sdl.space.grammar import read_term
from sdl.space.parameters import Categorical
from sdl.space.sampling import uniform
from sdl.units import DIMENSIONLESS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.space.candidate import Candidate
    from sdl.space.expressions import Term
    from sdl.space.space import Space

    Array = NDArray[np.float64]

_SAMPLES = 1024
"""Points drawn at which a cost is looked at before anything begins. Chosen."""
_CORNERS = 12
"""Numerical parameters up to which all corners of the box are looked at, 4096 of them. Chosen."""


@functools.lru_cache(maxsize=256)
def _tree(text: str) -> Term:
    return read_term(text)


@dataclass(frozen=True)
class Cost:
    """What an experiment costs, such as `hold + 2` hours; each parameter counts as the plain number in its declared unit.

    Attributes:
        expression: of parameters, in the words of `sdl.space.grammar`.
        unit: of the cost.
        factor: what one of the expression's own unit is in `unit`.

    Raises:
        ValueError: the expression cannot be read; the message says at which character.
    """

    expression: str
    unit: str = DIMENSIONLESS
    factor: float = 1.0

    def __post_init__(self) -> None:
        _tree(self.expression)

    @property
    def tree(self) -> Term:
        """The expression as a tree, before the factor."""
        return _tree(self.expression)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it mentions, in the order of the text."""
        return tuple(dict.fromkeys(m.name for m in names_in(self.tree)))

    def misfits(self, parameters: Mapping[str, object]) -> list[str]:
        """Say everything that does not fit the parameters; a parameter that is None could not be read and passes."""
        said = []
        for mention in names_in(self.tree):
            if mention.name not in parameters:
                hint = near_miss(mention.name, parameters)
                said.append(
                    f"character {mention.at}: unknown parameter '{mention.name}'{hint}; parameters are {listed(parameters)}"
                )
            elif isinstance(parameters[mention.name], Categorical):
                said.append(f"character {mention.at}: '{mention.name}' is categorical and no number")
        return said

    def values(self, codes: Array, names: tuple[str, ...]) -> Array:
        """Return the cost at codes, shape (n, d), as shape (n,); not finite where the expression has no value.

        Args:
            codes: the points.
            names: the parameters, one a column.
        """
        columns = {name: codes[:, names.index(name)] for name in self.names}
        found = np.broadcast_to(value(self.tree, columns) * self.factor, (len(codes),))
        return np.asarray(found, dtype=np.float64)

    def of(self, candidate: Candidate) -> float:
        """Return what a candidate costs.

        Raises:
            SpaceError: that is no finite number above 0, with the point.
        """
        columns = {name: np.array([float(candidate[name])]) for name in self.names}
        found = float(np.ravel(value(self.tree, columns))[0]) * self.factor
        if not (np.isfinite(found) and found > 0):
            raise SpaceError(f"the cost {self} is {found:g} at {_point(self, candidate)}; a cost is a number above 0")
        return found

    def problem(self, space: Space) -> str | None:
        """Say at which point of a space the cost is no finite number above 0, or None where none was found.

        Looked at are all rows of a pool; otherwise the corners of the box that keep the constraints, and points drawn
        uniformly. What escapes that is refused when a candidate is proposed.
        """
        codes = space.pool.codes if space.pool is not None else _looked_at(space)
        found = self.values(codes, space.names)
        wrong = np.flatnonzero(~(np.isfinite(found) & (found > 0)))
        if not len(wrong):
            return None
        candidate = space.decode(codes[wrong[:1]])[0]
        return f"is {float(found[wrong[0]]):g} at {_point(self, candidate)}; a cost is a number above 0 everywhere"

    def __str__(self) -> str:
        scaled = self.expression if self.factor == 1.0 else f"{self.factor:g} * ({self.expression})"
        return scaled if self.unit == DIMENSIONLESS else f"{scaled} [{self.unit}]"


def _point(cost: Cost, candidate: Candidate) -> str:
    return ", ".join(f"{name} = {float(candidate[name]):g}" for name in cost.names) or "every point"


def _looked_at(space: Space) -> Array:
    ends = [
        np.arange(len(p.values), dtype=np.float64)[:1] if isinstance(p, Categorical) else np.array([p.lower, p.upper])
        for p in space.parameters.values()
    ]
    drawn = uniform(space, _SAMPLES, np.random.default_rng(0))
    if sum(len(e) > 1 for e in ends) > _CORNERS:
        return drawn
    corners = np.array(list(itertools.product(*ends)))
    return np.concatenate([corners[space.satisfies(corners)], drawn])
