"""The network between a campaign and its lab server, broken on purpose: messages are lost, late, halved, or come twice.

It hands HTTP messages on, one connection to the server for each, and meets a boundary at every request, named by its route, such
as `POST /commands/*/taken`. What can become of a request there:

- `drop request`: it never reaches the server. `drop reply`: the server did it, and nobody hears of it. `half reply`: the
  connection breaks in the middle of the answer.
- `delay request`, `delay reply`: for `DELAY` seconds.
- `double request`: it reaches the server twice, one after the other.
- `late request`: the connection breaks, and the request reaches the server only after others that were sent later.
- `orphan request`: the same, but its sender is killed meanwhile, and it arrives when another process has taken the campaign over.
"""

from __future__ import annotations

import asyncio
import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from sdl.testing.torture.faults import Boundaries

DELAY = 0.4
"""Real seconds by which a message is delayed. Chosen: much longer than any answer takes."""

LATE = 3
"""A late request arrives after so many others were answered. Chosen: the sender has sent it again by then."""


def route(method: str, path: str) -> str:
    """Return the route of a request, ids left out: `GET /commands/*`."""
    parts = path.partition("?")[0].strip("/").split("/")
    parts[1:2] = ["*"] if len(parts) > 1 and parts[0] != "lab" else parts[1:2]
    return f"{method} /{'/'.join(parts)}"


async def message_of(reader: asyncio.StreamReader) -> bytes:
    """Read one HTTP message, whole.

    Raises:
        asyncio.IncompleteReadError: the connection ended before.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = re.findall(rb"\r\ncontent-length:[ \t]*(\d+)", head, re.IGNORECASE)
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)


class Network:
    """Hands messages on to a server, except where a fault is due.

    Args:
        port: of the server, on 127.0.0.1.
        boundaries: which faults strike.
    """

    def __init__(self, port: int, boundaries: Boundaries) -> None:
        self._port = port
        self._boundaries = boundaries
        self._answered: list[str] = []
        self._news = asyncio.Condition()
        self._underway: set[asyncio.Task[None]] = set()

    async def serve(self, listening: socket.socket) -> None:
        """Serve until SIGTERM."""
        ending = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
        server = await asyncio.start_server(self._client, sock=listening)
        await ending.wait()
        server.close()
        for task in self._underway:
            task.cancel()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Hand one request and its reply on; returns whether the connection is still good."""
        request = await message_of(reader)
        method, path, _ = request.split(b"\r\n", 1)[0].decode().split(" ", 2)
        name = route(method, path)
        fault = self._boundaries.due(name)
        kind = "" if fault is None else fault.kind
        if kind in {"late request", "orphan request"}:
            self._later(request, name, is_orphan=kind == "orphan request")
        if kind in {"late request", "orphan request", "drop request"}:
            return False
        if kind == "delay request":
            await asyncio.sleep(DELAY)
        reply = await self._while_heard(reader, request)
        if kind == "double request" and reply is not None:
            reply = await self._while_heard(reader, request)
        if reply is None or kind == "drop reply":
            return False
        if kind == "delay reply":
            await asyncio.sleep(DELAY)
        writer.write(reply[: len(reply) // 2] if kind == "half reply" else reply)
        await writer.drain()
        async with self._news:
            self._answered.append(name)
            self._news.notify_all()
        return kind != "half reply"

    async def _while_heard(self, reader: asyncio.StreamReader, request: bytes) -> bytes | None:
        """Have a request answered while its sender listens; None where the server is not there, or the sender is gone."""
        asking = asyncio.ensure_future(self._ask(request))
        listening = asyncio.ensure_future(reader.read(1))  # a sender waits for its answer: all that can come is the end
        await asyncio.wait([asking, listening], return_when=asyncio.FIRST_COMPLETED)
        for task in (asking, listening):
            if not task.done():
                task.cancel()
        await asyncio.gather(asking, listening, return_exceptions=True)
        return asking.result() if not asking.cancelled() else None

    async def _ask(self, request: bytes) -> bytes | None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return None
        try:
            far_writer.write(request)
            return await message_of(far_reader)
        except (OSError, asyncio.IncompleteReadError):
            return None
        finally:
            far_writer.close()

    def _later(self, request: bytes, name: str, *, is_orphan: bool) -> None:
        """Deliver a request when its time has come; what the server says to it nobody hears."""
        before = len(self._answered)

        def is_time() -> bool:
            since = self._answered[before:]
            if not is_orphan:
                return len(since) >= LATE
            # Another process has joined, settled what it found open, and sent something of its own.
            joined = next((i for i, n in enumerate(since) if n.endswith("/join")), len(since))
            return name in since[joined:]

        async def deliver() -> None:
            async with self._news:
                await self._news.wait_for(is_time)
            await self._ask(request)

        task = asyncio.ensure_future(deliver())
        self._underway.add(task)
        task.add_done_callback(self._underway.discard)
