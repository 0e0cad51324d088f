"""The bench on which a driver is tried: a world in a folder, virtual time, and lives of a lab that end well or by a kill.

A life is what a process is: an embedded lab whose instruments were made and connected in it. When a life is killed, nothing
in it runs on and nothing in it cleans up, as if the process had got SIGKILL; the next life is made over the same world at
the moment of death. (Threads that the driver started cannot be killed in process: they belong to no life.)
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sdl.clock import VIRTUAL_EPOCH, ClockSettings, VirtualClock
from sdl.driver import ArtefactRef, Command, Instrument
from sdl.errors import DriverError, LimitError
from sdl.lab import EmbeddedLab, InstrumentPlan, LabPlan
from sdl.testing.rule import NotApplicable
from sdl.testing.subject import Subject, checked_settings, found_driver, within
from sdl.world import World

if TYPE_CHECKING:
    from sdl.driver import ActionSpec, Context, Description, Form, Reply

T = TypeVar("T")

NAME = "subject"
"""Name of the instrument under test in its lab."""

CAMPAIGN = "conformance"

_BURIAL = 2.0
"""Real seconds that the tasks of a dead life get to go away in, once nothing depends on them any more."""


@dataclass
class Running(Generic[T]):
    """Something under way in a life: an actor of its clock."""

    task: asyncio.Task[T]
    ended: bool = False
    listeners: list[asyncio.Future[None]] = field(default_factory=list)


class Life:
    """A lab from its opening to its end. Made by `Bench.life`."""

    def __init__(self, bench: Bench, start: float) -> None:
        self.bench = bench
        self.subject = bench.subject
        self.clock = VirtualClock(start)
        self.world = World(self.subject.seed, bench.folder / "world.jsonl", self.subject.world)
        self.lab = EmbeddedLab(bench.plan, self.clock, bench.keep, self.world)
        self.carried_out: list[str] = []
        """Ids of the commands that reached the driver under test."""
        self.grip = ExitStack()
        self._instrument: Instrument | None = None

    @property
    def instrument(self) -> Instrument:
        """The instrument under test; it can be looked at after the lab let go of it."""
        if self._instrument is None:
            raise DriverError("this life's lab was not opened")
        return self._instrument

    async def open(self) -> None:
        """Connect everything."""
        await self.lab.open()
        self.lab.put_questions_to(self._person)
        instrument = self.lab.instruments[NAME]
        self._instrument = instrument
        perform = instrument.perform

        async def noted(action_name: str, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            self.carried_out.append(ctx.command.id)
            return await perform(action_name, ctx, arguments)

        instrument.perform = noted  # type: ignore[method-assign]

    async def _person(self, form: Form) -> Mapping[str, Any]:
        """Answer a form as a person would, after some time."""
        await self.clock.sleep(max(self.subject.expected(s) for s in self.bench.description.actions.values()))
        return {f.name: within(f) for f in form.fields}

    def command(
        self,
        action: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        sample: str = "s1",
        instrument: str = NAME,
        occurrence: int = 0,
    ) -> Command:
        """Return a new command; the arguments are the subject's example unless given."""
        given = self.subject.example(action) if arguments is None else dict(arguments)
        number = next(self.bench.numbers)
        return Command(str(uuid.uuid4()), CAMPAIGN, 1, number, 0, instrument, action, given, (sample,), occurrence)

    async def prepare(self, action: str, *samples: str) -> None:
        """Make samples ready for an action of the driver under test.

        Raises:
            NotApplicable: it does not work; the rule `actions-work` says so as a finding.
        """
        for sample in samples:
            for number, step in enumerate(self.subject.prepare):
                if step.before and action not in step.before:
                    continue
                instrument = NAME if step.driver is None else f"prepare{number}"
                command = self.command(step.action, step.arguments, sample=sample, instrument=instrument)
                reply = await self.lab.execute(command, begins_sample=False)
                if reply.status != "succeeded":
                    raise NotApplicable(f"sample '{sample}' cannot be prepared: {step.action}: {reply.error}")

    def start(self, work: Awaitable[T]) -> Running[T]:
        """Start something as an actor of its own; the caller lets it run by `wait` or `sleep`."""

        async def actor() -> T:
            with self.clock.actor():
                try:
                    return await work
                finally:
                    # Within the actor's time: were its end heard of only afterwards, time could pass unseen.
                    running.ended = True
                    for listener in running.listeners:
                        self.clock.settle(listener)

        running: Running[T] = Running(asyncio.ensure_future(actor()))
        return running

    def begin(self, command: Command) -> Running[Reply]:
        """Send a command to the lab."""
        return self.start(self.lab.execute(command, begins_sample=False))

    async def wait(self, running: Running[T], seconds: float) -> bool:
        """Let lab time go on until something ended or the seconds are over; returns whether it ended."""
        await asyncio.sleep(0)  # it becomes an actor only when it gets to run
        if not running.ended:
            wake = self.clock.event()
            running.listeners.append(wake)
            deadline = self.clock.now() + seconds

            async def alarm() -> None:
                with self.clock.actor():
                    await self.clock.sleep_until(deadline, (10**9, 0))
                    self.clock.settle(wake)

            timer = asyncio.ensure_future(alarm())
            await asyncio.sleep(0)
            await self.clock.wait_for(wake)
            timer.cancel()
            await asyncio.wait({timer})
        if running.ended:
            await asyncio.wait({running.task})
        return running.ended

    async def sleep(self, seconds: float) -> None:
        """Let lab time go on; what else is due at that moment comes first."""
        await asyncio.sleep(0)
        await self.clock.sleep(seconds, (10**9, 0))

    async def within(self, work: Awaitable[T], seconds: float, what: str) -> T:
        """Return what something gives within some seconds of lab time.

        Raises:
            TooLong: it does not end.
        """
        running = self.start(work)
        if not await self.wait(running, seconds):
            running.task.cancel()
            await asyncio.wait({running.task}, timeout=_BURIAL)
            raise TooLong(f"{what} did not end within {seconds:g} s of lab time")
        return running.task.result()

    async def do(self, command: Command) -> Reply:
        """Carry a command out, within the time that it may take at most.

        Raises:
            NotApplicable: it does not end; the rule `ends-in-time` says so as a finding.
        """
        try:
            limit = late(self.bench.description.actions[command.action], command.arguments)
        except LimitError:
            limit = 60.0  # the lab will refuse it
        try:
            return await self.within(self.lab.execute(command, begins_sample=False), limit, command.action)
        except TooLong as error:
            raise NotApplicable(str(error)) from error

    async def close(self) -> None:
        """Let go of everything."""
        await self.lab.close()


