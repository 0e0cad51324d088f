"""Read `start`: what was measured before the campaign began, from a table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sdl.campaign.changing import read_was
from sdl.errors import InputError, UnitError, brief, listed, near_miss
from sdl.objective import Estimate
from sdl.space import Candidate, Categorical
from sdl.tables import read_table
from sdl.units import convert, convert_difference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.campaign.document import Where
    from sdl.campaign.files import Files
    from sdl.campaign.reader import Reader
    from sdl.objective import Objective, OutcomeConstraint
    from sdl.space import Value
    from sdl.space.parameters import Continuous, Discrete, Integer
    from sdl.tables import Table

    AnyParameter = Continuous | Integer | Discrete | Categorical

STATE = "state"
"""Column that says of a row whether it is `done` (also where there is no such column) or `failed`."""

UNCERTAINTY = "_uncertainty"
"""What follows an outcome's name in the column of its standard uncertainties."""

_HEADER = re.compile(r"^(?P<name>[^\[\]]+?)\s*\[(?P<unit>[^\[\]]*)\]$")


@dataclass(frozen=True)
class Known:
    """One row.

    Attributes:
        candidate: its point, in the declared units.
        outcomes: outcome → estimate in its declared unit; empty where it failed.
        is_failed: whether the specimen failed.
    """

    candidate: Candidate
    outcomes: Mapping[str, Estimate] = field(default_factory=dict)
    is_failed: bool = False


@dataclass(frozen=True)
class _Column:
    """A column of the table: its name as written, and its unit, None where none is stated."""

    written: str
    unit: str | None


class _Start:
    """The table of `start` with the units of its columns."""

    def __init__(self, reader: Reader, where: Where, table: Table, units: Mapping[str, str]) -> None:
        self.reader = reader
        self.where: Where = (*where, "table")
        self.table = table
        self.columns: dict[str, _Column] = {}
        for written in table.columns:
            match = _HEADER.match(written)
            name = match["name"] if match else written
            unit = units.get(name, match["unit"].strip() if match else None)
            if name in self.columns:
                self.wrong(f"{table.path}: the columns '{self.columns[name].written}' and '{written}' say the same")
            self.columns[name] = _Column(written, unit)
        for name in units:
            if name not in self.columns:
                reader.unknown((*where, "units", name), name, self.columns, "column")

    def wrong(self, message: str) -> None:
        """Note a problem of the table."""
        self.reader.wrong(self.where, message)

    def cells(self, name: str, unit: str, *, difference: bool = False) -> NDArray[np.float64] | None:
        """Return a column of numbers, shape (rows,), in a unit; notes what is wrong and returns None."""
        column = self.columns[name]
        turned = convert_difference if difference else convert
        try:
            numbers = self.table.numbers(column.written)
            if column.unit in {None, unit}:
                return numbers
            return np.array([turned(float(v), str(column.unit), unit) for v in numbers])
        except UnitError as error:
            self.wrong(f"{self.table.path}, column '{column.written}': {error}")
        except InputError as error:
            self.wrong(str(error))
        return None

    def parameter(self, name: str, parameter: AnyParameter) -> list[float | int | str] | None:
        """Return a column of a parameter's values, all of them allowed."""
        if name not in self.columns:
            self.wrong(
                f"{self.table.path} has no column '{name}'{near_miss(name, self.columns)}; it has {listed(self.columns)}"
            )
            return None
        values: list[float | int | str]
        if isinstance(parameter, Categorical):
            column = self.table.data[self.columns[name].written]
            values = list(column) if isinstance(column, tuple) else [f"{v:g}" for v in column]
        else:
            numbers = self.cells(name, parameter.unit)
            if numbers is None:
                return None
            whole = parameter.type == "integer"
            values = [int(v) if whole and float(v).is_integer() else float(v) for v in numbers]
        for row, value in enumerate(values):
            said = parameter.problem(value)
            if said is not None:
                self.wrong(f"{self.table.place(row)}, column '{self.columns[name].written}': {said}")
                return None
        return values

    def states(self) -> list[bool] | None:
        """Return per row whether it failed."""
        if STATE not in self.columns:
            return [False] * self.table.rows
        words = self.table.data[self.columns[STATE].written]
        for row, word in enumerate(words):
            if word not in {"done", "failed"}:
                self.wrong(f"{self.table.place(row)}, column '{STATE}': {brief(word)} is neither 'done' nor 'failed'")
                return None
        return [word == "failed" for word in words]


