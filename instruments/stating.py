"""Parameters and results as settings state them, joined with what type hints say: for drivers whose actions follow from settings.

Nothing is guessed: a number needs a unit from one of the two (`dimensionless` is one), and a number that an action takes needs
limits. Where both speak they must agree; settings may narrow limits, never widen them.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import math
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sdl.driver import ActionSpec, FieldSpec, Limits, Unit
from sdl.driver.description import field_spec
from sdl.errors import DriverError, InstrumentFault, UnitError, brief, listed, near_miss
from sdl.units import DIMENSIONLESS, canonical_unit, read_duration, read_quantity

Number = float | str
"""A number in the field's unit, or a quantity such as `12 mm`."""

_NUMERIC = {"number", "integer"}
_SCALAR: tuple[type, ...] = (bool, int, float, str)


class FieldSettings(BaseModel):
    """A parameter or result as settings state it.

    Attributes:
        type: `number`, `integer`, `text` or `boolean`; default: what the type hint says, else `number`.
        unit: in which it is taken or given; `dimensionless` for pure numbers.
        limits: lowest and highest allowed value, numbers in `unit` or quantities; out of range is refused, never clipped.
        choices: allowed words.
        default: the value where none is given, in `unit`; a field without one must be given.
        description: for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["number", "integer", "text", "boolean"] | None = None
    unit: str | None = None
    limits: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    choices: Annotated[list[str], Field(min_length=1)] | None = None
    default: bool | int | float | str | None = None
    description: str = ""


@dataclass(frozen=True)
class _Hinted:
    """What a type hint says of a value: `spec` is None where it says nothing that can be checked (`why`)."""

    spec: FieldSpec | None
    why: str = ""
    has_unit: bool = False
    has_limits: bool = False


def duration_of(text: str, whose: str) -> float:
    """Return a stated duration in seconds.

    Raises:
        DriverError: it is none.
    """
    try:
        return read_duration(text)
    except UnitError as error:
        raise DriverError(f"{whose}: duration: {error}; write it as a quantity, such as '5 min'") from error


# --- finding code ----------------------------------------------------------------------------------------------------


def load_target(target: str, file: str | None, what: str) -> Any:  # noqa: ANN401  whatever stands there
    """Import what `package.module:Name` names, or `Name` in a file.

    Args:
        target: as settings state it.
        file: path of a Python file in which it stands; None where it can be imported.
        what: `class` or `function`, for messages.

    Raises:
        DriverError: no such module, file or name, or it cannot be imported.
    """
    module_name, colon, name = target.rpartition(":")
    example = "mylab.pump:Pump" if what == "class" else "mylab.models:energy"
    if not name or (not colon and file is None) or (colon and file is None and not module_name):
        raise DriverError(
            f"target '{target}': write 'module:name', such as '{example}' (or the name alone, with file:)"
        )
    module = _module(target, module_name) if file is None else _module_from(Path(file))
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
            where = module_name if file is None else file
            raise DriverError(f"target '{target}': {where} has no '{part}'{near_miss(part, public)}")
        found = getattr(found, part)
    return found


def _module(target: str, name: str) -> Any:  # noqa: ANN401
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise DriverError(
                f"target '{target}': there is no module '{error.name}' for {sys.executable}; install it there with pip, put its "
                "folder on PYTHONPATH, or name its file with file:"
            ) from error
        raise DriverError(
            f"target '{target}': '{name}' needs the module '{error.name}', which is not installed"
        ) from error
    except Exception as error:  # whatever a user's module raises while it is imported
        raise DriverError(f"target '{target}': '{name}' cannot be imported: {type(error).__name__}: {error}") from error


def _module_from(path: Path) -> Any:  # noqa: ANN401
    """Import a file once per path; under a name of its own, so that it hides no installed module."""
    name = "sdl_file_" + "".join(c if c.isalnum() else "_" for c in str(path.resolve()))
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise DriverError(f"file: there is no file {path}; paths are relative to the file that names them")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DriverError(f"file: {path} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises
        del sys.modules[name]
        raise DriverError(f"file: {path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


# --- describing ------------------------------------------------------------------------------------------------------


def stated_field(whose: str, name: str, stated: FieldSettings, *, is_taken: bool) -> FieldSpec:
    """Return the description of a field of which settings say everything.

    Args:
        whose: the action, for messages.
        name: of the field.
        stated: what settings say.
        is_taken: whether it is a parameter, whose numbers need limits.

    Raises:
        DriverError: unit or limits are missing or wrong.
    """
    return _joined(whose, name, stated, _Hinted(None), is_taken=is_taken, has_default=False)


def parameters_of(
    whose: str,
    function: Callable[..., Any],
    stated: Mapping[str, FieldSettings],
    fixed: Mapping[str, Any],
    skip: int = 0,
) -> tuple[FieldSpec, ...]:
    """Describe what a function takes.

    Args:
        whose: the action, for messages.
        function: whose signature and hints are read; it is not called.
        stated: what settings say of its parameters.
        fixed: parameters that always get the same value and are no parameters of the action.
        skip: how many first parameters are none of the action's (`self`, `ctx`).

    Raises:
        DriverError: all that is missing or contradictory, at once.
    """
    every = _signature(whose, function)[skip:]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in every)
    named = {p.name: p for p in every if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}}
    wrong = [
        f"'{p}' cannot be given by name; wrap the function in one whose parameters can"
        for p in every
        if p.kind is p.POSITIONAL_ONLY or (p.kind is p.VAR_POSITIONAL and not takes_any)
    ]
    wrong += [
        f"it has no parameter '{name}'{near_miss(name, named)}; it has {listed(named)}"
        for name in (*stated, *fixed)
        if name not in named and not takes_any
    ]
    both = [name for name in stated if name in fixed]
    if both:
        wrong.append(f"{listed(both)}: a parameter is fixed or the action's, not both")
    hints = _hints(function, list(named))
    specs: list[FieldSpec] = []
    for name in [*named, *(n for n in stated if n not in named and takes_any)]:
        if name in fixed:
            continue
        default = named[name].default if name in named else inspect.Parameter.empty
        try:
            hinted = _hinted(name, hints.get(name, _NO_HINT), default)
            has_default = hinted.spec is not None and not hinted.spec.required
            setting = stated.get(name, FieldSettings())
            specs.append(_joined(whose, name, setting, hinted, is_taken=True, has_default=has_default))
        except DriverError as error:
            wrong.append(str(error).removeprefix(f"{whose}: "))
    if wrong:
        raise DriverError(f"{whose}: " + "; ".join(wrong))
    return tuple(specs)


def results_of(
    whose: str, function: Callable[..., Any], stated: Mapping[str, FieldSettings] | None, result: str | None
) -> tuple[FieldSpec, ...]:
    """Describe what a function gives, from its return annotation and from settings.

    Args:
        whose: the action, for messages.
        function: whose return annotation is read.
        stated: what settings say; None where they say nothing.
        result: name of the one result of a function that returns a number, a word or a truth value.

    Raises:
        DriverError: it cannot be told what it gives, or a unit is missing.
    """
    hint = _hints(function, ["return"]).get("return", _NO_HINT)
    fields = dict(stated or {})
    if result is not None:
        if set(fields) - {result}:
            raise DriverError(
                f"{whose}: 'result: {result}' names its one result, but 'results' states {listed(fields)}"
            )
        fields.setdefault(result, FieldSettings())
    if hint in {None, type(None)}:
        if fields:
            raise DriverError(f"{whose}: it returns None, but 'results' states {listed(fields)}")
        return ()
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass_results(whose, hint, fields)
    hinted = _hinted("it returns", hint, inspect.Parameter.empty)
    if hinted.spec is not None:
        if len(fields) != 1:
            said = f"'results' states {listed(fields)}" if fields else "name it with 'result: name'"
            raise DriverError(f"{whose}: it returns one value ({hinted.spec.kind}); {said}")
        ((name, setting),) = fields.items()
        return (_joined(whose, name, setting, replace(hinted, spec=replace(hinted.spec, name=name)), is_taken=False),)
    if stated is None and not fields:
        what = "it does not say what it returns" if hint is _NO_HINT else f"its result ({hint}) has no description"
        raise DriverError(
            f"{whose}: {what}; state 'results: {{name: {{unit: …}}}}' ('results: {{}}' where it gives nothing)"
        )
    return tuple(_joined(whose, name, setting, _Hinted(None), is_taken=False) for name, setting in fields.items())


def _dataclass_results(whose: str, hint: type, stated: Mapping[str, FieldSettings]) -> tuple[FieldSpec, ...]:
    names = [f.name for f in dataclasses.fields(hint)]
    wrong = [f"{hint.__name__} has no field '{n}'{near_miss(n, names)}" for n in stated if n not in names]
    try:
        hints = typing.get_type_hints(hint, include_extras=True)
    except NameError as error:
        raise DriverError(
            f"{whose}: the hint '{error.name}' of {hint.__name__} cannot be looked up; import it"
        ) from error
    specs = []
    for name in names:
        try:
            hinted = _hinted(name, hints[name], inspect.Parameter.empty)
            specs.append(_joined(whose, name, stated.get(name, FieldSettings()), hinted, is_taken=False))
        except DriverError as error:
            wrong.append(str(error).removeprefix(f"{whose}: "))
    if wrong:
        raise DriverError(f"{whose}: " + "; ".join(wrong))
    return tuple(specs)


_NO_HINT = object()


def _signature(whose: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise DriverError(f"{whose}: its parameters cannot be read ({error}); wrap it in a Python function") from error


def _hints(function: Callable[..., Any], names: list[str]) -> dict[str, Any]:
    """Return the evaluated hints of some parameters, each by itself: one that cannot be looked up spoils no other."""
    plain: Any = inspect.unwrap(function)
    plain = getattr(plain, "__func__", plain)
    found: dict[str, Any] = {}
    for name, written in getattr(plain, "__annotations__", {}).items():
        if name not in names:
            continue
        holder = type("Hints", (), {"__annotations__": {name: written}})
        try:
            found[name] = typing.get_type_hints(holder, getattr(plain, "__globals__", {}), include_extras=True)[name]
        except Exception:  # noqa: BLE001  a hint for type checkers only, or none that Python understands
            found[name] = written
    if "return" in found and found["return"] is type(None):
        found["return"] = None
    return found


def _hinted(name: str, hint: Any, default: Any) -> _Hinted:  # noqa: ANN401
    """Read a hint; what the boundary cannot check (`Path`, `float | None`) says nothing."""
    if hint is _NO_HINT:
        return _Hinted(None, "it has no type hint")
    extras = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    plain = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    if plain not in _SCALAR and typing.get_origin(plain) is not Literal:
        return _Hinted(None, f"its type hint {getattr(plain, '__name__', plain)} says nothing that can be checked")
    given = default if default is None or isinstance(default, _SCALAR) else inspect.Parameter.empty
    spec = field_spec(name, hint, inspect.Parameter.empty if given is None else given)
    return _Hinted(spec, "", any(isinstance(e, Unit) for e in extras), any(isinstance(e, Limits) for e in extras))


def _joined(
    whose: str, name: str, stated: FieldSettings, hinted: _Hinted, *, is_taken: bool, has_default: bool = False
) -> FieldSpec:
    """Join what settings and hint say of a field."""
    where = f"{whose}: '{name}'"
    known = hinted.spec
    if known is None:
        kind = stated.type or ("text" if stated.choices else None)
        if kind is None and stated.unit is None and stated.limits is None:
            hint = "hint it as float, int, str or bool, or state it" if hinted.why else "state what it is"
            said = f"{hinted.why}; " if hinted.why else ""
            raise DriverError(f"{where}: {said}{hint}: {name}: {{type: number, unit: …}}")
        spec = FieldSpec(name, kind or "number")
    else:
        if stated.type is not None and stated.type != known.kind:
            raise DriverError(f"{where}: the type hint says {known.kind}, settings say {stated.type}")
        spec = known
    if spec.kind not in _NUMERIC and (stated.unit is not None or stated.limits is not None):
        raise DriverError(f"{where}: only a number can have a unit and limits, not a {spec.kind}")
    if spec.kind != "text" and stated.choices is not None:
        raise DriverError(f"{where}: only a text can have choices, not a {spec.kind}")
    if stated.choices is not None:
        more = [c for c in stated.choices if spec.choices and c not in spec.choices]
        if more:
            raise DriverError(f"{where}: {listed(more)} is none of the class's own {listed(spec.choices)}")
        spec = replace(spec, choices=tuple(stated.choices))
    if spec.kind in _NUMERIC:
        spec = _with_unit(where, spec, stated, hinted)
        spec = _with_limits(where, spec, stated, hinted)
        if is_taken and not (math.isfinite(spec.lower) and math.isfinite(spec.upper)):
            raise DriverError(
                f"{where}: state what it may be at most and at least: limits: [lowest, highest] in {spec.unit}"
            )
    if stated.default is not None:
        spec = replace(spec, required=False, default=stated.default)
    elif has_default and known is not None:
        spec = replace(spec, required=False, default=known.default)
    if not spec.required and (problem := spec.problem(spec.default)) is not None:
        raise DriverError(f"{where}: the default {problem}")
    return spec


def _with_unit(where: str, spec: FieldSpec, stated: FieldSettings, hinted: _Hinted) -> FieldSpec:
    if stated.unit is None:
        if hinted.has_unit:
            return spec
        raise DriverError(
            f"{where}: nothing says in which unit it is; state 'unit: …' ('dimensionless' for a pure number)"
        )
    try:
        unit = canonical_unit(stated.unit)
    except UnitError as error:
        raise DriverError(f"{where}: {error}") from error
    if hinted.has_unit and unit != canonical_unit(spec.unit):
        raise DriverError(f"{where}: the type hint says {spec.unit}, settings say {stated.unit}; state the former")
    return replace(spec, unit=spec.unit if hinted.has_unit else stated.unit)


def _with_limits(where: str, spec: FieldSpec, stated: FieldSettings, hinted: _Hinted) -> FieldSpec:
    if stated.limits is None:
        return spec
    lower, upper = (number_in(where, value, spec.unit) for value in stated.limits)
    if lower > upper:
        raise DriverError(f"{where}: limits: the lower one, {lower:g} {spec.unit}, is above the upper one, {upper:g}")
    if hinted.has_limits and (lower < spec.lower or upper > spec.upper):
        raise DriverError(
            f"{where}: limits [{lower:g}, {upper:g}] {spec.unit} reach outside the class's own {spec.allowed}"
        )
    return replace(spec, lower=lower, upper=upper)


def number_in(where: str, value: Number, unit: str) -> float:
    """Return a number in `unit`: a plain one is in it already, a quantity is converted.

    Raises:
        DriverError: no number, or its unit does not fit.
    """
    try:
        quantity = read_quantity(value)
        plain = quantity.unit == DIMENSIONLESS
        return quantity.value if plain else quantity.to(unit)
    except UnitError as error:
        raise DriverError(f"{where}: {error}") from error


# --- what was returned -----------------------------------------------------------------------------------------------


def values_of(whose: str, returned: Any, action: ActionSpec) -> dict[str, Any]:  # noqa: ANN401
    """Return the result fields of what a function returned, checked against what was declared.

    Args:
        whose: the function, for messages.
        returned: None, one value, a mapping or a dataclass, in the declared units.
        action: with the declared results.

    Raises:
        InstrumentFault: it does not fit.
    """
    names = [r.name for r in action.results]
    found = _plain(returned)
    if found is None:
        values: dict[str, Any] = {}
    elif isinstance(found, _SCALAR):
        if len(names) != 1:
            raise InstrumentFault(
                f"{whose} returned the one value {brief(found)}, but is declared to give {listed(names)}"
            )
        values = {names[0]: found}
    elif isinstance(found, Mapping):
        values = {str(name): _plain(value) for name, value in found.items()}
    elif dataclasses.is_dataclass(found) and not isinstance(found, type):
        values = {f.name: _plain(getattr(found, f.name)) for f in dataclasses.fields(found)}
    else:
        raise InstrumentFault(
            f"{whose} returned a {type(found).__name__}; it must return a number, a mapping or a dataclass of {listed(names)}"
        )
    problem = action.check_result(values)
    if problem is not None:
        raise InstrumentFault(f"{whose} gave a result that cannot be used: {problem}")
    return values


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a scalar of numpy, torch or the like as Python's."""
    if not isinstance(value, _SCALAR) and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value
