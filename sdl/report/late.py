"""The report's section on commands that took longer than they should."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.report.html import Html, el
from sdl.report.sections import section

if TYPE_CHECKING:
    from sdl.report.data import ReportData


def late(data: ReportData) -> Html | None:
    """Return the late commands; None where there were none."""
    if not data.late:
        return None
    items = [el("li", el("b", f"{found.where}: "), found.story) for found in data.late]
    return section(
        "late",
        "Late commands",
        el("ul", *items, class_="questions"),
        lead="Each took longer than its late limit, and was reported once, before it was known what became of it.",
    )
