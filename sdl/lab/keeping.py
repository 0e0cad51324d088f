"""Raw data that the disk does not take: they are held in memory, and written before the reply that names them counts."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING

from sdl.artefacts import ArtefactRef
from sdl.errors import LedgerError

if TYPE_CHECKING:
    from sdl.artefacts import ArtefactStore
    from sdl.driver import Reply

_log = logging.getLogger("sdl.lab.server")

_AGAIN = 1.0
"""Real seconds between two attempts to write raw data while the disk refuses them. Chosen."""


class Keeping:
    """Keeps raw data for a lab server: a full disk does not cost what an instrument has measured.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: ArtefactStore) -> None:
        self._store = store
        self._unwritten: dict[str, tuple[str, bytes, str]] = {}

    def put(self, name: str, data: bytes, media_type: str) -> ArtefactRef:
        """Keep bytes; those that cannot be written now are held until `written`."""
        try:
            return self._store.put(name, data, media_type)
        except LedgerError as error:
            _log.error("%s: held in memory until they can be written", error)
            sha256 = hashlib.sha256(data).hexdigest()
            self._unwritten[sha256] = (name, data, media_type)
            return ArtefactRef(name, sha256, len(data), media_type)

    async def written(self, reply: Reply) -> None:
        """Return when all raw data of a reply are on disk: tries as often as it takes."""
        while True:
            try:
                for sha256 in {a.sha256 for a in reply.artefacts} & self._unwritten.keys():
                    self._store.put(*self._unwritten[sha256])
                    del self._unwritten[sha256]
            except LedgerError as error:
                _log.error("the reply to command %s waits for its raw data: %s", reply.command, error)
                await asyncio.sleep(_AGAIN)
            else:
                return
