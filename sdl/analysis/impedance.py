"""Conductivity of a solid electrolyte from its impedance spectrum.

What is given. Where the arcs of grains and grain boundaries end and the spike of the blocking electrodes begins, the
spectrum comes down towards the real axis; its intercept there is the resistance of the pellet *as a body*: grains and
boundaries together, without the electrodes. The literature calls the conductivity from it *total*; it is named
`bulk_conductivity` here as opposed to the electrodes' part, and is not that of the grains alone.

How. An equivalent circuit is fitted to the whole spectrum, with the point's modulus as weight (B. A. Boukamp, Solid State
Ionics 20, 31 (1986)): two arcs, each a resistance beside a constant-phase element, in series with one constant-phase
element for the electrodes (J. T. S. Irvine, D. C. Sinclair, A. R. West, Adv. Mater. 2, 132 (1990)) and one inductance for
the leads, which draws the spectrum below the real axis at the highest frequencies. The sum of both resistances is the
intercept, freed from the tails of arcs and spike that overlap there. The noise is estimated from the
residuals, propagated through the fit, and joined in quadrature with the stated uncertainties of thickness and area. The
circuit obeys the Kramers-Kronig relations; a linear test of its own (`sdl.analysis.kramers_kronig`) flags data that do not,
and refuses them where the violation is gross: a sample that changed during the sweep, or a contact that moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.analysis.base import AnalysisInput, one_file
from sdl.analysis.kramers_kronig import LinearTest, linear_test
from sdl.analysis.result import AnalysisFigure, AnalysisResult, Series, normal_interval
from sdl.analysis.spectrum_file import MEDIA_TYPES, TECHNIQUE, Spectrum, read_spectrum
from sdl.driver import FieldSpec
from sdl.errors import AnalysisError
from sdl.objective import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Complexes = NDArray[np.complex128]

CLOSEST = 0.5
"""The spectrum must come this close to the real axis, −Z''/Z', for an intercept to be told from arcs and spike."""

SPIKE = 0.5
"""At the lowest frequency −Z''/Z' must be above this: the electrodes' spike must be seen, or the arcs may go on below."""

_LOOK = 5
"""Points over which −Z''/Z' must not fall further for the spike to have ended."""

AGREEMENT = 1e-5
"""Relative difference of the residuals' squares below which two fits are the same."""

MISFIT = 0.05
"""Largest root mean square of the residuals over the modulus; above it the circuit does not describe the data."""

UNLIKELY, IMPOSSIBLE = 2.5, 7.0
"""Standard deviations by which residuals of the Kramers-Kronig test may be less random than noise before they are flagged,
and before they may be refused."""

VIOLATION, GROSS_VIOLATION = 0.003, 0.012
"""Such residuals, as a share of the modulus, are flagged above the first size; above the second, the spectrum is refused
if they are also less random by `IMPOSSIBLE`."""

MOST_INDUCTANCE = 1e-4
"""Largest inductance of leads that is believed, H: some hundred metres of wire."""

CREDIBLE = 0.03
"""Misfit of the circuit, as a share of the modulus, above which it is flagged."""


@dataclass(frozen=True)
class Intercept:
    """The resistance at the real-axis intercept.

    Attributes:
        resistance: ohm.
        uncertainty: standard uncertainty from the noise, ohm.
        misfit: root mean square of the residuals over the modulus.
        inductance: of the leads, H.
        scale: resistance by which the circuit's values are scaled, ohm.
        parameters: the fitted circuit, as `circuit` takes it.
    """

    resistance: float
    uncertainty: float
    misfit: float
    inductance: float
    scale: float
    parameters: tuple[float, ...]


