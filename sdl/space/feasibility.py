"""Whether a space holds anything at all, found out before anything is drawn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import SpaceError
from sdl.space.parameters import Categorical

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.space.space import Space

    Array = NDArray[np.float64]


def require_feasible(space: Space) -> None:
    """Refuse constraints that nothing satisfies.

    Linear constraints and counts are decided exactly, by a mixed-integer linear programme without a goal. Expressions are
    tried: a space in which neither rejection nor walks towards them find a point is refused, saying what came nearest.

    Raises:
        SpaceError: nothing satisfies the constraints, or nothing that does was found.
    """
    if space.linear or space.counts:
        _require_linear(space)
    if space.expressions and space.pool is None:  # the rows of a pool are checked one by one
        from sdl.space.sampling import uniform

        uniform(space, 1, np.random.default_rng(0))


class _Programme:
    """Columns and rows of the programme; discrete levels enter as binary choices, so that the check is exact for all."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.columns: list[Array] = []
        self.integrality: list[int] = []
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.rows: list[tuple[dict[int, float], float, float]] = []
        self.parts: dict[str, dict[int, float]] = {}
        """Parameter → its value as a weighted sum of columns."""

    def column(self, rows: Array, low: float, high: float, *, whole: bool) -> int:
        self.columns.append(rows)
        self.integrality.append(int(whole))
        self.lower.append(low)
        self.upper.append(high)
        return len(self.columns) - 1

    def add_parameters(self, rows: Array) -> None:
        for i, (name, parameter) in enumerate(self.space.parameters.items()):
            if isinstance(parameter, Categorical):
                continue
            if parameter.type == "discrete":
                picks = {self.column(rows[:, i] * level, 0.0, 1.0, whole=True): level for level in parameter.levels}
                self.parts[name] = picks
                self.rows.append((dict.fromkeys(picks, 1.0), 1.0, 1.0))
            else:
                whole = parameter.type == "integer"
                self.parts[name] = {self.column(rows[:, i], parameter.lower, parameter.upper, whole=whole): 1.0}

    def add_counts(self) -> None:
        """A binary a component: value ≤ upper · there, value ≥ smallest · there, and so many are there."""
        nothing = np.zeros(len(self.columns[0]))
        for count in self.space.counts:
            there = []
            for name in count.of:
                parameter = self.space.parameters[name]
                upper = 1.0 if isinstance(parameter, Categorical) else parameter.upper
                there.append(self.column(nothing, 0.0, 1.0, whole=True))
                # in shares of the upper bound, so that the solver's absolute tolerances mean the same for g as for kg
                value = {k: v / upper for k, v in self.parts[name].items()}
                self.rows.append(({**value, there[-1]: -1.0}, -np.inf, 0.0))
                if count.smallest > 0:
                    self.rows.append(({**value, there[-1]: -count.smallest / upper}, 0.0, np.inf))
            self.rows.append((dict.fromkeys(there, 1.0), float(count.fewest), float(count.most)))


def _require_linear(space: Space) -> None:
    from scipy.optimize import Bounds, milp
    from scipy.optimize import LinearConstraint as Rows

    rows, row_low, row_high = space.constraint_matrix()
    # The solver's tolerances are absolute: in shares of each constraint's scale they mean the same for nm as for km.
    scales = space.constraint_scales
    if not np.isfinite(scales).all() or not (scales > 0).all():
        raise SpaceError("a constraint's terms are too large or too small to be computed with; use another unit")
    made = _Programme(space)
    made.add_parameters(rows / scales[:, None])
    made.add_counts()
    matrix = np.stack(made.columns, axis=1)  # shape (linear constraints, columns)
    further = np.zeros((len(made.rows), matrix.shape[1]))
    for row, (terms, _, _) in enumerate(made.rows):
        further[row, list(terms)] = list(terms.values())
    answer = milp(
        c=np.zeros(matrix.shape[1]),
        constraints=[
            Rows(
                np.vstack([matrix, further]),
                np.concatenate([row_low / scales, [low for _, low, _ in made.rows]]),
                np.concatenate([row_high / scales, [high for _, _, high in made.rows]]),
            )
        ],
        integrality=np.array(made.integrality),
        bounds=Bounds(np.array(made.lower), np.array(made.upper)),
    )
    if not answer.success:
        said = "; ".join(str(c) for c in (*space.linear, *space.counts))
        raise SpaceError(f"no candidate satisfies the constraints ({said}) within the bounds; loosen one of them")
