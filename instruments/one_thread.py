"""One thread per instrument, in which a library that blocks is called: never in the event loop, never twice at once."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sdl.errors import InstrumentFault, OutcomeUnknown

PATIENCE = 10.0
"""Real seconds that a call waits for the thread to be free. The lab sends one command at a time: longer means that it hangs."""


class NotCalled(InstrumentFault):
    """The thread was busy with an earlier call for too long; nothing was sent."""


class NotReturned(OutcomeUnknown):
    """The call was begun and did not return in time; it may still be at work."""


@dataclass(eq=False)
class _Call:
    work: Callable[[], Any]
    what: str
    loop: asyncio.AbstractEventLoop
    begun: asyncio.Future[None]
    done: asyncio.Future[tuple[bool, Any]]
    began: float | None = None
    is_dropped: bool = field(default=False)


@dataclass(eq=False)
class _End:
    loop: asyncio.AbstractEventLoop
    ended: asyncio.Future[None]


class OneThread:
    """A daemon thread that makes one call after another; a hanging one keeps the process from nothing, not even from its end.

    Args:
        name: of the thread, for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: queue.SimpleQueue[_Call | _End] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._present: _Call | None = None

    @property
    def busy(self) -> str | None:
        """What is being called and for how long, in words; None where nothing is."""
        with self._lock:
            call = self._present
            return (
                None if call is None or call.began is None else f"{call.what} for {time.monotonic() - call.began:.3g} s"
            )

    async def call(self, what: str, work: Callable[[], Any], limit: float | None = None) -> Any:  # noqa: ANN401
        """Make a call in the thread and return what it returns; what it raises is raised here.

        Args:
            what: is called, for messages.
            work: the call.
            limit: real seconds from its beginning after which it is given up; None waits for ever.

        Raises:
            NotCalled: the thread was not free within `PATIENCE`; the call was not made.
            NotReturned: it did not return within the limit; it may still be at work.
        """
        loop = asyncio.get_running_loop()
        call = _Call(work, what, loop, loop.create_future(), loop.create_future())
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        self._queue.put(call)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(call.begun), PATIENCE)
            if self._drop(call):
                busy = self.busy or "another call"
                raise NotCalled(f"{what} was not called: the instrument's thread has been in {busy}; nothing was sent")
            try:
                good, value = await asyncio.wait_for(call.done, limit)
            except TimeoutError:
                raise NotReturned(
                    f"{what} did not return within its limit of {limit:g} s, and may still be at work"
                ) from None
        finally:
            self._drop(call)  # cancelled before its turn: it must not be made later
        if good:
            return value
        if isinstance(value, Exception):
            raise value
        raise InstrumentFault(f"{what} raised {type(value).__name__}: {value}")

    async def close(self, patience: float = PATIENCE) -> bool:
        """Let the thread end after what it is at; returns whether it ended within the patience (real seconds)."""
        if self._thread is None:
            return True
        thread, self._thread = self._thread, None
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(_End(asyncio.get_running_loop(), ended))
        with suppress(TimeoutError):
            await asyncio.wait_for(ended, patience)
            await asyncio.to_thread(thread.join, 1.0)  # it has nothing left to do, but may have to wait for a processor
        return not thread.is_alive()

    def _drop(self, call: _Call) -> bool:
        """Take a call back that was not begun; returns whether it was."""
        with self._lock:
            if call.began is None:
                call.is_dropped = True
            return call.is_dropped

    def _serve(self) -> None:
        while isinstance(call := self._queue.get(), _Call):
            with self._lock:
                if call.is_dropped:
                    continue
                call.began = time.monotonic()
                self._present = call
            _settle(call.loop, call.begun, None)
            try:
                outcome = (True, call.work())
            except BaseException as error:  # noqa: BLE001  SystemExit of a vendor's library is a failure like any other
                outcome = (False, error)
            with self._lock:
                self._present = None
            _settle(call.loop, call.done, outcome)
        _settle(call.loop, call.ended, None)


def _settle(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], value: Any) -> None:  # noqa: ANN401
    def settle() -> None:
        if not future.done():
            future.set_result(value)

    with suppress(RuntimeError):  # the loop has ended; nobody waits any more
        loop.call_soon_threadsafe(settle)
