"""Read results that people measured, from a CSV sheet; nothing is guessed, and every fault is named with its line and column.

A file with one fault in it is refused as a whole. See `sheet` for the columns; all but those of the outcomes may be missing.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdl.campaign.sheet import EXPERIMENT, NOTE, REASON, SAMPLE, STATE, UNCERTAINTY, header_of
from sdl.errors import InputError, UnitError, brief, listed, near_miss
from sdl.objective import Estimate
from sdl.space import Categorical
from sdl.units import convert, convert_difference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign.space import AnyParameter
    from sdl.space import Value

_HEADER = re.compile(r"^(?P<name>[^\[\]]+?)\s*\[(?P<unit>[^\[\]]*)\]$")
_COMMA = re.compile(r"^[+-]?\d{1,3}(?:\.?\d{3})*,\d+(?:[eE][+-]?\d+)?$|^[+-]?\d+,\d+(?:[eE][+-]?\d+)?$")
_WITH_UNIT = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*[^\d\s.,;].*$")
_MOST = 30
"""Faults that are listed (chosen): a file with more is wrong in one way throughout."""

_WORDS = (EXPERIMENT, SAMPLE, STATE, REASON, NOTE)


@dataclass(frozen=True)
class ResultRow:
    """One row of the sheet, in declared units.

    Attributes:
        line: where it stands in the file, from 1.
        experiment: its number, or None where nobody proposed it.
        sample: as written; empty where nothing stands there.
        parameters: those that are stated.
        outcomes: those that were measured.
        is_failed: whether the specimen failed.
        is_done: whether the sheet says that all is measured.
        reason: why, or a remark; may be empty.
    """

    line: int
    experiment: int | None
    sample: str
    parameters: Mapping[str, Value]
    outcomes: Mapping[str, Estimate]
    is_failed: bool
    reason: str
    is_done: bool = False

    @property
    def says_nothing(self) -> bool:
        """Whether nothing was filled in yet."""
        return not self.outcomes and not self.is_failed


@dataclass
class _Faults:
    """Everything that is wrong with a file."""

    file: str
    lines: list[str] = field(default_factory=list)

    def add(self, line: int, column: str, message: str) -> None:
        place = f"line {line}" + (f", column '{column}'" if column else "")
        self.lines.append(f"{place}: {message}")

    def raise_any(self) -> None:
        if self.lines:
            raise refused(self.file, self.lines)


def refused(file: str, lines: list[str]) -> InputError:
    """Return the error that refuses a file as a whole."""
    count = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
    more = [] if len(lines) <= _MOST else [f"and {len(lines) - _MOST} more"]
    return InputError(f"{file}: {count}; nothing of it was recorded:\n  " + "\n  ".join([*lines[:_MOST], *more]))


def read_results(
    file: str, data: bytes, parameters: Mapping[str, AnyParameter], units: Mapping[str, str]
) -> tuple[ResultRow, ...]:
    """Read a sheet.

    Args:
        file: its name, for messages.
        data: its bytes: CSV in UTF-8, commas between columns, points in numbers.
        parameters: name → parameter of the campaign.
        units: outcome → its declared unit.

    Returns:
        The rows in which anything stands, in order.

    Raises:
        InputError: anything is wrong with it; all faults are named.
    """
    faults = _Faults(file)
    header, rows = _cells(file, data)
    columns = _columns(header, parameters, units, faults)
    faults.raise_any()
    found = []
    for line, cells in rows:
        if len(cells) != len(header):
            faults.add(
                line,
                "",
                f"{len(cells)} cells where the header names {len(header)} columns (a decimal comma? write 0.5)",
            )
            continue
        given = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
        if any(given.values()):
            found.append(_row(line, given, columns, parameters, units, faults))
    faults.raise_any()
    return tuple(found)


def _cells(file: str, data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and the rows with the lines at which they end."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        said = "is it a spreadsheet? " if data[:2] == b"PK" else ""
        raise refused(file, [f"line {line}: not UTF-8 text; {said}save the sheet as CSV in UTF-8"]) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise refused(file, [f"line {reader.line_num}: malformed CSV: {error}"]) from error
    if not rows:
        raise refused(file, ["the sheet is empty; it needs a header line and a row an experiment"])
    line, header = rows[0]
    header = [cell.strip() for cell in header]
    sign = next((s for s in (";", "\t") if len(header) == 1 and s in header[0]), None)
    if sign is not None:
        named = "semicolons" if sign == ";" else "tabs"
        raise refused(
            file,
            [
                f"line {line}: columns are separated by {named}; save it with commas between columns and points in numbers"
            ],
        )
    while header and not header[-1] and all(not row[-1].strip() for _, row in rows if len(row) == len(header)):
        header.pop()  # a spreadsheet's empty last column
        rows = [(at, row[:-1] if len(row) == len(header) + 1 else row) for at, row in rows]
    return header, rows[1:]


def _columns(
    header: list[str], parameters: Mapping[str, AnyParameter], units: Mapping[str, str], faults: _Faults
) -> dict[str, tuple[str, str | None]]:
    """Return name → (header as written, unit or None where none is stated), in order."""
    declared = {**{n: p.unit for n, p in parameters.items()}, **units}
    doubts = {f"{outcome}{UNCERTAINTY}": unit for outcome, unit in units.items()}
    allowed = [*_WORDS, *declared, *doubts]
    columns: dict[str, tuple[str, str | None]] = {}
    for index, written in enumerate(header):
        match = _HEADER.match(written)
        name = match["name"] if match else written
        unit = match["unit"].strip() if match else None
        if not written:
            faults.add(1, "", f"column {index + 1} has no name")
        elif name in columns:
            faults.add(1, written, f"'{columns[name][0]}' says the same")
        elif name not in allowed:
            faults.add(
                1,
                written,
                f"is neither a parameter nor an outcome{near_miss(name, allowed)}; there are {listed(allowed)}; "
                f"remarks may stand in '{NOTE}'",
            )
        elif unit is not None and name in _WORDS:
            faults.add(1, written, f"'{name}' has no unit")
        elif unit is not None:
            wanted = {**declared, **doubts}[name]
            try:
                if isinstance(parameters.get(name), Categorical):
                    raise UnitError("a category has no unit")
                (convert_difference if name in doubts else convert)(1.0, unit, wanted)
            except UnitError as error:
                faults.add(1, written, f"{error}; write '{header_of(name, wanted)}'")
        columns[name or f"column {index + 1}"] = (written, unit)
    if not any(name in units for name in columns) and STATE not in columns:
        faults.add(1, "", f"no column holds a result; outcomes are {listed(header_of(o, u) for o, u in units.items())}")
    return columns


def _row(
    line: int,
    given: Mapping[str, str],
    columns: Mapping[str, tuple[str, str | None]],
    parameters: Mapping[str, AnyParameter],
    units: Mapping[str, str],
    faults: _Faults,
) -> ResultRow:
    def number(name: str, declared: str, *, difference: bool = False) -> float | None:
        written, unit = columns[name]
        if unit is None and difference:  # a bare column of uncertainties is in the unit of its values
            _, unit = columns.get(name.removesuffix(UNCERTAINTY), ("", None))
        cell = given[name]
        value = _number(cell)
        if value is None:
            faults.add(line, written, _no_number(cell, written, header_of(name, unit or declared)))
            return None
        if unit is None or unit == declared:
            return value
        return (convert_difference if difference else convert)(value, unit, declared)

    values: dict[str, Value] = {}
    for name, parameter in parameters.items():
        if not given.get(name):
            continue
        if isinstance(parameter, Categorical):
            values[name] = given[name]
            continue
        found = number(name, parameter.unit)
        if found is not None:
            values[name] = int(found) if parameter.type == "integer" and found.is_integer() else found
    outcomes: dict[str, Estimate] = {}
    for outcome, declared in units.items():
        key = f"{outcome}{UNCERTAINTY}"
        doubt = number(key, declared, difference=True) if given.get(key) else None
        if doubt is not None and doubt < 0:
            faults.add(line, columns[key][0], f"{given[key]} is below 0; a standard uncertainty is not")
        if given.get(outcome):
            value = number(outcome, declared)
            if value is not None:
                outcomes[outcome] = Estimate(value, doubt)
        elif doubt is not None:
            faults.add(line, columns[key][0], f"an uncertainty without a value of '{outcome}'")
    state = given.get(STATE, "").lower()
    if state not in {"", "done", "failed"}:
        faults.add(
            line, columns[STATE][0], f"{brief(given[STATE])} is neither 'done' nor 'failed'; leave it empty if open"
        )
    if state == "done" and not outcomes:
        faults.add(line, columns[STATE][0], "'done', and no outcome is stated")
    return ResultRow(
        line=line,
        experiment=_whole(line, given, columns, faults),
        sample=given.get(SAMPLE, ""),
        parameters=values,
        outcomes=outcomes,
        is_failed=state == "failed",
        reason=given.get(REASON, ""),
        is_done=state == "done",
    )


def _whole(
    line: int, given: Mapping[str, str], columns: Mapping[str, tuple[str, str | None]], faults: _Faults
) -> int | None:
    cell = given.get(EXPERIMENT, "")
    if not cell:
        return None
    value = _number(cell)
    if value is None or not value.is_integer() or value < 1:
        faults.add(
            line, columns[EXPERIMENT][0], f"{brief(cell)} is no experiment's number; leave it empty for your own idea"
        )
        return None
    return int(value)


def _number(cell: str) -> float | None:
    """Read a finite number; Python's own liberties (1_000, other scripts' digits) are not numbers on a sheet."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _no_number(cell: str, written: str, wanted: str) -> str:
    if _COMMA.match(cell):
        return f"{brief(cell)} is not a number; a decimal comma? write {cell.replace('.', '').replace(',', '.')}"
    if _WITH_UNIT.match(cell):
        where = "" if written == wanted else f", '{wanted}'"
        return f"{brief(cell)} is not a plain number; a unit stands in the header{where}"
    return f"{brief(cell)} is not a finite number; leave the cell empty where nothing was measured"
