"""A command that takes longer than it should is reported once, before anybody knows what becomes of it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from sdl.clock import on_grid, utc_text
from sdl.errors import SdlError
from sdl.ledger import CommandLate
from sdl.units.spans import span_text

if TYPE_CHECKING:
    from sdl.driver import Command, Reply
    from sdl.engine.engine import Engine
    from sdl.ledger import Event

_KEY = 2**61
"""First part of an alarm's key in virtual time. A command that ends at the very moment of its limit is not late, so it comes
first; the campaign itself, which decides last, comes after."""


class LateWatch:
    """Watches how long the commands of a campaign take.

    A command counts from the moment at which its instrument began, not from when it was sent. Where that is known at once an
    alarm is set, through the clock; where it is known from the reply alone (the campaign's process was gone, or the lab is
    another process in virtual time) the command is reported with its reply.

    Args:
        engine: whose commands they are.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._alarms: dict[str, asyncio.Task[None]] = {}
        self._limits: dict[str, tuple[float, float]] = {}

    def started(self, command: Command, moment: float) -> None:
        """Set an alarm for a command.

        Args:
            command: which began.
            moment: at which it did, s since 1970 of lab time.
        """
        if command.id in self._alarms or command.id in self._engine.state.late:
            return
        # Counted as an actor from this very moment, and until it is over even where it is cancelled before it began.
        actor = self._engine.clock.actor()
        actor.__enter__()
        task = asyncio.create_task(self._ring(command, moment), name=f"late-{command.id}")
        task.add_done_callback(lambda _: actor.__exit__(None, None, None))
        self._alarms[command.id] = task

    async def _ring(self, command: Command, moment: float) -> None:
        engine = self._engine
        try:
            # A lab server is asked over HTTP how long it takes.
            served = engine.checked.lab.server is not None
            expected, limit = await asyncio.to_thread(self._limit, command) if served else self._limit(command)
            await engine.clock.sleep_until(moment + limit, (_KEY, command.experiment))
            engine.record([self._row(command, moment, expected, limit)])
        except Exception as error:  # noqa: BLE001  its own steps meet what is wrong with lab, ledger or time; this is said
            engine.hooks.diary(f"{_where(command)}: whether it is late cannot be told: {error}")
        else:
            self._say(command, "it is still under way")

    def settled(self, command: Command, reply: Reply) -> list[Event]:
        """Take the alarm of a command away; returns the row that must come before its outcome, where it was late unseen."""
        alarm = self._alarms.pop(command.id, None)
        if alarm is not None:
            alarm.cancel()
        known = command.id in self._engine.state.late
        if known or reply.started is None or reply.finished is None:
            return []
        try:
            expected, limit = self._limit(command)
        except SdlError as error:  # a lab server that does not say; the outcome is not held up by that
            self._engine.hooks.diary(f"{_where(command)}: whether it was late cannot be told: {error}")
            return []
        if reply.finished <= on_grid(reply.started + limit):
            return []
        return [self._row(command, reply.started, expected, limit)]

    def said(self, command: Command) -> None:
        """Say that a command was late that is over; once its rows are written."""
        self._say(command, "it is over")

    def end(self) -> None:
        """Take every alarm away."""
        for alarm in self._alarms.values():
            alarm.cancel()
        self._alarms.clear()

    def _row(self, command: Command, began: float, expected: float, limit: float) -> CommandLate:
        return CommandLate(command.id, round(expected, 6), round(limit, 6), utc_text(began))

    def _limit(self, command: Command) -> tuple[float, float]:
        """Return the expected seconds of a command, and those after which it counts as late."""
        if command.id not in self._limits:
            spec = self._engine.checked.lab.instruments[command.instrument].description.actions[command.action]
            expected = spec.seconds(command.arguments)
            self._limits[command.id] = (expected, spec.late_after(expected))
        return self._limits[command.id]

    def _say(self, command: Command, how: str) -> None:
        row = self._engine.state.late[command.id]
        took = self._engine.clock.now() - datetime.fromisoformat(row.started).timestamp()
        self._engine.hooks.diary(
            f"LATE: {_where(command)} began {span_text(took)} ago and {how}; it should take {span_text(row.expected)} "
            f"and counts as late after {span_text(row.limit)}; look after {command.instrument}"
        )


def _where(command: Command) -> str:
    return f"experiment {command.experiment}, {command.instrument}.{command.action}"
