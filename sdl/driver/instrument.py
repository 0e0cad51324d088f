"""The base class of every instrument, and the decorator that makes a method an action."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic.fields import FieldInfo

from sdl.driver.context import no_store
from sdl.driver.description import ActionSpec, Description, Effect, Use, field_spec, read_late, result_specs
from sdl.errors import DriverError, listed
from sdl.units import read_duration

if TYPE_CHECKING:
    from sdl.artefacts.ref import ArtefactRef
    from sdl.clock import Clock
    from sdl.driver.command import Command
    from sdl.driver.context import Context
    from sdl.world import World

Nature = Literal["real", "simulated", "replay", "manual", "calculation"]


@dataclass(frozen=True)
class InputFileMark:
    """Marks a setting that names a file: it is resolved beside the file that names it and recorded by hash."""


def _resolve(path: str, info: ValidationInfo) -> str:
    resolve = (info.context or {}).get("resolve")
    return path if resolve is None else str(resolve(path))


InputFile = Annotated[str, AfterValidator(_resolve), InputFileMark()]
"""A path in driver settings, relative to the file that it stands in."""


class DriverSettings(BaseModel):
    """Base of every driver's settings: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def input_files(self) -> list[str]:
        """Return the absolute paths of all files that the settings name."""
        return [
            str(getattr(self, name))
            for name, info in type(self).model_fields.items()
            if _names_file(info) and getattr(self, name) is not None
        ]


def _names_file(info: FieldInfo) -> bool:
    """Tell whether a setting is an `InputFile`, be it optional or not."""
    marks = [
        *info.metadata,
        *(m for part in typing.get_args(info.annotation) for m in getattr(part, "__metadata__", ())),
    ]
    return any(isinstance(m, InputFileMark) for m in marks)


@dataclass(frozen=True)
class Health:
    """Whether an instrument can work; found by touching the transport, never from memory."""

    state: Literal["ok", "degraded", "fault", "disconnected"]
    reason: str = ""


@dataclass(frozen=True)
class Reading:
    """One value of an instrument's state, with its unit and the moment at which it was read."""

    value: float | str
    unit: str
    moment: float


@dataclass(frozen=True)
class SafeReport:
    """What `safe_state` found when it read back.

    Attributes:
        confirmed: whether the instrument was read back as safe.
        message: what was done and read.
    """

    confirmed: bool
    message: str = ""


@dataclass(frozen=True)
class Reconciled:
    """What an instrument knows of a command after a crash.

    Attributes:
        state: `done`; `aborted` (it was stopped on the way, by a person or by `safe_state`); `running`; `not_started` (and it
            can no longer start); `unknown`.
        values: the result, where done.
        artefacts: raw data, where done.
        error: where done and failed, what went wrong.
        started: moment of the start, where known.
        finished: moment of the end, where done.
        ends: where running, the moment at which to ask again.
        failed_samples: where done, sample → what went wrong with it alone, as `ctx.sample_failed` would have said.
    """

    state: Literal["done", "aborted", "running", "not_started", "unknown"]
    values: Mapping[str, Any] = field(default_factory=dict)
    artefacts: tuple[ArtefactRef, ...] = ()
    error: str | None = None
    started: float | None = None
    finished: float | None = None
    ends: float | None = None
    failed_samples: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _ActionMark:
    effect: Effect
    duration: str | Callable[[Mapping[str, Any]], float]
    abortable: bool
    samples: int
    uses: tuple[Use, ...]
    raw: tuple[str, ...]
    late: str | float | None


Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


