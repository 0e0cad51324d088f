"""The search space as a whole: membership, coding as numbers, feasibility.

Coding. `codes` are an array of shape (n, d), one column a parameter, in declared units; a category is the index of its
name. `unit` coordinates are the same array with every number mapped to [0, 1] along its scale.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import SpaceError
from sdl.space.candidate import Candidate
from sdl.space.constraints import TOLERANCE
from sdl.space.parameters import Categorical, Continuous

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.space.candidate import Value
    from sdl.space.constraints import LinearConstraint
    from sdl.space.parameters import Discrete, Integer
    from sdl.space.pool import Pool

    AnyParameter = Continuous | Integer | Discrete | Categorical


class Space:
    """What may vary, within which constraints, and from which pool.

    Args:
        parameters: name → parameter, in the order of the file.
        constraints: linear constraints; their terms name numeric parameters.
        pool: the only candidates that may be proposed, or None.

    Raises:
        SpaceError: a constraint names no numeric parameter of the space, or nothing satisfies them all.
    """

    def __init__(
        self,
        parameters: Mapping[str, AnyParameter],
        constraints: Sequence[LinearConstraint] = (),
        pool: Pool | None = None,
    ) -> None:
        if not parameters:
            raise SpaceError("a space needs at least one parameter")
        self.parameters: dict[str, AnyParameter] = dict(parameters)
        self.constraints: tuple[LinearConstraint, ...] = tuple(constraints)
        self.pool = pool
        for constraint in self.constraints:
            for name in constraint.terms:
                if isinstance(self.parameters.get(name), Categorical | None):
                    raise SpaceError(f"constraint {constraint}: '{name}' is not a numeric parameter")
        self._require_feasible()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameter names in the order of the file."""
        return tuple(self.parameters)

    @cached_property
    def is_simplex(self) -> bool:
        """Whether the space is a mixture: all parameters continuous on [0, 1], with one constraint, their sum being 1."""
        if len(self.constraints) != 1 or not self.constraints[0].is_equality:
            return False
        constraint = self.constraints[0]
        return (
            set(constraint.terms) == set(self.names)
            and set(constraint.terms.values()) == {1}
            and constraint.equals == 1
            and all(
                isinstance(p, Continuous) and p.scale == "linear" and p.lower == 0 and p.upper == 1
                for p in self.parameters.values()
            )
        )

    def encode(self, candidates: Iterable[Mapping[str, Value]]) -> NDArray[np.float64]:
        """Return candidates as codes, shape (n, d).

        Raises:
            SpaceError: a category that the space does not know.
        """
        rows = []
        for candidate in candidates:
            row = []
            for name, parameter in self.parameters.items():
                value = candidate[name]
                if isinstance(parameter, Categorical):
                    if value not in parameter.values:
                        raise SpaceError(f"parameter '{name}': {parameter.problem(value)}")
                    row.append(float(parameter.values.index(str(value))))
                else:
                    row.append(float(value))
            rows.append(row)
        return np.asarray(rows, dtype=np.float64).reshape(-1, len(self.names))

    def decode(self, codes: NDArray[np.float64]) -> list[Candidate]:
        """Return codes, shape (n, d), as candidates; whole numbers become int."""
        result = []
        for row in codes:
            values: dict[str, Value] = {}
            for (name, parameter), code in zip(self.parameters.items(), row, strict=True):
                if isinstance(parameter, Categorical):
                    values[name] = parameter.values[round(float(code))]
                elif parameter.type == "integer":
                    values[name] = round(float(code))
                else:
                    values[name] = float(code)
            result.append(Candidate(values))
        return result

    def to_unit(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map codes, shape (n, d), to unit coordinates; categories stay indices."""
        columns = [p.to_unit(codes[:, i]) for i, p in enumerate(self.parameters.values())]
        return np.stack(columns, axis=1)

    def from_unit(self, unit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points of the unit cube, shape (n, d), to codes; every level and category has an equal share."""
        columns = [p.from_unit(unit[:, i]) for i, p in enumerate(self.parameters.values())]
        return np.stack(columns, axis=1)

    def features(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a statistical model sees, shape (n, f): unit coordinates, categories as descriptors or one-hot.

        Descriptors are scaled to [0, 1] over the categories of their parameter.
        """
        columns: list[NDArray[np.float64]] = []
        for i, parameter in enumerate(self.parameters.values()):
            if isinstance(parameter, Categorical):
                columns.append(category_features(parameter)[codes[:, i].astype(int)])
            else:
                columns.append(parameter.to_unit(codes[:, i])[:, None])
        return np.concatenate(columns, axis=1)

    def constraint_matrix(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return A, shape (m, d), with lower and upper bounds, shape (m,): lower ≤ A·codes ≤ upper."""
        a = np.zeros((len(self.constraints), len(self.names)))
        for row, constraint in enumerate(self.constraints):
            for name, weight in constraint.terms.items():
                a[row, self.names.index(name)] = float(weight)
        lower = np.array([c.lower for c in self.constraints])
        upper = np.array([c.upper for c in self.constraints])
        return a, lower, upper

    @cached_property
    def constraint_scales(self) -> NDArray[np.float64]:
        """Per constraint, the largest sum of its terms' sizes within the bounds, shape (m,)."""
        return np.array([c.scale(self.parameters) for c in self.constraints])

    def satisfies(self, codes: NDArray[np.float64], tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
        """Tell per row of codes, shape (n, d), whether all constraints hold; returns shape (n,).

        Args:
            codes: the points.
            tolerance: by which share of its scale each constraint may be missed.
        """
        if not self.constraints:
            return np.ones(len(codes), dtype=bool)
        a, lower, upper = self.constraint_matrix()
        sums = codes @ a.T
        slack = tolerance * self.constraint_scales
        return np.asarray(((sums >= lower - slack) & (sums <= upper + slack)).all(axis=1))

    def problems(self, candidate: Mapping[str, Value]) -> list[str]:
        """Say everything that keeps a candidate out of the space; an empty list means that it lies inside."""
        missing = [f"parameter '{n}' is missing" for n in self.names if n not in candidate]
        surplus = [f"'{n}' is no parameter of the space" for n in candidate if n not in self.parameters]
        if missing or surplus:
            return missing + surplus
        wrong = [
            f"parameter '{name}': {problem}"
            for name, parameter in self.parameters.items()
            if (problem := parameter.problem(candidate[name])) is not None
        ]
        if wrong:
            return wrong
        wrong = [
            problem
            for c, scale in zip(self.constraints, self.constraint_scales, strict=True)
            if (problem := c.problem(candidate, float(scale))) is not None
        ]
        if self.pool is not None and not wrong and self.pool.row_of(candidate) is None:
            wrong.append("it is no row of the pool")
        return wrong

    def _require_feasible(self) -> None:
        """Refuse constraints that nothing satisfies: a mixed-integer linear programme without a goal."""
        if not self.constraints:
            return
        from scipy.optimize import Bounds, milp
        from scipy.optimize import LinearConstraint as Rows

        # Discrete levels enter as binary choices of a level, so that the check is exact for every kind of parameter.
        columns: list[NDArray[np.float64]] = []
        integrality: list[int] = []
        lower: list[float] = []
        upper: list[float] = []
        rows, row_low, row_high = self.constraint_matrix()
        # The solver's tolerances are absolute: in shares of each constraint's scale they mean the same for nm as for km.
        scales = self.constraint_scales
        if not np.isfinite(scales).all() or not (scales > 0).all():
            raise SpaceError("a constraint's terms are too large or too small to be computed with; use another unit")
        rows, row_low, row_high = rows / scales[:, None], row_low / scales, row_high / scales
        choices: list[list[int]] = []
        for i, parameter in enumerate(self.parameters.values()):
            if isinstance(parameter, Categorical):
                continue
            if parameter.type == "discrete":
                choices.append([])
                for level in parameter.levels:
                    choices[-1].append(len(columns))
                    columns.append(rows[:, i] * level)
                    integrality.append(1)
                    lower.append(0.0)
                    upper.append(1.0)
            else:
                columns.append(rows[:, i])
                integrality.append(int(parameter.type == "integer"))
                lower.append(parameter.lower)
                upper.append(parameter.upper)
        matrix = np.stack(columns, axis=1)
        one_each = np.zeros((len(choices), matrix.shape[1]))
        for row, picks in enumerate(choices):
            one_each[row, picks] = 1.0
        answer = milp(
            c=np.zeros(matrix.shape[1]),
            constraints=[
                Rows(
                    np.vstack([matrix, one_each]),
                    np.concatenate([row_low, np.ones(len(choices))]),
                    np.concatenate([row_high, np.ones(len(choices))]),
                )
            ],
            integrality=np.array(integrality),
            bounds=Bounds(np.array(lower), np.array(upper)),
        )
        if not answer.success:
            said = "; ".join(str(c) for c in self.constraints)
            raise SpaceError(f"no candidate satisfies the constraints ({said}) within the bounds; loosen one of them")


def category_features(parameter: Categorical) -> NDArray[np.float64]:
    """Return the numbers that stand for each category, shape (categories, f): scaled descriptors, else one-hot."""
    if parameter.descriptors is None:
        return np.eye(len(parameter.values))
    keys = list(next(iter(parameter.descriptors.values())))
    table = np.array([[float(parameter.descriptors[value][k]) for k in keys] for value in parameter.values])
    lowest: NDArray[np.float64] = table.min(axis=0)
    span: NDArray[np.float64] = np.ptp(table, axis=0)
    return (table - lowest) / np.where(span > 0, span, 1.0)
