"""Phase fractions and lattice parameter from a powder pattern, by a fit of the whole profile.

The pattern of each candidate phase is calculated from its published structure (`sdl.analysis.crystals`), with the strain of
its cell, the widths of its lines and, for the target phase, its preferred orientation left free; zero error, height of the
sample, background and the shape of the lines are common. The factors on the phases give the weight fractions,
W = S Z M V / Σ S Z M V (R. J. Hill, C. J. Howard, J. Appl. Cryst. 20, 467 (1987)): Rietveld's method (J. Appl. Cryst. 2, 65
(1969)) with atoms held where they are.

Weights are those of counting statistics, from the fitted pattern rather than the noisy counts (which would pull it down).
Standard uncertainties come from the fit's covariance, widened by √χ² where χ² per degree of freedom exceeds 1. They do not
hold what no pattern shows: microabsorption, and errors of the published structures.

What is known beforehand enters as further observations, with the widths of `PRIORS`: without them the cell and line width of
a phase that is absent would be undetermined and the fit singular.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.analysis.base import AnalysisInput, one_file
from sdl.analysis.crystals import (
    CRYSTALS,
    CUBIC_GARNET,
    EXTRA,
    Crystal,
    Reflections,
    march_dollase,
    per_weight,
    reflections,
    texture_angles,
)
from sdl.analysis.result import AnalysisFigure, AnalysisResult, Series, normal_interval
from sdl.driver import FieldSpec
from sdl.errors import AnalysisError, InputError, listed, near_miss
from sdl.objective import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TECHNIQUE = "powder X-ray diffraction"
"""What the file's `technique` must say."""

MEDIA_TYPES = ("application/x-hdf5", "application/x-nexus")
"""Media types of a pattern."""

FEWEST = 500
"""Points below which a pattern is too short for a fit of the whole profile."""

WIDEST_STEP = 0.05
"""Largest step of 2θ, degrees: at least two points on the half width of a sharp line."""

NARROWEST_RANGE = 30.0
"""Smallest range of 2θ, degrees: less does not tell the cell from the height of the sample."""

SEEN = 5.0
"""The target phase's factor must exceed its uncertainty by this for its lattice parameter to be given."""

PRESENT = 4.5
"""The same for a phase whose cell and width are fitted at all; below, they are held at what is known beforehand."""

SIGNAL = 8.0
"""The strongest net peak must exceed the counting noise below it by this; else there is no reflection."""

MISFIT, ODD = 3.0, 1.3
"""χ² per degree of freedom above which the fit is refused, and above which it is flagged."""

UNEXPLAINED = 7.0
"""Standard deviations of the mean residual over `_WINDOW` points above which intensity counts as unexplained."""

MOST_STEPS = 60
"""Steps of the fit after which it is given up."""

SMALLEST_GAIN = 1e-3
"""A step that lowers χ² by less ends the fit: it moves no parameter by more than a few hundredths of its uncertainty."""

_WINDOW = 9
_REACH = 6.0  # degrees: the profile of a line is calculated so far from its centre
_BACKGROUND = 7  # Chebyshev polynomials
_NARROWEST = -0.03  # degrees: lines may be a little narrower than the calibration says
_TURNS = 4  # of weights, intensities and absent phases; the last of them settles nothing new
_HELD = 1e-5  # standard deviation that holds a parameter
_SCAN = np.arange(-0.008, 0.0081, 0.0004)  # strains that are tried at first


@dataclass(frozen=True)
class Priors:
    """Standard deviations of what is known before the fit.

    Attributes:
        strain: of a phase's cell against the published one, a share.
        width: of the additional width of its lines, degrees, about `usual_width`.
        usual_width: degrees.
        height: of the shift by the sample's height at 2θ = 0, degrees.
        texture: of (ln r)², r being March's parameter.
        shape: of the Lorentzian share, about 0.5.
    """

    strain: float = 0.005
    width: float = 0.10
    usual_width: float = 0.06
    height: float = 0.05
    texture: float = 0.16
    shape: float = 0.3


PRIORS = Priors()
"""Chosen: wide against what ten thousand counts tell of a phase that is there."""


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


