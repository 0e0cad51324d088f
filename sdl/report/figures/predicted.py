"""Leave-one-out predictions against measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.report.figures.canvas import Canvas, Frame, draw_x, draw_y, margin_for
from sdl.report.figures.marks import axis_name, class_of
from sdl.report.figures.scales import scale_over
from sdl.report.text import number, with_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.report.data import LeftOut, ReportData, ReportedExperiment
    from sdl.report.html import Html

_PLOT = 330.0


def predicted_svg(data: ReportData, outcome: str, points: Sequence[LeftOut]) -> Html:
    """Return predicted against measured, with the line where both are equal; bars are one standard deviation."""
    unit = data.unit_of(outcome)
    measured = [p.measured for p in points]
    reach = [v for p in points for v in (p.predicted - p.sd, p.predicted + p.sd)]
    top = 12.0
    # One scale for both, so that the line of equality is the diagonal and distances to it can be compared by eye.
    y = scale_over([*measured, *reach], top + _PLOT, top)
    left = margin_for(y, 8)
    canvas = Canvas(
        left + _PLOT + 14, top + _PLOT + 41, f"{outcome}: predicted from all other experiments, against measured"
    )
    frame = Frame(left, top, left + _PLOT, top + _PLOT)
    x = scale_over([*measured, *reach], left, left + _PLOT)
    draw_y(canvas, frame, y, f"predicted {axis_name(outcome, unit)}", 8)
    draw_x(canvas, frame, x, f"measured {axis_name(outcome, unit)}", 8)
    canvas.add("line", x1=frame.left, y1=frame.bottom, x2=frame.right, y2=frame.top, class_="f-equal")
    known = {e.number: e for e in data.experiments}
    for p in points:
        class_ = _class_of(known, p.number)
        at = x(p.measured)
        canvas.add("line", x1=at, x2=at, y1=y(p.predicted - p.sd), y2=y(p.predicted + p.sd), class_=f"f-bar {class_}")
    for p in points:
        class_ = _class_of(known, p.number)
        hover = (
            f"{'experiment' if p.number > 0 else 'known before,'} {p.number}\nmeasured {with_unit(number(p.measured), unit)}\n"
            f"predicted {with_unit(f'{number(p.predicted)} ± {number(p.sd, 2)}', unit)}"
        )
        canvas.add("circle", hover=hover, cx=x(p.measured), cy=y(p.predicted), r=3.4, class_=class_)
    return canvas.svg()


def _class_of(experiments: Mapping[int, ReportedExperiment], number: int) -> str:
    """Return the class that colours a point; numbers below 1 are those of what was known before the campaign."""
    return class_of(experiments[number]) if number in experiments else "f-known"
