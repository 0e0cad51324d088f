"""Find out what became of a command that a dead process sent: its instrument is asked, and waited for where it still runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from sdl.driver import Command, Instrument, Reconciled, Reply
from sdl.errors import ClockError, LedgerError
from sdl.lab.driving import interlocked, simulates

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sdl.clock import Clock
    from sdl.driver import ActionSpec
    from sdl.lab.driving import Driving
    from sdl.lab.interlocks import Interlocks, Watch
    from sdl.lab.plan import LabPlan
    from sdl.lab.under_way import UnderWay

_POLL = 1.0
"""Seconds of lab time between two questions to an instrument that still runs a dead process's command."""


class Settling:
    """Asks instruments.

    Args:
        plan: the lab.
        clock: its time.
        instruments: name → instrument, once they are connected.
        interlocks: watch what is found running.
        under_way: knows what runs.
        driving: whose listener is told when what is found running began.
        interrupt: stops a command that an interlock no longer allows; says what was read back.
    """

    def __init__(
        self,
        plan: LabPlan,
        clock: Clock,
        instruments: Mapping[str, Instrument],
        interlocks: Interlocks,
        under_way: UnderWay,
        driving: Driving,
        interrupt: Callable[[Command], Awaitable[str]],
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._instruments = instruments
        self._interlocks = interlocks
        self._under_way = under_way
        self._driving = driving
        self._interrupt = interrupt

    async def reply(self, command: Command, spec: ActionSpec) -> Reply | None:
        """Ask an instrument what became of a command; what is found running is watched as if it had begun here.

        Returns:
            The reply; None where it did not start and can no longer start.
        """
        watching: list[Watch | None] = []
        try:
            self._under_way.found[command.id] = (command, None)  # it may run from the first question on
            reply = await self._ask(command, spec, watching)
        finally:
            self._under_way.forget(command.id)
            for watch in filter(None, watching):
                watch.forget()
        stopped = [said for watch in watching if watch is not None and (said := await watch.end()) is not None]
        if reply is None or not stopped:
            return reply
        status, error = interlocked(reply.status, reply.error, stopped[0])
        return replace(reply, status=status, error=error, values={}, failed_samples={}, interlock=True)  # type: ignore[arg-type]

    async def _ask(self, command: Command, spec: ActionSpec, watching: list[Watch | None]) -> Reply | None:
        simulated = simulates(self._plan, command)
        text = "the process died while the command was under way, and the instrument cannot say what became of it"
        is_told = False
        while True:
            try:
                found: Reconciled = await self._instruments[command.instrument].reconcile(command)
            except (LedgerError, ClockError):
                raise
            except Exception as broken:  # noqa: BLE001  a driver that cannot be asked does not know
                return await self._lost(command, f"{text}: {type(broken).__name__}: {broken}")
            if found.state != "running":
                break
            if self._under_way.is_stopped(command.id):
                return self._aborted(command)
            now = self._clock.now()
            if not is_told:
                is_told = True
                began = now if found.started is None else found.started
                self._driving.when_started(command, began)
                watching.append(self._interlocks.watch(command, spec, self._interrupt, began, is_found=True))
            # One that is late says the past moment again and again: it is asked at intervals.
            moment = found.ends if found.ends is not None and found.ends > now else now + _POLL
            nap = asyncio.ensure_future(self._clock.sleep_until(moment, (command.experiment, command.step)))
            self._under_way.found[command.id] = (command, nap)
            try:
                await nap
            except asyncio.CancelledError:
                here = asyncio.current_task()
                if (here is not None and here.cancelling()) or not self._under_way.is_stopped(command.id):
                    raise
                return self._aborted(command)
            finally:
                self._under_way.found[command.id] = (command, None)
        if found.state == "not_started":
            return None
        if found.state == "unknown":
            return await self._lost(command, text)
        error = found.error
        if found.state == "aborted":
            error = error or "it was aborted"
        elif error is None:
            problem = spec.check_result(found.values)
            error = None if problem is None else f"the result cannot be used: {problem}"
        duration = None
        if found.started is not None and found.finished is not None:
            duration = found.finished - found.started
        return Reply(
            command=command.id,
            status="aborted" if found.state == "aborted" else "succeeded" if error is None else "failed",
            values=dict(found.values) if error is None else {},
            artefacts=found.artefacts,
            error=error,
            started=found.started,
            finished=found.finished,
            duration=duration,
            simulated=simulated,
            failed_samples=dict(found.failed_samples) if error is None else {},
        )

    def _aborted(self, command: Command) -> Reply:
        return Reply(command.id, "aborted", error="aborted on request", simulated=simulates(self._plan, command))

    async def _lost(self, command: Command, text: str) -> Reply:
        """Return the reply where the instrument cannot say: it is known all the same where an abort was confirmed."""
        if await self._under_way.abort_confirmed(command.id):
            return self._aborted(command)
        return Reply(command.id, "unknown", error=text, simulated=simulates(self._plan, command))
