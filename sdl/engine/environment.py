"""What a computation depended on: of a proposal as the audit knows it, and of an analysis."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version

from sdl.planners.environment import LIBRARIES, environment

__all__ = ["LIBRARIES", "analysis_environment", "environment"]

_READERS = ("h5py", "tifffile", "scikit-image", "pymatgen")


@functools.cache
def analysis_environment() -> dict[str, str]:
    """Return name → version of everything that may change a bit of an analysis, and the machine's type.

    The version of an analysis of ours is that of `sdl`.
    """
    known = environment()
    names: tuple[str, ...] = ("python", "machine", "sdl", "numpy", "scipy")
    found = {name: known[name] for name in names if name in known}
    for library in _READERS:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
