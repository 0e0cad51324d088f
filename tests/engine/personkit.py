"""A person at another terminal: writes requests into the inbox of a campaign that is running."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from enginekit import Diary, Press

from sdl.driver import Context
from sdl.ledger import Event, Inbox, Ledger

HERE = {"pid": os.getpid(), "host": socket.gethostname()}


class SlowPress(Press):
    """A press that also takes a moment of real time, so that somebody can act meanwhile."""

    async def perform(self, action: str, ctx: Context, arguments: Any) -> Any:
        await asyncio.sleep(0.06)
        return await super().perform(action, ctx, arguments)


class Person(Diary):
    """Acts when a row says something, through a ledger of their own, as another process would.

    Args:
        home: of the ledger.
        acts: pairs of a question to a row's event and what is asked then: (kind, body); each acts once.
    """

    def __init__(self, home: Path, *acts: tuple[Callable[[Event], bool], str, dict[str, Any]]) -> None:
        super().__init__()
        self._home = home
        self._acts = list(acts)
        self.asked: list[int] = []

    def recorded(self, rows, view):
        for row in rows:
            for act in list(self._acts):
                if act[0](row.event):
                    self._acts.remove(act)
                    self.ask(view.campaign, act[1], **act[2])

    def ask(self, campaign: str, kind: str, by: str = "ann", **body: Any) -> int:
        """Write a request."""
        ledger = Ledger(self._home)
        try:
            self.asked.append(Inbox(ledger).put(campaign, by, kind, body))
        finally:
            ledger.close()
        return self.asked[-1]

    def outcomes(self) -> list[tuple[str | None, str | None]]:
        """What came of everything that was asked."""
        ledger = Ledger(self._home)
        try:
            found = [Inbox(ledger).one(i) for i in self.asked]
        finally:
            ledger.close()
        return [(f.outcome, f.said) for f in found]


def stays(engine) -> None:
    """Steer: the campaign stays where it waits, and looks into its inbox often."""
    engine.stays = True
    engine._inbox._every = 0.01


def on(kind: type[Event], **values: Any) -> Callable[[Event], bool]:
    """Return the question whether a row is of a kind and says something."""
    return lambda event: isinstance(event, kind) and all(getattr(event, k) == v for k, v in values.items())
