"""The processes of a served campaign: world, lab server, network and campaign, each forked, each with boundaries of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

from sdl.errors import NameInUseError
from sdl.testing.torture.proxy import Network, route
from sdl.testing.torture.victim import watch_disk

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from sdl.lab import LabPlan
    from sdl.testing.torture.faults import Boundaries

REFUSED = 2
"""Exit code of a lab server whose folder or instruments belong to another process."""


def preload() -> None:
    """Import what the children need, before they are forked: each would else spend a second on it."""
    import sdl.engine
    import sdl.lab.client
    import sdl.lab.serving
    import sdl.world.process  # noqa: F401


def arm_campaign(boundaries: Boundaries) -> None:
    """Have a campaign meet sending, answers and taking over."""
    from sdl.lab.client import RemoteLab

    boundaries.around_async(RemoteLab, "execute", "before sending", "after the reply")
    boundaries.around_async(RemoteLab, "reconcile", "before reconciling", "after reconciling")
    boundaries.around_async(RemoteLab, "take_over", "before taking over", "after taking over")


def arm_server(boundaries: Boundaries) -> None:
    """Have a lab server meet commits of its log, effects in the world, and answers."""
    from sdl.lab import EmbeddedLab, routes
    from sdl.lab.sql_log import SqlLog
    from sdl.world import RemoteWorld

    for method, row in (("accept", "accepted"), ("started", "started"), ("finished", "finished")):
        boundaries.around(SqlLog, method, lambda *_, row=row: f"commit of {row}")
    boundaries.around(SqlLog, "raise_epoch", lambda *_: "commit of epoch")
    boundaries.around(RemoteWorld, "begin", lambda *_: "effect")
    boundaries.around_async(EmbeddedLab, "reconcile", "before reconciling", "after reconciling")
    answer = routes._Boot.__call__  # noqa: SLF001  the one place that every answer passes

    async def answering(self: Any, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI's
        name = route(scope["method"], scope["path"])

        async def sending(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.start":
                boundaries.meet(f"before answering {name}")
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                boundaries.meet(f"after answering {name}")

        await answer(self, scope, receive, sending)

    routes._Boot.__call__ = answering  # type: ignore[method-assign]  # noqa: SLF001
    watch_disk(boundaries)


def serve_lab(plan: LabPlan, folder: Path, port: int, boundaries: Boundaries) -> int:
    """Serve a lab as `sdl lab serve` does; returns its exit code.

    Args:
        plan: the lab.
        folder: its log and raw data.
        port: on 127.0.0.1.
        boundaries: told when it answers for the first time.
    """
    from sdl.lab.serving import Door, log_to, serve

    def say(text: str) -> None:
        print(text, flush=True)  # noqa: T201  into the file of what was said
        if " at http://" in text:
            boundaries.back()

    log_to(folder / "server.log")
    try:
        code = asyncio.run(serve(plan, folder, Door("127.0.0.1", port, None), say))
    except NameInUseError as error:
        say(str(error))
        return REFUSED
    boundaries.tell()
    return code


def serve_world(seed: int, record: Path, settings: dict[str, Any], found: Path) -> int:
    """Serve a world as `sdl world serve` does, until SIGTERM.

    Args:
        seed: of all hidden draws.
        record: of everything that happened.
        settings: of the world.
        found: the file in which its port is written.
    """
    from sdl.world.process import WorldServer

    server = WorldServer(seed, record, settings)
    signal.signal(signal.SIGTERM, lambda *_: server.close())
    fresh = found.with_suffix(".new")
    fresh.write_text(str(server.port))
    fresh.rename(found)
    server.serve_forever()
    return 0


def serve_network(listening: socket.socket, port: int, boundaries: Boundaries) -> int:
    """Hand messages on from a listening socket to a port of 127.0.0.1, until SIGTERM."""

    async def serve() -> None:
        await Network(port, boundaries).serve(listening)

    asyncio.run(serve())
    boundaries.tell()
    return 0


def own_locks(folder: Path) -> None:
    """Keep the locks of instruments in a folder of this trial: several of them drive instruments of the same names at once."""
    os.environ["SDL_LOCKS"] = str(folder / "locks")
