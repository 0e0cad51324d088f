"""`sdl new driver`: a plugin to begin with, whose tests pass before a line of it was changed."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from sdl.cli.outcome import DONE
from sdl.cli.templates import FILES
from sdl.driver import driver_names
from sdl.errors import InputError, listed

if TYPE_CHECKING:
    from sdl.cli.outcome import Output

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST = 60


def new_driver(name: str, folder: Path | None, output: Output) -> int:
    """Write the plugin.

    Raises:
        InputError: the name cannot be that of a driver, or the folder exists; nothing was written.
    """
    check_name(name)
    where = Path(name) if folder is None else folder.expanduser()
    if where.exists() or where.is_symlink():
        raise InputError(f"{where} exists; nothing is written over: choose another --folder, or remove it")
    words = {
        "name": name,
        "Class": _class_of(name),
        "title": name.replace("_", " "),
        "Title": name.replace("_", " ").capitalize(),
    }
    files = {Template(path).substitute(words): Template(text).substitute(words) for path, text in FILES.items()}
    try:
        for path, text in files.items():
            place = where / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text.lstrip("\n"), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{where} cannot be written: {error.strerror or error}") from error
    output.say(f"{where}: a driver '{name}' and its simulator 'simulated_{name}'. Next:")
    output.say(f"    cd {where}")
    output.say("    python -m pytest                       # the conformance suite passes already")
    output.say("    pip install --no-build-isolation -e .  # then sdl drivers lists both")
    output.say("    README.md says what to change first")
    output.emit({"driver": name, "folder": str(where.resolve()), "files": sorted(files)})
    return DONE


def _class_of(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def check_name(name: str) -> None:
    """Check that a driver, a package and an entry point can be called so.

    Raises:
        InputError: it cannot; says why, and what is near.
    """
    near = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())).strip(
        "_"
    )
    if not _NAME.fullmatch(name) or name.endswith("_") or len(name) > _LONGEST:
        hint = f" (did you mean '{near[:_LONGEST]}'?)" if _NAME.fullmatch(near) else ""
        raise InputError(
            f"'{name}' cannot be the name of a driver{hint}; it takes small letters, digits and underscores, begins with a "
            f"letter, ends with no underscore, and has at most {_LONGEST} characters"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise InputError(f"'{name}' is a word of Python's own; try '{name}_driver'")
    capital = _class_of(name)
    own = {word for text in FILES.values() for word in re.findall(r"\b[A-Z][A-Za-z]+\b", text)}
    if capital in own or name == "tests":
        raise InputError(f"'{name}' would collide with a name in the plugin's own code ('{capital}'); try 'my_{name}'")
    taken = [n for n in (name, f"simulated_{name}") if n in driver_names()]
    if taken:
        raise InputError(f"a driver of that name is installed: {listed(taken)}; try 'my_{name}'")
    if importlib.util.find_spec(name) is not None:
        raise InputError(f"a Python package '{name}' is installed, and the plugin's would hide it; try 'my_{name}'")
