"""Watches the campaign's own flow run: Cancel and Pause in Prefect are obeyed, and a pause from a terminal shows there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Paused, Running

from sdl.ledger import Inbox

from .runs import YEARS, put_right

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import State

    from sdl.engine import Session

EVERY = 2.0
"""Seconds between two looks at the flow run."""

_PATIENCE = 5.0
"""Seconds that the end waits for a look that is under way. Chosen: a state that is set late would hide the final one."""

_BY = "Prefect"
_CANCEL = {StateType.CANCELLING, StateType.CANCELLED}
_OVER = {StateType.COMPLETED, StateType.FAILED, StateType.CRASHED}

_log = logging.getLogger("sdl.flows")


class RunWatch:
    """Keeps a campaign and its flow run in step.

    Args:
        session: the campaign.
        run: id of its flow run.
        diary: takes a line for people.

    Attributes:
        is_cancelled: whether the flow run was cancelled in Prefect.
    """

    def __init__(self, session: Session, run: UUID, diary: Callable[[str], None]) -> None:
        self._session = session
        self._run = run
        self._diary = diary
        self._inbox = Inbox(session.ledger)
        self._seen: StateType = StateType.RUNNING
        self._asked: int | None = None
        self.is_cancelled = False
        self._is_right = False
        self._trouble = ""
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._watch(), name="flow-run")

    async def end(self) -> None:
        """Look no more; a look that is under way comes to its end first."""
        self._over.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_PATIENCE)
            self._task.cancel()

    async def put_right(self) -> None:
        """Set right what dead processes of the campaign left in Prefect, unless that is done."""
        if not self._is_right:
            for line in await put_right(self._session, self._run):
                self._diary(line)
            self._is_right = True

    async def _watch(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), EVERY)
                return
            try:
                await self.put_right()
                await self.look()
                self._trouble = ""
            except Exception as error:  # noqa: BLE001  an outage of Prefect stops no campaign
                if self._trouble != (said := f"{type(error).__name__}: {error}"):
                    self._trouble = said
                    _log.warning("the flow run cannot be watched: %s", said)

    async def look(self) -> None:
        """Compare once, and bring the other side up to date: Prefect's where it has not changed, else ours."""
        async with get_client() as client:
            state = (await client.read_flow_run(self._run)).state
            now = StateType.RUNNING if state is None else state.type
            if now in _CANCEL:
                if not self.is_cancelled:
                    self._ask("abort", "cancelled in Prefect")  # first: where it cannot be kept, it is asked again
                    self.is_cancelled = True
                return
            # Until the campaign has taken what was asked here, neither side is behind the other: to show its old state in
            # Prefect now would undo what a person has just done there.
            if self._asked is not None and self._inbox.one(self._asked).outcome is None:
                return
            self._asked = None
            is_paused = self._session.state.standing == "paused"
            if now in _OVER:  # somebody called it over, or an automation that missed it: it lives
                await self._show(client, is_paused=is_paused)
                self._diary(
                    f"Prefect called this run {now.value.lower()}, but the campaign goes on; it is shown so again"
                )
            elif now == self._seen:
                if is_paused != (now == StateType.PAUSED) or (is_paused and _lapses(state)):
                    await self._show(client, is_paused=is_paused)
            else:
                if now == StateType.PAUSED and not is_paused:
                    self._ask("pause", "paused in Prefect")
                elif now == StateType.RUNNING and is_paused:
                    self._ask("resume", "resumed in Prefect")
                self._seen = now

    async def _show(self, client: PrefectClient, *, is_paused: bool) -> None:
        """Have Prefect show how the campaign stands."""
        state = Paused(timeout_seconds=YEARS) if is_paused else Running()
        await client.set_flow_run_state(self._run, state, force=True)
        self._seen = state.type

    def _ask(self, kind: str, reason: str) -> None:
        body = {"reason": reason, "pid": os.getpid(), "host": socket.gethostname()}
        self._asked = self._inbox.put(self._session.name, _BY, kind, body)


def _lapses(state: State | None) -> bool:
    """Tell whether Prefect will soon call a pause failed: one that a person made there ends after minutes or an hour."""
    limit = None if state is None else state.state_details.pause_timeout
    return limit is not None and limit - datetime.now(UTC) < timedelta(seconds=YEARS / 2)
