"""By which lock an instrument belongs to one process."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from labkit import Oven, plan_of

from sdl.clock import RealClock
from sdl.driver import DriverSettings
from sdl.errors import NameInUseError
from sdl.lab import EmbeddedLab, InstrumentPlan, LabPlan
from sdl.lab.claims import lock_folder, lock_name
from sdl.world import World


class Wired(Oven):
    """An oven at a serial line."""

    nature = "real"

    @classmethod
    def transport(cls, settings: DriverSettings) -> str | None:
        return "serial:/dev/ttyUSB0"


class Bare(Oven):
    """An oven that does not know its line."""

    nature = "real"


def lab_of(name: str, oven: str, kind: type[Oven], locks: Path) -> EmbeddedLab:
    settings = DriverSettings()
    plan = InstrumentPlan(oven, kind.__name__, kind, settings, kind.describe(settings))
    lab = LabPlan(name, plan_of().clock, {}, {oven: plan})
    return EmbeddedLab(lab, RealClock(), lambda *_: None, World(1), locks)


@pytest.mark.parametrize(
    ("one", "two", "clash"),
    [
        (("a", "oven", Wired), ("b", "kiln", Wired), True),  # one line, whatever it is called
        (("a", "oven", Bare), ("a", "oven", Bare), True),
        (("a", "oven", Bare), ("b", "oven", Bare), False),
        (("a", "oven", Bare), ("a", "kiln", Bare), False),
        (("a", "oven", Bare), ("a", "oven", Wired), False),
    ],
)
def test_one_process_drives_one_device(tmp_path, one, two, clash):
    async def main():
        first, second = lab_of(*one, tmp_path), lab_of(*two, tmp_path)
        await first.open()
        if clash:
            with pytest.raises(NameInUseError, match=f"is being driven by process {os.getpid()} on"):
                await second.open()
            await first.close()
        await second.open()
        await second.close()
        await first.close()

    asyncio.run(main())


def test_a_lock_can_be_a_file():
    plan = plan_of().instruments["oven"]
    odd = type("Odd", (Oven,), {"transport": classmethod(lambda cls, settings: "tcp:[::1]:5/../x" * 20)})
    name = lock_name("lab", replace(plan, make=odd))
    assert "/" not in name
    assert len(name) < 100
    assert lock_name("lab", plan) == "instrument-lab-oven"


def test_the_folder_is_one_for_all_homes(monkeypatch, tmp_path):
    monkeypatch.setenv("SDL_LOCKS", str(tmp_path / "shared"))
    assert lock_folder() == tmp_path / "shared"
    monkeypatch.delenv("SDL_LOCKS")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("SDL_HOME", str(tmp_path / "one"))
    here = lock_folder()
    monkeypatch.setenv("SDL_HOME", str(tmp_path / "two"))
    assert lock_folder() == here
    assert here.name == "locks"
