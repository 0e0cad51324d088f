"""The files of `sdl new driver`, as templates: $$name, $$Class, $$title and $$Title are filled in."""

PYPROJECT = """
[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"

[project]
name = "$name"
version = "0.1.0"
description = "Driver of the $title for the sdl platform, with its simulator."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["sdl"]

# This is all that makes it known to sdl: name = "module:class".
[project.entry-points."sdl.drivers"]
$name = "$name.driver:$Class"
simulated_$name = "$name.simulator:Simulated$Class"

[tool.setuptools]
packages = ["$name"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
"""

README = """
# $name

Driver of the $title for the sdl platform, and its simulator. As it was generated, it drives a heated plate that nobody owns.

    python -m pytest                        # the conformance suite on the simulator, and the transport; passes at once
    pip install --no-build-isolation -e .   # now sdl knows it
    sdl drivers                             # lists $name and simulated_$name
    sdl drivers describe $name
    sdl drivers check simulated_$name       # the same suite from the terminal

## Make it yours, in this order

1. `$name/device.py`: how your device is asked (here: a line of text each way, over TCP). Nothing else knows it.
2. `$name/driver.py`: the actions. Units and limits stand in the signature; the platform checks them before anything moves.
3. `$name/simulator.py`: a device that exists only in the computer. It answers the same questions, so that the driver
   that you test is the driver that you run. What it does stands in the simulated world's record, and goes on when a process dies.
4. `python -m pytest`: each rule that breaks says what it found, what the rule is and why it matters.

## What the platform relies on

- An action returns when it was *read back* that it is done, not when it was sent.
- No answer after sending is not a failure: raise `OutcomeUnknown`, and a person or `reconcile` settles it.
- `reconcile` says what the device knows of a command; in doubt `unknown`, never a guess.
- `safe_state` works in a fault and confirms only what was read back.
- Every wait goes through `ctx.sleep` or the clock; nothing blocks the event loop.

## In a campaign

    lab:
      allow_real: true
      instruments:
        plate: {driver: $name, settings: {host: 192.168.0.7}}
    protocol:
      - {instrument: plate, action: heat, with: {temperature: 120 degC, hold: 10 min}, gives: {reached: reached}}

`sdl run FILE --simulate` puts `simulated_$name` in its place.
"""

INIT = '''
"""Driver of the $title, and its simulator."""

from $name.driver import $Class
from $name.simulator import Simulated$Class

__all__ = ["$Class", "Simulated$Class"]
'''

DEVICE = '''
"""How the $title is asked: one line of text each way.

    START job sample occurrence celsius minutes   OK | ERROR why
    JOB job                                       NONE | RUNNING begun ends | DONE begun ended celsius | STOPPED begun ended
    STOP job                                      OK | NO
    OFF                                           OK
    STATE?                                        IDLE | HEATING job | FAULT why
    TEMP?                                         celsius

Moments are seconds since 1970. The job's name is the command's id: so the device can be asked after a crash what became of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol
from urllib.parse import quote

ANSWER_WITHIN = 5.0
"""Seconds within which the device answers."""


class Transport(Protocol):
    """Takes a line to the device and brings its answer back."""

    async def open(self) -> None:
        """Open the line; raises where nobody is there."""

    async def ask(self, line: str) -> str:
        """Send a line, return the answer. Raises TimeoutError where none came."""

    async def close(self) -> None:
        """Close the line; again does nothing."""


class TcpTransport:
    """Lines over TCP. One question at a time, for an answer has no name on it."""

    def __init__(self, host: str, port: int, answer_within: float = ANSWER_WITHIN) -> None:
        self._host, self._port, self._within = host, port, answer_within
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Connect."""
        self._streams = await asyncio.wait_for(asyncio.open_connection(self._host, self._port), self._within)

    async def ask(self, line: str) -> str:
        """Send a line, return the answer."""
        async with self._turn:
            if self._streams is None:
                await self.open()
            assert self._streams is not None
            reader, writer = self._streams
            try:
                writer.write(line.encode() + b"\\n")
                answer = await asyncio.wait_for(reader.readline(), self._within)
            except BaseException:
                # A late answer must not be taken for that to the next question: begin anew.
                await self.close()
                raise
            if not answer.endswith(b"\\n"):
                await self.close()
                raise TimeoutError("the line was closed before the answer was complete")
            return answer.decode().strip()

    async def close(self) -> None:
        """Disconnect."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):  # a line that broke is closed as well
                await writer.wait_closed()


class Device:
    """The device's questions and answers as methods; knows no platform."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def start(self, job: str, sample: str, occurrence: int, celsius: float, minutes: float) -> str | None:
        """Begin to heat; returns why not, or None."""
        answer = await self.transport.ask(f"START {job} {quote(sample, safe='')} {occurrence} {celsius!r} {minutes!r}")
        return None if answer == "OK" else answer.removeprefix("ERROR ")

    async def job(self, job: str) -> list[str]:
        """Return what is known of a job, word by word."""
        return (await self.transport.ask(f"JOB {job}")).split()

    async def stop(self, job: str) -> bool:
        """Stop a job; returns whether it was running."""
        return await self.transport.ask(f"STOP {job}") == "OK"

    async def off(self) -> None:
        """Switch the heater off; works in a fault too."""
        await self.transport.ask("OFF")

    async def state(self) -> str:
        """Return what goes on."""
        return await self.transport.ask("STATE?")

    async def temperature(self) -> float:
        """Read the thermocouple, degC."""
        return float(await self.transport.ask("TEMP?"))
'''

