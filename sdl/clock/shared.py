"""The clock of one process in virtual time that several processes share; see `authority`."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
from collections import deque
from collections.abc import Callable

from sdl.clock.clocks import VirtualClock
from sdl.errors import ClockError

_GONE = "the world's process is gone, and virtual time with it; start it again (sdl world serve), then go on"


class SharedVirtualClock(VirtualClock):
    """A virtual clock whose time is moved by an authority in another process.

    Made by `connect`. Within the process it works as `VirtualClock` does; when nobody works here, it tells the authority what is
    waited for, and goes on when that grants it.

    Attributes:
        waits_for_person: says whether somebody here waits for what only a person can do; asked whenever nobody works here.
    """

    def __init__(self, now: float, actor: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(now)
        self.name = actor
        self.waits_for_person: Callable[[], bool] = lambda: False
        self._reader = reader
        self._writer = writer
        self._asked = False
        self._dead = False
        self._confirming: deque[asyncio.Future[None]] = deque()
        self._listening = asyncio.ensure_future(self._listen())

    @classmethod
    async def connect(cls, host: str, port: int, actor: str, at_least: float | None = None) -> SharedVirtualClock:
        """Join shared virtual time as an actor.

        Args:
            host: of the world's process.
            port: of the world's process.
            actor: a name; one that was lost comes back under the same name.
            at_least: a moment that has passed for this actor (the last one in its ledger), or None.

        Raises:
            ClockError: nobody listens there, or an actor of that name is there already.
        """
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            raise ClockError(
                f"no world answers at {host}:{port} ({error.strerror}); start it with: sdl world serve"
            ) from error
        hello = {"op": "join", "actor": actor} | ({} if at_least is None else {"at_least": at_least})
        writer.write(json.dumps(hello).encode() + b"\n")
        await writer.drain()
        line = await reader.readline()
        answer = json.loads(line) if line else {"error": "the world closed the connection"}
        if "error" in answer:
            writer.close()
            raise ClockError(f"cannot join virtual time as '{actor}': {answer['error']}")
        return cls(float(answer["now"]), actor, reader, writer)

    async def close(self) -> None:
        """Leave: time no longer waits for this process."""
        self._send({"op": "leave"})
        with contextlib.suppress(ConnectionError):  # the world is gone, and its time with it
            await self._writer.drain()
        self._listening.cancel()
        self._writer.close()

    def received(self) -> None:
        """Count as working because a message from another actor arrived; call before acknowledging it."""
        self._working += 1
        self._retract()

    def handled(self) -> None:
        """Say that what `received` announced is done with."""
        self._working -= 1
        self._advance()

    async def lost(self) -> None:
        """Wait until the world's process is gone, and virtual time with it."""
        await asyncio.wait([self._listening])

    async def confirmed(self) -> None:
        """Wait until the authority has read all that was sent so far; the clock then shows the moment at which it did.

        Messages go to the authority and to other actors by different ways: only after this may `received` be acknowledged,
        else the sender's next wait could reach the authority before it knows that this process works.

        Raises:
            ClockError: the world's process is gone.
        """
        if self._dead:
            raise ClockError(_GONE)
        future = asyncio.get_running_loop().create_future()
        self._confirming.append(future)
        self._send({"op": "confirm"})
        await future

    def woken(self, future: asyncio.Future[None]) -> None:
        """Count whoever waits for the future as working again; the authority learns of it before anything else is done."""
        before = self._working
        super().woken(future)
        if self._working > before:
            self._retract()

    def _retract(self) -> None:
        if self._asked:
            self._asked = False
            self._send({"op": "work"})

    def _advance(self) -> None:
        """Ask the authority for the next moment if nobody works here."""
        if self._working > 0 or self._asked:
            return
        if self._dead:
            self._fail(ClockError(_GONE))
            return
        while self._sleepers and self._sleepers[0][3].done():
            heapq.heappop(self._sleepers)  # cancelled while it slept
        self._asked = True
        waits = list(self._sleepers[0][:2]) if self._sleepers else None
        self._send({"op": "wait", "waits": waits, "for_person": self.waits_for_person()})

    async def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the world died: what follows says so
            while line := await self._reader.readline():
                message = json.loads(line)
                if "confirmed" in message:
                    self._now = max(self._now, float(message["confirmed"]))
                    asking = self._confirming.popleft()
                    if not asking.done():
                        asking.set_result(None)
                elif "granted" in message:
                    self._granted(float(message["granted"]))
                elif "error" in message:
                    self._fail(ClockError(str(message["error"])))
        self._dead = True
        while self._confirming:
            asking = self._confirming.popleft()
            if not asking.done():
                asking.set_exception(ClockError(_GONE))
        self._fail(ClockError(_GONE))

    def _granted(self, moment: float) -> None:
        self._asked = False
        self._now = max(self._now, moment)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self.settle(future)
                return
        self._advance()  # whoever had asked for the moment was cancelled meanwhile

    def _fail(self, error: ClockError) -> None:
        self._asked = False
        self._sleepers.clear()
        for future in list(self._waiting):
            super().woken(future)
            future.set_exception(error)

    def _send(self, message: dict[str, object]) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")
