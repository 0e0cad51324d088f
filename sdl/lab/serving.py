"""Run a lab server as a process: its folder, its lock, its clock, its port, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from sdl.artefacts import ArtefactStore
from sdl.clock import make_clock
from sdl.clock.shared import SharedVirtualClock
from sdl.errors import ClockError, InputError, NameInUseError
from sdl.lab.claims import lock_folder
from sdl.lab.routes import make_app
from sdl.lab.server import LabServer
from sdl.lab.sql_log import SqlLog
from sdl.ledger.ownership import Ownership, owner_of
from sdl.ledger.place import Kept, remember
from sdl.world import RemoteWorld, World, address_of

if TYPE_CHECKING:
    from sqlalchemy import URL

    from sdl.clock import Clock
    from sdl.lab.plan import LabPlan
    from sdl.lab.tokens import Tokens

Say = Callable[[str], None]

_FAREWELL = 2
"""Seconds that open connections have to end when the server does. Chosen."""

_IDLE = 75
"""Seconds for which an idle connection is kept. Chosen: longer than clients keep it, who may be using it again."""

LOG = Kept(
    "command log",
    "SDL_LAB_LOG_URL",
    "commands.url",
    "commands.db",
    "begin a new one with another --home once no campaign has commands open here",
)
"""Where a lab's command log is kept."""

LEFT = 4
"""Exit code of a server that was told twice to end."""


@dataclass(frozen=True)
class Door:
    """Where a server listens, and whom it lets in.

    Attributes:
        host: interface; the loopback one unless stated.
        port: 0 takes a free one.
        tokens: who may enter; None lets everybody in.
    """

    host: str
    port: int
    tokens: Tokens | None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in {"127.0.0.1", "localhost", "::1"}


async def serve(plan: LabPlan, folder: Path, door: Door, say: Say, log_url: URL | None = None) -> int:
    """Serve a lab until it is told to end; returns the exit code.

    The first SIGINT or SIGTERM lets running commands finish and starts nothing more; what was accepted and not started stays
    accepted. The second leaves at once: commands under way go on at their instruments and are settled at the next start.

    Args:
        plan: the lab.
        folder: its command log, raw data and simulated world.
        door: where it listens.
        say: tells people.
        log_url: the PostgreSQL in which the command log is kept instead, or None.

    Raises:
        NameInUseError: another process serves it, writes its log, or drives one of its instruments.
        LedgerError: the command log cannot be opened.
        InputError: the port is taken.
        DriverError: an instrument does not answer.
    """
    listening = _listen(door)
    try:
        with _owned(folder, plan.name):
            log = SqlLog(f"sqlite:///{folder / LOG.database}" if log_url is None else log_url, plan.name)
            try:
                if log_url is not None:
                    remember(folder, log_url, LOG)
                return await _serve(plan, folder, door, log, listening, say)
            finally:
                log.close()
    finally:
        listening.close()


async def _serve(plan: LabPlan, folder: Path, door: Door, log: SqlLog, listening: socket.socket, say: Say) -> int:
    clock = await _clock(plan, log)
    world = _world(plan, folder)
    server = LabServer(plan, clock, ArtefactStore(str(folder / "artefacts")), log, world, lock_folder())
    try:
        await server.open()
        ending = asyncio.Event()
        _on_signals(server, ending, say)
        address = plan.world.get("server")
        app = make_app(server, door.tokens, None if address is None else str(address), is_local=door.is_local)
        http = _Http(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                loop="asyncio",
                timeout_graceful_shutdown=_FAREWELL,
                timeout_keep_alive=_IDLE,
            )
        )
        listening.listen()  # before the address is said: whoever reads it may come at once
        running = asyncio.create_task(http.serve([listening]))
        host, port = listening.getsockname()[:2]
        open_ones = len(log.unfinished())
        say(
            f"lab '{plan.name}' at http://{host}:{port} ({clock.settings.type} time), command log {log.where}"
            + (f", {open_ones} commands open" if open_ones else "")
        )
        for name, instrument in plan.instruments.items():
            say(f"  {name}: {instrument.driver}, {instrument.description.nature}")
        first: list[asyncio.Future[Any]] = [asyncio.ensure_future(e.wait()) for e in (ending, server.failed)]
        if isinstance(clock, SharedVirtualClock):
            first.append(asyncio.ensure_future(_notice(clock, server)))
        await asyncio.wait([*first, running], return_when=asyncio.FIRST_COMPLETED)
        for task in first:
            task.cancel()
        http.should_exit = True
        await server.close()
        await running
        if server.failed.is_set():
            raise ClockError("the world's process is gone, and virtual time with it: start it again, then this server")
        say(f"lab '{plan.name}' is closed")
        return 0
    except BaseException:
        await server.close()
        raise
    finally:
        if isinstance(clock, SharedVirtualClock):
            await clock.close()


