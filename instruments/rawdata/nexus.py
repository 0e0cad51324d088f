"""NeXus/HDF5 files of simulated measurements: groups with their class, data with their unit, the same bytes for the same data."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


class NexusFile:
    """A file in the making, laid out after https://manual.nexusformat.org; `entry` is its only entry.

    Without time stamps the same measurement gives the same bytes, and thereby the same content hash.
    """

    def __init__(self) -> None:
        import h5py  # type: ignore[import-untyped]

        self._buffer = io.BytesIO()
        self._file = h5py.File(self._buffer, "w", track_order=True)
        self._file.attrs["default"] = "entry"

    def group(self, path: str, kind: str, **attributes: Any) -> None:  # noqa: ANN401  what HDF5 takes
        """Add a group of a NeXus class (`NXdata`)."""
        made = self._file.create_group(path, track_order=True)
        made.attrs["NX_class"] = kind
        for name, value in attributes.items():
            made.attrs[name] = value

    def put(self, path: str, value: object, unit: str = "") -> None:
        """Add data with a unit, where it has one."""
        made = self._file.create_dataset(path, data=value, track_times=False)
        if unit:
            made.attrs["units"] = unit

    def describe(self, title: str, technique: str, *, sample: str, instrument: str, definition: str = "") -> None:
        """Add what every measurement says of itself: that it is simulated, its technique, sample and instrument."""
        self.group("entry", "NXentry", default="data")
        if definition:
            self.put("entry/definition", definition)
        self.put("entry/title", title)
        self.put("entry/technique", technique)
        self.put("entry/simulated", np.bool_(1))
        self.group("entry/sample", "NXsample")
        self.put("entry/sample/name", sample)
        self.group("entry/instrument", "NXinstrument")
        self.put("entry/instrument/name", instrument)

    def put_state(self, known: Mapping[str, tuple[float, str]], more: Mapping[str, float] | None) -> None:
        """Add the instrument's state.

        Args:
            known: name → value with unit.
            more: further readings, name with unit (`probe_current_nA`) → value.
        """
        self.group("entry/instrument/state", "NXcollection")
        for name, (value, unit) in known.items():
            self.put(f"entry/instrument/state/{name}", float(value), unit)
        for name, value in (more or {}).items():
            self.put(f"entry/instrument/state/{name}", float(value))

    def bytes(self) -> bytes:
        """Close the file and return it."""
        self._file.close()
        return self._buffer.getvalue()
