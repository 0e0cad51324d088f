"""Abort everything and bring every instrument into its safe state; the campaign does not end before that is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sdl.clock import Clock
    from sdl.lab import Lab


class Safety:
    """Makes a lab safe, once.

    Args:
        lab: whose commands are aborted.
        clock: its time.
        say: takes a line for the diary.
    """

    def __init__(self, lab: Lab, clock: Clock, say: Callable[[str], None]) -> None:
        self._lab = lab
        self._clock = clock
        self._say = say
        self._task: asyncio.Task[None] | None = None
        self._safe: asyncio.Future[None] | None = None

    @property
    def is_begun(self) -> bool:
        """Whether everything is being aborted, or was."""
        return self._task is not None

    def begin(self) -> None:
        """Begin to abort; does nothing the second time."""
        if self._task is None:
            self._safe = self._clock.event()
            # Counted as an actor from this very moment: no firing may come to its end while its abort is under way.
            actor = self._clock.actor()
            actor.__enter__()
            self._task = asyncio.ensure_future(self._make_safe(actor, self._safe))

    async def done(self) -> None:
        """Wait until it is done; whoever is cancelled meanwhile does not cancel it."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def done_by_the_clock(self) -> None:
        """Wait until it is done, counted as waiting in virtual time."""
        if self._safe is not None:
            await self._clock.wait_for(self._safe)

    async def _make_safe(self, actor: AbstractContextManager[None], safe: asyncio.Future[None]) -> None:
        try:
            await self._lab.abort()
            for name, report in (await self._lab.safe_state()).items():
                self._say(
                    f"{name}: safe state {'confirmed' if report.confirmed else 'NOT confirmed'}: {report.message}"
                )
        except Exception as error:  # noqa: BLE001  said, and the campaign is let go all the same
            self._say(f"making the lab safe failed: {type(error).__name__}: {error}")
        finally:
            self._clock.settle(safe)
            actor.__exit__(None, None, None)
