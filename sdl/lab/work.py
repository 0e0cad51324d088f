"""What a lab server works on: one task for each command, from its place in the queue to the committed reply."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from sdl.clock.shared import SharedVirtualClock
from sdl.driver import Command, Form, Reply
from sdl.errors import ClockError, InstrumentFault, LabError, LedgerError, OutcomeUnknown, ProtocolError
from sdl.lab.held import Held, Holding
from sdl.lab.jobs import Job, Question, Standing, said

if TYPE_CHECKING:
    from sdl.lab.embedded import EmbeddedLab
    from sdl.lab.keeping import Keeping
    from sdl.lab.log import CommandLog, Record
    from sdl.lab.presence import Presence

_log = logging.getLogger("sdl.lab.server")

_AGAIN = 1.0
"""Real seconds between two attempts to commit a reply while the disk refuses it. Chosen."""

_LOOK = 1.0
"""Real seconds between two looks whether a command waits for what only a person can do. Chosen."""


class Work:
    """Carries accepted commands out, and says of each how it stands.

    Args:
        lab: the instruments.
        log: of commands.
        keeping: their raw data.
        presence: which campaigns are here.

    Attributes:
        is_stopping: whether nothing more is accepted or started.
        jobs: command id → what is known of it, until its reply was told.
        idle: set while no command is carried out.
        failed: set when shared virtual time is gone, and nothing can go on.
        holding: which commands wait for what only a person can do.
    """

    def __init__(self, lab: EmbeddedLab, log: CommandLog, keeping: Keeping, presence: Presence) -> None:
        self._lab = lab
        self._clock = lab.clock
        self._shared = lab.clock if isinstance(lab.clock, SharedVirtualClock) else None
        self._log = log
        self._keeping = keeping
        self._presence = presence
        self.is_stopping = False
        self.jobs: dict[str, Job] = {}
        self.holding = Holding(lab, presence)
        self.failed = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        if self._shared is not None:
            self._shared.waits_for_person = self._waits_for_person
        lab.put_questions_of_commands_to(self._asker)

    def spawn(self, command: Command, begins_sample: bool) -> None:
        """Begin to carry out a command that was accepted."""
        job = self._job(command, begins_sample)

        async def progress(fraction: float, message: str) -> None:
            job.fraction, job.message = fraction, message

        async def carry_out() -> Reply:
            if self._shared is not None:
                # Messages of one instant come in any order, some of them twice or late: all are here once time could go on.
                await self._shared.sleep_until(self._shared.now(), (command.experiment, command.step))
            asyncio.get_running_loop().call_soon(self.look)  # by then it waits for its instrument, or has it
            return await self._lab.carry_out(command, begins_sample, progress)

        job.task = asyncio.create_task(self._run(job, carry_out))

    def settle(self, record: Record) -> None:
        """Begin to ask the driver what became of a command that was started in an earlier life of the server."""
        job, command = self._job(record.command, record.begins_sample), record.command
        self._lab.reserve([(command.id, command.instrument)])
        job.task = asyncio.create_task(self._run(job, lambda: self._asked(command)))

    def send_away(self, wanted: Callable[[Command], bool]) -> int:
        """Answer commands as not started that wait for an instrument and are wanted; returns how many."""
        waiting = [j for j in self.jobs.values() if wanted(j.command) and self.is_waiting(j)]
        for job in waiting:
            job.is_withdrawn = True
            if job.task is not None and job.is_begun:  # one that never began could not say that it was cancelled
                job.task.cancel()
        return len(waiting)

    def forget(self, job: Job) -> None:
        """Say that everybody knows what became of a command: virtual time need not wait for it any more."""
        if self.jobs.pop(job.command.id, None) is not None:
            job.actor.__exit__(None, None, None)
            job.tell()
        if not any(j.reply is None for j in self.jobs.values()):
            self.idle.set()

    def is_waiting(self, job: Job) -> bool:
        """Tell whether the driver has not been called for a command yet."""
        if job.reply is not None or job.is_replying:  # what is answered is no longer sent away, though the disk be full
            return False
        record = self._log.record(job.command.id)  # in memory, since it is not finished
        return record is not None and record.state == "accepted"

    def unwritten(self) -> list[str]:
        """Return in words the commands that came to their end, but whose reply is not written down yet."""
        jobs = [j for j in self.jobs.values() if j.is_replying and j.reply is None]
        return [f"the reply to {said(j.command)}, which is not written down yet" for j in jobs]

    async def end(self) -> None:
        """Let go of all jobs; those under way stay started in the log."""
        tasks = [j.task for j in self.jobs.values() if j.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in self.jobs.values():
            job.tell()

    # --- how it stands --------------------------------------------------------------------------------------------------

    def standing(self, command: str) -> Standing:
        """Return how a command stands.

        Raises:
            KeyError: the id was never accepted.
        """
        job = self.jobs.get(command)
        record = self._log.record(command)
        if record is None:
            raise KeyError(command)
        if job is None or record.state == "finished":
            return Standing(command, record.state, record.reply, seconds=self._seconds(record.command))
        message = job.message
        if record.state == "accepted" and job.held is not None:
            message = job.held.text
        elif record.state == "accepted" and (blocked := self._lab.blocked()):
            message = "; ".join(dict.fromkeys(blocked))
        return Standing(
            command,
            record.state,
            None,
            record.started,
            self._seconds(job.command),
            job.fraction,
            message,
            job.question,
            job.held,
        )

    async def news(self, command: str, seconds: float, held: str = "") -> Standing:
        """Return how a command stands once there is news.

        Args:
            command: which.
            seconds: real seconds after which it is told at the latest.
            held: what it is known to wait for; where that is otherwise now, that is news.
        """
        job = self.jobs.get(command)
        is_known = job is None or (job.held.text if job.held else "") == held
        if job is not None and job.reply is None and job.question is None and is_known and seconds > 0:
            self._presence.seen(job.command.campaign)
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
        job = self.jobs.get(command)
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
        job = self.jobs.get(command)
        if job is not None and job.reply is not None:
            self.forget(job)

    def _seconds(self, command: Command) -> float | None:
        """Return how long a command is expected to take, or None where its driver cannot tell."""
        try:
            spec = self._lab.plan.instruments[command.instrument].description.actions[command.action]
            return spec.seconds(spec.check(command.arguments))
        except Exception:  # noqa: BLE001  an estimate that fails must not harm the command
            return None

    # --- what waits for a person -------------------------------------------------------------------------------------

    def look(self) -> None:
        """Find out which commands wait for what only a person can do, and tell whoever asks for news of them."""
        waiting, is_idle = self._waiting(), self._is_idle
        for job in self.jobs.values():
            held: Held | None = self.holding.of(job.command, is_idle=is_idle) if job in waiting else None
            if held != job.held:
                job.held = held
                job.tell()

    async def look_again_and_again(self) -> None:
        """Look until cancelled: who is gone, and what was left unsaid for how long, changes with time alone."""
        while True:
            await asyncio.sleep(_LOOK)
            self.look()

    def _waits_for_person(self) -> bool:
        return self.holding.waits_for_person([j.command for j in self._waiting()], is_idle=self._is_idle)

    def _waiting(self) -> list[Job]:
        """Return the jobs that wait for their instrument; not those that wait for an interlock."""
        at_interlocks = self._lab.interlocks.held_up()
        begun = [j for j in self.jobs.values() if j.is_begun and not j.is_withdrawn and self.is_waiting(j)]
        return [j for j in begun if j.command.instrument not in at_interlocks]

    @property
    def _is_idle(self) -> bool:
        return not any(r.state == "started" for r in self._log.unfinished())

    # --- one command -------------------------------------------------------------------------------------------------

    def _job(self, command: Command, begins_sample: bool) -> Job:
        # Counted as an actor from this very moment: time must not pass before the task gets to run.
        actor = self._clock.actor()
        actor.__enter__()
        job = self.jobs[command.id] = Job(command, begins_sample, actor)
        self.idle.clear()
        return job

    async def _asked(self, command: Command) -> Reply:
        reply = await self._lab.reconcile(command)
        if reply is None:
            return Reply(command.id, "not_started", error="the instrument says that it never started")
        return reply

    async def _run(self, job: Job, work: Callable[[], Awaitable[Reply]]) -> None:
        command = job.command
        job.is_begun = True
        try:
            reply = (
                Reply(command.id, "not_started", error="withdrawn") if job.is_withdrawn else await self._done(job, work)
            )
        except asyncio.CancelledError:
            if not job.is_withdrawn:
                self.forget(job)
                raise
            reply = Reply(command.id, "not_started", error="withdrawn from the queue")
        except ProtocolError as error:  # the lab file has changed: what was accepted is no longer in it
            reply = Reply(command.id, "not_started" if self.is_waiting(job) else "unknown", error=str(error))
        except Exception as error:  # noqa: BLE001  the platform's own failure: the command stays open
            _log.exception("%s cannot go on", said(command))
            job.is_broken = True
            if isinstance(error, ClockError):
                self.failed.set()
            self.forget(job)
            return
        job.is_replying = True
        await self._keeping.written(reply)
        await self._commit(reply)
        job.reply = reply
        job.question = None
        if reply.status == "unknown":
            self.holding.lost(command)
        job.tell()
        self.look()
        if self._shared is None:
            self.forget(job)

    async def _done(self, job: Job, work: Callable[[], Awaitable[Reply]]) -> Reply:
        """Return the reply; where the disk failed under a driver, the driver is asked what it did, as after a crash."""
        while True:
            try:
                return await work()
            except LedgerError as error:
                if self.is_waiting(job):
                    raise
                _log.error("%s broke off (%s): its driver is asked", said(job.command), error)
                await asyncio.sleep(_AGAIN)

                async def ask() -> Reply:
                    return await self._asked(job.command)

                work = ask

    async def _commit(self, reply: Reply) -> None:
        """Write a reply down, as often as it takes: a result that reached the server is kept."""
        while True:
            try:
                self._log.finished(reply, self._clock.now())
            except LedgerError as error:
                _log.error("the reply to command %s cannot be kept yet: %s", reply.command, error)
                await asyncio.sleep(_AGAIN)
            else:
                return

    def _asker(self, command: Command) -> Callable[[Form], Awaitable[Mapping[str, Any]]]:
        async def ask(form: Form) -> Mapping[str, Any]:
            job = self.jobs[command.id]
            job.answer = asyncio.get_running_loop().create_future()
            job.question = Question(uuid.uuid4().hex, form)
            job.tell()
            try:
                return await job.answer
            finally:
                job.question, job.answer = None, None

        return ask
