"""How a command ends: exit codes, error texts, and the one JSON object that ends standard output under `--json`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from sdl.errors import InputError, SdlError

DONE, FAILED, BAD_INPUT, NEEDS_PERSON, STOPPED = 0, 1, 2, 3, 4

CODE_OF_STATE = {"done": DONE, "failed": FAILED, "waiting": NEEDS_PERSON, "stopped": STOPPED}


NOTHING_RUN: dict[str, Any] = {
    "name": None,
    "state": "refused",
    "experiments": {"started": 0, "done": 0, "failed": 0, "aborted": 0, "running": 0},
    "best": None,
    "report": None,
}
"""What `sdl run --json` says where no campaign was begun; the same keys stand in its object on every exit."""


def code_of(error: SdlError) -> int:
    """Return the exit code of an error: 2 where the input was bad and nothing was started, 1 otherwise."""
    return BAD_INPUT if isinstance(error, InputError) else FAILED


def home_of(given: Path | None) -> Path:
    """Return the home folder: `--home`, else `$SDL_HOME`, else the platform's user data folder."""
    if given is not None:
        return given.expanduser().resolve()
    if configured := os.environ.get("SDL_HOME"):
        return Path(configured).expanduser().resolve()
    from platformdirs import user_data_path

    return user_data_path("sdl")


class Output:
    """Where a command says things: people read standard output, or standard error where `--json` owns the former."""

    def __init__(self, *, as_json: bool = False, template: dict[str, Any] | None = None) -> None:
        self.as_json = as_json
        self.emitted = False
        self._template = template or {}

    def say(self, text: str = "") -> None:
        """Say a line to people."""
        with suppress(BrokenPipeError):  # whoever read it is gone: no reason to stop a campaign
            print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def emit(self, data: dict[str, Any]) -> None:
        """Write the one JSON object, where it is asked for."""
        if self.as_json and not self.emitted:
            self.emitted = True
            whole = {**self._template, **data}
            print(json.dumps(whole, ensure_ascii=False, allow_nan=False), flush=True)  # noqa: T201


def complain(text: str) -> None:
    """Say what went wrong, on standard error."""
    print(f"error: {text}", file=sys.stderr, flush=True)  # noqa: T201
