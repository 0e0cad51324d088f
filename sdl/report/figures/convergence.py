"""Best so far against the number of experiments, with what random search is expected to find; of several objectives the
hypervolume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    path,
    stairs,
)
from sdl.report.figures.marks import axis_name, entries, mark
from sdl.report.figures.scales import Linear, Log, Marked, scale_over, wants_log, whole_numbers
from sdl.report.text import number, unit_text, with_unit
from sdl.units import convert

if TYPE_CHECKING:
    from sdl.report.data import ReportData, ReportedExperiment
    from sdl.report.expectation import RandomBest
    from sdl.report.html import Html

_WIDTH, _HEIGHT = 1040.0, 400.0


@dataclass(frozen=True)
class Progress:
    """What the figure shows, whoever draws it.

    Attributes:
        title: of the figure.
        curve_name: what the curve is, for the legend.
        label: of the upright axis.
        unit: of the values, declared.
        points: experiments with a result, and the value that is drawn.
        failed: numbers of failed and aborted experiments.
        curve: experiment number → best so far; carried on to the last experiment.
        target: values at which the campaign stops, in the same unit.
        last: the largest number on the horizontal axis.
        log: whether the upright axis is logarithmic.
        before: the best feasible value that was known before the campaign, or None.
    """

    title: str
    curve_name: str
    label: str
    unit: str
    points: tuple[tuple[ReportedExperiment, float], ...]
    failed: tuple[int, ...]
    curve: tuple[tuple[int, float], ...]
    target: tuple[float, ...]
    last: int
    log: bool
    before: float | None = None

    @property
    def values(self) -> list[float]:
        """Every value that was measured or reached."""
        return [v for _, v in self.points] + [v for _, v in self.curve]


def progress(data: ReportData) -> Progress:
    """Return what a figure of the campaign's progress shows: the hypervolume where there is one, else the first objective."""
    front = data.front
    if front is None or front.missing is not None:
        return progress_of(data, data.objective)
    volumes = dict(front.volumes)
    # What is not feasible, or came before anything was, stands at what it left unchanged.
    points = tuple((e, volumes.get(e.number, 0.0)) for e in data.experiments if e.state == "done" and e.outcomes)
    unit = " · ".join(shown for o in data.objectives.values() if (shown := unit_text(o.unit)))
    return Progress(
        title="Hypervolume so far against the number of experiments",
        curve_name="hypervolume of the Pareto set so far",
        label="hypervolume" + (f" / ({unit})" if " " in unit else f" / {unit}" if unit else ""),
        unit=unit,
        points=points,
        failed=_failed(data),
        curve=front.volumes,
        target=(),
        last=_last(data),
        log=False,
    )


def axis_of(data: ReportData, name: str) -> str:
    """Return what stands along the axis of an objective: itself, or its distance from a number to be matched."""
    goal = data.objectives[name]
    return name if goal.value is None else f"|{name} − {number(float(goal.value))}|"


def targets_of(data: ReportData, name: str) -> tuple[float, ...]:
    """Return the values of an objective at which the campaign stops, in its unit; none where a number is to be matched."""
    objective = data.objectives[name]
    if name not in data.targets or objective.value is not None:
        return ()
    wanted = data.targets[name]
    bounds = (wanted.at_least, wanted.at_most)
    return tuple(convert(float(b), wanted.unit, objective.unit) for b in bounds if b is not None)


def _failed(data: ReportData) -> tuple[int, ...]:
    return tuple(e.number for e in data.experiments if e.state in {"failed", "aborted"})


def _last(data: ReportData) -> int:
    return max((e.number for e in data.started), default=1)


def progress_of(data: ReportData, name: str) -> Progress:
    """Return what a figure of the progress of one objective shows."""
    objective = data.objectives[name]
    points = tuple(
        (e, data.progress_value(e.outcomes[name].value, name))
        for e in data.experiments
        if e.state == "done" and name in e.outcomes
    )
    target = targets_of(data, name)
    random = () if data.random is None else (*data.random.expected, *data.random.lucky, data.random.optimum)
    values = [v for _, v in points]
    before = data.best_known(name)
    log = wants_log([*values, *random, *target, *(() if before is None else (before,))]) if values else False
    return Progress(
        title=f"Best {name} so far against the number of experiments",
        curve_name="best so far",
        label=axis_name(axis_of(data, name), objective.unit, log=log),
        unit=objective.unit,
        points=points,
        failed=_failed(data),
        curve=data.best_so_far_of(name),
        target=target,
        last=_last(data),
        log=log,
        before=before,
    )


