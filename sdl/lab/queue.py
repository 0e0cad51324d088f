"""The queue before an instrument: one command at a time, samples under way first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdl.clock import Clock


class InstrumentQueue:
    """Lets one command at a time to an instrument, or as many as it has places.

    Commands for samples under way go before commands that begin a new sample; within each group, in order of arrival.
    Waiting goes through the clock, so that virtual time knows of it.
    """

    def __init__(self, clock: Clock, places: int = 1) -> None:
        self._clock = clock
        self._free = places
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._arrivals = 0
        self._withdrawn: set[asyncio.Future[None]] = set()
        self._reserved: set[str] = set()

    def reserve(self, command: str) -> None:
        """Keep the instrument for a command that a dead process sent, until `release`: it may still be at work on it."""
        self._reserved.add(command)

    def release(self, command: str) -> None:
        """Say that a reserved command is settled; the last one lets the queue go on."""
        if command in self._reserved:
            self._reserved.discard(command)
            self._let_in()

    async def take(self, begins_sample: bool) -> bool:
        """Wait for one's turn; returns False where the command was withdrawn before its turn came."""
        if self._free > 0 and not self._reserved:
            self._free -= 1
            return True
        self._arrivals += 1
        place = (begins_sample, self._arrivals, self._clock.event())
        self._waiting.append(place)
        try:
            await self._clock.wait_for(place[2])
        except BaseException:
            if place in self._waiting:
                self._waiting.remove(place)
            elif place[2] in self._withdrawn:
                self._withdrawn.discard(place[2])
            elif place[2].done() and not place[2].cancelled() and place[2].exception() is None:
                self.give()  # the turn came, but nobody is left to use it
            raise
        if place[2] in self._withdrawn:
            self._withdrawn.discard(place[2])
            return False
        return True

    def withdraw(self) -> None:
        """Send everyone away who waits."""
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            self._withdrawn.add(future)
            self._clock.settle(future)

    def give(self) -> None:
        """Give the turn to the next in the queue."""
        self._free += 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._free > 0 and not self._reserved:
            place = min(self._waiting, key=lambda p: (p[0], p[1]))
            self._waiting.remove(place)
            self._free -= 1
            self._clock.settle(place[2])
