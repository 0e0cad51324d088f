"""Makes instruments safe whose campaign has been gone for longer than they stand it, where they ask for that."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdl.driver import Command
    from sdl.lab.embedded import EmbeddedLab
    from sdl.lab.presence import Presence

_log = logging.getLogger("sdl.lab.server")

_LOOK = 0.5
"""Real seconds between two looks at who is gone. Chosen."""


class Watch:
    """Looks after a lab's instruments.

    Args:
        lab: whose.
        presence: which campaigns are there.
        name_of: campaign id → its name, for people.
        last_user: instrument → the campaign that used it last, as far as that is known at the start.
        send_away: answers those commands as not started that wait for an instrument and are wanted; returns how many.
    """

    def __init__(
        self,
        lab: EmbeddedLab,
        presence: Presence,
        name_of: Callable[[str], str],
        last_user: dict[str, str],
        send_away: Callable[[Callable[[Command], bool]], int],
    ) -> None:
        self._lab = lab
        self._presence = presence
        self._name_of = name_of
        self._last_user = last_user
        self._send_away = send_away
        self._safe: dict[str, str] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            for command in self._lab.under_way():
                self._last_user[command.instrument] = command.campaign
            for name, plan in self._lab.plan.instruments.items():
                if plan.safe_after is not None and name in self._last_user:
                    await self._look_at(name, self._last_user[name], plan.safe_after)

    async def _look_at(self, name: str, user: str, allowed: float) -> None:
        gone = self._presence.gone(user)
        if gone is None or gone <= allowed:
            self._safe.pop(name, None)
        elif self._safe.get(name) != user:
            self._safe[name] = user
            _log.warning(
                "%s: campaign '%s' has been gone for %.0f s (allowed: %g s): it is made safe",
                name,
                self._name_of(user),
                gone,
                allowed,
            )

            def its(command: Command) -> bool:
                return command.instrument == name and command.campaign == user

            # Else the next one that it had sent would begin as soon as this one is stopped.
            self._send_away(its)
            with contextlib.suppress(Exception):  # said by the report below
                await self._lab.abort(its)
            for what, report in (await self._lab.safe_state([name])).items():
                state = "confirmed" if report.confirmed else "NOT confirmed"
                _log.warning("%s: safe state %s: %s", what, state, report.message)