@dataclass(frozen=True, eq=False)
class ProfileFit:
    """What the fit found.

    Attributes:
        weights: phase → weight fraction.
        weight_uncertainties: phase → standard uncertainty.
        strains: phase → lattice parameters over the published ones, minus 1.
        strain_uncertainties: phase → standard uncertainty.
        signals: phase → factor over its standard uncertainty.
        chi_square: per degree of freedom, without the priors.
        fitted: counts, shape (n,).
        background: counts, shape (n,).
        residuals: over the standard deviation of counting, shape (n,).
        numbers: name → fitted number.
        flags: what is odd.
    """

    weights: Mapping[str, float]
    weight_uncertainties: Mapping[str, float]
    strains: Mapping[str, float]
    strain_uncertainties: Mapping[str, float]
    signals: Mapping[str, float]
    chi_square: float
    fitted: Floats
    background: Floats
    residuals: Floats
    numbers: Mapping[str, float]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class PowderAnalysis:
    """Weight fraction of a target phase, and its lattice parameter, from a powder pattern.

    Attributes:
        name: as in the protocol.
        gives: the fields.
        target: the phase sought.
        needs_target: whether a pattern in which the target is not seen is refused (it has no lattice parameter).
    """

    name: str
    gives: tuple[FieldSpec, ...]
    target: Crystal = CUBIC_GARNET
    needs_target: bool = True

    def analyse(self, artefacts: tuple[AnalysisInput, ...]) -> Mapping[str, Estimate]:
        """Return the weight fraction (dimensionless) and, where given, the lattice parameter in Å.

        Raises:
            AnalysisError: not exactly one pattern; wrong technique; truncated, empty or saturated; the phases do not
                describe it; the target phase is not seen where its lattice parameter is wanted.
        """
        return self.examine(artefacts).estimates

    def examine(self, artefacts: tuple[AnalysisInput, ...]) -> AnalysisResult:
        """Return the same with 95 % intervals, flags, and the figure of pattern and fit.

        Raises:
            AnalysisError: as `analyse`.
        """
        file = one_file(self.name, "powder pattern", MEDIA_TYPES, artefacts)
        pattern = read_pattern(file)
        if self.target.name not in pattern.candidates:
            raise AnalysisError(
                f"{file.name}: its phases {listed(pattern.candidates)} do not hold the target {self.target.name}"
            )
        fit = fit_profile(pattern, file.name)
        target = self.target.name
        if max(fit.signals.values()) < SEEN:
            raise AnalysisError(f"{file.name}: none of the phases {listed(pattern.candidates)} is seen")
        flags = list(fit.flags)
        weight = Estimate(fit.weights[target], fit.weight_uncertainties[target])
        estimates = {"phase_fraction": weight}
        if fit.signals[target] > SEEN:
            length = self.target.a
            estimates["lattice_parameter"] = Estimate(
                length * (1.0 + fit.strains[target]), length * fit.strain_uncertainties[target]
            )
        elif self.needs_target:
            raise AnalysisError(
                f"{file.name}: {target} is not seen (weight fraction {weight.value:.4f} ± {weight.uncertainty:.4f}): "
                f"no lattice parameter; the analysis '{PHASE_CONTENT.name}' gives the fraction alone"
            )
        else:
            flags.append(f"{target} is not seen")
        wanted = [f.name for f in self.gives]
        chosen = {name: estimates[name] for name in wanted}
        others = {f"weight fraction of {n}": w for n, w in fit.weights.items() if n != target}
        return AnalysisResult(
            estimates=chosen,
            intervals={name: normal_interval(e) for name, e in chosen.items()},
            flags=tuple(flags),
            figure=figure(pattern, fit),
            diagnostics={"chi_square": fit.chi_square, **others, **fit.numbers},
        )


_FRACTION = FieldSpec("phase_fraction", "number")
PHASE_FRACTION = PowderAnalysis(
    "phase_fraction", (_FRACTION, FieldSpec("lattice_parameter", "number", "angstrom")), CUBIC_GARNET
)
"""Weight fraction and lattice parameter of the cubic garnet."""

