"""The JSON Schema of the whole grammar, the settings of planners and installed drivers included; for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl import __version__
from sdl.analysis import analysis_names
from sdl.campaign.gain import GainSpec
from sdl.campaign.group import GroupSpec
from sdl.campaign.model import ClockSpec, PlaceSpec
from sdl.campaign.physics import PhysicsSpec
from sdl.campaign.policy import MOST_RETRIES
from sdl.campaign.space import CONSTRAINTS, PARAMETERS
from sdl.campaign.transfer import TransferSpec
from sdl.driver import driver_names, get_driver
from sdl.errors import DriverError
from sdl.objective import DESIRABILITY, Objective, OutcomeConstraint, Target
from sdl.planners.registry import get_planner, planner_names

if TYPE_CHECKING:
    from pydantic import BaseModel

Json = dict[str, Any]


class _Definitions:
    """Gathers the schemas of models under `$defs`."""

    def __init__(self) -> None:
        self.all: dict[str, Json] = {}

    def of(self, model: type[BaseModel], name: str, extra: Json | None = None) -> Json:
        """Return a reference to a model's schema, with further required properties."""
        schema = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        for inner, definition in schema.pop("$defs", {}).items():
            self.all[f"{name}.{inner}"] = definition
        if extra:
            schema["properties"] = {**extra, **schema.get("properties", {})}
            schema["required"] = [*extra, *schema.get("required", [])]
        schema["additionalProperties"] = False
        self.all[name] = schema
        return {"$ref": f"#/$defs/{name}"}


