"""A powder pattern as a file: NeXus/HDF5 with what the instrument's calibration says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.analysis.base import AnalysisInput
from sdl.analysis.crystals import CRYSTALS
from sdl.analysis.hdf5 import Tree, open_tree
from sdl.errors import AnalysisError, listed, near_miss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TECHNIQUE = "powder X-ray diffraction"
"""What the file's `technique` must say."""

FEWEST = 500
"""Points below which a pattern is too short for a fit of the whole profile."""

WIDEST_STEP = 0.05
"""Largest step of 2θ, degrees: at least two points on the half width of a sharp line."""

NARROWEST_RANGE = 30.0
"""Smallest range of 2θ, degrees: less does not tell the cell from the height of the sample."""

SIGNAL = 8.0
"""The strongest net peak must exceed the counting noise below it by this; else there is no reflection."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """A powder pattern with what its file says of the instrument.

    Attributes:
        two_theta: degrees, ascending, shape (n,).
        counts: shape (n,).
        wavelengths: Å, Kα1 and Kα2.
        doublet: intensity of Kα2 over Kα1.
        zero: zero error of 2θ from the calibration, degrees.
        zero_uncertainty: degrees.
        caglioti: u, v, w of the instrument's squared width, degrees².
        candidates: phases that may be present.
        simulated: whether the file says that it was simulated.
    """

    two_theta: Floats
    counts: Floats
    wavelengths: tuple[float, float]
    doublet: float
    zero: float
    zero_uncertainty: float
    caglioti: tuple[float, float, float]
    candidates: tuple[str, ...]
    simulated: bool


def read_pattern(file: AnalysisInput) -> Pattern:
    """Read a powder pattern from NeXus/HDF5: `entry/technique`, `entry/data`, `entry/instrument`, `entry/sample`.

    Raises:
        AnalysisError: not HDF5 or truncated; another technique; a member is missing or in another unit; not finite, not
            ascending, too short or too coarse; negative, saturated or no counts.
        InputError: h5py is not installed.
    """
    with open_tree(file, "powder pattern") as tree:
        return _pattern(tree)


def _pattern(tree: Tree) -> Pattern:
    name = tree.name
    tree.require_technique(TECHNIQUE)
    two_theta = tree.row("entry/data/two_theta", "degree")
    counts = tree.row("entry/data/counts", "counts")
    points = tree.whole("entry/data", "points")
    if len(two_theta) == 0 or len(counts) == 0:
        raise AnalysisError(f"{name}: the pattern is empty")
    if len(two_theta) != len(counts) or points != len(counts):
        said = "no number of points" if points is None else f"{points} points"
        raise AnalysisError(
            f"{name}: truncated: the file announces {said}, it has {len(two_theta)} angles and {len(counts)} counts"
        )
    _check_axis(name, two_theta)
    _check_counts(name, counts, tree.number("entry/instrument/detector/saturation_value", "counts"))
    candidates = tree.texts("entry/sample/candidate_phases")
    for candidate in candidates:
        if candidate not in CRYSTALS:
            raise AnalysisError(
                f"{name}: unknown phase '{candidate}'{near_miss(candidate, CRYSTALS)}; there are {listed(sorted(CRYSTALS))}"
            )
    if len(set(candidates)) < len(candidates):
        raise AnalysisError(f"{name}: a phase is named twice: {listed(candidates)}")
    caglioti = tree.row("entry/instrument/calibration/caglioti", "degree**2")
    tangent = np.tan(np.radians(two_theta / 2.0))
    if caglioti.shape != (3,) or (np.polyval(caglioti, tangent) <= 0).any():
        raise AnalysisError(f"{name}: the calibration gives no width of lines over the measured angles")
    uncertainty = tree.number("entry/instrument/calibration/zero_uncertainty", "degree")
    if uncertainty <= 0:
        raise AnalysisError(
            f"{name}: the zero error's uncertainty must be above 0 degree, the file says {uncertainty:g}"
        )
    return Pattern(
        two_theta=two_theta,
        counts=counts,
        wavelengths=(
            tree.number("entry/instrument/beam/k_alpha_one", "angstrom"),
            tree.number("entry/instrument/beam/k_alpha_two", "angstrom"),
        ),
        doublet=tree.number("entry/instrument/beam/ratio_k_alpha_two_k_alpha_one"),
        zero=tree.number("entry/instrument/calibration/zero", "degree"),
        zero_uncertainty=uncertainty,
        caglioti=(float(caglioti[0]), float(caglioti[1]), float(caglioti[2])),
        candidates=candidates,
        simulated=tree.truth("entry/simulated"),
    )


def _check_axis(name: str, two_theta: Floats) -> None:
    steps = np.diff(two_theta)
    if len(two_theta) < FEWEST:
        raise AnalysisError(f"{name}: {len(two_theta)} points are too few, at least {FEWEST} are needed")
    if (steps <= 0).any() or two_theta[0] <= 0 or two_theta[-1] >= 180:
        raise AnalysisError(f"{name}: 2θ must ascend within 0 and 180 degrees")
    if steps.max() > WIDEST_STEP:
        raise AnalysisError(f"{name}: a step of {steps.max():g} degrees; at most {WIDEST_STEP:g} resolves the lines")
    if two_theta[-1] - two_theta[0] < NARROWEST_RANGE:
        raise AnalysisError(
            f"{name}: from {two_theta[0]:g} to {two_theta[-1]:g} degrees; a range of at least {NARROWEST_RANGE:g} is needed"
        )


def _check_counts(name: str, counts: Floats, saturation: float) -> None:
    if (counts < 0).any() or (counts != np.rint(counts)).any():
        raise AnalysisError(
            f"{name}: counts must be whole numbers of at least 0; scaled data have no counting statistics"
        )
    full = int((counts >= saturation).sum())
    if full:
        raise AnalysisError(
            f"{name}: saturated: {full} points reach {saturation:g} counts, beyond which the detector does not count; "
            "measure with less intensity"
        )
    from scipy.ndimage import median_filter

    level = median_filter(counts, 151, mode="nearest")  # far wider than a line
    above = np.convolve(counts - level, np.ones(3) / 3.0, "same") / np.sqrt(np.maximum(level, 1.0) / 3.0)
    if above.max() < SIGNAL:
        raise AnalysisError(f"{name}: no reflection rises above the background of about {np.median(level):g} counts")
