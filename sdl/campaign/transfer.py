"""Read `transfer`: earlier campaigns over the same or an overlapping space, from tables or from a ledger.

A table is what `sdl export` writes, or a table as under `start`. It need not fit the campaign: rows that cannot be expressed in
its space are left aside, and it is said how many and why.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from sdl.campaign.known import STATE, UNCERTAINTY, Known
from sdl.campaign.words import NAME, NAME_RULE
from sdl.errors import InputError, UnitError, brief, listed, near_miss
from sdl.objective import Estimate
from sdl.space import Candidate, Categorical
from sdl.units import DIMENSIONLESS, convert, convert_difference, read_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader
    from sdl.campaign.space import AnyParameter

Text = Annotated[str, Strict()]

FEWEST = 3
"""Rows that an earlier campaign must have left: with fewer there is nothing to be learned from it. Chosen."""
OF_TARGET = "of the target"
"""The column in which `sdl export` says, with several sources, whether an experiment's results count or only help."""
SIMULATED = "simulated"
"""The column in which `sdl export` says whether simulators carried an experiment out."""
_STANDARD = " standard uncertainty"
"""What follows an outcome's name in the column of its uncertainties, as `sdl export` writes it."""
_HEADER = re.compile(r"^(?P<name>[^\[\]]+?)\s*\[(?P<unit>[^\[\]]*)\]$")


