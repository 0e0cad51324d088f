"""`make bench-planners`; see `--help`."""

from __future__ import annotations

import os

# One thread a run; set before numpy and torch are imported, here and in the worker processes.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path

from .contestants import CONTESTANTS
from .pools import POOLS
from .records import Record, append, missing, read
from .running import Job, refused, run, task_names
from .tables import report

GROUPS = {"pools": tuple(POOLS), "functions": tuple(t for t in task_names() if t not in POOLS)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and print the tables."""
    wanted = _parser().parse_args(arguments)
    tasks = [t for name in wanted.problems for t in GROUPS.get(name, (name,))]
    # seeds outermost, so that a run that is stopped has compared all contestants on the same seeds
    jobs = [
        Job(task, who, seed)
        for seed in range(wanted.first_seed, wanted.first_seed + wanted.seeds)
        for task in tasks
        for who in wanted.planners
    ]
    jobs = [job for job in jobs if not refused(Job(job.task, job.contestant, 0))]
    if not wanted.table_only:
        left = missing(jobs, read(wanted.results))
        began = time.monotonic()
        for done, record in enumerate(_results(left, wanted.jobs), start=1):
            append(wanted.results, record)
            took = time.monotonic() - began
            print(
                f"{done}/{len(left)} {took:.0f} s: {record['task']} {record['contestant']} seed {record['seed']} "
                f"→ {record['value']:.4g}, {sum(record['seconds']):.1f} CPU s",
                flush=True,
            )
    asked = set(jobs)
    text = report(r for r in read(wanted.results) if Job(r["task"], r["contestant"], r["seed"]) in asked)
    print(text)
    if wanted.table is not None:
        wanted.table.write_text(text)


def _results(jobs: Sequence[Job], processes: int) -> Iterator[Record]:
    """Yield results as they come; a few jobs at a time are handed out, so that a stop is quick."""
    queue = iter(jobs)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running: set[Future[Record]] = {pool.submit(run, job) for job in islice(queue, processes)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(run, job) for job in islice(queue, len(ended))}
            for future in ended:
                yield future.result()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench-planners ARGS=…",
        description="Planners against each other. Results are appended to a file; what is in it is not run again.",
    )
    problems = [*GROUPS, *task_names()]
    parser.add_argument("--problems", nargs="+", choices=problems, default=list(GROUPS), help="groups or single tasks")
    parser.add_argument("--planners", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes; each uses one thread")
    parser.add_argument("--results", type=Path, default=Path("build/bench-planners.jsonl"))
    parser.add_argument("--table", type=Path, help="write the tables to this file as well")
    parser.add_argument("--table-only", action="store_true", help="run nothing")
    return parser


if __name__ == "__main__":
    main()
