"""`sdl server start|stop|status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdl.cli.outcome import home_of

if TYPE_CHECKING:
    from sdl.cli.outcome import Output


def start(home: Path | None, port: int | None, output: Output) -> int:
    """Start the home's server."""
    from sdl_flows import server

    running, fresh = server.start(home_of(home), port)
    output.say(f"Prefect server {'started' if fresh else 'runs already'}: {running.ui_url} (process {running.pid})")
    return 0


def stop(home: Path | None, output: Output) -> int:
    """Stop the home's server."""
    from sdl_flows import server

    output.say("stopped" if server.stop(home_of(home)) else "no server runs for this home")
    return 0


def status(home: Path | None, output: Output) -> int:
    """Say whether the home's server runs."""
    from sdl_flows import server

    running = server.found(home_of(home))
    configured = server.configured_url()
    if configured is not None:
        output.say(f"Prefect is configured to use {configured}; sdl run uses that")
    if running is None:
        output.say("no server runs for this home")
    else:
        answers = "answers" if running.answers() else "does not answer (yet)"
        output.say(f"{running.ui_url} (process {running.pid}) {answers}")
    output.emit(
        {
            "running": running is not None,
            "url": None if running is None else running.ui_url,
            "pid": None if running is None else running.pid,
            "configured": configured,
        }
    )
    return 0
