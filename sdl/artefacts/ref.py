"""A reference to raw data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArtefactRef:
    """Raw data by content.

    Attributes:
        name: file name for people, such as `spectrum.csv`.
        sha256: hex digest of the bytes.
        size: bytes.
        media_type: such as `text/csv`.
    """

    name: str
    sha256: str
    size: int
    media_type: str
