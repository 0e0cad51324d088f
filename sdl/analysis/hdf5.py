"""Reading HDF5 files with clear errors: what is missing, of another kind or in another unit is said with its path."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.analysis.base import AnalysisInput
from sdl.analysis.crystals import EXTRA
from sdl.errors import AnalysisError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MEDIA_TYPES = ("application/x-hdf5", "application/x-nexus")
"""Media types of an HDF5 file."""

_DAMAGED = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    MemoryError,
)  # what h5py raises where a file is damaged


class Tree:
    """An open HDF5 file; every method raises `AnalysisError` where the file does not hold what is asked for.

    Attributes:
        name: of the file, for messages.
        what: what the file should be, in the singular, for messages.
    """

    def __init__(self, name: str, what: str, root: Any) -> None:  # noqa: ANN401  h5py has no types
        self.name = name
        self.what = what
        self._root = root

    def member(self, path: str, unit: str = "") -> Any:  # noqa: ANN401  as h5py gives it
        """Return a dataset's value; `unit` is what its attribute `units` must say, where one is needed."""
        try:
            found = self._root.get(path)
            said = "" if found is None else found.attrs.get("units", "")
            value = found[()] if hasattr(found, "shape") else None
        except _DAMAGED as error:
            raise AnalysisError(f"{self.name}: '{path}' cannot be read, the file is damaged: {error}") from error
        if found is None:
            raise AnalysisError(f"{self.name}: '{path}' is missing: no {self.what}, or an incomplete one")
        if value is None:
            raise AnalysisError(f"{self.name}: '{path}' is a group, expected data")
        if unit and said != unit:
            raise AnalysisError(f"{self.name}: '{path}' is in '{said}', expected '{unit}'")
        return value

    def text(self, path: str) -> str:
        """Return a text."""
        return self._decoded(path, self.member(path))

    def texts(self, path: str) -> tuple[str, ...]:
        """Return a row of texts."""
        return tuple(self._decoded(path, v) for v in np.atleast_1d(self.member(path)))

    def _decoded(self, path: str, value: object) -> str:
        try:
            return value.decode() if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError as error:
            raise AnalysisError(f"{self.name}: '{path}' is no text, the file is damaged: {error}") from error

    def number(self, path: str, unit: str = "") -> float:
        """Return one finite number."""
        value = np.asarray(self.member(path, unit))
        if value.shape != () or value.dtype.kind not in "iuf" or not np.isfinite(value):
            raise AnalysisError(f"{self.name}: '{path}' is not one finite number")
        return float(value)

    def row(self, path: str, unit: str) -> Floats:
        """Return a row of finite numbers, shape (n,)."""
        value = np.asarray(self.member(path, unit))
        if value.ndim != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
            raise AnalysisError(f"{self.name}: '{path}' is not a row of finite numbers")
        return value.astype(np.float64)

    def whole(self, path: str, attribute: str) -> int | None:
        """Return an attribute that is a whole number, or None where it is missing or something else."""
        try:
            value = (
                np.asarray(self._root[path].attrs.get(attribute, np.nan)) if path in self._root else np.array(np.nan)
            )
        except _DAMAGED as error:
            raise AnalysisError(f"{self.name}: '{path}' cannot be read, the file is damaged: {error}") from error
        return int(value) if value.shape == () and value.dtype.kind in "iu" else None

    def truth(self, path: str) -> bool:
        """Return a truth value."""
        value = np.asarray(self.member(path))
        if value.shape != () or value.dtype.kind not in "biu":
            raise AnalysisError(f"{self.name}: '{path}' is neither true nor false")
        return bool(value)

    def require_technique(self, technique: str) -> None:
        """Check what `entry/technique` says."""
        said = self.text("entry/technique")
        if said != technique:
            raise AnalysisError(f"{self.name}: the file says technique '{said}', expected '{technique}'")


@contextmanager
def open_tree(file: AnalysisInput, what: str) -> Iterator[Tree]:
    """Open an HDF5 file.

    Args:
        file: the file.
        what: what it should be, in the singular, such as `powder pattern`.

    Raises:
        AnalysisError: it is empty, not HDF5, or truncated.
        InputError: h5py is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise InputError(f"reading a {what} from HDF5 needs h5py: {EXTRA}") from error
    if not file.data:
        raise AnalysisError(f"{file.name}: the file is empty")
    try:
        with h5py.File(io.BytesIO(file.data), "r") as root:
            yield Tree(file.name, what, root)
    except OSError as error:
        raise AnalysisError(f"{file.name}: not a readable HDF5 file, or truncated: {error}") from error
