"""Every parameter against every outcome, one small drawing each."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from sdl.report.figures.canvas import Canvas, Frame, draw_x, draw_y, margin_for, text_width, x_room
from sdl.report.figures.marks import axis_name, hover_text, known_text, mark, mark_known
from sdl.report.figures.scales import Bands, Marked, scale_over, wants_log, whole_numbers
from sdl.report.text import number
from sdl.space import Categorical, Continuous, Discrete, Integer

if TYPE_CHECKING:
    from sdl.report.data import ReportData
    from sdl.report.figures.scales import Linear, Log
    from sdl.report.html import Html

_PLOT = 170.0
_WIDTHS = {3: 330.0, 4: 248.0}
"""Width of a drawing in pixels, by how many stand in a row; letters keep their size."""
_GOLDEN = 0.6180339887498949


def columns_for(data: ReportData) -> int:
    """Return how many drawings stand in a row: 4 where that fills the rows, else 3."""
    return 4 if len(data.space.parameters) % 4 == 0 else 3


def scatter_svg(data: ReportData, parameter_name: str, outcome: str) -> Html:
    """Return one outcome against one parameter; categories become strips, in which points are moved aside a little."""
    width = _WIDTHS[columns_for(data)]
    parameter = data.space.parameters[parameter_name]
    placed = [e for e in data.experiments if parameter.problem(e.candidate.get(parameter_name, "")) is None]
    shown = [e for e in placed if e.state == "done" and outcome in e.outcomes]
    gone = [e for e in placed if e.state in {"failed", "aborted"}]
    before = [k for k in data.known if parameter.problem(k.candidate.get(parameter_name, "")) is None]
    gone_before = [k for k in before if k.is_failed]
    before = [k for k in before if outcome in k.outcomes and not k.is_failed]
    values = [e.outcomes[outcome].value for e in shown] + [k.outcomes[outcome].value for k in before]
    y_log = wants_log(values)
    top = 10.0
    y = scale_over(values, top + _PLOT, top, log=y_log, margin=0.08)
    left, right = margin_for(y, 5), width - 10
    names = parameter.values if isinstance(parameter, Categorical) else ()
    height = top + _PLOT + x_room(names, right - left)
    canvas = Canvas(width, height, f"{outcome} against {parameter_name}, {len(shown)} experiments")
    frame = Frame(left, top, right, top + _PLOT)
    draw_y(canvas, frame, y, axis_name(outcome, data.unit_of(outcome), log=y_log), 5)
    if isinstance(parameter, Categorical):
        bands = Bands(parameter.values, left, right)
        draw_x(canvas, frame, bands, parameter_name)
        for e in gone:
            at = bands(str(e.candidate[parameter_name]), _aside(e.number) * 0.55)
            canvas.add("path", hover=hover_text(data, e), d=f"M{at:.2f},{frame.bottom:.2f}v-7", class_="f-failed")
        wide = 0.55 if len(names) < 12 else 0.3
        for k in gone_before:
            at = bands(str(k.candidate[parameter_name]), _aside(k.number) * 0.55)
            canvas.add("path", hover=known_text(data, k), d=f"M{at:.2f},{frame.bottom:.2f}v-7", class_="f-failed")
        for k in before:
            at = bands(str(k.candidate[parameter_name]), _aside(k.number) * wide)
            mark_known(canvas, data, k, at, y(k.outcomes[outcome].value))
        for e in sorted(shown, key=lambda e: e.number in data.marked):
            at = bands(str(e.candidate[parameter_name]), _aside(e.number) * wide)
            mark(canvas, data, e, at, y(e.outcomes[outcome].value), 3.2)
        return canvas.svg()
    x_log = isinstance(parameter, Continuous) and parameter.scale == "log"
    x = scale_over([parameter.lower, parameter.upper], left, right, log=x_log, margin=0.03)
    draw_x(canvas, frame, _marked(parameter, x), axis_name(parameter_name, parameter.unit, log=x_log), 5)
    for e in gone:
        at = x(float(e.candidate[parameter_name]))
        canvas.add("path", hover=hover_text(data, e), d=f"M{at:.2f},{frame.bottom:.2f}v-7", class_="f-failed")
    for k in gone_before:
        at = x(float(k.candidate[parameter_name]))
        canvas.add("path", hover=known_text(data, k), d=f"M{at:.2f},{frame.bottom:.2f}v-7", class_="f-failed")
    for k in before:
        mark_known(canvas, data, k, x(float(k.candidate[parameter_name])), y(k.outcomes[outcome].value))
    for e in sorted(shown, key=lambda e: e.number in data.marked):
        mark(canvas, data, e, x(float(e.candidate[parameter_name])), y(e.outcomes[outcome].value), 3.2)
    return canvas.svg()


def _aside(number: int) -> float:
    """Return from −0.5 to 0.5: a golden-ratio sequence, which spreads neighbours apart the same way every time."""
    return math.fmod(number * _GOLDEN, 1.0) - 0.5


def _marked(parameter: Continuous | Integer | Discrete, x: Linear | Log) -> Linear | Log | Marked:
    """Return the scale with marks at the levels that the parameter can have, where it has levels and there is room."""
    if isinstance(parameter, Integer):
        return Marked(x, whole_numbers(int(parameter.lower), int(parameter.upper), 6))
    if isinstance(parameter, Discrete):
        levels = tuple(float(v) for v in parameter.values)
        if all(x(b) - x(a) > text_width(number(b)) + 8 for a, b in pairwise(levels)):
            return Marked(x, levels)
    return x
