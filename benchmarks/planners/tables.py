"""The results as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from .comparing import (
    SMALLEST_GAP,
    Difference,
    averaged,
    experiments_to,
    gap_after,
    logged,
    paired,
    spread,
)
from .contestants import CONTESTANTS, OURS
from .pools import POOLS
from .records import Record
from .running import Job, refused, task_named, task_names
from .synthetic import OUTLIERS

LIBRARIES = ("botorch", "gpytorch", "torch", "baybe", "ax-platform", "optuna", "numpy", "scipy")
MOST_OBSERVED = 60
"""Proposals with more observations are left out of the CPU seconds."""


class Results:
    """Records, looked up by task and contestant."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)
        self.runs: dict[tuple[str, str], dict[int, Record]] = {}
        for record in self.records:
            self.runs.setdefault((record["task"], record["contestant"]), {})[record["seed"]] = record
        self.contestants = [c for c in CONTESTANTS if any(who == c for _, who in self.runs)]
        self.tasks = [t for t in task_names() if any(what == t for what, _ in self.runs)]

    def values(self, task: str, contestant: str) -> dict[int, float]:
        """Return seed → value."""
        return {seed: record["value"] for seed, record in self.runs.get((task, contestant), {}).items()}


def report(records: Iterable[Record]) -> str:
    """Return all tables that the records have something for."""
    results = Results(records)
    parts = ["# Planners against each other", _head(results)]
    pools = [t for t in results.tasks if t in POOLS]
    others = [t for t in results.tasks if t not in POOLS and t not in OUTLIERS]
    if pools:
        parts += [_pools(results, pools), _pool_differences(results, pools)]
    if others:
        parts += [_gaps(results, others), _gap_differences(results, others)]
    if any(t in results.tasks for t in OUTLIERS):
        parts.append(_outliers(results))
    parts += [_seconds(results), _coverage(results), _left_out(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(results: Results) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    ours = CONTESTANTS[OURS].version()
    return (
        f"Made by `make bench-planners`. {versions}; `{OURS}`: {ours}. Python {platform.python_version()}, "
        f"{platform.machine()}, one thread a run, {os.cpu_count()} cores. All contestants get the same five random "
        f"initial points of a seed, which count; everything else is each library's default, except that BayBE shall not "
        f"repeat pool rows."
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _pools(results: Results, pools: Sequence[str]) -> str:
    def cell(found: dict[int, float]) -> str:
        if not found:
            return "–"
        s = spread(list(found.values()))
        return f"{s.mean:.1f} ± {s.error:.1f} ({s.n})" if s.n > 1 else f"{s.mean:.1f} (1)"

    rows = []
    for who in results.contestants:
        each = [results.values(task, who) for task in pools]
        rows.append([who, *(cell(v) for v in each), cell(averaged(each) if all(each) else {})])
    what = ", ".join(f"`{t}`: best {POOLS[t][4]} of {len(task_named(t).space.pool or ())}" for t in pools)
    return (
        f"## Pools: experiments to the first of the best rows\n\n"
        f"Mean ± standard error (seeds); a miss counts budget + 1. {what}.\n\n"
        + _table(["", *pools, "mean of pools"], rows)
    )


def _pool_differences(results: Results, pools: Sequence[str]) -> str:
    def all_pools(who: str) -> dict[int, float]:
        each = [results.values(task, who) for task in pools]
        return averaged(each) if all(each) else {}

    return _differences(
        results,
        f"### `{OURS}` minus peer, experiments",
        "Mean of paired differences with 95 % bootstrap interval (pairs); below 0 ours needs fewer.",
        {**{t: lambda who, t=t: results.values(t, who) for t in pools}, "mean of pools": all_pools},
        ".1f",
    )


def _gaps(results: Results, tasks: Sequence[str]) -> str:
    rows = []
    for who in results.contestants:
        row = [who]
        for task in tasks:
            found = list(results.values(task, who).values())
            s = spread(found) if found else None
            row.append("–" if s is None else f"{s.median:.2g} [{s.lower:.2g}, {s.upper:.2g}] ({s.n})")
        rows.append(row)
    what = ", ".join(f"`{t}` {task_named(t).budget}" for t in tasks)
    return (
        "## Functions: gap to the optimum at the end\n\n"
        "Median [quartiles] (seeds) of the true value of the best point evaluated; "
        f"for `branin_currin` and `dtlz2` the hypervolume that lacks. Experiments: {what}.\n\n"
        + _table(["", *tasks], rows)
    )


def _gap_differences(results: Results, tasks: Sequence[str]) -> str:
    return _differences(
        results,
        f"### `{OURS}` minus peer, log₁₀ of the gap",
        f"Mean of paired differences with 95 % bootstrap interval (pairs); gaps below {SMALLEST_GAP:g} count as that.",
        {t: lambda who, t=t: logged(results.values(t, who)) for t in tasks},
        ".2f",
    )


def _differences(
    results: Results, title: str, text: str, columns: dict[str, Callable[[str], dict[int, float]]], digits: str
) -> str:
    def cell(d: Difference | None) -> str:
        return "–" if d is None else f"{d.mean:{digits}} [{d.low:{digits}}, {d.high:{digits}}] ({d.n})"

    if OURS not in results.contestants:
        return ""
    rows = [
        [who, *(cell(paired(of(OURS), of(who))) for of in columns.values())]
        for who in results.contestants
        if who != OURS
    ]
    return f"{title}\n\n{text}\n\n" + _table(["", *columns], rows) if rows else ""


def _outliers(results: Results) -> str:
    """Return the median number of experiments that contaminated runs need for the gap that clean ones reach."""
    rows = []
    for task, (clean, after, aim) in OUTLIERS.items():
        for who in results.contestants:
            twins, runs = results.runs.get((clean, who)), results.runs.get((task, who))
            if not twins or not runs:
                continue
            wanted = statistics.median(gap_after(r["gaps"], after) for r in twins.values())
            needed = [experiments_to(r["gaps"], wanted, task_named(task).budget) for r in runs.values()]
            median = statistics.median(needed)
            rows.append(
                [task, who, f"{wanted:.2g} ({len(twins)})", f"{after}", f"{median:g} ({len(needed)})", f"≤ {aim}"]
            )
    return (
        "## Outliers\n\nNoise of 2 % of the function's standard deviation; each observation shifted by ±10 noise standard "
        "deviations with probability 0.1. The gap is what the contestant's own clean runs reach in the median.\n\n"
        + _table(["task", "", "gap (seeds)", "clean runs", "median with outliers (seeds)", "aim"], rows)
        if rows
        else ""
    )


def _seconds(results: Results) -> str:
    groups = {"pools": [t for t in results.tasks if t in POOLS]}
    groups["functions"] = [t for t in results.tasks if t not in POOLS]
    groups = {name: tasks for name, tasks in groups.items() if tasks}
    rows = []
    for who in results.contestants:
        row = [who]
        for tasks in groups.values():
            found = [
                s
                for t in tasks
                for r in results.runs.get((t, who), {}).values()
                for s in r["seconds"][: MOST_OBSERVED - task_named(t).initial]
            ]
            row.append(
                "–"
                if not found
                else f"{statistics.fmean(found):.3f} ({statistics.median(found):.3f}; {max(found):.2f})"
            )
        rows.append(row)
    return (
        f"## CPU seconds a proposal, up to {MOST_OBSERVED} observations\n\nMean (median; most), imports not counted.\n\n"
        + _table(["", *groups], rows)
    )


def _coverage(results: Results) -> str:
    families = list(dict.fromkeys(task_named(t).family for t in results.tasks))
    rows = []
    for who in results.contestants:
        row = [who]
        for family in families:
            hits = [
                h
                for (t, c), runs in results.runs.items()
                if c == who and task_named(t).family == family
                for r in runs.values()
                for h in r["covered"]
            ]
            row.append(f"{100 * statistics.fmean(hits):.0f} % ({len(hits)})" if hits else "–")
        if any(cell != "–" for cell in row[1:]):
            rows.append(row)
    return (
        "## 90 % intervals stated before the measurement: how many held (intervals)\n\n" + _table(["", *families], rows)
        if rows
        else ""
    )


def _left_out(results: Results) -> str:
    lines = [
        f"- `{task}`, `{who}`: {'; '.join(why)}"
        for task in results.tasks
        for who in results.contestants
        if (why := refused(Job(task, who, 0)))
    ]
    return "## Left out\n\n" + "\n".join(lines) if lines else ""
