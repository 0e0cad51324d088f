"""Interlocks: an action begins, and goes on, only while the lab's readings allow it. A stale or missing reading denies."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sdl.driver import Reading
from sdl.errors import ClockError
from sdl.units.spans import span_text

if TYPE_CHECKING:
    from sdl.campaign.interlocks import Requirement
    from sdl.clock import Clock
    from sdl.driver import ActionSpec, Command, Instrument
    from sdl.lab.interface import Progress
    from sdl.lab.plan import LabPlan

PATIENCE = 10.0
"""Real seconds within which an instrument must give its readings; one that does not is missing. Chosen: a serial line that is
asked again after a lost byte answers in less."""

_LOOKS = 100
"""Looks within an action's expected duration, or within a wait, in virtual time. Chosen: a firing of 14 h would else be looked at
1680 times; real and scaled time look twice within `max_age` whatever that costs, because there a person may open a door."""

Stop = Callable[["Command"], Awaitable[str]]
"""Stops a running command and makes its instrument safe; returns in words what was read back."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Denial:
    """Why a command did not begin.

    Attributes:
        status: `failed` where an interlock denied it; `not_started` where it was withdrawn while it waited.
        text: in words.
    """

    status: Literal["failed", "not_started"]
    text: str


class Interlocks:
    """The interlocks of a lab.

    Args:
        plan: the lab.
        clock: its time.
        instruments: those that are connected, by name.
    """

    def __init__(self, plan: LabPlan, clock: Clock, instruments: Mapping[str, Instrument]) -> None:
        self.clock = clock
        self._plan = plan
        self._instruments = instruments
        self._asked: dict[str, asyncio.Task[Mapping[str, Reading]]] = {}
        self._naps: dict[str, asyncio.Future[None]] = {}
        self._asking: set[str] = set()
        self._withdrawn: set[str] = set()
        self._waiting: dict[str, tuple[Command, str]] = {}

    def of(self, command: Command) -> tuple[Requirement, ...]:
        """Return what must hold for a command."""
        plan = self._plan.instruments[command.instrument]
        effect = plan.description.actions[command.action].effect
        return tuple(r for r in plan.requires if r.covers(command.action, effect))

    async def permit(self, command: Command, progress: Progress | None = None, say: Say | None = None) -> Denial | None:
        """Let a command begin, or deny it; waits for each reading as long as its `wait` allows.

        Args:
            command: whose turn has come; nothing of it has moved.
            progress: told what it waits for.
            say: told once what it waits for.

        Returns:
            None where everything holds at this moment.
        """
        requirements = self.of(command)
        if not requirements:
            return None
        began, is_said = self.clock.now(), False
        self._asking.add(command.id)
        try:
            while True:
                unmet = await self._unmet(requirements)
                if command.id in self._withdrawn:  # a reading may take as long as `PATIENCE`
                    return Denial("not_started", "withdrawn while its interlock was read")
                now = self.clock.now()
                if not unmet:
                    return None
                waited = now - began
                patience = min(r.wait for r, _ in unmet)
                if waited >= patience:
                    return Denial("failed", _denied(command, unmet, waited))
                text = f"waits up to {span_text(patience)}: {_said(unmet)}"
                self._waiting[command.id] = (command, text)
                if progress is not None:
                    await progress(0.0, text)
                if say is not None and not is_said:
                    say(f"experiment {command.experiment}, {command.instrument}.{command.action}: {text}")
                is_said = True
                nap = min(now + self._every([r for r, _ in unmet], patience), began + patience)
                if not await self._nap(command, nap):
                    return Denial("not_started", f"withdrawn while it waited: {_said(unmet)}")
        finally:
            self._waiting.pop(command.id, None)
            self._asking.discard(command.id)
            self._withdrawn.discard(command.id)

    def held_up(self) -> dict[str, str]:
        """Return instrument → what its next command waits for, in words."""
        return {c.instrument: f"{c.action}, experiment {c.experiment}: {text}" for c, text in self._waiting.values()}

    def withdraw(self) -> None:
        """Send away every command that waits for a reading, be it for its answer or for another value."""
        self._withdrawn |= self._asking
        for nap in list(self._naps.values()):
            nap.cancel()

    async def _nap(self, command: Command, moment: float) -> bool:
        """Wait for a moment; returns False where the command was withdrawn before or meanwhile."""
        if command.id in self._withdrawn:
            return False
        nap = asyncio.ensure_future(self.clock.sleep_until(moment, (command.experiment, command.step)))
        self._naps[command.id] = nap
        try:
            await nap
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if (here is not None and here.cancelling()) or command.id not in self._withdrawn:
                raise
            return False
        finally:
            nap.cancel()
            del self._naps[command.id]
        return True

    def watch(
        self, command: Command, spec: ActionSpec, stop: Stop, began: float, *, is_found: bool = False
    ) -> Watch | None:
        """Look at a running command's readings again and again; None where nothing is required.

        Args:
            command: which runs.
            spec: of its action.
            stop: called where a reading no longer allows it.
            began: the moment from which looks count, s since 1970 of lab time.
            is_found: whether a dead process began it. Then the first look comes now; but in virtual time, which stood still
                meanwhile, at the moment at which it would have come.
        """
        requirements = self.of(command)
        if not requirements:
            return None
        every = self._every(requirements, _expected(spec, command.arguments))
        return Watch(command, self, requirements, every, stop, began, at_once=is_found)

    def _every(self, requirements: Sequence[Requirement], span: float) -> float:
        """Return the seconds of lab time between two looks within a span of so many seconds."""
        coarsest = span / _LOOKS if self.clock.settings.type == "virtual" else 0.0
        return min(max(r.max_age / 2, coarsest) if r.every is None else r.every for r in requirements)

    async def _unmet(self, requirements: Sequence[Requirement]) -> list[tuple[Requirement, str]]:
        """Return what does not hold, with what was read instead."""
        names = list(dict.fromkeys(r.instrument for r in requirements))
        states = dict(zip(names, await asyncio.gather(*(self._read(n) for n in names)), strict=True))
        found = [(r, self._problem(r, states[r.instrument])) for r in requirements]
        return [(r, problem) for r, problem in found if problem is not None]

    async def _read(self, name: str) -> Mapping[str, Reading] | str:
        """Read an instrument's state beside whatever it does; returns in words why it could not be read.

        Several commands that ask at once share one answer: a slow line is not asked twice.
        """
        task = self._asked.get(name)
        if task is None or task.done():
            task = self._asked[name] = asyncio.ensure_future(self._instruments[name].read_state())
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        if not done:
            task.cancel()  # not waited for: a transport that hangs may not let go
            self._asked.pop(name, None)
            return f"{name} gave no readings within {PATIENCE:g} s"
        if task.cancelled():
            return f"{name} gave no readings"
        error = task.exception()
        return task.result() if error is None else f"{name} gave no readings: {type(error).__name__}: {error}"

    def _problem(self, requirement: Requirement, state: Mapping[str, Reading] | str) -> str | None:
        """Say what is wrong with a reading, or None where it allows the action."""
        if isinstance(state, str):
            return f"{requirement.name} is missing ({state}), allowed is {requirement.allowed}"
        reading = state.get(requirement.reading)
        if not isinstance(reading, Reading):
            has = ", ".join(state) or "nothing"
            return f"{requirement.name} is missing ({requirement.instrument} reads {has}), allowed is {requirement.allowed}"
        age = self.clock.now() - reading.moment
        if not math.isfinite(age) or age > requirement.max_age:
            allowed = span_text(requirement.max_age)
            return f"{requirement.name} is stale: read {span_text(age)} ago, no more than {allowed} is allowed"
        if age < -requirement.max_age:
            return f"{requirement.name} was read {span_text(-age)} in the future: the clocks of lab and instrument disagree"
        violation = requirement.violation(reading.value, reading.unit)
        return None if violation is None else f"{requirement.name} {violation}"