DRIVER = '''
"""Driver of the $title."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from sdl.driver import (
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
from sdl.errors import InstrumentFault, OutcomeUnknown

from $name.device import Device, TcpTransport, Transport

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.world import World

POLL = 20.0
"""Seconds between two questions whether a job is over."""


class ${Class}Settings(DriverSettings):
    """Settings of the $title.

    Attributes:
        host: where it is on the network.
        port: its TCP port.
    """

    host: str = "127.0.0.1"
    port: int = 7000


@dataclass(frozen=True)
class Heated:
    """What the device's log says: the temperature at the end of the hold."""

    reached: Annotated[float, Unit("degC")]


@dataclass(frozen=True)
class Temperature:
    """What the thermocouple reads."""

    temperature: Annotated[float, Unit("degC")]


def heat_seconds(arguments: Mapping[str, Any]) -> float:
    """Return how long heating takes, s: a minute to get there, and the hold."""
    return 60.0 + 60.0 * float(arguments["hold"])


class $Class(Instrument):
    """$Title: heats a sample and holds it at temperature."""

    nature = "real"
    settings_model = ${Class}Settings
    readings = {"state": "dimensionless", "temperature": "degC"}  # always there: interlocks can rely on them
    simulator = "simulated_$name"

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        self.device = Device(self.make_transport())

    def make_transport(self) -> Transport:
        """Return the line to the device; the simulator has one of its own."""
        settings = self.settings
        assert isinstance(settings, ${Class}Settings)
        return TcpTransport(settings.host, settings.port)

    async def connect(self) -> None:
        """Open the line and ask the device something."""
        await self.device.transport.open()
        await self.device.state()

    async def close(self) -> None:
        """Close the line; the device goes on with what it does."""
        await self.device.transport.close()

    @action(effect="irreversible", duration=heat_seconds, abortable=True)
    async def heat(
        self,
        ctx: Context,
        temperature: Annotated[float, Unit("degC"), Limits(25.0, 300.0)],
        hold: Annotated[float, Unit("min"), Limits(1.0, 600.0)],
    ) -> Heated:
        """Heat a sample and hold it."""
        job = ctx.command.id
        try:
            problem = await self.device.start(job, ctx.sample, ctx.command.occurrence, temperature, hold)
            if problem is not None:
                raise InstrumentFault(f"{self.name}: {problem}")
            # Done means read back: ask until the device says so.
            while (said := await self.device.job(job))[0] == "RUNNING":
                await ctx.sleep(min(POLL, max(float(said[2]) - ctx.clock.now(), 0.1)))
        except (TimeoutError, ConnectionError) as error:
            # Sent, and no answer: neither done nor failed. reconcile, or a person, will tell.
            raise OutcomeUnknown(f"{self.name}: {error or 'no answer'}; look at the device whether it heats") from error
        if said[0] != "DONE":
            raise InstrumentFault(f"{self.name}: heating ended early ({' '.join(said)})")
        return Heated(float(said[3]))

    @action(effect="reads")
    async def measure(self, ctx: Context) -> Temperature:
        """Read the plate's temperature."""
        del ctx
        return Temperature(await self.device.temperature())

    async def health(self) -> Health:
        """Ask the device; never answer from memory."""
        try:
            state = await self.device.state()
        except (TimeoutError, ConnectionError) as error:
            return Health("disconnected", str(error) or "no answer")
        return Health("fault", state) if state.startswith("FAULT") else Health("ok", state.lower())

    async def read_state(self) -> Mapping[str, Reading]:
        """Read what goes on and the temperature."""
        state, celsius = await self.device.state(), await self.device.temperature()
        now = self.clock.now()
        return {"state": Reading(state.lower(), "dimensionless", now), "temperature": Reading(celsius, "degC", now)}

    async def safe_state(self) -> SafeReport:
        """Switch the heater off and read back that it is."""
        try:
            await self.device.off()
            state = await self.device.state()
        except (TimeoutError, ConnectionError) as error:
            return SafeReport(confirmed=False, message=f"heater: {error or 'no answer'}")
        return SafeReport(confirmed=not state.startswith("HEATING"), message=f"heater switched off, reads {state.lower()}")

    async def reconcile(self, command: Command) -> Reconciled:
        """Ask the device what became of a command: it keeps a list of its jobs."""
        if command.action == "measure":
            return Reconciled("not_started")  # nothing of a reading is left; it may be taken again
        try:
            said = await self.device.job(command.id)
        except (TimeoutError, ConnectionError):
            return Reconciled("unknown")
        if said[0] == "NONE":
            return Reconciled("not_started")
        begun, ended = float(said[1]), float(said[2])
        if said[0] == "RUNNING":
            return Reconciled("running", started=begun, ends=ended)
        if said[0] == "DONE":
            return Reconciled("done", {"reached": float(said[3])}, started=begun, finished=ended)
        return Reconciled("done", error=f"{self.name}: heating was stopped", started=begun, finished=ended)

    async def abort(self, command: Command) -> bool:
        """Stop this command, if it is the one that runs."""
        return command.action == "heat" and await self.device.stop(command.id)
'''

