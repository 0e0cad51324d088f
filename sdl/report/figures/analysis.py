"""What an analysis saw: a spectrum with its circuit, a pattern with its fit, the measures of a micrograph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sdl.report.figures.canvas import (
    LEGEND_ROW,
    Canvas,
    Frame,
    draw_x,
    draw_y,
    legend,
    legend_rows,
    margin_for,
    path,
)
from sdl.report.figures.marks import axis_name
from sdl.report.figures.scales import Linear, scale_over
from sdl.report.text import counted, cut_within

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdl.analysis import Series
    from sdl.analysis.figure_data import KeptFigure
    from sdl.report.figures.canvas import Entry
    from sdl.report.html import Html

_WIDTH, _PLOT = 560.0, 250.0
_COLOURS = 6
_LABEL = 40
_EDGE = 12.0

_Point = tuple[float, float]


def analysis_svg(kept: KeptFigure) -> Html:
    """Return the drawing of an analysis's figure; `left_out` says in words what is not in it."""
    figure = kept.figure
    x_log, y_log = figure.x_scale == "log", figure.y_scale == "log"
    drawn = [_drawable(s, x_log=x_log, y_log=y_log) for s in figure.series]
    colours = [f"f-s{(index if len(drawn) > 1 else 1) % _COLOURS}" for index in range(len(drawn))]
    entries = [_entry(s, colour) for s, colour in zip(figure.series, colours, strict=True)]
    rows = legend_rows(entries, _WIDTH - 2 * _EDGE) if len(entries) > 1 else []
    top = _EDGE + LEGEND_ROW * len(rows)
    ys = [y for points in drawn for _, y in points]
    if any(s.style == "area" for s in figure.series) and not y_log:
        ys.append(0.0)
    y = scale_over(ys, top + _PLOT, top, log=y_log)
    left, right = margin_for(y, 5), _WIDTH - _EDGE
    x = scale_over((x for points in drawn for x, _ in points), left, right, log=x_log, margin=0.02)
    if figure.equal_axes and isinstance(x, Linear) and isinstance(y, Linear):
        x, y = _equal(x, y)
    count = sum(len(points) for points in drawn)
    canvas = Canvas(_WIDTH, top + _PLOT + 41, figure.title, ", ".join(s.label for s in figure.series))
    for index, row in enumerate(rows):
        legend(canvas, left, _EDGE + LEGEND_ROW * (index + 0.3), row)
    frame = Frame(left, top, right, top + _PLOT)
    draw_y(canvas, frame, y, axis_name(figure.y_label, figure.y_unit, log=y_log))
    draw_x(canvas, frame, x, axis_name(figure.x_label, figure.x_unit, log=x_log))
    base = frame.bottom if y_log else y(0.0)
    for series, points, colour in zip(figure.series, drawn, colours, strict=True):
        _draw(canvas, series, [(x(a), y(b)) for a, b in points], colour, base)
    if not count:
        canvas.text((left + right) / 2, top + _PLOT / 2, "no points to draw", "middle", "f-none")
    return canvas.svg()


def left_out(kept: KeptFigure) -> str | None:
    """Say what the drawing does not show although the analysis had it, or None where it shows all."""
    said = []
    thinned = [k for k in kept.kept if k.is_thinned]
    if thinned:
        most = max(len(k.series.x) for k in thinned)
        counts = sorted({k.points for k in thinned})
        had = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        which = "every series" if len(thinned) == len(kept.kept) else ", ".join(k.series.label for k in thinned)
        said.append(
            f"Thinned: of {had} points of {which} at most {most} are drawn, of every stretch the lowest and the highest."
        )
    odd = sum(k.not_finite for k in kept.kept)
    if odd:
        said.append(f"{counted(odd, 'point')} without a finite number cannot be drawn.")
    figure = kept.figure
    x_log, y_log = figure.x_scale == "log", figure.y_scale == "log"
    hidden = sum(len(s.x) - len(_drawable(s, x_log=x_log, y_log=y_log)) for s in figure.series)
    if hidden:
        said.append(f"{counted(hidden, 'point')} at 0 or below cannot be drawn along a logarithmic axis.")
    if kept.series_left_out:
        said.append(f"{kept.series_left_out} further series are not drawn.")
    return " ".join(said) or None


def _drawable(series: Series, *, x_log: bool, y_log: bool) -> list[_Point]:
    pairs: Iterable[_Point] = zip(series.x, series.y, strict=True)
    return [(x, y) for x, y in pairs if (x > 0 or not x_log) and (y > 0 or not y_log)]


def _entry(series: Series, colour: str) -> Entry:
    shape = {"points": "dot", "line": "line", "area": "band"}[series.style]
    kind = {"points": "f-dot", "line": "f-line", "area": "f-area"}[series.style]
    return shape, f"{kind} {colour}", cut_within(series.label, _LABEL)


def _draw(canvas: Canvas, series: Series, points: list[_Point], colour: str, base: float) -> None:
    if not points:
        return
    hover = series.label
    if series.style == "points":
        # One path of dots: a line of no length has round ends. Hundreds of circles would be four times as many letters.
        canvas.add("path", hover=hover, d="".join(f"M{x:.1f},{y:.1f}h0" for x, y in points), class_=f"f-dots {colour}")
        return
    if series.style == "area":
        corners = [(points[0][0], base), *points, (points[-1][0], base)]
        canvas.add("path", hover=hover, d=path(corners) + "Z", class_="f-area")
    canvas.line(points, f"f-line {colour}", hover)
    if len(points) == 1:
        canvas.add("path", hover=hover, d=f"M{points[0][0]:.1f},{points[0][1]:.1f}h0", class_=f"f-dots {colour}")


def _equal(x: Linear, y: Linear) -> tuple[Linear, Linear]:
    """Return the scales with the same length for a unit on both axes, the one with room to spare widened to both sides."""
    per_x = (x.high - x.low) / abs(x.end - x.start)
    per_y = (y.high - y.low) / abs(y.end - y.start)
    unit = max(per_x, per_y)
    if not (math.isfinite(unit) and unit > 0):
        return x, y
    wide = [_widened(s, unit) for s in (x, y)]
    if not all(math.isfinite(end) for s in wide for end in (s.low, s.high)):
        return x, y
    return wide[0], wide[1]


def _widened(scale: Linear, unit: float) -> Linear:
    middle = scale.low / 2 + scale.high / 2
    half = unit * abs(scale.end - scale.start) / 2
    return Linear(middle - half, middle + half, scale.start, scale.end)