class BulkConductivity:
    """Conductivity of a pellet, grains and boundaries together, in mS/cm, from the real-axis intercept of its spectrum."""

    name = "bulk_conductivity"
    technique = TECHNIQUE
    gives: tuple[FieldSpec, ...] = (FieldSpec("bulk_conductivity", "number", "mS/cm"),)

    def analyse(self, artefacts: tuple[AnalysisInput, ...]) -> Mapping[str, Estimate]:
        """Return `bulk_conductivity` in mS/cm with its standard uncertainty.

        Raises:
            AnalysisError: not exactly one spectrum, wrong kind of file, truncated, empty or not finite; no intercept
                within the measured frequencies; the circuit does not describe the data; they violate the Kramers-Kronig
                relations grossly.
        """
        return self.examine(artefacts).estimates

    def examine(self, artefacts: tuple[AnalysisInput, ...]) -> AnalysisResult:
        """Return the same with its 95 % interval, flags, and the Nyquist plot of spectrum and fit.

        Raises:
            AnalysisError: as `analyse`.
        """
        file = one_file(self.name, "spectrum", MEDIA_TYPES, artefacts)
        spectrum = read_spectrum(file)
        found = intercept(spectrum, file.name)
        test = linear_test(spectrum.frequency, spectrum.impedance)
        flags = kramers_kronig_flags(test, file.name)
        if not np.isfinite(spectrum.largest):
            flags += ("the file does not say which impedance is the analyser's largest: it may be saturated unseen",)
        if found.inductance > 0.99 * MOST_INDUCTANCE:
            flags += (f"the inductance of the leads is at the limit of the fit, {MOST_INDUCTANCE:g} H",)
        if found.misfit > CREDIBLE:
            flags += (
                f"the circuit describes the spectrum only roughly: residuals are {found.misfit:.1%} of the modulus",
            )
        value = 1e3 * spectrum.thickness / (spectrum.area * found.resistance)
        share = np.sqrt(
            (found.uncertainty / found.resistance) ** 2
            + (spectrum.thickness_uncertainty / spectrum.thickness) ** 2
            + (spectrum.area_uncertainty / spectrum.area) ** 2
        )
        estimate = Estimate(float(value), float(value * share))
        return AnalysisResult(
            estimates={self.name: estimate},
            intervals={self.name: normal_interval(estimate)},
            flags=flags,
            figure=figure(spectrum, found),
            diagnostics={
                "resistance_ohm": found.resistance,
                "inductance_henry": found.inductance,
                "misfit": found.misfit,
                "kramers_kronig_elements": float(test.elements),
                "kramers_kronig_mu": test.mu,
                "kramers_kronig_misfit": test.misfit,
                "kramers_kronig_randomness": test.randomness,
            },
        )


def kramers_kronig_flags(test: LinearTest, name: str = "spectrum") -> tuple[str, ...]:
    """Return what the Kramers-Kronig test holds against a spectrum.

    Raises:
        AnalysisError: the violation is gross.
    """
    if test.surprise <= UNLIKELY or test.misfit <= VIOLATION:
        return ()
    said = (
        f"the spectrum violates the Kramers-Kronig relations: residuals of {test.misfit:.1%} of the modulus, less random than "
        f"noise by {test.surprise:.1f} standard deviations"
    )
    if test.surprise > IMPOSSIBLE and test.misfit > GROSS_VIOLATION:
        raise AnalysisError(f"{name}: {said}; the sample changed during the sweep, or a contact moved: measure again")
    return (said,)


def figure(spectrum: Spectrum, found: Intercept) -> AnalysisFigure:
    """Return the Nyquist plot: spectrum, fitted circuit, and the intercept that was found."""
    omega = 2.0 * np.pi * np.geomspace(spectrum.frequency[0], spectrum.frequency[-1], 300)
    fit = found.scale * circuit(np.array(found.parameters), omega)
    z = spectrum.impedance
    return AnalysisFigure(
        title=f"Impedance: {found.resistance:.4g} ± {found.uncertainty:.2g} ohm",
        x_label="Z'",
        x_unit="ohm",
        y_label="-Z''",
        y_unit="ohm",
        series=(
            Series("measured", tuple(z.real.tolist()), tuple((-z.imag).tolist()), "points"),
            Series("circuit", tuple(fit.real.tolist()), tuple((-fit.imag).tolist())),
            Series("intercept", (found.resistance,), (0.0,), "points"),
        ),
        equal_axes=True,
    )


