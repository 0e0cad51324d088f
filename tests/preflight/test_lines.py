# ruff: noqa: E501  a mistake and its message stand on one line
"""The way of a sample, its container, what it uses up: everything wrong with them is said before anything moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest

from sdl.driver import Context, Instrument, Limits, Role, Unit, Use, action
from sdl.errors import FileProblems
from sdl.preflight import check


class Maker(Instrument):
    """Makes samples of powder."""

    nature = "simulated"

    @action(effect="irreversible", uses=[Use("powder", "mass"), Use("cups")])
    async def make(
        self,
        ctx: Context,
        mass: Annotated[float, Unit("g"), Limits(0, 10)],
        cup: Annotated[str, Role("container")] = "alumina",
    ) -> None:
        """Make a sample."""


class Arm(Instrument):
    """Carries samples."""

    nature = "simulated"

    @action(effect="irreversible")
    async def move(self, ctx: Context, to: Annotated[str, Role("place")]) -> None:
        """Carry a sample to a place."""


class Kiln(Instrument):
    """Fires."""

    nature = "simulated"

    @action(effect="irreversible", samples=3)
    async def fire(
        self, ctx: Context, temperature: Annotated[float, Unit("degC"), Limits(20, 1400), Role("heats")]
    ) -> None:
        """Fire samples."""


@dataclass(frozen=True)
class Weight:
    """What the scales read."""

    mass: Annotated[float, Unit("g")]


class Scales(Instrument):
    """Weighs."""

    nature = "simulated"

    @action(effect="reads")
    async def weigh(self, ctx: Context) -> Weight:
        """Weigh a sample."""
        return Weight(1.0)


BASE = """\
name: line
space:
  parameters:
    temperature: {type: continuous, bounds: [1000, 1100], unit: degC}
    mass: {type: continuous, bounds: [1, 2], unit: g}
    cup: {type: categorical, values: [alumina, quartz]}
objectives:
  mass_left: {goal: minimize, unit: g}
protocol:
  - {instrument: maker, action: make, with: {mass: $mass, cup: $cup}}
  - {instrument: arm, action: move, with: {to: rack}}
  - {instrument: kiln, action: fire, with: {temperature: $temperature}, together: {wait: 2 h}}
  - {instrument: arm, action: move, with: {to: gauge}}
  - {instrument: gauge, action: weigh, gives: {mass_left: mass}}
  - {instrument: arm, action: move, with: {to: shelf}}
on_failure:
  - {instrument: arm, action: move, with: {to: bin}}
lab:
  clock: {type: virtual}
  places: {bench: {}, rack: {capacity: 6}, gauge: {}, shelf: {capacity: 12}, bin: {capacity: 12}}
  containers: {alumina: {stands: 1700 degC}, quartz: {stands: 1373.15 K}}
  consumables: {powder: 0.1 kg, cups: 20}
  instruments:
    maker: {driver: maker, place: bench}
    arm:   {driver: arm}
    kiln:  {driver: kiln, place: rack}
    gauge: {driver: gauge, place: gauge}
