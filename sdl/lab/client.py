"""A lab server as the engine sees it: the same interface as an embedded lab, over HTTP.

Every request can be sent again: a command is accepted once by its id, and a result that reached the server is asked for until
it is here. So trouble of transport is never taken for an answer: the client asks on until its patience ends, and then the
command stays open in the ledger and is settled when the campaign goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from sdl.clock import RealClock
from sdl.clock.shared import SharedVirtualClock
from sdl.driver import Command, Health, Reply, SafeReport
from sdl.driver.context import nobody_to_ask
from sdl.errors import InstrumentFault, LabError, LedgerError, OutcomeUnknown, ProtocolError
from sdl.lab.connection import LONG_WAIT, PATIENCE, Connection, NotNowError, RestartedError, Say
from sdl.lab.served_plan import ServedEstimate
from sdl.lab.wire import (
    Json,
    command_json,
    command_of,
    form_of,
    health_of,
    reply_of,
    safe_report_of,
)

if TYPE_CHECKING:
    from sdl.artefacts import ArtefactRef
    from sdl.clock import Clock
    from sdl.driver.form import Ask
    from sdl.lab.interface import Progress
    from sdl.lab.plan import LabPlan

_FIRST_WAIT = 1.0
"""Real seconds of the first wait for news; after it, a command is known to be under way."""

_URGENT = 30.0
"""Real seconds for which a server is asked to abort or to make safe. Chosen: whoever asks must soon know that it cannot be."""

_BEAT = 5.0
"""Real seconds between two signs of life. Chosen."""

_FAREWELL = 10.0
"""Real seconds that the server has, when a campaign ends, to hear what people told of commands and samples. Chosen: a request
takes milliseconds, and who ends a campaign does not wait for a server that is gone."""

_TROUBLE = (httpx.HTTPError, NotNowError, LabError, ProtocolError)
"""What may come of asking a server once."""

Again = Callable[[], Awaitable[Json | None]]


class RemoteLab:
    """A lab server, for one campaign.

    Args:
        plan: the lab as the server described it, its address included.
        name: of the campaign.
        token: for the server, or None.
        store: keeps artefacts in the campaign's own ledger.
        patience: real seconds for which a server that does not answer is asked again.

    Attributes:
        clock: in step with the server's, once `open` is done.
        lost: commands of dead processes, known to the ledger, of which the server knows that nobody knows.
    """

    is_served = True

    def __init__(
        self,
        plan: LabPlan,
        name: str,
        token: str | None,
        store: Callable[[str, bytes, str], ArtefactRef],
        patience: float = PATIENCE,
    ) -> None:
        if plan.server is None:
            raise LabError(f"lab '{plan.name}' is no served lab")
        self.plan = plan
        self.url = plan.server
        self.clock: Clock = RealClock()
        self._server = Connection(self.url, token, patience, self._restarted)
        self._store = store
        self._campaign, self._name, self._epoch = "", name, 0
        self.lost: set[str] = set()
        self._ask: Ask = nobody_to_ask
        self._when_started: Callable[[Command, float], None] = lambda *_: None
        self._busy: dict[str, str] = {}
        self._said_of: dict[str, str] = {}
        self._open: set[str] = set()
        self._to_ask: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._telling: set[asyncio.Task[Any]] = set()
        self._withdrawing: asyncio.Task[Any] | None = None
        self._withdrawals = 0
        self._beating: asyncio.Task[None] | None = None

    # --- the interface of every lab ----------------------------------------------------------------------------------

    async def open(self, at_least: float | None = None) -> None:
        """Reach the server and fall into step with its clock; nothing is sent to an instrument.

        Args:
            at_least: the last moment in the campaign's ledger, or None.

        Raises:
            LabError: it cannot be reached, or lets nobody in.
            ClockError: the world that keeps virtual time does not answer.
        """
        said = await self._server.open()
        await self._keep_time(said["clock"], at_least)

    async def close(self) -> None:
        """Say goodbye; the lab goes on."""
        if self._beating is not None:
            self._beating.cancel()
        if self._telling:
            # Else an instrument would be held for good: a campaign that is done tells nothing at a next start.
            _, untold = await asyncio.wait(self._telling, timeout=_FAREWELL)
            if untold:
                self._server.say(
                    f"the lab server at {self.url} was not told what a person answered: an instrument may still be held there; "
                    "run the same command again when it answers"
                )
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            if self._epoch:
                with contextlib.suppress(*_TROUBLE):  # it notices by itself
                    await self._server.once("POST", f"/campaigns/{self._campaign}/leave", {"epoch": self._epoch})
        finally:
            await self._server.close()

    async def execute(self, command: Command, begins_sample: bool, progress: Progress | None = None) -> Reply:
        """Have a command carried out, and return the server's answer; see `Lab.execute`.

        Raises:
            ProtocolError: the server refused it; nothing was moved.
            LabError: the server does not answer for longer than this client's patience, or did not before the command was
                withdrawn, or was stopped by a person; the command stays open.
        """
        sent = {**command_json(command), "campaign": self._campaign}
        message = {"command": sent, "begins_sample": begins_sample, "digest": command.digest}
        wait = 0.0 if self._shared else _FIRST_WAIT
        wanted = self._wanted()

        async def send() -> Json:
            if not wanted():
                return await self._under_way(command)
            return dict(await self._server.request("POST", f"/commands?wait={wait:g}", message, wanted=wanted))

        return await self._reply(command, await send(), progress, send)

    async def reconcile(self, command: Command) -> Reply | None:
        """Ask the server for the outcome of a command that a dead process sent; see `Lab.reconcile`."""
        message = {"campaign": self._campaign, "epoch": command.epoch}
        wanted = self._wanted()

        async def ask() -> Json | None:
            if not wanted():
                return await self._under_way(command)
            path = f"/commands/{command.id}/settle"
            standing: Json | None = await self._server.request("POST", path, message, wanted=wanted)
            return standing

        standing = await ask()
        if standing is None:
            return None
        reply = await self._reply(command, standing, None, ask)
        return None if reply.status == "not_started" else reply

    def when_started(self, tell: Callable[[Command, float], None]) -> None:
        """Say who is told when a command begins; it is told when the server says so, which may be after the moment."""
        self._when_started = tell

    def put_questions_to(self, ask: Ask) -> None:
        """Say how a person is asked what an action wants to know."""
        self._ask = ask

    def reserve(self, commands: Iterable[tuple[str, str]]) -> None:
        """Have the server let instruments go that it keeps for commands of which nobody knew and that may be sent again.

        It keeps instruments for what it started by itself.
        """
        kept = {command for command, _ in commands}
        for command in sorted(self.lost - kept):
            self._tell(partial(self.tell_answered, command, "unknown"))

    def locate(self, samples: Mapping[str, Sequence[str]]) -> None:
        """Do nothing: the server's own log says where samples are."""
        del samples

    def answered(self, command: Command, status: str) -> None:
        """Tell the server what a person said of a command of which nobody knew."""
        self._tell(lambda: self.tell_answered(command.id, status))

    def cleared(self, sample: str) -> None:
        """Tell the server that a person took a sample out of the lab."""
        self._tell(lambda: self.tell_cleared(sample))

    async def tell_answered(self, command: str, status: str) -> None:
        """Tell what a person said of a command, and return when the server knows; said again it changes nothing."""
        await self._server.request("POST", f"/commands/{command}/answered", {"status": status})

    async def tell_cleared(self, sample: str) -> None:
        """Tell that a sample is out of the lab, and return when the server knows; said again it changes nothing."""
        await self._server.request("POST", f"/samples/{quote(sample, safe='')}/cleared")

    def withdraw(self) -> None:
        """Send away every command of this campaign that waits for an instrument.

        One that the server has not acknowledged is not sent again: a server that comes back would begin it.
        """
        self._withdrawals += 1
        self._withdrawing = self._spawn(lambda: self._for_campaign("withdraw"))

    async def abort(self) -> None:
        """Abort every running command of this campaign; see `withdraw` for those that the server has not acknowledged."""
        self._withdrawals += 1
        if self._withdrawing is not None and not self._withdrawing.done():
            # Overtaken by the abort, it would find the next one in the queue begun.
            await self._for_campaign("withdraw", _URGENT)
        await self._for_campaign("abort", _URGENT)

    async def safe_state(self) -> dict[str, SafeReport]:
        """Bring every instrument into its safe state that is not at work for another campaign."""
        said = await self._for_campaign("safe", _URGENT)
        return {name: safe_report_of(report) for name, report in said["instruments"].items()}

    async def health(self) -> dict[str, Health]:
        """Ask every instrument whether it can work."""
        said = await self._server.request("GET", "/lab/health")
        return {name: health_of(found) for name, found in said["health"].items()}

    def blocked(self) -> list[str]:
        """Return nothing: on a shared lab another campaign may make room; that a command waits for it stands in the diary."""
        return []

    def busy(self) -> dict[str, str]:
        """Return instrument → what it is doing for this campaign."""
        return dict(self._busy)

    @property
    def id(self) -> str:
        """The id of the server's command log, once open."""
        return self._server.id

    # --- of a served lab alone ---------------------------------------------------------------------------------------

    def say_to(self, say: Say) -> None:
        """Say where trouble with the server is told: the diary."""
        self._server.say = say

    async def known_epoch(self, campaign: str) -> int:
        """Return the highest epoch of a campaign that the server knows; 0 where it knows none."""
        return int((await self._server.request("GET", f"/campaigns/{campaign}"))["epoch"])

    async def take_over(self, campaign: str, epoch: int) -> None:
        """Take a campaign over: the server refuses commands of older epochs from here on.

        Args:
            campaign: its id, unique over homes.
            epoch: of this process; recorded in the ledger before.

        Raises:
            ProtocolError: another process has a newer epoch, or another campaign of that name was here.
        """
        self._campaign, self._epoch = campaign, epoch
        await self._server.request("POST", f"/campaigns/{campaign}/join", self._join())
        self._beating = asyncio.create_task(self._beat())

    async def commands_sent(self) -> list[tuple[Command, Reply | None]]:
        """Return every command of this campaign that the server ever accepted, with its reply; less those that never started."""
        records = await self._server.request("GET", f"/campaigns/{self._campaign}/commands")
        found = [
            (command_of({**r["command"], "campaign": self._name}), None if r["reply"] is None else reply_of(r["reply"]))
            for r in records
        ]
        return [(c, r) for c, r in found if r is None or r.status != "not_started"]

    # --- within ------------------------------------------------------------------------------------------------------

    @property
    def _shared(self) -> SharedVirtualClock | None:
        return self.clock if isinstance(self.clock, SharedVirtualClock) else None

    def _wanted(self) -> Callable[[], bool]:
        """Return what says whether nothing was withdrawn since."""
        before = self._withdrawals
        return lambda: self._withdrawals == before

    async def _under_way(self, command: Command) -> Json:
        """Ask how a command stands that was withdrawn, and see to it that it does not begin.

        Raises:
            LabError: the server does not know it.
        """
        await self._for_campaign("withdraw")  # a server that was started again has forgotten the first one
        try:
            return dict(await self._server.request("GET", f"/commands/{command.id}"))
        except ProtocolError as error:
            raise LabError(f"{error}; it is not sent again after it was withdrawn, and stays open") from error

    def _join(self) -> Json:
        return {"name": self._name, "epoch": self._epoch, "at_least": self.clock.now()}

    async def _keep_time(self, said: Json, at_least: float | None) -> None:
        if said["type"] == "virtual":
            from sdl.world import address_of, campaign_actor

            self.clock = await SharedVirtualClock.connect(
                *address_of(str(said["world"])), campaign_actor(self._name), at_least
            )
        elif said["type"] == "scaled":
            # Both machines' clocks tell the same time, as well as their synchronisation does it.
            start = float(said["lab"]) + (time.time() - float(said["unix"])) * float(said["factor"])
            clock = RealClock(float(said["factor"]), start)
            if at_least is not None:
                clock.not_before(at_least)
            self.clock = clock

    async def _reply(self, command: Command, standing: Json, progress: Progress | None, again: Again) -> Reply:
        """Ask until the command is finished, and return its reply once all its artefacts are here.

        Args:
            command: which.
            standing: how it stood when it was sent.
            progress: told how far it is.
            again: sends it again: a server that was restarted goes on with what it had accepted when it is asked to.
        """
        shared, asking = self._shared, None
        try:
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
            self._know(command, standing["seconds"])
            reply = reply_of(standing["reply"])
            await self._fetch(reply)
            self._began(command, reply.started)
            return reply
        finally:
            self._busy.pop(command.instrument, None)
            self._said_of.pop(command.id, None)

    def _know(self, command: Command, seconds: float | None) -> None:
        """Keep how long the action takes: who asks for it later must not wait for the server."""
        estimate = self.plan.instruments[command.instrument].description.actions[command.action].estimate
        if isinstance(estimate, ServedEstimate) and seconds is not None:
            estimate.know(command.arguments, seconds)

    def _look_at(self, command: Command, standing: Json) -> None:
        """Tell once that a command began, or what it waits for that will not come by itself."""
        if standing["state"] == "started":
            self._busy[command.instrument] = f"{command.action}, experiment {command.experiment}"
            self._began(command, standing["started"])
        elif standing["message"] and self._said_of.get(command.id) is None:
            self._said_of[command.id] = "waits"
            where = f"experiment {command.experiment}, {command.instrument}.{command.action}"
            self._server.say(f"{where} waits: {standing['message']}")

    def _began(self, command: Command, moment: float | None) -> None:
        if moment is not None and self._said_of.get(command.id) != "began":
            self._said_of[command.id] = "began"
            self._when_started(command, moment)

    async def _news(self, standing: Json, again: Again) -> Json:
        if standing["question"] is not None:  # the server says so again at once, until it has the answer
            await asyncio.sleep(_FIRST_WAIT / 2)
        boot = self._server.boot
        try:
            return dict(
                await self._server.request("GET", f"/commands/{standing['command']}?wait={LONG_WAIT:g}", boot=boot)
            )
        except RestartedError:
            fresh = await again()
            if fresh is None:
                raise LabError(f"the lab server at {self.url} has lost command {standing['command']}") from None
            return fresh

    async def _in_shared_time(self, shared: SharedVirtualClock, command: Command, standing: Json, again: Again) -> Json:
        """Wait for the end of a command, counted as waiting in shared virtual time; see `sdl.clock.authority`."""
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

    async def _restarted(self) -> None:
        """Let a server that was started again know who is there, and since when."""
        if self._epoch:
            if self._shared is not None:
                await self._unsure(self._shared)
            await self._server.once("POST", f"/campaigns/{self._campaign}/join", self._join())

    async def _unsure(self, shared: SharedVirtualClock) -> None:
        """Count as working until it is known of every open command how it stands at a server that was started again."""
        if self._open and not self._to_ask:
            self._to_ask = set(self._open)
            shared.received()
            await shared.confirmed()

    def _sure_of(self, shared: SharedVirtualClock, command: Command) -> None:
        if command.id in self._to_ask:
            self._to_ask.discard(command.id)
            if not self._to_ask:
                shared.handled()

    async def _put(self, command: Command, question: Json) -> None:
        """Ask the campaign's people what an action wants to know, and send the answer."""
        answer: Json = {"question": question["id"]}
        try:
            answer["values"] = dict(await self._ask(form_of(question["form"])))
        except InstrumentFault as fault:
            answer["fault"] = str(fault)
        except OutcomeUnknown:
            pass
        await self._server.request("POST", f"/commands/{command.id}/answer", answer)

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

    async def _for_campaign(self, what: str, patience: float | None = None) -> Any:  # noqa: ANN401  JSON
        path = f"/campaigns/{self._campaign}/{what}"
        return await self._server.request("POST", path, {"epoch": self._epoch}, patience=patience)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            with contextlib.suppress(*_TROUBLE):  # commands under way tell the trouble
                await self._server.once("POST", f"/campaigns/{self._campaign}/here", {"epoch": self._epoch})

    def _tell(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Tell the server what it must know even where the campaign ends right after."""
        task = self._spawn(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def _spawn(self, work: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        async def guarded() -> Any:  # noqa: ANN401
            try:
                return await work()
            except _TROUBLE as error:
                self._server.say(f"lab server: {error}")

        task = asyncio.ensure_future(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
