"""A small campaign with drivers of its own, so that every kind of mistake can be made in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml

from sdl.campaign import Files, draft_of, parse_document
from sdl.driver import Context, DriverSettings, InputFile, Instrument, Limits, Unit, action, registry
from sdl.errors import FileProblems
from sdl.preflight import Checked, check, check_draft

ROOT = Path(__file__).parents[2]


@dataclass
class OvenResult:
    yield_: Annotated[float, Unit("percent")]
    purity: Annotated[float, Unit("percent")]
    purity_uncertainty: Annotated[float, Unit("percent")]
    colour: str


class OvenSettings(DriverSettings):
    port: int = 1
    password: str = ""
    calibration: InputFile | None = None


class Oven(Instrument):
    """An oven."""

    nature = "simulated"
    settings_model = OvenSettings

    @action(effect="irreversible", duration="1 h")
    async def bake(
        self,
        ctx: Context,
        temperature: Annotated[float, Unit("degC"), Limits(25, 1200)],
        hold: Annotated[float, Unit("h"), Limits(0, 48)],
        gas: Literal["air", "argon"] = "air",
        times: Annotated[int, Limits(1, 5)] = 1,
        band: Annotated[float, Unit("delta_degC"), Limits(0, 20)] = 1.0,
        label: str = "",
        slow: bool = False,
    ) -> OvenResult:
        """Bake."""
        raise NotImplementedError


class RealOven(Oven):
    """An oven that gets hot."""

    nature = "real"
    simulator = "oven"


class LonelyOven(Oven):
    """An oven that nothing stands in for."""

    nature = "real"


class Broken(Oven):
    """A driver with a fault."""

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "") -> Any:
        raise KeyError("oops")


DRIVERS = {"oven": Oven, "real_oven": RealOven, "lonely_oven": LonelyOven, "broken": Broken}


class Point:
    """An entry point."""

    def __init__(self, name: str, driver: type[Instrument]) -> None:
        self.name, self.value, self._driver = name, f"test:{driver.__name__}", driver

    def load(self) -> type[Instrument]:
        return self._driver


@pytest.fixture
def own_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    known = registry._points()
    monkeypatch.setattr(registry, "_points", lambda: {**known, **{n: Point(n, d) for n, d in DRIVERS.items()}})


BASE = """\
name: cookies
description: A campaign for tests.
space:
  parameters:
    temperature: {type: continuous, bounds: [100, 250], unit: degC}
    hold: {type: continuous, bounds: [0.5, 4], unit: h, scale: log}
    gas: {type: categorical, values: [air, argon]}
    times: {type: integer, bounds: [1, 3]}
  constraints:
    - {type: linear, terms: {temperature: 1, hold: 10}, at_most: 270}
objectives:
  purity: {goal: maximize, unit: percent}
outcome_constraints:
  yielded: {at_least: 0.5}
protocol:
  - instrument: oven
    action: bake
    with: {temperature: $temperature, hold: $hold, gas: $gas, times: $times, band: 2 K, slow: true}
    gives: {purity: purity, yielded: yield_}
lab:
  clock: {type: virtual}
  world: {seed: 3}
  instruments:
    oven: {driver: oven, settings: {port: 5}}
planner: {type: random}
stop: {experiments: 10, target: {purity: {at_least: 0.9, unit: dimensionless}}}
"""


class Bench:
    """Writes campaign files and says what is wrong with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "c.yaml"

    def check(self, text: str, **options: Any) -> Checked:
        self.path.write_text(text)
        return check(self.path, **options)

    def problems(self, text: str, **options: Any) -> list[str]:
        """Return the problems, each beginning with its place inside the folder."""
        with pytest.raises(FileProblems) as caught:
            self.check(text, **options)
        return [str(p).replace(str(self.folder) + "/", "") for p in caught.value.problems]

    def changed(self, old: str, new: str) -> str:
        assert BASE.count(old) == 1, old
        return BASE.replace(old, new)


@pytest.fixture
def bench(tmp_path: Path, own_drivers: None) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def base() -> str:
    return BASE


@pytest.fixture(scope="session")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shipped campaigns."""
    folder = tmp_path_factory.mktemp("shipped") / "campaigns"
    shutil.copytree(ROOT / "campaigns", folder)
    return folder


@pytest.fixture(scope="session")
def check_data(campaigns: Path) -> Callable[[Any], Checked]:
    """Check plain data as a campaign that lies among the shipped ones."""

    def run(data: Any) -> Checked:
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        return check_draft(draft_of(parse_document(text, "c.yaml"), Files(campaigns)))

    return run
