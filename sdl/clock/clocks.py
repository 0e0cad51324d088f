"""Real, scaled and virtual time.

Virtual time follows one rule: it advances only when every actor waits, and then to the earliest moment that somebody
waits for. Waiters of one instant are woken one at a time, in the order of their keys (experiment number, then step),
so that a campaign in virtual time runs the same way whatever the machine does. Whatever waits for something other than
a moment (a lock, another task) waits for it through the clock (`wait_for`), so that the clock knows that it waits.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from sdl.errors import ClockError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

Moment = float
"""A moment in time: seconds since 1970-01-01 UTC."""

Key = tuple[int, int]
"""Who waits: (experiment number, step); the campaign itself uses numbers above every experiment's."""

VIRTUAL_EPOCH: Moment = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
"""Where virtual time begins: a date nobody will mistake for a measurement of today."""


def utc_text(moment: Moment) -> str:
    """Return the moment as ISO 8601 in UTC with microseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")


def on_grid(moment: Moment) -> Moment:
    """Return the moment on the grid of whole microseconds on which the journal writes it down.

    Moments of virtual time lie on this grid, so that a campaign goes on at exactly the moment at which it was cut off.
    """
    return round(moment * 1e6) / 1e6


@dataclass(frozen=True)
class ClockSettings:
    """Which clock a lab runs on.

    Attributes:
        type: `real`; `scaled` (every wait is divided by `factor`); `virtual` (no waiting; simulated labs only).
        factor: lab seconds per real second, for `scaled`.
    """

    type: Literal["real", "scaled", "virtual"] = "real"
    factor: float = 1.0


@runtime_checkable
class Clock(Protocol):
    """What everything that waits uses instead of `asyncio.sleep`."""

    settings: ClockSettings

    def now(self) -> Moment:
        """Return the present moment of lab time."""

    def elapsed(self) -> float:
        """Return lab seconds on a monotonic scale, for durations."""

    async def sleep_until(self, moment: Moment, key: Key = (0, 0)) -> None:
        """Wait for a moment of lab time; returns at once where it has passed."""

    async def sleep(self, seconds: float, key: Key = (0, 0)) -> None:
        """Wait for some seconds of lab time."""

    def event(self) -> asyncio.Future[None]:
        """Return a future that can be waited for through `wait_for` and is settled by `settle`."""

    def settle(self, future: asyncio.Future[None]) -> None:
        """Wake whoever waits for the future; does nothing where it is settled already."""

    async def wait_for(self, future: asyncio.Future[None]) -> None:
        """Wait for a future of `event`, counted as waiting."""

    def actor(self) -> AbstractContextManager[None]:
        """Return a context manager: within it, a task counts as an actor that time waits for."""


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ClockError(f"nobody can wait for a moment or a time of {seconds!r} seconds")
    return seconds


class RealClock:
    """The clock on the wall, or that clock run faster by a factor."""

    def __init__(self, factor: float = 1.0, start: Moment | None = None) -> None:
        if not 0 < factor < math.inf:
            raise InputError(f"clock: the factor must be above 0 and finite, got {factor:g}")
        self.settings = ClockSettings("real") if factor == 1.0 else ClockSettings("scaled", factor)
        self._factor = factor
        self._zero = time.monotonic()
        self._start = time.time() if start is None else start

    def now(self) -> Moment:
        """Return the present moment (UTC, seconds since 1970)."""
        if self._factor == 1.0:
            return time.time()
        return self._start + self.elapsed()

    def elapsed(self) -> float:
        """Return lab seconds since the clock was made."""
        return (time.monotonic() - self._zero) * self._factor

    def not_before(self, moment: Moment) -> None:
        """Put scaled time forward to a moment that has passed for somebody who shares it; real time is what it is."""
        if self._factor != 1.0:
            self._start += max(0.0, moment - self.now())

    async def sleep_until(self, moment: Moment, key: Key = (0, 0)) -> None:
        """Wait until the moment; `key` plays no part in real time."""
        _finite(moment)
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110  a clock waits for time itself
            await asyncio.sleep(left / self._factor)

    async def sleep(self, seconds: float, key: Key = (0, 0)) -> None:
        """Wait for some seconds of lab time, by the monotonic clock: a correction of the wall clock changes nothing."""
        end = self.elapsed() + _finite(seconds)
        while (left := end - self.elapsed()) > 0:  # noqa: ASYNC110  a clock waits for time itself
            await asyncio.sleep(left / self._factor)

    def event(self) -> asyncio.Future[None]:
        """Return a future to be waited for."""
        return asyncio.get_running_loop().create_future()

    def settle(self, future: asyncio.Future[None]) -> None:
        """Wake whoever waits for the future."""
        if not future.done():
            future.set_result(None)

    async def wait_for(self, future: asyncio.Future[None]) -> None:
        """Wait for the future."""
        await future

    @contextmanager
    def actor(self) -> Iterator[None]:
        """Count nothing: real time waits for nobody."""
        yield


class _Waiting(asyncio.Future[None]):
    """What a task waits for in virtual time; a task that is cancelled counts as working from that very moment.

    Were it counted only when it gets to run, another actor that begins to wait meanwhile could let time pass without it.
    """

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._virtual = clock

    def cancel(self, msg: object = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._virtual.woken(self)
        return cancelled


class VirtualClock:
    """Time that stands still until every actor waits, then jumps to the next moment anybody waits for."""

    def __init__(self, start: Moment = VIRTUAL_EPOCH) -> None:
        self.settings = ClockSettings("virtual")
        self._now = start
        self._start = start
        self._working = 0
        self._order = itertools.count()
        self._sleepers: list[tuple[Moment, Key, int, asyncio.Future[None]]] = []
        self._waiting: dict[asyncio.Future[None], None] = {}  # in the order of arrival, which a set would not keep

    def now(self) -> Moment:
        """Return the present virtual moment."""
        return self._now

    def elapsed(self) -> float:
        """Return virtual seconds since the clock was made."""
        return self._now - self._start

    @contextmanager
    def actor(self) -> Iterator[None]:
        """Count the task within as one that time waits for."""
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            self._advance()

    async def sleep_until(self, moment: Moment, key: Key = (0, 0)) -> None:
        """Wait for a virtual moment; waiters of one instant go on one at a time, in the order of their keys."""
        future = self.event()
        heapq.heappush(self._sleepers, (max(on_grid(_finite(moment)), self._now), key, next(self._order), future))
        await self._wait(future)

    async def sleep(self, seconds: float, key: Key = (0, 0)) -> None:
        """Wait for some virtual seconds."""
        await self.sleep_until(self._now + seconds, key)

    def event(self) -> asyncio.Future[None]:
        """Return a future to be waited for."""
        return _Waiting(self)

    def settle(self, future: asyncio.Future[None]) -> None:
        """Wake whoever waits for the future; they count as working from this moment, not from when they get to run."""
        if not future.done():
            self.woken(future)
            future.set_result(None)

    def woken(self, future: asyncio.Future[None]) -> None:
        """Count whoever waits for the future as working again; called by what wakes them."""
        if future in self._waiting:
            del self._waiting[future]
            self._working += 1

    async def wait_for(self, future: asyncio.Future[None]) -> None:
        """Wait for a future of `event`; only one task may wait for it."""
        if future.done():
            return
        if future in self._waiting:
            raise ClockError("two tasks wait for the same future; give each one of its own")
        await self._wait(future)

    async def _wait(self, future: asyncio.Future[None]) -> None:
        self._waiting[future] = None
        self._working -= 1
        self._advance()
        await future

    def _advance(self) -> None:
        """Wake the next sleeper if nobody works."""
        if self._working > 0:
            return
        while self._sleepers:
            moment, _, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue  # cancelled while it slept
            self._now = max(self._now, moment)
            self.settle(future)
            return
        for future in list(self._waiting):
            self.woken(future)
            future.set_exception(
                ClockError("virtual time stands still: every actor waits for another, and none for a moment in time")
            )


def make_clock(settings: ClockSettings, start: Moment | None = None) -> Clock:
    """Return the clock that the settings ask for.

    Args:
        settings: type and factor.
        start: the moment at which scaled or virtual time goes on (the last one in the ledger, when a campaign resumes).
    """
    if settings.type == "virtual":
        return VirtualClock(VIRTUAL_EPOCH if start is None else start)
    if settings.type == "scaled":
        return RealClock(settings.factor, start)
    return RealClock()
