"""The worker: a process of its own in which planners and analyses run, so that nothing holds up an abort or an alarm.

It has one thread for linear algebra whatever the user has set (two on a busy machine cost up to ten times and change the
bits), takes one call after another over its standard input, and ends when that closes. A worker that dies is replaced and
the call repeated: whatever runs here is a pure function.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sdl.engine.environment import environment
from sdl.errors import SdlError

if TYPE_CHECKING:
    from sdl.analysis import AnalysisInput
    from sdl.objective import Estimate
    from sdl.planners import History, Problem, Proposal

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
_ATTEMPTS = 3
LENGTH = struct.Struct("<Q")


class WorkerError(SdlError):
    """The worker itself failed, again and again."""


class CallError(SdlError):
    """What was called in the worker raised something of its own; its text names it."""


@dataclass(frozen=True)
class Proposed:
    """A proposal with what it depended on.

    Attributes:
        proposal: the planner's answer.
        environment: library versions and machine type.
        seconds: CPU seconds that it took.
    """

    proposal: Proposal
    environment: dict[str, str]
    seconds: float


def propose(planner: str, problem: Problem, history: History, n: int, seed: int) -> Proposed:
    """Ask a planner by name; pure but for the time it takes."""
    from sdl.planners.registry import get_planner

    began = time.process_time()
    proposal = get_planner(planner).propose(problem, history, n, seed)
    return Proposed(proposal, environment(), time.process_time() - began)


def analyse(analysis: str, artefacts: tuple[AnalysisInput, ...]) -> dict[str, Estimate]:
    """Run an analysis by name."""
    from sdl.analysis import get_analysis

    return dict(get_analysis(analysis).analyse(artefacts))


class Worker(Protocol):
    """Where planners and analyses run."""

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        """Call a module-level function and return its result; what it raises is raised here."""

    async def close(self) -> None:
        """End the worker."""


class InlineWorker:
    """Runs calls in this very process: for benchmarks, whose seeds are processes of their own."""

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        """Call the function here."""
        return function(*arguments)

    async def close(self) -> None:
        """Nothing to end."""


class ProcessWorker:
    """Runs calls in a process of its own."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._killed: list[asyncio.subprocess.Process] = []
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The worker's process, or None before the first call."""
        return None if self._process is None else self._process.pid

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        """Call the function in the worker.

        Raises:
            WorkerError: the worker died again and again.
            Exception: whatever the function raised.
        """
        frame = pickle.dumps((function, arguments))
        async with self._turn:
            for _ in range(_ATTEMPTS):
                try:
                    answer = await self._exchange(frame)
                    break
                except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
                    await self._end()  # it was killed: a fresh one repeats the call
                except asyncio.CancelledError:
                    self.kill()  # or its answer would be taken for that of the next call
                    raise
            else:
                raise WorkerError(f"the worker process died {_ATTEMPTS} times in {function.__name__}; is memory short?")
        good, value, trace = pickle.loads(answer)  # noqa: S301  our own child wrote it
        if good:
            return value
        if isinstance(value, SdlError):
            raise value
        raise CallError(f"{function.__name__}: {type(value).__name__}: {value}\n{trace}") from value

    async def _exchange(self, frame: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "sdl.engine.worker_main",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, **ONE_THREAD},
                start_new_session=True,  # Ctrl-C in the terminal is for the campaign, which then decides
                limit=2**30,
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise WorkerError("the worker process has no pipes")
        process.stdin.write(LENGTH.pack(len(frame)) + frame)
        await process.stdin.drain()
        (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        return await process.stdout.readexactly(length)

    def kill(self) -> None:
        """End the process at once, whatever it is at; the next call begins a fresh one."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            self._killed.append(process)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def close(self) -> None:
        """Close the worker's input, at which it ends."""
        for killed in self._killed:
            await killed.wait()
        self._killed.clear()
        process, self._process = self._process, None
        if process is not None and process.returncode is None and process.stdin is not None:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), timeout=5.0)
            except TimeoutError:
                process.kill()
                await process.wait()


class WorkerPool:
    """Several workers for calculations and training, apart from the planner's, so that they never delay a proposal.

    Args:
        processes: how many calls run at once; a process is begun when it is first needed.
    """

    def __init__(self, processes: int) -> None:
        self._all = [ProcessWorker() for _ in range(processes)]
        self._idle = list(self._all)
        self._free = asyncio.Semaphore(processes)

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that were begun."""
        return tuple(w.pid for w in self._all if w.pid is not None)

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        """Call a module-level function in a free worker; a call that is cancelled takes its process with it.

        Raises:
            WorkerError: the worker died again and again.
            Exception: whatever the function raised.
        """
        async with self._free:
            worker = self._idle.pop()
            try:
                return await worker.call(function, *arguments)
            finally:
                self._idle.append(worker)

    def kill(self) -> None:
        """End all processes at once."""
        for worker in self._all:
            worker.kill()

    async def close(self) -> None:
        """End all workers."""
        for worker in self._all:
            await worker.close()