def campaign_schema() -> Json:
    """Return the JSON Schema (draft 2020-12) of a campaign file."""
    definitions = _Definitions()
    parameters = [definitions.of(model, f"parameter.{kind}") for kind, model in PARAMETERS.items()]
    for kind in PARAMETERS:
        definitions.all[f"parameter.{kind}"]["properties"] |= _CHANGING
    constraints = [definitions.of(model, f"constraint.{kind}") for kind, model in CONSTRAINTS.items()]
    planners = [
        definitions.of(get_planner(name).settings_model, f"planner.{name}", {"type": {"const": name}})
        for name in planner_names()
    ]
    lab = _lab(definitions)
    target = definitions.of(Target, "target")
    span = {"type": "array", "items": {"type": ["number", "string"]}, "minItems": 2, "maxItems": 2}
    step = _object(
        {
            "instrument": {"type": "string", "description": "name of an instrument of the lab"},
            "action": {"type": "string", "description": "one of its actions"},
            "with": {
                "type": "object",
                "description": "argument: number, quantity ('2 g'), text, or $parameter",
                "additionalProperties": {"type": ["number", "string", "boolean"]},
            },
            "analysis": {"enum": list(analysis_names()), "description": "turns the step's artefacts into outcomes"},
            "gives": {
                "type": "object",
                "description": "outcome: field of the action's result or of the analysis",
                "additionalProperties": {"type": "string"},
            },
            "together": _object(
                {
                    "wait": {
                        "type": ["string", "number"],
                        "description": "longest that the first sample waits, '24 h'",
                    },
                    "at_most": {"type": "integer", "minimum": 1},
                },
                ["wait"],
            ),
            "if_fails": {
                "description": "what follows where the step's command fails",
                "oneOf": [
                    {"enum": ["fail", "skip", "ask"]},
                    _object({"retry": {"type": "integer", "minimum": 1, "maximum": MOST_RETRIES}}, ["retry"]),
                    _object({"instrument": {"type": "string"}}, ["instrument"]),
                ],
            },
            "approve": {
                "description": "when a person must agree before the step is sent",
                "oneOf": [
                    {"enum": ["always", "first"]},
                    _object({"cost_above": {"type": ["string", "number"], "description": "'12 h'"}}, ["cost_above"]),
                    _object(
                        {"outside": {"type": "object", "minProperties": 1, "additionalProperties": span}}, ["outside"]
                    ),
                ],
            },
        },
        ["instrument", "action"],
    )
    protocol = {"type": "array", "minItems": 1, "items": step}
    schema = _object(
        {
            "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"},
            "description": {"type": "string"},
            "space": _object(
                {
                    "parameters": {"type": "object", "minProperties": 1, "additionalProperties": {"oneOf": parameters}},
                    "constraints": {"type": "array", "items": {"oneOf": constraints}},
                    "candidates": _object(
                        {"table": {"type": "string", "description": "CSV or Parquet file"}}, ["table"]
                    ),
                },
                ["parameters"],
            ),
            "start": _object(
                {
                    "table": {"type": "string", "description": "CSV or Parquet file: what was measured before"},
                    "units": {"type": "object", "additionalProperties": {"type": "string"}},
                },
                ["table"],
            ),
            "transfer": {
                "type": "array",
                "description": "earlier campaigns over the same or an overlapping space",
                "items": definitions.of(TransferSpec, "transfer"),
            },
            "physics": _physics(definitions),
            "objectives": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": definitions.of(Objective, "objective"),
            },
            "outcome_constraints": {
                "type": "object",
                "additionalProperties": definitions.of(OutcomeConstraint, "outcome_constraint"),
            },
            "protocol": protocol,
            "on_failure": {**protocol, "description": "steps that follow where an experiment failed"},
            "sources": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": _object(
                    {
                        "protocol": protocol,
                        "cost": _COST,
                        "target": {"type": "boolean", "description": "whether its results count: of several, one"},
                    },
                    ["protocol"],
                ),
            },
            "cost": _COST,
            "lab": {"oneOf": [{"type": "string", "description": "a lab file beside the campaign file"}, lab, _SERVED]},
            "concurrency": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 1},
            "group": definitions.of(GroupSpec, "group"),
            "tolerance": {
                "type": "object",
                "description": "parameter: how far it may really lie from where it is set, '5 degC'",
                "minProperties": 1,
                "additionalProperties": {"type": ["number", "string"]},
            },
            "planner": {"oneOf": planners},
            "stop": _object(
                {
                    "experiments": {"type": "integer", "minimum": 1},
                    "target": {
                        "type": "object",
                        "properties": {DESIRABILITY: {"anyOf": [{"type": "number"}, target]}},
                        "additionalProperties": target,
                    },
                    "gain": definitions.of(GainSpec, "gain"),
                    "cost": {**_AMOUNT, "description": "what all experiments together may cost, '200 h'"},
                },
                ["experiments"],
            ),
            "seed": {"type": "integer", "minimum": 0, "default": 0},
        },
        ["name", "space", "objectives", "planner", "stop"],
    )
    neither = {"not": {"anyOf": [{"required": [key]} for key in ("protocol", "sources", "lab", "on_failure")]}}
    schema["oneOf"] = [
        {"required": ["protocol", "lab"]},
        {"required": ["sources", "lab"]},
        {**neither, "description": "people carry the experiments out: sdl propose and sdl tell"},
    ]
    return _document(schema, "campaign", definitions)


def lab_schema() -> Json:
    """Return the JSON Schema (draft 2020-12) of a lab file."""
    definitions = _Definitions()
    _lab(definitions)
    return _document(definitions.all.pop("lab"), "lab", definitions)


_CHANGING: Json = {
    "frozen": {"type": ["number", "string"], "description": "the only value proposed from now on; see sdl amend"},
    "was": {
        "type": ["number", "string"],
        "description": "its value in the experiments from before there was this parameter; see sdl amend",
    },
}


def _document(schema: Json, what: str, definitions: _Definitions) -> Json:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"sdl {what} file, version {__version__}",
        **schema,
        "$defs": dict(sorted(definitions.all.items())),
    }


def _object(properties: Json, required: list[str]) -> Json:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _physics(definitions: _Definitions) -> Json:
    one = definitions.of(PhysicsSpec, "physics")
    several = {"type": "object", "minProperties": 1, "additionalProperties": one}
    return {"description": "what models say of outcomes: one, or name: model", "anyOf": [one, several]}


