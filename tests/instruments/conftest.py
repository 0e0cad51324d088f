"""What the tests of drivers share: a lab with a virtual clock, an in-memory world and a store that keeps bytes."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sdl.clock import VirtualClock
from sdl.driver import ArtefactRef, Command, Context, Instrument, get_driver
from sdl.world import World

DRIVERS = {
    "dispenser": "simulated_dispenser",
    "furnace": "simulated_box_furnace",
    "impedance": "simulated_impedance_analyser",
    "pycnometer": "simulated_pycnometer",
}


@dataclass
class Bench:
    """The simulated ceramics lab without a lab server."""

    world: World = field(default_factory=lambda: World(seed=1))
    clock: VirtualClock = field(default_factory=VirtualClock)
    artefacts: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.instruments: dict[str, Instrument] = {}
        for name, driver in DRIVERS.items():
            cls = get_driver(driver)
            self.instruments[name] = cls(name, cls.settings_model(), clock=self.clock, world=self.world)
            self.instruments[name].store = self.store

    def store(self, name: str, data: bytes, media_type: str) -> ArtefactRef:
        """Keep bytes by content."""
        digest = hashlib.sha256(data).hexdigest()
        self.artefacts[digest] = data
        return ArtefactRef(name, digest, len(data), media_type)

    def command(
        self, instrument: str, action: str, arguments: Mapping[str, Any], sample: str = "s1", occurrence: int = 0
    ) -> Command:
        """Return a new command."""
        return Command(str(uuid.uuid4()), "test", 1, 1, 0, instrument, action, dict(arguments), (sample,), occurrence)

    async def do(self, command: Command) -> Mapping[str, Any]:
        """Check a command's arguments as a lab server does, and carry it out."""
        instrument = self.instruments[command.instrument]
        spec = type(instrument).describe(instrument.settings).actions[command.action]
        arguments = spec.check(command.arguments)
        context = Context(command, self.clock, self.world, self.store)
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
        """Run a coroutine as an actor of the virtual clock."""

        async def main() -> Any:
            with self.clock.actor():
                return await work()

        return asyncio.run(main())

    def carry_out(self, *commands: Command) -> list[Mapping[str, Any]]:
        """Carry commands out one after another."""

        async def work() -> list[Mapping[str, Any]]:
            return [await self.do(command) for command in commands]

        return self.run(work)

    def weigh(self, sample: str = "s1", li_excess: float = 0.1, mass: float = 2.0) -> Command:
        return self.command("dispenser", "weigh", {"li_excess": li_excess, "mass": mass}, sample)

    def sinter(self, sample: str = "s1", **changes: Any) -> Command:
        recipe = {"temperature": 1150.0, "hold": 4.0, "atmosphere": "oxygen", "firings": 1, **changes}
        return self.command("furnace", "sinter", recipe, sample)

    def measure(self, instrument: str, sample: str = "s1", occurrence: int = 0) -> Command:
        return self.command(instrument, "measure", {}, sample, occurrence)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def make_bench() -> type[Bench]:
    return Bench


@pytest.fixture
def world_file(tmp_path: Path) -> Path:
    return tmp_path / "world.jsonl"
