"""`make bench`: what things cost, as a table, with ratios against a named peer measured in the same run.

Times are CPU seconds of this process and its children unless said otherwise; medians of several runs.
"""

from __future__ import annotations

import os

# One thread, as in the platform's own worker; set before numpy is imported.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import asyncio
import csv
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sdl.driver import Context, Instrument, action, registry
from sdl.engine import InlineWorker, open_session
from sdl.ledger import CommandIntended, Ledger
from sdl.planners import History, Trial
from sdl.preflight import check

CAMPAIGNS = Path(__file__).parent.parent / "campaigns"

Row = tuple[str, str, str, str]


class Idle(Instrument):
    """Does nothing."""

    nature = "simulated"

    @action(effect="repeatable")
    async def nothing(self, ctx: Context, a: float) -> None:
        """Do nothing."""


class _Point(EntryPoint):
    def load(self) -> Any:
        return Idle


def install_idle() -> None:
    """Make the idle driver known for the length of this run."""
    real = registry._points()
    registry._points = lambda: {**real, "idle": _Point("idle", "bench:Idle", registry.GROUP)}


def cpu(command: list[str]) -> float:
    """Return the CPU seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median(action_: Callable[[], float], count: int = 5) -> float:
    """Return the median of several runs, after one that does not count."""
    action_()
    return statistics.median(action_() for _ in range(count))


def help_row() -> Row:
    """`sdl --help` against an interpreter that does nothing."""
    ours = median(lambda: cpu([sys.executable, "-m", "sdl.cli", "--help"]))
    bare = median(lambda: cpu([sys.executable, "-c", "pass"]))
    return "sdl --help", f"{ours:.3f} CPU s", f"python -c pass {bare:.3f}", f"{ours / bare:.1f}"


IDLE = """
name: idle
space: {parameters: {a: {type: continuous, bounds: [0, 1]}}}
objectives: {y: {goal: minimize}}
protocol:
%s
  - {instrument: table, action: measure, with: {a: $a}, gives: {y: y}}
lab:
  clock: {type: virtual}
  instruments:
    idle: {driver: idle}
    table: {driver: replay, settings: {table: points.csv, outcomes: [y], match: nearest, tolerance: 1}}
