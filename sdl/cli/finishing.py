"""How every command ends: what it raises becomes a message, an exit code and, under --json, an object."""

from __future__ import annotations

import typer

from sdl.cli.outcome import BAD_INPUT, STOPPED, Output, code_of, complain
from sdl.errors import SdlError


def finish(action: object, output: Output) -> None:
    """Run a command and turn what it raises into a message, an exit code and, under --json, an object."""
    try:
        code = action()  # type: ignore[operator]
    except SdlError as error:
        complain(str(error))
        output.emit({"state": "refused" if code_of(error) == BAD_INPUT else "failed", "error": str(error)})
        raise typer.Exit(code_of(error)) from error
    except KeyboardInterrupt as error:
        output.emit({"state": "stopped", "error": "interrupted"})
        raise typer.Exit(STOPPED) from error
    raise typer.Exit(int(code or 0))
