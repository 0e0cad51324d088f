"""Linear Kramers-Kronig test of an impedance spectrum.

A chain of resistance, inductance, capacitance and M RC elements with fixed, evenly spread time constants obeys the
Kramers-Kronig relations whatever its values, and is linear in them; what it cannot follow is no impedance of a linear, causal
and stable cell (B. A. Boukamp, J. Electrochem. Soc. 142, 1885 (1995)). M grows until μ = 1 − Σ|R < 0| / Σ|R ≥ 0| falls below
0.85, where the chain begins to follow the noise (M. Schönleber, D. Klotz, E. Ivers-Tiffée, Electrochim. Acta 131, 20 (2014)).

What remains must look like noise. Its randomness is told by von Neumann's ratio (J. von Neumann, Ann. Math. Stat. 12, 367
(1941)) of squared successive differences to squared residuals: 2 for white noise with standard deviation 2/√n, near 0 where
neighbours err alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Complexes = NDArray[np.complex128]

THRESHOLD = 0.85
"""μ below which elements are enough (Schönleber et al. 2014, section 2.3)."""

RANDOM, NEGLIGIBLE = 2.0, 1e-3
"""Elements are enough where residuals are this random (standard deviations of von Neumann's ratio) or this small."""

FEWEST_ELEMENTS = 3
"""Elements to begin with."""


@dataclass(frozen=True, eq=False)
class LinearTest:
    """What the test found.

    Attributes:
        elements: M, number of RC elements.
        mu: Schönleber's μ.
        real: residuals of the real part over the modulus, shape (n,).
        imaginary: residuals of the imaginary part over the modulus, shape (n,).
        misfit: root mean square of the residuals over the modulus, per degree of freedom.
        randomness: von Neumann's ratio, mean of both parts.
    """

    elements: int
    mu: float
    real: Floats
    imaginary: Floats
    misfit: float
    randomness: float

    @property
    def surprise(self) -> float:
        """Standard deviations by which the randomness falls short of white noise's 2."""
        return (2.0 - self.randomness) * float(np.sqrt(len(self.real) / 2.0))


def linear_test(frequency: Floats, impedance: Complexes) -> LinearTest:
    """Test a spectrum.

    Args:
        frequency: Hz, shape (n,), all above 0 and in order.
        impedance: ohm, shape (n,), none 0.

    Raises:
        ValueError: fewer than ten points.
    """
    number = len(frequency)
    if number < 10:
        raise ValueError(f"{number} points are too few for a Kramers-Kronig test")
    omega = 2.0 * np.pi * frequency
    modulus = np.abs(impedance)
    target = np.concatenate([impedance.real / modulus, impedance.imag / modulus])
    most = number // 2 + FEWEST_ELEMENTS  # beyond, the residuals have hardly a degree of freedom left
    for elements in range(FEWEST_ELEMENTS, most + 1):
        times = np.geomspace(1.0 / omega.max(), 1.0 / omega.min(), elements)
        columns = [np.ones(number, dtype=np.complex128), 1j * omega / omega.max(), omega.min() / (1j * omega)]
        columns += [1.0 / (1.0 + 1j * omega * t) for t in times]
        design = np.stack(columns, axis=1) / modulus[:, None]
        both = np.concatenate([design.real, design.imag])
        values = np.linalg.lstsq(both, target, rcond=None)[0]
        resistances = values[3:]
        positive = float(resistances[resistances >= 0].sum())
        mu = 1.0 + float(resistances[resistances < 0].sum()) / positive if positive > 0 else -np.inf
        residuals = target - both @ values
        parts = residuals[:number], residuals[number:]
        ratios = [float(np.sum(np.diff(r) ** 2) / max(float(np.sum(r**2)), 1e-300)) for r in parts]
        test = LinearTest(
            elements=elements,
            mu=mu,
            real=parts[0],
            imaginary=parts[1],
            misfit=float(np.sqrt(residuals @ residuals / max(2 * number - elements - 3, 1))),
            randomness=float(np.mean(ratios)) * number / (number - 1),
        )
        # With few elements a sharp arc between two time constants turns μ down as well; a chain that is too short is no
        # violation. More elements cannot make data obey that do not: whatever its length, the chain obeys.
        if mu <= THRESHOLD and (test.surprise < RANDOM or test.misfit < NEGLIGIBLE):
            break
    return test
