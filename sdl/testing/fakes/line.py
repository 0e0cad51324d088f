"""A line between driver and device in lab time: questions go out, answers come back, and on a bad one they do not, or twice.

Every question has a number that its answer carries, as in most instrument protocols. A careful driver waits for the answer
with its question's number; a careless one takes whatever comes next.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sdl.clock import Clock

Message = Mapping[str, Any]

Fault = Literal["drop", "delay", "duplicate", "reorder"]

LATENCY = 0.01
"""Seconds from question to answer."""

TIMEOUT = 5.0
"""Seconds that a driver waits for an answer."""


def no_fault(message: Message) -> Fault | None:
    """Lose and change nothing."""
    del message
    return None


@dataclass
class Line:
    """The line, with the device at its other end.

    Attributes:
        clock: the lab's time.
        device: question → answer, or None where the device does not answer.
        fault: question → what happens to its answer.
        deaf: whether every answer gets lost from now on.
    """

    clock: Clock
    device: Callable[[Message], Message | None]
    fault: Callable[[Message], Fault | None] = no_fault
    deaf: bool = False
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _inbox: list[tuple[float, int, Message]] = field(default_factory=list)
    _arrivals: itertools.count[int] = field(default_factory=itertools.count)
    _open: bool = True

    def send(self, message: Message) -> int:
        """Send a question; returns its number.

        Raises:
            ConnectionError: the line was closed.
        """
        if not self._open:
            raise ConnectionError("the line is closed")
        number = next(self._numbers)
        answer = self.device(message)
        fault = self.fault(message)
        if answer is not None and not self.deaf and fault != "drop":
            extra = {"delay": 1.5 * TIMEOUT, "reorder": 2 * LATENCY}.get(str(fault), 0.0)
            for _ in range(2 if fault == "duplicate" else 1):
                arrival = self.clock.now() + LATENCY + extra
                self._inbox.append((arrival, next(self._arrivals), {**answer, "number": number}))
        return number

    async def receive(self, number: int | None, key: tuple[int, int] = (0, 0)) -> Message:
        """Wait for the answer to a question; None takes whatever comes next, as a careless driver does.

        Raises:
            TimeoutError: it did not come in time.
        """
        deadline = self.clock.now() + TIMEOUT
        coming = sorted(m for m in self._inbox if number is None or m[2]["number"] == number)
        if not coming or coming[0][0] > deadline:
            await self.clock.sleep_until(deadline, key)
            raise TimeoutError(f"no answer within {TIMEOUT:g} s")
        await self.clock.sleep_until(coming[0][0], key)
        self._inbox.remove(coming[0])
        # Answers of the past to whom nobody listened (duplicates, late ones) are forgotten, as a flushed buffer does.
        if number is not None:
            self._inbox = [m for m in self._inbox if m[2]["number"] >= number]
        return coming[0][2]

    def close(self) -> None:
        """Close the line; again does nothing."""
        self._open = False
        self._inbox.clear()
