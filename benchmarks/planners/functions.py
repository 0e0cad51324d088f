"""Test functions with known optima; all are minimised, arguments and results are plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BRANIN_LEAST = 0.39788735772973816
"""10/(8π): the least value of Branin, at (π, 2.275) and two more points (Dixon and Szegő 1978)."""

HARTMANN6_LEAST = -3.322368011415515
"""At (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573) (Dixon and Szegő 1978), refined by descent."""

HARTMANN4_LEAST = -3.729840584485593
"""Of the first four columns of Hartmann-6, found by descent from 2¹⁴ Sobol points; see the test."""

GRAMACY_LEAST = 0.5997880520
"""Of x₁ + x₂ within Gramacy's bounds, at (0.1954, 0.4044), there given as 0.5998; refined by descent, see the test."""

FUNC2C_LEAST = -0.20632569069797535
"""Twice the least value of the six-hump camel function, −1.0316284535 (Surjanovic and Bingham), over ten."""

BRANIN_CURRIN_VOLUME = 59.36011874867746
"""Hypervolume of Branin-Currin's front to the reference point (18, 6), as in BoTorch (by NSGA-II)."""
BRANIN_CURRIN_REFERENCE = (18.0, 6.0)

DTLZ2_REFERENCE = (1.1, 1.1)
DTLZ2_VOLUME = 1.1**2 - math.pi / 4
"""Hypervolume of the front of DTLZ2 with two objectives, a quarter of the unit circle, to (1.1, 1.1) (as in BoTorch)."""

_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def branin(x: float, y: float) -> float:
    """Branin on [−5, 10] × [0, 15] (Dixon and Szegő, Towards Global Optimisation 2, 1978)."""
    square = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return square**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann(x: Sequence[float], fidelity: float = 1.0) -> float:
    """Hartmann's function on [0, 1]ᵈ, d ≤ 6, by the first d columns of the six-dimensional one (as above).

    Below fidelity 1 its first weight is lessened by a tenth of what lacks, as in BoTorch's AugmentedHartmann.
    """
    d = len(x)
    inner = (_A[:, :d] * (np.asarray(x) - _P[:, :d]) ** 2).sum(axis=1)
    return -float((_ALPHA - [0.1 * (1.0 - fidelity), 0.0, 0.0, 0.0]) @ np.exp(-inner))


def ackley(x: Sequence[float]) -> float:
    """Ackley's function, 0 at the origin (Ackley, A Connectionist Machine for Genetic Hillclimbing, 1987)."""
    z = np.asarray(x, dtype=np.float64)
    return float(
        -20 * math.exp(-0.2 * math.sqrt((z**2).mean())) - math.exp(np.cos(2 * math.pi * z).mean()) + 20 + math.e
    )


def gramacy(x: float, y: float) -> tuple[float, float, float]:
    """Return objective and two constraints, each to be at most 0, on [0, 1]² (Gramacy et al., Technometrics 58, 2016)."""
    wave = 1.5 - x - 2 * y - 0.5 * math.sin(2 * math.pi * (x**2 - 2 * y))
    return x + y, wave, x**2 + y**2 - 1.5


def branin_currin(x: float, y: float) -> tuple[float, float]:
    """Return Branin and Currin on [0, 1]² (as in BoTorch; Belakaria, Deshwal and Doppa, NeurIPS 2019)."""
    factor = 1.0 if y <= 0 else 1 - math.exp(-1 / (2 * y))
    above = 2300 * x**3 + 1900 * x**2 + 2092 * x + 60
    return branin(15 * x - 5, 15 * y), factor * above / (100 * x**3 + 500 * x**2 + 4 * x + 20)


def dtlz2(x: Sequence[float]) -> tuple[float, float]:
    """DTLZ2 with two objectives on [0, 1]ᵈ (Deb, Thiele, Laumanns and Zitzler, CEC 2002): best where all but the first are ½."""
    radius = 1.0 + sum((v - 0.5) ** 2 for v in x[1:])
    return radius * math.cos(x[0] * math.pi / 2), radius * math.sin(x[0] * math.pi / 2)


def _rosenbrock(x: float, y: float) -> float:
    return (100 * (y - x**2) ** 2 + (x - 1) ** 2) / 300


def _camel(x: float, y: float) -> float:
    return ((4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (-4 + 4 * y**2) * y**2) / 10


def _beale(x: float, y: float) -> float:
    return ((1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2) / 50


def func2c(first: int, second: int, x: float, y: float) -> float:
    """Func-2C of CoCaBO on 3 × 5 categories and [−1, 1]² (Ru et al., ICML 2020): a sum of two of three functions.

    The second category's last three values all mean Beale's function.
    """
    parts = (_rosenbrock, _camel, _beale)
    return parts[first](2 * x, 2 * y) + parts[min(second, 2)](2 * x, 2 * y)


def hypervolume(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Return the area that points, both coordinates to be small, dominate up to a reference point."""
    total, ceiling = 0.0, reference[1]
    for a, b in sorted(points):
        if a < reference[0] and b < ceiling:
            total += (reference[0] - a) * (ceiling - b)
            ceiling = b
    return total