def read_known(
    reader: Reader,
    files: Files,
    parameters: Mapping[str, AnyParameter | None],
    wanted: Mapping[str, Objective | OutcomeConstraint | None],
) -> tuple[Known, ...]:
    """Read `start: {table, units}`: one row an experiment, columns named like parameters and outcomes.

    A parameter without a column has the value that it `was` before there was that parameter.

    A column's unit stands in its header, `temperature [K]`, or under `units`; without one it is the declared unit. Rows must
    lie within the parameters' ranges; constraints and pools are not asked: what was measured was measured.

    Args:
        reader: of the campaign file.
        files: that it refers to.
        parameters: name → parameter, None for one that could not be read.
        wanted: outcome → its objective or constraint.
    """
    where: Where = ("start",)
    if "start" not in reader.document.data:
        return ()
    reader.only(where, ("table", "units"))
    name = reader.at((*where, "table"))
    if not isinstance(name, str):
        reader.wrong(where, "needs 'table': a CSV or Parquet file with a column a parameter and outcome")
        return ()
    units = reader.mapping((*where, "units"), required=False)
    for column, unit in units.items():
        if not isinstance(unit, str):
            reader.wrong((*where, "units", column), f"must be a unit, got {brief(unit)}")
            return ()
    key = files.key(name)
    try:
        table = read_table(files.path(key))
        files.use(key)
    except InputError as error:
        reader.wrong((*where, "table"), str(error))
        return ()
    good = {n: p for n, p in parameters.items() if p is not None}
    if len(good) < len(parameters):
        return ()
    start = _Start(reader, where, table, units)
    return _rows(start, good, {n: w.unit for n, w in wanted.items() if w is not None}, read_was(reader, good))


def _rows(
    start: _Start, parameters: Mapping[str, AnyParameter], wanted: Mapping[str, str], was: Mapping[str, Value]
) -> tuple[Known, ...]:
    points: dict[str, list[float | int | str] | None] = {
        name: [was[name]] * start.table.rows if name in was and name not in start.columns else start.parameter(name, p)
        for name, p in parameters.items()
    }
    failed = start.states()
    allowed = [*parameters, *wanted, *(f"{o}{UNCERTAINTY}" for o in wanted), STATE]
    for column in start.columns:
        if column not in allowed:
            start.wrong(
                f"{start.table.path}: the column '{column}' is neither a parameter nor an outcome"
                f"{near_miss(column, allowed)}; remove it"
            )
    given = [o for o in wanted if o in start.columns]
    if not given:
        start.wrong(f"{start.table.path} has no outcome; one of {listed(wanted)} is needed")
    values: dict[str, tuple[NDArray[np.float64], NDArray[np.float64] | None] | None] = {}
    for outcome in given:
        numbers = start.cells(outcome, wanted[outcome])
        doubts = None
        if f"{outcome}{UNCERTAINTY}" in start.columns:
            doubts = start.cells(f"{outcome}{UNCERTAINTY}", wanted[outcome], difference=True)
            if doubts is None:
                numbers = None
            elif (doubts < 0).any():
                row = int(np.flatnonzero(doubts < 0)[0])
                start.wrong(f"{start.table.place(row)}, column '{outcome}{UNCERTAINTY}': {doubts[row]:g} is below 0")
        values[outcome] = None if numbers is None else (numbers, doubts)
    if failed is None or any(p is None for p in points.values()) or any(v is None for v in values.values()):
        return ()
    found = []
    for row, is_failed in enumerate(failed):
        candidate = Candidate({n: p[row] for n, p in points.items() if p is not None})
        outcomes = {
            o: Estimate(float(v[0][row]), None if v[1] is None else float(v[1][row]))
            for o, v in values.items()
            if v is not None
        }
        found.append(Known(candidate, {} if is_failed else outcomes, is_failed))
    return tuple(found)
