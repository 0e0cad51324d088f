"""Deliberately broken drivers, one per rule of the conformance suite: each differs from the good one in what its rule forbids."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from sdl.driver import (
    ActionSpec,
    Command,
    Context,
    Description,
    DriverSettings,
    Health,
    Limits,
    Reading,
    Reconciled,
    SafeReport,
    Unit,
    action,
)
from sdl.errors import InstrumentFault, OutcomeUnknown
from sdl.testing.fakes.press import GoodPress, Key, Pressed, press_seconds


def _with(description: Description, name: str, spec: ActionSpec) -> Description:
    return replace(description, actions={**description.actions, name: spec})


class Undocumented(GoodPress):
    """Broken: an action says nothing of itself."""

    breaks = "description-complete"

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "") -> Description:
        """Leave a docstring out."""
        found = super().describe(settings, driver)
        return _with(found, "gauge", replace(found.actions["gauge"], doc=""))


class Changing(GoodPress):
    """Broken: describes itself otherwise each time."""

    breaks = "description-stable"
    _times: ClassVar[itertools.count[int]] = itertools.count()

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "") -> Description:
        """Count."""
        found = super().describe(settings, driver)
        return replace(found, doc=f"{found.doc} ({next(cls._times)})")


class UnknownUnit(GoodPress):
    """Broken: reads in a unit that nobody knows."""

    breaks = "units-known"

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "") -> Description:
        """State a unit of the maker's own."""
        found = super().describe(settings, driver)
        press = found.actions["press"]
        return _with(found, "press", replace(press, results=(replace(press.results[0], unit="ramstroke"),)))


class Unlimited(GoodPress):
    """Broken: takes any force."""

    breaks = "limits-stated"

    @action(effect="irreversible", duration=press_seconds, abortable=True)
    async def press(
        self,
        ctx: Context,
        force: Annotated[float, Unit("kN"), Limits(lower=0.0)],
        hold: Annotated[float, Unit("min"), Limits(1.0, 60.0)],
        die: Literal["round", "square"],
    ) -> Pressed:
        """Press a pellet."""
        del force, die
        return Pressed(**await self.carry_out(ctx, press_seconds({"hold": hold})))


class Timeless(GoodPress):
    """Broken: its estimate is below nothing where the hold is short."""

    breaks = "durations-stated"

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "") -> Description:
        """Estimate badly at one end."""
        found = super().describe(settings, driver)

        def estimate(arguments: Mapping[str, Any]) -> float:
            return -1.0 if arguments["hold"] < 2 else press_seconds(arguments)

        return _with(found, "press", replace(found.actions["press"], estimate=estimate))


class NoSimulator(GoodPress):
    """Broken: names a simulator that is not installed."""

    breaks = "simulator-alike"
    simulator = "no_such_simulator"


class _ClippingSpec(ActionSpec):
    """Clips instead of refusing."""

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        clipped = dict(arguments)
        for p in self.parameters:
            value = clipped.get(p.name)
            if isinstance(value, float) and value == value:  # noqa: PLR0124  not a number is left to the check
                clipped[p.name] = min(max(value, p.lower), p.upper)
        return super().check(clipped)


class Clips(GoodPress):
    """Broken: presses with 100 kN where 1000 were asked for."""

    breaks = "out-of-range-refused"

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "") -> Description:
        """Check by clipping."""
        found = super().describe(settings, driver)
        press = found.actions["press"]
        fields = {name: getattr(press, name) for name in press.__dataclass_fields__}
        return _with(found, "press", _ClippingSpec(**fields))


class TriesAgain(GoodPress):
    """Broken: presses a second time, to be sure."""

    breaks = "ids-once"

    async def carry_out(self, ctx: Context, seconds: float) -> dict[str, Any]:
        """Do it, and do it again under another id."""
        await super().carry_out(ctx, seconds)
        return await super().carry_out(replace(ctx, command=replace(ctx.command, id=str(uuid.uuid4()))), seconds)

    async def reconcile(self, command: Command) -> Reconciled:
        """Not know: which of the two?"""
        del command
        return Reconciled("unknown")

    async def abort(self, command: Command) -> bool:
        """Stop whichever it is."""
        job = self.device.under_way()
        return await super().abort(command if job is None else replace(command, id=job.command))


