"""The X-ray powder pattern of a mixture, and its NeXus/HDF5 form.

Line positions and intensities come from pymatgen's XRDCalculator for each phase with its own, hidden cell; on top of them
come preferred orientation (March-Dollase), the Kα doublet, widths of instrument and crystallites, zero error and height of
the sample, background and counting noise. Bragg-Brentano geometry, weights after R. J. Hill and C. J. Howard, J. Appl. Cryst.
20, 467 (1987); microabsorption and surface roughness are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.analysis.crystals import CRYSTALS, Crystal, march_dollase, per_weight, reflections, texture_angles

from .nexus import NexusFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

K_ALPHA_1, K_ALPHA_2 = 1.54059290, 1.54442740
"""Wavelengths of copper, Å (G. Hölzer et al., Phys. Rev. A 56, 4554 (1997))."""

DOUBLET = 0.5
"""Intensity of Kα2 over that of Kα1: the ratio of the upper levels' populations."""

SCHERRER = 0.9
"""Shape factor of Scherrer's equation for the full width at half maximum."""

CELL_GRID = 1e-3
"""Step of the scale of cells for which lines are calculated."""

TECHNIQUE = "powder X-ray diffraction"
"""What the file says of itself."""

MEDIA_TYPE = "application/x-hdf5"
"""Media type of the file."""


@dataclass(frozen=True)
class PhaseTruth:
    """One phase of the sample as it truly is.

    Attributes:
        crystal: its published structure.
        weight: weight fraction, 0 to 1.
        scale: true lattice parameters over the published ones.
        size: crystallite size, nm.
        texture: March's r for the axis [001]; 1 without preferred orientation.
    """

    crystal: Crystal
    weight: float
    scale: float = 1.0
    size: float = 150.0
    texture: float = 1.0


@dataclass(frozen=True)
class Diffractometer:
    """The diffractometer as it is set, and as its calibration with a line-profile standard describes it.

    Attributes:
        low: first 2θ, degrees.
        high: last 2θ, degrees.
        step: degrees.
        counts: net counts in the highest point of the pattern, without noise.
        background: counts of the flat background.
        air_scatter: counts of the background that falls off towards high angles, at 2θ = 0.
        u: coefficient of tan²θ of the squared width, degrees² (G. Caglioti et al., Nucl. Instrum. 3, 223 (1958)).
        v: coefficient of tan θ, degrees².
        w: constant, degrees².
        lorentzian: share of the Lorentzian in the pseudo-Voigt profile.
        radius: goniometer radius, mm.
        zero: zero error of 2θ as the calibration found it, degrees.
        zero_uncertainty: its standard uncertainty, degrees.
        height_spread: standard deviation of a sample's height over the goniometer's axis, mm.
        saturation: counts at which the detector saturates.
        time_per_step: s.
        tube_voltage: of the X-ray tube, kV.
        tube_current: mA.
        temperature: of the sample, degC.
    """

    low: float = 15.0
    high: float = 80.0
    step: float = 0.02
    counts: float = 1e4
    background: float = 120.0
    air_scatter: float = 400.0
    u: float = 0.0060
    v: float = -0.0040
    w: float = 0.0060
    lorentzian: float = 0.5
    radius: float = 240.0
    zero: float = 0.012
    zero_uncertainty: float = 0.002
    height_spread: float = 0.02
    saturation: int = 2_000_000
    time_per_step: float = 1.0
    tube_voltage: float = 40.0
    tube_current: float = 40.0
    temperature: float = 25.0


@dataclass(frozen=True, eq=False)
class PowderPattern:
    """A pattern as measured.

    Attributes:
        two_theta: degrees, ascending, shape (n,).
        counts: whole numbers, shape (n,).
    """

    two_theta: Floats
    counts: NDArray[np.int64]


