"""The commands that instruments are carrying out, and how they are stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdl.clock import Clock
    from sdl.driver import Command, Instrument

SAFE_LIMIT = 60.0
"""Seconds within which an instrument must stop, or say that it is safe; one that does not is reported as not confirmed."""


class UnderWay:
    """Knows what is under way.

    Args:
        instruments: name → instrument, once they are connected.
        clock: the lab's time.

    Attributes:
        running: command id → the command and the driver's task.
        found: the same of commands of a dead process of which an instrument is asked: the task waits until it is asked again,
            and is None while it is being asked.
    """

    def __init__(self, instruments: Mapping[str, Instrument], clock: Clock) -> None:
        self._instruments = instruments
        self._clock = clock
        self.running: dict[str, tuple[Command, asyncio.Future[Any] | None]] = {}
        self.found: dict[str, tuple[Command, asyncio.Future[Any] | None]] = {}
        self._stopped: set[str] = set()
        self._asked: dict[str, list[asyncio.Future[None]]] = {}

    def commands(self) -> list[Command]:
        """Return the commands, those of a dead process included."""
        return [command for command, _ in self._all().values()]

    async def abort(self, wanted: Callable[[Command], bool]) -> list[bool]:
        """Abort the commands that are wanted; returns for each whether it stopped."""
        return list(await asyncio.gather(*(self._abort(c) for c in self.commands() if wanted(c))))

    def is_stopped(self, command: str) -> bool:
        """Tell whether a command's instrument has said that it stopped it."""
        return command in self._stopped

    async def abort_confirmed(self, command: str) -> bool:
        """Wait for the answer to an abort that is under way, at most `SAFE_LIMIT`; returns whether the command was stopped."""
        while command not in self._stopped and (asked := self._asked.get(command)):
            await self._clock.wait_for(asked[0])
        return command in self._stopped

    def forget(self, command: str) -> None:
        """Say that a command is not under way any more."""
        self.running.pop(command, None)
        self.found.pop(command, None)
        self._stopped.discard(command)

    def _all(self) -> dict[str, tuple[Command, asyncio.Future[Any] | None]]:
        return {**self.running, **self.found}

    async def _abort(self, command: Command) -> bool:
        stopped, answered = False, self._clock.event()
        self._asked.setdefault(command.id, []).append(answered)
        try:
            stopped = await asyncio.wait_for(self._instruments[command.instrument].abort(command), SAFE_LIMIT)
        except Exception:  # noqa: BLE001  the others must be aborted too; safe_state is told what it could not do
            stopped = False
        finally:
            # Where it did not stop, whatever it is, it goes on and is answered as it ends.
            if stopped and command.id in self._all():
                self._stopped.add(command.id)
                task = self._all()[command.id][1]
                if task is not None:
                    task.cancel()
            self._asked[command.id].remove(answered)
            if not self._asked[command.id]:
                del self._asked[command.id]
            self._clock.settle(answered)
        return stopped
