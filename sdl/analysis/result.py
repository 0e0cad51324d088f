"""What an analysis can tell beyond its estimates: intervals, quality flags, diagnostics, and the data of a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sdl.objective import Estimate

COVERAGE = 0.95
"""Probability with which an interval is meant to hold the truth."""

NORMAL_95 = 1.959963984540054
"""Half width of a normal distribution's central 95 %, in standard deviations (scipy.stats.norm.ppf(0.975))."""

Scale = Literal["linear", "log"]
Style = Literal["points", "line", "area"]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval in the field's unit.

    Attributes:
        lower: lower end.
        upper: upper end.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower <= self.upper):
            raise ValueError(f"an interval needs finite ends in order, got [{self.lower!r}, {self.upper!r}]")

    def holds(self, value: float) -> bool:
        """Say whether the value lies within, ends included."""
        return self.lower <= value <= self.upper


def normal_interval(estimate: Estimate) -> Interval:
    """Return value ± 1.96 standard uncertainties; for an error of normal distribution and well-known width.

    Raises:
        ValueError: the estimate states no uncertainty.
    """
    if estimate.uncertainty is None:
        raise ValueError("an estimate without uncertainty has no interval")
    half = NORMAL_95 * estimate.uncertainty
    return Interval(estimate.value - half, estimate.value + half)


@dataclass(frozen=True)
class Series:
    """One curve or cloud of points of a figure.

    Attributes:
        label: as in the legend.
        x: abscissae, in the figure's x unit.
        y: ordinates, in the figure's y unit, as many.
        style: how it is drawn.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    style: Style = "line"

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"series '{self.label}' has {len(self.x)} abscissae and {len(self.y)} ordinates")


@dataclass(frozen=True)
class AnalysisFigure:
    """What a report needs to draw an analysis; the drawing itself belongs to the report.

    Attributes:
        title: what is seen.
        x_label: name of the abscissa, without unit.
        x_unit: its unit.
        y_label: name of the ordinate, without unit.
        y_unit: its unit.
        series: what is drawn, the first below the others.
        x_scale: `linear` or `log`.
        y_scale: `linear` or `log`.
        equal_axes: whether one unit is as long on both axes (Nyquist plots, images).
    """

    title: str
    x_label: str
    x_unit: str
    y_label: str
    y_unit: str
    series: tuple[Series, ...]
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    equal_axes: bool = False


@dataclass(frozen=True)
class AnalysisResult:
    """All that an analysis found.

    Attributes:
        estimates: field → value with standard uncertainty, in the field's unit; the same as `Analysis.analyse` gives.
        intervals: field → 95 % interval, in the field's unit.
        flags: what a person should know before trusting the values; empty where nothing is odd.
        diagnostics: name → number (units in the name or dimensionless), such as the fit's χ².
        figure: data beside fit.
    """

    estimates: Mapping[str, Estimate]
    intervals: Mapping[str, Interval]
    flags: tuple[str, ...]
    figure: AnalysisFigure
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.estimates) != set(self.intervals):
            raise ValueError(f"estimates of {sorted(self.estimates)}, but intervals of {sorted(self.intervals)}")
