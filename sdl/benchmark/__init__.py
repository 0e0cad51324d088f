"""Planner comparison: the same campaign with every planner and every seed, in virtual time, judged by what is truly so."""

from sdl.benchmark.exporting import runs_json, to_json
from sdl.benchmark.figures import Figures, figures
from sdl.benchmark.rendering import render, rich_table, show
from sdl.benchmark.result import BenchmarkResult, Run, Tried
from sdl.benchmark.running import BenchmarkError, run_benchmark

__all__ = [
    "BenchmarkError",
    "BenchmarkResult",
    "Figures",
    "Run",
    "Tried",
    "figures",
    "render",
    "rich_table",
    "run_benchmark",
    "runs_json",
    "show",
    "to_json",
]
