"""`manual`: steps that a person carries out, asked with typed, unit-checked fields."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from sdl.driver import (
    ActionSpec,
    Command,
    Context,
    Description,
    DriverSettings,
    FieldSpec,
    Form,
    Health,
    Instrument,
    Reading,
    Reconciled,
    SafeReport,
)
from sdl.driver.description import Effect, read_late
from sdl.errors import DriverError, InstrumentFault, listed, near_miss
from sdl.units import DIMENSIONLESS

from .stating import FieldSettings, duration_of, number_in, stated_field

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.world import World

_ALWAYS_KNOWN = ("sample", "experiment")
_PIECE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")
"""Doubled braces, a placeholder, or a brace that is neither: nothing else of a text is looked at, and nothing is evaluated."""


class ManualActionSettings(BaseModel):
    """An action that a person carries out.

    Attributes:
        instructions: what to do; `{argument}`, `{sample}` and `{experiment}` are filled in, `{{` stands for a brace.
        effect: `reads`, `repeatable` or `irreversible`.
        parameters: what the step of the protocol gives, each number with unit and limits.
        results: what the person tells afterwards, each number with its unit.
        duration: typical time, such as `10 min`; needed where the effect is not `reads`.
        late: when a running command is reported as late: a time (`1 h`) or a factor of the duration (2); default: the larger of
            1.5 times and 5 min more than the duration.
        simulate: the results that stand in for a person's under `--simulate`, in the results' units or as quantities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instructions: Annotated[str, Field(min_length=1)]
    effect: Effect
    parameters: dict[str, FieldSettings] = Field(default_factory=dict)
    results: dict[str, FieldSettings] = Field(default_factory=dict)
    duration: str | None = None
    late: str | float | None = None
    simulate: dict[str, bool | int | float | str] | None = None


class ManualSettings(DriverSettings):
    """Settings of `manual`.

    Attributes:
        actions: what can be asked of a person, by name.
        simulated: nobody is asked, and the values of `simulate:` are given after the stated duration; `--simulate` sets it.
    """

    actions: Annotated[dict[str, ManualActionSettings], Field(min_length=1)]
    simulated: bool = False


@dataclass(frozen=True)
class _Task:
    """An action, checked.

    Attributes:
        spec: its description.
        instructions: with placeholders.
        stand_in: its results under `--simulate`, or None.
    """

    spec: ActionSpec
    instructions: str
    stand_in: Mapping[str, Any] | None


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill the placeholders of a text.

    Raises:
        DriverError: a placeholder that nothing is known of, or a single brace.

    >>> fill("weigh {mass} into {{A}}", {"mass": "2 g"})
    'weigh 2 g into {A}'
    """

    def piece(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            if len(match.group()) == 1:
                raise DriverError(
                    f"a single '{match.group()}' in {template!r}; write '{match.group() * 2}' for a brace"
                )
            return match.group()[0]
        if name not in values:
            raise DriverError(f"nothing is known of '{{{name}}}'{near_miss(name, values)}; known are {listed(values)}")
        return values[name]

    return _PIECE.sub(piece, template)


def _task(name: str, stated: ManualActionSettings) -> _Task:
    """Check an action's settings."""
    whose = f"actions.{name}"
    if stated.duration is None and stated.effect != "reads":
        raise DriverError(f"{whose}: state how long it takes, such as 'duration: 10 min'")
    parameters = tuple(stated_field(whose, n, s, is_taken=True) for n, s in stated.parameters.items())
    results = tuple(stated_field(whose, n, s, is_taken=False) for n, s in stated.results.items())
    names = [*stated.parameters, *_ALWAYS_KNOWN]
    try:
        said = fill(stated.instructions, {n: f"<{n}>" for n in names})
    except DriverError as error:
        raise DriverError(f"{whose}: instructions: {error}") from error
    seconds = 0.0 if stated.duration is None else duration_of(stated.duration, whose)
    late, late_is_factor = read_late(stated.late, seconds, whose)
    spec = ActionSpec(
        name=name,
        effect=stated.effect,
        parameters=parameters,
        results=results,
        duration=seconds,
        late=late,
        late_is_factor=late_is_factor,
        abortable=True,
        doc=said.strip().splitlines()[0] if said.strip() else name,
    )
    return _Task(spec, stated.instructions, _stand_in(whose, spec, stated.simulate))


