"""A user's function as a planner calls it: by its text, so that it can be called again when its file has changed or is gone."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import random
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdl.errors import DriverError

from .stating import load_target

_modules: dict[str, types.ModuleType] = {}


@dataclass(frozen=True)
class TextFunction:
    """A function of a user's file or of an installed module.

    Attributes:
        target: as in the settings of `calculation`.
        name: of the file, for messages; None for an installed module.
        text: of the file, or of the installed module; it is the latter's own code that is called.
        fixed: arguments that always get the same value.
        results: names of its results, in order.
        path: where the campaign's process finds modules.
    """

    target: str
    name: str | None
    text: str
    fixed: tuple[tuple[str, Any], ...]
    results: tuple[str, ...]
    path: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, target: str, file: str | None, fixed: Mapping[str, Any], results: tuple[str, ...]) -> TextFunction:
        """Return the function that settings name; its text is read now.

        Raises:
            DriverError: no such module, file or name, or it cannot be imported.
        """
        found = load_target(target, file, "function")
        try:
            path = file if file is not None else inspect.getsourcefile(inspect.unwrap(found))
        except TypeError:  # it is built in
            path = None
        if path is None or not Path(path).is_file():
            raise DriverError(
                f"target '{target}': its code cannot be read, so nothing could say later which version it was"
            )
        name = None if file is None else Path(file).name
        return cls(target, name, Path(path).read_text(), tuple(sorted(fixed.items())), results, tuple(sys.path))

    @property
    def digest(self) -> str:
        """See `PureFunction`."""
        return hashlib.sha256(f"{self.target}\n{self.fixed!r}\n{self.results!r}\n{self.text}".encode()).hexdigest()

    def __call__(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call the function; Python's and numpy's generators are seeded for it and put back."""
        function = self._function()
        kept, kept_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the user's function may draw from it
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        try:
            returned = function(**dict(self.fixed), **arguments)
        finally:
            random.setstate(kept)
            np.random.set_state(kept_numpy)  # noqa: NPY002
        if isinstance(returned, Mapping):
            return returned
        if dataclasses.is_dataclass(returned) and not isinstance(returned, type):
            return {f.name: getattr(returned, f.name) for f in dataclasses.fields(returned)}
        if len(self.results) != 1:
            raise DriverError(f"{self.target} gave one value, but is declared to give {', '.join(self.results)}")
        return {self.results[0]: returned}

    def _function(self) -> Any:  # noqa: ANN401  whatever stands there
        sys.path.extend(p for p in self.path if p not in sys.path)
        where, _, name = self.target.rpartition(":")
        if self.name is None:
            found: Any = importlib.import_module(where)
            now = inspect.getsourcefile(found)
            if now is None or Path(now).read_text() != self.text:
                raise DriverError(f"the code of '{where}' is no longer what it was when the campaign was recorded")
        else:
            found = self._module()
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def _module(self) -> types.ModuleType:
        """Return the file's module, made from its text once per process."""
        digest = hashlib.sha256(self.text.encode()).hexdigest()
        name = f"sdl_physics_{digest[:16]}"
        if name not in _modules:
            module = types.ModuleType(name)
            module.__file__ = self.name
            sys.modules[name] = module  # dataclasses look their module up while it is being executed
            # the user's own Python file, as if it were imported
            exec(compile(self.text, str(self.name), "exec"), module.__dict__)  # noqa: S102
            _modules[name] = module
        return _modules[name]
