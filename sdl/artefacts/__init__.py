"""Raw data by content hash."""

from sdl.artefacts.ref import ArtefactRef
from sdl.artefacts.store import ArtefactStore

__all__ = ["ArtefactRef", "ArtefactStore"]
