"""Two objectives against each other, with the line below which (or above which) everything is beaten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.objective import pareto_set
from sdl.report.figures.canvas import LEGEND_ROW, Canvas, Frame, draw_x, draw_y, legend, legend_rows, margin_for, stairs
from sdl.report.figures.convergence import axis_of, targets_of
from sdl.report.figures.marks import axis_name, entries, mark, mark_known
from sdl.report.figures.scales import scale_over, wants_log
from sdl.report.text import number, with_unit

if TYPE_CHECKING:
    from sdl.report.data import ReportData
    from sdl.report.figures.canvas import Entry
    from sdl.report.figures.scales import Linear, Log
    from sdl.report.html import Html

_LARGE, _SMALL = (720.0, 400.0), (330.0, 190.0)
"""Width of a drawing and height of its plot, in pixels: of the only pair, and of one of several."""


def front_svg(data: ReportData, across: str, upright: str, *, standalone: bool = False) -> Html:
    """Return one objective against another: every experiment that gave both, and the Pareto set of these two as a line.

    With more than two objectives the Pareto set's experiments need not lie on that line.

    Args:
        data: of a campaign with several objectives.
        across: the objective along the horizontal axis.
        upright: the other one.
        standalone: whether the drawing carries its styles and can be a file of its own.
    """
    only = len(data.objectives) == 2
    width, plot = _LARGE if only else _SMALL
    shown = [e for e in data.experiments if e.state == "done" and across in e.outcomes and upright in e.outcomes]
    at = {
        e.number: tuple(data.progress_value(e.outcomes[name].value, name) for name in (across, upright)) for e in shown
    }
    before = [k for k in data.known if not k.is_failed and across in k.outcomes and upright in k.outcomes]
    at_before = {
        k.number: tuple(data.progress_value(k.outcomes[name].value, name) for name in (across, upright)) for k in before
    }
    reference = _reference(data, across), _reference(data, upright)
    targets = targets_of(data, across), targets_of(data, upright)
    values = [
        [
            *(place[i] for places in (at, at_before) for place in places.values()),
            *targets[i],
            *(() if (r := reference[i]) is None else (r,)),
        ]
        for i in (0, 1)
    ]
    logs = [wants_log(v) for v in values]
    signs = legend_rows(_signs(data, targets, reference), width - 60) if only else []
    top = 10.0 + LEGEND_ROW * len(signs)
    y = scale_over(values[1], top + plot, top, log=logs[1], margin=0.06)
    left, right = margin_for(y, 5), width - 12
    x = scale_over(values[0], left, right, log=logs[0], margin=0.06)
    canvas = Canvas(width, top + plot + 41.0, f"{upright} against {across}, {len(shown)} experiments")
    frame = Frame(left, top, right, top + plot)
    draw_y(canvas, frame, y, axis_name(axis_of(data, upright), data.unit_of(upright), log=logs[1]), 5)
    draw_x(canvas, frame, x, axis_name(axis_of(data, across), data.unit_of(across), log=logs[0]), 5 if only else 4)
    _lines(canvas, data, frame, (across, upright), (x, y), targets, reference)
    canvas.line(_front_line(data, across, upright, at, x, y, reference), "f-curve")
    for k in before:
        mark_known(canvas, data, k, x(at_before[k.number][0]), y(at_before[k.number][1]))
    for e in sorted(shown, key=lambda e: e.number in data.marked):
        mark(canvas, data, e, x(at[e.number][0]), y(at[e.number][1]), 3.6 if only else 3.2)
    if not shown:
        canvas.text((left + right) / 2, top + plot / 2, "no results yet", "middle", "f-none")
    for row, of_row in enumerate(signs):
        legend(canvas, left, 12.0 + LEGEND_ROW * row, of_row)
    return canvas.svg(standalone=standalone)


def _reference(data: ReportData, name: str) -> float | None:
    """Return where an objective's reference lies along its axis, or None."""
    goal = data.objectives[name]
    if data.front is not None and name in data.front.reference:
        return data.front.reference[name]
    return None if goal.reference is None else data.progress_value(float(goal.reference), name)


def _front_line(
    data: ReportData,
    across: str,
    upright: str,
    at: dict[int, tuple[float, ...]],
    x: Linear | Log,
    y: Linear | Log,
    reference: tuple[float | None, float | None],
) -> list[tuple[float, float]]:
    """Return the corners, in pixels: the edge of what the feasible experiments dominate in these two objectives."""
    feasible = [e for e in data.experiments if e.is_feasible and e.number in at]
    two = {name: data.objectives[name] for name in (across, upright)}
    chosen = [feasible[i].number for i in pareto_set(two, {}, [e.outcomes for e in feasible])]
    climbs = [goal.goal == "maximize" for goal in two.values()]
    corners = sorted({at[n] for n in chosen}, key=lambda place: place[0], reverse=climbs[0])
    if not corners:
        return []
    worse = [min if climb else max for climb in climbs]
    # From both ends on to the reference point, as far as that is worse: what lies beyond adds nothing to the hypervolume.
    first, last = corners[0], corners[-1]
    begin = (first[0], first[1] if reference[1] is None else worse[1](first[1], reference[1]))
    end = (last[0] if reference[0] is None else worse[0](last[0], reference[0]), last[1])
    return [(x(a), y(b)) for a, b in stairs([begin, *((p[0], p[1]) for p in corners), end])]


def _lines(
    canvas: Canvas,
    data: ReportData,
    frame: Frame,
    names: tuple[str, str],
    scales: tuple[Linear | Log, Linear | Log],
    targets: tuple[tuple[float, ...], tuple[float, ...]],
    reference: tuple[float | None, float | None],
) -> None:
    """Draw targets and the reference point as straight lines across the plot."""
    for i, (name, scale) in enumerate(zip(names, scales, strict=True)):
        lines = [(value, "f-target", "target") for value in targets[i]]
        if (value := reference[i]) is not None:
            lines.append((value, "f-optimum", "reference"))
        for value, class_, word in lines:
            hover = f"{word}: {with_unit(number(value), data.unit_of(name))}"
            p = scale(value)
            ends = (
                {"x1": p, "x2": p, "y1": frame.top, "y2": frame.bottom}
                if i == 0
                else {"x1": frame.left, "x2": frame.right, "y1": p, "y2": p}
            )
            canvas.add("line", hover=hover, **ends, class_=class_)


def _signs(
    data: ReportData,
    targets: tuple[tuple[float, ...], tuple[float, ...]],
    reference: tuple[float | None, float | None],
) -> list[Entry]:
    signs: list[Entry] = [("line", "f-curve", "nothing feasible lies beyond")] if data.marked else []
    signs += [entry for entry in entries(data) if entry[0] != "tick"]
    if any(targets):
        signs.append(("line", "f-target", "target"))
    if any(r is not None for r in reference):
        signs.append(("line", "f-optimum", "reference point"))
    return signs
