"""The electron micrograph of a polished, etched section, and its TIFF and HDF5 forms.

Grains are the cells of a three-dimensional Poisson-Voronoi tessellation cut by a plane: their mean intercept length is known
exactly (J. L. Meijering, Philips Res. Rep. 8, 270 (1953)). Pores are discs of log-normal size thrown at random (a Boolean
model), so that the expected porosity is known exactly too: both truths are those of the body, not of the section seen.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .nexus import NexusFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Image = NDArray[np.uint8]

TECHNIQUE = "scanning electron microscopy"
"""What the file says of itself."""

MEDIA_TYPE, HDF5_MEDIA_TYPE = "image/tiff", "application/x-hdf5"
"""Media types of the file in its two forms."""

SATURATION = 255
"""Grey value at which the detector of eight bits saturates."""

CALIBRATION = "magnification standard, simulated"
"""What the scale was calibrated with."""

SURFACE = 2.9103
"""Boundary area per volume of a Poisson-Voronoi tessellation times (cells per volume)^(-1/3) (Meijering 1953)."""

_DEPTH = 3.5  # thickness of the slab around the section that is filled with cells' seeds, in cells


@dataclass(frozen=True)
class Section:
    """A section's truth.

    Attributes:
        porosity: share of the volume, 0 to 1; of a section's area likewise (A. Delesse, 1847).
        grain_size: mean intercept length of the grains, µm.
        pore_size: median diameter of the discs, µm.
    """

    porosity: float
    grain_size: float
    pore_size: float = 1.5


@dataclass(frozen=True)
class Microscope:
    """How the micrograph is taken.

    Attributes:
        width: pixels.
        height: pixels.
        pixel: edge of a pixel, µm.
        blur: standard deviation of the beam's spot, pixels.
        noise: standard deviation of a pixel's grey value.
        dark: grey value of a pore.
        bright: mean grey value of a grain.
        contrast: standard deviation of the grains' grey values (orientation contrast).
        groove: grey value of an etched boundary over that of a grain.
        groove_width: pixels.
        pixel_uncertainty: standard uncertainty of the edge, as a share of it.
        voltage: that accelerates the electrons, kV.
        working_distance: from the lens to the section, mm.
        gain: detector gain; grey values beyond 0 to 255 saturate, as they do in a detector.
    """

    width: int = 768
    height: int = 768
    pixel: float = 0.1
    blur: float = 0.8
    noise: float = 6.0
    dark: float = 25.0
    bright: float = 165.0
    contrast: float = 5.0
    groove: float = 0.62
    groove_width: float = 2.0
    pixel_uncertainty: float = 0.005
    voltage: float = 15.0
    working_distance: float = 10.0
    gain: float = 1.0


def micrograph(section: Section, rng: np.random.Generator, microscope: Microscope | None = None) -> Image:
    """Return a micrograph, grey values 0 to 255, shape (height, width).

    Raises:
        ValueError: a porosity outside 0 to 0.6, or grains of less than a pixel or larger than the image.
    """
    from scipy.ndimage import gaussian_filter

    device = microscope or Microscope()
    field = min(device.width, device.height) * device.pixel
    if not 0.0 <= section.porosity <= 0.6:
        raise ValueError(f"porosity must be from 0 to 0.6, got {section.porosity:g}")
    if not device.pixel < section.grain_size < field:
        raise ValueError(f"grain size must be between a pixel and the image, {device.pixel:g} to {field:g} µm")
    grey, edge = _grains(section, rng, device)
    groove = 1.0 - (1.0 - device.groove) * (edge < device.groove_width / 2.0)
    image = np.where(_pores(section, rng, device), device.dark, grey * groove)
    image = gaussian_filter(image, device.blur) * device.gain
    image = image + device.noise * rng.normal(size=image.shape)
    return np.asarray(np.clip(np.rint(image), 0, 255), dtype=np.uint8)  # an eight-bit detector saturates


def _grains(section: Section, rng: np.random.Generator, device: Microscope) -> tuple[Floats, Floats]:
    """Return each pixel's grey value and its distance from the nearest boundary along the section, pixels."""
    from scipy.spatial import cKDTree

    # Crossings per length are half the boundary area per volume (S. A. Saltykov): 1/ℓ = SURFACE·ρ^(1/3)/2.
    cell = section.grain_size * SURFACE / 2.0 / device.pixel  # ρ^(-1/3) in pixels
    low = np.array([-_DEPTH, -_DEPTH, -_DEPTH]) * cell
    size = np.array([device.height, device.width, 0.0]) + 2.0 * _DEPTH * cell
    number = int(rng.poisson(float(np.prod(size)) / cell**3))
    seeds = low + size * rng.random((number, 3))
    shades = device.bright + device.contrast * rng.normal(size=number)
    rows, columns = np.mgrid[: device.height, : device.width]
    points = np.stack([rows.ravel(), columns.ravel(), np.zeros(rows.size)], axis=1).astype(np.float64)
    distance, nearest = cKDTree(seeds).query(points, k=2)
    across = seeds[nearest[:, 0]] - seeds[nearest[:, 1]]
    # Distance from the boundary's plane is (d₂² − d₁²)/(2|s₁ − s₂|); along the section it is longer by the plane's tilt.
    in_section = np.maximum(np.hypot(across[:, 0], across[:, 1]), 1e-9)
    edge = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2.0 * in_section)
    return shades[nearest[:, 0]].reshape(rows.shape), edge.reshape(rows.shape)


