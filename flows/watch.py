"""Watches the campaign's own flow run: Cancel and Pause in Prefect are obeyed, and a pause from a terminal shows there."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, Paused, Running

from sdl.ledger import Inbox

if TYPE_CHECKING:
    from pathlib import Path

    from sdl.engine import Session

EVERY = 2.0
"""Seconds between two looks at the flow run."""

_BY = "Prefect"
_CANCEL = {StateType.CANCELLING, StateType.CANCELLED}
_LIVING = {StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING, StateType.PENDING}

_log = logging.getLogger("sdl.flows")


class RunWatch:
    """Keeps a campaign and its flow run in step.

    Args:
        session: the campaign.
        run: id of its flow run.
    """

    def __init__(self, session: Session, run: UUID) -> None:
        self._session = session
        self._run = run
        self._inbox = Inbox(session.ledger)
        self._seen: StateType = StateType.RUNNING
        self.is_cancelled = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._watch(), name="flow-run")

    def end(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  an outage of Prefect stops no campaign
                _log.warning("the flow run cannot be watched: %s", error)

    async def look(self) -> None:
        """Compare once, and bring the other side up to date: Prefect's where it has not changed, else ours."""
        async with get_client() as client:
            state = (await client.read_flow_run(self._run)).state
            now = StateType.RUNNING if state is None else state.type
            if now in _CANCEL:
                if not self.is_cancelled:
                    self.is_cancelled = True
                    self._ask("abort", "cancelled in Prefect")
                return
            paused = self._session.state.standing == "paused"
            if now != self._seen:
                self._seen = now
                if now == StateType.PAUSED and not paused:
                    self._ask("pause", "paused in Prefect")
                elif now == StateType.RUNNING and paused:
                    self._ask("resume", "resumed in Prefect")
            elif paused and now == StateType.RUNNING:
                await client.set_flow_run_state(self._run, Paused(timeout_seconds=10 * 365 * 86400), force=True)
                self._seen = StateType.PAUSED
            elif not paused and now == StateType.PAUSED:
                await client.set_flow_run_state(self._run, Running(), force=True)
                self._seen = StateType.RUNNING

    def _ask(self, kind: str, reason: str) -> None:
        body = {"reason": reason, "pid": os.getpid(), "host": socket.gethostname()}
        self._inbox.put(self._session.name, _BY, kind, body)


async def correct_the_last(home: Path, campaign: str, run: UUID) -> str | None:
    """Set right what Prefect shows of a campaign's last process, and remember this one's flow run for the next.

    A process that dies without a runner leaves its flow run as Running for ever. Whoever owns the campaign now knows that it is
    gone.

    Args:
        home: folder of the ledger, where the last run is remembered.
        campaign: name.
        run: id of the flow run of this process.

    Returns:
        The name of the run that was corrected, or None.
    """
    place = home / "prefect" / "runs" / f"{campaign}.json"
    last = _remembered(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({"flow_run": str(run)}))
    if last is None or last == run:
        return None
    async with get_client() as client:
        try:
            found = await client.read_flow_run(last)
        except ObjectNotFound:  # another server
            return None
        if found.state is None or found.state.type not in _LIVING:
            return None
        message = f"its process is gone; the campaign goes on in flow run {run}"
        await client.set_flow_run_state(last, Crashed(message=message), force=True)
        return str(found.name)


def _remembered(place: Path) -> UUID | None:
    try:
        data: Any = json.loads(place.read_text())
        return UUID(str(data["flow_run"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