def action(
    *,
    effect: Effect,
    duration: str | Callable[[Mapping[str, Any]], float] = "0 s",
    abortable: bool = False,
    samples: int = 1,
    uses: Sequence[Use] = (),
    raw: Sequence[str] = (),
    late: str | float | None = None,
) -> Callable[[Method], Method]:
    """Make an async method an action.

    Args:
        effect: `reads`, `repeatable` or `irreversible`.
        duration: expected, such as `4 h`, or a function from arguments to seconds.
        abortable: whether `abort` stops it on the way.
        samples: the most samples that one command can be carried out on; with more than one, a campaign can have steps of
            several experiments share a command (`together`), and a specimen that fails is said with `ctx.sample_failed`.
        uses: what it uses up of the lab's consumables; where their names follow from settings, override `describe`.
        raw: techniques of the raw data that it gives (`impedance spectroscopy`), so that pre-flight can refuse a wrong analysis.
        late: after what time a running command is reported as late: a time (`6 h`), or a factor of the expected duration (2);
            default: the larger of 1.5 times and 5 min more than expected.
    """
    if samples < 1:
        raise DriverError(f"an action is carried out on at least one sample, not {samples}")
    if effect not in typing.get_args(Effect):
        raise DriverError(f"an action's effect is one of {listed(typing.get_args(Effect))}, not {effect!r}")

    def mark(method: Method) -> Method:
        function: Any = method
        if not inspect.iscoroutinefunction(function):
            raise DriverError(f"action '{function.__name__}' must be an async function")
        function.__sdl_action__ = _ActionMark(effect, duration, abortable, samples, tuple(uses), tuple(raw), late)
        return method

    return mark


