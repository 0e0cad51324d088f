"""The impedance spectrum of a pellet, and its CSV form.

Grains and boundaries are each a resistance beside a constant-phase element, in series (brick-layer model: S. M. Haile et
al., J. Mater. Res. 13, 1576 (1998)), followed by electrodes that lithium cannot cross: a constant-phase element again.
The leads add an inductance, which bends the spectrum below the real axis at the highest frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .physics import porosity_factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPERATURE = 25.0
"""Temperature of the measuring cell, degC."""

VACUUM = 8.8541878128e-14
"""Permittivity of the vacuum, F/cm (CODATA 2018)."""

PERMITTIVITY = 60.0
"""Relative permittivity of the garnet. Chosen: of the order found for garnets."""

BOUNDARY_WIDTH = 5e-7
"""Electrical width of a grain boundary, cm. Chosen: 5 nm."""

GRAIN_ARC, BOUNDARY_ARC = 0.96, 0.90
"""Exponents of the constant-phase elements of grains and boundaries. Chosen: slightly depressed arcs."""

ELECTRODE, ELECTRODE_EXPONENT = 1.5e-6, 0.88
"""Constant-phase element of both painted electrodes, S·s^n/cm², and its exponent. Chosen."""

LEAD_INDUCTANCE, LEAD_SPREAD = 1.0e-6, 0.1
"""Inductance of the leads to the cell, H, and its standard deviation in ln from one clamping to the next. Chosen: about a metre
of unshielded wire, of the order of 1 µH per metre."""

POINT_NOISE = 0.008
"""Standard deviation of real and imaginary part, as a share of the modulus. Chosen."""

FREQUENCY_HIGH, FREQUENCY_LOW, FREQUENCIES = 1e7, 0.02, 70
"""Ends of the sweep, Hz, and number of points, evenly in the logarithm."""

EXCITATION = 0.01
"""Amplitude of the voltage, V. Chosen: small enough for a linear answer."""

LARGEST_IMPEDANCE = 1e9
"""Modulus beyond which the analyser reads no higher, ohm. Chosen: far above any pellet's."""


@dataclass(frozen=True)
class Geometry:
    """A pellet as measured with calliper and rule: cm and cm², with standard uncertainties."""

    thickness: float
    thickness_uncertainty: float
    area: float
    area_uncertainty: float


class Conductor(Protocol):
    """A pellet as electricity sees it."""

    @property
    def name(self) -> str:
        """Name of the sample."""
        ...

    @property
    def thickness(self) -> float:
        """Thickness, cm."""
        ...

    @property
    def area(self) -> float:
        """Area of a face, cm²."""
        ...

    @property
    def density(self) -> float:
        """Relative density."""
        ...

    @property
    def grain_size(self) -> float:
        """Grain size, µm."""
        ...

    @property
    def grain_conductivity(self) -> float:
        """Conductivity of the grains without pores and boundaries, mS/cm."""
        ...

    @property
    def boundary_resistivity(self) -> float:
        """Resistivity that the boundaries add, kohm cm."""
        ...


def true_impedance(
    sample: Conductor, frequency: NDArray[np.float64], inductance: float = LEAD_INDUCTANCE
) -> NDArray[np.complex128]:
    """Return a pellet's impedance in ohm with that of its leads, noise-free, shape (n,).

    Args:
        sample: the pellet.
        frequency: Hz, shape (n,).
        inductance: of the leads, H.
    """
    cell = sample.thickness / sample.area / float(porosity_factor(sample.density))  # 1/cm
    grain = 1e3 / sample.grain_conductivity  # ohm cm, from mS/cm
    boundary = 1e3 * sample.boundary_resistivity
    epsilon = PERMITTIVITY * VACUUM
    grain_time = grain * epsilon
    # A boundary of width w on grains of size G has the capacitance of G/w grains.
    boundary_time = boundary * epsilon * (sample.grain_size * 1e-4) / BOUNDARY_WIDTH
    omega = 2.0 * np.pi * frequency
    return np.asarray(
        cell * grain / (1.0 + (1j * omega * grain_time) ** GRAIN_ARC)
        + cell * boundary / (1.0 + (1j * omega * boundary_time) ** BOUNDARY_ARC)
        + 1.0 / (ELECTRODE * sample.area * (1j * omega) ** ELECTRODE_EXPONENT)
        + 1j * omega * inductance
    )


def measured_spectrum(
    sample: Conductor, rng: np.random.Generator, leads: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Return frequencies in Hz, descending, and the impedance in ohm as the analyser reads it, both of shape (n,).

    Args:
        sample: the pellet.
        rng: source of the analyser's noise.
        leads: source of how the leads lie.
    """
    frequency = np.geomspace(FREQUENCY_HIGH, FREQUENCY_LOW, FREQUENCIES)
    exact = true_impedance(sample, frequency, LEAD_INDUCTANCE * float(np.exp(LEAD_SPREAD * leads.normal())))
    noise = rng.normal(size=(2, FREQUENCIES))
    read = exact + POINT_NOISE * np.abs(exact) * (noise[0] + 1j * noise[1])
    return frequency, read * np.minimum(1.0, LARGEST_IMPEDANCE / np.abs(read))  # a saturated analyser reads no higher


def spectrum_csv(
    frequency: NDArray[np.float64],
    impedance: NDArray[np.complex128],
    geometry: Geometry,
    *,
    sample: str,
    instrument: str,
) -> str:
    """Return a spectrum as CSV: metadata in `# key: value` lines, then frequency/Hz, Z'/ohm, Z''/ohm (capacitive: below 0)."""
    head = {
        "technique": "impedance spectroscopy",
        "simulated": "true",
        "sample": _one_line(sample),
        "instrument": _one_line(instrument),
        "thickness": f"{float(geometry.thickness)!r} cm",
        "thickness_uncertainty": f"{float(geometry.thickness_uncertainty)!r} cm",
        "area": f"{float(geometry.area)!r} cm**2",
        "area_uncertainty": f"{float(geometry.area_uncertainty)!r} cm**2",
        "temperature": f"{TEMPERATURE!r} degC",
        "excitation": f"{EXCITATION!r} V",
        "electrodes": "painted, blocking",
        "calibration": "open, short and load at the terminals, simulated; the leads are not compensated",
        "largest_impedance": f"{LARGEST_IMPEDANCE!r} ohm",
        "points": str(len(frequency)),
    }
    lines = [f"# {key}: {value}" for key, value in head.items()]
    lines.append("frequency/Hz,Z'/ohm,Z''/ohm")
    lines += [f"{f!r},{z.real!r},{z.imag!r}" for f, z in zip(frequency.tolist(), impedance.tolist(), strict=True)]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return text.encode("unicode_escape").decode()
