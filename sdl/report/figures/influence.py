"""What single experiments contribute to what a model holds to be best, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.report.figures.canvas import SMALL, Canvas, Frame, draw_x
from sdl.report.figures.marks import axis_name
from sdl.report.figures.scales import scale_over
from sdl.report.text import number, with_unit

if TYPE_CHECKING:
    from sdl.planners.bayes.influence import Influence
    from sdl.report.html import Html

_WIDTH, _ROW, _LEFT = 520.0, 18.0, 96.0
MOST = 15
"""Experiments that are drawn, those with the largest values."""


def influence_svg(found: Influence, *, standalone: bool = False) -> Html:
    """Return a bar an experiment: its Shapley value, with two standard errors of it where orders were drawn."""
    shown = found.shares[:MOST]
    top = 10.0
    frame = Frame(_LEFT, top, _WIDTH - 16, top + _ROW * len(shown))
    canvas = Canvas(
        _WIDTH,
        frame.bottom + 41,
        f"What the predicted best {found.outcome} rests on: the experiments with the largest shares",
    )
    reach = [v for s in shown for v in (s.value - 2 * s.error, s.value + 2 * s.error)]
    x = scale_over([0.0, *reach], frame.left, frame.right, margin=0.03)
    draw_x(canvas, frame, x, axis_name("contribution", found.unit), 5)
    for row, share in enumerate(shown):
        middle = top + _ROW * (row + 0.5)
        name = f"experiment {share.experiment}" if share.experiment > 0 else f"known ({share.experiment})"
        canvas.text(_LEFT - 7, middle + SMALL * 0.35, name, "end", "f-lane")
        ends = sorted((x(0.0), x(share.value)))
        said = f"{name}: {with_unit(number(share.value, 3), found.unit)}"
        if share.error:
            said += f" ± {number(share.error, 1)}"
        said += f"\nleft out alone: {with_unit(number(-share.left_out, 3), found.unit)}"
        canvas.add(
            "rect",
            hover=said,
            x=ends[0],
            y=middle - 5,
            width=max(ends[1] - ends[0], 0.6),
            height=10,
            class_="f-share" if share.value >= 0 else "f-worse",
        )
        if share.error:
            low, high = x(share.value - 2 * share.error), x(share.value + 2 * share.error)
            canvas.add("line", x1=low, x2=high, y1=middle, y2=middle, class_="f-error")
    canvas.add("line", x1=x(0.0), x2=x(0.0), y1=frame.top, y2=frame.bottom, class_="f-axis")
    return canvas.svg(standalone=standalone)