class Instrument:
    """Base class of all instruments.

    A driver subclasses it, marks async methods with `@action`, and says what it is with `nature`. What it overrides
    beside its actions: `connect`, `health`, `read_state`, `safe_state`, `reconcile`, `abort`, `close`.

    Attributes:
        nature: what kind of thing it is; stamped into every record.
        settings_model: the driver's settings.
        simulator: entry-point name of the driver that stands in for this one under `--simulate`, or None.
        nature_in_settings: whether the settings say the nature, so that only the description knows it; `nature` is then what to
            assume before they are read. Such a driver stands in for itself, see `stand_in`.
        world_settings: keys of the lab's `world:` that a simulated instrument reads, beside `seed` and `server`.
        readings: what `read_state` always gives, key → unit (empty for words), so that interlocks on it can be checked before
            anything moves; None where the driver does not say.
    """

    nature: ClassVar[Nature] = "real"
    settings_model: ClassVar[type[DriverSettings]] = DriverSettings
    simulator: ClassVar[str | None] = None
    nature_in_settings: ClassVar[bool] = False
    world_settings: ClassVar[tuple[str, ...]] = ()
    readings: ClassVar[Mapping[str, str] | None] = None

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        self.name = name
        self.settings = settings
        self.clock = clock
        self.world = world
        self.store: Callable[[str, bytes, str], ArtefactRef] = no_store
        """Keeps raw data; set by the lab before use, so that `reconcile` can make artefacts again."""

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "") -> Description:
        """Return the description without connecting; override where actions follow from settings.

        Raises:
            DriverError: an action that cannot be described.
        """
        del settings
        actions = {
            name: _spec_of(cls.__name__, name, method, mark)
            for name, method in inspect.getmembers(cls, inspect.isfunction)
            if (mark := getattr(method, "__sdl_action__", None)) is not None
        }
        return Description(driver, cls.nature, actions, _first_line(cls.__doc__), readings=cls.readings)

    @classmethod
    def stand_in(cls, settings: DriverSettings) -> DriverSettings | None:
        """Return the settings under which this driver simulates itself, for `--simulate`; None where they state no stand-in."""
        del settings
        return None

    @classmethod
    def transport(cls, settings: DriverSettings) -> str | None:
        """Return by what a real instrument is reached, such as `serial:/dev/ttyUSB0` or `tcp:10.0.0.5:4001`; None for nothing.

        One process of a machine holds it at a time, in whichever lab file and under whichever name it is driven.
        """
        del settings
        return None

    async def connect(self) -> None:
        """Make ready; returns when the instrument answers, raises otherwise."""

    async def close(self) -> None:
        """Let go of the transport; the instrument stays as it is."""

    async def perform(self, action_name: str, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out an action and return its result fields; override where actions follow from settings.

        Args:
            action_name: one of the description's actions.
            ctx: command, samples, time, artefacts.
            arguments: checked, in the declared units.
        """
        result = await getattr(self, action_name)(ctx, **arguments)
        if result is None:
            return {}
        return asdict(result) if is_dataclass(result) and not isinstance(result, type) else dict(result)

    async def health(self) -> Health:
        """Say whether the instrument can work."""
        return Health("ok")

    async def read_state(self) -> Mapping[str, Reading]:
        """Read the instrument's state, each value with its unit and moment."""
        return {}

    async def safe_state(self) -> SafeReport:
        """Bring the instrument into its safe state; idempotent, works in fault, confirmed by read-back."""
        return SafeReport(confirmed=False, message="this driver has no safe state")

    async def reconcile(self, command: Command) -> Reconciled:
        """Say what became of a command after a crash; `unknown` unless the instrument can really tell."""
        del command
        return Reconciled("unknown")

    async def abort(self, command: Command) -> bool:
        """Stop a running command in bounded time; returns whether it was stopped."""
        del command
        return False

    def truth(self, action_name: str, arguments: Mapping[str, Any], sample: str) -> Mapping[str, float] | None:
        """Return an action's noise-free outcomes where the driver knows them; read by benchmark and torture only."""
        del action_name, arguments, sample
        return None


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().split("\n")[0]


def _spec_of(owner: str, name: str, method: Callable[..., Any], mark: _ActionMark) -> ActionSpec:
    whose = f"{owner}.{name}"
    every = list(inspect.signature(method).parameters.values())
    if len(every) < 2 or every[1].name != "ctx":
        raise DriverError(f"{whose}: an action's first parameter after self is 'ctx' (a Context)")
    parameters = every[2:]
    hints = _hints(whose, method, [*(p.name for p in parameters), "return"])
    for parameter in parameters:
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise DriverError(f"{whose}: '{parameter}' cannot be described; an action takes named parameters")
    missing = [p.name for p in parameters if p.name not in hints]
    if missing:
        raise DriverError(f"{whose}: the parameters {listed(missing)} need type hints")
    if "return" not in hints:
        raise DriverError(f"{whose}: say what it returns: '-> None', or a dataclass with annotated fields")
    estimate = mark.duration if callable(mark.duration) else None
    try:
        specs = tuple(field_spec(p.name, hints[p.name], p.default) for p in parameters)
        results = result_specs(whose, hints["return"])
    except DriverError as error:
        raise DriverError(f"{whose}: {str(error).removeprefix(whose + ': ')}") from error
    duration = 0.0 if callable(mark.duration) else read_duration(mark.duration)
    late, late_is_factor = read_late(mark.late, duration, whose)
    return ActionSpec(
        name=name,
        effect=mark.effect,
        parameters=specs,
        results=results,
        duration=duration,
        abortable=mark.abortable,
        doc=_first_line(method.__doc__),
        estimate=estimate,
        samples=mark.samples,
        uses=mark.uses,
        raw=mark.raw,
        late=late,
        late_is_factor=late_is_factor,
    )


def _hints(owner: str, method: Callable[..., Any], names: list[str]) -> dict[str, Any]:
    """Return the evaluated hints of some parameters; those of others (`ctx`) may be imported for type checkers only."""
    written = {n: h for n, h in inspect.get_annotations(method).items() if n in names}
    holder = type("Hints", (), {"__annotations__": written})
    try:
        return typing.get_type_hints(holder, getattr(method, "__globals__", {}), include_extras=True)
    except NameError as error:
        raise DriverError(
            f"{owner}: the type hint '{error.name}' cannot be looked up; import it or define it at the top of the module, "
            "not under TYPE_CHECKING"
        ) from error
