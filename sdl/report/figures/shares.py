"""How much each parameter matters to what a model predicts: its shares of the variance as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.report.figures.canvas import (
    LEGEND_ROW,
    SMALL,
    Canvas,
    Entry,
    Frame,
    draw_x,
    legend,
    legend_rows,
    text_width,
)
from sdl.report.figures.scales import Linear, Marked
from sdl.report.text import cut_within, number

if TYPE_CHECKING:
    from sdl.planners.bayes.sensitivity import Index, Sensitivity
    from sdl.report.html import Html

_WIDTH, _ROW, _NAME = 520.0, 24.0, 22
MOST = 20
"""Parameters that are drawn, those that matter most."""


def shares_svg(found: Sensitivity, outcome: str, *, standalone: bool = False) -> Html:
    """Return a bar a parameter: what it does alone, filled, and in all, as an outline; in percent of the variance."""
    shown = found.indices[:MOST]
    has_total = any(i.total is not None for i in shown)
    left = 14.0 + max(text_width(cut_within(i.parameter, _NAME)) for i in shown)
    signs: list[Entry] = [("bar", "f-share", "alone")]
    if has_total:
        signs.append(("bar", "f-total", "in all, together with others"))
    rows = legend_rows(signs, _WIDTH - left)
    top = 12.0 + LEGEND_ROW * len(rows)
    frame = Frame(left, top, _WIDTH - 16, top + _ROW * len(shown))
    canvas = Canvas(_WIDTH, frame.bottom + 41, f"What matters to the predicted {outcome}: shares of its variance")
    x = Linear(0.0, 100.0 * max(1.0, *(_size(i) for i in shown)), frame.left, frame.right)
    draw_x(canvas, frame, Marked(x, (0, 20, 40, 60, 80, 100)), "share of the variance / %")
    for row, index in enumerate(shown):
        middle = top + _ROW * (row + 0.5)
        canvas.text(left - 7, middle + SMALL * 0.35, cut_within(index.parameter, _NAME), "end", "f-lane")
        alone = x(100 * max(index.first, 0.0))
        hover = f"{index.parameter}: alone {number(100 * max(index.first, 0.0), 2)} %"
        if index.total is not None:
            hover += f", in all {number(100 * max(index.total, 0.0), 2)} %"
            whole = x(100 * max(index.total, 0.0))
            canvas.add("rect", x=left, y=middle - 8, width=max(whole - left, 0.0), height=16, class_="f-total")
        canvas.add("rect", hover=hover, x=left, y=middle - 5, width=max(alone - left, 0.6), height=10, class_="f-share")
    for row, of_row in enumerate(rows):
        legend(canvas, left, 10.0 + LEGEND_ROW * row, of_row)
    return canvas.svg(standalone=standalone)


def _size(index: Index) -> float:
    return max(index.first, index.total or 0.0)
