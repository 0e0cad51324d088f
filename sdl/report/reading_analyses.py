"""Which experiments' analyses a report shows, and the data of their figures, read from the ledger.

A figure takes some ten kilobytes, and a campaign may have thousands of experiments: figures are shown where a person looks
first, of the best, the latest and the flagged experiments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.analysis.figure_data import figure_of
from sdl.errors import AnalysisError, LedgerError
from sdl.ledger import AnalysisRecorded
from sdl.report.data import ReportedAnalyses, ReportedAnalysis

if TYPE_CHECKING:
    from sdl.ledger import Ledger, Row
    from sdl.report.data import ReportedExperiment

MOST_EXPERIMENTS = 12
"""Experiments whose analyses are shown (chosen): more figures than a person looks through."""

BEST = 6
"""Of these, how many may belong to the Pareto set (chosen)."""

LATEST = 3
"""Of these, how many are shown because they are the latest (chosen)."""


def reported_analyses(
    ledger: Ledger, rows: list[Row], experiments: tuple[ReportedExperiment, ...], best: tuple[int, ...]
) -> ReportedAnalyses:
    """Return the analyses of the best experiments, the latest ones and the flagged ones, latest first.

    Args:
        ledger: where they are recorded.
        rows: the journal.
        experiments: of the campaign.
        best: number of the best experiment, or those of the Pareto set; of many the first ones are shown.
    """
    events: dict[int, dict[str, AnalysisRecorded]] = {}
    for row in rows:
        if isinstance(row.event, AnalysisRecorded):
            events.setdefault(row.event.experiment, {})[row.event.analysis] = row.event
    chosen = _chosen(events, experiments, best)
    shown = {n: tuple(_reported(ledger, e) for e in events[n].values()) for n in chosen}
    return ReportedAnalyses(shown, len(events) - len(shown))


def _chosen(
    events: dict[int, dict[str, AnalysisRecorded]], experiments: tuple[ReportedExperiment, ...], best: tuple[int, ...]
) -> list[int]:
    latest = [n for n in sorted(events, reverse=True) if any(e.status == "succeeded" for e in events[n].values())]
    flagged = [e.number for e in reversed(experiments) if e.flagged and e.number in events]
    first = [n for n in best if n in events][:BEST]
    return list(dict.fromkeys([*first, *latest[:LATEST], *flagged]))[:MOST_EXPERIMENTS]


def _reported(ledger: Ledger, event: AnalysisRecorded) -> ReportedAnalysis:
    if event.figure is None:
        return ReportedAnalysis(event, None, event.error)
    try:
        return ReportedAnalysis(event, figure_of(ledger.artefacts.get(str(event.figure.get("sha256")))))
    except (LedgerError, AnalysisError) as error:
        return ReportedAnalysis(event, None, str(error))
