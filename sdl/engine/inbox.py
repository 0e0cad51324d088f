"""Watches the inbox while a campaign runs, in real time: people do not live in virtual time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sdl.engine.questions import expired
from sdl.engine.requests import Desk
from sdl.errors import LedgerError
from sdl.ledger import Inbox

if TYPE_CHECKING:
    from sdl.engine.engine import Engine

EVERY = 0.5
"""Real seconds between two looks (chosen: a person who pressed Enter does not feel it; one indexed query each)."""


class InboxWatch:
    """Takes what people ask of a campaign, and asks again what nobody answered.

    It is no actor of virtual time: whatever it changes counts from the moment at which it is seen.

    Args:
        engine: whose campaign it is.
        every: real seconds between two looks.
    """

    def __init__(self, engine: Engine, every: float = EVERY) -> None:
        self._engine = engine
        self._every = every
        self._inbox = Inbox(engine.ledger)
        self._desk = Desk(engine)
        self._trouble = ""
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look once, and go on looking."""
        if self._engine.ledger.home is not None:  # nobody else can reach a ledger in memory
            self.look()
            self._task = asyncio.create_task(self._watch(), name="inbox")

    def end(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            self.look()

    def look(self) -> int:
        """Take every request that is there; returns how many were."""
        if self._engine.ledger.home is None:
            return 0
        try:
            count = self._take()
            self._ask_again()
        except Exception as error:  # noqa: BLE001  what people ask must not end a campaign; the journal's own trouble it meets itself
            said = str(error) if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
            if said != self._trouble:
                self._trouble = said
                self._engine.hooks.diary(f"the inbox cannot be looked into: {said}")
            return 0
        self._trouble = ""
        return count

    def _take(self) -> int:
        requests = self._inbox.untaken(self._engine.name)
        for request in requests:
            # One that stands in the journal was taken by a process that died before it could note so here.
            settled = self._engine.state.requests.get(request.id) or self._desk.take(request)
            seq = self._engine.ledger.head(self._engine.name)[0]
            self._inbox.settle(request.id, seq, settled.outcome, settled.said)
        return len(requests)

    def _ask_again(self) -> None:
        again = expired(self._engine.state, time.time(), self._engine.ask_again_after)
        if not again:
            return
        self._engine.record(again)
        for event in again:
            question = self._engine.state.questions[event.question]
            self._engine.hooks.diary(
                f"STILL OPEN, asked {event.times} times: {question.question} (sdl answer {self._engine.name}/"
                f"{question.question} …): {question.text}"
            )
