"""Benchmark results for people: a table in terminals, aligned plain text elsewhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sdl.benchmark.figures import BASELINE, FACTOR_SHARE, LEVELS, Figures, PlannerFigures, figures, share_name
from sdl.units import DIMENSIONLESS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sdl.benchmark.judging import Spread
    from sdl.benchmark.result import BenchmarkResult

EXPLAINED = "mean ± standard error (median; lowest … highest) over the seeds"
_NOTHING = "–"
_Row = tuple[str, str, list[str]]
"""What, random search's exact figure where there is one, and one cell per planner."""


def title(result: BenchmarkResult) -> str:
    """Return what was compared, in one line."""
    goal = result.question.objective
    wanted = goal.goal + ("" if goal.value is None else f" {float(goal.value):g}")
    seeds = "1 seed" if len(result.seeds) == 1 else f"{len(result.seeds)} seeds"
    pool = "" if result.pool_size is None else f", pool of {result.pool_size} rows"
    return f"{result.campaign}: {wanted} {result.question.name}{pool}; {seeds}, budget {result.budget}"


def table_rows(result: BenchmarkResult) -> list[list[str]]:
    """Return the figures as rows of text: what, then random's exact expectation where there is one, then one per planner."""
    found = figures(result)
    unit = result.question.objective.unit
    unit = "" if unit == DIMENSIONLESS else f", {unit}"
    best = "" if found.best_of_pool is None else f"best {found.best_of_pool:.4g}"
    rows: list[_Row] = []
    for i in range(len(found.planners[0].hitting)):
        rows += _hitting_rows(result, found, i)
    rows.append((f"best true value{unit}", best, [_spread(p.best) + _without(p) for p in found.planners]))
    if any(p.regret is not None for p in found.planners):
        rows.append((f"simple regret at {result.budget}{unit}", "", [_spread(p.regret) for p in found.planners]))
    if any(p.factors is not None for p in found.planners):
        rows += _factor_rows(result, found)
    rows.append(("CPU s a proposal, median (highest)", "", [_seconds(p.seconds) for p in found.planners]))
    if any(p.failed for p in found.planners):
        rows.append(("failed experiments", "", [f"{p.failed} of {p.experiments}" for p in found.planners]))
    with_exact = result.pool is not None
    return [[what, *([exact] if with_exact else []), *cells] for what, exact, cells in rows]


def _hitting_rows(result: BenchmarkResult, found: Figures, i: int) -> list[_Row]:
    what = found.planners[0].hitting[i].what
    exact = next((e for e in found.expectations if e.what == what), None)
    label = what if exact is None else f"{what} ({exact.rows} row{'s' * (exact.rows != 1)})"
    if what == "target":
        label = "target (" + ", ".join(f"{n} {t}" for n, t in result.question.targets.items()) + ")"
    rows: list[_Row] = [
        (
            f"experiments to {label}",
            "" if exact is None else _expected(exact.mean, exact.within),
            [_spread(p.hitting[i].spread) for p in found.planners],
        ),
        ("  missed", "" if exact is None else f"{100 * exact.misses:.0f} %", [_missed(p, i) for p in found.planners]),
    ]
    if any(p.hitting[i].ratio is not None for p in found.planners):
        rows.append((f"  {BASELINE} needs × as many", "", [_ratio(p, i) for p in found.planners]))
    return rows


def _factor_rows(result: BenchmarkResult, found: Figures) -> list[_Row]:
    top = share_name(FACTOR_SHARE)
    factors = [p.factors for p in found.planners if p.factors is not None]
    rows: list[_Row] = [
        (
            f"enhancement factor over the {top}, highest",
            "1",
            [f"{f.highest:.2f} (at {f.highest_at})" for f in factors],
        ),
        (f"  at {result.budget}", "1", [f"{f.at_budget:.2f}" for f in factors]),
    ]
    for level in LEVELS:
        reached = [f.acceleration[level] for f in factors]
        cells = [f"not reached in {result.budget}" if value is None else f"{value:.2f}" for value in reached]
        rows.append((f"acceleration factor to {100 * level:g} % of the {top}", "1", cells))
    return rows


def headings(result: BenchmarkResult) -> list[str]:
    """Return the headings of `table_rows`."""
    return ["", *(["random, exact"] if result.pool is not None else []), *result.planners]


def footer(result: BenchmarkResult) -> list[str]:
    """Return the lines below the table: how to read it, what to know, what it ran on."""
    lines = [EXPLAINED + f"; a miss counts {result.budget + 1}"]
    if result.pool is not None:
        lines.append("random, exact: (N + 1)/(k + 1), and in brackets with misses counted in the same way")
    if BASELINE in result.planners and len(result.planners) > 1:
        lines.append(f"'{BASELINE} needs × as many' compares means over the same seeds; misses pull it towards 1")
    if result.pool is not None and not result.until_hit:
        lines.append(
            "factors: Liang et al. (2021), over random's exact expectation; the highest of a noisy curve lies too high"
        )
    if result.until_hit:
        lines.append("each run ended at its first hit")
    lines += [f"note: {note}" for note in result.notes]
    found = result.environment
    known = ", ".join(f"{k} {found[k]}" for k in ("sdl", "python", "numpy", "torch", "botorch") if k in found)
    return [*lines, f"{known}; {result.wall:.0f} s"]


def render(result: BenchmarkResult) -> str:
    """Return the whole result as plain text."""
    grid = [headings(result), *table_rows(result)]
    widths = [max(len(row[i]) for row in grid) for i in range(len(grid[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid]
    return "\n".join([title(result), "", *lines, "", *footer(result)])


def rich_table(result: BenchmarkResult) -> Table:
    """Return the figures as a table for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title(result)), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading in headings(result):
        table.add_column(Text(heading), overflow="fold")
    for row in table_rows(result):
        table.add_row(*(Text(cell) for cell in row))
    return table


def show(result: BenchmarkResult, console: Console) -> None:
    """Print the result: a table in a terminal, plain text elsewhere."""
    if not console.is_terminal:
        console.out(render(result), highlight=False)
        return
    from rich.text import Text

    console.print(rich_table(result))
    for line in footer(result):
        console.print(Text(line, style="yellow" if line.startswith("note:") else "dim"))


def _spread(values: Spread | None) -> str:
    if values is None:
        return _NOTHING
    error = "" if values.error is None else f" ± {_short(values.error)}"
    return f"{_short(values.mean)}{error} ({_short(values.median)}; {_short(values.lowest)} … {_short(values.highest)})"


def _short(value: float) -> str:
    """Return three significant digits, without an exponent where that is not shorter."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:.0f}"


def _expected(mean: float, within: float) -> str:
    return f"{mean:.1f} ({within:.1f})" if math.isfinite(mean) else f"never ({within:.1f})"


def _missed(planner: PlannerFigures, i: int) -> str:
    hitting = planner.hitting[i]
    return f"{hitting.misses} of {len(hitting.counts)} ({100 * hitting.misses / len(hitting.counts):.0f} %)"


def _ratio(planner: PlannerFigures, i: int) -> str:
    ratio = planner.hitting[i].ratio
    if ratio is None:
        return _NOTHING
    return f"{ratio.value:.2f}" + ("" if ratio.error is None else f" ± {ratio.error:.2f}")


def _without(planner: PlannerFigures) -> str:
    return f", none feasible in {planner.without_best}" if planner.without_best else ""


def _seconds(values: Spread | None) -> str:
    return _NOTHING if values is None else f"{_short(values.median)} ({_short(values.highest)})"