class Watch:
    """Watches the readings that one running command needs, and stops it where one no longer allows it.

    Counted as an actor of virtual time from the moment at which it is made.
    """

    def __init__(
        self,
        command: Command,
        interlocks: Interlocks,
        requirements: Sequence[Requirement],
        every: float,
        stop: Stop,
        began: float,
        *,
        at_once: bool,
    ) -> None:
        self._command = command
        self._interlocks = interlocks
        self._clock = interlocks.clock
        self._requirements = requirements
        self._every = every
        self._stop = stop
        self._began = began
        self._violated: str | None = None
        self._report = ""
        self._over = self._clock.event()
        actor = self._clock.actor()
        actor.__enter__()
        self._task = asyncio.create_task(self._run(at_once=at_once), name=f"interlock-{command.id}")
        self._task.add_done_callback(lambda _: actor.__exit__(None, None, None))

    async def _run(self, *, at_once: bool) -> None:
        key = (self._command.experiment, self._command.step)
        virtual = self._clock.settings.type == "virtual"
        looks = max(0, int((self._clock.now() - self._began) / self._every))
        try:
            while True:
                looks += 1
                if virtual:  # at the same moments whether or not a process died in between
                    await self._clock.sleep_until(self._began + looks * self._every, key)
                elif (
                    not at_once
                ):  # by the monotonic clock: a correction of the wall clock must not keep a look from coming
                    await self._clock.sleep(self._every, key)
                at_once = False
                unmet = await self._interlocks._unmet(self._requirements)  # noqa: SLF001  two halves of one thing
                if unmet:
                    self._violated = _said(unmet)
                    self._report = await self._stop(self._command)
                    return
        except ClockError:
            return  # time itself is gone: the command meets that too
        except Exception as error:  # noqa: BLE001  what cannot be watched is not allowed
            self._violated = self._violated or f"its interlock could not be watched: {type(error).__name__}: {error}"
            self._report = self._report or await self._stop(self._command)
        finally:
            self._clock.settle(self._over)

    def forget(self) -> None:
        """Look no more; where it is stopping the command, that goes on."""
        if self._violated is None:
            self._task.cancel()

    async def end(self) -> str | None:
        """Look no more, and return why the command was stopped, once it is safe; None where it was not stopped."""
        self.forget()
        if self._violated is None:
            return None
        await self._clock.wait_for(self._over)
        return (
            f"stopped by an interlock while {self._command.instrument}.{self._command.action} ran: {self._violated}; "
            f"{self._report}; see to it, then have the step done again"
        )


def _expected(spec: ActionSpec, arguments: Mapping[str, object]) -> float:
    """Return the expected seconds, 0 where the driver cannot say."""
    try:
        seconds = spec.seconds(spec.check(arguments))
    except Exception:  # noqa: BLE001  an estimate that breaks must not keep a look from being taken
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0


def _denied(command: Command, unmet: Sequence[tuple[Requirement, str]], waited: float) -> str:
    after = f" after waiting {span_text(waited)}" if waited > 0 else ""
    return (
        f"an interlock denied {command.instrument}.{command.action}{after}, and nothing was moved: "
        f"{_said(unmet)}; "
        "bring the reading there, or let commands wait longer for it ('wait' in the lab file)"
    )


def _said(unmet: Sequence[tuple[Requirement, str]]) -> str:
    return "; ".join(problem for _, problem in unmet)
