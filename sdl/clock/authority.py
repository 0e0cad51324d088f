"""Virtual time shared by several processes: who may move it, and when.

The rule is that of `VirtualClock`, over processes: time advances only when every actor waits, and then to the earliest moment
that anybody waits for; waiters of one instant go on one at a time, in the order of their keys, then of the actors' names. An
actor that is down (its connection broke without a farewell) holds time still until it is back. Where nobody waits for a
moment, time stands still for good, which is an error; unless an actor waits for what a person will do, who needs no time.

Messages between actors keep the rule by one discipline: whoever sends a message counts as working until the receiver, which
then counts as working itself, has acknowledged it. So no moment can pass while a message is on its way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sdl.clock.clocks import Key, Moment

Grant = Callable[[Moment], None]
"""Tells an actor that it may go on, at a moment."""


@dataclass
class _Actor:
    grant: Grant
    fail: Callable[[str], None]
    waits: tuple[Moment, Key] | None = None
    for_person: bool = False
    works: bool = True
    is_up: bool = True


class TimeAuthority:
    """Keeps shared virtual time. Not thread-safe: whoever serves it holds a lock around every call.

    Args:
        start: the first moment.
    """

    def __init__(self, start: Moment) -> None:
        self.now = start
        self._actors: dict[str, _Actor] = {}

    @property
    def actors(self) -> dict[str, str]:
        """Actor → `works`, `waits` or `down`, for people."""
        return {
            name: "down" if not a.is_up else "works" if a.works else "waits" for name, a in sorted(self._actors.items())
        }

    def join(self, name: str, grant: Grant, fail: Callable[[str], None]) -> bool:
        """Let an actor in, or back in after it was down; it counts as working. Returns False where one of that name is up."""
        known = self._actors.get(name)
        if known is not None and known.is_up:
            return False
        self._actors[name] = _Actor(grant, fail)
        return True

    def wait(self, name: str, waits: tuple[Moment, Key] | None, *, for_person: bool = False) -> None:
        """Note that nobody works in an actor.

        Args:
            name: of the actor.
            waits: the moment for which it waits, or None: for another actor alone.
            for_person: whether it also waits for something that a person will do.
        """
        actor = self._actors[name]
        actor.works = False
        actor.waits = waits
        actor.for_person = for_person
        self._advance()

    def work(self, name: str) -> None:
        """Note that an actor works again, because a message reached it."""
        actor = self._actors[name]
        actor.works = True
        actor.waits = None

    def leave(self, name: str) -> None:
        """Let an actor go for good: time no longer waits for it."""
        self._actors.pop(name, None)
        self._advance()

    def lost(self, name: str) -> None:
        """Note that an actor is down: time stands still until it is back."""
        actor = self._actors.get(name)
        if actor is not None:
            actor.is_up = False
            actor.works = True

    def _advance(self) -> None:
        if not self._actors or any(a.works for a in self._actors.values()):
            return
        waiting = [(a.waits, name) for name, a in self._actors.items() if a.waits is not None]
        if not waiting:
            if any(a.for_person for a in self._actors.values()):
                return
            for actor in self._actors.values():
                actor.fail("virtual time stands still: every actor waits for another, and none for a moment in time")
            return
        (moment, _), name = min(waiting)
        self.now = max(self.now, moment)
        actor = self._actors[name]
        actor.works = True
        actor.waits = None
        actor.grant(self.now)
