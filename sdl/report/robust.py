"""The report's section on what is best where parameters may be a little off: as the planner's last round says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.objective import Estimate
from sdl.report.html import Html, el
from sdl.report.sections import section, table
from sdl.report.text import estimate_text, number, with_unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sdl.report.data import ReportData


def robust(data: ReportData) -> Html | None:
    """Return the tried setting whose expected outcome is best within the tolerances; None where there are none stated.

    It is what the diagnostics of the last round that says so hold; results that came after that round are not in it.
    """
    for round_ in reversed(data.rounds):
        told = {} if round_.proposed is None else round_.proposed.diagnostics.get("robust")
        if told:
            return _section(data, round_.opened.round, told)
    return None


def _section(data: ReportData, number_of_round: int, told: Mapping[str, Any]) -> Html:
    sizes = ", ".join(
        f"{name} ± {with_unit(number(size['half_width']), size['unit'])}" for name, size in told["tolerance"].items()
    )
    best = told["best"]
    settings = [
        (name, value if isinstance(value, str) else with_unit(number(value), data.units[name]))
        for name, value in best["candidate"].items()
    ]
    same = [e.number for e in data.experiments if dict(e.candidate) == best["candidate"]]
    outcomes = [
        (name, _expected(found, data.unit_of(name)))
        for name, found in best["expected"].items()
        if name in data.objectives or name in data.outcome_constraints
    ]
    which = f"experiment {', '.join(map(str, same))}" if same else "a setting that was known before"
    return section(
        "robust",
        "Best within tolerances",
        table(("Parameter", "Setting"), settings),
        table(("Outcome", "Expected mean"), outcomes),
        lead=el(
            "span",
            f"What is set may be off by {sizes}. Of all that was tried, the mean outcome over these tolerances is expected to be "
            f"best at the setting of {which}, by the model of round {number_of_round}.",
        ),
    )


def _expected(found: Mapping[str, float | None], unit: str) -> str:
    mean, sd = found["mean"], found["sd"]
    return "unknown" if mean is None else with_unit(estimate_text(Estimate(mean, sd)), unit)
