"""Raw data by content: bytes are kept under their SHA-256, through fsspec, and never overwritten."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec

from sdl.artefacts.ref import ArtefactRef
from sdl.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1024 * 1024


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
        """Keep bytes; they are on disk when this returns.

        Raises:
            LedgerError: they cannot be written; nothing of them was kept.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256)
        try:
            if not self._holds(sha256, len(data)):
                if self._local:
                    _write_durably(Path(path), data)
                else:
                    self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
                    self._fs.pipe_file(path, data)
        except OSError as error:
            raise LedgerError(
                f"raw data '{name}' cannot be kept in {self._root}: {error.strerror or error}; free the disk"
            ) from error
        return ArtefactRef(name, sha256, len(data), media_type)

    def get(self, sha256: str) -> bytes:
        """Return the bytes of a hash.

        Raises:
            LedgerError: they are missing, or no longer what they were.
        """
        try:
            data: bytes = self._fs.cat_file(self._path(sha256))
        except (OSError, KeyError) as error:
            raise self._missing(sha256) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise self._changed(sha256)
        return data

    def check(self, sha256: str) -> int:
        """Read the bytes of a hash, piece by piece, and return how many there are.

        Raises:
            LedgerError: they are missing, or no longer what they were.
        """
        found, size = hashlib.sha256(), 0
        try:
            with self._fs.open(self._path(sha256), "rb") as file:
                while piece := file.read(_CHUNK):
                    found.update(piece)
                    size += len(piece)
        except (OSError, KeyError) as error:
            raise self._missing(sha256) from error
        if found.hexdigest() != sha256:
            raise self._changed(sha256)
        return size

    def all(self) -> Iterator[str]:
        """Yield the hashes of everything kept, in order."""
        if self._fs.exists(self._root):
            for path in sorted(self._fs.find(self._root)):
                name = str(path).rsplit("/", 1)[-1]
                if _SHA256.fullmatch(name):
                    yield name

    def forget(self) -> None:
        """Remove what is kept in memory, which fsspec would hold until the process ends; folders are left alone."""
        if not self._local and self._fs.protocol == "memory" and self._fs.exists(self._root):
            self._fs.rm(self._root, recursive=True)

    def _holds(self, sha256: str, size: int) -> bool:
        """Tell whether the bytes are there and whole; damaged ones are written again by whoever has them."""
        try:
            return self.check(sha256) == size
        except LedgerError:
            return False

    def _path(self, sha256: str) -> str:
        if not _SHA256.fullmatch(sha256):
            raise LedgerError(f"{sha256!r} is no SHA-256: 64 digits from 0 to f")
        return f"{self._root}/{sha256[:2]}/{sha256}"

    def _missing(self, sha256: str) -> LedgerError:
        return LedgerError(f"artefact {sha256} is missing from {self._root}; restore it from a backup")

    def _changed(self, sha256: str) -> LedgerError:
        return LedgerError(
            f"artefact {sha256} in {self._root} was changed: its bytes have another hash; restore it from a backup"
        )


def _write_durably(path: Path, data: bytes) -> None:
    """Write under another name, flush to the disk, then rename: a crash leaves the whole file or none."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        _flush(path.parent.parent)  # else the new folder could be gone after a power cut, and the bytes with it
        _flush(path.parent.parent.parent)
    temporary = path.with_name(f".part-{uuid.uuid4().hex}")
    try:
        # Opened rather than made by tempfile: whoever may read the ledger may read its raw data, and nobody edits it.
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _flush(folder: Path) -> None:
    """Flush a folder's own entries to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
