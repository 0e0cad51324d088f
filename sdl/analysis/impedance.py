"""Conductivity of a solid electrolyte from its impedance spectrum.

What is given. Where the arcs of grains and grain boundaries end and the spike of the blocking electrodes begins, the
spectrum comes down towards the real axis; its intercept there is the resistance of the pellet *as a body*: grains and
boundaries together, without the electrodes. The literature calls the conductivity from it *total*; it is named
`bulk_conductivity` here as opposed to the electrodes' part, and is not that of the grains alone.

How. An equivalent circuit is fitted to the whole spectrum, with the point's modulus as weight (B. A. Boukamp, Solid State
Ionics 20, 31 (1986)): two arcs, each a resistance beside a constant-phase element, in series with one constant-phase
element for the electrodes (J. T. S. Irvine, D. C. Sinclair, A. R. West, Adv. Mater. 2, 132 (1990)). The sum of both
resistances is the intercept, freed from the tails of arcs and spike that overlap there. The noise is estimated from the
residuals, propagated through the fit, and joined in quadrature with the stated uncertainties of thickness and area. The
circuit obeys the Kramers-Kronig relations; a linear test of its own (`sdl.analysis.kramers_kronig`) flags data that do not,
and refuses them where the violation is gross: a sample that changed during the sweep, or a contact that moved.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.analysis.base import AnalysisInput, one_file
from sdl.analysis.kramers_kronig import LinearTest, linear_test
from sdl.analysis.result import AnalysisFigure, AnalysisResult, Series, normal_interval
from sdl.driver import FieldSpec
from sdl.errors import AnalysisError, UnitError, listed
from sdl.objective import Estimate
from sdl.units import read_quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Complexes = NDArray[np.complex128]

COLUMNS = ("frequency/Hz", "Z'/ohm", "Z''/ohm")
"""Header of the table; a capacitive Z'' is negative."""

TECHNIQUE = "impedance spectroscopy"
"""What the header's `technique` must say."""

FEWEST = 20
"""Points below which eight parameters of a circuit and the noise cannot be told apart."""

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

