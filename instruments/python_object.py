"""`python`: any class with type hints as an instrument; the YAML states effects, units and limits where the class does not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdl.driver import (
    ActionSpec,
    Command,
    Context,
    Description,
    DriverSettings,
    Health,
    InputFile,
    Instrument,
    Reading,
    Reconciled,
    SafeReport,
)
from sdl.driver.description import Effect, read_late
from sdl.errors import DriverError, InstrumentFault, InstrumentRefused, OutcomeUnknown, UnitError, listed, near_miss
from sdl.units import canonical_unit

from .one_thread import NotReturned, OneThread
from .stating import FieldSettings, duration_of, load_target, parameters_of, results_of, values_of

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.world import World

_SOON = 10.0
"""Real seconds that health, state, safe state and abort may take."""


class ActionSettings(BaseModel):
    """An action as settings state it.

    Attributes:
        effect: `reads`, `repeatable` or `irreversible`; needed unless the class says so with `@action`.
        method: name of the method; default: the action's own name.
        parameters: what the class does not say of them.
        results: what the class does not say of them; `{}` where it gives nothing.
        result: name of the one result of a method that returns a number, a word or a truth value.
        fixed: parameters of the method that always get this value and are none of the action's.
        duration: typical lab time, such as `5 min`; needed where the effect is not `reads`.
        late: when a running command is reported as late: a time (`1 h`) or a factor of the duration (2); default: the larger of
            1.5 times and 5 min more than the duration.
        time_limit: real time after which the call is given up. What was irreversible is then unknown.
        description: for people; default: the method's docstring.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    effect: Effect | None = None
    method: str | None = None
    parameters: dict[str, FieldSettings] = Field(default_factory=dict)
    results: dict[str, FieldSettings] | None = None
    result: str | None = None
    fixed: dict[str, Any] = Field(default_factory=dict)
    duration: str | None = None
    late: str | float | None = None
    time_limit: str | None = None
    description: str = ""


class StateSettings(BaseModel):
    """One value of the instrument's state.

    Attributes:
        unit: of the number; default: a word without unit.
        member: the attribute, property or method without arguments that gives it; default: the value's own name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: str = ""
    member: str | None = None


class StandInSettings(BaseModel):
    """The class that stands in under `--simulate`.

    Attributes:
        target: `module:Class`; it has the same methods.
        file: the Python file in which it stands, where it cannot be imported.
        arguments: of its constructor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    file: InputFile | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)


class PythonSettings(DriverSettings):
    """Settings of `python`.

    Attributes:
        target: the class, as `package.module:Class`.
        nature: `real` (matter moves), `simulated` or `calculation`; never inferred.
        file: the Python file in which the class stands (`target` is then its name alone); its hash is recorded.
        arguments: of the constructor.
        actions: by name; default: all methods that the class marks with `@action`.
        connect: method that makes ready, after the constructor.
        close: method that lets go of the transport.
        health: method that touches the transport and returns True, False or a `Health`.
        read_state: values of the state, by name.
        safe_state: method that makes safe and returns True only where it read that back (or a `SafeReport`).
        reconcile: method that says after a crash what became of a command: `done`, `running`, `not_started` (and it can no
            longer start), `unknown`, or a `Reconciled`. It gets those of `action`, `arguments`, `command`, `sample` it takes.
        abort: method that stops what runs and returns True where it did. It is called in a second thread.
        simulate: the class that stands in under `--simulate`.
    """

    target: str
    nature: Literal["real", "simulated", "calculation"]
    file: InputFile | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    actions: dict[str, ActionSettings | None] | None = None
    connect: str | None = None
    close: str | None = None
    health: str | None = None
    read_state: dict[str, StateSettings] = Field(default_factory=dict)
    safe_state: str | None = None
    reconcile: str | None = None
    abort: str | None = None
    simulate: StandInSettings | None = None

    @model_validator(mode="after")
    def _known_units(self) -> Self:
        for name, state in self.read_state.items():
            try:
                canonical_unit(state.unit)
            except UnitError as error:
                raise ValueError(f"read_state.{name}: {error}") from error
        return self

    def input_files(self) -> list[str]:
        """Return the absolute paths of all files that the settings name."""
        return [f for f in (self.file, None if self.simulate is None else self.simulate.file) if f is not None]


