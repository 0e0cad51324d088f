"""What an action that does nothing costs: in this process, over HTTP, over HTTP with both logs on disk.

Run as a program it serves the lab: `python served.py LAB.yaml FOLDER memory|disk`; it prints its address.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import event

from sdl.artefacts import ArtefactStore
from sdl.cli.lab import lab_of
from sdl.clock import RealClock
from sdl.driver import Command
from sdl.lab import EmbeddedLab
from sdl.lab.client import RemoteLab
from sdl.lab.log import MemoryLog
from sdl.lab.routes import make_app
from sdl.lab.served_plan import served_plan
from sdl.lab.server import LabServer
from sdl.lab.sql_log import SqlLog

Row = tuple[str, str, str, str]

LAB = """
name: bench
instruments:
  idle: {driver: idle}
  table: {driver: replay, settings: {table: points.csv, outcomes: [y], match: nearest, tolerance: 1}}
"""
COUNT = 200
"""Actions of one measurement."""


def command() -> Command:
    """Return an action that does nothing."""
    return Command(str(uuid.uuid4()), "c", 1, 1, 0, "idle", "nothing", {"a": 0.5}, ("s",), 0)


async def milliseconds(lab: Any) -> float:
    """Return the median time of an action, ms by the wall."""
    times = []
    for _ in range(COUNT):
        asked = command()
        began = time.perf_counter()
        await lab.execute(asked, begins_sample=False)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def in_process(lab_file: Path) -> float:
    """Return ms of an action in an embedded lab."""

    async def go() -> float:
        lab = EmbeddedLab(lab_of(lab_file), RealClock(), lambda *_: None, None)  # type: ignore[arg-type, return-value]
        await lab.open()
        try:
            return await milliseconds(lab)
        finally:
            await lab.close()

    return asyncio.run(go())


def over_http(url: str) -> float:
    """Return ms of an action on a server, without a campaign's ledger."""
    plan = served_plan(url, None)

    async def go() -> float:
        lab = RemoteLab(plan, "c", None, lambda *_: None)  # type: ignore[arg-type, return-value]
        await lab.open()
        await lab.take_over(f"c.{uuid.uuid4().hex}", 1)
        try:
            return await milliseconds(lab)
        finally:
            await lab.close()

    return asyncio.run(go())


@contextmanager
def serving(lab_file: Path, folder: Path, kind: str) -> Iterator[str]:
    """Serve the lab in a process of its own; yields its address."""
    arguments = [sys.executable, __file__, str(lab_file), str(folder), kind]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def synced_write(folder: Path) -> float:
    """Return ms of one write that is on disk when it returns: what a commit cannot be faster than."""
    times = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(COUNT):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def served_rows(campaign: Callable[[Path, Path, str, int], tuple[float, int, int]], steps: int) -> list[Row]:
    """Return the table's rows.

    Args:
        campaign: (folder, home, lab, steps) → wall seconds of the engine, commands, its commits.
        steps: by how many idle steps an experiment is made longer.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "points.csv").write_text("a,y\n0,1\n1,2\n")
        lab_file = folder / "lab.yaml"
        lab_file.write_text(LAB)
        here = in_process(lab_file)
        rows.append(("action that does nothing, in process", f"{here:.2f} ms", "limit 1 ms", f"{here / 1:.2f}"))
        with serving(lab_file, folder / "memory", "memory") as url:
            there = over_http(url)
        rows.append(("over HTTP, nothing kept", f"{there:.2f} ms", "limit 5 ms", f"{there / 5:.2f}"))
        with serving(lab_file, folder / "disk", "disk") as url:

            def commits() -> int:
                return int(httpx.get(f"{url}/commits", trust_env=False).json())

            costs, per_action = [], 0.0
            for turn in range(3):
                few = campaign(folder, folder / f"few{turn}", url, 1)
                before = commits()
                many = campaign(folder, folder / f"many{turn}", url, 1 + steps)
                costs.append((many[0] - few[0]) / (many[1] - few[1]) * 1e3)
                per_action = (commits() - before) / many[1] + (many[2] - few[2]) / (many[1] - few[1])
            synced = synced_write(folder)
        cost = statistics.median(costs)
        rows.append(("over HTTP, both logs on disk", f"{cost:.2f} ms", "limit 15 ms", f"{cost / 15:.2f}"))
        rows.append(("", f"{cost:.2f} ms", f"5 synced writes {5 * synced:.2f} ms", f"{cost / (5 * synced):.1f}"))
        rows.append(("commits of it, both logs", f"{per_action:.1f}", "limit 8", f"{per_action / 8:.2f}"))
    return rows


def main() -> None:
    """Serve."""
    import bench

    bench.install_idle()
    lab_file, folder, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_serve(lab_file, folder, kind))


async def _serve(lab_file: Path, folder: Path, kind: str) -> None:
    log = MemoryLog() if kind == "memory" else SqlLog(f"sqlite:///{folder / 'commands.db'}")
    server = LabServer(lab_of(lab_file), RealClock(), ArtefactStore(str(folder / "artefacts")), log)
    await server.open()
    app: FastAPI = make_app(server, None)
    count = 0

    def one(_: object) -> None:
        nonlocal count
        count += 1

    if isinstance(log, SqlLog):
        event.listen(log.engine, "commit", one)

    @app.get("/commits")
    async def commits() -> int:
        return count

    http = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    task = asyncio.create_task(http.serve())
    while not http.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    print(f"http://127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}", flush=True)
    await task
    await server.close()


if __name__ == "__main__":
    main()