concurrency: 6
planner: {type: random}
stop: {experiments: 12}
"""


@pytest.fixture
def problems(write, drivers):
    drivers(maker=Maker, arm=Arm, kiln=Kiln, gauge=Scales)

    def find(*changes: tuple[str, str]) -> list[str]:
        text = BASE
        for old, new in changes:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        try:
            check(write("line.yaml", text))
        except FileProblems as error:
            return [str(p) for p in error.problems]
        return []

    return find


def test_the_line_is_right_as_it_is(problems):
    assert problems() == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # where a sample is
        ("with: {to: rack}}", "with: {to: rak}}", "protocol[1].with.to: unknown place 'rak' (did you mean 'rack'?); allowed are 'bench', 'rack'"),
        ("with: {to: rack}}", "with: {to: shelf}}", "protocol[2]: the sample is at 'shelf' by then, but 'kiln' works at 'rack'; move it there first"),
        ("with: {to: rack}}", "with: {to: bench}}", "protocol[1].with.to: the sample is at 'bench' already by then"),
        ("with: {to: rack}}", "with: {to: $cup}}", "protocol[1].with.to: must be a fixed place"),
        ("  - {instrument: maker", "  - {instrument: arm, action: move, with: {to: rack}}\n  - {instrument: maker", "protocol[0]: there is no sample to move yet"),
        ("place: rack}", "place: rak}", "unknown place 'rak' (did you mean 'rack'?)"),
        ("rack: {capacity: 6}", "rack: {capacity: 0}", "lab.places.rack.capacity: input should be greater than or equal to 1"),
        ("rack: {capacity: 6}", "rack: 6", "lab.places.rack: must be a mapping, got 6"),
        ("rack: {capacity: 6}", "rack: {size: 6}", "lab.places.rack.size: unknown key 'size'; allowed are 'capacity'"),
        ("{to: shelf}", "{to: bench}", "protocol: finished samples stay at 'bench', which holds 1"),
        ("shelf: {capacity: 12}", "shelf: {capacity: 11}", "protocol: finished samples stay at 'shelf', which holds 11, but 12 may be made"),
        ("bin: {capacity: 12}", "bin: {}", "on_failure: failed samples stay at 'bin', which holds 1, but 12 may be made"),
        ("on_failure:\n  - {instrument: arm, action: move, with: {to: bin}}\n", "", "a failed sample would stay where it is"),
        # what it lies in
        ("cup: $cup}", "cup: platinum}", "protocol[0].with.cup: unknown container 'platinum'; allowed are 'alumina', 'quartz'"),
        ("bounds: [1000, 1100], unit: degC", "bounds: [1000, 1150], unit: degC", "protocol[2].with.temperature: $temperature may become 1150 degC, but the sample may lie in 'quartz', which stands 1100 degC"),
        ("{temperature: $temperature}", "{temperature: 1200 degC}", "protocol[2].with.temperature: the step heats to 1200 degC, but the sample may lie in 'quartz'"),
        ("quartz: {stands: 1373.15 K}", "quartz: {stands: 5 g}", "lab.containers.quartz: '5 g' is no temperature"),
        ("quartz: {stands: 1373.15 K}", "quartz: {}", "lab.containers.quartz: needs 'stands'"),
        ("  containers: {alumina: {stands: 1700 degC}, quartz: {stands: 1373.15 K}}\n", "", "the lab names no containers; add 'containers: {alumina: {stands: 1200 degC}}'"),
        # what it uses up
        ("powder: 0.1 kg, ", "", "protocol[0]: 'maker.make' uses up 'powder', which the lab does not list; it lists 'cups'"),
        ("powder: 0.1 kg", "powder: 0.1 m", "protocol[0]: 'powder' is listed as 0.1 m: 0.1 m cannot be given in g"),
        ("powder: 0.1 kg", "powder: 500 mg", "protocol[0]: 'maker.make' takes at least 1 g of 'powder', but there are 0.5 g"),
        ("cups: 20", "cups: 0", "takes at least 1 dimensionless of 'cups', but there are 0"),
        ("powder: 0.1 kg", "powder: -1 kg", "lab.consumables.powder: there cannot be less than nothing of it, got '-1 kg'"),
        ("powder: 0.1 kg", "powder: many", "lab.consumables.powder: 'many' is not a quantity"),
        ("powder: 0.1 kg", "powder: {}", "lab.consumables.powder: must be an amount such as '500 g'"),
        # what is shared
        ("together: {wait: 2 h}", "together: {wait: 2 h, at_most: 4}", "protocol[2].together.at_most: 'kiln.fire' takes 3 samples at most, got 4"),
        ("together: {wait: 2 h}", "together: {at_most: 2}", "protocol[2].together: 'wait' is missing"),
        ("together: {wait: 2 h}", "together: {wait: 2 g}", "protocol[2].together.wait:"),
        ("together: {wait: 2 h}", "together: {wait: 2 h, at_most: 0}", "must be a whole number of samples from 1, got 0"),
        ("together: {wait: 2 h}", "together: yes please", "protocol[2].together: must be a mapping such as {wait: 24 h}"),
        ("gives: {mass_left: mass}", "gives: {mass_left: mass}, together: {wait: 1 h}", "protocol[4].together: 'gauge.weigh' takes one sample at a time"),
        # what follows a failure
        ("with: {to: bin}}", "with: {to: bin}, together: {wait: 1 h}}", "on_failure[0].together: a step after a failure has no 'together'"),
        ("on_failure:\n  - {instrument: arm, action: move, with: {to: bin}}", "on_failure: arm", "on_failure: must be a list of at least one step, got 'arm'"),
        ("with: {to: bin}}", "with: {to: hell}}", "on_failure[0].with.to: unknown place 'hell'"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(problems, old, new, said):
    found = problems((old, new))
    assert any(said in line for line in found), found


def test_a_circle_with_a_place_for_all_cannot_block(problems):
    back = ("{to: shelf}}", "{to: rack}}\n  - {instrument: arm, action: move, with: {to: shelf}}")
    assert problems(back) == []
    assert any(
        "rack → gauge → rack is a circle" in p or "gauge → rack → gauge is a circle" in p
        for p in problems(back, ("rack: {capacity: 6}", "rack: {capacity: 5}"))
    )


def test_a_lab_without_places_asks_nothing_of_them(problems):
    changes = [
        ("  places: {bench: {}, rack: {capacity: 6}, gauge: {}, shelf: {capacity: 12}, bin: {capacity: 12}}\n", ""),
        (", place: bench", ""), (", place: rack", ""), (", place: gauge", ""),
        ("  - {instrument: arm, action: move, with: {to: rack}}\n", ""),
        ("  - {instrument: arm, action: move, with: {to: gauge}}\n", ""),
        ("  - {instrument: arm, action: move, with: {to: shelf}}\n", ""),
        ("on_failure:\n  - {instrument: arm, action: move, with: {to: bin}}\n", ""),
    ]  # fmt: skip
    assert problems(*changes) == []
    (said,) = problems(*changes[:-1])
    assert "the lab names no places; add 'places: {bin: {capacity: 1}}' to it" in said


def test_a_wrong_analysis_is_refused_before_anything_is_measured(campaigns, write):
    text = (campaigns / "ceramics_line.yaml").read_text()
    lab = (campaigns / "labs" / "ceramics_line.yaml").read_text()
    write("labs/ceramics_line.yaml", lab)
    for old, new, said in (
        ("analysis: phase_content\n    gives: {cubic_fraction: phase_fraction}", "analysis: microstructure\n    gives: {cubic_fraction: porosity}",
         "'microstructure' takes data of scanning electron microscopy, but 'diffractometer.scan' gives 'powder X-ray diffraction'"),
        ("analysis: bulk_conductivity", "analysis: phase_content",
         "'phase_content' takes data of powder X-ray diffraction, but 'impedance.measure' gives 'impedance spectroscopy'"),
        ("temperature: {type: discrete, values: [1125, 1150, 1175, 1200]", "temperature: {type: discrete, values: [1125, 2150]",
         "protocol[6].with.temperature: $temperature may become 2150 degC"),
        ("ramp: 5 K/min", "ramp: 500 K/min", "is outside the limits"),
        ("container: alumina_crucible", "container: steel_tray",
         "$temperature may become 1200 degC, but the sample may lie in 'steel_tray', which stands 900 degC"),
        ("{to: furnace_rack}", "{to: press}", "the sample is at 'press' already by then"),
    ):  # fmt: skip
        assert old in text
        with pytest.raises(FileProblems) as caught:
            check(write("line.yaml", text.replace(old, new, 1)))
        assert any(said in str(p) for p in caught.value.problems), (said, [str(p) for p in caught.value.problems])
