"""What a computation depended on: versions of libraries, and the type of machine."""

from __future__ import annotations

import functools
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    *("sdl", "numpy", "scipy", "torch", "botorch", "gpytorch", "linear-operator", "scikit-learn", "dimod"),
    *("ax-platform", "baybe", "optuna"),
)


@functools.cache
def environment() -> dict[str, str]:
    """Return name → version of everything that may change a bit of a proposal, and the machine's type."""
    found = {"python": platform.python_version(), "machine": _machine()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> str:
    """Return architecture, system and processor model: the last decides which vector instructions are used."""
    model = platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{platform.machine()} {sys.platform} {model}".strip()
