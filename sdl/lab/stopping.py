"""Stop a lab, so that no command begins before a release, whatever is restarted meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sdl.driver import Command, Reply, SafeReport
from sdl.errors import LedgerError
from sdl.lab.stop import Stop, StoppedError

if TYPE_CHECKING:
    from sdl.lab.embedded import EmbeddedLab
    from sdl.lab.log import MemoryLog
    from sdl.lab.sql_log import SqlLog
    from sdl.lab.work import Work

_log = logging.getLogger("sdl.lab.server")


class Stopping:
    """Stops and releases a lab.

    Args:
        lab: which.
        log: of its commands, which remembers that it was stopped.
        work: what is under way.

    Attributes:
        stopped: that a person stopped the lab, or None.
    """

    def __init__(self, lab: EmbeddedLab, log: SqlLog | MemoryLog, work: Work) -> None:
        self._lab = lab
        self._log = log
        self._work = work
        self.stopped = log.stop

    async def stop(self, who: str) -> dict[str, SafeReport]:
        """Abort everything, make every instrument safe, and let no command begin before `release`.

        Args:
            who: asks for it, such as `token ab12cd`.

        Raises:
            LedgerError: all that was done, but the command log cannot be written: a restart of the server would end it.
        """
        if self.stopped is None:
            self.stopped = Stop(who, datetime.now(UTC).isoformat(timespec="seconds"))
        _log.warning("everything is aborted and made safe on request of %s", who)
        unwritten: LedgerError | None = None
        try:
            self._log.set_stop(self.stopped)
        except LedgerError as error:  # a full disk must not keep a lab from being stopped
            unwritten = error
        self._work.send_away(lambda _: True)  # else the next in the queue would begin as soon as one is aborted
        try:
            self.answer_unsent(lambda _: True)
        except LedgerError as error:
            _log.error("what waits unasked for stays accepted in the log: %s", error)
        await self._lab.abort()
        reports = await self._lab.safe_state()
        if unwritten is not None:
            said = "; ".join(f"{n} {'confirmed' if r.confirmed else 'NOT confirmed'}" for n, r in reports.items())
            raise LedgerError(
                f"lab '{self._lab.plan.name}' is stopped (safe states: {said}), but only until its server ends: {unwritten}"
            ) from unwritten
        return reports

    def release(self, who: str) -> Stop | None:
        """Let commands begin again; returns how the lab was stopped, or None where it was not.

        Raises:
            LedgerError: the command log cannot be written; the lab stays stopped.
        """
        stopped = self.stopped
        if stopped is not None:
            self._log.set_stop(None)
            self.stopped = None
            _log.warning("lab '%s', %s, is released by %s", self._lab.plan.name, stopped, who)
        return stopped

    def refuse(self, command: Command) -> None:
        """Refuse a command while the lab is stopped.

        Raises:
            StoppedError: it is.
        """
        if self.stopped is not None:
            raise StoppedError(f"lab '{self._lab.plan.name}' was {self.stopped}; command {command.id} was not started")

    def answer_unsent(self, wanted: Callable[[Command], bool]) -> int:
        """Answer as not started what an earlier life of the server accepted and nobody asked for since; returns how many.

        Raises:
            LedgerError: the log cannot be written; they stay accepted, and nothing has moved.
        """
        left = [r for r in self._log.unfinished() if r.state == "accepted" and r.command.id not in self._work.jobs]
        left = [r for r in left if wanted(r.command)]
        for record in left:
            reply = Reply(record.command.id, "not_started", error="withdrawn from the queue")
            self._log.finished(reply, self._lab.clock.now())
        return len(left)