_SAFE_AFTER: Json = {
    "safe_after": {
        "type": "string",
        "description": "real time for which its campaign may be gone before a lab server makes it safe: '10 min'",
    }
}
_AMOUNT: Json = {"type": ["string", "number"]}
_COST: Json = {
    "description": "what an experiment costs, '2 h' or {expression: 'hold + 2', unit: h}",
    "oneOf": [
        _AMOUNT,
        _object({"expression": _AMOUNT, "unit": {"type": "string"}}, ["expression"]),
    ],
}
_REQUIRES: Json = {
    "requires": {
        "type": "object",
        "description": "INSTRUMENT.READING: what it must be for this instrument to act",
        "propertyNames": {"pattern": r"^[^.]+\..+$"},
        "additionalProperties": {
            **_object(
                {
                    "at_least": {**_AMOUNT, "description": "'20 degC'"},
                    "at_most": {**_AMOUNT, "description": "'60 degC'"},
                    "equals": {"type": "string", "description": "a word, such as closed"},
                    "wait": {
                        "type": "string",
                        "description": "longest that a command waits for it: '2 h' [default: 0 s]",
                    },
                    "max_age": {"type": "string", "description": "an older reading is stale [default: '1 min']"},
                    "every": {"type": "string", "description": "time between two looks [default: half of max_age]"},
                    "actions": {
                        "type": "array",
                        "minItems": 1,
                        "uniqueItems": True,
                        "items": {"type": "string"},
                        "description": "for which it holds [default: all whose effect is not reads]",
                    },
                },
                [],
            ),
            "anyOf": [{"required": ["at_least"]}, {"required": ["at_most"]}, {"required": ["equals"]}],
        },
    }
}
_SERVED: Json = {
    "type": "object",
    "properties": {
        "server": {"type": "string", "description": "http://HOST:PORT of sdl lab serve"},
        "token": {
            "type": "string",
            "description": "env:NAME, a variable that holds the token [default: env:SDL_LAB_TOKEN]",
        },
    },
    "required": ["server"],
    "additionalProperties": False,
}


def _lab(definitions: _Definitions) -> Json:
    instruments = []
    for name in driver_names():
        try:
            driver = get_driver(name)
        except DriverError:
            spec = {
                "driver": {"const": name},
                "settings": {"type": "object"},
                "place": {"type": "string"},
                **_SAFE_AFTER,
                **_REQUIRES,
            }
            instruments.append(_object(spec, ["driver"]))
            continue
        settings = definitions.of(driver.settings_model, f"driver.{name}")
        needed = any(f.is_required() for f in driver.settings_model.model_fields.values())
        required = ["driver", "settings"] if needed else ["driver"]
        spec = {
            "driver": {"const": name},
            "settings": settings,
            "place": {"type": "string", "description": "where it works on samples: one of 'places'"},
            **_SAFE_AFTER,
            **_REQUIRES,
        }
        instruments.append(_object(spec, required))
    definitions.all["lab"] = _object(
        {
            "name": {"type": "string"},
            "description": {"type": "string"},
            "clock": definitions.of(ClockSpec, "clock"),
            "world": {
                "type": "object",
                "properties": {
                    "seed": {"type": "integer", "minimum": 0},
                    "server": {"type": "string", "description": "HOST:PORT of sdl world serve"},
                },
            },
            "instruments": {"type": "object", "minProperties": 1, "additionalProperties": {"oneOf": instruments}},
            "allow_real": {"type": "boolean", "default": False},
            "places": {"type": "object", "additionalProperties": definitions.of(PlaceSpec, "place")},
            "containers": {
                "type": "object",
                "additionalProperties": _object(
                    {"stands": {"type": ["string", "number"], "description": "a temperature, '1200 degC'"}}, ["stands"]
                ),
            },
            "consumables": {
                "type": "object",
                "description": "what there is of each when the campaign begins",
                "additionalProperties": {"type": ["string", "number"]},
            },
        },
        ["instruments"],
    )
    return {"$ref": "#/$defs/lab"}
