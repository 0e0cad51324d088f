"""One of several objectives against the number of experiments, in a small drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.report.figures.canvas import Canvas, Frame, draw_x, draw_y, margin_for, stairs, x_room
from sdl.report.figures.convergence import progress_of
from sdl.report.figures.marks import mark
from sdl.report.figures.scales import Linear, Marked, scale_over, whole_numbers
from sdl.report.text import number, with_unit

if TYPE_CHECKING:
    from sdl.report.data import ReportData
    from sdl.report.html import Html

_WIDTH, _PLOT, _TOP = 330.0, 170.0, 10.0


def objective_progress_svg(data: ReportData, name: str) -> Html:
    """Return an objective's results and its best feasible one so far, with the targets at which the campaign stops."""
    shown = progress_of(data, name)
    bottom, right = _TOP + _PLOT, _WIDTH - 10
    before = () if shown.before is None else (shown.before,)
    y = scale_over([*shown.values, *shown.target, *before], bottom, _TOP, log=shown.log, margin=0.08)
    left = margin_for(y, 5)
    x = Linear(min(0.5, 1 - 0.02 * shown.last), shown.last + max(0.5, 0.02 * shown.last), left, right)
    canvas = Canvas(_WIDTH, bottom + x_room((), right - left), shown.title)
    frame = Frame(left, _TOP, right, bottom)
    draw_y(canvas, frame, y, shown.label, 5)
    draw_x(canvas, frame, Marked(x, whole_numbers(1, shown.last, 5)), "experiment", 5)
    for value in shown.target:
        hover = f"target: {with_unit(number(value), shown.unit)}"
        canvas.add("line", hover=hover, x1=left, x2=right, y1=y(value), y2=y(value), class_="f-target")
    for value in before:
        hover = f"best known before the campaign: {with_unit(number(value), shown.unit)}"
        canvas.add("line", hover=hover, x1=left, x2=right, y1=y(value), y2=y(value), class_="f-known-best")
    for n in shown.failed:
        canvas.add("path", hover=f"experiment {n} gave no result", d=f"M{x(n):.2f},{bottom:.2f}v-7", class_="f-failed")
    canvas.line(stairs([(x(n), y(v)) for n, v in shown.curve]), "f-curve")
    for experiment, value in shown.points:
        mark(canvas, data, experiment, x(experiment.number), y(value), 3.2)
    return canvas.svg()
