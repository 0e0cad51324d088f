"""Let a campaign's process end although an instrument did not stop: its command stays open, to be settled at the next start."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdl.engine.engine import Engine
    from sdl.engine.safety import Safety

LEAVE_AFTER = 2.0
"""Real seconds after an abort in which what was stopped gives its answer; what goes on then is left as it is (chosen)."""


class Leaving:
    """Knows for which commands a campaign waits, and ends that.

    Args:
        engine: whose commands they are.

    Attributes:
        has_left: whether nothing is waited for any more.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sent: dict[str, asyncio.Task[Any] | None] = {}
        self._task: asyncio.Task[None] | None = None
        self.has_left = False

    def begin(self, safety: Safety) -> None:
        """Wait no more for what goes on a moment after everything was aborted and made safe."""
        if self._engine.clock.settings.type != "virtual":  # there its end comes at once
            self._task = asyncio.create_task(self._leave(safety), name="leave")

    def end(self) -> None:
        """Forget it: the campaign ended before."""
        if self._task is not None:
            self._task.cancel()

    async def _leave(self, safety: Safety) -> None:
        await safety.done()
        await asyncio.sleep(LEAVE_AFTER)
        for command in self._sent:
            what = self._engine.command(command)
            self._engine.hooks.diary(
                f"{what.instrument}.{what.action} of experiment {what.experiment} did not stop and goes on: its command "
                "stays open and is settled at the next start"
            )
        self.now()

    def now(self) -> None:
        """Wait for nothing from this moment on."""
        self.has_left = True
        for task in self._sent.values():
            if task is not None:
                task.cancel()

    @asynccontextmanager
    async def waiting_for(self, command: str) -> AsyncIterator[None]:
        """Count a command as under way; left quietly where the campaign ends without it."""
        task = self._sent[command] = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if not self.has_left or task is None:
                raise
            task.uncancel()
        finally:
            del self._sent[command]