class TransferSpec(BaseModel):
    """One earlier campaign.

    Attributes:
        campaign: its name in a ledger.
        home: the folder of that ledger, relative to the campaign file; by default $SDL_HOME, or the user's own.
        table: a CSV file with its results, such as `sdl export` writes; in the place of `campaign`.
        name: what it is called here; by default the campaign's name, or the table's without its suffix.
        columns: parameter or outcome → the column in which it stands, where it has another name there.
        units: column → unit, where its header states none.
        values: `with`: parameter → the value that it had there, for parameters without a column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    campaign: Text | None = Field(default=None, description="its name in a ledger")
    home: Text | None = Field(default=None, description="folder of that ledger [default: $SDL_HOME, or the user's own]")
    table: Text | None = Field(default=None, description="a CSV file, such as sdl export writes")
    name: Text | None = None
    columns: dict[str, Text] = Field(default_factory=dict)
    units: dict[str, Text] = Field(default_factory=dict)
    values: dict[str, Any] = Field(default_factory=dict, alias="with")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.campaign is None) == (self.table is None):
            raise ValueError("give either 'campaign' (its name in a ledger) or 'table' (a CSV file)")
        if self.home is not None and self.campaign is None:
            raise ValueError("'home' goes with 'campaign'")
        if not NAME.match(self.called):
            raise ValueError(f"{brief(self.called)} cannot be its name here: {NAME_RULE}; state 'name'")
        return self

    @property
    def called(self) -> str:
        """What it is called here."""
        if self.name is not None:
            return self.name
        if self.campaign is not None:
            return self.campaign
        return str(self.table).rsplit("/", 1)[-1].rsplit(".", 1)[0]

    @property
    def key(self) -> str:
        """Under which its data are kept, for a campaign from a ledger."""
        return f"transfer/{self.called}.csv"


def read_transfer(reader: Reader) -> tuple[TransferSpec, ...]:
    """Read `transfer`: a list of earlier campaigns; what is wrong is noted, only what is right is returned."""
    where: Where = ("transfer",)
    written = reader.document.data.get("transfer")
    if written is None:
        if "transfer" in reader.document.data:
            reader.wrong(where, "is empty: a list of {campaign: NAME} or {table: FILE} is needed here")
        return ()
    if not isinstance(written, list):
        reader.wrong(where, f"must be a list of {{campaign: NAME}} or {{table: FILE}}, got {brief(written)}")
        return ()
    specs = [spec for i in range(len(written)) if (spec := reader.model(TransferSpec, (*where, i))) is not None]
    named = [spec.called for spec in specs]
    for i, name in enumerate(named):
        if name in named[:i]:
            reader.wrong(where, f"two earlier campaigns are called '{name}'; state 'name' of one of them")
    return tuple(specs)


@dataclass(frozen=True)
class Earlier:
    """What an earlier campaign left.

    Attributes:
        rows: its results as points of the space, which may lie outside its bounds and constraints.
        overlap: what could be used, in words.
    """

    rows: tuple[Known, ...]
    overlap: str


@dataclass(frozen=True)
class _Column:
    cells: tuple[str, ...]
    unit: str | None
    written: str


def read_earlier(
    text: str, what: str, spec: TransferSpec, parameters: Mapping[str, AnyParameter], wanted: Mapping[str, str]
) -> Earlier:
    """Read the table of an earlier campaign.

    Args:
        text: the CSV.
        what: how the table is called in messages.
        spec: what the campaign file says of it.
        parameters: name → parameter of the campaign.
        wanted: outcome → its declared unit.

    Raises:
        InputError: it is no such table; a parameter is missing, a unit does not fit, there is no outcome or too little.
    """
    table = _columns(text, what, spec)
    columns = {n: spec.columns.get(n, n) for n in [*parameters, *wanted]}
    for name, column in spec.columns.items():
        if name not in parameters and name not in wanted:
            raise InputError(f"columns: '{name}' is neither a parameter nor an outcome{near_miss(name, columns)}")
        if column not in table:
            raise InputError(f"{what} has no column '{column}'{near_miss(column, table)}; it has {listed(table)}")
    for name in spec.values:
        if name not in parameters:
            raise InputError(
                f"with: '{name}' is no parameter{near_miss(name, parameters)}; parameters are {listed(parameters)}"
            )
        if columns[name] in table:
            raise InputError(f"with: '{name}' has a column in {what}; leave it out here")
    count = len(next(iter(table.values())).cells)
    points = {n: _parameter(n, p, table.get(columns[n]), what, spec, count) for n, p in parameters.items()}
    given = [o for o in wanted if columns[o] in table]
    if not given:
        raise InputError(f"{what} has no outcome; one of {listed(wanted)} is needed; it has {listed(table)}")
    outcomes = {o: _numbers(table[columns[o]], wanted[o], what) for o in given}
    doubts = {o: _doubts(table, columns[o], wanted[o], what) for o in given}
    states = table[STATE].cells if STATE in table else ("done",) * count
    rows: list[Known] = []
    left: dict[str, int] = {}

    def leave(why: str) -> None:
        left[why] = left.get(why, 0) + 1

    helps = table[OF_TARGET].cells if OF_TARGET in table else ("",) * count
    simulated = table[SIMULATED].cells if SIMULATED in table else ("",) * count
    inside = by_simulators = 0
    for row in range(count):
        if states[row] != "done":
            leave(states[row] or "without a state")
            continue
        if helps[row].lower() == "false":
            leave("of a source whose results only help, such as a simulation,")
            continue
        point = {n: values[row] for n, values in points.items()}
        missing = [n for n, v in point.items() if v is None]
        if missing:
            unknown = isinstance(parameters[missing[0]], Categorical)
            leave(f"whose '{missing[0]}' is none of this campaign's" if unknown else f"without a usable '{missing[0]}'")
            continue
        found: dict[str, Estimate] = {}
        for o in given:
            value = outcomes[o][row]
            if value is not None:
                found[o] = Estimate(value, doubts[o][row])
        if not found:
            leave(f"without {listed(given)}")
            continue
        candidate = Candidate({n: v for n, v in point.items() if v is not None})
        inside += all(p.problem(candidate[n]) is None for n, p in parameters.items())
        by_simulators += simulated[row].lower() == "true"
        rows.append(Known(candidate, found))
    if len(rows) < FEWEST:
        said = "; ".join(f"{n} {why}" for why, n in left.items())
        raise InputError(
            f"{what} has {len(rows)} rows that can be used, at least {FEWEST} are needed{': ' + said if said else ''}"
        )
    return Earlier(tuple(rows), _overlap(rows, count, left, (inside, by_simulators), given, spec))


def _columns(text: str, what: str, spec: TransferSpec) -> dict[str, _Column]:
    lines = [cells for cells in csv.reader(io.StringIO(text, newline="")) if any(cell.strip() for cell in cells)]
    if len(lines) < 2:
        raise InputError(f"{what} has no rows below its header")
    table: dict[str, _Column] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(lines[0]):
            raise InputError(f"{what}, row {number}: {len(cells)} cells where the header names {len(lines[0])} columns")
    for i, header in enumerate(cell.strip() for cell in lines[0]):
        match = _HEADER.match(header)
        name = match["name"] if match else header
        if name in table:
            raise InputError(
                f"{what}: the columns '{table[name].written}' and '{header}' say the same; remove one of them"
            )
        unit = spec.units.get(name, match["unit"].strip() if match else None)
        table[name] = _Column(tuple(cells[i].strip() for cells in lines[1:]), unit, header)
    for name in spec.units:
        if name not in table:
            raise InputError(f"units: {what} has no column '{name}'{near_miss(name, table)}; it has {listed(table)}")
    return table


def _parameter(
    name: str, parameter: AnyParameter, column: _Column | None, what: str, spec: TransferSpec, count: int
) -> Sequence[float | int | str | None]:
    """Return a parameter's value in each row; None for one that the space cannot express."""
    if column is None:
        if name not in spec.values:
            example = (
                parameter.values[0] if isinstance(parameter, Categorical) else f"{parameter.lower:g} {parameter.unit}"
            )
            raise InputError(
                f"{what} has no column '{name}'; say what it was there, such as with: "
                f"{{{name}: {example.replace(' ' + DIMENSIONLESS, '')}}}, or in which column it stands (columns: {{{name}: …}})"
            )
        return [_stated(name, parameter, spec.values[name])] * count
    if isinstance(parameter, Categorical):
        return [cell if cell in parameter.values else None for cell in column.cells]
    log = parameter.type == "continuous" and parameter.scale == "log"
    whole = parameter.type == "integer"
    found = [None if v is None or (log and v <= 0) else v for v in _numbers(column, parameter.unit, what)]
    return [int(v) if v is not None and whole and v.is_integer() else v for v in found]


