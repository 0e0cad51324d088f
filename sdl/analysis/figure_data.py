"""The data of an analysis's figure as a small file, to be kept beside the raw data and drawn whenever a report is made.

The file is JSON, `sdl-analysis-figure-1`:

    {"format", "title", "equal_axes", "series_left_out",
     "x": {"label", "unit", "scale"}, "y": {"label", "unit", "scale"},
     "series": [{"label", "style", "points", "not_finite", "x": [...], "y": [...]}, ...]}

`points` is how many points a series had. It holds fewer where there were more than `MOST_POINTS` (of every stretch of
points the lowest and the highest is kept, so that no peak is lost) and where some were NaN or infinite (`not_finite` says
how many). Numbers are rounded: what is drawn needs no more, and the raw data themselves are kept elsewhere.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sdl.analysis.result import AnalysisFigure, Scale, Series, Style
from sdl.errors import AnalysisError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "sdl-analysis-figure-1"
NAME = "analysis-figure.json"
MEDIA_TYPE = "application/json"

MOST_POINTS = 800
"""Points of a series that are kept: about two for every pixel of a figure's width (chosen)."""

MOST_SERIES = 24
"""Series that are kept (chosen): more cannot be told apart."""

FINENESS = 1e-5
"""Rounding of coordinates as a share of what the axis spans (chosen): a hundredth of a pixel. Seven significant digits on a
logarithmic axis."""


@dataclass(frozen=True)
class KeptSeries:
    """A series as it was kept.

    Attributes:
        series: the points that were kept.
        points: how many there were.
        not_finite: how many of them were NaN or infinite.
    """

    series: Series
    points: int
    not_finite: int = 0

    @property
    def is_thinned(self) -> bool:
        """Whether finite points were left out."""
        return len(self.series.x) < self.points - self.not_finite


@dataclass(frozen=True)
class KeptFigure:
    """A figure as it was kept.

    Attributes:
        figure: what can be drawn; all its points are finite.
        kept: its series with what is left out of them.
        series_left_out: how many series were left out.
    """

    figure: AnalysisFigure
    kept: tuple[KeptSeries, ...]
    series_left_out: int = 0


def figure_bytes(figure: AnalysisFigure) -> bytes:
    """Return the file that holds a figure.

    Raises:
        ValueError, TypeError, OverflowError: its coordinates are no numbers, or not as many of one kind as of the other.
    """
    series = figure.series[:MOST_SERIES]
    arrays = [_arrays(s) for s in series]
    x_step = _step(figure.x_scale, [x for x, _ in arrays])
    y_step = _step(figure.y_scale, [y for _, y in arrays])
    kept = []
    for one, (x, y) in zip(series, arrays, strict=True):
        chosen = _chosen(y)
        kept.append(
            {
                "label": str(one.label),
                "style": one.style,
                "points": len(one.x),
                "not_finite": len(one.x) - len(x),
                "x": _rounded(x[chosen], x_step),
                "y": _rounded(y[chosen], y_step),
            }
        )
    data = {
        "format": FORMAT,
        "title": str(figure.title),
        "equal_axes": bool(figure.equal_axes),
        "series_left_out": len(figure.series) - len(series),
        "x": {"label": str(figure.x_label), "unit": str(figure.x_unit), "scale": figure.x_scale},
        "y": {"label": str(figure.y_label), "unit": str(figure.y_unit), "scale": figure.y_scale},
        "series": kept,
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode()


def figure_of(data: bytes) -> KeptFigure:
    """Return the figure that a file holds.

    Raises:
        AnalysisError: the file holds none that this version can read.
    """
    try:
        read = json.loads(data)
        if read["format"] != FORMAT:
            raise AnalysisError(
                f"a figure of the format '{read['format']}' cannot be drawn; this version knows {FORMAT}"
            )
        kept = tuple(_kept(s) for s in read["series"])
        x, y = read["x"], read["y"]
        figure = AnalysisFigure(
            title=str(read["title"]),
            x_label=str(x["label"]),
            x_unit=str(x["unit"]),
            y_label=str(y["label"]),
            y_unit=str(y["unit"]),
            series=tuple(k.series for k in kept),
            x_scale=_scale(x["scale"]),
            y_scale=_scale(y["scale"]),
            equal_axes=bool(read["equal_axes"]),
        )
        return KeptFigure(figure, kept, int(read["series_left_out"]))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise AnalysisError(f"the data of a figure cannot be read: {type(error).__name__}: {error}") from error


def _arrays(series: Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the finite points of a series."""
    x, y = np.asarray(series.x, dtype=np.float64), np.asarray(series.y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"series '{series.label}' has coordinates of shapes {x.shape} and {y.shape}")
    good = np.isfinite(x) & np.isfinite(y)
    return x[good], y[good]


def _chosen(y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices of the points that are kept, in order."""
    if len(y) <= MOST_POINTS:
        return np.arange(len(y))
    # First and last point, and of every stretch between them the lowest and the highest.
    edges = np.linspace(0, len(y), (MOST_POINTS - 2) // 2 + 1).astype(np.int64)
    found = {0, len(y) - 1}
    for start, stop in pairwise(edges.tolist()):
        found |= {int(start + np.argmin(y[start:stop])), int(start + np.argmax(y[start:stop]))}
    return np.array(sorted(found))


def _step(scale: Scale, values: list[NDArray[np.float64]]) -> float | None:
    """Return to what an axis's coordinates are rounded: a power of ten, or None for significant digits."""
    if scale == "log":
        return None
    every = np.concatenate(values) if values else np.zeros(0)
    if not len(every):
        return None
    span = float(np.max(every) / 2 - np.min(every) / 2)  # half of it: the whole could overflow
    if not span > 0:
        return None
    exponent = math.floor(math.log10(span) + math.log10(2 * FINENESS))
    return 10.0**exponent if exponent > -300 else None


def _rounded(values: NDArray[np.float64], step: float | None) -> list[float]:
    if step is None:
        return [float(f"{v:.7g}") for v in values.tolist()]
    decimals = -round(math.log10(step))
    # Adding 0 turns -0.0 into 0.0.
    return [round(v, decimals) + 0.0 for v in values.tolist()]


def _kept(data: Any) -> KeptSeries:  # noqa: ANN401  read from JSON
    if data["style"] not in {"points", "line", "area"}:
        raise ValueError(f"no style of a series: {data['style']!r}")
    x, y = (tuple(float(v) for v in data[axis]) for axis in ("x", "y"))
    if not all(math.isfinite(v) for v in (*x, *y)):
        raise ValueError(f"series {data['label']!r} holds what is no finite number")
    return KeptSeries(
        Series(str(data["label"]), x, y, cast("Style", data["style"])), int(data["points"]), int(data["not_finite"])
    )


def _scale(said: object) -> Scale:
    if said == "linear":
        return "linear"
    if said == "log":
        return "log"
    raise ValueError(f"no scale of an axis: {said!r}")
