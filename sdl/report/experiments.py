"""The table of experiments; `report.js` lets one sort and filter it, and without scripts it is simply a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.report.data import NATURES
from sdl.report.html import Html, el, joined
from sdl.report.sections import section, table
from sdl.report.text import estimate_text, moment_text, number, unit_text

if TYPE_CHECKING:
    from sdl.report.data import ReportData, ReportedExperiment
    from sdl.report.html import Child
    from sdl.space import Value

MOST_KNOWN = 500
"""Rows of what was known before that are shown. Chosen: figures show them all."""
_ORDER = ("done", "failed", "aborted", "running", "proposed")


def experiments(data: ReportData) -> Html:
    """Return every experiment, one a row, with what to sort and filter by."""
    if not data.experiments:
        return section("experiments", "Experiments", el("p", "None was proposed yet.", class_="empty"), known(data))
    sources = len({e.source for e in data.experiments if e.source}) > 1
    origins = any(e.origin for e in data.experiments)
    header: list[Html] = [_head("no.", "number"), _head("round", "number"), _head("state", "text")]
    if origins:
        header.append(_head("origin", "text"))
    for name, parameter in data.space.parameters.items():
        header.append(_head(name, "text" if parameter.type == "categorical" else "number", unit_text(parameter.unit)))
    header += [_head(o, "number", unit_text(data.unit_of(o)), "outcome") for o in data.outcomes]
    if data.outcome_constraints:
        header.append(_head("feasible", "text"))
    if data.front is not None:
        header.append(_head("Pareto set", "text"))
    if data.cost_unit is not None:
        header.append(_head("cost", "number", unit_text(data.cost_unit)))
    header += [
        _head("source", "text", class_="" if sources else "less"),
        _head("data", "text"),
        _head("started", "text", "UTC"),
        _head("finished", "text", "UTC"),
        _head("reason of failure", "text"),
    ]
    rows = [_row(data, e, origins=origins, sources=sources) for e in data.experiments]
    grid = el("table", el("thead", el("tr", *header)), el("tbody", *rows), id="experiments-table", class_="experiments")
    return section(
        "experiments",
        "Experiments",
        _controls(data),
        el("div", grid, class_="scroll tall", tabindex="0", role="region", aria_label="Table of experiments"),
        known(data),
        lead="± is the standard uncertainty. Rest the pointer on a number to see all its digits; "
        "click a heading to sort.",
    )


def known(data: ReportData) -> Html | None:
    """Return what was known before the campaign, a row each; None where nothing was."""
    if not data.known:
        return None
    shown = data.known[:MOST_KNOWN]
    header: list[Child] = ["no.", "state", *(_with(n, p.unit) for n, p in data.space.parameters.items())]
    header += [_with(o, data.unit_of(o)) for o in data.outcomes]
    rows: list[list[Child]] = []
    for k in shown:
        state = "failed" if k.is_failed else "done" if k.is_feasible else "done, not feasible"
        cells: list[Child] = [str(k.number), state]
        cells += [_plain(k.candidate.get(name)) for name in data.space.parameters]
        cells += [estimate_text(k.outcomes[o]) if o in k.outcomes else "–" for o in data.outcomes]
        rows.append(cells)
    said = (
        f"{len(data.known)} results from the table of 'start', known before the campaign began: planners learn from them, and "
        "they count neither among its experiments nor as its best."
    )
    if len(shown) < len(data.known):
        said += f" The first {len(shown)} are shown."
    return joined(
        el("h3", "Known before the campaign"),
        el("p", said, class_="lead"),
        table(header, rows),
    )


def _with(name: str, unit: str) -> Html:
    shown = unit_text(unit)
    return joined(name, el("span", f" {shown}", class_="quiet") if shown else None)


def _plain(value: Value | None) -> str:
    if value is None or isinstance(value, str):
        return "–" if value is None else value
    return number(float(value))


def _controls(data: ReportData) -> Html:
    states = [s for s in _ORDER if data.count(s)]
    options = [el("option", "all states", value="")] + [el("option", f"{s} ({data.count(s)})", value=s) for s in states]
    return el(
        "p",
        el(
            "label",
            "Filter ",
            el("input", type="search", id="filter-text", placeholder="words, numbers…", autocomplete="off"),
        ),
        " ",
        el("label", "State ", el("select", *options, id="filter-state")),
        " ",
        el("span", f"{len(data.experiments)} shown", id="filter-count", class_="quiet", role="status"),
        class_="controls",
    )


def _head(name: str, kind: str, unit: str = "", class_: str = "") -> Html:
    shown = joined(name, el("span", unit, class_="unit") if unit else None)
    button = el("button", shown, type="button", data_kind=kind)
    classes = " ".join(c for c in (class_, "num" if kind == "number" else "") if c)
    return el("th", button, scope="col", class_=classes or None, aria_sort="none")


def _row(data: ReportData, e: ReportedExperiment, *, origins: bool, sources: bool) -> Html:
    cells = [_number(e.number), _number(e.round), el("td", el("span", e.state, class_=f"pill pill-{e.state}"))]
    if origins:
        cells.append(el("td", e.origin))
    cells += [_value(e.candidate.get(name)) for name in data.space.parameters]
    cells += [_outcome(e, o) for o in data.outcomes]
    if data.outcome_constraints:
        cells.append(el("td", ("yes" if e.is_feasible else "no") if e.state == "done" and e.counts else "–"))
    if data.front is not None:
        cells.append(el("td", ("yes" if e.number in data.marked else "no") if e.state == "done" else "–"))
    if data.cost_unit is not None:
        cells.append(_value(e.cost))
    shown = ", ".join(NATURES.get(n, n) for n in e.natures) or "–"
    cells += [
        el("td", e.source or "–", class_=None if sources else "less"),
        el("td", shown, data_simulated=str("simulated" in e.natures).lower()),
        _moment(e.started),
        _moment(e.finished),
        el("td", e.reason or "", class_="reason"),
    ]
    return el(
        "tr", *cells, id=f"e{e.number}", class_="is-best" if e.number in data.marked else None, data_state=e.state
    )


def _number(value: int) -> Html:
    return el("td", str(value), class_="num", data_value=str(value))


def _value(value: Value | None) -> Html:
    if value is None or isinstance(value, str):
        return el("td", "–" if value is None else value, data_value=value or "")
    return el("td", number(float(value)), class_="num", data_value=repr(value), title=repr(value))


def _outcome(e: ReportedExperiment, outcome: str) -> Html:
    estimate = e.outcomes.get(outcome)
    if estimate is None:
        return el("td", "–", class_="num outcome")
    said = repr(estimate.value) + ("" if estimate.uncertainty is None else f" ± {estimate.uncertainty!r}")
    seen = e.observed.get(outcome)
    if seen is not None and seen.lower is not None and seen.upper is not None:
        said += f"\n95 % interval: {seen.lower!r} … {seen.upper!r}"
    flag: Child = None
    if outcome in e.flagged:
        why = "" if seen is None or not seen.flags else ": " + "; ".join(seen.flags)
        flag = el("sup", "flagged", title=f"This value counts, but look before trusting it{why}")
    uncertainty = None if estimate.uncertainty is None else repr(estimate.uncertainty)
    return el(
        "td",
        estimate_text(estimate),
        flag,
        class_="num outcome",
        data_outcome=outcome,
        data_value=repr(estimate.value),
        data_uncertainty=uncertainty,
        title=said,
    )


def _moment(moment: str | None) -> Html:
    if moment is None:
        return el("td", "–", class_="when")
    return el("td", el("time", moment_text(moment), datetime=moment), class_="when", data_value=moment, title=moment)
