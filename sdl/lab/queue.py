"""The queue before an instrument: one command at a time, samples under way first, and none before there is room for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.lab.places import Claim, Places


@dataclass(frozen=True, eq=False)
class _Waiting:
    begins_sample: bool
    arrival: int
    campaign: str
    claim: Claim | None
    turn: asyncio.Future[None]


class InstrumentQueue:
    """Lets one command at a time to an instrument, or as many as it can carry out at once.

    Commands for samples under way go before commands that begin a new sample; within each group, campaigns that both wait go
    in turn (first the one whose last turn is longest ago), and commands of one campaign in order of arrival. A command
    that takes its samples to a place waits until there is room, and lets others pass meanwhile: the one behind it may be
    the one that makes the room. Waiting goes through the clock, so that virtual time knows of it.

    Args:
        clock: the lab's.
        free: how many commands the instrument carries out at once.
        places: of the lab.
    """

    def __init__(self, clock: Clock, free: int = 1, places: Places | None = None) -> None:
        self._clock = clock
        self._free = self._all = free
        self._places = places
        self._waiting: list[_Waiting] = []
        self._arrivals = 0
        self._turns = 0
        self._last_turn: dict[str, int] = {}
        self._withdrawn: set[asyncio.Future[None]] = set()
        self._reserved: set[str] = set()
        if places is not None:
            places.when_freed(self._let_in)

    def reserve(self, command: str) -> None:
        """Keep the instrument for a command that a dead process sent, until `release`: it may still be at work on it."""
        self._reserved.add(command)

    def release(self, command: str) -> None:
        """Say that a reserved command is settled; the last one lets the queue go on."""
        if command in self._reserved:
            self._reserved.discard(command)
            self._let_in()

    async def take(self, begins_sample: bool, claim: Claim | None = None, campaign: str = "") -> bool:
        """Wait for one's turn and for room; returns False where the command was withdrawn before its turn came."""
        if self._free > 0 and not self._reserved and self._has_room(claim):
            self._enter(claim, campaign)
            return True
        self._arrivals += 1
        place = _Waiting(begins_sample, self._arrivals, campaign, claim, self._clock.event())
        self._waiting.append(place)
        try:
            await self._clock.wait_for(place.turn)
        except BaseException:
            if place in self._waiting:
                self._waiting.remove(place)
            elif place.turn in self._withdrawn:
                self._withdrawn.discard(place.turn)
            elif place.turn.done() and not place.turn.cancelled() and place.turn.exception() is None:
                if claim is not None and self._places is not None:
                    self._places.stayed(claim)
                self.give()  # the turn came, but nobody is left to use it
            raise
        if place.turn in self._withdrawn:
            self._withdrawn.discard(place.turn)
            return False
        return True

    def withdraw(self) -> None:
        """Send everyone away who waits."""
        waiting, self._waiting = self._waiting, []
        for place in waiting:
            self._withdrawn.add(place.turn)
            self._clock.settle(place.turn)

    def give(self) -> None:
        """Give the turn to the next in the queue."""
        self._free += 1
        self._let_in()

    @property
    def is_at_work(self) -> bool:
        """Whether somebody has the turn."""
        return self._free < self._all

    def waiting_for_room(self) -> list[Claim]:
        """Return the claims of those who wait for room alone, in order of arrival."""
        if self._reserved:
            return []
        return [w.claim for w in self._waiting if w.claim is not None and not self._has_room(w.claim)]

    def waiting_for_person(self) -> list[str]:
        """Return, for each who waits, the command for which the instrument is kept; empty where it is not."""
        return [min(self._reserved) for _ in self._waiting] if self._reserved else []

    def _has_room(self, claim: Claim | None) -> bool:
        return claim is None or self._places is None or self._places.has_room(claim)

    def _enter(self, claim: Claim | None, campaign: str) -> None:
        self._free -= 1
        self._turns += 1
        self._last_turn[campaign] = self._turns
        if claim is not None and self._places is not None:
            self._places.take(claim)

    def _let_in(self) -> None:
        while self._free > 0 and not self._reserved:
            # One that was cancelled stands here until its task gets to run; a turn given to it would never come back.
            ready = [w for w in self._waiting if not w.turn.done() and self._has_room(w.claim)]
            if not ready:
                return
            place = min(ready, key=lambda w: (w.begins_sample, self._last_turn.get(w.campaign, 0), w.arrival))
            self._waiting.remove(place)
            self._enter(place.claim, place.campaign)
            self._clock.settle(place.turn)
