"""An impedance spectrum as a file: CSV with a header of `# key: value` lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.analysis.base import AnalysisInput
from sdl.errors import AnalysisError, UnitError, listed
from sdl.units import read_quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Complexes = NDArray[np.complex128]

MEDIA_TYPES = ("text/csv",)
"""Media types of a spectrum."""

COLUMNS = ("frequency/Hz", "Z'/ohm", "Z''/ohm")
"""Header of the table; a capacitive Z'' is negative."""

TECHNIQUE = "impedance spectroscopy"
"""What the header's `technique` must say."""

FEWEST = 20
"""Points below which nine parameters of a circuit and the noise cannot be told apart."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """An impedance spectrum with the pellet's geometry.

    Attributes:
        frequency: Hz, ascending, shape (n,).
        impedance: ohm, shape (n,).
        thickness: cm.
        thickness_uncertainty: standard uncertainty, cm.
        area: cm².
        area_uncertainty: standard uncertainty, cm².
        largest: modulus beyond which the analyser reads no higher, ohm; infinite where the file does not say it.
        simulated: whether the file says that it was simulated.
    """

    frequency: Floats
    impedance: Complexes
    thickness: float
    thickness_uncertainty: float
    area: float
    area_uncertainty: float
    largest: float = float("inf")
    simulated: bool = False


def read_spectrum(file: AnalysisInput) -> Spectrum:
    """Read a spectrum: `# key: value` lines, then a table with the columns `frequency/Hz`, `Z'/ohm`, `Z''/ohm`.

    The header must give `technique`, `thickness` and `area` with `thickness_uncertainty` and `area_uncertainty` (each a
    number with unit), and `points`, the number of rows, by which a truncated file is known. It should give
    `largest_impedance`, beyond which the analyser reads no higher; without it a saturated point cannot be known.

    Raises:
        AnalysisError: anything is missing, malformed, not finite or not positive; a point is saturated.
    """
    try:
        text = file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnalysisError(f"{file.name}: not a text file, so no spectrum") from error
    if not text.strip():
        raise AnalysisError(f"{file.name}: the file is empty")
    lines = text.splitlines()
    head: dict[str, str] = {}
    first = 0
    for first, line in enumerate(lines):  # noqa: B007  where the table begins
        if not line.startswith("#"):
            break
        key, colon, value = line.lstrip("# ").partition(":")
        if colon:
            head[key.strip()] = value.strip()
    technique = head.get("technique")
    if technique != TECHNIQUE:
        raise AnalysisError(f"{file.name}: header says technique '{technique}', expected '{TECHNIQUE}'")
    rows = _rows(file.name, lines[first:], first + 1)
    points = head.get("points", "")
    if not points.isdecimal() or int(points) != len(rows) or not text.endswith("\n"):
        said = f"{points} points" if points else "no number of points"
        raise AnalysisError(f"{file.name}: truncated: the header announces {said}, the table has {len(rows)}")
    if len(rows) < FEWEST:
        raise AnalysisError(f"{file.name}: {len(rows)} points are too few, at least {FEWEST} are needed")
    table = np.array(rows)
    order = np.argsort(table[:, 0], kind="stable")
    largest = _positive(file.name, head, "largest_impedance", "ohm") if "largest_impedance" in head else float("inf")
    full = int((np.hypot(table[:, 1], table[:, 2]) >= (1.0 - 1e-9) * largest).sum())
    if full:
        raise AnalysisError(
            f"{file.name}: saturated: {full} points reach {largest:g} ohm, the largest impedance that the analyser reads; "
            "use a larger range, or check the contacts"
        )
    return Spectrum(
        frequency=table[order, 0],
        impedance=table[order, 1] + 1j * table[order, 2],
        thickness=_positive(file.name, head, "thickness", "cm"),
        thickness_uncertainty=_positive(file.name, head, "thickness_uncertainty", "cm"),
        area=_positive(file.name, head, "area", "cm**2"),
        area_uncertainty=_positive(file.name, head, "area_uncertainty", "cm**2"),
        largest=largest,
        simulated=head.get("simulated", "").lower() == "true",
    )


def _rows(name: str, lines: list[str], first: int) -> list[list[float]]:
    reader = csv.reader(io.StringIO("\n".join(lines)))
    rows: list[list[float]] = []
    for number, cells in enumerate(reader):
        where = f"{name}, line {first + number}"
        if number == 0:
            if tuple(c.strip() for c in cells) != COLUMNS:
                raise AnalysisError(f"{where}: expected the columns {listed(COLUMNS)}, found {listed(cells)}")
            continue
        try:
            values = [float(c) for c in cells]
        except ValueError as error:
            raise AnalysisError(f"{where}: '{','.join(cells)[:80]}' is no row of three numbers") from error
        if len(values) != len(COLUMNS):
            raise AnalysisError(f"{where}: {len(values)} cells, expected {len(COLUMNS)}; the file may be truncated")
        if not np.isfinite(values).all():
            raise AnalysisError(f"{where}: '{','.join(cells)}' holds a value that is not finite")
        if values[0] <= 0:
            raise AnalysisError(f"{where}: a frequency must be above 0 Hz, got {values[0]:g}")
        if values[1] == values[2] == 0:
            raise AnalysisError(f"{where}: an impedance of 0 ohm: the cell was short-circuited")
        rows.append(values)
    return rows


def _positive(name: str, head: Mapping[str, str], key: str, unit: str) -> float:
    if key not in head:
        raise AnalysisError(f"{name}: the header does not give '{key}' ({unit}); without it there is no conductivity")
    try:
        value = read_quantity(head[key]).to(unit)
    except UnitError as error:
        raise AnalysisError(f"{name}: {key}: {error}") from error
    smallest_is_zero = key.endswith("uncertainty")
    if not np.isfinite(value) or value < 0 or (value == 0 and not smallest_is_zero):
        raise AnalysisError(f"{name}: {key} must be finite and above 0 {unit}, the header says {head[key]}")
    return value
