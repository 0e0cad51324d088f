"""Porosity and grain size from an electron micrograph of a polished, etched section.

Porosity is the share of the section's area that is darker than half way between pore and grain (A. Delesse, C. R. Acad. Sci. 25,
544 (1847)). Grain size is the mean intercept length (ASTM E112): the length of all rows and columns of pixels that lies in the
solid, over the number of grain boundaries that they cross. Boundaries are dark ridges (Y. Sato et al., Med. Image Anal. 2, 143
(1998)), thinned to lines. Pores hide length and boundaries alike and therefore drop out.

Uncertainties are those of the sampling: the image is cut into tiles that are drawn again with replacement (B. Efron, Ann.
Stat. 7, 1 (1979)), and what varies is the ratio of sums over tiles. The scale's uncertainty and that of finding boundaries are
joined in quadrature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.analysis.base import AnalysisInput, one_file
from sdl.analysis.crystals import EXTRA
from sdl.analysis.micrograph_file import MEDIA_TYPES, TECHNIQUE, Micrograph, read_micrograph
from sdl.analysis.result import AnalysisFigure, AnalysisResult, Interval, Series
from sdl.driver import FieldSpec
from sdl.errors import AnalysisError, InputError
from sdl.objective import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

CONTRAST = 6.0
"""Grains must be brighter than the dark level by this many standard deviations of the noise."""

SMALLEST_GRAIN = 10.0
"""Mean intercept in pixels below which boundaries run into one another."""

FEWEST_CROSSINGS = 40.0
"""Independent crossings (image edge over intercept, squared) below which the section is too small for a grain size."""

SMALLEST_PORE = 9
"""Pixels; smaller dark spots are noise."""

TILES = 5
"""Tiles along an edge."""

DRAWS = 1000
"""Draws of the bootstrap."""

MERGED, MERGED_UNCERTAINTY = 1.8, 0.6
"""Pixels by which the mean intercept is too long, as boundaries closer than the ridge filter resolves are counted as one, and
the standard uncertainty of that. Found on 60 simulated sections of known grain size (1.6 ± 0.2 pixels at intercepts of 14 to 22
pixels, 2.2 ± 0.2 at 22 to 32, 1.9 ± 0.4 at 32 to 50); it rests on grains of Voronoi shape."""

_RIDGE = (1.5, 2.0)  # pixels: scales at which boundaries are sought
_AROUND = 3  # pixels around a pore in which its own edge would look like a boundary
_BLIND = 3  # pixels further out in which boundaries are found less often, cut off as they are: chosen, 1.5 widths of the filter


@dataclass(frozen=True, eq=False)
class Features:
    """What was found in the image.

    Attributes:
        pores: where pores are, shape (height, width).
        boundaries: thinned grain boundaries, shape (height, width).
        hidden: where not every boundary can be seen, in pores and around them, shape (height, width).
    """

    pores: Mask
    boundaries: Mask
    hidden: Mask


class Microstructure:
    """Porosity (dimensionless) and mean intercept grain size in µm of a polished, etched section."""

    name = "microstructure"
    technique = TECHNIQUE
    gives: tuple[FieldSpec, ...] = (FieldSpec("porosity", "number"), FieldSpec("grain_size", "number", "um"))

    def analyse(self, artefacts: tuple[AnalysisInput, ...]) -> Mapping[str, Estimate]:
        """Return `porosity` (dimensionless) and `grain_size` (µm) with their standard uncertainties.

        Raises:
            AnalysisError: not exactly one micrograph; wrong technique; truncated, empty or saturated; no scale; too few
                or too small grains.
        """
        return self.examine(artefacts).estimates

    def examine(self, artefacts: tuple[AnalysisInput, ...]) -> AnalysisResult:
        """Return the same with 95 % intervals, flags, and the figure of intercept lengths.

        Raises:
            AnalysisError: as `analyse`.
        """
        from scipy.stats import t as student

        file = one_file(self.name, "micrograph", MEDIA_TYPES, artefacts)
        image = read_micrograph(file)
        features = find_features(image, file.name)
        tiles = count(features)
        crossings = float(tiles["crossings"].sum())
        length = float(tiles["length"].sum())
        if crossings == 0:
            raise AnalysisError(f"{file.name}: no grain boundary is seen: not etched, or too little contrast")
        intercept = length / crossings - MERGED
        if intercept < SMALLEST_GRAIN:
            raise AnalysisError(
                f"{file.name}: grains of {intercept:.1f} pixels are too small, at least {SMALLEST_GRAIN:g} are needed; "
                "use a higher magnification"
            )
        independent = features.pores.size / intercept**2
        if independent < FEWEST_CROSSINGS:
            raise AnalysisError(
                f"{file.name}: about {independent:.0f} grains are too few, at least {FEWEST_CROSSINGS:g} are needed; "
                "use a lower magnification"
            )
        porosity = float(tiles["dark"].sum() / tiles["area"].sum())
        porosity_spread = bootstrap(tiles["dark"], tiles["area"])
        share = np.sqrt(
            (bootstrap(tiles["length"], tiles["crossings"]) / intercept) ** 2
            + (MERGED_UNCERTAINTY / intercept) ** 2
            + (image.pixel_uncertainty / image.pixel) ** 2
        )
        estimates = {
            "porosity": Estimate(porosity, porosity_spread),
            "grain_size": Estimate(intercept * image.pixel, float(intercept * image.pixel * share)),
        }
        # Few tiles: the spread itself is uncertain, and Student's distribution says by how much.
        factor = float(student.ppf(0.975, TILES * TILES - 1))
        intervals = {n: _interval(e, factor) for n, e in estimates.items()}
        flags = []
        if not features.pores.any():
            flags.append("no pore is seen: the porosity's uncertainty is that of one pore of the smallest size")
        elif intervals["porosity"].lower < 0:
            flags.append("few pores: the porosity's interval reaches below 0")
        if independent < 4 * FEWEST_CROSSINGS:
            flags.append(f"only about {independent:.0f} grains: the grain size is a small sample")
        return AnalysisResult(
            estimates=estimates,
            intervals=intervals,
            flags=tuple(flags),
            figure=figure(features, image.pixel),
            diagnostics={"crossings": crossings, "intercept_pixels": intercept, "grains_about": independent},
        )


def _interval(estimate: Estimate, factor: float) -> Interval:
    half = factor * (estimate.uncertainty or 0.0)
    return Interval(estimate.value - half, estimate.value + half)


def find_features(image: Micrograph, name: str = "micrograph") -> Features:
    """Find pores and grain boundaries.

    Raises:
        AnalysisError: grains are hardly brighter than no signal.
        InputError: scikit-image is not installed.
    """
    try:
        import skimage.filters
        import skimage.morphology
    except ImportError as error:
        raise InputError(f"micrographs need scikit-image: {EXTRA}") from error
    filters: Any = skimage.filters  # half of their functions have no types
    morphology: Any = skimage.morphology
    grey = image.grey
    # Differences of neighbours show the noise; their median ignores edges. 1.349: quartiles of a normal distribution.
    noise = float(np.median(np.abs(np.diff(grey, axis=1)))) / 0.6745 / np.sqrt(2.0)
    smooth = np.asarray(filters.gaussian(grey, 1.0))
    bright = _mode(smooth[smooth > image.dark + 3.0 * noise]) if (smooth > image.dark + 3.0 * noise).any() else 0.0
    if bright - image.dark < CONTRAST * max(noise, 1e-6):
        raise AnalysisError(
            f"{name}: grains (grey {bright:.3f} of 1) are hardly brighter than no signal ({image.dark:.3f}), noise {noise:.3f}: "
            "no section, or too little signal"
        )
    pores = morphology.remove_small_objects(smooth < (bright + image.dark) / 2.0, max_size=SMALLEST_PORE - 1)
    masked = morphology.isotropic_dilation(pores, _AROUND)
    filled = np.where(masked, bright, grey)
    ridge = np.asarray(filters.sato(filled, sigmas=_RIDGE, black_ridges=True))
    # What the same filter finds in pure noise sets the thresholds.
    blank = np.random.default_rng(0).normal(scale=noise, size=(256, 256))
    chance = np.quantile(np.asarray(filters.sato(blank, sigmas=_RIDGE, black_ridges=True)), 0.999)
    found = filters.apply_hysteresis_threshold(ridge, 1.1 * chance, 2.0 * chance) & ~masked
    found = morphology.remove_small_objects(found, max_size=3 * SMALLEST_PORE)
    hidden = morphology.isotropic_dilation(pores, _AROUND + _BLIND)
    return Features(np.asarray(pores), np.asarray(morphology.skeletonize(found)), np.asarray(hidden))


def _mode(values: Floats) -> float:
    heights, edges = np.histogram(values, bins=128)
    at = int(np.argmax(heights))
    return float((edges[at] + edges[at + 1]) / 2.0)


def count(features: Features) -> dict[str, Floats]:
    """Count by tile: `dark` and `area` in pixels, `length` of lines in the solid in pixels, and `crossings`; shape (tiles,)."""
    visible = ~features.hidden
    crossings = np.zeros(features.pores.shape)
    for axis in (0, 1):
        line = features.boundaries & visible
        before = np.roll(line, 1, axis=axis)
        index: list[slice | int] = [slice(None), slice(None)]
        index[axis] = 0
        before[tuple(index)] = False
        crossings += line & ~before  # a line enters a boundary here
    both = {
        "dark": features.pores.astype(np.float64),
        "area": np.ones(features.pores.shape),
        "length": 2.0 * visible,  # one row and one column run through every pixel
        "crossings": crossings,
    }
    return {key: _tiles(value) for key, value in both.items()}


def _tiles(values: NDArray[Any]) -> Floats:
    rows = np.array_split(np.arange(values.shape[0]), TILES)
    columns = np.array_split(np.arange(values.shape[1]), TILES)
    return np.array([values[np.ix_(r, c)].sum() for r in rows for c in columns])


def bootstrap(upper: Floats, lower: Floats) -> float:
    """Return the standard uncertainty of Σ upper / Σ lower when whole tiles are drawn with replacement.

    The draws are the same for the same number of tiles, so that an analysis gives the same bits twice. Multiplied by
    √(n/(n−1)), as the spread of n tiles about their own mean is too small by that.
    """
    number = len(upper)
    drawn = np.random.default_rng(20).integers(number, size=(DRAWS, number))
    below = lower[drawn].sum(axis=1)
    above = upper[drawn].sum(axis=1)
    if (below == 0).any() or not above.any():  # nothing was seen: one smallest pore is what can have been missed
        return float(max(SMALLEST_PORE, 1) / max(lower.sum(), 1.0))
    return float(np.std(above / below) * np.sqrt(number / (number - 1.0)))


def intercepts(features: Features) -> Floats:
    """Return the lengths between neighbouring boundaries on rows and columns that meet no pore between them, pixels."""
    lengths = []
    for transpose in (False, True):
        line = features.boundaries.T if transpose else features.boundaries
        hidden = features.hidden.T if transpose else features.hidden
        for row, dark in zip(line, hidden, strict=True):
            at = np.flatnonzero(row)
            blocked = np.cumsum(dark)
            free = blocked[at[1:]] == blocked[at[:-1]]
            gaps = np.diff(at)
            lengths.append(gaps[free & (gaps > 1)])
    return np.concatenate(lengths).astype(np.float64)


def figure(features: Features, pixel: float) -> AnalysisFigure:
    """Return the distribution of intercept lengths, as a density over µm."""
    lengths = intercepts(features) * pixel
    heights, edges = (
        np.histogram(lengths, bins=40, density=True) if len(lengths) else (np.zeros(1), np.array([0.0, 1.0]))
    )
    middles = (edges[1:] + edges[:-1]) / 2.0
    return AnalysisFigure(
        title=f"Section: porosity {features.pores.mean():.1%}, {len(lengths)} intercepts",
        x_label="intercept length",
        x_unit="um",
        y_label="density",
        y_unit="1/um",
        series=(Series("intercepts", tuple(middles.tolist()), tuple(heights.tolist()), "area"),),
    )
