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
from sdl.space.constraints import TOLERANCE, CountConstraint, ExpressionConstraint, LinearConstraint
from sdl.space.feasibility import require_feasible
from sdl.space.frozen import code_of, held
from sdl.space.parameters import Categorical, Continuous

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.space.candidate import Value
    from sdl.space.constraints import Constraint
    from sdl.space.parameters import Discrete, Integer
    from sdl.space.pool import Pool

    AnyParameter = Continuous | Integer | Discrete | Categorical


class Space:
    """What may vary, within which constraints, and from which pool.

    Args:
        parameters: name → parameter, in the order of the file.
        constraints: linear ones, expressions, counts of components.
        pool: the only candidates that may be proposed, or None.
        frozen: parameter → the only value of it that is proposed; each is a constraint more.

    Raises:
        SpaceError: a constraint does not fit the parameters, or nothing that satisfies them all was found.
    """

    def __init__(
        self,
        parameters: Mapping[str, AnyParameter],
        constraints: Sequence[Constraint] = (),
        pool: Pool | None = None,
        frozen: Mapping[str, Value] | None = None,
    ) -> None:
        if not parameters:
            raise SpaceError("a space needs at least one parameter")
        self.parameters: dict[str, AnyParameter] = dict(parameters)
        self.frozen: dict[str, Value] = dict(frozen or {})
        still = [held(name, value, self.parameters[name]) for name, value in self.frozen.items()]
        self.constraints: tuple[Constraint, ...] = (*constraints, *still)
        self.pool = pool
        for constraint in self.constraints:
            if isinstance(constraint, LinearConstraint):
                for name in constraint.terms:
                    if isinstance(self.parameters.get(name), Categorical | None):
                        raise SpaceError(f"constraint {constraint}: '{name}' is not a numeric parameter")
                continue
            for misfit in constraint.misfits(self.parameters):
                said = misfit if isinstance(misfit, str) else misfit[1]
                raise SpaceError(f"constraint {constraint}: {said}")
        if not self.constraints:
            return
        require_feasible(self)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameter names in the order of the file."""
        return tuple(self.parameters)

    @cached_property
    def is_simplex(self) -> bool:
        """Whether the space is a mixture: all parameters continuous on [0, 1], with one constraint, their sum being 1."""
        if len(self.constraints) != 1:
            return False
        constraint = self.constraints[0]
        return (
            isinstance(constraint, LinearConstraint)
            and set(constraint.terms) == set(self.names)
            and set(constraint.terms.values()) == {1}
            and constraint.equals == 1
            and all(
                isinstance(p, Continuous) and p.scale == "linear" and p.lower == 0 and p.upper == 1
                for p in self.parameters.values()
            )
        )

    @cached_property
    def linear(self) -> tuple[LinearConstraint, ...]:
        """The linear constraints."""
        return tuple(c for c in self.constraints if isinstance(c, LinearConstraint))

    @cached_property
    def unfrozen_equalities(self) -> tuple[LinearConstraint, ...]:
        """The linear equalities, without those that hold a frozen parameter."""
        return tuple(
            c for c in self.linear if c.is_equality and not (len(c.terms) == 1 and set(c.terms) <= set(self.frozen))
        )

    @cached_property
    def frozen_codes(self) -> dict[int, float]:
        """Column of a frozen parameter → its code."""
        return {self.names.index(n): code_of(v, self.parameters[n]) for n, v in self.frozen.items()}

    @cached_property
    def expressions(self) -> tuple[ExpressionConstraint, ...]:
        """The constraints that are expressions."""
        return tuple(c for c in self.constraints if isinstance(c, ExpressionConstraint))

    @cached_property
    def counts(self) -> tuple[CountConstraint, ...]:
        """The constraints on how many components are there."""
        return tuple(c for c in self.constraints if isinstance(c, CountConstraint))

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """Per parameter, whether it is a component that may be left out, shape (d,)."""
        named = {name for count in self.counts for name in count.of}
        return np.array([name in named for name in self.names], dtype=bool)

    @cached_property
    def smallest_amounts(self) -> NDArray[np.float64]:
        """Per parameter, the smallest amount of a component that is there, in its unit, shape (d,); 0 for any."""
        return np.array([max((c.smallest for c in self.counts if name in c.of), default=0.0) for name in self.names])

    @cached_property
    def mixture(self) -> tuple[NDArray[np.intp], NDArray[np.float64], float] | None:
        """Parts of a whole that can be drawn from their simplex: columns, lower bounds (k,), and what is above these.

        They can where exactly one equality binds continuous parameters, and it sums parts on a linear scale, all of
        them with one weight.
        """
        bound = [c for c in self.unfrozen_equalities if any(map(self._is_continuous, c.terms))]
        if any(name in self.frozen for c in bound for name in c.terms):
            return None
        if len(bound) != 1 or len(set(bound[0].terms.values())) != 1:
            return None
        parts = [p for name in bound[0].terms if isinstance(p := self.parameters[name], Continuous)]
        if len(parts) < len(bound[0].terms) or any(p.scale != "linear" for p in parts):
            return None
        low = np.array([p.lower for p in parts])
        total = bound[0].upper / next(iter(bound[0].terms.values())) - float(low.sum())
        columns = np.array([self.names.index(name) for name in bound[0].terms], dtype=np.intp)
        return (columns, low, total) if total > 0 else None

    def _is_continuous(self, name: str) -> bool:
        return isinstance(self.parameters[name], Continuous)

    def _is_there(self, name: str, code: float) -> bool:
        """Tell whether a frozen parameter has its value but for rounding."""
        parameter = self.parameters[name]
        if isinstance(parameter, Categorical):
            return code == code_of(self.frozen[name], parameter)
        return abs(code - float(self.frozen[name])) <= TOLERANCE * max(abs(parameter.lower), abs(parameter.upper))

    def left_out(self, codes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell per component of codes, shape (n, d), whether it is left out: counted, and 0; shape (n, d)."""
        return np.asarray(self.counted & (codes == 0))

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
                if name in self.frozen and isinstance(parameter, Continuous) and self._is_there(name, float(code)):
                    values[name] = float(self.frozen[name])  # what a search left of it in its last digits
                elif isinstance(parameter, Categorical):
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
        """Map points of the unit cube, shape (n, d), to codes; levels and categories have equal shares, a frozen value all."""
        columns = [p.from_unit(unit[:, i]) for i, p in enumerate(self.parameters.values())]
        codes = np.stack(columns, axis=1)
        for column, code in self.frozen_codes.items():
            codes[:, column] = code
        return codes

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
        """Return A, shape (m, d), of the linear constraints with bounds, shape (m,): lower ≤ A·codes ≤ upper."""
        a = np.zeros((len(self.linear), len(self.names)))
        for row, constraint in enumerate(self.linear):
            for name, weight in constraint.terms.items():
                a[row, self.names.index(name)] = float(weight)
        lower = np.array([c.lower for c in self.linear])
        upper = np.array([c.upper for c in self.linear])
        return a, lower, upper

    @cached_property
    def constraint_scales(self) -> NDArray[np.float64]:
        """Per linear constraint, the largest sum of its terms' sizes within the bounds, shape (m,)."""
        return np.array([c.scale(self.parameters) for c in self.linear])

    def satisfies(self, codes: NDArray[np.float64], tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
        """Tell per row of codes, shape (n, d), whether all constraints hold; returns shape (n,).

        Args:
            codes: the points.
            tolerance: by which share of its scale each linear constraint may be missed; expressions and counts hold
                exactly.
        """
        good = np.ones(len(codes), dtype=bool)
        if self.linear:
            a, lower, upper = self.constraint_matrix()
            sums = codes @ a.T
            slack = tolerance * self.constraint_scales
            good &= ((sums >= lower - slack) & (sums <= upper + slack)).all(axis=1)
        for count in self.counts:
            good &= count.holds(codes, self.parameters)
        for expression in self.expressions:
            good &= expression.holds(codes, self.parameters)
        return good

    def shortfall(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return per row of codes, shape (n, d), by how much the expressions are missed, shape (n,): 0 where they hold."""
        missed = np.zeros(len(codes))
        for expression in self.expressions:
            missed = missed + expression.shortfall(codes, self.parameters)
        return missed

    def in_box(self, codes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell per row of codes, shape (n, d), whether every number lies within its bounds, shape (n,)."""
        good = np.ones(len(codes), dtype=bool)
        for i, parameter in enumerate(self.parameters.values()):
            if not isinstance(parameter, Categorical):
                good &= (codes[:, i] >= parameter.lower) & (codes[:, i] <= parameter.upper)
        return good

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
            for c, scale in zip(self.linear, self.constraint_scales, strict=True)
            if (problem := c.problem(candidate, float(scale))) is not None
        ]
        if self.counts or self.expressions:
            code = self.encode([candidate])[0]
            said = [c.problem_of(code, self.parameters) for c in self.counts]
            said += [c.problem_of(code, self.parameters) for c in self.expressions]
            wrong.extend(problem for problem in said if problem is not None)
        if self.pool is not None and not wrong and self.pool.row_of(candidate) is None:
            wrong.append("it is no row of the pool")
        return wrong


def category_features(parameter: Categorical) -> NDArray[np.float64]:
    """Return the numbers that stand for each category, shape (categories, f): scaled descriptors, else one-hot."""
    if parameter.descriptors is None:
        return np.eye(len(parameter.values))
    keys = list(next(iter(parameter.descriptors.values())))
    table = np.array([[float(parameter.descriptors[value][k]) for k in keys] for value in parameter.values])
    lowest: NDArray[np.float64] = table.min(axis=0)
    span: NDArray[np.float64] = np.ptp(table, axis=0)
    return (table - lowest) / np.where(span > 0, span, 1.0)