class TooLong(Exception):  # noqa: N818  a finding on its way
    """Something did not end in bounded lab time."""


def late(spec: ActionSpec, arguments: Mapping[str, Any]) -> float:
    """Return the seconds after which an action is late: three times what was said, and a minute."""
    return 3.0 * spec.seconds(spec.check(arguments)) + 60.0


@dataclass(frozen=True)
class Death:
    """What a killed life leaves behind for those who know what it did.

    Attributes:
        command: what it was carrying out.
        reply: what came back, where the life ended only after that.
        moment: of death.
    """

    command: Command
    reply: Reply | None
    moment: float


class Bench:
    """A world in a temporary folder, and the lives over it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.moment = VIRTUAL_EPOCH
        """Where the next life begins."""
        self.artefacts: dict[str, bytes] = {}
        self.numbers = itertools.count(1)
        self.description: Description = subject.description
        self.plan = _plan(subject, self.description)
        self.folder = Path()
        self._dead: list[tuple[asyncio.AbstractEventLoop, Life]] = []

    async def __aenter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="sdl-conformance-"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for loop, life in self._dead:
            await asyncio.to_thread(_bury, loop, life)
        self._dead.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, name: str, data: bytes, media_type: str) -> ArtefactRef:
        """Keep raw data by content."""
        digest = hashlib.sha256(data).hexdigest()
        self.artefacts[digest] = data
        return ArtefactRef(name, digest, len(data), media_type)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Life]:
        """Open the lab, and close it at the end."""
        life = Life(self, self.moment)
        with life.clock.actor():
            try:
                await life.open()
                yield life
            finally:
                with suppress(Exception):  # what closing says is the rule `clean-close`'s affair
                    await life.close()
                self.moment = life.clock.now()

    async def kill(self, action: str, share: float | None) -> Death:
        """Live until a share of an action's expected duration is over, and die there without any cleaning up.

        Args:
            action: what is under way.
            share: of the expected duration; None: the life ends after the reply. Below 0: before the command was sent.

        Raises:
            NotApplicable: the action does not end; the rule `ends-in-time` says so as a finding.
        """
        return await asyncio.to_thread(self._live_and_die, action, share)

    def _live_and_die(self, action: str, share: float | None) -> Death:
        # A loop of its own, in a thread of its own: once it stands still, whatever waits in it waits for ever.
        loop = asyncio.new_event_loop()
        life = Life(self, self.moment)
        self._dead.append((loop, life))

        async def work() -> Death:
            life.grip.enter_context(life.clock.actor())  # held for ever, so that time stands still with the dead
            await life.open()
            await life.prepare(action, "s1")
            command = life.command(action)
            if share is not None and share < 0:
                return Death(command, None, life.clock.now())
            spec = self.description.actions[action]
            running = life.begin(command)
            if share is None:
                if not await life.wait(running, late(spec, command.arguments)):
                    raise NotApplicable(f"{action} does not end in time")
                return Death(command, running.task.result(), life.clock.now())
            await life.sleep(share * self.subject.expected(spec))
            return Death(command, running.task.result() if running.ended else None, life.clock.now())

        death = loop.run_until_complete(work())
        self.moment = death.moment
        return death


def _bury(loop: asyncio.AbstractEventLoop, life: Life) -> None:
    """Let the tasks of a dead life go, now that nobody will look at the world again, and close its loop."""

    async def burial() -> None:
        with suppress(Exception):
            await asyncio.wait_for(life.close(), _BURIAL)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_BURIAL)
        await loop.shutdown_default_executor()

    loop.run_until_complete(burial())
    life.world.close()
    loop.close()


def _plan(subject: Subject, description: Description) -> LabPlan:
    instruments = {NAME: InstrumentPlan(NAME, subject.name, subject.driver, subject.settings, description)}
    for number, step in enumerate(subject.prepare):
        if step.driver is None:
            continue
        driver, name = found_driver(step.driver)
        settings = checked_settings(driver, name, step.settings)
        own = f"prepare{number}"
        instruments[own] = InstrumentPlan(own, name, driver, settings, driver.describe(settings, name))
    return LabPlan(CAMPAIGN, ClockSettings("virtual"), dict(subject.world), instruments)
