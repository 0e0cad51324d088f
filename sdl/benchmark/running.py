"""Run every planner with every seed, each as a campaign of its own: local engine, virtual time, ledger in memory.

Runs go to processes of their own, with one thread each, whatever `jobs` is, so that `jobs` changes nothing but the time.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sdl.benchmark.judging import top_rows
from sdl.benchmark.preparing import Setup, prepare
from sdl.benchmark.result import BenchmarkResult, PoolTruth, Run, Tried
from sdl.benchmark.truth import pool_merit, pool_truth, reaches_target, true_outcomes
from sdl.engine import Hooks, InlineWorker, open_session
from sdl.engine.environment import environment
from sdl.engine.worker import ONE_THREAD
from sdl.errors import InputError, SdlError, listed
from sdl.ledger import ExperimentFinished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdl.engine import Engine, Session, View
    from sdl.ledger import Row
    from sdl.loop import ExperimentRecord

TOP_SHARES = (0.01, 0.05)
"""Shares of a pool that count as its best."""


class BenchmarkError(SdlError):
    """A run of a benchmark failed; the planner and the seed are named."""


@dataclass(frozen=True)
class Task:
    """One run, as it is sent to a process.

    Attributes:
        path: the campaign file.
        planner, seed, budget, overrides: see `prepare`.
        knows_pool: the pool's truth is known, so that samples need not be asked for theirs.
        hits: pool rows at which the run ends.
        at_target: whether the run ends at a sample that truly reaches the target.
    """

    path: Path
    planner: str
    seed: int
    budget: int
    overrides: tuple[str, ...]
    knows_pool: bool = False
    hits: frozenset[int] = frozenset()
    at_target: bool = False


def run_benchmark(
    path: Path,
    planners: Sequence[str],
    seeds: int | Sequence[int],
    budget: int,
    jobs: int = 1,
    overrides: Sequence[str] = (),
    *,
    until_hit: bool = False,
    done: Callable[[Run], None] | None = None,
) -> BenchmarkResult:
    """Compare planners on a campaign.

    A seed is the campaign's; the world's noise follows from it too, so it differs between seeds and is the same for all
    planners of one seed. Targets do not stop a run. All but the times is the same for any `jobs`.

    Args:
        path: the campaign file; its lab must be simulated.
        planners: names; each takes the place of `planner.type`.
        seeds: how many, counted from 0, or which.
        budget: experiments per run, in the place of `stop.experiments`.
        jobs: runs at a time.
        overrides: `path=value` of `--set`.
        until_hit: end a run at its first hit: a row of the pool's top 1 %, or without a pool a true state that reaches the
            target. Regret, enhancement and acceleration then have no meaning and are left out.
        done: called after each run, in the order in which they end.

    Raises:
        FileProblems: everything that is wrong with the file.
        InputError: the lab is real; no such planner; nothing to hit under `until_hit`; numbers below 1.
        BenchmarkError: a run failed.
    """
    began = time.monotonic()
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    _check_request(planners, chosen, budget, jobs)
    setups = {name: prepare(path, name, chosen[0], budget, tuple(overrides)) for name in planners}
    first = setups[planners[0]]
    pool = None if first.checked.campaign.space.pool is None else asyncio.run(_pool_truth(first))
    hits = _hit_rows(first, pool) if until_hit else frozenset()
    tasks = [
        Task(path, name, seed, budget, tuple(overrides), pool is not None, hits, until_hit and pool is None)
        for name in planners
        for seed in chosen
    ]
    runs = _all(tasks, jobs, done)
    changed = [r for r in runs if r.inputs != first.inputs]
    if changed:
        raise BenchmarkError(f"{path} or a file that it names was changed while the benchmark ran; run it again")
    result = BenchmarkResult(
        campaign=first.campaign,
        path=str(path),
        files=first.files,
        overrides=tuple(overrides),
        question=first.question,
        pool_size=first.checked.plan.pool_size,
        pool=pool,
        planners=tuple(planners),
        seeds=chosen,
        budget=budget,
        until_hit=until_hit,
        runs=tuple(runs),
        notes=tuple(line for setup in setups.values() for line in setup.notes),
        environment=dict(environment()),
        wall=time.monotonic() - began,
    )
    return result.noting(*_notes(result))


def _check_request(planners: Sequence[str], seeds: tuple[int, ...], budget: int, jobs: int) -> None:
    if not planners:
        raise InputError("name at least one planner (--planner)")
    for what, given in (("planner", planners), ("seed", seeds)):
        twice = [str(x) for x in dict.fromkeys(given) if list(given).count(x) > 1]
        if twice:
            raise InputError(f"each {what} once: {listed(twice)} stands several times")
    for what, number in (("seeds", len(seeds)), ("budget", budget), ("jobs", jobs)):
        if number < 1:
            raise InputError(f"--{what} must be at least 1, got {number}")


def _hit_rows(setup: Setup, pool: PoolTruth | None) -> frozenset[int]:
    if pool is None:
        if not setup.question.targets:
            raise InputError("a run can end at a hit only where there is one: a pool of known truth, or stop.target")
        return frozenset()
    merit, feasible = pool_merit(setup.question, pool)
    return frozenset(int(r) for r in top_rows(merit, feasible, min(TOP_SHARES)).nonzero()[0])


def _notes(result: BenchmarkResult) -> list[str]:
    """Return what a reader must know about how the runs were judged."""
    lines = []
    if len(result.question.objectives) > 1:
        lines.append(
            f"of {len(result.question.objectives)} objectives, the first one is judged: {result.question.name}"
        )
    if result.pool is not None:
        merit, feasible = pool_merit(result.question, result.pool)
        unknown = int(np.isnan(merit).sum())
        if unknown:
            lines.append(
                f"the true outcomes of {unknown} of {len(merit)} pool rows are unknown; none of them counts as best"
            )
        if not feasible.any():
            lines.append("no row of the pool is truly feasible: every search is a miss")
    elif not any(t.truth is not None for run in result.runs for t in run.tried):
        lines.append("the lab's drivers know no truth: what was measured is judged instead")
    return lines


# --- processes ------------------------------------------------------------------------------------------------------------


def _all(tasks: Sequence[Task], jobs: int, done: Callable[[Run], None] | None) -> list[Run]:
    """Carry all tasks out; returns their runs in the order of the tasks."""
    runs: dict[Task, Run] = {}
    with _one_thread():
        executor = ProcessPoolExecutor(min(jobs, len(tasks)), multiprocessing.get_context("spawn"))
        try:
            futures = {executor.submit(carry_out, task): task for task in tasks}
            for future in as_completed(futures):
                task = futures[future]
                try:
                    runs[task] = future.result()
                except BrokenProcessPool as error:
                    raise BenchmarkError(
                        f"a process of the benchmark died (planner '{task.planner}', seed {task.seed}, or one that ran beside "
                        "it); is memory short? Try fewer --jobs"
                    ) from error
                except SdlError as error:
                    raise BenchmarkError(f"planner '{task.planner}', seed {task.seed}: {error}") from error
                if done is not None:
                    done(runs[task])
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
    return [runs[task] for task in tasks]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Give processes that are started within one thread for linear algebra: more cost time and change the bits."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# --- one run --------------------------------------------------------------------------------------------------------------


def carry_out(task: Task) -> Run:
    """Carry one run out, in this process."""
    return asyncio.run(_run(task))


async def _run(task: Task) -> Run:
    setup = prepare(task.path, task.planner, task.seed, task.budget, task.overrides)
    session = open_session(setup.checked, None)
    worker = InlineWorker()
    try:
        watch = _Watch(task, setup, session)
        engine = await session.engine(worker, watch)
        watch.engine = engine
        _, reason = await engine.run()
        state = session.state
        return Run(
            planner=task.planner,
            seed=task.seed,
            tried=tuple(
                _tried(task, setup, session, e) for _, e in sorted(state.experiments.items()) if e.state != "proposed"
            ),
            reason=reason,
            inputs=setup.inputs,
            seconds=tuple(r.proposed.seconds for r in state.rounds if r.proposed is not None),
        )
    finally:
        await worker.close()
        await session.close()


def _tried(task: Task, setup: Setup, session: Session, record: ExperimentRecord) -> Tried:
    pool = setup.checked.campaign.space.pool
    row = None if pool is None else pool.row_of(record.candidate)
    truth = None
    if not task.knows_pool:
        # Nothing happens to a sample after its experiment, so asking after the run is asking after the experiment.
        truth = true_outcomes(session.lab, setup.checked.plan, record.candidate, record.sample)
    outcomes = {name: estimate.value for name, estimate in record.outcomes.items()}
    return Tried(record.number, dict(record.candidate), record.state, outcomes, row, truth)


class _Watch(Hooks):
    """Stops the engine at the first hit, where the task asks for that."""

    def __init__(self, task: Task, setup: Setup, session: Session) -> None:
        self.engine: Engine | None = None
        self._task = task
        self._setup = setup
        self._session = session

    def recorded(self, rows: list[Row], view: View) -> None:
        """Look at every experiment that has just ended."""
        if not (self._task.hits or self._task.at_target) or self.engine is None:
            return
        for row in rows:
            if isinstance(row.event, ExperimentFinished):
                record = view.state.experiments[row.event.experiment]
                if self._is_hit(_tried(self._task, self._setup, self._session, record)):
                    self.engine.stop(f"experiment {record.number} is a hit")

    def _is_hit(self, tried: Tried) -> bool:
        if self._task.at_target:
            return tried.truth is not None and reaches_target(self._setup.question, tried.truth)
        return tried.row in self._task.hits


async def _pool_truth(setup: Setup) -> PoolTruth | None:
    # Truth does not depend on the planner or the seed; a lab of its own is opened to ask.
    session = open_session(setup.checked, None)
    try:
        await session.open_lab()
        return pool_truth(session.lab, setup.checked.plan, setup.checked.campaign.space)
    finally:
        await session.close()
