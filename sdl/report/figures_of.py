"""The report's sections that are figures, with the words around them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sdl.report.figures.convergence import axis_of, convergence_svg
from sdl.report.figures.marks import entries
from sdl.report.figures.objective_progress import objective_progress_svg
from sdl.report.figures.predicted import predicted_svg
from sdl.report.figures.scatter import columns_for, scatter_svg
from sdl.report.figures.timeline import timeline_svg
from sdl.report.html import Html, el
from sdl.report.sections import section
from sdl.report.text import counted, number, with_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.report.data import LeftOut, ReportData
    from sdl.report.front import Front


def figure(drawing: Html, caption: Html | str | None = None, *, wide: bool = False) -> Html:
    """Return a figure with its caption; a wide one scrolls on a narrow screen, where it would shrink to nothing."""
    return el("figure", drawing, el("figcaption", caption) if caption else None, class_="wide" if wide else None)


def convergence(data: ReportData) -> Html:
    """Return the best-so-far curve; of several objectives the hypervolume, and each of them."""
    if data.front is not None:
        return _progress(data, data.front)
    return section(
        "convergence", "Best so far", figure(convergence_svg(data, standalone=False), _random_caption(data), wide=True)
    )


def _progress(data: ReportData, front: Front) -> Html:
    if front.missing is None:
        at = ", ".join(
            f"{axis_of(data, name)} {with_unit(number(v, 4), data.unit_of(name))}"
            for name, v in front.reference.items()
        )
        given = [name for name, goal in data.objectives.items() if goal.reference is not None]
        how = "as the campaign gives it"
        if len(given) < len(data.objectives):
            rest = "it lies" if not given else f"except for {', '.join(given)} it lies"
            how = f"{rest} a tenth of the Pareto set's range below its worst (Ishibuchi 2011), so it moves with the results"
        said = (
            "The hypervolume is the volume between the Pareto set and the reference point: how much of what could be wanted is "
            f"reached. Reference point: {at}; {how}."
        )
        if data.random_missing is not None:
            said += f" Random search is not shown: {data.random_missing}."
        drawn = figure(convergence_svg(data, standalone=False), said, wide=True)
    else:
        drawn = el("p", f"Hypervolume: left out; {front.missing}.", class_="empty")
    small = [figure(objective_progress_svg(data, name)) for name in data.objectives]
    return section("convergence", "Progress", drawn, key(data), el("div", *small, class_="multiples by-3"))


def _random_caption(data: ReportData) -> str | None:
    if data.random is None:
        return None if data.random_missing is None else f"Random search is not shown: {data.random_missing}."
    r, unit = data.random, data.unit_of(data.objective)
    which = "its best row has" if r.optimal_rows == 1 else f"its best {r.optimal_rows} rows have"
    return (
        "Random search is the exact expectation of the best of n rows drawn from the pool without replacement, with "
        f"the range between the luckiest and the unluckiest tenth of all runs. Of the pool's {r.rows} rows "
        f"{which} {with_unit(number(r.optimum), unit)}; random search would meet it after "
        f"{number(r.draws_to_optimum, 4)} experiments in the mean."
    )


def scatter(data: ReportData) -> Html:
    """Return every parameter against every outcome."""
    if not any(e.outcomes for e in data.experiments if e.state == "done"):
        return section(
            "scatter", "Parameters and outcomes", el("p", "No experiment has given a result yet.", class_="empty")
        )
    rows = [
        el(
            "div",
            *(figure(scatter_svg(data, p, o)) for p in data.space.parameters),
            class_=f"multiples by-{columns_for(data)}",
        )
        for o in data.outcomes
    ]
    return section("scatter", "Parameters and outcomes", key(data), *rows)


def key(data: ReportData) -> Html:
    """Return the legend of the marks as text with small signs."""
    items = []
    for shape, class_, text in entries(data):
        sign = {
            "dot": el("circle", cx=8, cy=8, r=4, class_=class_),
            "ring": el("circle", cx=8, cy=8, r=6, class_=class_),
            "tick": el("path", d="M8,3v10", class_=class_),
        }.get(shape, el("path", d="M5,5l6,6M5,11l6,-6", class_=class_))
        items.append(
            el(
                "span",
                el("svg", sign, viewBox="0 0 16 16", width=16, height=16, class_="sign", aria_hidden="true"),
                text,
            )
        )
    return el("p", *items, class_="key")


def predicted(data: ReportData) -> Html:
    """Return leave-one-out predictions against measurements, and in words where there are none."""
    found, missing = data.predictions.by_outcome, data.predictions.missing
    drawn = [figure(predicted_svg(data, o, points), _said(data, o, points)) for o, points in found.items()]
    words = [el("p", el("b", o), f": no figure; {why}.", class_="empty") for o, why in missing.items()]
    lead = (
        "Each result as the planner's model, fitted to all results, predicts it from all other experiments "
        "(leave-one-out); bars: one standard deviation of a new measurement."
    )
    return section(
        "predicted",
        "Predicted and measured",
        el("div", *drawn, class_="pair") if drawn else None,
        *words,
        lead=lead if drawn else None,
    )


def _said(data: ReportData, outcome: str, points: Sequence[LeftOut]) -> str:
    inside = sum(abs(p.measured - p.predicted) <= p.sd for p in points)
    rms = math.sqrt(sum(((p.measured - p.predicted) / len(points) ** 0.5) ** 2 for p in points))
    return (
        f"{outcome}: root mean square deviation {with_unit(number(rms, 3), data.unit_of(outcome))}; {inside} of "
        f"{counted(len(points), 'result')} within one standard deviation "
        "(68 % where the model is right about its own doubt)."
    )


def timeline(data: ReportData) -> Html:
    """Return what each instrument did when."""
    if not data.commands:
        return section("timeline", "Instruments", el("p", "No command was sent yet.", class_="empty"))
    return section("timeline", "Instruments", figure(timeline_svg(data), wide=True))
