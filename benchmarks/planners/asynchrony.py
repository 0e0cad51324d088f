"""Eight equal instruments, asynchronous against batches of eight: `python -m planners.asynchrony --seeds 5`.

How long an experiment takes depends on its parameters, from 1 to 8 h. Asynchronous, as the platform does it: as soon as an
instrument is free the planner is asked for one more candidate, knowing all results so far and what is under way. In batches:
eight candidates are asked for at once, and the next eight when the last of them is done. What counts is the virtual time until
the result that first reaches the target is there; the planner itself takes none of it.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import heapq
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from sdl.objective import Estimate, Objective
from sdl.planners import History, Planner, Problem, RoundRecord, Trial, get_planner, round_seed
from sdl.planners.bayes import BayesSettings
from sdl.space import Candidate, Continuous, Space

from . import functions as f

INSTRUMENTS = 8
BUDGET = 72
"""Experiments of a run at most, the first eight random ones included. Chosen."""
MODES = ("asynchronous", "batches of 8")
GOAL = {"y": Objective(goal="minimize")}


@dataclass(frozen=True, eq=False)
class Timed:
    """A task.

    Attributes:
        dimension: of the unit box.
        value: what is measured, without noise; to be minimised.
        target: a value at most this ends a run.
        hours: how long an experiment takes.
    """

    dimension: int
    value: Callable[[Sequence[float]], float]
    target: float
    hours: Callable[[Sequence[float]], float]


def _branin(x: Sequence[float]) -> float:
    return f.branin(15 * x[0] - 5, 15 * x[1])


def _first(x: Sequence[float]) -> float:
    """A hold time: 1 h at 0, 8 h at 1 of the first parameter, evenly on a logarithmic scale."""
    return float(8.0 ** x[0])


def _last(x: Sequence[float]) -> float:
    """The same of the last parameter."""
    return float(8.0 ** x[-1])


TASKS = {
    "branin": Timed(2, _branin, f.BRANIN_LEAST + 0.01, _first),
    "hartmann4": Timed(4, f.hartmann, f.HARTMANN4_LEAST + 0.05, _last),
}


@dataclass
class Run:
    """A run in the making: what is known, and the clock.

    Attributes:
        task: which.
        problem: as the planner sees it.
        planner: which.
        seed: of the run.
        trials: experiments in order of number.
        rounds: proposals so far.
        now: virtual hours.
        busy: hours that the instruments worked in all.
        under_way: (when it is done, number), the earliest first.
        reached: when a result first reached the target, or None.
    """

    task: Timed
    problem: Problem
    planner: Planner
    seed: int
    trials: list[Trial] = field(default_factory=list)
    rounds: list[RoundRecord] = field(default_factory=list)
    now: float = 0.0
    busy: float = 0.0
    under_way: list[tuple[float, int]] = field(default_factory=list)
    reached: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether the target was reached."""
        return self.reached is not None

    def begin(self, candidates: Sequence[Candidate]) -> None:
        """Start experiments at present, each on an instrument of its own."""
        for candidate in candidates:
            trial = Trial(len(self.trials) + 1, candidate, "default", "pending")
            self.trials.append(trial)
            hours = self.task.hours(_numbers(candidate))
            self.busy += hours
            heapq.heappush(self.under_way, (self.now + hours, trial.number))

    def finish_next(self) -> None:
        """Let time pass until the next experiment is done."""
        self.now, number = heapq.heappop(self.under_way)
        trial = self.trials[number - 1]
        value = self.task.value(_numbers(trial.candidate))
        self.trials[number - 1] = replace(trial, state="done", outcomes={"y": Estimate(value)})
        if value <= self.task.target and self.reached is None:
            self.reached = self.now

    def ask(self, count: int) -> None:
        """Have the planner propose, and start what it proposes."""
        number = len(self.rounds) + 1
        seed = round_seed(self.seed, number)
        proposal = self.planner.propose(self.problem, History(tuple(self.trials), tuple(self.rounds)), count, seed)
        diagnostics = json.loads(json.dumps(proposal.diagnostics))
        self.rounds.append(RoundRecord(number, seed, proposal.candidates, diagnostics))
        self.begin(proposal.candidates)


