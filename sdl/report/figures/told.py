"""What was told before measurements against what came, and how much is still to be gained, round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.report.figures.canvas import (
    LEGEND_ROW,
    Canvas,
    Entry,
    Frame,
    draw_x,
    draw_y,
    legend,
    legend_rows,
    margin_for,
)
from sdl.report.figures.marks import axis_name
from sdl.report.figures.scales import Linear, Marked, scale_over, whole_numbers
from sdl.report.text import number, with_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.campaign import StopGain
    from sdl.loop import GainStated
    from sdl.report.explaining import Told
    from sdl.report.html import Html

_WIDTH, _PLOT = 520.0, 190.0


def told_svg(outcome: str, unit: str, told: Sequence[tuple[int, Told]], *, standalone: bool = False) -> Html:
    """Return, per experiment, the interval that was told before the measurement and what was measured.

    Args:
        outcome: which.
        unit: of the outcome.
        told: (experiment, what was told and measured), with an interval and a measurement each; at least one.
        standalone: whether the drawing carries its styles and can be a file of its own.
    """
    signs: list[Entry] = [
        ("line", "f-told", "interval told before"),
        ("dot", "f-point", "measured, inside"),
        ("dot", "f-worse", "outside"),
    ]
    rows = legend_rows(signs, _WIDTH - 70)
    top = 12.0 + LEGEND_ROW * len(rows)
    values = [
        v for _, t in told if t.interval is not None and t.measured is not None for v in (*t.interval, t.measured)
    ]
    y = scale_over(values, top + _PLOT, top)
    frame = Frame(margin_for(y, 5), top, _WIDTH - 12, top + _PLOT)
    canvas = Canvas(_WIDTH, frame.bottom + 41, f"{outcome}: told before the measurement, and measured")
    numbers = [n for n, _ in told]
    x = Linear(min(numbers) - 0.7, max(numbers) + 0.7, frame.left, frame.right)
    draw_y(canvas, frame, y, axis_name(outcome, unit), 5)
    draw_x(canvas, frame, Marked(x, whole_numbers(min(numbers), max(numbers), 10)), "experiment")
    for n, t in told:
        if t.interval is None or t.measured is None:
            continue
        canvas.add("line", x1=x(n), x2=x(n), y1=y(t.interval[0]), y2=y(t.interval[1]), class_="f-told")
        said = (
            f"experiment {n}\ntold {with_unit(f'{number(t.interval[0], 4)} … {number(t.interval[1], 4)}', unit)}\n"
            f"measured {with_unit(number(t.measured, 4), unit)}"
        )
        class_ = "f-point" if t.held else "f-worse"
        canvas.add("circle", hover=said, cx=x(n), cy=y(t.measured), r=3.2, class_=class_)
    for row, of_row in enumerate(rows):
        legend(canvas, frame.left, 10.0 + LEGEND_ROW * row, of_row)
    return canvas.svg(standalone=standalone)


def gain_svg(stated: Sequence[GainStated], rule: StopGain | None, *, standalone: bool = False) -> Html:
    """Return how probable it was, by round, that more is still to be gained, with the line at which the campaign stops.

    Args:
        stated: what rounds said; those that could not tell are left out, at least one could.
        rule: of the campaign, or None.
        standalone: whether the drawing carries its styles and can be a file of its own.
    """
    shown = [(s.round, s.probability) for s in stated if s.probability is not None]
    top = 10.0
    y = Linear(0.0, 1.0, top + _PLOT, top)
    frame = Frame(margin_for(y, 5), top, _WIDTH - 12, top + _PLOT)
    size = "more" if rule is None else f"more than {rule}"
    canvas = Canvas(_WIDTH, frame.bottom + 41, f"Probability that {size} is still to be gained, by round")
    first, last = shown[0][0], shown[-1][0]
    x = Linear(first - 0.7, last + 0.7, frame.left, frame.right)
    draw_y(canvas, frame, y, "probability", 5)
    draw_x(canvas, frame, Marked(x, whole_numbers(first, last, 10)), "round")
    if rule is not None:
        at, said = y(rule.probability), f"enough: {rule.probability:g}"
        canvas.add("line", hover=said, x1=frame.left, x2=frame.right, y1=at, y2=at, class_="f-target")
    canvas.line([(x(n), y(p)) for n, p in shown], "f-curve")
    for n, p in shown:
        canvas.add("circle", hover=f"round {n}: {p:.2g}", cx=x(n), cy=y(p), r=3.2, class_="f-point")
    return canvas.svg(standalone=standalone)
