"""The worker: a process of its own in which planners and analyses run, so that nothing holds up an abort or an alarm.

It has one thread for linear algebra whatever the user has set (two on a busy machine cost up to ten times and change the
bits), takes one call after another over its standard input, and ends when that closes. A worker that dies is replaced and
the call repeated: whatever runs here is a pure function.
"""

from __future__ import annotations

import asyncio
import math
import os
import pickle
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sdl.engine.environment import analysis_environment, environment
from sdl.errors import SdlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.analysis import AnalysisInput, Interval
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
    proposal = get_planner(planner).propose(problem, problem.told(history), n, seed)
    return Proposed(proposal, environment(), time.process_time() - began)


@dataclass(frozen=True)
class Analysed:
    """All that an analysis found, as plain values.

    Attributes:
        estimates: field → value with standard uncertainty, in the field's unit.
        intervals: field → 95 % interval; none where the analysis states none.
        units: field → its unit.
        flags: what a person should know before trusting the values.
        diagnostics: name → number, None where it came out as NaN or infinity.
        figure: the file that holds the figure's data, or None.
        figure_error: why an analysis's figure could not be made such a file, or None.
        environment: library versions and machine type.
    """

    estimates: Mapping[str, Estimate]
    intervals: Mapping[str, Interval]
    units: Mapping[str, str]
    flags: tuple[str, ...]
    diagnostics: Mapping[str, float | None]
    figure: bytes | None
    figure_error: str | None
    environment: Mapping[str, str]


def analyse(analysis: str, artefacts: tuple[AnalysisInput, ...]) -> Analysed:
    """Run an analysis by name: all that it can tell where it can (`examine`), else its estimates alone.

    Raises:
        InputError: no such analysis.
        AnalysisError: the data do not support a value.
    """
    from sdl.analysis import DetailedAnalysis, get_analysis

    chosen = get_analysis(analysis)
    units = {f.name: f.unit for f in chosen.gives}
    if not isinstance(chosen, DetailedAnalysis):
        found = {n: _plain(e) for n, e in chosen.analyse(artefacts).items()}
        return Analysed(found, {}, units, (), {}, None, None, analysis_environment())
    result = chosen.examine(artefacts)
    figure, error = None, None
    try:
        from sdl.analysis.figure_data import figure_bytes

        figure = figure_bytes(result.figure)
    except Exception as e:  # noqa: BLE001  a figure that cannot be kept takes nothing from the values; it is recorded why
        error = f"the figure cannot be kept: {type(e).__name__}: {e}"
    return Analysed(
        estimates={n: _plain(e) for n, e in result.estimates.items()},
        intervals={n: type(i)(float(i.lower), float(i.upper)) for n, i in result.intervals.items()},
        units=units,
        flags=tuple(str(f) for f in result.flags),
        diagnostics={str(n): _finite(v) for n, v in result.diagnostics.items()},
        figure=figure,
        figure_error=error,
        environment=analysis_environment(),
    )


def _plain(estimate: Estimate) -> Estimate:
    """Return an estimate without the number types of the library that computed it."""
    uncertainty = estimate.uncertainty
    return type(estimate)(float(estimate.value), None if uncertainty is None else float(uncertainty))


def _finite(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


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
    """Runs calls in a process of its own.

    Attributes:
        program: the module that answers there.
    """

    program: ClassVar[str] = "sdl.engine.worker_main"

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
                self.program,
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
