"""What the analyses of raw data found: values with intervals, flags, figures; for some experiments, and flags for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.campaign import label_of
from sdl.objective import Estimate
from sdl.report.figures.analysis import analysis_svg, left_out
from sdl.report.figures_of import figure
from sdl.report.html import Html, el, joined
from sdl.report.sections import code, section, table
from sdl.report.text import counted, cut, estimate_text, interval_text, number, ranges_text, with_unit
from sdl.units import DIMENSIONLESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sdl.report.data import ReportData, ReportedAnalysis, ReportedExperiment
    from sdl.report.html import Child

_MOST_FLAGS = 40
"""Lines of flags beyond which nobody reads on (chosen)."""

_MOST_DIAGNOSTICS = 60
"""Diagnostics of one analysis that are listed (chosen)."""


def analyses(data: ReportData) -> Html | None:
    """Return the section of analyses and flags; None where nothing was analysed and nothing is flagged."""
    shown = data.analyses.shown
    flags = _flags(data)
    if not shown and not data.analyses.left_out and flags is None:
        return None
    known = {e.number: e for e in data.experiments}
    lead = (
        f"{'The best' if data.front is None else 'Some of the Pareto set'}, the latest and the flagged experiments. "
        "Intervals are meant to hold the truth with 95 % probability."
    )
    if data.analyses.left_out:
        left = counted(data.analyses.left_out, "further experiment")
        lead += f" Analyses of {left} are left out here and kept in the ledger."
    parts = [_experiment(data, known[n], found) for n, found in shown.items() if n in known]
    return section("analyses", "Analyses", flags, *parts, lead=lead if shown or data.analyses.left_out else None)


def _flags(data: ReportData) -> Html | None:
    """Return every flag with the experiments that carry it, those that occur last first."""
    said: dict[str, list[int]] = {}
    for e in data.experiments:
        for flag in dict.fromkeys(f for o in e.flagged for f in e.observed[o].flags or ("no reason was recorded",)):
            said.setdefault(flag, []).append(e.number)
    if not said:
        return None
    lines = sorted(said.items(), key=lambda item: -item[1][-1])
    items = [
        el("li", cut(text, 300), " ", el("span", f"(experiment {ranges_text(numbers)})", class_="quiet"))
        for text, numbers in lines[:_MOST_FLAGS]
    ]
    rest = len(lines) - len(items)
    return el(
        "div",
        el("h3", f"Flags of {counted(sum(bool(e.flagged) for e in data.experiments), 'experiment')}"),
        el("p", "Flagged values count like all others: look at them before you trust them.", class_="quiet"),
        el("ul", *items, class_="flags"),
        el("p", f"{counted(rest, 'flag')} of earlier experiments left out here, kept in the ledger.", class_="quiet")
        if rest
        else None,
    )


def _experiment(data: ReportData, experiment: ReportedExperiment, found: Sequence[ReportedAnalysis]) -> Html:
    words = ["best" if data.front is None else "in the Pareto set"] if experiment.number in data.marked else []
    words += ["flagged"] if experiment.flagged else []
    title = f"Experiment {experiment.number}" + (f" ({', '.join(words)})" if words else "")
    return el(
        "div",
        el("h3", title, " ", el("span", label_of(experiment.candidate, data.units), class_="quiet")),
        el("div", *(_analysis(a) for a in found), class_="pair"),
        class_="analysis",
        data_experiment=str(experiment.number),
    )


def _analysis(found: ReportedAnalysis) -> Html:
    event = found.event
    drawing = None
    if found.figure is not None:
        caption = joined(found.figure.figure.title, ". ", left_out(found.figure))
        drawing = figure(analysis_svg(found.figure), caption)
    missing = found.figure_missing
    return el(
        "div",
        el("p", el("b", event.name), class_="analysis-name"),
        drawing,
        el("p", f"No figure: {missing}", class_="empty") if missing and event.status == "succeeded" else None,
        el("p", f"No value: {event.error}", class_="note") if event.status != "succeeded" else None,
        table(["field", "value", "95 % interval"], [_field(n, f) for n, f in event.fields.items()])
        if event.fields
        else None,
        el("ul", *(el("li", f) for f in event.flags), class_="flags") if event.flags else None,
        _details(found),
    )


def _field(name: str, given: Mapping[str, Any]) -> list[Child]:
    value, uncertainty, unit = given.get("value"), given.get("uncertainty"), str(given.get("unit") or DIMENSIONLESS)
    lower, upper = given.get("lower"), given.get("upper")
    shown = "–" if value is None else with_unit(estimate_text(Estimate(value, uncertainty)), unit)
    interval = "–" if lower is None or upper is None else with_unit(interval_text(lower, upper), unit)
    return [name, shown, interval]


def _details(found: ReportedAnalysis) -> Html:
    event = found.event
    numbers = list(event.diagnostics.items())
    rows: list[list[Child]] = [[n, "–" if v is None else number(v, 5)] for n, v in numbers[:_MOST_DIAGNOSTICS]]
    if len(numbers) > len(rows):
        rows.append([f"and {len(numbers) - len(rows)} more", ""])
    raw: list[list[Child]] = [[str(a.get("name")), code(str(a.get("sha256")))] for a in event.artefacts]
    if event.figure is not None:
        raw.append([str(event.figure.get("name")), code(str(event.figure.get("sha256")))])
    versions = ", ".join(f"{k} {v}" for k, v in event.environment.items())
    return el(
        "details",
        el("summary", "Diagnostics and origin"),
        table(["diagnostic", "value"], rows) if rows else None,
        table(["data", "SHA-256"], raw) if raw else None,
        el("p", f"Analysis {event.analysis} of command {event.command}, with {versions}.", class_="quiet"),
    )