PHASE_CONTENT = PowderAnalysis("phase_content", (_FRACTION,), CUBIC_GARNET, needs_target=False)
"""Weight fraction of the cubic garnet alone; also of a sample that holds none."""


def read_pattern(file: AnalysisInput) -> Pattern:
    """Read a powder pattern from NeXus/HDF5: `entry/technique`, `entry/data`, `entry/instrument`, `entry/sample`.

    Raises:
        AnalysisError: not HDF5 or truncated; another technique; a member is missing or in another unit; not finite, not
            ascending, too short or too coarse; negative, saturated or no counts.
        InputError: h5py is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise InputError(f"reading powder patterns needs h5py: {EXTRA}") from error
    if not file.data:
        raise AnalysisError(f"{file.name}: the file is empty")
    try:
        with h5py.File(io.BytesIO(file.data), "r") as tree:
            return _pattern(file.name, tree)
    except (OSError, RuntimeError) as error:
        raise AnalysisError(f"{file.name}: not a readable HDF5 file, or truncated: {error}") from error


def _pattern(name: str, tree: Any) -> Pattern:  # noqa: ANN401  h5py has no types
    def member(path: str, unit: str = "") -> Any:  # noqa: ANN401
        if path not in tree:
            raise AnalysisError(f"{name}: '{path}' is missing: no powder pattern, or an incomplete one")
        found = tree[path]
        if not hasattr(found, "shape"):
            raise AnalysisError(f"{name}: '{path}' is a group, expected data")
        said = found.attrs.get("units", "")
        if unit and said != unit:
            raise AnalysisError(f"{name}: '{path}' is in '{said}', expected '{unit}'")
        return found[()]

    def number(path: str, unit: str = "") -> float:
        value = np.asarray(member(path, unit))
        if value.shape != () or value.dtype.kind not in "iuf" or not np.isfinite(value):
            raise AnalysisError(f"{name}: '{path}' is not one finite number")
        return float(value)

    def array(path: str, unit: str) -> Floats:
        value = np.asarray(member(path, unit))
        if value.ndim != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
            raise AnalysisError(f"{name}: '{path}' is not a row of finite numbers")
        return value.astype(np.float64)

    technique = member("entry/technique")
    technique = technique.decode() if isinstance(technique, bytes) else str(technique)
    if technique != TECHNIQUE:
        raise AnalysisError(f"{name}: the file says technique '{technique}', expected '{TECHNIQUE}'")
    two_theta = array("entry/data/two_theta", "degree")
    counts = array("entry/data/counts", "counts")
    points = tree["entry/data"].attrs.get("points")
    if len(two_theta) == 0 or len(counts) == 0:
        raise AnalysisError(f"{name}: the pattern is empty")
    if len(two_theta) != len(counts) or points is None or int(points) != len(counts):
        said = "no number of points" if points is None else f"{int(points)} points"
        raise AnalysisError(
            f"{name}: truncated: the file announces {said}, it has {len(two_theta)} angles and {len(counts)} counts"
        )
    _check_axis(name, two_theta)
    _check_counts(name, counts, number("entry/instrument/detector/saturation_value", "counts"))
    candidates = tuple(
        c.decode() if isinstance(c, bytes) else str(c) for c in np.atleast_1d(member("entry/sample/candidate_phases"))
    )
    for candidate in candidates:
        if candidate not in CRYSTALS:
            raise AnalysisError(
                f"{name}: unknown phase '{candidate}'{near_miss(candidate, CRYSTALS)}; there are {listed(sorted(CRYSTALS))}"
            )
    if len(set(candidates)) < len(candidates):
        raise AnalysisError(f"{name}: a phase is named twice: {listed(candidates)}")
    caglioti = array("entry/instrument/calibration/caglioti", "degree**2")
    tangent = np.tan(np.radians(two_theta / 2.0))
    if caglioti.shape != (3,) or (np.polyval(caglioti, tangent) <= 0).any():
        raise AnalysisError(f"{name}: the calibration gives no width of lines over the measured angles")
    uncertainty = number("entry/instrument/calibration/zero_uncertainty", "degree")
    if uncertainty <= 0:
        raise AnalysisError(
            f"{name}: the zero error's uncertainty must be above 0 degree, the file says {uncertainty:g}"
        )
    return Pattern(
        two_theta=two_theta,
        counts=counts,
        wavelengths=(
            number("entry/instrument/beam/k_alpha_one", "angstrom"),
            number("entry/instrument/beam/k_alpha_two", "angstrom"),
        ),
        doublet=number("entry/instrument/beam/ratio_k_alpha_two_k_alpha_one"),
        zero=number("entry/instrument/calibration/zero", "degree"),
        zero_uncertainty=uncertainty,
        caglioti=(float(caglioti[0]), float(caglioti[1]), float(caglioti[2])),
        candidates=candidates,
        simulated=bool(np.asarray(member("entry/simulated")).item()),
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


class _Phase:
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


class _Model:
    """The pattern as a function of the parameters, with its derivatives.

    Parameters: zero, height, Lorentzian share, then by phase factor, strain, additional width and (ln r)², then the
    background's coefficients.
    """

    COMMON = 3
    EACH = 4

    def __init__(self, pattern: Pattern, phases: tuple[_Phase, ...], side: float = -1.0) -> None:
        """Make the model; `side` says whether texture means r < 1 (-1: platelets) or r > 1 (+1: needles)."""
        self.side = side
        self.pattern = pattern
        self.phases = phases
        x = pattern.two_theta
        middle, half = (x[0] + x[-1]) / 2.0, (x[-1] - x[0]) / 2.0
        self.polynomials = np.polynomial.chebyshev.chebvander((x - middle) / half, _BACKGROUND - 1)
        self.size = self.COMMON + self.EACH * len(phases) + _BACKGROUND
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
        sums = {k: np.zeros(len(x)) for k in ("value", "strain", "zero", "height", "share", "width", "texture")}
        for wavelength, part in zip(pattern.wavelengths, (1.0, pattern.doublet), strict=True):
            sine = wavelength / (2.0 * phase.spacing * (1.0 + strain))
            inside = sine < 1.0
            theta = np.arcsin(sine[inside])
            strength = part * phase.strength[inside]
            cosine, tangent = np.cos(theta), np.tan(theta)
            instrument = np.sqrt(np.maximum(np.polyval(pattern.caglioti, tangent), 1e-6))
            width = np.maximum(instrument + broadening / cosine, 0.01)[:, None]
            centre = np.degrees(2.0 * theta) + zero + height * cosine
            first = np.searchsorted(x, centre - _REACH)
            where = first[:, None] + np.arange(count)
            valid = where < len(x)
            where = np.minimum(where, len(x) - 1)
            away = x[where] - centre[:, None]
            u = away / width
            square = 4.0 * u * u
            # The tail fades out over the last third of its reach: a sharp end would make the sum of squares jump.
            fade = np.where(valid, np.clip(3.0 - 3.0 * np.abs(away) / _REACH, 0.0, 1.0), 0.0)
            lorentz = fade * (2.0 / np.pi / width / (1.0 + square))
            gauss = np.where(valid, 2.0 * np.sqrt(np.log(2.0) / np.pi) / width * np.exp(-np.log(2.0) * square), 0.0)
            shape = share * lorentz + (1.0 - share) * gauss
            lit = (strength * factor[inside])[:, None]
            flat = where.ravel()

            def gather(key: str, values: Floats, flat: NDArray[np.intp] = flat) -> None:
                sums[key] += np.bincount(flat, values.ravel(), len(x))

            gather("value", lit * shape)
            if not slopes:
                continue
            by_place = (
                (share * lorentz * 2.0 / (1.0 + square) + (1.0 - share) * gauss * 2.0 * np.log(2.0)) * 4.0 * u / width
            )
            by_width = (
                share * lorentz * (2.0 * square / (1.0 + square) - 1.0)
                + (1.0 - share) * gauss * (2.0 * np.log(2.0) * square - 1.0)
            ) / width
            gather("share", lit * (lorentz - gauss))
            gather("zero", lit * by_place)
            gather("height", lit * by_place * cosine[:, None])
            gather("strain", lit * by_place * np.degrees(-2.0 * tangent / (1.0 + strain))[:, None])
            gather("width", lit * by_width / cosine[:, None])
            gather("texture", (strength * factor_slope[inside])[:, None] * shape)
        return sums.pop("value"), sums

    def __call__(self, p: Floats) -> tuple[Floats, Floats]:
        """Return the pattern, shape (n,), and its derivatives, shape (n, parameters)."""
        jacobian = np.zeros((len(self.pattern.two_theta), self.size))
        jacobian[:, -_BACKGROUND:] = self.polynomials
        total = self.polynomials @ p[-_BACKGROUND:]
        for index in range(len(self.phases)):
            at = self.place(index)
            value, slopes = self.profile(index, p)
            factor = p[at]
            total = total + factor * value
            jacobian[:, at] = value
            for key, column in (("strain", at + 1), ("width", at + 2), ("texture", at + 3)):
                jacobian[:, column] = factor * slopes[key]
            for key, column in (("zero", 0), ("height", 1), ("share", 2)):
                jacobian[:, column] += factor * slopes[key]
        return total, jacobian


def _texture(angles: tuple[tuple[Floats, Floats], ...], t: float, side: float) -> tuple[Floats, Floats]:
    """Return March-Dollase factors for ln r = side·√t and their derivatives by t.

    In a cubic crystal the mean cos²α of equivalent planes is 1/3 for all lines, so that the factors begin with (ln r)²: as a
    function of ln r they have no slope at r = 1 and a fit would creep there; as a function of t they have one.
    """
    step = 1e-4
    low = max(t - step, 0.0)
    ends = [march_dollase(angles, float(np.exp(side * np.sqrt(value)))) for value in (low, max(t, 0.0), t + step)]
    return ends[1], (ends[2] - ends[0]) / (t + step - low)


def fit_profile(pattern: Pattern, name: str = "pattern") -> ProfileFit:
    """Fit a pattern with all its candidate phases.

    Raises:
        AnalysisError: the fit does not converge, or the phases do not describe the pattern.
    """
    model = _Model(pattern, tuple(_Phase(CRYSTALS[c], pattern) for c in pattern.candidates))
    counts = pattern.counts
    smooth = np.convolve(np.pad(counts, 2, mode="edge"), np.ones(5) / 5.0, "valid")
    sigma = np.sqrt(np.maximum(smooth, 1.0))
    start = _start(model, sigma)
    known, spread = _knowledge(model)
    lower, upper = np.full(model.size, -np.inf), np.full(model.size, np.inf)
    lower[2], upper[2] = 0.0, 1.0
    for index in range(len(model.phases)):
        at = model.place(index)
        lower[at + 1 : at + 4] = -0.012, _NARROWEST, 0.0
        upper[at + 1 : at + 4] = 0.012, 1.0, 1.44
    held: set[int] = set()
    side = 0
    for turn in range(_TURNS):
        # First with the counts' own weights, then with those of the fitted pattern and the intensities of the fitted cells.
        if turn > 0:
            strains = [float(start[model.place(i) + 1]) for i in range(len(model.phases))]
            again = [_Phase(ph.crystal, pattern, e) for ph, e in zip(model.phases, strains, strict=True)]
            for index, (old, new) in enumerate(zip(model.phases, again, strict=True)):
                start[model.place(index)] *= old.mass_of / new.mass_of
            sides = [_Model(pattern, tuple(again), side) for side in (-1.0, 1.0)]
            if turn == 1:
                misfits = [float(np.sum(((m(start)[0] - counts) / sigma) ** 2)) for m in sides]
                side = int(np.argmin(misfits))
            model = sides[side]
        found = _least_squares(model, start, 1.0 / sigma, known, spread, (lower, upper))
        sigma = np.sqrt(np.maximum(model(found.x)[0], 1.0))
        start = found.x.copy()
        absent = [i for i in _absent(model, found) if i not in held]
        if turn > 0 and not absent:
            break
        for index in absent:
            at = model.place(index)
            start[at : at + 4] = 0.0, *known[at + 1 : at + 4]
            if turn == 0 and (strain := _hidden(model, index, start, sigma)) is not None:
                start[at + 1] = strain  # it was there, and only the scan had missed it
                continue
            # Cell and width of a phase that is not there would follow the noise and find more of it than there is.
            held.add(index)
            spread[at + 1 : at + 4] = _HELD
    fitted = model(found.x)[0]
    if not found.converged:
        raise AnalysisError(f"{name}: the fit of the profile does not converge")
    p = found.x
    residuals = (counts - fitted) / sigma
    chi_square = float(residuals @ residuals) / (len(counts) - model.size)
    if chi_square > MISFIT:
        worst = float(pattern.two_theta[int(np.argmax(np.abs(_mean_residual(residuals))))])
        raise AnalysisError(
            f"{name}: {listed(pattern.candidates)} do not describe the pattern: χ² per degree of freedom is {chi_square:.2f}, at "
            f"most {MISFIT:g} is allowed; it is worst at 2θ = {worst:.2f} degrees: another phase, or another setting"
        )
    try:
        covariance = np.linalg.inv(found.jac.T @ found.jac) * max(chi_square, 1.0)
    except np.linalg.LinAlgError as error:
        raise AnalysisError(f"{name}: the pattern does not determine the fit: {error}") from error
    return _report(pattern, model, p, covariance, chi_square, residuals, fitted, (lower, upper))


@dataclass(frozen=True, eq=False)
class _Solution:
    """Parameters, the derivatives of the residuals there, and whether they are the end."""

    x: Floats
    jac: Floats
    converged: bool


def _least_squares(
    model: _Model, start: Floats, weights: Floats, known: Floats, spread: Floats, bounds: tuple[Floats, Floats]
) -> _Solution:
    """Fit by damped Gauss-Newton steps (D. W. Marquardt, J. SIAM 11, 431 (1963)).

    scipy's bounded solver creeps here for hundreds of steps: it slows down near bounds that hold nothing.

    Args:
        model: the pattern's model.
        start: first parameters.
        weights: of the counts, 1/σ, shape (n,).
        known: what is known beforehand, shape (parameters,).
        spread: its standard deviations, infinite where nothing is known.
        bounds: smallest and largest parameters; an end there is flagged in the report.
    """
    counts = model.pattern.counts
    informed = np.isfinite(spread)
    rows = np.diag(1.0 / spread)[informed]

    def evaluate(p: Floats) -> tuple[float, Floats, Floats]:
        value, jacobian = model(p)
        residuals = np.concatenate([(value - counts) * weights, ((p - known) / spread)[informed]])
        return float(residuals @ residuals), residuals, np.concatenate([jacobian * weights[:, None], rows])

    p = np.clip(start, *bounds)
    cost, residuals, jacobian = evaluate(p)
    damping = 1e-3
    for _ in range(MOST_STEPS):
        normal = jacobian.T @ jacobian
        # Scaled to a unit diagonal: a strain's entry is twelve orders larger than a background's.
        scale = np.sqrt(np.maximum(np.diag(normal), 1e-12))
        normal /= np.outer(scale, scale)
        downhill = -jacobian.T @ residuals / scale
        free = ~(((p <= bounds[0]) & (downhill < 0)) | ((p >= bounds[1]) & (downhill > 0)))
        normal, downhill = normal[np.ix_(free, free)], downhill[free]
        while True:
            trial = p.copy()
            trial[free] += np.linalg.solve(normal + damping * np.eye(int(free.sum())), downhill) / scale[free]
            trial = np.clip(trial, *bounds)
            new = evaluate(trial)
            if new[0] <= cost:
                break
            damping = max(4.0 * damping, 1e-6)
            if damping > 1e8:  # no step, however small, leads further down
                return _Solution(p, jacobian, converged=True)
        gain = cost - new[0]
        p, (cost, residuals, jacobian) = trial, new
        damping *= 0.2
        if gain < SMALLEST_GAIN:
            return _Solution(p, jacobian, converged=True)
    return _Solution(p, jacobian, converged=False)


def _absent(model: _Model, found: _Solution) -> list[int]:
    """Return the phases whose factors do not rise above `PRESENT` standard uncertainties."""
    try:
        deviations = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    except np.linalg.LinAlgError:
        return []
    places = [model.place(i) for i in range(len(model.phases))]
    return [i for i, at in enumerate(places) if found.x[at] <= PRESENT * deviations[at]]


def _start(model: _Model, sigma: Floats) -> Floats:
    """Return first parameters: strains from a scan, factors and background by linear least squares."""
    from scipy.optimize import nnls

    p = np.zeros(model.size)
    p[0], p[2] = model.pattern.zero, 0.5
    for index in range(len(model.phases)):
        p[model.place(index) + 2] = 0.12  # broad at first, so that lines are found
    weighted = model.pattern.counts / sigma
    signs = np.concatenate([model.polynomials, -model.polynomials], axis=1)

    def column(index: int, strain: float) -> Floats:
        p[model.place(index) + 1] = strain
        return model.profile(index, p, slopes=False)[0]

    def solve(columns: list[Floats]) -> tuple[Floats, float]:
        factors, norm = nnls(np.column_stack([*columns, signs]) / sigma[:, None], weighted)
        return factors, float(norm)

    # The phase that explains most first, then the others beside it.
    tried = [[column(index, e) for e in _SCAN] for index in range(len(model.phases))]
    alone = [[solve([c])[1] for c in columns] for columns in tried]
    best = [int(np.argmin(norms)) for norms in alone]
    order = sorted(range(len(model.phases)), key=lambda i: alone[i][best[i]])
    for turn, index in enumerate(order):
        taken = [tried[i][best[i]] for i in order[:turn]]
        best[index] = int(np.argmin([solve([*taken, c])[1] for c in tried[index]]))
    # A weak phase may have settled on lines of a phase that came after it: each is tried anew beside all others.
    for _ in range(2):
        for index in order[::-1]:
            others = [tried[i][best[i]] for i in order if i != index]
            best[index] = int(np.argmin([solve([*others, c])[1] for c in tried[index]]))
    for index, place in enumerate(best):
        p[model.place(index) + 1] = _SCAN[place]
    factors, _ = solve([columns[place] for columns, place in zip(tried, best, strict=True)])
    number = len(model.phases)
    for index in range(number):
        p[model.place(index)] = factors[index]
        p[model.place(index) + 2] = PRIORS.usual_width
    p[-_BACKGROUND:] = factors[number : number + _BACKGROUND] - factors[number + _BACKGROUND :]
    return p


def _knowledge(model: _Model) -> tuple[Floats, Floats]:
    """Return what is known beforehand of the parameters and its standard deviations, infinite where nothing is."""
    known, spread = np.zeros(model.size), np.full(model.size, np.inf)
    known[:3] = model.pattern.zero, 0.0, 0.5
    spread[:3] = model.pattern.zero_uncertainty, PRIORS.height, PRIORS.shape
    for index, phase in enumerate(model.phases):
        at = model.place(index)
        known[at + 1 : at + 4] = 0.0, PRIORS.usual_width, 0.0
        texture = PRIORS.texture if phase.crystal is CUBIC_GARNET else _HELD
        spread[at + 1 : at + 4] = PRIORS.strain, PRIORS.width, texture
    return known, spread


def _mean_residual(residuals: Floats) -> Floats:
    """Return the running sum of residuals over the root of its number of points: of standard deviation 1 where all is noise."""
    return np.asarray(np.convolve(residuals, np.ones(_WINDOW), "same") / np.sqrt(_WINDOW), dtype=np.float64)


def _hidden(model: _Model, index: int, p: Floats, sigma: Floats) -> float | None:
    """Return the strain at which a phase that has no share in the fit lowers χ² most, or None where that is chance."""
    rest = (model.pattern.counts - model(p)[0]) / sigma
    flat = model.polynomials / sigma[:, None]
    gains = []
    for strain in _SCAN:
        trial = p.copy()
        trial[model.place(index) + 1] = strain
        column = model.profile(index, trial, slopes=False)[0] / sigma
        free = column - flat @ np.linalg.lstsq(flat, column, rcond=None)[0]
        factor = float(free @ rest) / float(free @ free)
        gains.append(factor * abs(factor) * float(free @ free))
    best = int(np.argmax(gains))
    return float(_SCAN[best]) if gains[best] > PRESENT**2 else None


def _report(
    pattern: Pattern,
    model: _Model,
    p: Floats,
    covariance: NDArray[Any],
    chi_square: float,
    residuals: Floats,
    fitted: Floats,
    bounds: tuple[Floats, Floats],
) -> ProfileFit:
    names = pattern.candidates
    places = np.array([model.place(i) for i in range(len(names))])
    strains = p[places + 1]
    # The cell's volume changes with the strain, and the mass in the beam with V² per factor.
    masses = np.array([ph.mass_of for ph in model.phases]) * (1.0 + strains) ** 3
    amounts = p[places] * masses
    total = float(amounts.sum())
    weights = amounts / total
    spread = covariance[np.ix_(places, places)]
    slopes = (np.eye(len(names)) - weights[:, None]) * masses / total  # ∂weight/∂factor
    uncertainty = np.sqrt(np.einsum("ij,jk,ik->i", slopes, spread, slopes))
    deviations = np.sqrt(np.diag(covariance))
    flags = []
    if chi_square > ODD:
        flags.append(f"χ² per degree of freedom is {chi_square:.2f}: the phases describe the pattern only roughly")
    running = _mean_residual(residuals)
    worst = int(np.argmax(running))
    if running[worst] > UNEXPLAINED:
        flags.append(f"unexplained intensity at 2θ = {pattern.two_theta[worst]:.2f} degrees: another phase?")
    for index, name in enumerate(names):
        seen = p[places[index]] > SEEN * deviations[places[index]]
        labels = ("strain of the cell", "width of the lines", "preferred orientation")
        for offset, label in enumerate(labels, start=1):
            at = places[index] + offset
            close = 1e-3 * (bounds[1][at] - bounds[0][at])
            low = p[at] - bounds[0][at] < close and offset < 3  # no texture at all is no limit
            if seen and (low or bounds[1][at] - p[at] < close):
                flags.append(f"{name}: {label} is at the limit of the fit")
    numbers = {"zero_degree": float(p[0]), "height_shift_degree": float(p[1]), "lorentzian_share": float(p[2])}
    for index, name in enumerate(names):
        numbers[f"march_r of {name}"] = float(np.exp(model.side * np.sqrt(max(p[places[index] + 3], 0.0))))
        numbers[f"width_degree of {name}"] = float(p[places[index] + 2])
    return ProfileFit(
        weights=dict(zip(names, weights.tolist(), strict=True)),
        weight_uncertainties=dict(zip(names, uncertainty.tolist(), strict=True)),
        strains=dict(zip(names, strains.tolist(), strict=True)),
        strain_uncertainties=dict(zip(names, deviations[places + 1].tolist(), strict=True)),
        signals=dict(zip(names, (p[places] / deviations[places]).tolist(), strict=True)),
        chi_square=chi_square,
        fitted=fitted,
        background=model.polynomials @ p[-_BACKGROUND:],
        residuals=residuals,
        numbers=numbers,
        flags=tuple(flags),
    )


def figure(pattern: Pattern, fit: ProfileFit) -> AnalysisFigure:
    """Return the figure of a fit as refinements are shown: counts, fit, background, and their difference below zero."""
    x = tuple(pattern.two_theta.tolist())
    difference = pattern.counts - fit.fitted
    below = -1.1 * float(np.abs(difference).max())
    parts = ", ".join(f"{name} {weight:.1%}" for name, weight in fit.weights.items())
    return AnalysisFigure(
        title=f"Powder pattern: {parts}",
        x_label="2θ",
        x_unit="degree",
        y_label="intensity",
        y_unit="counts",
        series=(
            Series("measured", x, tuple(pattern.counts.tolist()), "points"),
            Series("fit", x, tuple(fit.fitted.tolist())),
            Series("background", x, tuple(fit.background.tolist())),
            Series("measured - fit, shifted", x, tuple((difference + below).tolist())),
        ),
    )
