"""Run an engine as a Prefect flow from the terminal: find or start a server, set Prefect up, hand the engine over."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sdl.errors import SdlError

from . import server

if TYPE_CHECKING:
    from pathlib import Path

    from sdl.engine import Engine, Session

    from .hooks import PrefectHooks

_PATIENCE = 15.0
"""Seconds that a campaign which is over waits for Prefect."""

_COMES_BACK = 60.0
"""Seconds for which a campaign that has not begun waits for a Prefect server that went away. Chosen: it starts within 10 s."""

_STARTS = 10.0
"""Seconds for which a configured server is waited for before anything begins. Chosen: as long as one takes to start."""

_LOOK = 1.0
"""Seconds between two looks whether it is back."""

_used: list[str] = []
"""Addresses that Prefect was pointed at in this process."""


def configure(home: Path, say: Callable[[str], None]) -> str:
    """Point Prefect at the configured server, else at one of our own; returns the address for people.

    Must run before Prefect is imported, which reads its settings once.

    Raises:
        SdlError: no server could be started, or the configured one does not answer.
    """
    url = server.configured_url()
    if url is None:
        own, fresh = server.start(home)
        url = own.api_url
        say(f"Prefect server {'started' if fresh else 'runs'}: {own.ui_url} (sdl server stop --home {home} ends it)")
        os.environ.update(server.quiet_environment(home))
    else:
        say(f"Prefect server (configured): {url.removesuffix('/api')}")
        if not _is_there_soon(url, say):
            raise SdlError(
                f"the configured Prefect server {url} does not answer; start it, or unset PREFECT_API_URL to have one of "
                "sdl's own, or do without Prefect: --engine local"
            )
    os.environ["PREFECT_API_URL"] = url
    _used.append(url)
    return url.removesuffix("/api")


def _is_there_soon(url: str, say: Callable[[str], None]) -> bool:
    """Wait a moment for a server that is perhaps being started."""
    last, has_said = time.monotonic() + _STARTS, False
    while not server.is_there(url):
        if time.monotonic() > last:
            return False
        if not has_said:
            has_said = True
            say(f"it does not answer yet; it is waited for, {_STARTS:.0f} s at most")
        time.sleep(_LOOK)
    return True


def is_alone() -> bool:
    """Tell whether this process uses a Prefect server that is away now."""
    return bool(_used) and not server.is_there(_used[-1])


def put_right(session: Session, home: Path, say: Callable[[str], None]) -> None:
    """Set right what Prefect shows of a campaign that is over, whose process died before it could say so.

    Only where a server answers: none is started for that.
    """
    url, own = server.configured_url(), server.found(home)
    if url is None and own is not None:
        url = own.api_url
        os.environ.update(server.quiet_environment(home))
    if url is None or not server.is_there(url):
        return
    os.environ["PREFECT_API_URL"] = url
    from .runs import put_right as at_prefect

    try:
        for line in asyncio.run(asyncio.wait_for(at_prefect(session, None), _PATIENCE)):
            say(line)
    except Exception as error:  # noqa: BLE001  Prefect's trouble is never the campaign's
        say(f"Prefect could not be told that the campaign is over: {type(error).__name__}: {error}")


def hooks(session: Session, home: Path, say: Callable[[str], None]) -> PrefectHooks:
    """Return the hooks that show a session's campaign in Prefect; `say` tells a person where."""
    from .hooks import PrefectHooks

    _quiet_console()
    return PrefectHooks(session, home, say)


async def run(engine: Engine, watch: PrefectHooks) -> None:
    """Run the engine as one flow run.

    Raises:
        SdlError: the campaign failed, and the flow run says so too; or Prefect went away before the campaign began, and did not
            come back.
    """
    from prefect import tags

    from .campaign import campaign, handed_over

    spec = engine.checked.campaign
    last = time.monotonic() + _COMES_BACK
    # Tagged from the first moment: a process that dies right after leaves a run that the next one can find.
    with handed_over(engine, watch), tags(*watch.tags):
        while True:
            try:
                await campaign(name=spec.name, planner=spec.planner.type, file=spec.document.name)
                return
            except SdlError:
                raise
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                if not watch.has_begun:
                    watch.tell(f"Prefect cannot take the campaign now ({said}); it is asked again")
                    await _there_again(last, said)
                elif engine.state.ended is None:
                    raise
                else:
                    watch.tell(
                        f"Prefect could not be told how the campaign ended ({said}); its next start sets that right"
                    )
                    return


async def _there_again(last: float, said: str) -> None:
    """Wait until the Prefect server answers.

    Raises:
        SdlError: it did not in time.
    """
    url = os.environ["PREFECT_API_URL"]
    await asyncio.sleep(_LOOK)
    while not await asyncio.to_thread(server.is_there, url):
        await asyncio.sleep(_LOOK)
        if time.monotonic() > last:
            break
    if time.monotonic() > last:
        raise SdlError(
            f"the Prefect server {url} did not take the campaign within {_COMES_BACK:.0f} s ({said}); nothing was started; "
            "see to it and start again, or do without Prefect: --engine local"
        )


def _quiet_console() -> None:
    """Keep Prefect's lines off the terminal, where the diary stands; its UI gets them all the same."""
    from prefect.logging.configuration import setup_logging

    setup_logging()
    for name in [None, *logging.root.manager.loggerDict]:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if type(handler).__name__ in {"PrefectConsoleHandler", "_SafeStreamHandler"}:
                logger.removeHandler(handler)
                if name is not None:  # else Python itself would write its warnings there: in an outage several a second
                    logger.addHandler(logging.NullHandler())
