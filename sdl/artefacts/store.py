"""Raw data by content: bytes are kept under their SHA-256, through fsspec, and never overwritten."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec

from sdl.artefacts.ref import ArtefactRef
from sdl.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ArtefactStore:
    """A folder of bytes by hash.

    Args:
        url: a local folder, or any address that fsspec knows (`memory://…`, `s3://…`).
    """

    def __init__(self, url: str) -> None:
        self._fs: Any
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    def put(self, name: str, data: bytes, media_type: str) -> ArtefactRef:
        """Keep bytes; they are on disk when this returns."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256)
        if not self._fs.exists(path):
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            if self._local:
                _write_durably(Path(path), data)
            else:
                self._fs.pipe_file(path, data)
        return ArtefactRef(name, sha256, len(data), media_type)

    def get(self, sha256: str) -> bytes:
        """Return the bytes of a hash.

        Raises:
            LedgerError: they are missing, or no longer what they were.
        """
        try:
            data: bytes = self._fs.cat_file(self._path(sha256))
        except (OSError, KeyError) as error:
            raise LedgerError(f"artefact {sha256} is missing from {self._root}; restore it from a backup") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise LedgerError(f"artefact {sha256} in {self._root} was changed: its bytes have another hash")
        return data

    def all(self) -> Iterator[str]:
        """Yield the hashes of everything kept."""
        if self._fs.exists(self._root):
            for path in sorted(self._fs.find(self._root)):
                name = str(path).rsplit("/", 1)[-1]
                if len(name) == 64:
                    yield name

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"


def _write_durably(path: Path, data: bytes) -> None:
    """Write under another name, flush to the disk, then rename: a crash leaves the whole file or none."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
