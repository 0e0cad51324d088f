"""What an instrument can do, as data: actions with parameters, results, units, limits, effects and durations.

Pre-flight, the lab server, the JSON Schema and forms use only the description; none of them needs a connection.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal

from sdl.errors import DriverError, LimitError, UnitError, brief, listed
from sdl.units import DIMENSIONLESS, canonical_unit, read_duration

Effect = Literal["reads", "repeatable", "irreversible"]
Kind = Literal["number", "integer", "text", "boolean"]

_LARGEST_WHOLE = 2**53

LATE_FACTOR = 1.5
"""How many times its expected duration an action takes before it counts as late. Chosen: durations are estimates."""
LATE_SPARE = 300.0
"""Seconds above its expected duration before which no action is late. Chosen: a minute's delay of a short one is no news."""


@dataclass(frozen=True)
class Unit:
    """The unit of a parameter or result: `Annotated[float, Unit("degC")]`."""

    name: str

    def __post_init__(self) -> None:
        canonical_unit(self.name)


@dataclass(frozen=True)
class Limits:
    """The allowed range, both ends included, in the declared unit. Out of range is refused, never clipped."""

    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        if not self.lower <= self.upper:
            raise DriverError(
                f"Limits({self.lower:g}, {self.upper:g}): the lower limit must not be above the upper one"
            )


@dataclass(frozen=True)
class Role:
    """What a parameter means to the lab: `Annotated[str, Role("place")]`.

    Attributes:
        name: `place`: the place of the lab where the samples are afterwards; `container`: the kind of container of the lab in
            which they are afterwards; `heats`: a temperature that the samples' container must stand.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in ROLES:
            raise DriverError(f"Role({self.name!r}): a parameter's role is one of {listed(ROLES)}")


ROLES: dict[str, Kind] = {"place": "text", "container": "text", "heats": "number"}
"""Role → what kind of parameter can play it."""


@dataclass(frozen=True)
class Use:
    """What an action uses up of a consumable of the lab.

    Attributes:
        consumable: its name in the lab file.
        amount: of it for each sample, in `unit`, or the name of the parameter that gives it.
        unit: of a fixed amount; the parameter's own where a parameter gives it.
    """

    consumable: str
    amount: float | str = 1.0
    unit: str = DIMENSIONLESS


@dataclass(frozen=True)
class FieldSpec:
    """A parameter or a result of an action.

    Attributes:
        name: as in the signature.
        kind: `number`, `integer`, `text` or `boolean`.
        unit: the unit in which the action takes or gives it.
        lower: smallest allowed number, in `unit`.
        upper: largest allowed number, in `unit`.
        choices: allowed words, empty where any will do.
        required: whether it must be given.
        default: the value where it is not given.
        role: what it means to the lab, see `Role`; empty for nothing.
    """

    name: str
    kind: Kind = "number"
    unit: str = DIMENSIONLESS
    lower: float = -math.inf
    upper: float = math.inf
    choices: tuple[str, ...] = ()
    required: bool = True
    default: Any = None
    role: str = ""

    def problem(self, value: Any) -> str | None:  # noqa: ANN401  whatever came over the boundary
        """Say why a value (in `unit`) is refused, or None."""
        if self.kind == "boolean":
            return None if isinstance(value, bool) else f"{brief(value)} is not true or false"
        if self.kind == "text":
            if not isinstance(value, str):
                return f"{brief(value)} is not a text"
            if self.choices and value not in self.choices:
                return f"{brief(value)} is none of {', '.join(self.choices)}"
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{brief(value)} is not a number"
        if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
            return f"{brief(value)} is too large a whole number to be computed with exactly"
        if not math.isfinite(value):
            return f"{value!r} is not finite"
        if self.kind == "integer" and not float(value).is_integer():
            return f"{value!r} is not a whole number"
        if not self.lower <= value <= self.upper:
            return f"{value:g} {self.unit} is outside the limits {self.allowed}"
        return None

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return ", ".join(self.choices)
        if self.kind in {"number", "integer"}:
            return f"[{self.lower:g}, {self.upper:g}] {self.unit}"
        return self.kind

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the value, with its unit under `x-unit`."""
        kinds = {"number": "number", "integer": "integer", "text": "string", "boolean": "boolean"}
        result: dict[str, Any] = {"type": kinds[self.kind]}
        if self.kind in {"number", "integer"}:
            result["x-unit"] = self.unit
            if math.isfinite(self.lower):
                result["minimum"] = self.lower
            if math.isfinite(self.upper):
                result["maximum"] = self.upper
        if self.choices:
            result["enum"] = list(self.choices)
        if not self.required:
            result["default"] = self.default
        if self.role:
            result["x-role"] = self.role
        return result


