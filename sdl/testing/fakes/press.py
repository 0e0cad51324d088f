"""The good fake: a careful driver of the small press, from which the misbehaving and the broken ones are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sdl.driver import (
    ArtefactRef,
    Command,
    Context,
    DriverSettings,
    Health,
    Instrument,
    Limits,
    Reading,
    Reconciled,
    SafeReport,
    Unit,
    action,
)
from sdl.errors import DriverError, InstrumentFault, OutcomeUnknown
from sdl.testing.fakes.device import Device
from sdl.testing.fakes.line import Line, Message

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.world import World

POLL = 20.0
"""Seconds between two questions whether a job is over."""

GAUGING = 60.0
"""Seconds that a measurement takes."""

Key = tuple[int, int]


class FakeSettings(DriverSettings):
    """Settings of every fake.

    Attributes:
        seed: of the draw which commands go wrong.
        share: of the commands that go wrong; of good fakes none do.
    """

    seed: int = 0
    share: float = Field(default=1.0, ge=0.0, le=1.0)


@dataclass(frozen=True)
class Pressed:
    """What the press read: the highest force, kN."""

    peak: Annotated[float, Unit("kN")]


@dataclass(frozen=True)
class Gauged:
    """What the gauge read: the pellet's thickness, mm, with its standard uncertainty."""

    thickness: Annotated[float, Unit("mm")]
    thickness_uncertainty: Annotated[float, Unit("mm")]


def press_seconds(arguments: Mapping[str, Any]) -> float:
    """Return how long a pressing takes, s."""
    return 30.0 + 60.0 * float(arguments["hold"])


class GoodPress(Instrument):
    """Fake press with a thickness gauge: does what a driver must do."""

    nature = "simulated"
    settings_model = FakeSettings
    readings: ClassVar[Mapping[str, str] | None] = {"state": "dimensionless", "force": "kN"}
    device_class: ClassVar[type[Device]] = Device
    breaks: ClassVar[str] = ""
    """Name of the one rule that a deliberately broken fake breaks."""

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        if world is None:
            raise DriverError(f"{name}: a fake needs a world; give the lab file 'world: {{seed: 1}}'")
        if not isinstance(settings, FakeSettings):
            raise DriverError(f"{name}: settings must be FakeSettings, got {type(settings).__name__}")
        self.device = self.device_class(name, world, clock, settings.seed, settings.share)
        self.line = Line(clock, self.device.answer)

    async def ask(self, verb: str, key: Key = (0, 0), **content: Any) -> Message:  # noqa: ANN401  as the verb wants it
        """Ask the device and wait for the answer to this very question.

        Raises:
            TimeoutError: there was none in time.
        """
        return await self.line.receive(self.line.send({"verb": verb, **content}), key)

    async def connect(self) -> None:
        """Ask the device how it is."""
        await self.ask("state")

    async def close(self) -> None:
        """Close the line."""
        self.line.close()

    @action(effect="irreversible", duration=press_seconds, abortable=True)
    async def press(
        self,
        ctx: Context,
        force: Annotated[float, Unit("kN"), Limits(1.0, 100.0)],
        hold: Annotated[float, Unit("min"), Limits(1.0, 60.0)],
        die: Literal["round", "square"],
    ) -> Pressed:
        """Press a pellet."""
        del force, die
        return Pressed(**await self.carry_out(ctx, press_seconds({"hold": hold})))

    @action(effect="reads", duration=f"{GAUGING:g} s")
    async def gauge(self, ctx: Context) -> Gauged:
        """Measure a pellet's thickness."""
        values = await self.carry_out(ctx, GAUGING)
        ctx.artefact("gauge.csv", self.raw(values), "text/csv")
        return Gauged(**values)

    def raw(self, values: Mapping[str, float]) -> bytes:
        """Return what the gauge wrote to its disk."""
        return f"# instrument: {self.name}\n# simulated: true\nthickness_mm\n{values['thickness']!r}\n".encode()

    async def carry_out(self, ctx: Context, seconds: float) -> dict[str, Any]:
        """Have a job done: send it, ask until it is over, read the result.

        Raises:
            InstrumentFault: the device refused it, or it was stopped.
            OutcomeUnknown: the device did not answer any more.
        """
        key = (ctx.command.experiment, ctx.command.step)
        try:
            started = await self.ask("start", key, command=ctx.command, seconds=seconds)
            if "error" in started:
                raise InstrumentFault(f"{self.name}: {started['error']}")
            while (job := await self.ask("job", key, id=ctx.command.id))["job"] == "running":
                await ctx.sleep(min(POLL, max(job["ends"] - ctx.clock.now(), 0.1)))
            if job["job"] != "over":
                raise InstrumentFault(f"{self.name}: {ctx.command.action} was stopped at {job.get('over')}")
            result = await self.ask("result", key, id=ctx.command.id)
        except TimeoutError as error:
            raise OutcomeUnknown(f"{self.name}: {error}; look at the press whether it worked") from error
        if "error" in result:
            raise InstrumentFault(f"{self.name}: {result['error']}")
        return dict(result["values"])

    async def health(self) -> Health:
        """Ask the device."""
        try:
            state = (await self.ask("state"))["state"]
        except TimeoutError as error:
            return Health("disconnected", str(error))
        return Health("fault", "the ram is jammed") if state == "jammed" else Health("ok", str(state))

    async def read_state(self) -> Mapping[str, Reading]:
        """Read what goes on and the force: two questions at once, each with its own answer."""
        state, force = self.line.send({"verb": "state"}), self.line.send({"verb": "force"})
        first, second = await self.line.receive(state), await self.line.receive(force)
        return {
            "state": Reading(str(first["state"]), "dimensionless", first["moment"]),
            "force": Reading(float(second["force"]), "kN", second["moment"]),
        }

    async def safe_state(self) -> SafeReport:
        """Open the valve, and read back that nothing presses."""
        try:
            await self.ask("off")
            force = float((await self.ask("force"))["force"])
        except TimeoutError as error:
            return SafeReport(confirmed=False, message=f"valve: {error}")
        return SafeReport(confirmed=force == 0.0, message=f"valve opened, {force:g} kN read back")

    async def reconcile(self, command: Command) -> Reconciled:
        """Ask the device for the job: it keeps a list of its own."""
        try:
            job = await self.ask("job", id=command.id)
            if job["job"] == "never heard of":
                return Reconciled("not_started")
            times = {"started": job["begins"], "finished": job["over"]}
            if job["job"] == "running":
                return Reconciled("running", started=job["begins"], ends=job["ends"])
            if job["job"] == "stopped":
                return Reconciled("done", error=f"{self.name}: {command.action} was stopped", **times)
            result = await self.ask("result", id=command.id)
        except TimeoutError:
            return Reconciled("unknown")
        if "error" in result:
            return Reconciled("done", error=f"{self.name}: {result['error']}", **times)
        artefacts: tuple[ArtefactRef, ...] = ()
        if command.action == "gauge":
            artefacts = (self.store("gauge.csv", self.raw(result["values"]), "text/csv"),)
        return Reconciled("done", result["values"], artefacts, **times)

    async def abort(self, command: Command) -> bool:
        """Open the valve, where this command is under way."""
        return bool((await self.ask("stop", id=command.id))["stopped"])

    def simulate_fault(self) -> None:
        """Jam the ram; for the conformance suite."""
        self.device.jammed = True

    def simulate_lost_replies(self) -> None:
        """Lose every answer from now on; for the conformance suite."""
        self.line.deaf = True
