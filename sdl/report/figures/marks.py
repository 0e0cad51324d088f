"""How an experiment looks in every figure: by whether it is initial or model-based, feasible or not, and the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.campaign import label_of
from sdl.report.figures.canvas import Canvas, Entry, cross
from sdl.report.text import estimate_text, unit_text, with_unit

if TYPE_CHECKING:
    from sdl.report.data import ReportData, ReportedExperiment, ReportedKnown


def mark(
    canvas: Canvas, data: ReportData, experiment: ReportedExperiment, x: float, y: float, radius: float = 3.6
) -> None:
    """Draw one experiment with a result."""
    hover = hover_text(data, experiment)
    if experiment.number in data.marked:
        canvas.add("circle", cx=x, cy=y, r=radius + 3.2, class_="f-best")
    if experiment.is_feasible:
        canvas.add("circle", hover=hover, cx=x, cy=y, r=radius, class_=class_of(experiment))
    else:
        canvas.add("path", hover=hover, d=cross(x, y, radius * 0.9), class_=f"{class_of(experiment)} f-cross")


def mark_known(canvas: Canvas, data: ReportData, known: ReportedKnown, x: float, y: float, radius: float = 3.0) -> None:
    """Draw one row of what was known before the campaign."""
    hover = known_text(data, known)
    if known.is_feasible:
        canvas.add("circle", hover=hover, cx=x, cy=y, r=radius, class_="f-known")
    else:
        canvas.add("path", hover=hover, d=cross(x, y, radius * 0.9), class_="f-known f-cross")


def known_text(data: ReportData, known: ReportedKnown) -> str:
    """Return what is shown of a row of what was known before where the pointer rests on it."""
    lines = [f"known before the campaign ({known.number})", label_of(known.candidate, data.units)]
    lines += [
        f"{name}: {with_unit(estimate_text(value), data.unit_of(name))}"
        for name, value in known.outcomes.items()
        if name in data.outcomes
    ]
    if known.is_failed:
        lines.append("failed")
    elif not known.is_feasible:
        lines.append("not feasible")
    return "\n".join(lines)


def class_of(experiment: ReportedExperiment) -> str:
    """Return the class that colours an experiment."""
    return "f-initial" if experiment.is_initial else "f-point"


def hover_text(data: ReportData, experiment: ReportedExperiment) -> str:
    """Return what is shown of an experiment where the pointer rests on it."""
    lines = [f"experiment {experiment.number}" + (f" ({experiment.origin})" if experiment.origin else "")]
    lines.append(label_of(experiment.candidate, data.units))
    lines += [
        f"{name}: {with_unit(estimate_text(value), data.unit_of(name))}"
        for name, value in experiment.outcomes.items()
        if name in data.outcomes
    ]
    if experiment.state == "done" and not experiment.is_feasible:
        lines.append("not feasible")
    if experiment.number in data.marked:
        lines.append(marked_as(data))
    return "\n".join(lines)


def marked_as(data: ReportData) -> str:
    """Return what the experiments are that every figure points out."""
    return "best" if data.front is None else "in the Pareto set"


def entries(data: ReportData) -> list[Entry]:
    """Return the legend of the marks that occur, as every figure draws them."""
    shown = [e for e in data.experiments if e.state == "done"]
    result: list[Entry] = []
    if any(e.is_initial for e in shown):
        result.append(("dot", "f-initial", "initial design"))
    origins = {e.origin for e in shown if not e.is_initial}
    if origins:
        text = "proposed by the model" if origins == {"model"} else "proposed"
        if len(origins) == 1 and origins <= {"random", "sobol"}:
            text = "random" if origins == {"random"} else "Sobol sequence"
        result.append(("dot", "f-point", text))
    if any(not e.is_feasible for e in shown):
        result.append(("cross", "f-point f-cross", "not feasible"))
    if data.marked:
        result.append(("ring", "f-best", marked_as(data)))
    if data.known:
        result.append(("dot", "f-known", "known before the campaign"))
    if data.count("failed", "aborted") or any(k.is_failed for k in data.known):
        result.append(("tick", "f-failed", "failed" if not data.count("aborted") else "failed or aborted"))
    return result


def axis_name(name: str, unit: str, *, log: bool = False) -> str:
    """Return what stands along an axis: `hold / h`, with a word where it is logarithmic."""
    shown = unit_text(unit)
    return name + (f" / {shown}" if shown else "") + (" (log)" if log else "")