def intercept(spectrum: Spectrum, name: str = "spectrum") -> Intercept:
    """Return the resistance at which the spectrum meets the real axis between its arcs and the electrodes' spike.

    Raises:
        AnalysisError: no such place within the measured frequencies, or the circuit does not describe the data.
    """
    from scipy.optimize import least_squares

    z = spectrum.impedance
    omega = 2.0 * np.pi * spectrum.frequency
    slope = np.maximum(-z.imag / z.real, 0.0)  # below the axis, where the leads' inductance shows, it has been met
    span = f"between {spectrum.frequency[0]:g} and {spectrum.frequency[-1]:g} Hz"
    if (z.real <= 0).any():
        raise AnalysisError(f"{name}: a negative real part {span}: not the spectrum of a passive cell")
    low = _end_of_spike(slope)
    if not (slope[0] > SPIKE and slope[0] > 3.0 * slope[low] and slope[low] < CLOSEST and low > 0):
        raise AnalysisError(
            f"{name}: no real-axis intercept {span}: -Z''/Z' is {slope[0]:.2g} at the lowest frequency and at least "
            f"{slope[low]:.2g}; measure lower frequencies, or check electrodes and contacts"
        )
    scale = float(z.real[low])
    weight = 1.0 / np.abs(z)
    slow = np.log(omega[low])

    def residuals(p: Floats) -> Floats:
        difference = (circuit(p, omega) * scale - z) * weight
        return np.concatenate([difference.real, difference.imag])

    def slopes(p: Floats) -> Floats:
        jacobian = circuit_slopes(p, omega) * (scale * weight)[:, None]
        return np.concatenate([jacobian.real, jacobian.imag])

    # Starts: the arcs' share of the resistance, and where they stand above the intercept; the electrodes from the lowest point.
    exponent = float(np.clip(2.0 / np.pi * np.arctan(slope[0]), 0.6, 0.98))
    electrode = np.log(max(float(-z.imag[0]), 1e-12 * scale) / scale) + exponent * np.log(omega[0])
    fast = np.log(omega[-1])
    lower = np.array([-12.0, -12.0, -fast - 9.0, -fast - 9.0, 0.5, 0.5, -60.0, 0.4, 0.0])
    upper = np.array([4.0, 4.0, -slow + 2.0, -slow + 2.0, 1.0, 1.0, 60.0, 1.0, 1e9 * MOST_INDUCTANCE / scale])
    tail = 1e9 * max(float(z.imag[-1]), 0.0) / omega[-1] / scale  # at least so much: the arcs are capacitive
    best = None
    for share, early, late in ((0.6, 0.8, 0.35), (0.3, 0.6, 0.3), (0.9, 1.05, 0.6), (0.6, 0.5, 0.2)):
        times = [-(slow + x * (fast - slow)) for x in (early, late)]
        start = np.array([np.log(share), np.log(1.0 - share), *times, 0.9, 0.85, electrode, exponent, tail])
        start = np.clip(start, lower + 1e-6, upper - 1e-6)
        try:
            found = least_squares(residuals, start, slopes, bounds=(lower, upper), x_scale="jac", max_nfev=200)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise AnalysisError(f"{name}: the circuit cannot be fitted: {error}") from error
        agree = best is not None and abs(found.cost - best.cost) <= AGREEMENT * best.cost
        if best is None or found.cost < best.cost:
            best = found
        if agree:  # two starts have come to one end
            break
    if best is None:
        raise AnalysisError(f"{name}: the circuit cannot be fitted")
    misfit = float(np.sqrt(2.0 * best.cost / len(best.fun)))
    if misfit > MISFIT:
        raise AnalysisError(
            f"{name}: two arcs and a spike do not describe the spectrum: residuals are {misfit:.1%} of the modulus, "
            f"at most {MISFIT:.0%} is allowed; check the contacts, or the sample drifted"
        )
    parts = np.exp(best.x[:2])
    gradient = np.concatenate([parts, np.zeros(len(best.x) - 2)])
    variance = 2.0 * best.cost / (len(best.fun) - len(best.x))
    spread = np.linalg.pinv(best.jac, rcond=1e-10)
    relative = float(np.sqrt(variance) * np.linalg.norm(gradient @ spread))
    resistance = scale * float(parts.sum())
    if relative * scale > 0.5 * resistance:
        raise AnalysisError(
            f"{name}: the intercept {resistance:g} ohm is uncertain by {relative * scale:g} ohm: no result"
        )
    inductance = 1e-9 * scale * float(best.x[8])
    return Intercept(resistance, relative * scale, misfit, inductance, scale, tuple(best.x.tolist()))


def circuit(p: Floats, omega: Floats) -> Complexes:
    """Return the circuit's impedance over the scale resistance, shape (n,).

    Args:
        p: ln R of both arcs (over the scale), ln τ of both (τ in s), exponents of both, ln of the electrodes' modulus at
            1 rad/s (over the scale), their exponent, inductance of the leads over the scale in ns (a number of order one).
        omega: rad/s, shape (n,).
    """
    one = np.exp(p[0]) / (1.0 + (1j * omega * np.exp(p[2])) ** p[4])
    two = np.exp(p[1]) / (1.0 + (1j * omega * np.exp(p[3])) ** p[5])
    return np.asarray(one + two + np.exp(p[6]) * (1j * omega) ** -p[7] + 1e-9j * omega * p[8])


def circuit_slopes(p: Floats, omega: Floats) -> Complexes:
    """Return the derivatives of `circuit` by its parameters, shape (n, 9)."""
    columns: list[Complexes] = [np.empty(0, dtype=np.complex128)] * 9
    for arc in (0, 1):
        phase = np.log(1j * omega) + p[2 + arc]
        power = np.exp(p[4 + arc] * phase)
        value = np.exp(p[arc]) / (1.0 + power)
        inner = -value * power / (1.0 + power)
        columns[arc] = value
        columns[2 + arc] = inner * p[4 + arc]
        columns[4 + arc] = inner * phase
    electrode = np.exp(p[6]) * (1j * omega) ** -p[7]
    columns[6] = electrode
    columns[7] = -electrode * np.log(1j * omega)
    columns[8] = np.asarray(1e-9j * omega, dtype=np.complex128)
    return np.stack(columns, axis=1)


def _end_of_spike(slope: Floats) -> int:
    """Return where −Z''/Z' first stops falling above the lowest frequency: arcs may come closer to the axis further up."""
    smooth = _smooth(slope)
    for index in range(len(smooth)):
        if smooth[index] < CLOSEST and smooth[index] <= smooth[index : index + _LOOK].min():
            return index
    return int(np.argmin(smooth))


def _smooth(values: Floats) -> Floats:
    """Return the running median of three, so that one noisy point is not taken for the intercept."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.asarray(np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0))
