"""The report's section on the Pareto set of several objectives: figures and a table."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from sdl.report.figures.front import front_svg
from sdl.report.figures_of import figure, key
from sdl.report.html import Html, el
from sdl.report.sections import section, table, value_text
from sdl.report.text import counted, estimate_text, ranges_text, with_unit
from sdl.units import DIMENSIONLESS

if TYPE_CHECKING:
    from sdl.report.data import ReportData, ReportedExperiment
    from sdl.report.front import Front
    from sdl.report.html import Child

_MOST_ROWS = 40
"""Experiments that the table lists (chosen); the table of all experiments has the others too."""

_MOST_DRAWN = 4
"""Objectives up to which every pair is drawn (chosen): of more there would be ten drawings and more."""


def pareto(data: ReportData, front: Front) -> Html:
    """Return the Pareto set of a campaign with several objectives."""
    if not front.numbers:
        some = any(e.state == "done" and e.outcomes for e in data.experiments)
        why = (
            "No result has all objectives and keeps all outcome constraints."
            if some
            else "No experiment has given a result yet."
        )
        return section("pareto", "Pareto set", _figures(data) if some else None, el("p", why, class_="empty"))
    return section(
        "pareto",
        "Pareto set",
        _figures(data),
        _table(data, front),
        *_notes(data, front),
        lead="The feasible results that no other one beats, which is to be better in one objective and worse in none. They are "
        "chosen among noisy results, so their values are likely to flatter them.",
    )


def _figures(data: ReportData) -> Html:
    names = list(data.objectives)
    if len(names) > _MOST_DRAWN:
        return el("p", f"No figure: pairs of {len(names)} objectives are too many to draw.", class_="empty")
    if len(names) == 2:
        return figure(front_svg(data, names[0], names[1]), wide=True)
    drawn = [figure(front_svg(data, a, b)) for a, b in combinations(names, 2)]
    said = (
        "Each drawing shows two objectives; nothing feasible lies beyond its line in these two, and the Pareto set of all "
        f"{len(names)} holds more than lies on it."
    )
    return el("div", key(data), el("div", *drawn, class_="multiples by-3"), el("p", said, class_="lead"))


def _table(data: ReportData, front: Front) -> Html:
    known = {e.number: e for e in data.experiments}
    head: list[Child] = ["experiment", *data.outcomes, *data.space.parameters]
    return table(head, [_row(data, known[n]) for n in front.numbers[:_MOST_ROWS]])


def _row(data: ReportData, e: ReportedExperiment) -> list[Child]:
    outcomes = [
        with_unit(estimate_text(e.outcomes[o]), data.unit_of(o)) + (" (flagged)" if o in e.flagged else "")
        if o in e.outcomes
        else "–"
        for o in data.outcomes
    ]
    parameters = [
        value_text(e.candidate[p], data.units.get(p, DIMENSIONLESS)) if p in e.candidate else "–"
        for p in data.space.parameters
    ]
    return [el("b", str(e.number)), *outcomes, *parameters]


def _notes(data: ReportData, front: Front) -> list[Html]:
    notes = []
    if (left := len(front.numbers) - _MOST_ROWS) > 0:
        notes.append(f"{counted(left, 'more experiment')} of the Pareto set: see the table of experiments.")
    if front.beyond:
        which = "is" if len(front.beyond) == 1 else "are"
        notes.append(
            f"Experiment {ranges_text(sorted(front.beyond))} {which} not better than the reference point in every objective, "
            "and counts for nothing in the hypervolume."
        )
    if gone := data.count("failed", "aborted"):
        notes.append(f"{counted(gone, 'experiment')} failed or aborted: without outcomes, and in no figure here.")
    return [el("p", text, class_="note") for text in notes]