async def _notice(clock: SharedVirtualClock, server: LabServer) -> None:
    await clock.lost()
    server.failed.set()


def _on_signals(server: LabServer, ending: asyncio.Event, say: Say) -> None:
    told = 0

    async def when_idle() -> None:
        await server.idle.wait()
        ending.set()

    waiting: list[asyncio.Task[None]] = []

    def signalled() -> None:
        nonlocal told
        told += 1
        running = [*server.stop(), *server.work.unwritten()]
        if told > 1:
            if running:
                say(
                    "leaving at once; these go on at their instruments and are settled at the next start: "
                    + "; ".join(running)
                )
            else:
                say("leaving at once; nothing is under way")
            os._exit(LEFT)
        if running:
            say(
                "ending: nothing more is accepted, these are finished first (again: leave at once): "
                + "; ".join(running)
            )
        waiting.append(asyncio.ensure_future(when_idle()))

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signalled)


class _Http(uvicorn.Server):
    """uvicorn without its own handling of signals: how a lab ends is not its to decide."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextmanager
def _owned(folder: Path, lab: str) -> Iterator[None]:
    """Hold the lab's folder for the life of the process."""
    lock = Ownership(folder, "server")
    try:
        lock.take()
    except NameInUseError as error:
        pid, host = owner_of(lock.path)
        raise NameInUseError(
            f"lab '{lab}' is being served by process {pid} on {host}; campaigns reach it there, or end it with Ctrl-C"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _listen(door: Door) -> socket.socket:
    family = socket.AF_INET6 if ":" in door.host else socket.AF_INET
    # With its protocol named: else asyncio does not switch Nagle's algorithm off, and every answer waits for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((door.host, door.port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"port {door.port} of {door.host} cannot be used: {error.strerror}; choose another --port"
        ) from error
    return listening


async def _clock(plan: LabPlan, log: SqlLog) -> Clock:
    last = log.last_moment()
    if plan.clock.type != "virtual":
        return make_clock(plan.clock, last)
    address = plan.world.get("server")
    if address is None:
        raise InputError(
            f"lab '{plan.name}' has virtual time, which several processes can only share through a world of its own: "
            "start sdl world serve, and give the lab file 'world: {server: HOST:PORT}'"
        )
    return await SharedVirtualClock.connect(*address_of(str(address)), f"lab {plan.name}", last)


def _world(plan: LabPlan, folder: Path) -> World | None:
    address = plan.world.get("server")
    if address is not None:
        world: World = RemoteWorld(*address_of(str(address)))
        for key, value in plan.world_settings.items():
            world.settings.setdefault(key, value)
        return world
    if any(i.description.nature == "simulated" for i in plan.instruments.values()):
        return World(int(plan.world.get("seed", 0)), folder / "world.jsonl", plan.world_settings)
    return None


def log_to(path: Path) -> None:
    """Have what the server logs (who was refused, what was made safe) written to a file and to standard error.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another --home") from error
    logger = logging.getLogger("sdl")
    logger.setLevel(logging.INFO)
    form = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    for handler in (file, logging.StreamHandler()):
        handler.setFormatter(form)
        logger.addHandler(handler)
