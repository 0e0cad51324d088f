"""A benchmark result as JSON: everything that was tried and found, and what it was judged by."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sdl.benchmark.figures import figures

if TYPE_CHECKING:
    from sdl.benchmark.result import BenchmarkResult, Tried

FORMAT = 1
"""Raised whenever a key changes its meaning."""


def runs_json(result: BenchmarkResult) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return planner → seed (as text) → list of {parameters, outcomes, …} in the order in which they were started."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = to_json(result)["runs"]
    return found


def to_json(result: BenchmarkResult) -> dict[str, Any]:
    """Return plain data for `json.dumps(…, allow_nan=False)`.

    `runs` is planner → seed (as text, as JSON wants keys) → list of experiments in the order in which they were started, each
    with `parameters`, measured `outcomes`, `state`, and where known `truth`, in the declared units. What is unknown or
    infinite is null. `pool.truth` is outcome → one value per row of the pool; an experiment's `row` counts these from 0.
    """
    runs: dict[str, dict[str, Any]] = {}
    seconds: dict[str, dict[str, Any]] = {}
    for run in result.runs:
        runs.setdefault(run.planner, {})[str(run.seed)] = [_tried(result, t) for t in run.tried]
        seconds.setdefault(run.planner, {})[str(run.seed)] = list(run.seconds)
    question = result.question
    content = {
        "format": FORMAT,
        "campaign": result.campaign,
        "file": result.path,
        "files": dict(result.files),
        "overrides": list(result.overrides),
        "planners": list(result.planners),
        "seeds": list(result.seeds),
        "budget": result.budget,
        "until_hit": result.until_hit,
        "objectives": {k: v.model_dump(exclude_none=True) for k, v in question.objectives.items()},
        "outcome_constraints": {k: v.model_dump(exclude_none=True) for k, v in question.outcome_constraints.items()},
        "targets": {k: v.model_dump(exclude_none=True) for k, v in question.targets.items()},
        "pool": None
        if result.pool_size is None
        else {
            "rows": result.pool_size,
            "truth": None if result.pool is None else {k: v.tolist() for k, v in result.pool.values.items()},
        },
        "runs": runs,
        "cpu_seconds_per_proposal": seconds,
        "figures": asdict(figures(result)),
        "notes": list(result.notes),
        "versions": dict(result.environment),
        "wall_seconds": round(result.wall, 3),
    }
    plain: dict[str, Any] = _plain(content)
    return plain


def _tried(result: BenchmarkResult, tried: Tried) -> dict[str, Any]:
    truth = tried.truth
    if truth is None and result.pool is not None and tried.row is not None:
        truth = result.pool.of(tried.row)
    return {
        "parameters": dict(tried.parameters),
        "outcomes": dict(tried.outcomes),
        "state": tried.state,
        **({} if truth is None else {"truth": dict(truth)}),
        **({} if tried.row is None else {"row": tried.row}),
    }


def _plain(value: Any) -> Any:  # noqa: ANN401  any plain data
    """Return data that JSON can hold: text keys, lists, and null for what is not finite."""
    if isinstance(value, dict):
        return {(k if isinstance(k, str) else f"{k:g}"): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