@dataclass(frozen=True)
class _Method:
    """A method of the class, found without an instance.

    Attributes:
        name: in the class.
        spec: the action that it carries out.
        is_async: whether it belongs into the event loop.
        takes_context: whether its first parameter is `ctx`.
        fixed: arguments that are always the same.
        limit: real seconds after which it is given up, or None.
    """

    name: str
    spec: ActionSpec
    is_async: bool
    takes_context: bool
    fixed: Mapping[str, Any]
    limit: float | None


@dataclass(frozen=True)
class _Class:
    """A class and what settings make of it; made without an instance.

    Attributes:
        settings: as given.
        type: the class.
        methods: action → method.
    """

    settings: PythonSettings
    type: type
    methods: Mapping[str, _Method]

    @classmethod
    def of(cls, settings: PythonSettings) -> _Class:
        """Import the class and read it.

        Raises:
            DriverError: all that is wrong with it, at once.
        """
        found = load_target(settings.target, settings.file, "class")
        if not isinstance(found, type):
            raise DriverError(f"target '{settings.target}' is no class but a {type(found).__name__}")
        if issubclass(found, Instrument):
            raise DriverError(
                f"target '{settings.target}' is a driver itself: install it under the entry-point group sdl.drivers"
            )
        wrong = []
        try:
            inspect.signature(found).bind(**settings.arguments)
        except TypeError as error:
            wrong.append(f"{found.__name__} cannot be made with the arguments {listed(settings.arguments)}: {error}")
        except ValueError:
            pass  # a class in C that does not say what it takes
        for role in ("connect", "close", "health", "safe_state", "reconcile", "abort"):
            name = getattr(settings, role)
            if name is not None and not callable(getattr(found, name, None)):
                wrong.append(f"{role}: {found.__name__} has no method '{name}'{near_miss(name, _public(found))}")
        stated = settings.actions
        if stated is None:
            stated = {n: None for n in _public(found) if hasattr(getattr(found, n), "__sdl_action__")}
        if not stated:
            has = listed(_public(found))
            wrong.append(f"state its actions: 'actions: {{method: {{effect: …}}}}'; {found.__name__} has {has}")
        methods: dict[str, _Method] = {}
        for name, action in stated.items():
            try:
                methods[name] = _method(found, name, action or ActionSettings(), settings)
            except DriverError as error:
                wrong.append(str(error))
        if wrong:
            raise DriverError(f"{settings.target}:\n    " + "\n    ".join(wrong))
        return cls(settings, found, methods)

    @property
    def lives_in_loop(self) -> bool:
        """Whether everything that is called is async; then the instance is made in the event loop too."""
        return all(m.is_async for m in self.methods.values())


def _public(found: type) -> list[str]:
    return [n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n, None))]


def _method(found: type, name: str, stated: ActionSettings, settings: PythonSettings) -> _Method:
    """Read the method of an action."""
    called = stated.method or name
    function = getattr(found, called, None)
    whose = f"{found.__name__}.{called}"
    if not callable(function) or isinstance(inspect.getattr_static(found, called, None), property):
        raise DriverError(
            f"actions.{name}: {found.__name__} has no method '{called}'{near_miss(called, _public(found))}"
        )
    function = cast("Callable[..., Any]", function)
    mark = getattr(function, "__sdl_action__", None)
    effect: Effect | None = stated.effect or getattr(mark, "effect", None)
    if effect is None:
        raise DriverError(
            f"actions.{name}: nothing says what {whose} does; state 'effect: reads' (changes nothing), 'repeatable' "
            "(again does no harm) or 'irreversible' (must never run twice)"
        )
    if mark is not None and effect != mark.effect:
        raise DriverError(f"actions.{name}: the class says that {whose} is {mark.effect}, settings say {effect}")
    is_bound = isinstance(inspect.getattr_static(found, called), staticmethod | classmethod)
    skip = 0 if is_bound else 1
    names = list(inspect.signature(function).parameters)
    takes_context = len(names) > skip and names[skip] == "ctx"
    is_async = inspect.iscoroutinefunction(function)
    if takes_context and not is_async:
        raise DriverError(f"actions.{name}: {whose} takes 'ctx' and must be async: a context belongs to the event loop")
    marked = getattr(mark, "duration", None)
    estimate = marked if callable(marked) and stated.duration is None else None
    duration = stated.duration or (marked if isinstance(marked, str) else None)
    if duration is None and estimate is None and effect != "reads":
        raise DriverError(f"actions.{name}: state how long {whose} takes, such as 'duration: 5 min'")
    seconds = 0.0 if duration is None else duration_of(duration, f"actions.{name}")
    late = getattr(mark, "late", None) if stated.late is None else stated.late
    late, late_is_factor = read_late(late, seconds, f"actions.{name}")
    described = stated.description or (inspect.getdoc(function) or "").split("\n")[0] or f"Call {whose}."
    spec = ActionSpec(
        name=name,
        effect=effect,
        parameters=parameters_of(whose, function, stated.parameters, stated.fixed, skip + takes_context),
        results=results_of(whose, function, stated.results, stated.result),
        duration=seconds,
        abortable=settings.abort is not None or settings.nature != "real",
        doc=described,
        estimate=estimate,
        late=late,
        late_is_factor=late_is_factor,
    )
    limit = None if stated.time_limit is None else duration_of(stated.time_limit, f"actions.{name}")
    return _Method(called, spec, is_async, takes_context, stated.fixed, limit)


