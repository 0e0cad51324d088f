"""The files that a campaign refers to: found beside the file that names them, and known by hash.

A file's *key* is how it was named, relative to the campaign file's folder: `data/opv_wf3.csv`. A campaign that is read back
from the ledger finds its files by the same keys among its artefacts.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from sdl.errors import InputError


class Files:
    """Finds and hashes files.

    Args:
        base: folder of the campaign file.
        kept: key → path, where the files come from the ledger instead of from beside the campaign file.
    """

    def __init__(self, base: Path, kept: Mapping[str, Path] | None = None) -> None:
        self.base = base
        self._kept = kept
        self._used: dict[str, tuple[Path, str]] = {}
        self._own: tempfile.TemporaryDirectory[str] | None = None

    def key(self, name: str, beside: str = "") -> str:
        """Return the key of a file named in another file, whose own key is `beside`."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(beside), name))

    def path(self, key: str) -> Path:
        """Return where the file lies; it need not exist."""
        if self._kept is not None and key in self._kept:
            return self._kept[key]
        return Path(os.path.abspath(self.base / key))  # noqa: PTH100  resolve() raises on odd names and on loops of links

    def exists(self, key: str) -> bool:
        """Tell whether there is such a file; a name that no file system takes is the name of none."""
        return os.path.isfile(self.path(key))  # noqa: PTH113  Path.is_file raises on names that are too long

    def use(self, key: str) -> Path:
        """Return where the file lies and remember its hash as part of the campaign version.

        Raises:
            InputError: it cannot be read.
        """
        if key not in self._used:
            path = self.path(key)
            try:
                self._used[key] = (path, file_sha256(path))
            except (OSError, ValueError) as error:  # ValueError: a null byte in the name
                raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        return self._used[key][0]

    def is_kept(self, key: str) -> bool:
        """Tell whether a file's content is at hand that lies nowhere beside the campaign file: from the ledger, or by `keep`."""
        return self._kept is not None and key in self._kept

    def keep(self, key: str, data: bytes) -> None:
        """Take content that lies in no file of the user's as the file of a key; it lasts as long as this object."""
        if self._own is None:
            self._own = tempfile.TemporaryDirectory(prefix="sdl-")
        path = Path(self._own.name) / f"{len(self._used)}-{posixpath.basename(key)}"
        path.write_bytes(data)
        self._kept = {**(self._kept or {}), key: path}

    def resolver(self, beside: str) -> Callable[[str], str]:
        """Return the function that driver settings resolve their file names with."""

        def resolve(name: str) -> str:
            key = self.key(name, beside)
            if self.exists(key):
                self.use(key)
            return str(self.path(key))

        return resolve

    @property
    def used(self) -> dict[str, str]:
        """Key → SHA-256 of every file used so far, in order of key."""
        return {key: self._used[key][1] for key in sorted(self._used)}

    def contents(self) -> dict[str, Path]:
        """Key → path of every file used so far, in order of key."""
        return {key: self._used[key][0] for key in sorted(self._used)}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
