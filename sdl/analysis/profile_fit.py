"""The fit of a whole powder pattern: amounts, cells and widths of its phases with their covariance.

Weights are those of counting statistics, from the fitted pattern rather than the noisy counts (which would pull it down).
What is known beforehand enters as further observations, with the widths of `PRIORS`: without them the cell and line width of
a phase that is absent would be undetermined and the fit singular.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.analysis.crystals import CRYSTALS, CUBIC_GARNET
from sdl.analysis.pattern_file import Pattern
from sdl.analysis.profile_model import BACKGROUND, PhaseLines, ProfileModel
from sdl.errors import AnalysisError, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SEEN = 5.0
"""The target phase's factor must exceed its uncertainty by this for its lattice parameter to be given."""

PRESENT = 4.5
"""The same for a phase whose cell and width are fitted at all; below, they are held at what is known beforehand."""

MISFIT, ODD = 3.0, 1.3
"""χ² per degree of freedom above which the fit is refused, and above which it is flagged."""

UNEXPLAINED = 7.0
"""Standard deviations of the mean residual over `_WINDOW` points above which intensity counts as unexplained."""

MOST_STEPS = 60
"""Steps of the fit after which it is given up."""

SMALLEST_GAIN = 1e-3
"""A step that lowers χ² by less ends the fit: it moves no parameter by more than a few hundredths of its uncertainty."""

_WINDOW = 9
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


def fit_profile(pattern: Pattern, name: str = "pattern") -> ProfileFit:
    """Fit a pattern with all its candidate phases.

    Raises:
        AnalysisError: the fit does not converge, or the phases do not describe the pattern.
    """
    model = ProfileModel(pattern, tuple(PhaseLines(CRYSTALS[c], pattern) for c in pattern.candidates))
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
            again = [PhaseLines(ph.crystal, pattern, e) for ph, e in zip(model.phases, strains, strict=True)]
            for index, (old, new) in enumerate(zip(model.phases, again, strict=True)):
                start[model.place(index)] *= old.mass_of / new.mass_of
            sides = [ProfileModel(pattern, tuple(again), side) for side in (-1.0, 1.0)]
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
    model: ProfileModel, start: Floats, weights: Floats, known: Floats, spread: Floats, bounds: tuple[Floats, Floats]
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


def _absent(model: ProfileModel, found: _Solution) -> list[int]:
    """Return the phases whose factors do not rise above `PRESENT` standard uncertainties."""
    try:
        deviations = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    except np.linalg.LinAlgError:
        return []
    places = [model.place(i) for i in range(len(model.phases))]
    return [i for i, at in enumerate(places) if found.x[at] <= PRESENT * deviations[at]]


def _start(model: ProfileModel, sigma: Floats) -> Floats:
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
    p[-BACKGROUND:] = factors[number : number + BACKGROUND] - factors[number + BACKGROUND :]
    return p


def _knowledge(model: ProfileModel) -> tuple[Floats, Floats]:
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


def _hidden(model: ProfileModel, index: int, p: Floats, sigma: Floats) -> float | None:
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
    model: ProfileModel,
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
        background=model.polynomials @ p[-BACKGROUND:],
        residuals=residuals,
        numbers=numbers,
        flags=tuple(flags),
    )