CREDIBLE = 0.03
"""Misfit of the circuit, as a share of the modulus, above which it is flagged."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """An impedance spectrum with the pellet's geometry.

    Attributes:
        frequency: Hz, ascending, shape (n,).
        impedance: ohm, shape (n,).
        thickness: cm.
        thickness_uncertainty: standard uncertainty, cm.
        area: cm².
        area_uncertainty: standard uncertainty, cm².
    """

    frequency: Floats
    impedance: Complexes
    thickness: float
    thickness_uncertainty: float
    area: float
    area_uncertainty: float


@dataclass(frozen=True)
class Intercept:
    """The resistance at the real-axis intercept.

    Attributes:
        resistance: ohm.
        uncertainty: standard uncertainty from the noise, ohm.
        misfit: root mean square of the residuals over the modulus.
        scale: resistance by which the circuit's values are scaled, ohm.
        parameters: the fitted circuit, as `circuit` takes it.
    """

    resistance: float
    uncertainty: float
    misfit: float
    scale: float
    parameters: tuple[float, ...]


class BulkConductivity:
    """Conductivity of a pellet, grains and boundaries together, in mS/cm, from the real-axis intercept of its spectrum."""

    name = "bulk_conductivity"
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
        file = one_file(self.name, "spectrum", ("text/csv",), artefacts)
        spectrum = read_spectrum(file)
        found = intercept(spectrum, file.name)
        test = linear_test(spectrum.frequency, spectrum.impedance)
        flags = kramers_kronig_flags(test, file.name)
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


def read_spectrum(file: AnalysisInput) -> Spectrum:
    """Read a spectrum: `# key: value` lines, then a table with the columns `frequency/Hz`, `Z'/ohm`, `Z''/ohm`.

    The header must give `technique`, `thickness` and `area` with `thickness_uncertainty` and `area_uncertainty` (each a
    number with unit), and `points`, the number of rows, by which a truncated file is known.

    Raises:
        AnalysisError: anything is missing, malformed, not finite or not positive.
    """
    try:
        text = file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnalysisError(f"{file.name}: not a text file, so no spectrum") from error
    if not text.strip():
        raise AnalysisError(f"{file.name}: the file is empty")
    lines = text.splitlines()
    head: dict[str, str] = {}
    first = 0
    for first, line in enumerate(lines):  # noqa: B007  where the table begins
        if not line.startswith("#"):
            break
        key, colon, value = line.lstrip("# ").partition(":")
        if colon:
            head[key.strip()] = value.strip()
    technique = head.get("technique")
    if technique != TECHNIQUE:
        raise AnalysisError(f"{file.name}: header says technique '{technique}', expected '{TECHNIQUE}'")
    rows = _rows(file.name, lines[first:], first + 1)
    points = head.get("points", "")
    if not points.isdecimal() or int(points) != len(rows) or not text.endswith("\n"):
        said = f"{points} points" if points else "no number of points"
        raise AnalysisError(f"{file.name}: truncated: the header announces {said}, the table has {len(rows)}")
    if len(rows) < FEWEST:
        raise AnalysisError(f"{file.name}: {len(rows)} points are too few, at least {FEWEST} are needed")
    table = np.array(rows)
    order = np.argsort(table[:, 0], kind="stable")
    return Spectrum(
        frequency=table[order, 0],
        impedance=table[order, 1] + 1j * table[order, 2],
        thickness=_length(file.name, head, "thickness", "cm"),
        thickness_uncertainty=_length(file.name, head, "thickness_uncertainty", "cm"),
        area=_length(file.name, head, "area", "cm**2"),
        area_uncertainty=_length(file.name, head, "area_uncertainty", "cm**2"),
    )


def _rows(name: str, lines: list[str], first: int) -> list[list[float]]:
    reader = csv.reader(io.StringIO("\n".join(lines)))
    rows: list[list[float]] = []
    for number, cells in enumerate(reader):
        where = f"{name}, line {first + number}"
        if number == 0:
            if tuple(c.strip() for c in cells) != COLUMNS:
                raise AnalysisError(f"{where}: expected the columns {listed(COLUMNS)}, found {listed(cells)}")
            continue
        try:
            values = [float(c) for c in cells]
        except ValueError as error:
            raise AnalysisError(f"{where}: '{','.join(cells)[:80]}' is no row of three numbers") from error
        if len(values) != len(COLUMNS):
            raise AnalysisError(f"{where}: {len(values)} cells, expected {len(COLUMNS)}; the file may be truncated")
        if not np.isfinite(values).all():
            raise AnalysisError(f"{where}: '{','.join(cells)}' holds a value that is not finite")
        if values[0] <= 0:
            raise AnalysisError(f"{where}: a frequency must be above 0 Hz, got {values[0]:g}")
        if values[1] == values[2] == 0:
            raise AnalysisError(f"{where}: an impedance of 0 ohm: the cell was short-circuited")
        rows.append(values)
    return rows


def _length(name: str, head: Mapping[str, str], key: str, unit: str) -> float:
    if key not in head:
        raise AnalysisError(f"{name}: the header does not give '{key}' ({unit}); without it there is no conductivity")
    try:
        value = read_quantity(head[key]).to(unit)
    except UnitError as error:
        raise AnalysisError(f"{name}: {key}: {error}") from error
    smallest_is_zero = key.endswith("uncertainty")
    if value < 0 or (value == 0 and not smallest_is_zero):
        raise AnalysisError(f"{name}: {key} must be above 0 {unit}, the header says {head[key]}")
    return value


def intercept(spectrum: Spectrum, name: str = "spectrum") -> Intercept:
    """Return the resistance at which the spectrum meets the real axis between its arcs and the electrodes' spike.

    Raises:
        AnalysisError: no such place within the measured frequencies, or the circuit does not describe the data.
    """
    from scipy.optimize import least_squares

    z = spectrum.impedance
    omega = 2.0 * np.pi * spectrum.frequency
    slope = -z.imag / z.real
    span = f"between {spectrum.frequency[0]:g} and {spectrum.frequency[-1]:g} Hz"
    if (z.real <= 0).any():
        raise AnalysisError(f"{name}: a negative real part {span}: not the spectrum of a passive cell")
    low = _end_of_spike(slope)
    if not (slope[0] > SPIKE and slope[0] > 3.0 * abs(slope[low]) and slope[low] < CLOSEST and low > 0):
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
    lower = np.array([-12.0, -12.0, -fast - 9.0, -fast - 9.0, 0.5, 0.5, -60.0, 0.4])
    upper = np.array([4.0, 4.0, -slow + 2.0, -slow + 2.0, 1.0, 1.0, 60.0, 1.0])
    best = None
    for share, early, late in ((0.6, 0.8, 0.35), (0.3, 0.6, 0.3), (0.9, 1.05, 0.6), (0.6, 0.5, 0.2)):
        times = [-(slow + x * (fast - slow)) for x in (early, late)]
        start = np.array([np.log(share), np.log(1.0 - share), *times, 0.9, 0.85, electrode, exponent])
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
    return Intercept(resistance, relative * scale, misfit, scale, tuple(best.x.tolist()))


def circuit(p: Floats, omega: Floats) -> Complexes:
    """Return the circuit's impedance over the scale resistance, shape (n,).

    Args:
        p: ln R of both arcs (over the scale), ln τ of both (τ in s), exponents of both, ln of the electrodes' modulus at
            1 rad/s (over the scale), their exponent.
        omega: rad/s, shape (n,).
    """
    one = np.exp(p[0]) / (1.0 + (1j * omega * np.exp(p[2])) ** p[4])
    two = np.exp(p[1]) / (1.0 + (1j * omega * np.exp(p[3])) ** p[5])
    return np.asarray(one + two + np.exp(p[6]) * (1j * omega) ** -p[7])


def circuit_slopes(p: Floats, omega: Floats) -> Complexes:
    """Return the derivatives of `circuit` by its parameters, shape (n, 8)."""
    columns: list[Complexes] = [np.empty(0, dtype=np.complex128)] * 8
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
