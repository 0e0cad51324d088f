"""`sdl benchmark`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from sdl.benchmark import run_benchmark, runs_json, show, to_json
from sdl.preflight import check

if TYPE_CHECKING:
    from sdl.cli.outcome import Output


def run_benchmarks(
    file: Path,
    planners: tuple[str, ...],
    seeds: int,
    budget: int | None,
    jobs: int,
    overrides: tuple[str, ...],
    json: Path | None,
    record: Path | None,
    output: Output,
) -> int:
    """Compare planners and print the table."""
    experiments = budget if budget is not None else check(file, overrides=overrides).plan.budget
    result = run_benchmark(file, planners, seeds, experiments, jobs, overrides)
    show(result, Console())
    for path, data in ((json, runs_json), (record, to_json)):
        if path is not None:
            path.write_text(json_module.dumps(data(result), ensure_ascii=False, allow_nan=False))
            output.say(f"wrote {path}")
    return 0
