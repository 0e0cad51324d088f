"""Signs of life: the campaign's own loop gives them, so that a process that hangs gives none, as one that is frozen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sdl.errors import LedgerError
from sdl.ledger.ownership import SIGN_EVERY

if TYPE_CHECKING:
    from collections.abc import Callable


class SignsOfLife:
    """Gives signs of life while a campaign runs.

    Args:
        sign: gives one; raises LedgerError where another process has taken the campaign over.
        lost: told so, once.
        every: real seconds between two of them.
    """

    def __init__(
        self, sign: Callable[[], None], lost: Callable[[LedgerError], None], every: float = SIGN_EVERY
    ) -> None:
        self._sign = sign
        self._lost = lost
        self._every = every
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Give one now, and one after another from now on."""
        self._task = asyncio.create_task(self._go_on(), name="signs of life")

    def end(self) -> None:
        """Give no more."""
        if self._task is not None:
            self._task.cancel()

    async def _go_on(self) -> None:
        while True:
            try:
                self._sign()
            except LedgerError as error:
                self._lost(error)
                return
            await asyncio.sleep(self._every)
