"""A command at a lab server, followed from its sender's side until its reply and all its raw data are here."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sdl.clock.shared import SharedVirtualClock
from sdl.driver import Command, Reply
from sdl.driver.context import nobody_to_ask
from sdl.errors import InstrumentFault, LabError, LedgerError, OutcomeUnknown
from sdl.lab.connection import LONG_WAIT, Connection, RestartedError
from sdl.lab.served_plan import ServedEstimate
from sdl.lab.wire import Json, form_of, reply_of

if TYPE_CHECKING:
    from sdl.artefacts import ArtefactRef
    from sdl.driver.form import Ask
    from sdl.lab.interface import Progress
    from sdl.lab.plan import LabPlan

_AGAIN = 1.0
"""Real seconds after which a question is asked again that the campaign's ledger could not take. Chosen."""

FIRST_WAIT = 1.0
"""Real seconds of the first wait for news; after it, a command is known to be under way."""

Again = Callable[[], Awaitable[Json | None]]
Spawn = Callable[[Callable[[], Awaitable[Any]]], "asyncio.Task[Any]"]


class Following:
    """Follows the commands of one campaign.

    Args:
        server: which carries them out.
        plan: the lab.
        store: keeps artefacts in the campaign's own ledger.
        spawn: has something done beside, and its trouble said.

    Attributes:
        shared: the clock where virtual time is shared, else None.
        ask: how a person is asked what an action wants to know.
        when_started: told when a command begins.
        when_held: told when `held` has changed.
        busy: instrument → what it is doing for this campaign.
        held: command id → what it waits for, where the server says that only a person can end that.
        acknowledged: command id → the last state in which the server said it was: its log may never know less.
    """

    def __init__(
        self, server: Connection, plan: LabPlan, store: Callable[[str, bytes, str], ArtefactRef], spawn: Spawn
    ) -> None:
        self._server = server
        self._plan = plan
        self._store = store
        self._spawn = spawn
        self.shared: SharedVirtualClock | None = None
        self.ask: Ask = nobody_to_ask
        self.when_started: Callable[[Command, float], None] = lambda *_: None
        self.when_held: Callable[[], None] = lambda: None
        self.busy: dict[str, str] = {}
        self.held: dict[str, Json] = {}
        self.acknowledged: dict[str, str] = {}
        self._followed: set[str] = set()
        self._said_of: dict[str, str] = {}
        self._open: set[str] = set()
        self._to_ask: set[str] = set()

    async def reply(self, command: Command, standing: Json, progress: Progress | None, again: Again) -> Reply:
        """Ask until the command is finished, and return its reply once all its artefacts are here.

        Args:
            command: which.
            standing: how it stood when it was sent.
            progress: told how far it is.
            again: sends it again: a server that was restarted goes on with what it had accepted when it is asked to.

        Raises:
            LedgerError: raw data arrived with another hash than the reply names.
        """
        shared, asking = self.shared, None
        self._followed.add(command.id)
        try:
            self.acknowledged[command.id] = standing["state"]
            if standing["state"] != "finished" and shared is not None:
                standing = await self._in_shared_time(shared, command, standing, again)
            while standing["state"] != "finished":
                self._know(command, standing["seconds"])
                self._look_at(command, standing)
                if progress is not None:
                    await progress(standing["fraction"], standing["message"])
                if standing["question"] is not None and asking != standing["question"]["id"]:
                    asking = standing["question"]["id"]
                    self._spawn(partial(self._put, command, standing["question"]))
                standing = await self._news(standing, again)
            self.acknowledged[command.id] = "finished"
            self._know(command, standing["seconds"])
            reply = reply_of(standing["reply"])
            await self._fetch(reply)
            self._began(command, reply.started)
            return reply
        finally:
            self._followed.discard(command.id)
            self.busy.pop(command.instrument, None)
            self._said_of.pop(command.id, None)
            self.held.pop(command.id, None)

    async def unsure(self, shared: SharedVirtualClock) -> None:
        """Count as working until it is known of every open command how it stands at a server that was started again."""
        if self._open and not self._to_ask:
            self._to_ask = set(self._open)
            shared.received()
            await shared.confirmed()

    def refused(self, shared: SharedVirtualClock) -> None:
        """Count as working no more where it will never be known: every command ends with the refusal."""
        if self._to_ask:
            self._to_ask.clear()
            shared.handled()

    def _know(self, command: Command, seconds: float | None) -> None:
        """Keep how long the action takes: who asks for it later must not wait for the server."""
        estimate = self._plan.instruments[command.instrument].description.actions[command.action].estimate
        if isinstance(estimate, ServedEstimate) and seconds is not None:
            estimate.know(command.arguments, seconds)

    def _look_at(self, command: Command, standing: Json) -> None:
        """Tell once that a command began, or what it waits for that will not come by itself."""
        self.acknowledged[command.id] = standing["state"]
        if standing["held"] != self.held.get(command.id):
            self.held.pop(command.id, None)
            if standing["held"] is not None:
                self.held[command.id] = standing["held"]
            self.when_held()
        if standing["state"] == "started":
            self.busy[command.instrument] = f"{command.action}, experiment {command.experiment}"
            self._began(command, standing["started"])
        elif standing["message"] and self._said_of.get(command.id) is None:
            self._said_of[command.id] = "waits"
            where = f"experiment {command.experiment}, {command.instrument}.{command.action}"
            self._server.say(f"{where} waits: {standing['message']}")

    def _began(self, command: Command, moment: float | None) -> None:
        if moment is not None and self._said_of.get(command.id) != "began":
            self._said_of[command.id] = "began"
            self.when_started(command, moment)

    async def _news(self, standing: Json, again: Again) -> Json:
        if standing["question"] is not None:  # the server says so again at once, until it has the answer
            await asyncio.sleep(FIRST_WAIT / 2)
        boot = self._server.boot
        known = "" if standing["held"] is None else "&held=" + quote(standing["held"]["text"], safe="")
        try:
            path = f"/commands/{standing['command']}?wait={LONG_WAIT:g}{known}"
            return dict(await self._server.request("GET", path, boot=boot))
        except RestartedError:
            fresh = await again()
            if fresh is None:
                raise LabError(f"the lab server at {self._server.url} has lost command {standing['command']}") from None
            return fresh

    async def _in_shared_time(self, shared: SharedVirtualClock, command: Command, standing: Json, again: Again) -> Json:
        """Wait for the end of a command, counted as waiting in shared virtual time; see `sdl.clock.authority`."""
        self._look_at(command, standing)
        arrived = shared.event()
        found: list[Json | BaseException] = []

        async def poll() -> None:
            now, asking = standing, None
            try:
                while now["state"] != "finished":
                    self._know(command, now["seconds"])
                    self._look_at(command, now)
                    if now["question"] is not None and asking != now["question"]["id"]:
                        asking = now["question"]["id"]
                        self._spawn(partial(self._put, command, now["question"]))
                    now = await self._news(now, again)
                    if now["state"] != "finished":
                        self._sure_of(shared, command)
                found.append(now)
            except BaseException as error:  # noqa: BLE001  raised by whoever waits
                found.append(error)
            shared.settle(arrived)
            self._sure_of(shared, command)

        self._open.add(command.id)
        polling = self._spawn(poll)
        try:
            await shared.wait_for(arrived)
        finally:
            polling.cancel()
            self._open.discard(command.id)
        if isinstance(found[0], BaseException):
            raise found[0]
        await shared.confirmed()
        await self._server.request("POST", f"/commands/{command.id}/taken")
        return found[0]

    def _sure_of(self, shared: SharedVirtualClock, command: Command) -> None:
        if command.id in self._to_ask:
            self._to_ask.discard(command.id)
            if not self._to_ask:
                shared.handled()

    async def _put(self, command: Command, question: Json) -> None:
        """Ask the campaign's people what an action wants to know, and send the answer."""
        answer: Json = {"question": question["id"]}
        try:
            values = await self._asked(command, question)
            if values is None:
                return
            answer["values"] = values
        except InstrumentFault as fault:
            answer["fault"] = str(fault)
        except OutcomeUnknown:
            pass
        await self._server.request("POST", f"/commands/{command.id}/answer", answer)

    async def _asked(self, command: Command, question: Json) -> Json | None:
        """Ask until the campaign's ledger takes question and answer; None where the command ended meanwhile."""
        is_said = False
        while True:
            try:
                return dict(await self.ask(replace(form_of(question["form"]), command=command.id)))
            except LedgerError as error:
                if not is_said:
                    is_said = True
                    where = f"experiment {command.experiment}, {command.instrument}.{command.action}"
                    self._server.say(f"{where}: what it asks cannot be recorded ({error}); it is asked again")
            await asyncio.sleep(_AGAIN)
            if command.id not in self._followed:
                return None

    async def _fetch(self, reply: Reply) -> None:
        """Bring artefacts into the campaign's own store before the outcome counts.

        Raises:
            LedgerError: the bytes are not those whose hash the reply names.
        """
        for ref in reply.artefacts:
            data = await self._server.request("GET", f"/artefacts/{ref.sha256}", is_json=False)
            if hashlib.sha256(data).hexdigest() != ref.sha256:
                raise LedgerError(
                    f"artefact '{ref.name}' of command {reply.command} arrived with another hash than {ref.sha256}"
                )
            self._store(ref.name, data, ref.media_type)