def _stand_in(whose: str, spec: ActionSpec, given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the results that stand in for a person's, in the results' units."""
    if given is None:
        return None if spec.results else {}
    values = {}
    known = {r.name: r for r in spec.results}
    for name, value in given.items():
        result = known.get(name)
        if result is None:
            there = f"there is no result '{name}'{near_miss(name, known)}; there are {listed(known)}"
            raise DriverError(f"{whose}: simulate: {there}")
        number = result.kind in {"number", "integer"} and not isinstance(value, bool)
        values[name] = number_in(f"{whose}: simulate: '{name}'", value, result.unit) if number else value
    problem = spec.check_result(values)
    if problem is not None:
        raise DriverError(f"{whose}: simulate: {problem}")
    return values


def _settings(settings: DriverSettings) -> ManualSettings:
    if not isinstance(settings, ManualSettings):
        raise DriverError(f"manual: settings must be ManualSettings, got {type(settings).__name__}")
    return settings


def _tasks(settings: ManualSettings) -> dict[str, _Task]:
    wrong, tasks = [], {}
    for name, stated in settings.actions.items():
        try:
            tasks[name] = _task(name, stated)
            if settings.simulated and tasks[name].stand_in is None:
                wrong.append(
                    f"actions.{name}: 'simulated' needs 'simulate: {{{', '.join(stated.results)}}}' with values"
                )
        except DriverError as error:
            wrong.append(str(error))
    if wrong:
        raise DriverError("manual: " + "\n    ".join(wrong))
    return tasks


class Manual(Instrument):
    """A person, who is asked to carry a step out and to tell the result."""

    nature = "manual"
    nature_in_settings = True
    settings_model = ManualSettings
    readings: ClassVar[Mapping[str, str] | None] = {"asked": ""}

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        self._manual = _settings(settings)
        self._open: dict[str, tuple[str, asyncio.Task[Any] | None]] = {}

    @cached_property
    def _tasks(self) -> dict[str, _Task]:
        return _tasks(self._manual)

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "manual") -> Description:
        """Describe the actions as settings state them.

        Raises:
            DriverError: all that is wrong with them, at once.
        """
        manual = _settings(settings)
        actions = {name: task.spec for name, task in _tasks(manual).items()}
        nature = "simulated" if manual.simulated else "manual"
        doc = "A person, who is asked to carry a step out and to tell the result."
        return Description(driver, nature, actions, doc, readings=cls.readings)

    @classmethod
    def stand_in(cls, settings: DriverSettings) -> DriverSettings | None:
        """Return the settings under which the values of `simulate:` are given; None where an action has none."""
        manual = _settings(settings)
        if any(task.stand_in is None for task in _tasks(manual).values()):
            return None
        return manual.model_copy(update={"simulated": True})

    async def connect(self) -> None:
        """Check the settings."""
        _ = self._tasks

    async def perform(self, action_name: str, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask a person to do it, and give what they tell.

        Raises:
            InstrumentFault: no such action, or the person says that it failed.
            OutcomeUnknown: nobody can be asked.
        """
        task = self._tasks.get(action_name)
        if task is None:
            raise InstrumentFault(f"{self.name}: no action '{action_name}'; there are {listed(self._tasks)}")
        self._open[ctx.command.id] = (action_name, asyncio.current_task())
        try:
            return await self._ask(task, ctx, arguments)
        finally:
            del self._open[ctx.command.id]

    async def _ask(self, task: _Task, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._manual.simulated:
            await ctx.sleep(task.spec.duration)
            return dict(task.stand_in or {})
        command = ctx.command
        words = {p.name: _said(p, arguments[p.name]) for p in task.spec.parameters}
        known = {"sample": ", ".join(ctx.samples) or "no sample", "experiment": str(command.experiment), **words}
        title = f"experiment {command.experiment}, {self.name}: {task.spec.name}, sample {known['sample']}"
        return await ctx.ask(Form(title, fill(task.instructions, known), task.spec.results))

    async def health(self) -> Health:
        """Say that a person has no health that could be read."""
        if self._open:
            return Health("ok", f"busy: asked for {', '.join(name for name, _ in self._open.values())}")
        return Health("ok", "stand-in values" if self._manual.simulated else "a person; not asked")

    async def read_state(self) -> Mapping[str, Reading]:
        """Say what is being asked, the one thing that is known of a person."""
        asked = ", ".join(name for name, _ in self._open.values()) or "nothing"
        return {"asked": Reading(asked, "", self.clock.now())}

    async def safe_state(self) -> SafeReport:
        """Confirm nothing: only the person at the bench can."""
        if self._manual.simulated:
            for _, task in list(self._open.values()):
                if task is not None:
                    task.cancel()
            return SafeReport(confirmed=True, message="nobody does anything")
        return SafeReport(confirmed=False, message="a person works here: go and look")

    async def reconcile(self, command: Command) -> Reconciled:
        """Say that nobody knows: the person may have done it, and the question died with the process."""
        del command
        return Reconciled("unknown")

    async def abort(self, command: Command) -> bool:
        """Withdraw the question; the person is told to leave everything as it is."""
        task = self._open.get(command.id, ("", None))[1]
        return task is not None and task.cancel()


def _said(spec: FieldSpec, value: Any) -> str:  # noqa: ANN401  of the field's kind
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:.6g}" if spec.unit == DIMENSIONLESS else f"{value:.6g} {spec.unit}"
    return str(value)