SIMULATOR = '''
"""The $title that exists only in the computer: it answers the same lines, and what it does stands in the world's record.

Its answers follow from that record alone, and every draw from the world's seed, the sample and the action: so it goes on when the
process that drives it dies, and says the same to the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from sdl.driver import Command
from sdl.errors import DriverError

from $name.device import ANSWER_WITHIN, Transport
from $name.driver import $Class, heat_seconds

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.world import Operation, World

ROOM, NOISE = 25.0, 0.3
"""Temperature when nothing heats, and standard deviation of the thermocouple, degC. Chosen."""


class SimulatedTransport:
    """A line at whose other end a simulated device answers at once."""

    def __init__(self, name: str, clock: Clock, world: World) -> None:
        self.name, self.clock, self.world = name, clock, world
        self.fault = ""
        self.deaf = False

    async def open(self) -> None:
        """Be there."""

    async def close(self) -> None:
        """Be there still."""

    async def ask(self, line: str) -> str:
        """Answer as the device does."""
        verb, *words = line.split()
        answer = getattr(self, "on_" + verb.rstrip("?").lower())(*words)
        if self.deaf:  # it was heard and done, and the answer got lost
            await self.clock.sleep(ANSWER_WITHIN)
            raise TimeoutError(f"no answer within {ANSWER_WITHIN:g} s")
        return str(answer)

    def on_start(self, job: str, sample: str, occurrence: str, celsius: str, minutes: str) -> str:
        """Begin to heat."""
        if self.fault:
            return f"ERROR {self.fault}"
        if self.running() is not None:
            return "ERROR busy"
        arguments = {"temperature": float(celsius), "hold": float(minutes)}
        command = Command(job, "", 0, 0, 0, self.name, "heat", arguments, (unquote(sample),), int(occurrence))
        self.world.begin(command, self.clock.now(), heat_seconds(arguments))
        return "OK"

    def on_job(self, job: str) -> str:
        """Say what became of a job."""
        found = self.world.operation(job)
        if found is None:
            return "NONE"
        if self.clock.now() < found.over:
            return f"RUNNING {found.begins!r} {found.ends!r}"
        if found.aborted is not None:
            return f"STOPPED {found.begins!r} {found.over!r}"
        return f"DONE {found.begins!r} {found.over!r} {self.celsius(found)!r}"

    def on_stop(self, job: str) -> str:
        """Stop a job."""
        found = self.running()
        if found is None or found.command != job:
            return "NO"
        self.world.abort(job, self.clock.now())
        return "OK"

    def on_off(self) -> str:
        """Switch the heater off, in a fault too."""
        found = self.running()
        if found is not None:
            self.world.abort(found.command, self.clock.now())
        return "OK"

    def on_state(self) -> str:
        """Say what goes on."""
        found = self.running()
        return f"FAULT {self.fault}" if self.fault else "IDLE" if found is None else f"HEATING {found.command}"

    def on_temp(self) -> str:
        """Read the thermocouple."""
        found = self.running()
        return repr(ROOM if found is None else self.celsius(found))

    def running(self) -> Operation | None:
        """Return the job that runs, or None."""
        now = self.clock.now()
        mine = [o for o in self.world.all_operations() if o.instrument == self.name and o.begins <= now < o.over]
        return mine[-1] if mine else None

    def celsius(self, job: Operation) -> float:
        """Return what the thermocouple reads during a job."""
        noise = self.world.rng(job.sample, job.action, job.occurrence, f"{self.name}: thermocouple").normal()
        return float(job.arguments["temperature"]) + NOISE * float(noise)


class Simulated$Class($Class):
    """Simulated $title: the same driver on a device that exists only in the computer."""

    nature = "simulated"
    simulator = None

    def make_transport(self) -> Transport:
        """Return the line to the simulated device."""
        if self.world is None:
            raise DriverError(f"{self.name}: a simulator needs a world; give the lab file 'world: {{seed: 1}}'")
        self.line = SimulatedTransport(self.name, self.clock, self.world)
        return self.line

    def simulate_fault(self) -> None:
        """Break the thermocouple; the conformance suite asks for it."""
        self.line.fault = "thermocouple broken"

    def simulate_lost_replies(self) -> None:
        """Lose every answer from now on; the conformance suite asks for it."""
        self.line.deaf = True
'''

