"""A powder pattern as a function of what is fitted: amounts, cells, widths and texture of phases, zero, height, background.

Lines are pseudo-Voigt profiles; the instrument's width is that of its calibration, and each phase adds one of its own
(crystallites, J. I. Langford and A. J. C. Wilson, J. Appl. Cryst. 11, 102 (1978)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sdl.analysis.crystals import (
    Crystal,
    Reflections,
    TextureAngles,
    march_dollase,
    per_weight,
    reflections,
    texture_angles,
)
from sdl.analysis.pattern_file import Pattern
from sdl.errors import AnalysisError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BACKGROUND = 7
"""Chebyshev polynomials of the background. Chosen: a smooth background over 30 to 130 degrees."""

_REACH = 6.0  # degrees: the profile of a line is calculated so far from its centre


class PhaseLines:
    """Lines of one phase, ready for the fit."""

    def __init__(self, crystal: Crystal, pattern: Pattern, strain: float = 0.0) -> None:
        """Calculate the lines of a phase; `strain` is that of the cell for which intensities are calculated."""
        low, high = float(pattern.two_theta[0]), float(pattern.two_theta[-1])
        self.crystal = crystal
        self.strain = round(strain, 3)  # few cells, so that they are calculated once
        wavelength, scale = pattern.wavelengths[0], 1.0 + self.strain
        lines: Reflections = reflections(crystal, wavelength, max(low - 2.0, 0.5), min(high + 2.0, 179.0), scale)
        if len(lines.d) == 0:
            raise AnalysisError(f"{crystal.name} has no reflection between {low:g} and {high:g} degrees")
        self.lines = lines
        self.angles = texture_angles(crystal, lines)
        # Numbers of order one: the factor is then the strongest line's area in counts times degrees.
        self.strength = lines.intensity / lines.intensity.max()
        # Weight = factor · mass_of: undoes the normalisation and the cell's |F|² scale.
        self.mass_of = 1.0 / (per_weight(crystal) * float(lines.intensity.max()))
        self.spacing = lines.d / scale


class ProfileModel:
    """The pattern as a function of the parameters, with its derivatives.

    Parameters: zero, height, Lorentzian share, then by phase factor, strain, additional width and (ln r)², then the
    background's coefficients.
    """

    COMMON = 3
    EACH = 4

    def __init__(self, pattern: Pattern, phases: tuple[PhaseLines, ...], side: float = -1.0) -> None:
        """Make the model; `side` says whether texture means r < 1 (-1: platelets) or r > 1 (+1: needles)."""
        self.side = side
        self.pattern = pattern
        self.phases = phases
        x = pattern.two_theta
        middle, half = (x[0] + x[-1]) / 2.0, (x[-1] - x[0]) / 2.0
        self.polynomials = np.polynomial.chebyshev.chebvander((x - middle) / half, BACKGROUND - 1)
        self.size = self.COMMON + self.EACH * len(phases) + BACKGROUND
        self.step = float(np.median(np.diff(x)))

    def place(self, index: int) -> int:
        """Return where a phase's parameters begin."""
        return self.COMMON + self.EACH * index

    def profile(self, index: int, p: Floats, *, slopes: bool = True) -> tuple[Floats, dict[str, Floats]]:
        """Return a phase's pattern for factor 1, shape (n,), and its derivatives by name (zero where not asked for)."""
        pattern, phase = self.pattern, self.phases[index]
        zero, height, share = p[:3]
        _, strain, broadening, texture = p[self.place(index) : self.place(index) + self.EACH]
        factor, factor_slope = _texture(phase.angles, float(texture), self.side)
        x = pattern.two_theta
        count = int(2.0 * _REACH / self.step) + 1
        names = ("value", "strain", "zero", "height", "share", "width", "texture") if slopes else ("value",)
        sums = np.zeros((len(names), len(x) + count))  # what reaches beyond the last point falls behind it
        for wavelength, part in zip(pattern.wavelengths, (1.0, pattern.doublet), strict=True):
            sine = wavelength / (2.0 * phase.spacing * (1.0 + strain))
            inside = sine < 1.0
            theta = np.arcsin(sine[inside])
            strength = part * phase.strength[inside]
            cosine, tangent = np.cos(theta), np.tan(theta)
            instrument = np.sqrt(np.maximum(np.polyval(pattern.caglioti, tangent), 1e-6))
            width = np.maximum(instrument + broadening / cosine, 0.01)
            centre = np.degrees(2.0 * theta) + zero + height * cosine
            first = np.searchsorted(x, centre - _REACH)
            where = np.minimum(first[:, None] + np.arange(count), len(x) - 1)
            # Single precision within a line's reach, which is far below counting noise and twice as quick; sums are double.
            away = (x[where] - centre[:, None]).astype(np.float32)
            narrow = (1.0 / width)[:, None].astype(np.float32)
            u = away * narrow
            square = np.float32(4.0) * u * u
            near = np.float32(1.0) / (np.float32(1.0) + square)
            # The tail fades out over the last third of its reach: a sharp end would make the sum of squares jump.
            fade = np.clip(np.float32(3.0) - np.float32(3.0 / _REACH) * np.abs(away), np.float32(0.0), np.float32(1.0))
            lorentz = fade * near * (np.float32(2.0 / np.pi) * narrow)
            # Beyond ten widths a Gaussian is nothing, and its exponential would only be slow to compute.
            gauss = np.exp(np.float32(-np.log(2.0)) * np.minimum(square, np.float32(100.0)))
            gauss *= (square < np.float32(100.0)) * (np.float32(2.0 * np.sqrt(np.log(2.0) / np.pi)) * narrow)
            lit = (strength * factor[inside])[:, None].astype(np.float32)
            mixed, rest = lit * np.float32(share) * lorentz, lit * np.float32(1.0 - share) * gauss
            lines = np.empty((len(names), *away.shape), dtype=np.float32)
            np.add(mixed, rest, out=lines[0])
            if slopes:
                self._slopes(lines, (mixed, rest, near, square, u, narrow), (cosine, tangent / (1.0 + strain)))
                np.multiply(lit, lorentz - gauss, out=lines[4])
                np.multiply(lines[0], _column(factor_slope[inside] / factor[inside]), out=lines[6])
            for line, begin in enumerate(first):
                sums[:, begin : begin + count] += lines[:, line]
        found = dict(zip(names, sums[:, : len(x)], strict=True))
        return found.pop("value"), found

    @staticmethod
    def _slopes(
        lines: NDArray[np.float32], parts: tuple[NDArray[np.float32], ...], angles: tuple[Floats, Floats]
    ) -> None:
        """Fill in the derivatives by strain, zero, height and width, lines 1, 2, 3 and 5."""
        mixed, rest, near, square, u, narrow = parts
        cosine, tangent = angles
        by_place = (mixed * near + np.float32(np.log(2.0)) * rest) * u * (np.float32(8.0) * narrow)
        # 2·square/(1 + square) − 1 is 1 − 2·near
        by_width = (
            mixed * (np.float32(1.0) - np.float32(2.0) * near)
            + rest * (np.float32(2.0 * np.log(2.0)) * square - np.float32(1.0))
        ) * narrow
        np.multiply(by_place, _column(np.degrees(-2.0 * tangent)), out=lines[1])
        lines[2] = by_place
        np.multiply(by_place, _column(cosine), out=lines[3])
        np.multiply(by_width, _column(1.0 / cosine), out=lines[5])

    def __call__(self, p: Floats) -> tuple[Floats, Floats]:
        """Return the pattern, shape (n,), and its derivatives, shape (n, parameters)."""
        jacobian = np.zeros((self.size, len(self.pattern.two_theta)))  # by rows, which lie together in memory
        jacobian[-BACKGROUND:] = self.polynomials.T
        total = self.polynomials @ p[-BACKGROUND:]
        for index in range(len(self.phases)):
            at = self.place(index)
            value, slopes = self.profile(index, p)
            factor = p[at]
            total = total + factor * value
            jacobian[at] = value
            for key, column in (("strain", at + 1), ("width", at + 2), ("texture", at + 3)):
                jacobian[column] = factor * slopes[key]
            for key, column in (("zero", 0), ("height", 1), ("share", 2)):
                jacobian[column] += factor * slopes[key]
        return total, jacobian.T


def _column(values: Floats) -> NDArray[np.float32]:
    return values[:, None].astype(np.float32)


def _texture(angles: TextureAngles, t: float, side: float) -> tuple[Floats, Floats]:
    """Return March-Dollase factors for ln r = side·√t and their derivatives by t.

    In a cubic crystal the mean cos²α of equivalent planes is 1/3 for all lines, so that the factors begin with (ln r)²: as a
    function of ln r they have no slope at r = 1 and a fit would creep there; as a function of t they have one.
    """
    step = 1e-4
    low = max(t - step, 0.0)
    ends = [march_dollase(angles, float(np.exp(side * np.sqrt(value)))) for value in (low, max(t, 0.0), t + step)]
    return ends[1], (ends[2] - ends[0]) / (t + step - low)
