"""A lab server as the engine sees it: the same interface as an embedded lab, over HTTP.

Every request can be sent again: a command is accepted once by its id, and a result that reached the server is asked for until
it is here. So trouble of transport is never taken for an answer: the client asks on until its patience ends, and then the
command stays open in the ledger and is settled when the campaign goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from sdl.clock import RealClock
from sdl.clock.shared import SharedVirtualClock
from sdl.driver import Command, Health, Reply, SafeReport
from sdl.errors import LabError, ProtocolError
from sdl.lab.connection import PATIENCE, Connection, NotNowError, Say, UnwantedError
from sdl.lab.following import FIRST_WAIT, Following
from sdl.lab.older_log import knows_less, older_log, states_of
from sdl.lab.wire import Json, command_json, command_of, health_of, reply_of, safe_report_of

if TYPE_CHECKING:
    from sdl.artefacts import ArtefactRef
    from sdl.clock import Clock
    from sdl.driver.form import Ask
    from sdl.lab.interface import Progress
    from sdl.lab.plan import LabPlan

_URGENT = 30.0
"""Real seconds for which a server is asked to abort or to make safe. Chosen: whoever asks must soon know that it cannot be."""

_BEAT = 5.0
"""Real seconds between two signs of life. Chosen."""

_FAREWELL = 10.0
"""Real seconds that the server has, when a campaign ends, to hear what people told of commands and samples. Chosen: a request
takes milliseconds, and who ends a campaign does not wait for a server that is gone."""

_TROUBLE = (httpx.HTTPError, NotNowError, LabError, ProtocolError)
"""What may come of asking a server once."""


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
        doubtful: commands of dead processes → why it is not enough that the server does not know them: where it says so, nobody
            knows what became of them.
        disputed: commands of dead processes → why a person must say whether they were this campaign's, once they have ended.
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
        self._following = Following(self._server, plan, store, self._spawn)
        self._campaign, self._name, self._epoch, self._is_joined = "", name, 0, False
        self.lost: set[str] = set()
        self.doubtful: dict[str, str] = {}
        self.disputed: dict[str, str] = {}
        self._told: set[str] = set()
        self._unacknowledged: dict[str, Json] = {}
        self._refusable: set[str] = set()
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
                    await self._leave()
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
        wait = 0.0 if self._shared else FIRST_WAIT
        wanted = self._wanted()

        async def send() -> Json:
            if not wanted():
                return await self._under_way(command, message)
            self._unacknowledged[command.id] = message
            try:
                return dict(await self._server.request("POST", f"/commands?wait={wait:g}", message, wanted=wanted))
            except UnwantedError:
                if command.id not in self._refusable:
                    raise
                return await self._under_way(command, message)  # the server has heard that it is withdrawn
            finally:
                self._unacknowledged.pop(command.id, None)

        async def again() -> Json:
            return await (self._go_on(command) if wanted() else self._under_way(command))

        return await self._following.reply(command, await send(), progress, again)

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
            why = self.doubtful.get(command.id)
            return None if why is None else Reply(command.id, "unknown", error=why)
        reply = await self._following.reply(command, standing, None, ask)
        if command.id in self.disputed and reply.status != "not_started":
            ended = f"ended: {reply.status} {dict(reply.values) or ''}".rstrip()
            error = f"{self.disputed[command.id]}; it {ended}{'' if reply.error is None else f' ({reply.error})'}"
            return Reply(command.id, "unknown", error=error, simulated=reply.simulated)
        return None if reply.status == "not_started" else reply

    def when_started(self, tell: Callable[[Command, float], None]) -> None:
        """Say who is told when a command begins; it is told when the server says so, which may be after the moment."""
        self._following.when_started = tell

    def put_questions_to(self, ask: Ask) -> None:
        """Say how a person is asked what an action wants to know."""
        self._following.ask = ask

    def reserve(self, commands: Iterable[tuple[str, str]]) -> None:
        """Have the server let instruments go that it keeps for commands of which nobody knew and that may be sent again.

        It keeps instruments for what it started by itself.
        """
        kept = {command for command, _ in commands}
        for command in sorted(self.lost - kept):
            self._told.add(command)
            self._tell(partial(self.tell_answered, command, "unknown"))

    def locate(self, samples: Mapping[str, Sequence[str]], coming: Collection[str] = ()) -> None:
        """Do nothing: the server's own log says where samples are."""
        del samples, coming

    def answered(self, command: Command, status: str) -> None:
        """Tell the server what a person said of a command of which nobody knew."""
        self._told.add(command.id)
        if command.id not in self.doubtful:  # else the server does not know it
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
        """Send away every command of this campaign that waits for an instrument, or is still on its way.

        One that the server has not acknowledged is not sent again: a server that comes back would begin it.
        """
        self._withdrawals += 1
        self._withdrawing = self._spawn(lambda: self._send_away("withdraw"))

    async def abort(self) -> None:
        """Withdraw every command of this campaign, and abort those that run."""
        self._withdrawals += 1
        await self._send_away("abort", _URGENT)

    async def safe_state(self) -> dict[str, SafeReport]:
        """Bring every instrument into its safe state that is not at work for another campaign."""
        said = await self._for_campaign("safe", _URGENT)
        return {name: safe_report_of(report) for name, report in said["instruments"].items()}

    async def health(self) -> dict[str, Health]:
        """Ask every instrument whether it can work."""
        said = await self._server.request("GET", "/lab/health")
        return {name: health_of(found) for name, found in said["health"].items()}

    def blocked(self) -> list[str]:
        """Return in words what each command of this campaign waits for, where the server says that only a person can end that.

        Room that another campaign may make is none of it; that a command waits for it stands in the diary.
        """
        return [held["text"] for held in self._following.held.values() if held["by"] not in self._told]

    def busy(self) -> dict[str, str]:
        """Return instrument → what it is doing for this campaign."""
        return dict(self._following.busy)

    @property
    def id(self) -> str:
        """The id of the server's command log, once open."""
        return self._server.id

    @property
    def boot(self) -> str:
        """The server's life, as its last answer told."""
        return self._server.boot

    # --- of a served lab alone ---------------------------------------------------------------------------------------

    def say_to(self, say: Say) -> None:
        """Say where trouble with the server is told: the diary."""
        self._server.say = say

    def when_held(self, tell: Callable[[], None]) -> None:
        """Say who is told when `blocked` has changed."""
        self._following.when_held = tell

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
        self._is_joined = True
        self._beating = asyncio.create_task(self._beat())

    async def commands_sent(self) -> list[tuple[Command, Reply | None]]:
        """Return every command of this campaign that the server ever accepted, with its reply; less those that never started."""
        found = [
            (command_of({**r["command"], "campaign": self._name}), None if r["reply"] is None else reply_of(r["reply"]))
            for r in await self._server.request("GET", f"/campaigns/{self._campaign}/commands")
        ]
        return [(c, r) for c, r in found if r is None or r.status != "not_started"]

    async def known_states(self, campaign: str) -> dict[str, tuple[str, list[float]]]:
        """Return command id → (state, moments of lab time at which it was written) of a campaign's commands in the server's log.

        A state is `accepted`, `started` or `finished`.
        """
        records = await self._server.request("GET", f"/campaigns/{campaign}/commands")
        written = ("accepted", "started", "finished")
        return {r["command"]["id"]: (r["state"], [r[w] for w in written if r[w] is not None]) for r in records}

    # --- within ------------------------------------------------------------------------------------------------------

    @property
    def _shared(self) -> SharedVirtualClock | None:
        return self.clock if isinstance(self.clock, SharedVirtualClock) else None

    def _wanted(self) -> Callable[[], bool]:
        """Return what says whether nothing was withdrawn since."""
        before = self._withdrawals
        return lambda: self._withdrawals == before

    async def _under_way(self, command: Command, message: Json | None = None) -> Json:
        """Ask how a command stands that was withdrawn, and see to it that it does not begin.

        Args:
            command: which.
            message: as it would be sent, or None where another process sent it.

        Raises:
            LabError: the server does not know it.
        """
        await self._send_away("withdraw", also=message)  # a server that was started again has forgotten the first one
        try:
            return dict(await self._server.request("GET", f"/commands/{command.id}"))
        except ProtocolError as error:
            raise LabError(f"{error}; it is not sent again after it was withdrawn, and stays open") from error

    async def _go_on(self, command: Command) -> Json:
        """Have a server that was started again go on with a command that it acknowledged; never send that again.

        Raises:
            LabError: it does not know it.
        """
        message = {"campaign": self._campaign, "epoch": command.epoch}
        try:
            standing = await self._server.request("POST", f"/commands/{command.id}/settle", message)
        except ProtocolError as error:
            raise LabError(f"{older_log(self.url)} ({error})") from error
        if standing is None:
            raise LabError(f"{older_log(self.url)} (it does not know command {command.id})")
        return dict(standing)

    async def _send_away(self, how: str, patience: float | None = None, also: Json | None = None) -> None:
        """Withdraw or abort; whatever may be on its way is named, so that it cannot begin when it arrives late."""
        sent = {m["command"]["id"]: m for m in [*self._unacknowledged.values(), *([] if also is None else [also])]}
        message = {"epoch": self._epoch, "commands": list(sent.values())}
        await self._server.request("POST", f"/campaigns/{self._campaign}/{how}", message, patience=patience)
        self._refusable |= sent.keys()

    def _join(self) -> Json:
        return {"name": self._name, "epoch": self._epoch, "at_least": self.clock.now()}

    async def _keep_time(self, said: Json, at_least: float | None) -> None:
        if said["type"] == "virtual":
            from sdl.world import address_of, campaign_actor

            self.clock = await SharedVirtualClock.connect(
                *address_of(str(said["world"])), campaign_actor(self._name), at_least
            )
            self._following.shared = self.clock
        elif said["type"] == "scaled":
            # Both machines' clocks tell the same time, as well as their synchronisation does it.
            start = float(said["lab"]) + (time.time() - float(said["unix"])) * float(said["factor"])
            clock = RealClock(float(said["factor"]), start)
            if at_least is not None:
                clock.not_before(at_least)
            self.clock = clock

    async def _restarted(self) -> None:
        """Let a server that was started again know who is there, and since when."""
        if self._epoch:
            if self._shared is not None:
                await self._following.unsure(self._shared)
            try:
                await self._require_whole()
            except LabError:
                if self._shared is not None:
                    self._following.refused(self._shared)
                with contextlib.suppress(*_TROUBLE):  # it waits for this campaign with the time that all share
                    await self._leave()
                raise
            await self._server.once("POST", f"/campaigns/{self._campaign}/join", self._join(), in_between=True)

    async def _leave(self) -> None:
        path = f"/campaigns/{self._campaign}/leave"
        await self._server.once("POST", path, {"epoch": self._epoch}, in_between=True)

    async def _require_whole(self) -> None:
        """Refuse a server that was started again on a command log that knows less than it told this process.

        Raises:
            LabError: it knows less.
        """
        path = f"/campaigns/{self._campaign}"
        epoch = int((await self._server.once("GET", path, in_between=True))["epoch"])
        states = states_of(await self._server.once("GET", f"{path}/commands", in_between=True))
        told = self._following.acknowledged.items()
        if (epoch < self._epoch and self._is_joined) or any(knows_less(states.get(c), state) for c, state in told):
            raise LabError(older_log(self.url))

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
