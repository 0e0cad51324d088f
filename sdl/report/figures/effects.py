"""What one or two parameters do to what a model predicts: curves with bands, and maps."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from sdl.report.figures.canvas import Canvas, Frame, draw_x, draw_y, margin_for, path, text_width, x_room
from sdl.report.figures.marks import axis_name
from sdl.report.figures.scales import Bands, Linear, Log, scale_over
from sdl.report.text import cut_within, number, with_unit
from sdl.space import Categorical, Continuous

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.planners.bayes.sensitivity import Effect, PairEffect
    from sdl.report.html import Html
    from sdl.space import Space, Value

_WIDTH, _PLOT, _TOP = 330.0, 170.0, 10.0
_MAP, _LEGEND = 190.0, 34.0
_STEPS = 6
"""Tones in the legend of a map."""


def effect_svg(
    effect: Effect,
    space: Space,
    outcome: tuple[str, str],
    values: Sequence[float],
    *,
    standalone: bool = False,
) -> Html:
    """Return the mean that is predicted given one parameter, with the band that holds 90 % of draws.

    Args:
        effect: of the parameter.
        space: where the parameter is declared.
        outcome: its name and unit.
        values: what the upright axis has to show; the same for all effects on an outcome, so that they can be compared.
        standalone: whether the drawing carries its styles and can be a file of its own.
    """
    parameter = space.parameters[effect.parameter]
    names = tuple(str(v) for v in effect.at) if isinstance(parameter, Categorical) else ()
    bottom, right = _TOP + _PLOT, _WIDTH - 10
    y = scale_over(values, bottom, _TOP, margin=0.06)
    left = margin_for(y, 5)
    canvas = Canvas(
        _WIDTH,
        bottom + x_room(names, right - left),
        f"Predicted {outcome[0]} given {effect.parameter}",
        "; ".join(_said(effect, k, parameter.unit, outcome[1]) for k in range(len(effect.at))),
    )
    frame = Frame(left, _TOP, right, bottom)
    draw_y(canvas, frame, y, axis_name(*outcome), 5)
    if isinstance(parameter, Categorical):
        bands = Bands(names, left, right)
        draw_x(canvas, frame, bands, effect.parameter)
        at = [bands(name) for name in names]
        for k, x in enumerate(at):
            low, high = y(effect.high[k]), y(effect.low[k])
            canvas.add("rect", x=x - 11, y=low, width=22, height=max(high - low, 0.6), class_="f-area")
    else:
        log = isinstance(parameter, Continuous) and parameter.scale == "log"
        scale = scale_over([parameter.lower, parameter.upper], left, right, log=log, margin=0.03)
        draw_x(canvas, frame, scale, axis_name(effect.parameter, parameter.unit, log=log), 5)
        at = [scale(float(v)) for v in effect.at]
        upper = [(x, y(v)) for x, v in zip(at, effect.high, strict=True)]
        lower = [(x, y(v)) for x, v in zip(at, effect.low, strict=True)]
        canvas.add("path", d=path([*upper, *reversed(lower)]) + "Z", class_="f-area")
        canvas.line([(x, y(v)) for x, v in zip(at, effect.mean, strict=True)], "f-curve")
    for k, x in enumerate(at):
        said = _said(effect, k, parameter.unit, outcome[1])
        canvas.add("circle", hover=said, cx=x, cy=y(effect.mean[k]), r=3.0, class_="f-point")
    return canvas.svg(standalone=standalone)


def effect_values(effects: Sequence[Effect]) -> list[float]:
    """Return all values that effects on one outcome show."""
    return [
        v for effect in effects for part in (effect.low, effect.mean, effect.high) for v in part if math.isfinite(v)
    ]


def _said(effect: Effect, k: int, own: str, unit: str) -> str:
    band = f"{number(effect.low[k], 4)} … {number(effect.high[k], 4)}"
    return f"{_shown(effect.at[k], own)}: {with_unit(number(effect.mean[k], 4), unit)} ({band})"


def _shown(value: Value, unit: str) -> str:
    return value if isinstance(value, str) else with_unit(number(float(value), 4), unit)


def map_svg(pair: PairEffect, space: Space, outcome: tuple[str, str], *, standalone: bool = False) -> Html:
    """Return a map of the mean that is predicted given two parameters; the darker a field, the larger.

    Args:
        pair: the effect of both.
        space: where they are declared.
        outcome: its name and unit.
        standalone: whether the drawing carries its styles and can be a file of its own.
    """
    one, two = pair.parameters
    known = [v for row in pair.mean for v in row if v is not None]
    low, high = min(known), max(known)
    up = [str(v) if isinstance(v, str) else number(float(v), 3) for v in pair.at[1]]
    left = 32.0 + min(max(text_width(cut_within(name, 12)) for name in up), 80.0)
    right, top = left + _MAP * 1.25, _TOP + _LEGEND
    bottom = top + _MAP
    across = [str(v) for v in pair.at[0]] if isinstance(space.parameters[one], Categorical) else []
    canvas = Canvas(
        right + 12,
        bottom + x_room(across, right - left),
        f"Predicted {outcome[0]} given {one} and {two}",
        f"From {with_unit(number(low, 4), outcome[1])} to {with_unit(number(high, 4), outcome[1])}.",
    )
    frame = Frame(left, top, right, bottom)
    edges_x, scale_x = _edges(space, one, pair.at[0], left, right)
    edges_y, scale_y = _edges(space, two, pair.at[1], bottom, top)
    draw_x(canvas, frame, scale_x, _axis(space, one), 4)
    draw_y(canvas, frame, scale_y, _axis(space, two), 5)
    for i, a in enumerate(pair.at[0]):
        for j, b in enumerate(pair.at[1]):
            value = pair.mean[i][j]
            x, width = min(edges_x[i]), abs(edges_x[i][1] - edges_x[i][0])
            y, height = min(edges_y[j]), abs(edges_y[j][1] - edges_y[j][0])
            where = f"{one} {_shown(a, space.parameters[one].unit)}, {two} {_shown(b, space.parameters[two].unit)}"
            if value is None:
                canvas.add("rect", hover=f"{where}: none there", x=x, y=y, width=width, height=height, class_="f-hole")
                continue
            said = f"{where}: {with_unit(number(value, 4), outcome[1])}"
            if pair.low and (floor := pair.low[i][j]) is not None and (ceiling := pair.high[i][j]) is not None:
                said += f" ({number(floor, 4)} … {number(ceiling, 4)})"
            tone = _tone(value, low, high)
            canvas.add("rect", hover=said, x=x, y=y, width=width, height=height, fill_opacity=tone, class_="f-cell")
    _tones(canvas, left, low, high, outcome)
    return canvas.svg(standalone=standalone)


def _axis(space: Space, name: str) -> str:
    parameter = space.parameters[name]
    log = isinstance(parameter, Continuous) and parameter.scale == "log"
    return name if isinstance(parameter, Categorical) else axis_name(name, parameter.unit, log=log)


def _tone(value: float, low: float, high: float) -> float:
    return 0.06 + 0.88 * ((value - low) / (high - low) if high > low else 0.5)


def _tones(canvas: Canvas, left: float, low: float, high: float, outcome: tuple[str, str]) -> None:
    """Draw which tone stands for what, above the map."""
    canvas.text(left, 12.0, axis_name(*outcome))
    text = number(low, 3)
    canvas.text(left, 30.0, text)
    x = left + text_width(text) + 6
    for k in range(_STEPS):
        tone = _tone(low + (high - low) * k / (_STEPS - 1), low, high)
        canvas.add("rect", x=x + 16 * k, y=21.0, width=16, height=11, fill_opacity=tone, class_="f-cell")
    canvas.text(x + 16 * _STEPS + 6, 30.0, number(high, 3))


def _edges(
    space: Space, name: str, at: Sequence[Value], start: float, end: float
) -> tuple[list[tuple[float, float]], Bands | Linear | Log]:
    """Return the ends, in pixels, of each value's field, and the scale along them."""
    parameter = space.parameters[name]
    if isinstance(parameter, Categorical):
        bands = Bands(tuple(str(v) for v in at), start, end)
        return [(bands(str(v), -0.5), bands(str(v), 0.5)) for v in at], bands
    log = isinstance(parameter, Continuous) and parameter.scale == "log"
    scale: Linear | Log
    if log:
        scale = Log(parameter.lower, parameter.upper, start, end)
    else:
        half = (
            0.0
            if isinstance(parameter, Continuous)
            else (parameter.upper - parameter.lower) / (2 * max(len(at) - 1, 1))
        )
        scale = Linear(parameter.lower - half, parameter.upper + half, start, end)
    places = [scale(float(v)) for v in at]
    between = [(a + b) / 2 for a, b in pairwise(places)]
    return list(pairwise([start, *between, end])), scale
