"""Read a table strictly: every error names the file, the line and the column.

CSV: UTF-8 (a byte-order mark is tolerated), commas, one header line, no empty cells; blank lines are passed over.
Parquet needs pandas and pyarrow (extra `sdl[tables]`). A column whose cells are all numbers is an array, any other is
text. Numbers may be `nan` or `inf` here, because a column that nobody uses may be so; `Table.numbers` refuses them.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import InputError, listed, near_miss

if TYPE_CHECKING:
    from numpy.typing import NDArray

Column = "NDArray[np.float64] | tuple[str, ...]"
"""A column's cells: an array of floats, shape (rows,), or a tuple of words."""

_KEPT = 4
"""How many parsed tables are kept, by content: pre-flight, pool and driver read the same file one after another."""

_LARGE = 10_000
"""Lines from which on a table of plain numbers is read in one go (chosen)."""

_parsed: OrderedDict[tuple[str, str], Table] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Table:
    """A table as it stands in a file.

    Attributes:
        path: the file.
        sha256: hex digest of the file's bytes.
        columns: names in the order of the file.
        data: name → cells, a read-only float array of shape (rows,) or a tuple of words.
        rows: how many rows.
    """

    path: str
    sha256: str
    columns: tuple[str, ...]
    data: Mapping[str, NDArray[np.float64] | tuple[str, ...]]
    rows: int
    _lines: NDArray[np.int64] | None = None

    def line_of(self, row: int) -> int:
        """Return the 1-based line of the file in which a row (from 0) ends; for Parquet the 1-based number of the row."""
        return row + 1 if self._lines is None else int(self._lines[row])

    def place(self, row: int) -> str:
        """Return where a row stands, for messages: `measured.csv, line 7`, or `measured.parquet, row 6`."""
        return f"{self.path}, {'row' if self._lines is None else 'line'} {self.line_of(row)}"

    def require(self, name: str) -> None:
        """Check that a column exists.

        Raises:
            InputError: it does not.
        """
        if name not in self.data:
            raise InputError(
                f"{self.path}: there is no column '{name}'{near_miss(name, self.columns)}; columns are {listed(self.columns)}"
            )

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of finite numbers, shape (rows,), read-only.

        Raises:
            InputError: no such column, or a cell that is not a finite number; the first is named.
        """
        self.require(name)
        cells = self.data[name]
        if isinstance(cells, tuple):
            row = next(i for i, cell in enumerate(cells) if _number(cell) is None)
            raise InputError(f"{self.place(row)}, column '{name}': '{cells[row]}' is not a number")
        wrong = np.flatnonzero(~np.isfinite(cells))
        if wrong.size:
            row = int(wrong[0])
            raise InputError(
                f"{self.place(row)}, column '{name}': {cells[row]:g} is not finite; remove the row or correct it"
            )
        return cells


def read_table(path: str | Path) -> Table:
    """Read a table; the suffix says whether it is CSV (`.csv`, `.txt`) or Parquet (`.parquet`, `.pq`).

    Raises:
        InputError: missing, unreadable, empty, not text, ragged, with empty cells, without a header or with a column
            named twice.
    """
    name = str(path)
    suffix = Path(path).suffix.lower()
    if suffix not in {".csv", ".txt", ".parquet", ".pq"}:
        raise InputError(f"{name}: a table is a .csv or .parquet file, this one ends in '{suffix}'")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{name}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error
    if not data.strip():
        raise InputError(f"{name}: the table is empty; it needs a header line and at least one row")
    key = (name, hashlib.sha256(data).hexdigest())
    if key in _parsed:
        _parsed.move_to_end(key)
        return _parsed[key]
    table = _read_csv(name, key[1], data) if suffix in {".csv", ".txt"} else _read_parquet(name, key[1], data)
    _parsed[key] = table
    while len(_parsed) > _KEPT:
        _parsed.popitem(last=False)
    return table


def _read_csv(path: str, digest: str, data: bytes) -> Table:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text; save the table as CSV in UTF-8") from error
    if "\x00" in text:
        raise InputError(
            f"{path}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a binary file, not a table of text"
        )
    plain = _read_numbers(path, digest, text)
    if plain is not None:
        return plain
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            if header is None:
                header = _checked_header(path, reader.line_num, [cell.strip() for cell in cells])
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells where the header names {len(header)} columns"
                )
            rows.append(cells)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: malformed CSV: {error}") from error
    if header is None or not rows:
        raise InputError(f"{path}: the table has no rows below its header")
    columns = {
        name: _column(path, name, [cell.strip() for cell in cells], lines)
        for name, cells in zip(header, zip(*rows, strict=True), strict=True)
    }
    return Table(path, digest, tuple(header), columns, len(rows), np.array(lines))


def _read_numbers(path: str, digest: str, text: str) -> Table | None:
    """Read a large table that is nothing but plain numbers; None for any other, which is read cell by cell.

    A million rows take a second so. It gives the same numbers and lines: without quotes and blank lines row i stands in
    line i + 2.
    """
    lines = text.count("\n") + (not text.endswith("\n"))
    if lines < max(_LARGE, 2) or '"' in text or "_" in text or text.count("\r") not in {0, text.count("\n")}:
        return None
    if "\n\n" in text or "\n\r\n" in text:
        return None
    end = text.index("\n")
    header = [cell.strip() for cell in text[:end].split(",")]
    if not text[:end].strip():
        return None
    try:
        cells = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=1, comments=None, ndmin=2, encoding=None)
    except (ValueError, OverflowError):
        return None
    if cells.shape != (lines - 1, len(header)):
        return None
    _checked_header(path, 1, header)
    columns = {name: _frozen(np.ascontiguousarray(cells[:, i])) for i, name in enumerate(header)}
    return Table(path, digest, tuple(header), columns, len(cells), np.arange(2, lines + 1))


def _checked_header(path: str, line: int, header: list[str]) -> list[str]:
    for index, name in enumerate(header):
        if not name:
            raise InputError(f"{path}, line {line}: column {index + 1} has no name")
        if name in header[:index]:
            raise InputError(f"{path}, line {line}: column '{name}' is named twice")
    if all(_number(name) is not None for name in header):
        raise InputError(f"{path}, line {line}: the first line must name the columns, here it holds numbers")
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise InputError(
            f"{path}, line {line}: columns are separated by commas, here by another sign: {header[0][:60]!r}"
        )
    return header


def _number(cell: str) -> float | None:
    """Read a number; Python's own liberties (1_000, other scripts' digits) are not numbers in a table."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _column(path: str, name: str, cells: list[str], lines: list[int]) -> NDArray[np.float64] | tuple[str, ...]:
    if "" in cells:
        raise InputError(f"{path}, line {lines[cells.index('')]}, column '{name}': the cell is empty")
    numbers: list[float] = []
    for cell in cells:
        number = _number(cell)
        if number is None:
            return tuple(cells)
        numbers.append(number)
    return _frozen(np.array(numbers))


def _frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    array.setflags(write=False)
    return array


def _read_parquet(path: str, digest: str, data: bytes) -> Table:
    try:
        # an optional extra, and slow to import
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(f"{path}: Parquet tables need the extra 'tables': pip install 'sdl[tables]'") from error
    try:
        frame = parquet.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from error
    header = _checked_header(path, 1, [str(name) for name in frame.column_names])
    if not frame.num_rows:
        raise InputError(f"{path}: the table has no rows")
    columns: dict[str, NDArray[np.float64] | tuple[str, ...]] = {}
    for name in header:
        column = frame.column(name)
        if not column.null_count and (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            columns[name] = _frozen(np.array(column.to_numpy(), dtype=float))
            continue
        cells = column.to_pylist()
        if None in cells:
            raise InputError(f"{path}, row {cells.index(None) + 1}, column '{name}': the cell is empty")
        if all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells):
            columns[name] = _frozen(np.array(cells, dtype=float))
        elif all(isinstance(cell, str) for cell in cells):
            columns[name] = tuple(cells)
        else:
            raise InputError(
                f"{path}, column '{name}': a column holds numbers or words, this one {frame.field(name).type}"
            )
    return Table(path, digest, tuple(header), columns, frame.num_rows)
