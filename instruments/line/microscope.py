"""Scanning electron microscope: the micrograph of a pellet's section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from sdl_instruments.ceramics.base import Store
from sdl_instruments.rawdata.micrograph import (
    HDF5_MEDIA_TYPE,
    MEDIA_TYPE,
    Microscope,
    Section,
    micrograph,
    micrograph_file,
    micrograph_hdf5,
)

from sdl.driver import Context, DriverSettings, Limits, Unit, action
from sdl.errors import InstrumentFault

from .base import LineInstrument

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.world import Operation, World

    from .samples import LineSample

SECONDS = 1800.0
"""Time for pumping down, a survey and the micrograph. Chosen."""

PIXELS = 512
"""Along an edge of the micrograph."""

STEPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Magnifications that the microscope can be set to, as the edge of a pixel, µm."""

PORE_SIZE, SMALLEST_PORE = 0.35, 2.5
"""Median diameter of pores as a share of the grain size, chosen, and its least value in pixels of the magnification."""


MOST_POROUS = 0.55
"""Porosity above which a section crumbles when it is polished. Chosen."""


class MicroscopeSettings(DriverSettings):
    """How micrographs are kept.

    Attributes:
        format: of the file.
    """

    format: Literal["tiff", "hdf5"] = Field("tiff", description="Format of the micrograph's file.")


@dataclass(frozen=True)
class ImageResult:
    """What the microscope's log says; the micrograph itself is an artefact.

    Attributes:
        pixel_size: edge of a pixel, um.
    """

    pixel_size: Annotated[float, Unit("um")]


def magnification(grain_size: float, grains_across: float) -> float:
    """Return the edge of a pixel in µm with which about so many grains lie across the micrograph.

    A survey at low magnification tells the grain size well enough for that; the microscope has fixed steps.
    """
    wanted = grain_size * grains_across / PIXELS
    return min(STEPS, key=lambda step: (abs(step - wanted) / max(step, wanted), step))


def section_of(sample: LineSample, pixel: float) -> Section:
    """Return the truth of the section at which the microscope looks."""
    return Section(
        porosity=sample.porosity,
        grain_size=sample.grain_size,
        pore_size=max(PORE_SIZE * sample.grain_size, SMALLEST_PORE * pixel),
    )


class ElectronMicroscope(LineInstrument):
    """Simulated scanning electron microscope: looks at a spot polished by an ion beam; it takes nothing of the pellet away."""

    settings_model = MicroscopeSettings

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        assert isinstance(settings, MicroscopeSettings)
        self._format = settings.format

    @action(effect="reads", duration="30 min", raw=["scanning electron microscopy"])
    async def image(
        self, ctx: Context, grains_across: Annotated[float, Unit("dimensionless"), Limits(8.0, 30.0)]
    ) -> ImageResult:
        """Take a micrograph with about so many grains across; it destroys nothing, the pellet can be measured afterwards."""
        del grains_across
        sample = self.sample_for(ctx)
        sample.require_fired()
        if sample.porosity > MOST_POROUS:
            raise InstrumentFault(
                f"{self.name}: sample '{sample.name}' crumbles when it is polished: more than {MOST_POROUS:.0%} of it are pores; "
                "sinter it hotter or longer"
            )
        return self.result_of(await self.carry_out(ctx, SECONDS), ctx.store)

    def result_of(self, operation: Operation, store: Store) -> ImageResult:
        """Return the log and keep the micrograph."""
        sample = self.sample_before(operation)
        pixel = magnification(sample.grain_size, float(operation.arguments["grains_across"]))
        settings = Microscope(width=PIXELS, height=PIXELS, pixel=pixel)
        image = micrograph(section_of(sample, pixel), self.rng(operation, "section"), settings)
        name, own = sample.name, operation.instrument
        if self._format == "hdf5":
            store("micrograph.nxs", micrograph_hdf5(image, settings, sample=name, instrument=own), HDF5_MEDIA_TYPE)
        else:
            store("micrograph.tiff", micrograph_file(image, settings, sample=name, instrument=own), MEDIA_TYPE)
        return ImageResult(pixel)

    def truth(self, action_name: str, arguments: Mapping[str, Any], sample: str) -> Mapping[str, float] | None:
        """Return the sample's true porosity and grain size in µm, or None where there is no such whole, fired pellet."""
        del arguments
        now = self.sample_now(sample)
        if action_name != "image" or not now.measurable:
            return None
        return {"porosity": now.porosity, "grain_size": now.grain_size}
