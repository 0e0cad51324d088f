"""The commands that instruments are carrying out, and how they are stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdl.driver import Command, Instrument

SAFE_LIMIT = 60.0
"""Seconds within which an instrument must stop, or say that it is safe; one that does not is reported as not confirmed."""


class UnderWay:
    """Knows what is under way.

    Args:
        instruments: name → instrument, once they are connected.

    Attributes:
        running: command id → the command and the driver's task.
        found: the same of commands of a dead process that were found running: the task waits until they are asked again.
        aborted: ids of commands that are being aborted.
    """

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self.running: dict[str, tuple[Command, asyncio.Future[Any]]] = {}
        self.found: dict[str, tuple[Command, asyncio.Future[Any]]] = {}
        self.aborted: set[str] = set()

    def commands(self) -> list[Command]:
        """Return the commands, those of a dead process included."""
        return [command for command, _ in self._all()]

    async def abort(self, wanted: Callable[[Command], bool]) -> list[bool]:
        """Abort the commands that are wanted; returns for each whether it stopped."""
        chosen = [(command, task) for command, task in self._all() if wanted(command)]
        return list(await asyncio.gather(*(self._abort(command, task) for command, task in chosen)))

    def _all(self) -> list[tuple[Command, asyncio.Future[Any]]]:
        return [*self.running.values(), *self.found.values()]

    async def _abort(self, command: Command, task: asyncio.Future[Any]) -> bool:
        self.aborted.add(command.id)
        try:
            stopped = await asyncio.wait_for(self._instruments[command.instrument].abort(command), SAFE_LIMIT)
        except Exception:  # noqa: BLE001  the others must be aborted too; safe_state is told what it could not do
            stopped = False
        if stopped:
            task.cancel()
            return True
        self.aborted.discard(command.id)  # it did not stop, whatever it is: it goes on and is answered as it ends
        return False