TESTS = '''
"""The driver: the conformance suite on its simulator, one test a rule, and the real line against a small server."""

from __future__ import annotations

import asyncio

import pytest
from sdl.testing import conformance_tests

from $name import $Class, Simulated$Class
from $name.device import Device, TcpTransport
from $name.driver import ${Class}Settings

test_$name = conformance_tests(Simulated$Class, arguments={"heat": {"temperature": 120.0, "hold": 10.0}})


def test_the_simulator_has_the_actions_of_the_real_one():
    settings = ${Class}Settings()
    assert Simulated$Class.describe(settings).actions == $Class.describe(settings).actions


def talk(answers, work):
    """Run `work` with the real transport; each question gets the next of the answers, None is none at all."""

    async def main():
        left, served = iter(answers), []

        async def serve(reader, writer):
            served.append(asyncio.current_task())
            while await reader.readline():
                answer = next(left)
                if answer is not None:
                    writer.write(answer.encode() + b"\\n")
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        transport = TcpTransport(*server.sockets[0].getsockname()[:2], answer_within=0.5)
        try:
            return await work(Device(transport))
        finally:
            await transport.close()
            server.close()
            await asyncio.gather(*served)

    return asyncio.run(main())


def test_the_real_line():
    async def work(device):
        return await device.temperature(), await device.stop("j1"), await device.start("j1", "a b", 0, 120.0, 10.0)

    assert talk(["119.5", "NO", "ERROR busy"], work) == (119.5, False, "busy")


def test_no_answer_is_a_timeout_and_the_next_question_gets_its_own():
    async def work(device):
        with pytest.raises(TimeoutError):
            await device.temperature()
        return await device.state()

    assert talk([None, "IDLE"], work) == "IDLE"
'''

FILES = {
    "pyproject.toml": PYPROJECT,
    "README.md": README,
    "$name/__init__.py": INIT,
    "$name/device.py": DEVICE,
    "$name/driver.py": DRIVER,
    "$name/simulator.py": SIMULATOR,
    "tests/test_$name.py": TESTS,
}
"""Path → text, both templates."""
