"""How commands, replies, forms and descriptions travel: plain JSON data, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from sdl.driver import ActionSpec, Command, Description, FieldSpec, Form, Health, Reply, SafeReport, Use
from sdl.errors import ProtocolError

Json = dict[str, Any]
Estimate = Callable[[Mapping[str, Any]], float]
Read = TypeVar("Read")

_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)
_REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)
_HEALTH: TypeAdapter[Health] = TypeAdapter(Health)
_SAFE: TypeAdapter[SafeReport] = TypeAdapter(SafeReport)


def to_text(data: Any) -> str:  # noqa: ANN401  any JSON
    """Return JSON text; half a surrogate pair in what an instrument said travels as its escape.

    Raises:
        ValueError: NaN or infinity, which JSON does not know.
    """
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def command_json(command: Command) -> Json:
    """Return a command as JSON data."""
    return {**asdict(command), "arguments": dict(command.arguments), "samples": list(command.samples)}


def command_of(data: object) -> Command:
    """Return a command from JSON data.

    Raises:
        ProtocolError: the data are none.
    """
    return _read(_COMMAND, data, "command")


def reply_json(reply: Reply) -> Json:
    """Return a reply as JSON data; a value that JSON cannot hold was refused before."""
    return {**asdict(reply), "artefacts": [asdict(a) for a in reply.artefacts]}


def reply_of(data: object) -> Reply:
    """Return a reply from JSON data.

    Raises:
        ProtocolError: the data are none.
    """
    return _read(_REPLY, data, "reply")


def health_of(data: object) -> Health:
    """Return an instrument's health from JSON data."""
    return _read(_HEALTH, data, "health")


def safe_report_of(data: object) -> SafeReport:
    """Return the report of a safe state from JSON data."""
    return _read(_SAFE, data, "safe state")


def _read(adapter: TypeAdapter[Read], data: object, what: str) -> Read:
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(str(p) for p in d['loc'])}: {d['msg']}" for d in error.errors(include_url=False))
        raise ProtocolError(f"this is no {what}: {said}") from error


# --- forms and descriptions ------------------------------------------------------------------------------------------


def form_json(form: Form) -> Json:
    """Return a form as JSON data."""
    return {"title": form.title, "instructions": form.instructions, "fields": [_field_json(f) for f in form.fields]}


def form_of(data: Mapping[str, Any]) -> Form:
    """Return a form from JSON data."""
    return Form(data["title"], data["instructions"], tuple(_field_of(f) for f in data["fields"]))


def description_json(description: Description) -> Json:
    """Return an instrument's description as JSON data; where a duration depends on the arguments, `estimate` is true."""
    data = {f.name: getattr(description, f.name) for f in fields(description)}
    return {**data, "actions": {name: _action_json(spec) for name, spec in description.actions.items()}}


def description_of(data: Mapping[str, Any], estimate: Callable[[str], Estimate]) -> Description:
    """Return a description from JSON data.

    Args:
        data: as `description_json` gave it; words that this version does not know are left out.
        estimate: action → the function that asks the server for a duration in seconds.

    Raises:
        ProtocolError: the data are no description.
    """
    try:
        known = {f.name for f in fields(Description)}
        actions = {name: _action_of(spec, estimate(name)) for name, spec in data["actions"].items()}
        return Description(**{**{k: v for k, v in data.items() if k in known}, "actions": actions})
    except (KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"this is no description of an instrument: {error!r}") from error


def _action_json(spec: ActionSpec) -> Json:
    data = {f.name: getattr(spec, f.name) for f in fields(spec)}
    return {
        **data,
        "parameters": [_field_json(p) for p in spec.parameters],
        "results": [_field_json(r) for r in spec.results],
        "uses": [asdict(u) for u in spec.uses],
        "estimate": spec.estimate is not None,
    }


def _action_of(data: Mapping[str, Any], estimate: Estimate) -> ActionSpec:
    known = {f.name for f in fields(ActionSpec)}
    given: Json = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known}
    given["parameters"] = tuple(_field_of(p) for p in data["parameters"])
    given["results"] = tuple(_field_of(r) for r in data["results"])
    given["uses"] = tuple(Use(**u) for u in data.get("uses", []))
    given["estimate"] = estimate if data.get("estimate") else None
    return ActionSpec(**given)


def _field_json(spec: FieldSpec) -> Json:
    data = asdict(spec)
    for side in ("lower", "upper"):  # JSON knows no infinity: no limit is null
        data[side] = data[side] if math.isfinite(data[side]) else None
    data["choices"] = list(spec.choices)
    return data


def _field_of(data: Mapping[str, Any]) -> FieldSpec:
    known = {f.name for f in fields(FieldSpec)}
    given = {k: v for k, v in data.items() if k in known}
    given["lower"] = -math.inf if data.get("lower") is None else data["lower"]
    given["upper"] = math.inf if data.get("upper") is None else data["upper"]
    return FieldSpec(**{**given, "choices": tuple(data.get("choices", ()))})
