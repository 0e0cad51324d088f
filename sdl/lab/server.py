"""The lab server without its door: one embedded lab, a durable command log, and the campaigns that share both.

A command goes accepted (committed) → queue → started (committed) → driver → finished (committed) → reply. Its campaign may die
at any of these points and ask again; the server may die at any of them and settles what stands open when it starts again.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from sdl.clock import RealClock
from sdl.clock.shared import SharedVirtualClock
from sdl.driver import Command, Reply, SafeReport
from sdl.errors import LabError, LedgerError, ProtocolError
from sdl.lab.embedded import EmbeddedLab
from sdl.lab.jobs import Standing, said
from sdl.lab.keeping import Keeping
from sdl.lab.log import MemoryLog, digest_of_command, refuse_old, refuse_old_epoch, refuse_repeated
from sdl.lab.presence import Presence
from sdl.lab.sql_log import SqlLog
from sdl.lab.stopping import Stopping
from sdl.lab.watch import Watch
from sdl.lab.whereabouts import whereabouts
from sdl.lab.work import Work
from sdl.world import RemoteWorld, campaign_actor

if TYPE_CHECKING:
    from pathlib import Path

    from sdl.artefacts import ArtefactStore
    from sdl.clock import Clock
    from sdl.lab.log import Record
    from sdl.lab.plan import LabPlan
    from sdl.world import World

_log = logging.getLogger("sdl.lab.server")

WITHDRAWN = "withdrawn before it arrived"
"""Why a command is not started that was withdrawn while it was on its way."""


class LabServer:
    """Carries out commands of several campaigns, and remembers them.

    Args:
        plan: the lab.
        clock: its time.
        store: keeps artefacts.
        log: of commands.
        world: the simulated truth, or None.
        locks: folder of the locks by which instruments belong to one process.

    Attributes:
        boot: a random name of this life of the server.
        idle: set while no command is carried out.
        failed: set when shared virtual time is gone, and nothing can go on.
        work: what is carried out.
        stopping: by which a person stops the lab.
    """

    def __init__(
        self,
        plan: LabPlan,
        clock: Clock,
        store: ArtefactStore,
        log: SqlLog | MemoryLog,
        world: World | None = None,
        locks: Path | None = None,
    ) -> None:
        self.plan = plan
        self.clock = clock
        self.store = store
        self.log = log
        keeping = Keeping(store)
        self.lab = EmbeddedLab(plan, clock, keeping.put, world, locks, log, claims_all=True, holds_lost=True)
        self.presence = Presence()
        self.work = Work(self.lab, log, keeping, self.presence)
        self.boot = uuid.uuid4().hex
        self.stopping = Stopping(self.lab, log, self.work)
        self.failed = self.work.failed
        self.idle = self.work.idle
        self._shared = clock if isinstance(clock, SharedVirtualClock) else None
        self._refused: dict[str, tuple[Command, bool]] = {}
        self._last_user: dict[str, str] = {}
        self._world = world
        self._missing: dict[str, AbstractContextManager[None]] = {}
        self._watching: list[asyncio.Task[None]] = []

    @property
    def id(self) -> str:
        """The id of the command log: a campaign goes on only on the log to which it sent commands."""
        return self.log.id if isinstance(self.log, SqlLog) else self.boot

    # --- its life ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect every instrument, and ask those that were at work when the last server died.

        Raises:
            DriverError: an instrument does not answer.
            NameInUseError: an instrument belongs to another process.
        """
        await self.lab.open()
        if self.stopping.stopped is not None:
            _log.warning("lab '%s' stays %s", self.plan.name, self.stopping.stopped)
            self.stopping.answer_unsent(lambda _: True)
        if isinstance(self.log, SqlLog):
            found = whereabouts(self.log)
            self.lab.locate(found.places, found.coming)
            for sample, campaign in found.owners.items():
                self.work.holding.knows([sample], campaign)
            for lost in self.log.lost():
                self.lab.reserve([(lost.command.id, lost.command.instrument)])
                self.work.holding.lost(lost.command)
        started = [r for r in self.log.unfinished() if r.state == "started"]
        self.lab.reserve((r.command.id, r.command.instrument) for r in started)
        for record in started:
            _log.warning("%s was under way when the server died: the driver is asked", said(record.command))
            self._last_user[record.command.instrument] = record.command.campaign
            self.presence.seen(record.command.campaign)
            self.work.settle(record)
        if self._shared is not None:
            self._hold_time(self._shared)
        if any(p.safe_after is not None for p in self.plan.instruments.values()):
            watch = Watch(self.lab, self.presence, self._name, self._last_user, self.work.send_away)
            self._watching.append(asyncio.create_task(watch.run()))
        self._watching.append(asyncio.create_task(self.work.look_again_and_again()))

    def stop(self) -> list[str]:
        """Accept nothing more and start nothing more; returns what is still under way, in words."""
        self.work.is_stopping = True
        for job in list(self.work.jobs.values()):
            if self.work.is_waiting(job) and job.task is not None:
                job.task.cancel()  # it stays accepted in the log, and may start when the server is back
            job.tell()
        return [said(c) for c in self.lab.under_way()]

    async def close(self) -> None:
        """Let go of every instrument; commands under way stay started in the log and are settled at the next start."""
        self.work.is_stopping = True
        for watching in self._watching:
            watching.cancel()
        await self.work.end()
        await self.lab.close()

    # --- campaigns ---------------------------------------------------------------------------------------------------

    def epoch_of(self, campaign: str) -> int:
        """Return the highest epoch that is known of a campaign; 0 where it is not known."""
        return next((c.epoch for c in self.log.campaigns() if c.id == campaign), 0)

    def join(self, campaign: str, name: str, epoch: int, at_least: float | None = None) -> None:
        """Let a process take a campaign over; commands of older epochs are refused from here on.

        Args:
            campaign: its id, unique over homes.
            name: its name.
            epoch: of the process.
            at_least: the last moment in its ledger; scaled time goes on no earlier.

        Raises:
            ProtocolError: a newer epoch is known, or another campaign of that name has used its samples' names here.
        """
        for known in self.log.campaigns():
            if known.name == name and known.id != campaign and self.log.records(known.id):
                raise ProtocolError(
                    f"another campaign named '{name}' (of another home, or one whose ledger is gone) has worked with samples "
                    f"named '{name}-0001' and so on in lab '{self.plan.name}'; choose another --name"
                )
        self.log.raise_epoch(campaign, name, epoch)
        if at_least is not None and isinstance(self.clock, RealClock):
            self.clock.not_before(at_least)
        self.presence.seen(campaign)
        for job in list(self.work.jobs.values()):  # whoever asks for these now is told at once
            if job.command.campaign == campaign and job.reply is not None:
                self.work.forget(job)
        self._miss_no_more(campaign)

    def _miss_no_more(self, campaign: str) -> None:
        """Let shared time pass again, as far as it was held for a campaign that was here before a restart."""
        if campaign in self._missing:
            self._missing.pop(campaign).__exit__(None, None, None)

    def here(self, campaign: str, epoch: int) -> None:
        """Note that a campaign's process lives.

        Raises:
            ProtocolError: another process has taken the campaign over.
        """
        refuse_old_epoch(self._name(campaign), epoch, self.epoch_of(campaign))
        self.presence.seen(campaign)

    def leave(self, campaign: str, epoch: int) -> None:
        """Note that a campaign's process ended as it should: nothing is made safe on its behalf."""
        self.here(campaign, epoch)
        self.presence.left(campaign)
        self._miss_no_more(campaign)  # one that refuses this server's log leaves without having joined again
        self.work.look()

    def withdraw(self, campaign: str, epoch: int, sent: Sequence[tuple[Command, bool]] = ()) -> int:
        """Send away every command of a campaign that waits for an instrument; returns how many.

        Args:
            campaign: whose.
            epoch: of the process that asks.
            sent: commands of which it does not know whether they arrived, each with whether it begins a sample. One that is not
                here is answered as not started, for good: should it still come, it is told that.

        Raises:
            ProtocolError: another process has taken the campaign over.
            LedgerError: the log cannot be written; nothing of all this begins, as long as the server lives.
        """
        self.here(campaign, epoch)
        count = self.work.send_away(lambda c: c.campaign == campaign)
        for command, begins_sample in sent:
            if command.campaign == campaign and not self.log.knows(command.id):
                self._refused[command.id] = (command, begins_sample)
        for command, _ in sent:
            if command.id in self._refused:
                self._refuse(command.id)
                count += 1
        return count + self.stopping.answer_unsent(lambda c: c.campaign == campaign)

    def _refuse(self, command: str) -> None:
        """Write down that a command which did not arrive is not started.

        Raises:
            LedgerError: the log cannot be written.
        """
        refused, begins_sample = self._refused[command]
        reply = Reply(command, "not_started", error=WITHDRAWN)
        self.log.refused(refused, begins_sample, reply, self.clock.now())
        del self._refused[command]

    async def abort(self, campaign: str, epoch: int, sent: Sequence[tuple[Command, bool]] = ()) -> None:
        """Withdraw a campaign's waiting commands, then abort its running ones; those of others go on.

        Args:
            campaign: whose.
            epoch: of the process that asks.
            sent: see `withdraw`.

        Raises:
            LedgerError: all that was done, but the log cannot be written; see `withdraw`.
        """
        unwritten: LedgerError | None = None
        try:
            self.withdraw(campaign, epoch, sent)  # else the next one in the queue would begin
        except LedgerError as error:  # a full disk must not keep anything from being aborted
            unwritten = error
        await self.lab.abort(lambda c: c.campaign == campaign)
        if unwritten is not None:
            raise unwritten

    async def safe_state(self, campaign: str, epoch: int) -> dict[str, SafeReport]:
        """Bring every instrument into its safe state that is not at work for another campaign."""
        self.here(campaign, epoch)
        others = {c.instrument: c for c in self.lab.under_way() if c.campaign != campaign}
        reports = await self.lab.safe_state([n for n in self.plan.instruments if n not in others])
        for name, command in others.items():
            reports[name] = SafeReport(
                confirmed=False, message=f"left alone: at work for another campaign ({said(command)})"
            )
        return reports

    # --- commands ----------------------------------------------------------------------------------------------------

    def submit(self, command: Command, begins_sample: bool) -> Standing:
        """Accept a command and queue it, or say how one of this id stands: it is carried out once.

        Raises:
            ProtocolError: the id is known with another digest or campaign, the epoch is old, or the lab cannot do it.
            LabError: the server is about to end, or a person stopped the lab: it accepts nothing.
        """
        self.presence.seen(command.campaign)
        record = self.log.record(command.id)
        if record is None:
            if self.work.is_stopping:
                raise LabError(f"the server of lab '{self.plan.name}' is about to end and accepts no command")
            if command.id in self._refused:
                self._refuse(command.id)
                return self.work.standing(command.id)
            self.stopping.refuse(command)
            self.lab.accept(command, begins_sample)
            self.work.holding.knows(command.samples, command.campaign)
            self.work.spawn(command, begins_sample)
        else:
            refuse_old(command, self.epoch_of(command.campaign))
            digest = digest_of_command(command)
            if digest != record.digest or command.campaign != record.command.campaign:
                refuse_repeated(command, digest, record.digest if digest != record.digest else "of another campaign")
            self._go_on(record)
        return self.work.standing(command.id)

    def settle(self, command: str, campaign: str, epoch: int) -> Standing | None:
        """Go on with a command that a dead process of a campaign sent; None where it never came, and no longer can.

        Raises:
            ProtocolError: the campaign was not taken over by a newer epoch yet, so that the command could still come.
        """
        self.presence.seen(campaign)
        record = self.log.record(command)
        if record is not None:
            self._go_on(record)
            return self.work.standing(command)
        if self.epoch_of(campaign) <= epoch:
            raise ProtocolError(
                f"command {command} of epoch {epoch} is not known here, but could still come: take the campaign over first"
            )
        return None

    def answered(self, command: str, status: str) -> None:
        """Go on after a person said what became of a command of which nobody knew; see `Lab.answered`.

        Raises:
            KeyError: the id was never accepted.
        """
        record = self.log.record(command)
        if record is None:
            raise KeyError(command)
        if record.is_lost:
            self.log.answered(command, status)
            self.work.holding.told(record.command)
            self.lab.answered(record.command, status)
            self.work.look()

    def cleared(self, sample: str) -> None:
        """Free the room of a sample that a person took away."""
        if self.lab.places.where(sample) is not None:
            if isinstance(self.log, SqlLog):
                self.log.clear(sample)
            self.lab.cleared(sample)

    async def message(self) -> Callable[[], None]:
        """Count as working in shared virtual time while a message is handled; returns what to call when it is."""
        if self._shared is None:
            return lambda: None
        self._shared.received()
        await self._shared.confirmed()
        return self._shared.handled

    # --- within ------------------------------------------------------------------------------------------------------

    def _name(self, campaign: str) -> str:
        return next((c.name for c in self.log.campaigns() if c.id == campaign), campaign)

    def _hold_time(self, shared: SharedVirtualClock) -> None:
        """Let no shared time pass before every campaign that was here knows of the restart, and go on with what was accepted."""
        actors = self._world.actors() if isinstance(self._world, RemoteWorld) else {}
        with shared.actor():
            for known in self.log.campaigns():
                if campaign_actor(known.name) in actors:
                    self._missing[known.id] = shared.actor()
                    self._missing[known.id].__enter__()
            for record in self.log.unfinished():
                self._go_on(record)

    def _go_on(self, record: Record) -> None:
        """Take up again what no task of this life of the server works on."""
        if record.state == "finished" or record.command.id in self.work.jobs:
            return
        if self.work.is_stopping:
            raise LabError(f"the server of lab '{self.plan.name}' is about to end and starts nothing")
        if record.state == "accepted":
            self.stopping.refuse(record.command)
            self.work.spawn(record.command, record.begins_sample)
        else:
            self.work.settle(record)