def _settings(settings: DriverSettings) -> PythonSettings:
    if not isinstance(settings, PythonSettings):
        raise DriverError(f"python: settings must be PythonSettings, got {type(settings).__name__}")
    return settings


class PythonObject(Instrument):
    """Any Python class with type hints as an instrument."""

    nature = "real"
    nature_in_settings = True
    settings_model = PythonSettings

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        self._python = _settings(settings)
        self._object: Any = None
        self._thread = OneThread(f"sdl-{name}")
        self._second = OneThread(f"sdl-{name}-abort")
        self._running: dict[str, tuple[str, asyncio.Task[Any] | None]] = {}
        self._aborts: dict[str, asyncio.Task[bool]] = {}

    @cached_property
    def _class(self) -> _Class:
        return _Class.of(self._python)

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "python") -> Description:
        """Import the class, without making an instance, and describe its actions.

        Raises:
            DriverError: no such module, class or method; a hint, unit, limit or effect is missing.
        """
        known = _Class.of(_settings(settings))
        doc = (known.type.__dict__.get("__doc__") or "").strip().split("\n")[
            0
        ] or f"The Python class {known.type.__name__}."
        actions = {n: m.spec for n, m in known.methods.items()}
        readings = {name: state.unit for name, state in known.settings.read_state.items()}
        return Description(driver, known.settings.nature, actions, doc, readings=readings)

    @classmethod
    def stand_in(cls, settings: DriverSettings) -> DriverSettings | None:
        """Return the settings with the class of `simulate:` in the place of the real one."""
        python = _settings(settings)
        other = python.simulate
        if other is None:
            return None
        given: dict[str, Any] = {"target": other.target, "file": other.file, "arguments": other.arguments}
        return python.model_copy(update={**given, "nature": "simulated", "simulate": None})

    async def connect(self) -> None:
        """Make the instance and call `connect`, where one is stated."""
        make = self._class.type
        if self._class.lives_in_loop:
            self._object = make(**self._python.arguments)
        else:
            self._object = await self._thread.call(f"{make.__name__}()", lambda: make(**self._python.arguments))
        if self._python.connect is not None:
            await self._ask(self._python.connect, limit=None)

    async def close(self) -> None:
        """Call `close`, where one is stated, and let the thread end.

        Raises:
            InstrumentFault: a call still runs; its thread is left to itself.
        """
        try:
            if self._python.close is not None and self._object is not None:
                await self._ask(self._python.close)
        finally:
            busy = self._thread.busy
            self._object = None
            ended = await self._thread.close(0.2 if busy else _SOON)
            await self._second.close(0.2)
        if not ended and self._python.nature == "real":
            raise InstrumentFault(f"{self.name}: still in {busy or 'a call'}; its thread was left behind")

    async def perform(self, action_name: str, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call the method of an action: in the instrument's thread, or in the event loop where it is async.

        Raises:
            InstrumentFault: no such action, no instance, or what was returned does not fit.
            OutcomeUnknown: an irreversible call did not come back, or its transport broke.
        """
        method = self._class.methods.get(action_name)
        if method is None:
            raise InstrumentFault(f"{self.name}: no action '{action_name}'; there are {listed(self._class.methods)}")
        if self._object is None:
            raise InstrumentRefused(f"{self.name}: not connected, nothing was sent")
        self._running[ctx.command.id] = (action_name, asyncio.current_task())
        try:
            return await self._perform(method, ctx, arguments)
        finally:
            self._running.pop(ctx.command.id, None)

    async def _perform(self, method: _Method, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        given = {**method.fixed, **arguments}
        what = f"{self._class.type.__name__}.{method.name}"
        began = ctx.clock.elapsed()
        try:
            if method.is_async:
                first = (ctx,) if method.takes_context else ()
                returned = await _within(getattr(self._object, method.name)(*first, **given), method.limit, what)
            else:
                returned = await self._call(what, method.name, given, method.limit)
        except NotReturned as error:
            if method.spec.effect == "irreversible":
                raise
            raise InstrumentFault(str(error)) from error
        except (OSError, EOFError) as error:  # TimeoutError and ConnectionError among them, and what pyserial raises
            if method.spec.effect == "irreversible":
                said = f"{what} raised {type(error).__name__}: {error}"
                raise OutcomeUnknown(f"{said}: what happened at the instrument is not known") from error
            raise
        if await self._is_stopped(ctx.command):
            raise InstrumentFault(f"{what} was stopped on request; what it returned is that of an unfinished action")
        values = values_of(what, returned, method.spec)
        if self._python.nature == "simulated" or (
            self._python.nature == "calculation" and ctx.clock.settings.type != "real"
        ):
            # A class knows no lab time: what it stands for takes as long as is stated.
            await ctx.sleep(max(0.0, method.spec.seconds(arguments) - (ctx.clock.elapsed() - began)))
        return values

    async def _call(self, what: str, name: str, arguments: Mapping[str, Any], limit: float | None) -> Any:  # noqa: ANN401
        """Call a method in the thread; looking it up may already talk to the instrument."""
        target = self._object
        returned = await self._thread.call(what, lambda: getattr(target, name)(**arguments), limit)
        return await returned if inspect.isawaitable(returned) else returned

    async def _ask(self, name: str, arguments: Mapping[str, Any] | None = None, limit: float | None = _SOON) -> Any:  # noqa: ANN401
        """Call a method of the class that is no action."""
        what = f"{self._class.type.__name__}.{name}"
        if self._object is None:
            raise InstrumentFault(f"{self.name}: not connected, {what} was not called")
        if inspect.iscoroutinefunction(getattr(self._class.type, name)):
            return await _within(getattr(self._object, name)(**(arguments or {})), limit, what)
        return await self._call(what, name, arguments or {}, limit)

    async def health(self) -> Health:
        """Call `health`; where none is stated, a real instrument is degraded: nobody can ask it."""
        if self._object is None:
            return Health("disconnected", "there is no instance")
        busy = self._thread.busy
        if busy is not None:
            return Health("ok", f"busy: in {busy}; not asked, because one thread serves it")
        if self._running:
            return Health("ok", f"busy with {', '.join(name for name, _ in self._running.values())}")
        if self._python.health is None:
            if self._python.nature == "real":
                return Health("degraded", "settings state no 'health' method, so that nothing can be asked of it")
            return Health("ok")
        try:
            found = await self._ask(self._python.health)
        except OSError as error:
            return Health("disconnected", f"{type(error).__name__}: {error}")
        if isinstance(found, Health):
            return found
        if isinstance(found, bool):
            return Health("ok" if found else "fault", "" if found else f"{self._python.health}() says False")
        return Health("fault", f"{self._python.health}() must return True, False or a Health, not {found!r}")

    async def read_state(self) -> Mapping[str, Reading]:
        """Read what `read_state` names.

        Raises:
            InstrumentFault: a value is neither number nor word, or the instrument is busy.
        """
        readings = {}
        for name, state in self._python.read_state.items():
            member, target = state.member or name, self._object
            if target is None:
                raise InstrumentFault(f"{self.name}: not connected, '{name}' was not read")

            def read(member: str = member, target: Any = target) -> Any:  # noqa: ANN401
                found = getattr(target, member)
                return found() if callable(found) else found

            value = await self._thread.call(f"{self._class.type.__name__}.{member}", read, _SOON)
            value = await value if inspect.isawaitable(value) else value
            value = value.item() if hasattr(value, "item") else value
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise InstrumentFault(f"{self.name}: {member} gave {value!r} for '{name}', which is no number or word")
            readings[name] = Reading(value, state.unit, self.clock.now())
        return readings

    async def safe_state(self) -> SafeReport:
        """Call `safe_state`; confirmed only where it returns True or says so in a report."""
        if self._python.nature != "real":
            for command in list(self._running):
                self._cancel(command)
        if self._python.safe_state is None:
            if self._python.nature == "real":
                return SafeReport(confirmed=False, message="settings state no 'safe_state' method for this class")
            return SafeReport(confirmed=True, message=f"{self._python.nature}: nothing moves")
        found = await self._ask(self._python.safe_state)
        if isinstance(found, SafeReport):
            return found
        if found is True:
            return SafeReport(confirmed=True, message=f"{self._python.safe_state}() read it back")
        said = f"{self._python.safe_state}() returned {found!r}, not True: nothing was read back"
        return SafeReport(confirmed=False, message=said)

    async def reconcile(self, command: Command) -> Reconciled:
        """Call `reconcile`. Without it only what changes nothing, or a calculation, is known not to matter."""
        name = self._python.reconcile
        method = self._class.methods.get(command.action)
        if name is None:
            harmless = method is not None and method.spec.effect == "reads"
            harmless |= method is not None and method.spec.effect == "repeatable" and self._python.nature == "simulated"
            return Reconciled("not_started" if harmless or self._python.nature == "calculation" else "unknown")
        sample = command.samples[0] if command.samples else ""
        known = {
            "action": command.action,
            "arguments": dict(command.arguments),
            "command": command.id,
            "sample": sample,
        }
        takes = inspect.signature(getattr(self._class.type, name)).parameters
        found = await self._ask(name, {k: v for k, v in known.items() if k in takes})
        if isinstance(found, Reconciled):
            return found
        if found in {"running", "not_started", "unknown"}:
            return Reconciled(cast("Literal['running', 'not_started', 'unknown']", found))
        if found == "done" and method is not None and not method.spec.results:
            return Reconciled("done")
        raise InstrumentFault(
            f"{name}() returned {found!r}; it must return 'done' (where the action gives nothing), 'running', 'not_started', "
            "'unknown' or a sdl.driver.Reconciled"
        )

    async def abort(self, command: Command) -> bool:
        """Call `abort` beside what runs, in a second thread; returns whether it says that it stopped it."""
        if command.id not in self._running or self._object is None:
            return False
        if self._python.abort is None:
            return self._python.nature != "real" and self._cancel(command.id)
        self._aborts[command.id] = stopping = asyncio.ensure_future(self._stop(self._python.abort, self._object))
        try:
            stopped = await stopping
        finally:
            del self._aborts[command.id]
        if stopped and self._python.nature != "real":
            self._cancel(command.id)
        return stopped

    def _cancel(self, command: str) -> bool:
        """Stop waiting for an action behind which no matter moves; returns whether it ran."""
        task = self._running.get(command, ("", None))[1]
        return task is not None and task.cancel()

    async def _is_stopped(self, command: Command) -> bool:
        """Tell whether the command is being aborted right now, with success: then what it returned is no result."""
        stopping = self._aborts.get(command.id)
        if stopping is None:
            return False
        await asyncio.wait({stopping})
        return not stopping.cancelled() and stopping.exception() is None and stopping.result()

    async def _stop(self, name: str, target: Any) -> bool:  # noqa: ANN401  the user's object
        what = f"{self._class.type.__name__}.{name}"
        if inspect.iscoroutinefunction(getattr(self._class.type, name)):
            return await _within(getattr(target, name)(), _SOON, what) is True
        return await self._second.call(what, getattr(target, name), _SOON) is True


async def _within(work: Any, limit: float | None, what: str) -> Any:  # noqa: ANN401
    """Await something for some real seconds at most."""
    deadline = asyncio.timeout(limit)
    try:
        async with deadline:
            return await work
    except TimeoutError as error:
        if deadline.expired():
            raise NotReturned(
                f"{what} did not return within its limit of {limit:g} s, and may still be at work"
            ) from error
        raise
