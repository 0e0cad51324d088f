"""Powder diffractometer: the pattern of a pellet's face, as NeXus/HDF5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from sdl_instruments.ceramics.base import Store
from sdl_instruments.rawdata.diffraction import MEDIA_TYPE, Diffractometer, PhaseTruth, pattern_file, powder_pattern

from sdl.analysis.crystals import CUBIC_GARNET, PYROCHLORE, TETRAGONAL_GARNET
from sdl.driver import Context, Limits, Unit, action

from .base import LineInstrument

if TYPE_CHECKING:
    from sdl.world import Operation

    from .samples import LineSample

RATE, FLAT_RATE, AIR_RATE = 1e4, 120.0, 400.0
"""Counts per second in the strongest point, of the flat background, and of the scatter of air at 2θ = 0. Chosen: a laboratory
diffractometer with a line detector."""

FIRST, LAST, STEP = 15.0, 80.0, 0.02
"""2θ of the first and the last point, and between points, degrees, where a scan does not say otherwise."""

ALIGNING = 300.0
"""Time for mounting and aligning, s. Chosen."""


@dataclass(frozen=True)
class ScanResult:
    """What the diffractometer's log says; the pattern itself is an artefact.

    Attributes:
        points: of the pattern.
        highest: counts in the highest point.
    """

    points: Annotated[int, Unit("dimensionless")]
    highest: Annotated[int, Unit("dimensionless")]


def device(arguments: Mapping[str, Any]) -> Diffractometer:
    """Return the diffractometer as it is set for the arguments of a scan."""
    time_per_step = float(arguments["time_per_step"])
    return Diffractometer(
        low=float(arguments.get("first", FIRST)),
        high=float(arguments.get("last", LAST)),
        step=float(arguments.get("step", STEP)),
        counts=RATE * time_per_step,
        background=FLAT_RATE * time_per_step,
        air_scatter=AIR_RATE * time_per_step,
        time_per_step=time_per_step,
    )


def scan_seconds(arguments: Mapping[str, Any]) -> float:
    """Return how long a scan takes, s."""
    settings = device(arguments)
    return ALIGNING + settings.time_per_step * ((settings.high - settings.low) / settings.step + 1.0)


def phases_of(sample: LineSample) -> tuple[PhaseTruth, ...]:
    """Return what the X-rays meet: the phases with their cells, crystallites and texture."""
    found, size = sample.phases, float(sample.phases.crystallite)
    cubic, pyrochlore = float(found.cubic), float(found.pyrochlore)
    return (
        PhaseTruth(CUBIC_GARNET, cubic, float(found.cell), size, sample.texture),
        PhaseTruth(TETRAGONAL_GARNET, 1.0 - cubic - pyrochlore, float(found.cell), size),
        # La2Zr2O7 forms late and at the surface: its crystals are half as large.
        PhaseTruth(PYROCHLORE, pyrochlore, 1.0, 0.5 * size),
    )


class LineDiffractometer(LineInstrument):
    """Simulated powder diffractometer with a copper tube."""

    @action(effect="reads", duration=scan_seconds, raw=["powder X-ray diffraction"])
    async def scan(
        self,
        ctx: Context,
        time_per_step: Annotated[float, Unit("s"), Limits(0.05, 20.0)],
        first: Annotated[float, Unit("degree"), Limits(10.0, 30.0)] = FIRST,
        last: Annotated[float, Unit("degree"), Limits(40.0, 120.0)] = LAST,
        step: Annotated[float, Unit("degree"), Limits(0.005, 0.05)] = STEP,
    ) -> ScanResult:
        """Measure the powder pattern of a pellet's face from one 2θ to another; the pellet stays whole."""
        self.sample_for(ctx).require_pressed()
        seconds = scan_seconds({"time_per_step": time_per_step, "first": first, "last": last, "step": step})
        return self.result_of(await self.carry_out(ctx, seconds), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> ScanResult:
        """Return the log and keep the pattern."""
        sample = self.sample_before(operation)
        settings = device(operation.arguments)
        pattern = powder_pattern(phases_of(sample), self.rng(operation, "counts"), settings)
        data = pattern_file(pattern, settings, sample=sample.name, instrument=operation.instrument)
        store("powder_pattern.nxs", data, MEDIA_TYPE)
        return ScanResult(len(pattern.counts), int(pattern.counts.max()))

    def truth(self, action_name: str, arguments: Mapping[str, Any], sample: str) -> Mapping[str, float] | None:
        """Return the true weight fraction of the cubic garnet and its cell in Å, or None without a whole, fired pellet."""
        del arguments
        now = self.sample_now(sample)
        if action_name != "scan" or not now.measurable:
            return None
        return {
            "phase_fraction": float(now.phases.cubic),
            "lattice_parameter": CUBIC_GARNET.a * float(now.phases.cell),
        }
