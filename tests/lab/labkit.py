"""A small lab for tests of the lab server: an oven whose own controller remembers, a probe with raw data, a person, and others.

Run as a program it serves that lab: `python labkit.py FOLDER PORT CLOCK FACTOR [WORLD]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import httpx
import uvicorn

from sdl.artefacts import ArtefactStore
from sdl.clock import Clock, ClockSettings, RealClock
from sdl.driver import (
    Command,
    Context,
    DriverSettings,
    FieldSpec,
    Form,
    Instrument,
    Limits,
    Reconciled,
    SafeReport,
    Unit,
    action,
)
from sdl.errors import OutcomeUnknown
from sdl.lab.client import RemoteLab
from sdl.lab.log import MemoryLog
from sdl.lab.plan import InstrumentPlan, LabPlan
from sdl.lab.routes import make_app
from sdl.lab.served_plan import served_plan
from sdl.lab.server import LabServer
from sdl.lab.sql_log import SqlLog
from sdl.lab.tokens import Tokens
from sdl.world import World


@dataclass(frozen=True)
class Reading:
    """What the probe reads."""

    value: Annotated[float, Unit("mm")]


def fire_seconds(arguments: Any) -> float:
    """How long a firing takes, s."""
    return float(arguments["hold"])


class Oven(Instrument):
    """An oven with a controller of its own: the world's record tells what became of a firing."""

    nature = "simulated"

    @action(effect="irreversible", duration=fire_seconds, abortable=True)
    async def fire(self, ctx: Context, hold: Annotated[float, Unit("s"), Limits(0, 1e6)]) -> None:
        """Fire a sample."""
        operation = self.world.begin(ctx.command, self.clock.now(), hold)
        await ctx.progress(0.5, "hot")
        await ctx.sleep_until(operation.ends)

    async def reconcile(self, command: Command) -> Reconciled:
        operation = self.world.operation(command.id)
        if operation is None:
            return Reconciled("not_started")
        if operation.aborted is not None:
            return Reconciled("done", error="aborted", started=operation.begins, finished=operation.over)
        if self.clock.now() < operation.ends:
            return Reconciled("running", started=operation.begins, ends=operation.ends)
        return Reconciled("done", {}, started=operation.begins, finished=operation.ends)

    async def abort(self, command: Command) -> bool:
        self.world.abort(command.id, self.clock.now())
        return True

    async def safe_state(self) -> SafeReport:
        return SafeReport(True, "heater off")


class Probe(Instrument):
    """Reads a sample and keeps the trace."""

    nature = "simulated"

    @action(effect="reads", duration="1 s")
    async def read(self, ctx: Context, x: Annotated[float, Unit("mm")]) -> Reading:
        """Read."""
        await ctx.sleep(1)
        ctx.artefact("trace.csv", f"x\n{x}\n".encode(), "text/csv")
        return Reading(x * x)


class Blind(Instrument):
    """Does something that nobody can ask it about afterwards."""

    nature = "simulated"

    @action(effect="irreversible", duration="10 s")
    async def stir(self, ctx: Context, seconds: Annotated[float, Unit("s")]) -> None:
        """Stir."""
        await ctx.sleep(seconds)


class Arm(Instrument):
    """Takes a sample somewhere, and breaks off where it is told to."""

    nature = "simulated"

    @action(effect="irreversible", duration="1 s")
    async def move(self, ctx: Context, breaks: bool = False) -> None:
        """Move a sample."""
        if breaks:
            raise OutcomeUnknown("the cable came off")


class Person(Instrument):
    """Somebody who is asked."""

    nature = "simulated"

    @action(effect="reads", duration="1 s")
    async def tell(self, ctx: Context) -> Reading:
        """Tell a length."""
        answer = await ctx.ask(Form("length", "measure it", (FieldSpec("value", "number", "mm", 0, 10),)))
        return Reading(answer["value"])


class Idle(Instrument):
    """Does nothing."""

    nature = "simulated"

    @action(effect="repeatable")
    async def nothing(self, ctx: Context) -> None:
        """Do nothing."""


KINDS: dict[str, type[Instrument]] = {
    "oven": Oven,
    "probe": Probe,
    "arm": Arm,
    "blind": Blind,
    "person": Person,
    "idle": Idle,
}


REAL = ClockSettings()


