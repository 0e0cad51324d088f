"""What an analysis is, and the table of those that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sdl.driver import FieldSpec
from sdl.errors import InputError, listed, near_miss
from sdl.objective import Estimate


@dataclass(frozen=True)
class AnalysisInput:
    """One artefact as an analysis sees it.

    Attributes:
        name: file name.
        media_type: such as `text/csv`.
        data: the bytes.
    """

    name: str
    media_type: str
    data: bytes


class Analysis(Protocol):
    """A pure function from artefacts to estimates.

    Attributes:
        name: as in the protocol's `analysis:`.
        gives: the fields that it gives, with units.
    """

    name: str
    gives: tuple[FieldSpec, ...]

    def analyse(self, artefacts: tuple[AnalysisInput, ...]) -> Mapping[str, Estimate]:
        """Return field → estimate in the field's unit.

        Raises:
            AnalysisError: the data are of the wrong kind, truncated, or do not support a value; never a guess.
        """
        ...


def _table() -> dict[str, Analysis]:
    from sdl.analysis.impedance import BulkConductivity  # noqa: PLC0415  keeps scipy out of light imports

    return {a.name: a for a in (BulkConductivity(),)}


def analysis_names() -> tuple[str, ...]:
    """Return the names of all analyses."""
    return tuple(sorted(_table()))


def get_analysis(name: str) -> Analysis:
    """Return an analysis by name.

    Raises:
        InputError: no such analysis.
    """
    table = _table()
    if name not in table:
        raise InputError(f"unknown analysis '{name}'{near_miss(name, table)}; there are {listed(sorted(table))}")
    return table[name]