def _pores(section: Section, rng: np.random.Generator, device: Microscope) -> NDArray[np.bool_]:
    """Return where the pores are."""
    spread = 0.35
    median = section.pore_size / device.pixel / 2.0
    # A Boolean model covers 1 − exp(−ν·mean area) of the plane.
    mean_area = np.pi * median**2 * np.exp(2.0 * spread**2)
    margin = 4.0 * median
    plane = (device.height + 2.0 * margin) * (device.width + 2.0 * margin)
    number = int(rng.poisson(-np.log1p(-section.porosity) / mean_area * plane))
    radii = median * np.exp(spread * rng.normal(size=number))
    places = -margin + rng.random((number, 2)) * np.array([device.height + 2.0 * margin, device.width + 2.0 * margin])
    mask = np.zeros((device.height, device.width), dtype=bool)
    for (row, column), radius in zip(places, radii, strict=True):
        top, bottom = max(int(row - radius), 0), min(int(row + radius) + 2, device.height)
        left, right = max(int(column - radius), 0), min(int(column + radius) + 2, device.width)
        if top >= bottom or left >= right:
            continue
        y, x = np.ogrid[top:bottom, left:right]
        mask[top:bottom, left:right] |= (y - row) ** 2 + (x - column) ** 2 <= radius**2
    return mask


def micrograph_file(
    image: Image,
    microscope: Microscope,
    *,
    sample: str,
    instrument: str,
    state: Mapping[str, float] | None = None,
) -> bytes:
    """Return a micrograph as TIFF with its metadata as JSON in the tag ImageDescription, and the scale in the resolution tags."""
    import tifffile

    head = {
        "technique": TECHNIQUE,
        "simulated": True,
        "sample": sample,
        "instrument": instrument,
        "pixel_size": {"value": microscope.pixel, "unit": "um"},
        "pixel_size_uncertainty": {"value": microscope.pixel_uncertainty * microscope.pixel, "unit": "um"},
        "calibration": CALIBRATION,
        "dark_level": microscope.dark,
        "saturation_value": SATURATION,
        "grey_unit": "grey",
        "width": int(image.shape[1]),
        "height": int(image.shape[0]),
        "instrument_state": {
            **{name: {"value": value, "unit": unit} for name, (value, unit) in _state(microscope).items()},
            **(state or {}),
        },
    }
    buffer = io.BytesIO()
    per_centimetre = 1e4 / microscope.pixel
    tifffile.imwrite(
        buffer,
        image,
        description=json.dumps(head, sort_keys=True),
        resolution=(per_centimetre, per_centimetre),
        resolutionunit="CENTIMETER",
        metadata=None,
        software="sdl",
        photometric="minisblack",
    )
    return buffer.getvalue()


def micrograph_hdf5(
    image: Image,
    microscope: Microscope,
    *,
    sample: str,
    instrument: str,
    state: Mapping[str, float] | None = None,
) -> bytes:
    """Return a micrograph as HDF5, laid out after NXdata (https://manual.nexusformat.org), with all that the TIFF says.

    Args:
        image: grey values, shape (height, width).
        microscope: settings and calibration.
        sample: its name.
        instrument: its name.
        state: further readings of the instrument, name with unit (`probe_current_nA`) → value.
    """
    tree = NexusFile()
    tree.describe(f"micrograph of {sample}", TECHNIQUE, sample=sample, instrument=instrument)
    tree.group("entry/instrument/detector", "NXdetector")
    tree.put("entry/instrument/detector/dark_level", microscope.dark, "grey")
    tree.put("entry/instrument/detector/saturation_value", SATURATION, "grey")
    tree.group("entry/instrument/calibration", "NXcollection")
    tree.put("entry/instrument/calibration/standard", CALIBRATION)
    tree.put("entry/instrument/calibration/pixel_size", microscope.pixel, "um")
    uncertainty = microscope.pixel_uncertainty * microscope.pixel
    tree.put("entry/instrument/calibration/pixel_size_uncertainty", uncertainty, "um")
    tree.put_state(_state(microscope), state)
    height, width = image.shape
    tree.group("entry/data", "NXdata", signal="image", axes=["y", "x"], height=height, width=width)
    tree.put("entry/data/image", image, "grey")
    tree.put("entry/data/y", microscope.pixel * np.arange(height), "um")
    tree.put("entry/data/x", microscope.pixel * np.arange(width), "um")
    return tree.bytes()


def _state(microscope: Microscope) -> dict[str, tuple[float, str]]:
    return {
        "accelerating_voltage": (microscope.voltage, "kV"),
        "working_distance": (microscope.working_distance, "mm"),
        "gain": (microscope.gain, "dimensionless"),
    }