class ChangesCommand(GoodPress):
    """Broken: rounds the force in the command itself."""

    breaks = "command-untouched"

    async def carry_out(self, ctx: Context, seconds: float) -> dict[str, Any]:
        """Round what was asked."""
        arguments: Any = ctx.command.arguments
        if "force" in arguments:
            arguments["force"] = round(arguments["force"])
        return await super().carry_out(ctx, seconds)


class SurplusField(GoodPress):
    """Broken: gives a field that it did not declare."""

    breaks = "actions-work"

    async def perform(self, action_name: str, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add a field."""
        return {**await super().perform(action_name, ctx, arguments), "mood": 1.0}

    async def reconcile(self, command: Command) -> Reconciled:
        """Not know, so that no other rule is broken."""
        del command
        return Reconciled("unknown")


class Overruns(GoodPress):
    """Broken: rests for a day after each job."""

    breaks = "ends-in-time"

    async def carry_out(self, ctx: Context, seconds: float) -> dict[str, Any]:
        """Do it, and rest."""
        values = await super().carry_out(ctx, seconds)
        await ctx.sleep(86400.0)
        return values


class RealSleep(GoodPress):
    """Broken: waits by the wall clock."""

    breaks = "waits-in-lab-time"

    async def carry_out(self, ctx: Context, seconds: float) -> dict[str, Any]:
        """Let the ram settle."""
        await asyncio.sleep(0.001)
        return await super().carry_out(ctx, seconds)


class HidesSimulation(GoodPress):
    """Broken: nothing in its raw data says that they were simulated."""

    breaks = "nature-true"

    def raw(self, values: Mapping[str, float]) -> bytes:
        """Leave the line out."""
        return f"thickness_mm\n{values['thickness']!r}\n".encode()


class Haphazard(GoodPress):
    """Broken: draws noise from the order of calls."""

    breaks = "same-twice"

    async def carry_out(self, ctx: Context, seconds: float) -> dict[str, Any]:
        """Add a draw of its own."""
        values = await super().carry_out(ctx, seconds)
        name = next(iter(values))
        return {**values, name: values[name] + random.random()}  # noqa: S311  that is what is wrong with it

    async def reconcile(self, command: Command) -> Reconciled:
        """Not know: the draw is gone."""
        found = await super().reconcile(command)
        return Reconciled("unknown") if found.state == "done" and found.error is None else found


class AlwaysWell(GoodPress):
    """Broken: says that it is well whatever happens."""

    breaks = "health-answers"

    async def health(self) -> Health:
        """Say so from memory."""
        return Health("ok")


class StaleReadings(GoodPress):
    """Broken: gives the readings of when it was connected, with their moment."""

    breaks = "readings-complete"

    async def connect(self) -> None:
        """Read, once and for all."""
        await super().connect()
        self._connected = self.clock.now()

    async def read_state(self) -> Mapping[str, Reading]:
        """Give an old moment."""
        return {n: replace(r, moment=self._connected) for n, r in (await super().read_state()).items()}


class ForgetsForce(GoodPress):
    """Broken: gives no force while it presses, though its description lists it."""

    breaks = "readings-described"

    async def read_state(self) -> Mapping[str, Reading]:
        """Leave the force out."""
        found = dict(await super().read_state())
        if found["state"].value != "idle":
            del found["force"]
        return found


class SaysReady(GoodPress):
    """Broken: says idle while it presses."""

    breaks = "busy-said"

    async def health(self) -> Health:
        """Say ok, and not with what it is busy."""
        found = await super().health()
        return Health("ok", "idle") if found.state == "ok" else found

    async def read_state(self) -> Mapping[str, Reading]:
        """Say idle."""
        found = dict(await super().read_state())
        found["state"] = replace(found["state"], value="idle")
        return found


class SlowAbort(GoodPress):
    """Broken: thinks for a minute and a half before it stops."""

    breaks = "abort-bounded"

    async def abort(self, command: Command) -> bool:
        """Wait, then stop."""
        await self.clock.sleep(90.0)
        return await super().abort(command)


class HollowAbort(GoodPress):
    """Broken: says that it stopped, and does nothing."""

    breaks = "abort-stops"

    async def abort(self, command: Command) -> bool:
        """Say so."""
        job = await self.ask("job", id=command.id)
        return command.action == "press" and job["job"] == "running"


class HollowSafeState(GoodPress):
    """Broken: says that it is safe, and presses on."""

    breaks = "safe-state-confirmed"

    async def safe_state(self) -> SafeReport:
        """Ask something, so that it looks like a read-back."""
        try:
            await self.ask("state")
        except TimeoutError as error:
            return SafeReport(confirmed=False, message=str(error))
        return SafeReport(confirmed=True, message="safe")


class BlindSafeState(GoodPress):
    """Broken: opens the valve and takes it for open."""

    breaks = "safe-state-read-back"

    async def safe_state(self) -> SafeReport:
        """Send, and believe."""
        self.line.send({"verb": "off"})
        return SafeReport(confirmed=True, message="valve opened")


class TogglingSafeState(GoodPress):
    """Broken: a second safe state takes the first one back."""

    breaks = "safe-state-idempotent"
    _opened = False

    async def safe_state(self) -> SafeReport:
        """Toggle."""
        self._opened = not self._opened
        found = await super().safe_state()
        return found if self._opened else replace(found, confirmed=False)


class NoSafeStateInFault(GoodPress):
    """Broken: a jammed press does not take the command to open its valve."""

    breaks = "safe-state-from-fault"

    async def safe_state(self) -> SafeReport:
        """Refuse in a fault."""
        if (await self.health()).state == "fault":
            raise InstrumentFault(f"{self.name}: in fault; acknowledge it first")
        return await super().safe_state()


class Amnesiac(GoodPress):
    """Broken: says 'not started' of whatever this process did not begin itself."""

    breaks = "reconcile-truthful"

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  as the base class
        super().__init__(*args, **kwargs)
        self._mine: set[str] = set()

    async def carry_out(self, ctx: Context, seconds: float) -> dict[str, Any]:
        """Remember that it was begun here."""
        self._mine.add(ctx.command.id)
        return await super().carry_out(ctx, seconds)

    async def reconcile(self, command: Command) -> Reconciled:
        """Go by memory."""
        return await super().reconcile(command) if command.id in self._mine else Reconciled("not_started")


class MeasuresAgain(GoodPress):
    """Broken: gives another value when it is asked for the same result again."""

    breaks = "reconcile-same-result"

    async def reconcile(self, command: Command) -> Reconciled:
        """Take a new reading for the old one."""
        found = await super().reconcile(command)
        return replace(found, values={n: v * 1.001 for n, v in found.values.items()})


class TimeoutIsFailure(GoodPress):
    """Broken: calls a lost answer a failure."""

    breaks = "timeout-unknown"

    async def carry_out(self, ctx: Context, seconds: float) -> dict[str, Any]:
        """Claim to know that it did not happen."""
        try:
            return await super().carry_out(ctx, seconds)
        except OutcomeUnknown as error:
            raise InstrumentFault(f"{self.name}: did not start: {error}") from error


class Blocks(GoodPress):
    """Broken: holds up the event loop."""

    breaks = "loop-not-blocked"

    async def ask(self, verb: str, key: Key = (0, 0), **content: Any) -> Any:  # noqa: ANN401
        """Give the device a moment."""
        time.sleep(1e-6)  # noqa: ASYNC251  that is what is wrong with it
        return await super().ask(verb, key, **content)


class LeavesTask(GoodPress):
    """Broken: a task that watches the press outlives it."""

    breaks = "clean-close"
    _held: ClassVar[list[asyncio.Future[None]]] = []

    async def connect(self) -> None:
        """Begin to watch for what never comes."""
        await super().connect()
        self._held.append(asyncio.get_running_loop().create_future())
        self._watching = asyncio.ensure_future(asyncio.wait({self._held[-1]}))


class LeavesFile(GoodPress):
    """Broken: a log file stays open."""

    breaks = "clean-close"

    async def connect(self) -> None:
        """Open the log."""
        await super().connect()
        self._log = open("/dev/null", "ab")  # noqa: SIM115, ASYNC230, PTH123  that is what is wrong with it


BROKEN: tuple[type[GoodPress], ...] = (
    Undocumented,
    Changing,
    UnknownUnit,
    Unlimited,
    Timeless,
    NoSimulator,
    Clips,
    TriesAgain,
    ChangesCommand,
    SurplusField,
    Overruns,
    RealSleep,
    HidesSimulation,
    Haphazard,
    AlwaysWell,
    StaleReadings,
    ForgetsForce,
    SaysReady,
    SlowAbort,
    HollowAbort,
    HollowSafeState,
    BlindSafeState,
    TogglingSafeState,
    NoSafeStateInFault,
    Amnesiac,
    MeasuresAgain,
    TimeoutIsFailure,
    Blocks,
    LeavesTask,
    LeavesFile,
)
"""Every deliberately broken driver; `breaks` names its rule."""
