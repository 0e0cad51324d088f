"""One run: a task, a contestant, a seed; nothing but calls of `propose`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from sdl.objective import Estimate
from sdl.planners import History, Planner, Problem, RoundRecord, Trial, refusals, round_seed

from .contestants import CONTESTANTS
from .pools import POOLS, pool_task
from .synthetic import synthetic_tasks
from .tasks import Task, Values

INTERVAL = 1.6448536269514722
"""Standard normal quantile of 0.95: a 90 % interval reaches so many standard deviations to both sides."""


@cache
def task_named(name: str) -> Task:
    """Return a task."""
    return pool_task(name) if name in POOLS else synthetic_tasks()[name]


@cache
def task_names() -> tuple[str, ...]:
    """Return all tasks, pools first."""
    return (*POOLS, *synthetic_tasks())


@dataclass(frozen=True)
class Job:
    """What is to be run."""

    task: str
    contestant: str
    seed: int


def problem_of(task: Task, settings: Any, seed: int) -> Problem:
    """Return the problem as the planner sees it."""
    return Problem(task.space, task.objectives, task.constraints or {}, settings, seed, task.budget)


def refused(job: Job) -> list[str]:
    """Say why a contestant cannot take part in a task; empty where it can."""
    task = task_named(job.task)
    planner, _ = CONTESTANTS[job.contestant].made()
    return refusals(planner, task.space, task.objectives, task.constraints or {})


def run(job: Job) -> dict[str, Any]:
    """Carry a run out.

    Returns:
        JSON: what was run; `gaps` after each experiment; `value`, by which it is judged; per proposal the CPU seconds
        of this process and, where the planner had stated a 90 % interval, whether the measurements fell into it.
    """
    task = task_named(job.task)
    contestant = CONTESTANTS[job.contestant]
    planner, settings = contestant.made()
    problem = problem_of(task, settings, job.seed)
    trials: list[Trial] = []
    rounds: list[RoundRecord] = []
    seen: list[Values] = []
    gaps: list[float] = []
    seconds: list[float] = []
    covered: list[bool] = []

    def carry_out(candidate: Any) -> dict[str, Estimate]:
        number = len(trials) + 1
        true = task.truth(candidate)
        measured = task.measured(true, job.seed, number)
        trials.append(Trial(number, candidate, "default", "done", measured))
        seen.append(true)
        gaps.append(task.gap(seen))
        return measured

    for candidate in task.start(job.seed):
        carry_out(candidate)
    _warm(job.contestant, planner, problem, History(tuple(trials)))
    while len(trials) < task.budget and not (task.judged == "hit" and gaps[-1] <= 0):
        number = len(rounds) + 1
        seed = round_seed(job.seed, number)
        began = time.process_time()
        proposal = planner.propose(problem, History(tuple(trials), tuple(rounds)), 1, seed)
        seconds.append(round(time.process_time() - began, 4))
        if not proposal.candidates:
            break
        rounds.append(RoundRecord(number, seed, proposal.candidates, proposal.diagnostics))
        measured = carry_out(proposal.candidates[0])
        covered += inside(proposal.diagnostics, measured)
    return {
        "task": job.task,
        "contestant": job.contestant,
        "seed": job.seed,
        "version": contestant.version(),
        "value": judged(task, gaps),
        "gaps": [float(f"{g:.9g}") for g in gaps],
        "seconds": seconds,
        "covered": covered,
    }


def judged(task: Task, gaps: list[float]) -> float:
    """Return the number of experiments to the first hit, budget + 1 for a miss; or the last gap."""
    if task.judged == "gap":
        return gaps[-1]
    return float(next((i for i, g in enumerate(gaps, start=1) if g <= 0), task.budget + 1))


def inside(diagnostics: dict[str, Any], measured: dict[str, Estimate]) -> list[bool]:
    """Tell per outcome whether the measurement lies in the 90 % interval stated for it before.

    That is the candidate's `interval` [low, high] of a measurement where the diagnostics have one; else the predicted
    mean ± 1.645 standard deviations, those of the prediction and of the model's noise together. Nothing where the
    planner stated neither.
    """
    predicted = (diagnostics["candidates"] or [{}])[0].get("predicted") or {}
    found = []
    for outcome, said in predicted.items():
        if outcome not in measured:
            continue
        value = measured[outcome].value
        if said.get("interval") is not None:
            low, high = said["interval"]
        else:
            noise = ((diagnostics.get("models") or {}).get(outcome) or {}).get("noise_sd")
            if said.get("mean") is None or said.get("sd") is None or noise is None:
                continue
            reach = INTERVAL * math.hypot(said["sd"], noise)
            low, high = said["mean"] - reach, said["mean"] + reach
        found.append(bool(low <= value <= high))
    return found


_WARM: set[str] = set()


def _warm(name: str, planner: Planner, problem: Problem, history: History) -> None:
    """Propose once without counting it, so that no run pays for a process's first imports."""
    if name not in _WARM:
        planner.propose(problem, history, 1, 0)
        _WARM.add(name)
