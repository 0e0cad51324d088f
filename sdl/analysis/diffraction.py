"""Phase fractions and lattice parameter from a powder pattern, by a fit of the whole profile.

The pattern of each candidate phase is calculated from its published structure (`sdl.analysis.crystals`), with the strain of
its cell, the widths of its lines and, for the target phase, its preferred orientation left free; zero error, height of the
sample, background and the shape of the lines are common. The factors on the phases give the weight fractions,
W = S Z M V / Σ S Z M V (R. J. Hill, C. J. Howard, J. Appl. Cryst. 20, 467 (1987)): Rietveld's method (J. Appl. Cryst. 2, 65
(1969)) with atoms held where they are.

The pattern is read by `sdl.analysis.pattern_file` and fitted by `sdl.analysis.profile_fit`.
Standard uncertainties come from the fit's covariance, widened by √χ² where χ² per degree of freedom exceeds 1. They do not
hold what no pattern shows: microabsorption, and errors of the published structures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdl.analysis.base import AnalysisInput, one_file
from sdl.analysis.crystals import CUBIC_GARNET, Crystal
from sdl.analysis.hdf5 import MEDIA_TYPES
from sdl.analysis.pattern_file import TECHNIQUE, Pattern, read_pattern
from sdl.analysis.profile_fit import SEEN, ProfileFit, fit_profile
from sdl.analysis.result import AnalysisFigure, AnalysisResult, Series, normal_interval
from sdl.driver import FieldSpec
from sdl.errors import AnalysisError, listed
from sdl.objective import Estimate


@dataclass(frozen=True)
class PowderAnalysis:
    """Weight fraction of a target phase, and its lattice parameter, from a powder pattern.

    Attributes:
        name: as in the protocol.
        gives: the fields.
        target: the phase sought.
        needs_target: whether a pattern in which the target is not seen is refused (it has no lattice parameter).
        technique: of the raw data that it takes.
    """

    name: str
    gives: tuple[FieldSpec, ...]
    target: Crystal = CUBIC_GARNET
    needs_target: bool = True
    technique: str = TECHNIQUE

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