def plan_of(clock: ClockSettings = REAL, world: dict[str, Any] | None = None, **changes: Any) -> LabPlan:
    """The lab; `safe_after={"oven": 1.0}` has an instrument made safe."""
    safe = changes.pop("safe_after", {})
    instruments = {
        n: InstrumentPlan(n, n, k, DriverSettings(), k.describe(DriverSettings(), n), safe_after=safe.get(n))
        for n, k in KINDS.items()
    }
    return LabPlan("bench", clock, world or {"seed": 1}, instruments, **changes)


def command(id_: str, instrument: str = "oven", do: str = "fire", **options: Any) -> Command:
    """A command of campaign `c`; arguments under `with_`."""
    fields = {"campaign": "c", "epoch": 1, "experiment": 1, "step": 0, "samples": ("s1",), "occurrence": 0}
    given = options.pop("with_", {"hold": 0.05} if do == "fire" else {})
    return Command(id=id_, instrument=instrument, action=do, arguments=given, **{**fields, **options})


class _Quiet(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class Served:
    """A server in this process."""

    server: LabServer
    url: str
    store: ArtefactStore

    async def client(self, name: str = "c", epoch: int = 1, token: str | None = None, **options: Any) -> RemoteLab:
        """A client that has taken the campaign over."""
        client = await self.stranger(name, token, **options)
        await client.take_over(f"{name}.id", epoch)
        return client

    async def stranger(self, name: str = "c", token: str | None = None, **options: Any) -> RemoteLab:
        """A client that has only looked."""
        plan = await asyncio.to_thread(served_plan, self.url, token)
        client = RemoteLab(plan, name, token, self.store.put, **options)
        await client.open()
        return client


@asynccontextmanager
async def served(
    folder: Path,
    *,
    plan: LabPlan | None = None,
    clock: Clock | None = None,
    tokens: Tokens | None = None,
    in_memory: bool = False,
    port: int = 0,
    log_url: Any = None,
) -> AsyncIterator[Served]:
    """Serve the lab within this process."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  a test's own folder
    log = MemoryLog() if in_memory else SqlLog(log_url or f"sqlite:///{folder / 'commands.db'}")
    world = World(1, folder / "world.jsonl")
    server = LabServer(plan or plan_of(), clock or RealClock(), ArtefactStore(str(folder / "artefacts")), log, world)
    await server.open()
    http = _Quiet(
        uvicorn.Config(
            make_app(server, tokens), port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1
        )
    )
    task = asyncio.create_task(http.serve())
    while not http.started:
        await asyncio.sleep(0.005)
        if task.done():
            task.result()
    url = f"http://127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield Served(server, url, ArtefactStore(str(folder / "client")))
    finally:
        http.should_exit = True
        await server.close()
        await task
        if isinstance(log, SqlLog):
            log.close()


class Process:
    """The lab served by a process of its own."""

    def __init__(self, folder: Path, port: int = 0, clock: str = "real", factor: float = 1.0, world: str = "") -> None:
        self.arguments = [str(folder), str(port), clock, str(factor), world]
        environment = {**os.environ, "SDL_LOCKS": str(folder / "locks"), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, *self.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.lines: list[str] = []
        while True:
            line = self.process.stdout.readline()
            assert line, "".join(self.lines)
            self.lines.append(line)
            if " at http://" in line:
                break
        self.url = line.split(" at ")[1].split()[0]
        self.port = int(self.url.rsplit(":", 1)[1])

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self.process.stdout.close()


def effects(folder: Path) -> list[str]:
    """The ids of all commands that the simulated world ever began, in order."""
    path = folder / "world.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [r["command"] for r in rows if r["effect"] == "begin"]


async def until(condition: Any, seconds: float = 20.0) -> None:
    """Poll until a condition holds."""
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, "it never came true"
        await asyncio.sleep(0.01)


async def standing(url: str, id_: str) -> dict[str, Any]:
    """How a command stands, asked as anybody may."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return (await client.get(f"/commands/{id_}")).json()


def main() -> None:
    """Serve."""
    from sdl.lab.serving import LOG, Door, serve
    from sdl.ledger.place import url_of

    folder, port, clock, factor, world = sys.argv[1:]
    settings = ClockSettings(clock, float(factor))
    plan = plan_of(settings, {"seed": 1, **({"server": world} if world else {})})
    door, log_url = Door("127.0.0.1", int(port), None), url_of(Path(folder), LOG)
    sys.exit(asyncio.run(serve(plan, Path(folder), door, lambda t: print(t, flush=True), log_url)))


if __name__ == "__main__":
    main()
