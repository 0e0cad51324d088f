"""Run an engine as a Prefect flow from the terminal: find or start a server, set Prefect up, hand the engine over."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import server

if TYPE_CHECKING:
    from pathlib import Path

    from sdl.engine import Engine, Session

    from .hooks import PrefectHooks


def configure(home: Path, say: Callable[[str], None]) -> str:
    """Point Prefect at the configured server, else at one of our own; returns the address for people.

    Must run before Prefect is imported, which reads its settings once.

    Raises:
        SdlError: no server could be started.
    """
    url = server.configured_url()
    if url is None:
        own, fresh = server.start(home)
        url = own.api_url
        say(f"Prefect server {'started' if fresh else 'runs'}: {own.ui_url} (sdl server stop --home {home} ends it)")
        os.environ.update(server.quiet_environment(home))
    else:
        say(f"Prefect server (configured): {url.removesuffix('/api')}")
    os.environ["PREFECT_API_URL"] = url
    return url.removesuffix("/api")


def hooks(session: Session, home: Path, say: Callable[[str], None]) -> PrefectHooks:
    """Return the hooks that show a session's campaign in Prefect; `say` tells a person where."""
    from .hooks import PrefectHooks

    _quiet_console()
    return PrefectHooks(session, home, say)


async def run(engine: Engine, watch: PrefectHooks) -> None:
    """Run the engine as one flow run.

    Raises:
        SdlError: the campaign failed; the flow run says so too.
    """
    from .campaign import campaign, handed_over

    spec = engine.checked.campaign
    with handed_over(engine, watch):
        await campaign(name=spec.name, planner=spec.planner.type, file=spec.document.name)


def _quiet_console() -> None:
    """Keep Prefect's lines off the terminal, where the diary stands; its UI gets them all the same."""
    from prefect.logging.configuration import setup_logging

    setup_logging()
    for name in [None, *logging.root.manager.loggerDict]:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if type(handler).__name__ == "PrefectConsoleHandler":
                logger.removeHandler(handler)
