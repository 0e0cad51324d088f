"""Read `space`: parameters, constraints between them, and pools of candidates from tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdl.campaign.changing import read_frozen, without_keys
from sdl.campaign.words import WORD, WORD_RULE
from sdl.errors import InputError, SpaceError, brief, listed, near_miss
from sdl.space import (
    Categorical,
    Constraint,
    Continuous,
    CountConstraint,
    Discrete,
    ExpressionConstraint,
    Integer,
    LinearConstraint,
    Pool,
    Space,
)
from sdl.space.constraints import TOLERANCE
from sdl.space.frozen import held
from sdl.tables import Table, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.campaign.document import Where
    from sdl.campaign.files import Files
    from sdl.campaign.reader import Reader

AnyParameter = Continuous | Integer | Discrete | Categorical
"""Any kind of parameter."""

PARAMETERS: dict[str, type[AnyParameter]] = {
    "continuous": Continuous,
    "integer": Integer,
    "discrete": Discrete,
    "categorical": Categorical,
}
CONSTRAINTS: dict[str, type[Constraint]] = {
    "linear": LinearConstraint,
    "expression": ExpressionConstraint,
    "count": CountConstraint,
}


def read_parameters(reader: Reader) -> dict[str, AnyParameter | None]:
    """Read `space.parameters`; a parameter that could not be read is None."""
    reader.only(("space",), ("parameters", "constraints", "candidates"))
    reader.mapping(("space",), what="what may vary")
    result: dict[str, AnyParameter | None] = {}
    if not isinstance(reader.at(("space",)), dict):
        return result
    for name in reader.mapping(("space", "parameters"), what="at least one parameter"):
        where: Where = ("space", "parameters", name)
        result[name] = None
        if not WORD.match(name):
            reader.wrong(where, f"{brief(name)} cannot be a parameter's name: {WORD_RULE}")
            continue
        kind = reader.kind(where, PARAMETERS, "parameter")
        if kind is not None:
            result[name] = reader.model(kind, where, without_keys(reader.at(where)))
    return result


def read_space(reader: Reader, parameters: Mapping[str, AnyParameter | None], files: Files) -> Space | None:
    """Read `space` with its constraints and candidates, or note what is wrong and return None."""
    if not isinstance(reader.at(("space",)), dict):
        return None
    before = len(reader.problems)
    written = reader.at(("space", "constraints"))
    if written is not None and not isinstance(written, list):
        reader.wrong(("space", "constraints"), f"must be a list of constraints, got {brief(written)}")
        written = []
    constraints = [
        c for i in range(len(written or [])) if (c := _constraint(reader, ("space", "constraints", i), parameters))
    ]
    good = {n: p for n, p in parameters.items() if p is not None}
    pool = None
    if "candidates" in reader.at(("space",)):  # an empty one must not pass for the whole box
        pool = _pool(reader, good, len(good) == len(parameters), constraints, files)
    if len(reader.problems) > before or len(good) < len(parameters) or not good:
        return None
    frozen = read_frozen(reader, good)
    try:
        kept = pool_within(pool, [held(name, value, good[name]) for name, value in frozen.items()], good)
        return Space(good, constraints, kept, frozen)
    except SpaceError as error:
        reader.wrong(("space", "constraints"), str(error))
        return None


def pool_within(
    pool: Pool | None, constraints: Sequence[Constraint], parameters: Mapping[str, AnyParameter]
) -> Pool | None:
    """Return the rows of a pool that keep constraints which came after it.

    Raises:
        SpaceError: none does.
    """
    if pool is None or not constraints:
        return pool
    good = np.ones(len(pool), dtype=bool)
    for constraint in constraints:
        good &= _kept(constraint, pool.codes, parameters)[0]
    if not good.any():
        said = "; ".join(str(c) for c in constraints)
        raise SpaceError(f"no row of the {len(pool)} candidates keeps {said}")
    return pool if good.all() else Pool(pool.names, pool.codes[good], pool.categories)


def _constraint(reader: Reader, where: Where, parameters: Mapping[str, AnyParameter | None]) -> Constraint | None:
    kind = reader.kind(where, CONSTRAINTS, "constraint")
    constraint: Constraint | None = None if kind is None else reader.model(kind, where)
    if isinstance(constraint, LinearConstraint):
        for term in constraint.terms:
            if term not in parameters:
                reader.unknown((*where, "terms", term), term, parameters.keys(), "parameter")
            elif isinstance(parameters[term], Categorical):
                reader.wrong((*where, "terms", term), f"'{term}' is categorical; a linear constraint needs numbers")
    elif isinstance(constraint, ExpressionConstraint):
        for said in constraint.misfits(parameters):
            reader.wrong((*where, "expression"), said)
    elif isinstance(constraint, CountConstraint):
        for index, said in constraint.misfits(parameters):
            reader.wrong((*where, "of", index), said)
    return constraint


def _pool(
    reader: Reader,
    parameters: Mapping[str, AnyParameter],
    complete: bool,
    constraints: Sequence[Constraint],
    files: Files,
) -> Pool | None:
    where: Where = ("space", "candidates")
    reader.only(where, ("table",))
    name = reader.at((*where, "table"))
    if not isinstance(name, str):
        reader.wrong(where, "needs 'table': a CSV or Parquet file with one column a parameter")
        return None
    key = files.key(name)
    try:
        table = read_table(files.path(key))
        files.use(key)
    except InputError as error:
        reader.wrong((*where, "table"), str(error))
        return None
    if not complete or not parameters:
        return None
    return _pool_of(reader, (*where, "table"), table, name, parameters, constraints)


def _pool_of(
    reader: Reader,
    where: Where,
    table: Table,
    name: str,
    parameters: Mapping[str, AnyParameter],
    constraints: Sequence[Constraint],
) -> Pool | None:
    columns = []
    for parameter_name, parameter in parameters.items():
        if parameter_name not in table.columns:
            reader.wrong(
                where,
                f"{brief(name)[1:-1]} has no column '{parameter_name}'{near_miss(parameter_name, table.columns)}; "
                f"it has {listed(table.columns)}",
            )
            continue
        column = table.data[parameter_name]
        if not isinstance(parameter, Categorical):
            try:
                column = table.numbers(parameter_name)
            except InputError as error:
                reader.wrong(where, str(error))
                continue
        if isinstance(parameter, Categorical):
            values = _category_codes(column, parameter)
            wrong = np.flatnonzero(np.isnan(values))
        else:
            values = np.asarray(column, dtype=np.float64)
            wrong = np.flatnonzero(~parameter.allows(values))
        if wrong.size:
            bad = int(wrong[0])
            given = column[bad]
            value = given if isinstance(given, str) else float(given)
            reader.wrong(where, f"{table.place(bad)}, column '{parameter_name}': {parameter.problem(value)}")
            continue
        columns.append(values)
    if len(columns) < len(parameters):
        return None
    codes_array = np.stack(columns, axis=1)
    categories = [p.values if isinstance(p, Categorical) else () for p in parameters.values()]
    names = list(parameters)
    for constraint in constraints:
        if not set(constraint.names) <= set(names):
            return None
        kept, how = _kept(constraint, codes_array, parameters)
        broken = np.flatnonzero(~kept)
        if broken.size:
            row = int(broken[0])
            reader.wrong(
                where,
                f"{table.place(row)}: {how(row)}; {broken.size} rows break it: remove them from the table",
            )
            return None
    return Pool.from_rows(names, codes_array, categories)


def _kept(
    constraint: Constraint, codes: NDArray[np.float64], parameters: Mapping[str, AnyParameter]
) -> tuple[NDArray[np.bool_], Callable[[int], str]]:
    """Tell which rows of codes, shape (n, d), keep a constraint, with a function that says how a row breaks it."""
    if isinstance(constraint, LinearConstraint):
        weights = np.array([float(constraint.terms.get(n, 0.0)) for n in parameters])
        sums = codes @ weights
        slack = TOLERANCE * constraint.scale(parameters)
        kept = (sums >= constraint.lower - slack) & (sums <= constraint.upper + slack)
        return kept, lambda row: f"{constraint} is broken (the sum is {sums[row]:g})"
    if isinstance(constraint, CountConstraint):
        kept = constraint.holds(codes, parameters)
    else:
        kept = constraint.holds(codes, parameters, TOLERANCE)
    return kept, lambda row: constraint.problem_of(codes[row], parameters) or str(constraint)


def _category_codes(column: NDArray[np.float64] | tuple[str, ...], parameter: Categorical) -> NDArray[np.float64]:
    """Return the index of each cell's category, shape (n,), NaN for a word that is none; numbers are taken as words."""
    known = {value: float(i) for i, value in enumerate(parameter.values)}
    if isinstance(column, tuple):
        return np.fromiter((known.get(cell, np.nan) for cell in column), dtype=np.float64, count=len(column))
    distinct, which = np.unique(column, return_inverse=True)
    return np.array([known.get(f"{v:g}", np.nan) for v in distinct])[which.ravel()]
