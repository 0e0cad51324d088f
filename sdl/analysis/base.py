"""What an analysis is, and the table of those that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sdl.analysis.result import AnalysisResult
from sdl.driver import FieldSpec
from sdl.errors import AnalysisError, InputError, listed, near_miss
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
        technique: of the raw data that it takes; pre-flight compares it with what an action says that it gives.
    """

    @property
    def name(self) -> str:
        """The name as in the protocol's `analysis:`."""
        ...

    @property
    def gives(self) -> tuple[FieldSpec, ...]:
        """The fields that it gives, with units."""
        ...

    @property
    def technique(self) -> str:
        """Technique of the raw data that it takes, such as `impedance spectroscopy`."""
        ...

    def analyse(self, artefacts: tuple[AnalysisInput, ...]) -> Mapping[str, Estimate]:
        """Return field → estimate in the field's unit.

        Raises:
            AnalysisError: the data are of the wrong kind, truncated, or do not support a value; never a guess.
        """
        ...


@runtime_checkable
class DetailedAnalysis(Analysis, Protocol):
    """An analysis that can also say how it came to its estimates; the engine needs only `analyse`."""

    def examine(self, artefacts: tuple[AnalysisInput, ...]) -> AnalysisResult:
        """Return the estimates of `analyse` with 95 % intervals, quality flags, diagnostics and a figure.

        Raises:
            AnalysisError: as `analyse`.
        """
        ...


def one_file(
    analysis: str, what: str, media_types: tuple[str, ...], artefacts: tuple[AnalysisInput, ...]
) -> AnalysisInput:
    """Return the only artefact of the right kind.

    Args:
        analysis: name of the analysis, for the message.
        what: what is sought, in the singular, such as `spectrum`.
        media_types: those that will do.
        artefacts: what the step gave.

    Raises:
        AnalysisError: there is none, or more than one.
    """
    found = [a for a in artefacts if a.media_type.split(";")[0].strip() in media_types]
    if len(found) != 1:
        kinds = listed(f"{a.name} ({a.media_type})" for a in artefacts)
        wanted = " or ".join(media_types)
        raise AnalysisError(f"{analysis} needs exactly one {what} of type {wanted}, the step gave {kinds}")
    return found[0]


def _table() -> dict[str, Analysis]:
    # Imported here: scipy stays out of light imports, and each analysis imports its heavy libraries where it uses them.
    from sdl.analysis.diffraction import PHASE_CONTENT, PHASE_FRACTION
    from sdl.analysis.impedance import BulkConductivity
    from sdl.analysis.micrograph import Microstructure

    analyses: tuple[Analysis, ...] = (BulkConductivity(), PHASE_FRACTION, PHASE_CONTENT, Microstructure())
    return {a.name: a for a in analyses}


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