def net_pattern(
    two_theta: Floats, phases: tuple[PhaseTruth, ...], device: Diffractometer, *, zero: float = 0.0, height: float = 0.0
) -> Floats:
    """Return the noise-free pattern without background, in arbitrary units, shape (n,).

    Args:
        two_theta: degrees, shape (n,).
        phases: what the sample consists of.
        device: the diffractometer.
        zero: true zero error of 2θ, degrees.
        height: of the sample's surface over the goniometer's axis, mm; shifts by 2·height·cos θ/radius
            (A. J. C. Wilson, Mathematical Theory of X-ray Powder Diffractometry, 1963).

    Raises:
        ValueError: a weight is negative, or they do not add up to 1.
    """
    weights = [p.weight for p in phases]
    if min(weights, default=-1.0) < 0 or abs(sum(weights) - 1.0) > 1e-9:
        raise ValueError(f"weight fractions must be at least 0 and add up to 1, got {weights}")
    total = np.zeros(len(two_theta))
    margin = 2.0  # lines beyond the ends reach in with their tails
    low, high = max(float(two_theta[0]) - margin, 1.0), float(two_theta[-1]) + margin
    for phase in phases:
        if phase.weight == 0:
            continue
        # Lines are calculated once for cells that differ by less than the grid, and stretched: intensities change by less
        # than 10⁻³ over its half. A new calculation for every cell would take most of a pattern's time.
        cell = round(phase.scale / CELL_GRID) * CELL_GRID
        lines = reflections(phase.crystal, K_ALPHA_1, low, high, cell)
        spacing = lines.d * (phase.scale / cell)
        strength = phase.weight * per_weight(phase.crystal, cell) * (cell / phase.scale) ** 3 * lines.intensity
        strength = strength * march_dollase(texture_angles(phase.crystal, lines), phase.texture)
        for wavelength, share in ((K_ALPHA_1, 1.0), (K_ALPHA_2, DOUBLET)):
            theta = np.arcsin(wavelength / (2.0 * spacing))
            tangent = np.tan(theta)
            width = np.sqrt(device.u * tangent**2 + device.v * tangent + device.w)
            width = width + np.degrees(SCHERRER * wavelength / (10.0 * phase.size * np.cos(theta)))
            centre = np.degrees(2.0 * theta + 2.0 * height * np.cos(theta) / device.radius) + zero
            u = (two_theta[:, None] - centre) / width
            gauss = 2.0 * np.sqrt(np.log(2.0) / np.pi) / width * np.exp(-4.0 * np.log(2.0) * u**2)
            lorentz = 2.0 / np.pi / width / (1.0 + 4.0 * u**2)
            total += (device.lorentzian * lorentz + (1.0 - device.lorentzian) * gauss) @ (share * strength)
    return total


def powder_pattern(
    phases: tuple[PhaseTruth, ...], rng: np.random.Generator, device: Diffractometer | None = None
) -> PowderPattern:
    """Return a measured pattern: true zero error, sample height and counts are drawn from `rng`.

    Raises:
        ValueError: see `net_pattern`.
    """
    device = device or Diffractometer()
    points = round((device.high - device.low) / device.step) + 1
    two_theta: Floats = np.asarray(device.low + device.step * np.arange(points), dtype=np.float64)
    zero = device.zero + device.zero_uncertainty * float(rng.normal())
    height = device.height_spread * float(rng.normal())
    net = net_pattern(two_theta, phases, device, zero=zero, height=height)
    expected = device.counts * net / net.max() + device.background + device.air_scatter * np.exp(-two_theta / 20.0)
    counts = np.minimum(rng.poisson(expected), device.saturation)  # a saturated detector counts no further
    return PowderPattern(two_theta, counts.astype(np.int64))


def pattern_file(
    pattern: PowderPattern,
    device: Diffractometer,
    *,
    sample: str,
    instrument: str,
    candidates: tuple[str, ...] = tuple(CRYSTALS),
    state: Mapping[str, float] | None = None,
) -> bytes:
    """Return a pattern as NeXus/HDF5, laid out after NXmonopd and NXxrd (https://manual.nexusformat.org).

    Args:
        pattern: what was measured.
        device: settings and calibration.
        sample: its name.
        instrument: its name.
        candidates: phases that may be present, as the person who sent the sample says.
        state: further readings of the instrument, name with unit (`humidity_percent`) → value.
    """
    tree = NexusFile()
    title = f"powder pattern of {sample}"
    tree.describe(title, TECHNIQUE, sample=sample, instrument=instrument, definition="NXmonopd")
    tree.put("entry/sample/candidate_phases", list(candidates))
    tree.group("entry/instrument/source", "NXsource")
    tree.put("entry/instrument/source/type", "Fixed Tube X-ray")
    tree.put("entry/instrument/source/probe", "x-ray")
    tree.put("entry/instrument/source/target_material", "Cu")
    tree.group("entry/instrument/beam", "NXbeam")
    tree.put("entry/instrument/beam/k_alpha_one", K_ALPHA_1, "angstrom")
    tree.put("entry/instrument/beam/k_alpha_two", K_ALPHA_2, "angstrom")
    tree.put("entry/instrument/beam/ratio_k_alpha_two_k_alpha_one", DOUBLET)
    tree.group("entry/instrument/detector", "NXdetector")
    tree.put("entry/instrument/detector/count_time", device.time_per_step, "s")
    tree.put("entry/instrument/detector/saturation_value", device.saturation, "counts")
    tree.group("entry/instrument/calibration", "NXcollection")
    tree.put("entry/instrument/calibration/standard", "line-profile standard, simulated")
    tree.put("entry/instrument/calibration/zero", device.zero, "degree")
    tree.put("entry/instrument/calibration/zero_uncertainty", device.zero_uncertainty, "degree")
    tree.put("entry/instrument/calibration/caglioti", [device.u, device.v, device.w], "degree**2")
    tree.put("entry/instrument/calibration/goniometer_radius", device.radius, "mm")
    tube = {"tube_voltage": (device.tube_voltage, "kV"), "tube_current": (device.tube_current, "mA")}
    tree.put_state({**tube, "temperature": (device.temperature, "degC")}, state)
    tree.group("entry/data", "NXdata", signal="counts", axes=["two_theta"], points=len(pattern.two_theta))
    tree.put("entry/data/two_theta", pattern.two_theta, "degree")
    tree.put("entry/data/counts", pattern.counts, "counts")
    return tree.bytes()