def _stated(name: str, parameter: AnyParameter, value: object) -> float | int | str:
    if isinstance(parameter, Categorical):
        problem = parameter.problem(str(value))
        if problem is not None:
            raise InputError(f"with: {name}: {problem}")
        return str(value)
    try:
        quantity = read_quantity(value)  # type: ignore[arg-type]
        number = quantity.value if quantity.unit == DIMENSIONLESS else quantity.to(parameter.unit)
    except (UnitError, TypeError) as error:
        raise InputError(f"with: {name}: {error}") from error
    return int(number) if parameter.type == "integer" and float(number).is_integer() else float(number)


def _numbers(column: _Column, unit: str, what: str, *, difference: bool = False) -> list[float | None]:
    """Return a column in a unit; None for an empty cell, or one that is not finite."""
    turned = convert_difference if difference else convert
    found: list[float | None] = []
    for row, cell in enumerate(column.cells, start=2):
        if cell == "":
            found.append(None)
            continue
        try:
            number = float(cell)
            if column.unit not in {None, unit}:
                number = turned(number, str(column.unit), unit)
        except UnitError as error:
            raise InputError(f"{what}, column '{column.written}': {error}") from error
        except ValueError as error:
            raise InputError(f"{what}, row {row}, column '{column.written}': {brief(cell)} is not a number") from error
        found.append(number if math.isfinite(number) else None)
    return found


def _doubts(table: Mapping[str, _Column], outcome: str, unit: str, what: str) -> list[float | None]:
    for name in (f"{outcome}{_STANDARD}", f"{outcome}{UNCERTAINTY}"):
        if name in table:
            found = _numbers(table[name], unit, what, difference=True)
            below = next((v for v in found if v is not None and v < 0), None)
            if below is not None:
                raise InputError(f"{what}, column '{table[name].written}': {below:g} is below 0")
            return found
    return [None] * len(next(iter(table.values())).cells)


def _overlap(
    rows: Sequence[Known],
    count: int,
    left: Mapping[str, int],
    counted: tuple[int, int],
    given: Sequence[str],
    spec: TransferSpec,
) -> str:
    inside, by_simulators = counted
    said = f"{len(rows)} of {count} rows"
    if left:
        said += f" ({', '.join(f'{n} {why}' for why, n in left.items())} left aside)"
    said += f", {inside} of them within the bounds"
    if by_simulators:
        said += f", {'all' if by_simulators == len(rows) else by_simulators} by simulators"
    said += f"; gives {listed(given)}"
    if spec.values:
        said += f"; stated: {', '.join(f'{n} {v}' for n, v in spec.values.items())}"
    return said
