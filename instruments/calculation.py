"""`calculation`: a function of the user's as an action, computed in worker processes apart from the planner's."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from sdl.driver import (
    ActionSpec,
    Command,
    Context,
    Description,
    DriverSettings,
    FieldSpec,
    Health,
    InputFile,
    Instrument,
    Reconciled,
    SafeReport,
)
from sdl.driver.description import read_late
from sdl.engine import WorkerPool
from sdl.engine.worker import CallError, WorkerError
from sdl.errors import DriverError, InstrumentFault, UnitError
from sdl.units import read_quantity

from .pure_function import TextFunction
from .stating import FieldSettings, duration_of, load_target, parameters_of, results_of, values_of

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.world import World

COST = "cost"
"""Name of the result field that holds what a calculation costs, as in `replay`."""

_LONGEST_TRACE = 4000


class CalculationSettings(DriverSettings):
    """Settings of `calculation`.

    Attributes:
        target: the function, as `package.module:function`; pure: it is called again where its process was killed.
        file: the Python file in which it stands (`target` is then its name alone); its hash is recorded.
        action: name of the action.
        parameters: what type hints do not say of its parameters.
        results: what its return annotation does not say.
        result: name of the one result of a function that returns a number.
        fixed: parameters that always get this value.
        duration: typical time, such as `20 min`; in virtual time a calculation takes exactly that.
        late: when a running command is reported as late: a time (`1 h`) or a factor of the duration (2); default: the larger of
            1.5 times and 5 min more than the duration.
        cost: what one calculation costs, a number or a quantity; given as the result field `cost`.
        processes: how many are computed at once, each in a process of its own.
        time_limit: real time after which a calculation is given up and its experiment fails.
        description: for people; default: the function's docstring.
    """

    target: str
    file: InputFile | None = None
    action: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "compute"
    parameters: dict[str, FieldSettings] = Field(default_factory=dict)
    results: dict[str, FieldSettings] | None = None
    result: str | None = None
    fixed: dict[str, Any] = Field(default_factory=dict)
    duration: str = "0 s"
    late: str | float | None = None
    cost: float | str | None = None
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    time_limit: str | None = None
    description: str = ""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            if self.cost is not None:
                read_quantity(self.cost)
        except UnitError as error:
            raise ValueError(f"cost: {error}") from error
        return self


@dataclass(frozen=True)
class _Answer:
    """What became of a call in the worker: its value, or what it raised, in words that need none of its classes."""

    value: Any = None
    error: str | None = None
    trace: str = ""


def compute(target: str, file: str | None, arguments: Mapping[str, Any], seed: int, path: tuple[str, ...]) -> _Answer:
    """Call a function by name; runs in the worker.

    Args:
        target: as in the settings.
        file: as in the settings.
        arguments: by name.
        seed: of Python's and numpy's generators, so that a call that is repeated gives the same.
        path: where the campaign's process finds modules.
    """
    sys.path.extend(p for p in path if p not in sys.path)
    _end_with_parent()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  the user's function may draw from it
    try:
        return _Answer(load_target(target, file, "function")(**arguments))
    except (Exception, SystemExit) as error:  # noqa: BLE001  the experiment fails by whatever it raises
        if isinstance(error, DriverError):
            return _Answer(error=str(error))
        return _Answer(error=f"{type(error).__name__}: {error}", trace=traceback.format_exc()[-_LONGEST_TRACE:])


_watching = threading.Event()


def _end_with_parent() -> None:
    """Let the worker end when the campaign's process is gone: nothing of a calculation outlives it."""
    if _watching.is_set():
        return
    _watching.set()
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _settings(settings: DriverSettings) -> CalculationSettings:
    if not isinstance(settings, CalculationSettings):
        raise DriverError(f"calculation: settings must be CalculationSettings, got {type(settings).__name__}")
    return settings