@dataclass(frozen=True)
class ActionSpec:
    """One action of an instrument.

    Attributes:
        name: as in the protocol.
        effect: `reads` (changes nothing), `repeatable` (again does no harm), `irreversible` (must never run twice).
        parameters: what it takes.
        results: what it gives.
        duration: typical seconds.
        abortable: whether it can be stopped on the way.
        doc: first line of its docstring.
        estimate: arguments → seconds, where the duration depends on them.
        samples: the most samples that one command can be carried out on.
        uses: what it uses up.
        raw: techniques of the raw data that it gives, such as `impedance spectroscopy`; empty where it does not say.
        late: seconds, or so many times the expected duration (`late_is_factor`), after which it counts as late; None for the
            platform's own rule, see `late_after`.
        late_is_factor: what `late` counts.
    """

    name: str
    effect: Effect
    parameters: tuple[FieldSpec, ...] = ()
    results: tuple[FieldSpec, ...] = ()
    duration: float = 0.0
    abortable: bool = False
    doc: str = ""
    estimate: Callable[[Mapping[str, Any]], float] | None = field(default=None, compare=False, repr=False)
    samples: int = 1
    uses: tuple[Use, ...] = ()
    raw: tuple[str, ...] = ()
    late: float | None = None
    late_is_factor: bool = False

    def with_role(self, role: str) -> FieldSpec | None:
        """Return the parameter that plays a role, or None."""
        return next((p for p in self.parameters if p.role == role), None)

    def amounts(self, arguments: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
        """Return consumable → (amount for one sample, unit) for these arguments, which are in the declared units."""
        units = {p.name: p.unit for p in self.parameters}
        return {
            u.consumable: (float(arguments[u.amount]), units[u.amount])
            if isinstance(u.amount, str)
            else (u.amount, u.unit)
            for u in self.uses
        }

    def seconds(self, arguments: Mapping[str, Any]) -> float:
        """Return the expected duration in seconds for these arguments."""
        return self.duration if self.estimate is None else float(self.estimate(arguments))

    def late_after(self, expected: float) -> float:
        """Return the seconds after which the action counts as late.

        Where the driver states none it is half as long again as expected, and never less than `LATE_SPARE` longer.

        Args:
            expected: seconds, as `seconds` gives them.
        """
        if self.late is None:
            return max(LATE_FACTOR * expected, expected + LATE_SPARE)
        return self.late * expected if self.late_is_factor else self.late

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with defaults filled in; they are in the declared units.

        Raises:
            LimitError: one is missing, surplus, of the wrong kind or outside its limits; all are named.
        """
        known = {p.name: p for p in self.parameters}
        wrong = [f"'{name}' is no parameter of {self.name}" for name in arguments if name not in known]
        complete: dict[str, Any] = {}
        for name, spec in known.items():
            if name in arguments:
                if (problem := spec.problem(arguments[name])) is not None:
                    wrong.append(f"{name}: {problem}")
                complete[name] = arguments[name]
            elif spec.required:
                wrong.append(f"'{name}' is missing ({spec.allowed})")
            else:
                complete[name] = spec.default
        if wrong:
            raise LimitError(f"{self.name}: " + "; ".join(wrong))
        return complete

    def check_result(self, values: Mapping[str, Any]) -> str | None:
        """Say what is wrong with a result: a field missing, surplus or not finite; None where nothing is."""
        known = {r.name: r for r in self.results}
        wrong = [f"'{name}' is missing" for name in known if name not in values]
        wrong += [f"'{name}' was not declared" for name in values if name not in known]
        wrong += [
            f"{name}: {problem}"
            for name, spec in known.items()
            if name in values and (problem := spec.problem(values[name])) is not None
        ]
        return "; ".join(wrong) or None

    def schema(self) -> dict[str, Any]:
        """Return the action as JSON: schema of arguments and results, effect, duration."""

        def object_schema(specs: tuple[FieldSpec, ...]) -> dict[str, Any]:
            return {
                "type": "object",
                "properties": {s.name: s.schema() for s in specs},
                "required": [s.name for s in specs if s.required],
                "additionalProperties": False,
            }

        return {
            "description": self.doc,
            "effect": self.effect,
            "duration": {"value": self.duration, "unit": "s"},
            "late": None
            if self.late is None
            else {"value": self.late, "unit": "times" if self.late_is_factor else "s"},
            "abortable": self.abortable,
            "samples": self.samples,
            "uses": [asdict(u) for u in self.uses],
            "raw": list(self.raw),
            "arguments": object_schema(self.parameters),
            "results": object_schema(self.results),
        }


@dataclass(frozen=True)
class Description:
    """All that is known of an instrument without connecting to it.

    Attributes:
        driver: entry-point name of its driver.
        nature: `real`, `simulated`, `replay`, `manual` or `calculation`; never inferred.
        actions: by name.
        doc: first line of the driver's docstring.
        places: how many commands it carries out at once; 1 but for calculations.
        readings: what its `read_state` always gives: key → unit (empty or dimensionless for words); None where it does not say.
    """

    driver: str
    nature: str
    actions: Mapping[str, ActionSpec]
    doc: str = ""
    places: int = 1
    readings: Mapping[str, str] | None = None

    @property
    def is_real(self) -> bool:
        """Whether matter moves."""
        return self.nature in {"real", "manual"}

    def schema(self) -> dict[str, Any]:
        """Return the description as JSON."""
        return {
            "driver": self.driver,
            "nature": self.nature,
            "description": self.doc,
            "actions": {name: spec.schema() for name, spec in self.actions.items()},
            "readings": None if self.readings is None else dict(self.readings),
        }


def read_late(late: str | float | None, duration: float, whose: str) -> tuple[float | None, bool]:
    """Read a late limit: a duration such as `6 h`, or a factor of the expected duration such as 2.

    Args:
        late: as it is stated; None for the platform's own rule.
        duration: expected, s, where it is always the same; else 0.
        whose: action, for messages.

    Returns:
        The number, and whether it is a factor; else it is in seconds.

    Raises:
        DriverError: neither, or not above what is expected.
    """
    if late is None:
        return None, False
    if isinstance(late, str):
        try:
            seconds = read_duration(late)
        except UnitError as error:
            raise DriverError(f"{whose}: late: {error}; write a time such as '6 h', or a factor such as 2") from error
        if seconds <= duration:
            raise DriverError(f"{whose}: late: '{late}' is not above the expected {duration:g} s; state a longer time")
        return seconds, False
    if isinstance(late, bool) or not 1 < late < math.inf:
        raise DriverError(f"{whose}: late: a factor of the expected duration is above 1 and finite, not {late!r}")
    return float(late), True


def field_spec(name: str, hint: Any, default: Any = inspect.Parameter.empty) -> FieldSpec:  # noqa: ANN401
    """Read a parameter's or result's description off its type hint.

    Raises:
        DriverError: a hint that the boundary cannot check.
    """
    extras: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *rest = typing.get_args(hint)
        extras = tuple(rest)
    unit = next((e.name for e in extras if isinstance(e, Unit)), DIMENSIONLESS)
    limits = next((e for e in extras if isinstance(e, Limits)), Limits())
    choices: tuple[str, ...] = ()
    if typing.get_origin(hint) is Literal:
        choices = tuple(typing.get_args(hint))
        hint = str
    kinds: dict[Any, Kind] = {float: "number", int: "integer", str: "text", bool: "boolean"}
    if hint not in kinds or not all(isinstance(c, str) for c in choices):
        raise DriverError(
            f"'{name}': a value at the boundary must be float, int, str, bool or a Literal of words, not {hint}"
        )
    kind = kinds[hint]
    given = [e for e in extras if isinstance(e, Unit | Limits) or e in (Unit, Limits)]
    role = next((e.name for e in extras if isinstance(e, Role)), "")
    if role and ROLES[role] != ("number" if kind == "integer" else kind):
        raise DriverError(f"'{name}': the role '{role}' needs a {ROLES[role]}, not {kind}")
    if any(isinstance(e, type) for e in given):
        raise DriverError(f"'{name}': write Unit('degC') and Limits(0, 10), with their values")
    if given and kind not in {"number", "integer"}:
        raise DriverError(f"'{name}': only a number can have a unit and limits, not {kind}")
    if len({type(e) for e in given}) < len(given):
        raise DriverError(f"'{name}': two units or two limits; which one holds?")
    required = default is inspect.Parameter.empty
    spec = FieldSpec(
        name, kind, unit, limits.lower, limits.upper, choices, required, None if required else default, role
    )
    if not required and (problem := spec.problem(default)) is not None:
        raise DriverError(f"'{name}': the default {problem}")
    return spec


def result_specs(owner: str, hint: Any) -> tuple[FieldSpec, ...]:  # noqa: ANN401
    """Read an action's results off its return annotation: None, or a dataclass of annotated fields.

    Raises:
        DriverError: anything else.
    """
    if hint in {None, type(None)}:
        return ()
    if not is_dataclass(hint):
        raise DriverError(f"{owner}: an action returns None or a dataclass with annotated fields, not {hint}")
    hints = typing.get_type_hints(hint, include_extras=True)
    return tuple(field_spec(f.name, hints[f.name]) for f in fields(hint))
