"""`sdl drivers` and `sdl drivers describe`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from sdl.campaign.document import parse_value
from sdl.cli.live import duration_text
from sdl.driver import driver_names, get_driver
from sdl.errors import DriverError, InputError

if TYPE_CHECKING:
    from sdl.cli.outcome import Output


def list_drivers(output: Output) -> int:
    """Say which drivers are installed; one that cannot be imported says why."""
    found = []
    for name in driver_names():
        try:
            driver = get_driver(name)
        except DriverError as error:
            found.append({"name": name, "error": str(error)})
            output.say(f"{name:32} broken: {error}")
            continue
        doc = (driver.__doc__ or "").strip().split("\n")[0]
        nature = "by settings" if driver.nature_in_settings else driver.nature
        found.append({"name": name, "nature": nature, "description": doc})
        output.say(f"{name:32} {nature:12} {doc}")
    output.emit({"drivers": found})
    return 0


def describe_driver(name: str, settings: tuple[str, ...], output: Output) -> int:
    """Say what a driver takes and can do."""
    driver = get_driver(name)
    given = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--setting {text}: write key=value")
        given[key.strip()] = parse_value(value.strip())
    schema = driver.settings_model.model_json_schema()
    nature = "nature by settings" if driver.nature_in_settings else driver.nature
    output.say(f"{name} ({nature}): {(driver.__doc__ or '').strip()}")
    output.say("\nsettings:")
    for key, field in driver.settings_model.model_fields.items():
        need = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!r}"
        output.say(f"  {key}: {need}{'' if field.description is None else ' — ' + field.description}")
    if not driver.settings_model.model_fields:
        output.say("  none")
    try:
        description = driver.describe(driver.settings_model.model_validate(given), name)
    except ValidationError as error:
        missing = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        output.say(f"\nits actions follow from its settings; give them with --setting (needed: {missing})")
        output.emit({"driver": name, "nature": driver.nature, "settings": schema})
        return 0
    for action in description.actions.values():
        typical = (
            f"about {duration_text(action.duration)}"
            if action.estimate is None
            else "duration follows from its arguments"
        )
        output.say(f"\naction {action.name} ({action.effect}, {typical}): {action.doc}")
        for parameter in action.parameters:
            output.say(f"  takes {parameter.name}: {parameter.allowed}")
        for result in action.results:
            output.say(f"  gives {result.name}: {result.kind if result.kind == 'text' else result.unit}")
    if description.readings:
        output.say()
    for reading, unit in (description.readings or {}).items():
        output.say(f"reading {reading}{f': {unit}' if unit else ''}")
    output.emit({**description.schema(), "settings": schema})
    return 0