planner: {type: random}
stop: {experiments: 10}
"""
STEPS = 40


def campaign_seconds(folder: Path, home: Path | None, steps: int, server: str | None = None) -> tuple[float, int, int]:
    """Return wall seconds of the engine, commands, and commits, for ten experiments of so many idle steps.

    On a lab server, where there is one, and then under the name of the home: samples are named after their campaign.
    """
    file = folder / "idle.yaml"
    file.write_text(IDLE % "\n".join("  - {instrument: idle, action: nothing, with: {a: $a}}" for _ in range(steps)))
    commits = 0
    append = Ledger.append

    def counted(*arguments: Any) -> Any:
        nonlocal commits
        commits += 1
        return append(*arguments)

    async def go() -> tuple[float, int]:
        session = open_session(checked, home)
        try:
            engine = await session.engine(InlineWorker())
            began = time.perf_counter()
            await engine.run()
            took = time.perf_counter() - began
            rows = session.ledger.rows(session.name)
            return took, sum(isinstance(r.event, CommandIntended) for r in rows)
        finally:
            await session.close()

    served = () if server is None else (f"lab={{server: '{server}'}}",)
    checked = check(file, overrides=served, name=None if server is None or home is None else home.name)
    Ledger.append = counted  # type: ignore[method-assign]
    try:
        took, commands = asyncio.run(go())
    finally:
        Ledger.append = append  # type: ignore[method-assign]
    return took, commands, commits


def overhead_rows() -> list[Row]:
    """What one more action that does nothing costs, beside a bare asyncio task."""
    tasks = 10_000

    def bare() -> float:
        async def nothing() -> None:
            return None

        async def many() -> None:
            for _ in range(tasks):
                await asyncio.create_task(nothing())

        began = time.perf_counter()
        asyncio.run(many())
        return (time.perf_counter() - began) / tasks * 1e3

    peer = median(bare, 3)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "points.csv").write_text("a,y\n0,1\n1,2\n")
        for label, on_disk in (("ledger in memory", False), ("ledger on disk, synced", True)):

            def one(on_disk: bool = on_disk) -> float:
                few = campaign_seconds(folder, Path(tempfile.mkdtemp(dir=folder)) if on_disk else None, 1)
                many = campaign_seconds(folder, Path(tempfile.mkdtemp(dir=folder)) if on_disk else None, 1 + STEPS)
                return (many[0] - few[0]) / (many[1] - few[1]) * 1e3

            cost = median(one, 3)
            rows.append(
                (
                    f"one more action, {label}",
                    f"{cost:.2f} ms",
                    f"bare asyncio task {peer:.4f} ms",
                    f"{cost / peer:.0f}",
                )
            )
        few, many = (campaign_seconds(folder, None, n) for n in (1, 1 + STEPS))
        commits = (many[2] - few[2]) / (many[1] - few[1])
    rows.append(("commits of one more action", f"{commits:.1f}", "", ""))
    return rows


def proposal_rows() -> list[Row]:
    """A proposal of `bayes` on a measured pool, beside plain BoTorch: SingleTaskGP, qLogEI, the pool enumerated."""
    import torch
    from botorch.acquisition import qLogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from gpytorch.mlls import ExactMarginalLogLikelihood

    torch.set_num_threads(1)
    checked = check(CAMPAIGNS / "opv_photostability.yaml")
    with (CAMPAIGNS / "data" / "opv_wf3.csv").open() as file:
        measured = {
            tuple(float(r[n]) for n in ("wf3", "p3ht", "pcbm", "oidtbr")): float(r["degradation"])
            for r in csv.DictReader(file)
        }
    space = checked.campaign.space
    if space.pool is None:
        raise RuntimeError("the campaign has lost its pool")
    from sdl.objective import Estimate

    rows = []
    for known in (20, 60):
        chosen = np.random.default_rng(0).choice(len(space.pool), known, replace=False)
        candidates = space.decode(space.pool.codes[chosen])
        values = [measured[tuple(float(v) for v in c.values())] for c in candidates]
        history = History(
            tuple(
                Trial(i + 1, c, "default", "done", {"degradation": Estimate(v)})
                for i, (c, v) in enumerate(zip(candidates, values, strict=True))
            )
        )

        def ours(history: History = history) -> float:
            began = time.process_time()
            checked.planner.propose(checked.problem, history, 1, 1)
            return time.process_time() - began

        x = torch.tensor(space.features(space.encode(candidates)))
        y = -torch.tensor(values, dtype=torch.double)[:, None]
        pool = torch.tensor(space.features(space.pool.codes))[:, None, :]

        def plain(x: Any = x, y: Any = y, pool: Any = pool) -> float:
            began = time.process_time()
            model = SingleTaskGP(x, y, outcome_transform=Standardize(m=1))
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            with torch.no_grad():
                qLogExpectedImprovement(model, best_f=y.max())(pool).argmax()
            return time.process_time() - began

        a, b = median(ours), median(plain)
        rows.append(
            (f"bayes proposal, pool of 1020, {known} known", f"{a:.3f} CPU s", f"plain BoTorch {b:.3f}", f"{a / b:.2f}")
        )
    return rows


def main() -> None:
    """Measure and print."""
    install_idle()
    table = Table(title="What things cost (medians)")
    for heading in ("what", "ours", "peer, same run", "ratio"):
        table.add_column(heading)
    from served import served_rows
    from three_weeks import three_weeks_rows

    def on_server(folder: Path, home: Path, server: str, steps: int) -> tuple[float, int, int]:
        return campaign_seconds(folder, home, steps, server)

    rows = [help_row(), *overhead_rows(), *served_rows(on_server, STEPS), *proposal_rows(), *three_weeks_rows()]
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