def _spec(settings: CalculationSettings) -> ActionSpec:
    """Describe the action; what the function gives and `cost`, where it is stated."""
    function: Any = load_target(settings.target, settings.file, "function")
    whose = settings.target
    if not callable(function) or isinstance(function, type):
        raise DriverError(f"target '{whose}' is no function but {type(function).__name__}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise DriverError(f"target '{whose}': a calculation is a plain function, not async and no generator")
    results = results_of(whose, function, settings.results, settings.result)
    if settings.cost is not None:
        if any(r.name == COST for r in results):
            raise DriverError(f"{whose}: 'cost' is stated in the settings, and a result of the function has that name")
        results = (*results, FieldSpec(COST, "number", read_quantity(settings.cost).unit))
    elif not results:
        raise DriverError(f"{whose}: a calculation must give something; state its results")
    if settings.time_limit is not None:
        duration_of(settings.time_limit, f"{whose}: time_limit")
    seconds = duration_of(settings.duration, whose)
    late, late_is_factor = read_late(settings.late, seconds, whose)
    return ActionSpec(
        name=settings.action,
        effect="repeatable",
        parameters=parameters_of(whose, function, settings.parameters, settings.fixed),
        results=results,
        duration=seconds,
        late=late,
        late_is_factor=late_is_factor,
        abortable=True,
        doc=settings.description or (inspect.getdoc(function) or "").split("\n")[0] or f"Compute {whose}.",
    )


class Calculation(Instrument):
    """A Python function, computed in a worker process."""

    nature = "calculation"
    settings_model = CalculationSettings

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        self._calculation = _settings(settings)
        self._pool = WorkerPool(self._calculation.processes)
        self._running: dict[str, asyncio.Task[Any] | None] = {}

    @property
    def pids(self) -> tuple[int, ...]:
        """The worker processes that were begun."""
        return self._pool.pids

    @cached_property
    def _action(self) -> ActionSpec:
        return _spec(self._calculation)

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "calculation") -> Description:
        """Import the function, without calling it, and describe the action.

        Raises:
            DriverError: no such module or function; a hint, unit or limit is missing.
        """
        found = _settings(settings)
        spec = _spec(found)
        doc = (
            f"The function {found.target}, computed in {found.processes} worker process{'es' * (found.processes > 1)}."
        )
        return Description(driver, cls.nature, {spec.name: spec}, doc, places=found.processes, readings={})

    @classmethod
    def pure_function(cls, settings: DriverSettings) -> TextFunction:
        """Return the function itself, for a planner that asks it as physics.

        Raises:
            DriverError: no such module or function; a hint, unit or limit is missing.
        """
        found = _settings(settings)
        names = tuple(r.name for r in _spec(found).results if found.cost is None or r.name != COST)
        return TextFunction.of(found.target, found.file, found.fixed, names)

    async def connect(self) -> None:
        """Look the function up."""
        _ = self._action

    async def close(self) -> None:
        """End the workers."""
        if self._running:
            self._pool.kill()
        await self._pool.close()

    async def perform(self, action_name: str, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Compute in a worker. In virtual and scaled time it takes the stated duration of lab time.

        Raises:
            InstrumentFault: no such action, or the function raised, gave what was not declared, took too long, or killed its
                process again and again.
        """
        if action_name != self._action.name:
            raise InstrumentFault(f"{self.name}: no action '{action_name}'; there is '{self._action.name}'")
        self._running[ctx.command.id] = asyncio.current_task()
        try:
            return await self._compute(ctx, arguments)
        finally:
            self._running.pop(ctx.command.id, None)

    async def _compute(self, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        settings, command = self._calculation, ctx.command
        given = {**settings.fixed, **arguments}
        seed = int(command.digest[:8], 16)
        limit = None if settings.time_limit is None else duration_of(settings.time_limit, settings.target)
        began = ctx.clock.elapsed()
        work = self._pool.call(compute, settings.target, settings.file, given, seed, tuple(sys.path))
        task: asyncio.Task[_Answer] = asyncio.ensure_future(work)
        try:
            answer = await asyncio.wait_for(task, limit)
        except TimeoutError as error:
            raise InstrumentFault(
                f"{settings.target} was given up after its time limit of {settings.time_limit}"
            ) from error
        except (CallError, WorkerError) as error:
            raise InstrumentFault(f"{settings.target}: {str(error).splitlines()[0]}") from error
        finally:
            task.cancel()
        if answer.error is not None:
            raise InstrumentFault(f"{settings.target}: {answer.error}")
        declared = replace(self._action, results=tuple(r for r in self._action.results if not self._is_cost(r)))
        values = values_of(settings.target, answer.value, declared)
        if settings.cost is not None:
            values[COST] = read_quantity(settings.cost).value
        if ctx.clock.settings.type != "real":
            await ctx.sleep(max(0.0, self._action.duration - (ctx.clock.elapsed() - began)))
        return values

    def _is_cost(self, result: FieldSpec) -> bool:
        return self._calculation.cost is not None and result.name == COST

    async def health(self) -> Health:
        """Look the function up again."""
        try:
            load_target(self._calculation.target, self._calculation.file, "function")
        except DriverError as error:
            return Health("fault", str(error))
        return Health("ok", f"{len(self._running)} of {self._calculation.processes} processes at work")

    async def safe_state(self) -> SafeReport:
        """Confirm that nothing moves."""
        return SafeReport(confirmed=True, message="a calculation has nothing that moves")

    async def reconcile(self, command: Command) -> Reconciled:
        """Say that it never started: a worker ends with its campaign, and the function changes nothing."""
        del command
        return Reconciled("not_started")

    async def abort(self, command: Command) -> bool:
        """Kill the worker that computes the command."""
        task = self._running.get(command.id)
        if task is None:
            return False
        task.cancel()  # on its way out the call kills its process
        return True
