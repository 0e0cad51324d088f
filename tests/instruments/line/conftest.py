"""A whole simulated ceramics line with a virtual clock, an in-memory world and a store that keeps bytes."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from sdl.clock import VirtualClock
from sdl.driver import ArtefactRef, Command, Context, Instrument, get_driver
from sdl.world import World

DRIVERS = {
    "dispenser": "simulated_line_dispenser",
    "mill": "simulated_mill",
    "press": "simulated_press",
    "furnace": "simulated_batch_furnace",
    "arm": "simulated_robot_arm",
    "diffractometer": "simulated_diffractometer",
    "microscope": "simulated_electron_microscope",
    "impedance": "simulated_line_impedance_analyser",
    "pycnometer": "simulated_line_pycnometer",
}

AT = {
    "dispenser": "tray",
    "mill": "mill",
    "press": "press",
    "furnace": "rack",
    "diffractometer": "diffractometer",
    "microscope": "microscope",
    "impedance": "cell",
    "pycnometer": "pycnometer",
}
"""Instrument → its place; the arm has none."""

SETTINGS = {
    "places": {
        "tray": 12,
        "rack": 8,
        "archive": 100,
        "bin": 100,
        **dict.fromkeys(("mill", "press", "diffractometer", "microscope", "cell", "pycnometer"), 1),
    },
    "containers": {"alumina_crucible": 1700.0, "steel_tray": 900.0},
    "consumables": {"garnet_powder": [500.0, "g"]},
}
"""What a lab file says, as the world gets it."""

WEIGH = {"li_excess": 0.1, "gallium": 0.2, "mass": 1.5}
MILL = {"duration": 6.0, "speed": 300.0}
PRESS = {"pressure": 200.0, "container": "alumina_crucible"}
SINTER = {"temperature": 1150.0, "hold": 4.0, "ramp": 5.0, "atmosphere": "oxygen"}
READ = {
    "diffractometer": ("scan", {"time_per_step": 1.0}),
    "microscope": ("image", {"grains_across": 20.0}),
    "impedance": ("measure", {}),
    "pycnometer": ("measure", {}),
}


@dataclass
class Line:
    """The line without a lab server."""

    world: World = field(default_factory=lambda: World(1, settings=SETTINGS))
    clock: VirtualClock = field(default_factory=VirtualClock)
    artefacts: dict[str, bytes] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=lambda: DRIVERS)

    def __post_init__(self) -> None:
        self.failed: dict[str, str] = {}
        self.instruments: dict[str, Instrument] = {}
        for name, driver in self.names.items():
            cls = get_driver(driver)
            settings = cls.settings_model.model_validate(dict(self.settings.get(name, {})))
            self.instruments[name] = cls(name, settings, clock=self.clock, world=self.world)
            self.instruments[name].store = self.store

    def store(self, name: str, data: bytes, media_type: str) -> ArtefactRef:
        digest = hashlib.sha256(data).hexdigest()
        self.artefacts[digest] = data
        return ArtefactRef(name, digest, len(data), media_type)

    def command(
        self, instrument: str, action: str, arguments: Mapping[str, Any], *samples: str, occurrence: int = 0
    ) -> Command:
        return Command(
            str(uuid.uuid4()), "test", 1, 1, 0, instrument, action, dict(arguments), samples or ("s1",), occurrence
        )

    async def do(self, command: Command) -> Mapping[str, Any]:
        """Check a command's arguments as a lab server does, and carry it out."""
        instrument = self.instruments[command.instrument]
        spec = type(instrument).describe(instrument.settings).actions[command.action]
        arguments = spec.check(command.arguments)
        place = AT.get(command.instrument) if "places" in self.world.settings else None
        context = Context(command, self.clock, self.world, self.store, place=place, failed=self.failed)
        values = await instrument.perform(command.action, context, arguments)
        assert spec.check_result(values) is None
        return values

    async def start(self, command: Command) -> asyncio.Task[Mapping[str, Any]]:
        """Start a command as an actor of its own."""

        async def actor() -> Mapping[str, Any]:
            with self.clock.actor():
                return await self.do(command)

        task = asyncio.ensure_future(actor())
        await asyncio.sleep(0)
        return task

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            with self.clock.actor():
                return await work()

        return asyncio.run(main())

    def carry_out(self, *commands: Command) -> list[Mapping[str, Any]]:
        async def work() -> list[Mapping[str, Any]]:
            return [await self.do(command) for command in commands]

        return self.run(work)

    def weigh(self, sample: str = "s1", **changes: Any) -> Command:
        return self.command("dispenser", "weigh", {**WEIGH, **changes}, sample)

    def mill(self, sample: str = "s1", **changes: Any) -> Command:
        return self.command("mill", "mill", {**MILL, **changes}, sample)

    def press(self, sample: str = "s1", **changes: Any) -> Command:
        return self.command("press", "press", {**PRESS, **changes}, sample)

    def sinter(self, *samples: str, **changes: Any) -> Command:
        return self.command("furnace", "sinter", {**SINTER, **changes}, *samples)

    def move(self, to: str, sample: str = "s1", occurrence: int = 0) -> Command:
        return self.command("arm", "move", {"to": to}, sample, occurrence=occurrence)

    def read(self, instrument: str, sample: str = "s1", occurrence: int = 0) -> Command:
        action, arguments = READ[instrument]
        return self.command(instrument, action, arguments, sample, occurrence=occurrence)

    def until_pressed(self, sample: str = "s1", **changes: Any) -> list[Command]:
        """Return the commands that bring a new sample into the rack, pressed."""
        weigh = {k: v for k, v in changes.items() if k in WEIGH}
        mill = {k: v for k, v in changes.items() if k in MILL}
        press = {k: v for k, v in changes.items() if k in PRESS}
        return [
            self.weigh(sample, **weigh),
            self.move("mill", sample),
            self.mill(sample, **mill),
            self.move("press", sample, 1),
            self.press(sample, **press),
            self.move("rack", sample, 2),
        ]

    def measuring(self, sample: str = "s1") -> list[Command]:
        """Return the commands that measure a fired sample everywhere and put it away."""
        found = []
        for number, instrument in enumerate(READ):
            found += [self.move(AT[instrument], sample, 3 + number), self.read(instrument, sample)]
        return [*found, self.move("archive", sample, 7)]


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def make_line() -> type[Line]:
    return Line


@pytest.fixture
def line_settings() -> dict[str, Any]:
    """What the lab file says, as the world gets it."""
    return {key: dict(value) for key, value in SETTINGS.items()}
