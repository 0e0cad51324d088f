"""The lab server without its door: one embedded lab, a durable command log, and the campaigns that share both.

A command goes accepted (committed) → queue → started (committed) → driver → finished (committed) → reply. Its campaign may die
at any of these points and ask again; the server may die at any of them and settles what stands open when it starts again.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sdl.clock import RealClock
from sdl.clock.shared import SharedVirtualClock
from sdl.driver import Command, Form, Reply, SafeReport
from sdl.errors import ClockError, InstrumentFault, LabError, LedgerError, OutcomeUnknown, ProtocolError
from sdl.lab.embedded import EmbeddedLab
from sdl.lab.jobs import Job, Question, Standing, said
from sdl.lab.log import MemoryLog, digest_of_command, refuse_old, refuse_old_epoch, refuse_repeated
from sdl.lab.presence import Presence
from sdl.lab.sql_log import SqlLog
from sdl.lab.stop import Stop, StoppedError
from sdl.lab.watch import Watch
from sdl.world import RemoteWorld, campaign_actor

if TYPE_CHECKING:
    from pathlib import Path

    from sdl.artefacts import ArtefactStore
    from sdl.clock import Clock
    from sdl.lab.log import Record
    from sdl.lab.plan import LabPlan
    from sdl.world import World

_log = logging.getLogger("sdl.lab.server")

_AGAIN = 1.0
"""Seconds between two attempts to commit a reply while the disk refuses it. Chosen."""


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
        stopped: that a person stopped the lab, or None.
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
        self.lab = EmbeddedLab(plan, clock, store.put, world, locks, log, claims_all=True, holds_lost=True)
        self.lab.put_questions_of_commands_to(self._asker)
        self.presence = Presence()
        self.boot = uuid.uuid4().hex
        self.is_stopping = False
        self.stopped = log.stop
        self.failed = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self._shared = clock if isinstance(clock, SharedVirtualClock) else None
        self._jobs: dict[str, Job] = {}
        self._last_user: dict[str, str] = {}
        self._world = world
        self._missing: dict[str, AbstractContextManager[None]] = {}
        self._watching: asyncio.Task[None] | None = None

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
        if self.stopped is not None:
            _log.warning("lab '%s' stays %s", self.plan.name, self.stopped)
            self._answer_unsent(lambda _: True)
        if isinstance(self.log, SqlLog):
            self._locate(self.log)
            self.lab.reserve((r.command.id, r.command.instrument) for r in self.log.lost())
        started = [r for r in self.log.unfinished() if r.state == "started"]
        self.lab.reserve((r.command.id, r.command.instrument) for r in started)
        for record in started:
            _log.warning("%s was under way when the server died: the driver is asked", said(record.command))
            self._last_user[record.command.instrument] = record.command.campaign
            self.presence.seen(record.command.campaign)
            self._settle(record)
        if self._shared is not None:
            self._hold_time(self._shared)
        if any(p.safe_after is not None for p in self.plan.instruments.values()):
            self._watching = asyncio.create_task(
                Watch(self.lab, self.presence, self._name, self._last_user, self._send_away).run()
            )

    def stop(self) -> list[str]:
        """Accept nothing more and start nothing more; returns what is still under way, in words."""
        self.is_stopping = True
        for job in list(self._jobs.values()):
            if self._is_waiting(job) and job.task is not None:
                job.task.cancel()  # it stays accepted in the log, and may start when the server is back
            job.tell()
        return [said(c) for c in self.lab.under_way()]

    async def close(self) -> None:
        """Let go of every instrument; commands under way stay started in the log and are settled at the next start."""
        self.is_stopping = True
        if self._watching is not None:
            self._watching.cancel()
        tasks = [j.task for j in self._jobs.values() if j.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in self._jobs.values():
            job.tell()
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
        for job in list(self._jobs.values()):  # whoever asks for these now is told at once
            if job.command.campaign == campaign and job.reply is not None:
                self._forget(job)
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

    def withdraw(self, campaign: str, epoch: int) -> int:
        """Send away every command of a campaign that waits for an instrument; returns how many."""
        self.here(campaign, epoch)
        return self._send_away(lambda c: c.campaign == campaign) + self._answer_unsent(lambda c: c.campaign == campaign)

    def _send_away(self, wanted: Callable[[Command], bool]) -> int:
        waiting = [j for j in self._jobs.values() if wanted(j.command) and self._is_waiting(j)]
        for job in waiting:
            job.is_withdrawn = True
            if job.task is not None and job.is_begun:  # one that never began could not say that it was cancelled
                job.task.cancel()
        return len(waiting)

    def _answer_unsent(self, wanted: Callable[[Command], bool]) -> int:
        """Answer as not started what an earlier life of the server accepted and nobody asked for since; returns how many.

        Raises:
            LedgerError: the log cannot be written; they stay accepted, and nothing has moved.
        """
        left = [r for r in self.log.unfinished() if r.state == "accepted" and r.command.id not in self._jobs]
        left = [r for r in left if wanted(r.command)]
        for record in left:
            self.log.finished(
                Reply(record.command.id, "not_started", error="withdrawn from the queue"), self.clock.now()
            )
        return len(left)

    async def abort(self, campaign: str, epoch: int) -> None:
        """Abort every running command of a campaign; those of others go on."""
        self.here(campaign, epoch)
        await self.lab.abort(lambda c: c.campaign == campaign)

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

    async def all_safe(self, who: str) -> dict[str, SafeReport]:
        """Stop the lab: abort everything, make every instrument safe, and let no command begin before `release`.

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
            self.log.set_stop(self.stopped)
        except LedgerError as error:  # a full disk must not keep a lab from being stopped
            unwritten = error
        self._send_away(lambda _: True)  # else the next in the queue would begin as soon as one is aborted
        try:
            self._answer_unsent(lambda _: True)
        except LedgerError as error:
            _log.error("what waits unasked for stays accepted in the log: %s", error)
        await self.lab.abort()
        reports = await self.lab.safe_state()
        if unwritten is not None:
            said = "; ".join(f"{n} {'confirmed' if r.confirmed else 'NOT confirmed'}" for n, r in reports.items())
            raise LedgerError(
                f"lab '{self.plan.name}' is stopped (safe states: {said}), but only until its server ends: {unwritten}"
            ) from unwritten
        return reports

    def release(self, who: str) -> Stop | None:
        """Let commands begin again after `all_safe`; returns how it was stopped, or None where it was not.

        Raises:
            LedgerError: the command log cannot be written; the lab stays stopped.
        """
        stopped = self.stopped
        if stopped is not None:
            self.log.set_stop(None)
            self.stopped = None
            _log.warning("lab '%s', %s, is released by %s", self.plan.name, stopped, who)
        return stopped

    def _refuse_stopped(self, command: Command) -> None:
        if self.stopped is not None:
            raise StoppedError(f"lab '{self.plan.name}' was {self.stopped}; command {command.id} was not started")

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
            if self.is_stopping:
                raise LabError(f"the server of lab '{self.plan.name}' is about to end and accepts no command")
            self._refuse_stopped(command)
            self.lab.accept(command, begins_sample)
            self._spawn(command, begins_sample)
        else:
            refuse_old(command, self.epoch_of(command.campaign))
            digest = digest_of_command(command)
            if digest != record.digest or command.campaign != record.command.campaign:
                refuse_repeated(command, digest, record.digest if digest != record.digest else "of another campaign")
            self._go_on(record)
        return self.standing(command.id)

    def settle(self, command: str, campaign: str, epoch: int) -> Standing | None:
        """Go on with a command that a dead process of a campaign sent; None where it never came, and no longer can.

        Raises:
            ProtocolError: the campaign was not taken over by a newer epoch yet, so that the command could still come.
        """
        self.presence.seen(campaign)
        record = self.log.record(command)
        if record is not None:
            self._go_on(record)
            return self.standing(command)
        if self.epoch_of(campaign) <= epoch:
            raise ProtocolError(
                f"command {command} of epoch {epoch} is not known here, but could still come: take the campaign over first"
            )
        return None

    def standing(self, command: str) -> Standing:
        """Return how a command stands.

        Raises:
            KeyError: the id was never accepted.
        """
        job = self._jobs.get(command)
        record = self.log.record(command)
        if record is None:
            raise KeyError(command)
        if job is None or record.state == "finished":
            return Standing(command, record.state, record.reply, seconds=self._seconds(record.command))
        message = job.message
        if record.state == "accepted" and (held := self.lab.blocked()):
            message = "; ".join(dict.fromkeys(held))
        return Standing(
            command, record.state, None, record.started, self._seconds(job.command), job.fraction, message, job.question
        )

    async def news(self, command: str, seconds: float) -> Standing:
        """Return how a command stands once it is finished or asks something, after so many real seconds at the latest."""
        job = self._jobs.get(command)
        if job is not None and job.reply is None and job.question is None and seconds > 0:
            self.presence.seen(job.command.campaign)
            future = asyncio.get_running_loop().create_future()
            job.waiting.append(future)
            await asyncio.wait([future], timeout=seconds)
        standing = self.standing(command)
        if standing.state != "finished" and (job is None or job.is_broken):
            why = "is about to end" if self.is_stopping else "cannot go on with it; see its log"
            raise LabError(f"command {command} stands still: the server {why}")
        return standing

    def answer(self, command: str, question: str, values: Mapping[str, Any] | None, fault: str | None) -> bool:
        """Give a person's answer to a running command; returns whether it was still wanted.

        Args:
            command: which.
            question: id of the question.
            values: of the form's fields, or None.
            fault: what the person says went wrong; with neither, nobody could be asked.
        """
        job = self._jobs.get(command)
        if job is None or job.question is None or job.question.id != question or job.answer is None:
            return False
        form, future = job.question.form, job.answer
        job.question, job.answer = None, None
        if values is not None:
            future.set_result(dict(values))
        elif fault is not None:
            future.set_exception(InstrumentFault(fault))
        else:
            future.set_exception(
                OutcomeUnknown(f"{form.title}: nobody can be asked here; to be done was: {form.instructions}")
            )
        return True

    def taken(self, command: str) -> None:
        """Note that the campaign has the reply: shared virtual time need not wait for that any more."""
        job = self._jobs.get(command)
        if job is not None and job.reply is not None:
            self._forget(job)

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
            self.lab.answered(record.command, status)

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

    def _locate(self, log: SqlLog) -> None:
        """Rebuild from the log where samples are."""
        at: dict[str, list[str]] = {}
        for record in log.moves():
            place, status = str(record.command.destination), record.status
            for sample in record.command.samples:
                before = at.get(sample, [])
                if status == "succeeded":
                    at[sample] = [place]
                elif status in {None, "unknown"}:
                    at[sample] = [place, *(p for p in before if p != place)]
        self.lab.locate(at)

    def _go_on(self, record: Record) -> None:
        """Take up again what no task of this life of the server works on."""
        if record.state == "finished" or record.command.id in self._jobs:
            return
        if self.is_stopping:
            raise LabError(f"the server of lab '{self.plan.name}' is about to end and starts nothing")
        if record.state == "accepted":
            self._refuse_stopped(record.command)
            self._spawn(record.command, record.begins_sample)
        else:
            self._settle(record)

    def _spawn(self, command: Command, begins_sample: bool) -> None:
        job = self._job(command, begins_sample)

        async def progress(fraction: float, message: str) -> None:
            job.fraction, job.message = fraction, message

        async def carry_out() -> Reply:
            if self._shared is not None:
                # Messages of one instant come in any order, some of them twice or late: all are here once time could go on.
                await self._shared.sleep_until(self._shared.now(), (command.experiment, command.step))
            return await self.lab.carry_out(command, begins_sample, progress)

        job.task = asyncio.create_task(self._run(job, carry_out))

    def _settle(self, record: Record) -> None:
        job, command = self._job(record.command, record.begins_sample), record.command
        if command.instrument in self.plan.instruments:
            self.lab.reserve([(command.id, command.instrument)])

        async def ask() -> Reply:
            reply = await self.lab.reconcile(command)
            return (
                Reply(command.id, "not_started", error="the instrument says that it never started")
                if reply is None
                else reply
            )

        job.task = asyncio.create_task(self._run(job, ask))

    def _job(self, command: Command, begins_sample: bool) -> Job:
        # Counted as an actor from this very moment: time must not pass before the task gets to run.
        actor = self.clock.actor()
        actor.__enter__()
        job = self._jobs[command.id] = Job(command, begins_sample, actor)
        self.idle.clear()
        return job

    async def _run(self, job: Job, work: Callable[[], Awaitable[Reply]]) -> None:
        command = job.command
        job.is_begun = True
        try:
            reply = Reply(command.id, "not_started", error="withdrawn") if job.is_withdrawn else await work()
        except asyncio.CancelledError:
            if not job.is_withdrawn:
                self._forget(job)
                raise
            reply = Reply(command.id, "not_started", error="withdrawn from the queue")
        except ProtocolError as error:  # the lab file has changed: what was accepted is no longer in it
            record = self.log.record(command.id)
            never = record is None or record.state == "accepted"
            reply = Reply(command.id, "not_started" if never else "unknown", error=str(error))
        except Exception as error:  # noqa: BLE001  the platform's own failure: the command stays open
            _log.exception("%s cannot go on", said(command))
            job.is_broken = True
            job.tell()
            if isinstance(error, ClockError):
                self.failed.set()
            self._forget(job)
            return
        await self._commit(reply)
        job.reply = reply
        job.question = None
        job.tell()
        if self._shared is None:
            self._forget(job)

    async def _commit(self, reply: Reply) -> None:
        """Write a reply down, as often as it takes: a result that reached the server is kept."""
        while True:
            try:
                self.log.finished(reply, self.clock.now())
            except LedgerError as error:
                _log.error("the reply to command %s cannot be kept yet: %s", reply.command, error)
                await asyncio.sleep(_AGAIN)
            else:
                return

    def _forget(self, job: Job) -> None:
        if self._jobs.pop(job.command.id, None) is not None:
            job.actor.__exit__(None, None, None)
        if not any(j.reply is None for j in self._jobs.values()):
            self.idle.set()

    def _is_waiting(self, job: Job) -> bool:
        record = self.log.record(job.command.id)
        return record is not None and record.state == "accepted"

    def _seconds(self, command: Command) -> float | None:
        """Return how long a command is expected to take, or None where its driver cannot tell."""
        try:
            spec = self.plan.instruments[command.instrument].description.actions[command.action]
            return spec.seconds(spec.check(command.arguments))
        except Exception:  # noqa: BLE001  an estimate that fails must not harm the command
            return None

    def _asker(self, command: Command) -> Callable[[Form], Awaitable[Mapping[str, Any]]]:
        async def ask(form: Form) -> Mapping[str, Any]:
            job = self._jobs[command.id]
            job.answer = asyncio.get_running_loop().create_future()
            job.question = Question(uuid.uuid4().hex, form)
            job.tell()
            try:
                return await job.answer
            finally:
                job.question, job.answer = None, None

        return ask
