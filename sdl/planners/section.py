"""The part of a space in which some parameters have given values: where the members of a group may lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdl.planners.bayes.geometry import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.space import Space

    Array = NDArray[np.float64]


def held_columns(space: Space, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Tell per parameter of a space, shape (d,), whether it is among the names."""
    return np.array([name in names for name in space.names], dtype=bool)


class Section(Region):
    """A region without a pool in which some parameters are held.

    Args:
        space: without a pool.
        held: per parameter, whether it is held, shape (d,).
        at: a feasible code, shape (d,), which has the held values.
    """

    def __init__(self, space: Space, held: NDArray[np.bool_], at: Array) -> None:
        super().__init__(space)
        self.held = held
        self.at = at
        self.tied = self.tied & ~held
        self.loose = self.loose & ~held

    def moving(self, code: Array) -> NDArray[np.bool_]:
        """See `Region.moving`; what is held does not move."""
        return np.asarray(super().moving(code) & ~self.held)

    def inside(self, codes: Array) -> NDArray[np.bool_]:
        """Tell per row of codes, shape (n, d), whether it is feasible and has the held values."""
        here: NDArray[np.bool_] = (codes[:, self.held] == self.at[self.held]).all(axis=1)
        return super().inside(codes) & here

    def brought(self, codes: Array) -> Array:
        """Return codes, shape (≤ n, d), with the held values put in; what is then infeasible and cannot be mended is dropped."""
        moved = codes.copy()
        moved[:, self.held] = self.at[self.held]
        moved = self.repaired(moved)
        return moved[self.inside(moved)]

    def sample(self, n: int, seed: int) -> Array:
        """Return feasible codes, shape (≤ n, d), spread over the section, `at` among them.

        Raises:
            SpaceError: nothing feasible was found in the whole space.
        """
        found = self.brought(Region(self.space).sample(n, seed))
        if (
            len(found) < n // 4
        ):  # a constraint binds held parameters to others: look around what is known to be feasible
            rng = np.random.default_rng([seed, 7])
            found = np.concatenate([found, self.perturbed(np.concatenate([self.at[None, :], found])[:n], 8, rng)])
        return np.concatenate([self.at[None, :], found])[:n]