def run(name: str, mode: str, seed: int, planner: str = "bayes", budget: int = BUDGET) -> dict[str, Any]:
    """Carry a run out: to the target, or to its budget.

    Returns:
        JSON: `hours` until a result reached the target (None for a miss), `experiments` with results by then, `ended` in hours,
        `busy`, the share of the instruments' time that they worked until then, and CPU `seconds`.
    """
    task = TASKS[name]
    unit = Continuous(type="continuous", bounds=(0.0, 1.0))
    space = Space({f"x{i}": unit for i in range(task.dimension)})
    made = get_planner(planner)
    settings = BayesSettings() if planner == "bayes" else made.settings_model()
    state = Run(task, Problem(space, GOAL, {}, settings, seed, budget), made, seed)
    began = time.process_time()
    rng = np.random.default_rng([seed, task.dimension])
    state.begin(space.decode(space.from_unit(rng.random((INSTRUMENTS, task.dimension)))))
    while state.under_way:
        state.finish_next()
        if state.is_over:
            break
        left = min(budget - len(state.trials), INSTRUMENTS - len(state.under_way))
        if left > 0 and (mode == MODES[0] or not state.under_way):
            state.ask(left)
    worked = state.busy - sum(end - state.now for end, _ in state.under_way)
    return {
        "task": name,
        "mode": mode,
        "seed": seed,
        "planner": planner,
        "hours": state.reached,
        "ended": state.now,
        "experiments": sum(t.state == "done" for t in state.trials),
        "busy": worked / (INSTRUMENTS * state.now),
        "seconds": time.process_time() - began,
    }


def _numbers(candidate: Candidate) -> list[float]:
    return [float(v) for v in candidate.values()]


def report(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table; medians [least, most], a miss at its end, ratios by seed."""
    heads = [
        "task",
        "mode",
        "virtual hours to the target",
        "misses",
        "experiments",
        "instruments at work",
        "seeds",
        "ratio of hours",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for task in TASKS:
        of = {mode: {r["seed"]: r for r in records if r["task"] == task and r["mode"] == mode} for mode in MODES}
        both = sorted(of[MODES[0]].keys() & of[MODES[1]].keys())
        ratios = [of[MODES[0]][s]["ended"] / of[MODES[1]][s]["ended"] for s in both]
        for mode in MODES:
            mine = list(of[mode].values())
            if not mine:
                continue
            cells = [
                _spread([r["ended"] for r in mine], ".1f"),
                str(sum(r["hours"] is None for r in mine)),
                _spread([r["experiments"] for r in mine], ".0f"),
                f"{100 * statistics.mean(r['busy'] for r in mine):.0f} %",
                str(len(mine)),
                _spread(ratios, ".2f") if ratios and mode == MODES[0] else "",
            ]
            lines.append(f"| {task} | {mode} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


def main() -> None:
    """Run what is asked for and print the table; results are kept in a file, what is in it is not run again."""
    parser = argparse.ArgumentParser(prog="python -m planners.asynchrony", description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("build/bench-asynchrony.jsonl"))
    asked = parser.parse_args()
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    records = [json.loads(line) for line in asked.results.read_text().splitlines()] if asked.results.exists() else []
    done = {(r["task"], r["mode"], r["seed"]) for r in records}
    jobs = [(t, m, s) for s in range(asked.seeds) for t in asked.tasks for m in MODES if (t, m, s) not in done]
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        for future in [pool.submit(run, task, mode, seed) for task, mode, seed in jobs]:
            records.append(future.result())
            with asked.results.open("a") as file:
                file.write(json.dumps(records[-1]) + "\n")
    print(report(records))


if __name__ == "__main__":
    main()
