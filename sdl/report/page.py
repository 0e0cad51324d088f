"""The page as a whole: one file without references to anything outside it."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from sdl.report import figures_of, sections
from sdl.report.analyses import analyses
from sdl.report.experiments import experiments
from sdl.report.figures.canvas import stylesheet
from sdl.report.html import Html, el, joined
from sdl.report.late import late
from sdl.report.pareto import pareto
from sdl.report.provenance import provenance
from sdl.report.robust import robust
from sdl.report.why_section import why

if TYPE_CHECKING:
    from sdl.report.data import ReportData

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy of the page: it may load nothing, whatever stands in it."""


def page(data: ReportData) -> str:
    """Return the report as one HTML document."""
    body = joined(
        sections.head(data),
        sections.questions(data) if data.questions else None,
        late(data),
        el("div", sections.goal(data), sections.space(data), class_="pair wide-right"),
        sections.best(data) if data.front is None else pareto(data, data.front),
        robust(data),
        figures_of.convergence(data),
        figures_of.scatter(data),
        figures_of.predicted(data),
        why(data),
        analyses(data),
        figures_of.timeline(data),
        experiments(data),
        None if data.questions else sections.questions(data),
        provenance(data),
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content="sdl"),
        el("title", f"{data.name} · campaign report"),
        el("style", Html(stylesheet() + _static("report.css"))),
    )
    scripts = joined(head_script(data), el("script", Html(_static("report.js"))))
    document = el("html", head, el("body", el("main", body), scripts), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def head_script(data: ReportData) -> Html:
    """Return the journal's head for machines; `<` is written so that no text can end the element."""
    said = json.dumps({"campaign": data.name, "seq": data.seq, "hash": data.hash}, ensure_ascii=True)
    return el("script", Html(said.replace("<", "\\u003c")), type="application/json", id="sdl-head")


def _static(name: str) -> str:
    text = files("sdl.report").joinpath(name).read_text("utf-8")
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
