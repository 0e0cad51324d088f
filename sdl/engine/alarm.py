"""Wakes the engine at a moment of lab time, such as when the first sample of a load has waited long enough."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdl.clock import Clock
    from sdl.clock.clocks import Key


class Alarm:
    """One alarm, which can be set anew.

    Args:
        clock: the lab's.
        key: who is woken, among all that happens at one instant.
        ring: what to do then.
    """

    def __init__(self, clock: Clock, key: Key, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._key = key
        self._ring = ring
        self._set: tuple[float, asyncio.Task[None]] | None = None

    @property
    def is_set(self) -> bool:
        """Whether it will ring."""
        return self._set is not None

    def set(self, moment: float | None) -> None:
        """Ring at a moment, or at none any more."""
        if self._set is not None and (moment is None or self._set[0] != moment):
            self._set[1].cancel()
            self._set = None
        if moment is not None and self._set is None:
            # Counted as an actor from this very moment, and until it is over even where it is cancelled before it began.
            actor = self._clock.actor()
            actor.__enter__()
            task = asyncio.create_task(self._wait(moment), name="alarm")
            task.add_done_callback(lambda _: actor.__exit__(None, None, None))
            self._set = moment, task

    async def _wait(self, moment: float) -> None:
        await self._clock.sleep_until(moment, self._key)
        self._set = None
        self._ring()
