"""Two sources against one: `python -m planners.fidelities --seeds 5`.

Each task has a target and a cheaper source that resembles it, or does not. `bayes` with both is held against `bayes` with the
target alone at equal cost; what counts is the best true value among points evaluated on the target.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sdl.objective import Estimate, Objective
from sdl.planners import History, Problem, RoundRecord, Source, Trial, get_planner, round_seed
from sdl.planners.bayes import BayesSettings
from sdl.space import Candidate, Continuous, Cost, Space

from . import functions as f

TARGET = "target"
GOAL = {"y": Objective(goal="minimize")}


@dataclass(frozen=True, eq=False)
class TwoSources:
    """A task.

    Attributes:
        dimension: of the unit box.
        target, cheap: what is measured, and what resembles it.
        least: of the target.
        cost: of the cheap source; the target costs 1.
        budget: what a run may cost.
    """

    dimension: int
    target: Callable[[list[float]], float]
    cheap: Callable[[list[float]], float]
    least: float
    cost: float
    budget: float


def forrester(x: float) -> float:
    """Forrester, Sóbester and Keane, Proc. R. Soc. A 463, 3251 (2007), section 4; least −6.02074 at 0.757249."""
    return (6 * x - 2) ** 2 * math.sin(12 * x - 4)


TASKS = {
    # the augmented Hartmann function of Wu, Toscano-Palmerin, Frazier and Wilson (UAI 2019), as in BoTorch, at fidelity 0
    "hartmann6_augmented": TwoSources(
        6, f.hartmann, lambda x: f.hartmann(x, fidelity=0.0), f.HARTMANN6_LEAST, 0.1, 25.0
    ),
    "forrester": TwoSources(
        1,
        lambda x: forrester(x[0]),
        lambda x: 0.5 * forrester(x[0]) + 10 * (x[0] - 0.5) - 5,
        -6.020740055766075,
        0.1,
        10.0,
    ),
    # another function altogether: its parameters in the opposite order, each from the opposite end
    "hartmann6_misleading": TwoSources(
        6, f.hartmann, lambda x: f.hartmann([1 - v for v in reversed(x)]), f.HARTMANN6_LEAST, 0.1, 25.0
    ),
}


def run(name: str, seed: int, *, both: bool) -> dict[str, Any]:
    """Carry a run out; returns the gap to the optimum, and experiments on each source, by what was spent."""
    task = TASKS[name]
    functions: Mapping[str, Callable[[list[float]], float]] = {TARGET: task.target, "cheap": task.cheap}
    costs = {TARGET: 1.0, "cheap": task.cost} if both else {TARGET: 1.0}
    unit = Continuous(type="continuous", bounds=(0.0, 1.0))
    space = Space({f"x{i}": unit for i in range(task.dimension)})
    sources = {s: Source(("y",), s == TARGET, Cost(repr(cost))) for s, cost in costs.items()}
    problem = Problem(space, GOAL, {}, BayesSettings(), seed, 1000, sources=sources, cost_limit=task.budget)
    trials: list[Trial] = []
    rounds: list[RoundRecord] = []
    spent, gap, course, seconds = 0.0, math.inf, [], []
    while True:
        number = len(rounds) + 1
        began = time.process_time()
        history = History(tuple(trials), tuple(rounds), spent)
        proposal = get_planner("bayes").propose(problem, history, 1, round_seed(seed, number))
        seconds.append(time.process_time() - began)
        candidate, source = proposal.candidates[0], (*proposal.sources, TARGET)[0]
        if spent + costs[source] > task.budget * (1 + 1e-9):
            break
        spent += costs[source]
        diagnostics = json.loads(json.dumps(proposal.diagnostics))
        rounds.append(RoundRecord(number, 0, proposal.candidates, diagnostics, proposal.sources))
        value = functions[source](_numbers(candidate))
        trials.append(Trial(number, candidate, source, "done", {"y": Estimate(value)}))
        if source == TARGET:
            gap = min(gap, max(0.0, value - task.least))
        course.append([spent, gap if math.isfinite(gap) else None])
    return {
        "task": name,
        "both": both,
        "seed": seed,
        "course": course,
        "on_target": sum(t.source == TARGET for t in trials),
        "on_cheap": sum(t.source == "cheap" for t in trials),
        "seconds": statistics.mean(seconds),
    }


def _numbers(candidate: Candidate) -> list[float]:
    return [float(v) for v in candidate.values()]


def gap_at(record: Mapping[str, Any], spent: float) -> float:
    """Return the gap once so much was spent; infinite before there is one."""
    seen = [gap for cost, gap in record["course"] if cost <= spent + 1e-9 and gap is not None]
    return seen[-1] if seen else math.inf


def report(records: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = []
    for name, task in TASKS.items():
        shares = [0.4, 0.6, 0.8, 1.0]
        lines += [f"## {name}: gap to the optimum by cost, median [least, most]", ""]
        heads = [
            "",
            *(f"{share * task.budget:g}" for share in shares),
            "on target",
            "on cheap",
            "seeds",
            "CPU s a proposal",
        ]
        lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        for both in (True, False):
            mine = [r for r in records if r["task"] == name and r["both"] == both]
            if not mine:
                continue
            cells = []
            for share in shares:
                gaps = sorted(gap_at(r, share * task.budget) for r in mine)
                cells.append(f"{statistics.median(gaps):.2g} [{gaps[0]:.2g}, {gaps[-1]:.2g}]")
            count = [f"{statistics.mean(r[key] for r in mine):.1f}" for key in ("on_target", "on_cheap")]
            seconds = f"{statistics.mean(r['seconds'] for r in mine):.2f}"
            who = "both sources" if both else "target alone"
            lines.append("| " + " | ".join([who, *cells, *count, str(len(mine)), seconds]) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run what is asked for and print the tables; results are kept in a file, what is in it is not run again."""
    parser = argparse.ArgumentParser(prog="python -m planners.fidelities", description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("build/bench-fidelities.jsonl"))
    asked = parser.parse_args()
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    records = [json.loads(line) for line in asked.results.read_text().splitlines()] if asked.results.exists() else []
    done = {(r["task"], r["both"], r["seed"]) for r in records}
    jobs = [(t, s, b) for s in range(asked.seeds) for t in asked.tasks for b in (True, False) if (t, b, s) not in done]
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        for future in [pool.submit(run, task, seed, both=both) for task, seed, both in jobs]:
            records.append(future.result())
            with asked.results.open("a") as file:
                file.write(json.dumps(records[-1]) + "\n")
    print(report(records))


if __name__ == "__main__":
    main()