def convergence_svg(data: ReportData, *, standalone: bool = True) -> Html:
    """Return the best-so-far curve as SVG; a standalone one carries its styles and can be a file of its own."""
    shown = progress(data)
    canvas = Canvas(_WIDTH, _HEIGHT, shown.title, _described(data, shown))
    random = data.random
    values = [*shown.values, *shown.target, *(() if shown.before is None else (shown.before,))]
    if random is not None:
        values += [*random.expected, *random.lucky, *random.unlucky, random.optimum]
    left, right, bottom = margin_for(scale_over(values, 1.0, 0.0, log=shown.log), 6), _WIDTH - 14, _HEIGHT - 46
    signs = legend_rows(_signs(data, shown), right - left)
    top = 23.0 + LEGEND_ROW * max(len(signs), 1)
    frame = Frame(left, top, right, bottom)
    y = scale_over(values, bottom, top, log=shown.log)
    x = Linear(min(0.5, 1 - 0.02 * shown.last), shown.last + max(0.5, 0.02 * shown.last), left, right)
    draw_y(canvas, frame, y, shown.label, 6)
    draw_x(canvas, frame, Marked(x, whole_numbers(1, shown.last, 12)), "experiment")
    if random is not None:
        _draw_random(canvas, frame, x, y, random)
    for value in shown.target:
        hover = f"target: {with_unit(number(value), shown.unit)}"
        canvas.add("line", hover=hover, x1=left, x2=right, y1=y(value), y2=y(value), class_="f-target")
    if shown.before is not None:
        at, hover = y(shown.before), f"best known before the campaign: {with_unit(number(shown.before), shown.unit)}"
        canvas.add("line", hover=hover, x1=left, x2=right, y1=at, y2=at, class_="f-known-best")
    for n in shown.failed:
        canvas.add("path", hover=f"experiment {n} gave no result", d=f"M{x(n):.2f},{bottom:.2f}v-9", class_="f-failed")
    canvas.line(stairs([(x(n), y(v)) for n, v in shown.curve]), "f-curve")
    for experiment, value in shown.points:
        mark(canvas, data, experiment, x(experiment.number), y(value))
    if not shown.points:
        canvas.text((left + right) / 2, (top + bottom) / 2, "no results yet", "middle", "f-none")
    for row, entries_of_row in enumerate(signs):
        legend(canvas, left, 14.0 + LEGEND_ROW * row, entries_of_row)
    return canvas.svg(standalone=standalone)


def _draw_random(canvas: Canvas, frame: Frame, x: Linear, y: Linear | Log, random: RandomBest) -> None:
    drawn = range(1, len(random.expected) + 1)
    upper = stairs([(x(n), y(v)) for n, v in zip(drawn, random.unlucky, strict=True)])
    lower = stairs([(x(n), y(v)) for n, v in zip(drawn, random.lucky, strict=True)])
    canvas.add("path", d=path([*upper, *reversed(lower)]) + "Z", class_="f-random-band")
    canvas.line([(x(n), y(v)) for n, v in zip(drawn, random.expected, strict=True)], "f-random")
    canvas.add("line", x1=frame.left, x2=frame.right, y1=y(random.optimum), y2=y(random.optimum), class_="f-optimum")


def _signs(data: ReportData, shown: Progress) -> list[Entry]:
    signs: list[Entry] = [("line", "f-curve", shown.curve_name)] if shown.curve else []
    signs += [entry for entry in entries(data) if entry[1] != "f-known"]  # the rows themselves have no place here
    if data.random is not None:
        signs += [
            ("line", "f-random", "random, expected"),
            ("band", "f-random-band", "random, 80 % of runs"),
            ("line", "f-optimum", "best row of the pool"),
        ]
    if shown.target:
        signs.append(("line", "f-target", "target"))
    if shown.before is not None:
        signs.append(("line", "f-known-best", "best known before the campaign"))
    return signs


def _described(data: ReportData, shown: Progress) -> str:
    if not shown.curve:
        return "No feasible result yet."
    n, value = shown.curve[-1]
    reached = with_unit(number(value), shown.unit)
    text = f"After {n} experiments the {'best' if data.front is None else shown.curve_name} is {reached}."
    if data.random is not None and math.isfinite(data.random.expected[-1]):
        expected = with_unit(number(data.random.expected[-1]), data.unit_of(data.objective))
        text += f" Random search is expected to have {expected} by then."
    return text
