"""What the conformance suite is given: a driver, its settings, and how to ask something sensible of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sdl.driver import DriverSettings, Instrument, get_driver
from sdl.errors import DriverError, InputError, listed, near_miss

if TYPE_CHECKING:
    from sdl.driver import ActionSpec, Command, Description, FieldSpec
    from sdl.world import World

Hook = Callable[[Instrument], None]
"""Does something to a connected instrument that only a simulator allows."""


@dataclass(frozen=True)
class Preparation:
    """A step that a sample needs before the driver under test can work on it.

    Attributes:
        driver: entry-point name or class of another instrument; None: the instrument under test itself.
        action: what is asked.
        arguments: in the units that the action declares.
        settings: of that driver.
        before: actions that need it; empty for all.
    """

    driver: str | type[Instrument] | None
    action: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """A driver under test.

    Attributes:
        driver: the class.
        settings: validated.
        name: entry-point name, or the class's name where it has none.
        arguments: action → arguments that it carries out; those not given are made from the description.
        prepare: steps that a sample needs first, carried out in the same lab and world.
        world: settings of the simulated world that lies under it.
        seed: of that world.
        abort_within: lab seconds within which an abort, and a safe state, must have come to its end.
        lose_replies: makes everything that the device answers from now on get lost, after it was sent.
        cause_fault: puts the device into fault.
        began: tells whether a command physically began, where the world's record is not the place to look.

    Where a hook is not given, a method of the driver of the same name (`simulate_lost_replies`, `simulate_fault`) is used;
    a rule that needs a hook nobody gives is skipped and says so.
    """

    driver: type[Instrument]
    settings: DriverSettings
    name: str
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prepare: tuple[Preparation, ...] = ()
    world: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 1
    abort_within: float = 60.0
    lose_replies: Hook | None = None
    cause_fault: Hook | None = None
    began: Callable[[World, Command], bool | None] | None = None

    @classmethod
    def of(
        cls,
        driver: str | type[Instrument],
        settings: Mapping[str, Any] | DriverSettings | None = None,
        **rest: Any,  # noqa: ANN401  the attributes of a subject
    ) -> Subject:
        """Return a subject for a driver by its entry-point name or class.

        Raises:
            DriverError: no such driver, or the settings are not what it takes.
        """
        made, name = found_driver(driver)
        subject = cls(made, checked_settings(made, name, settings), name, **rest)
        actions = subject.description.actions
        for action, arguments in subject.arguments.items():
            if action not in actions:
                raise DriverError(
                    f"{name} has no action '{action}'{near_miss(action, actions)}; it has {listed(actions)}"
                )
            known = [p.name for p in actions[action].parameters]
            for parameter in arguments:
                if parameter not in known:
                    raise DriverError(
                        f"{name}.{action} has no parameter '{parameter}'{near_miss(parameter, known)}; it has {listed(known)}"
                    )
        return subject

    @property
    def description(self) -> Description:
        """What the driver says of itself; nothing is connected."""
        return self.driver.describe(self.settings, self.name)

    @property
    def nature(self) -> str:
        """What kind of thing it is with these settings."""
        return self.description.nature

    def example(self, action: str) -> dict[str, Any]:
        """Return arguments with which an action can be asked: those given, the rest made from the description."""
        spec = self.description.actions[action]
        given = self.arguments.get(action, {})
        made = {p.name: within(p) for p in spec.parameters if p.required or p.name in given}
        return {**made, **given}

    def expected(self, spec: ActionSpec) -> float:
        """Return how many seconds the example of an action should take."""
        return spec.seconds(spec.check(self.example(spec.name)))


def found_driver(driver: str | type[Instrument]) -> tuple[type[Instrument], str]:
    """Return a driver with its name.

    Raises:
        DriverError: there is no such driver.
    """
    if isinstance(driver, str):
        return get_driver(driver), driver
    return driver, driver.__name__


def checked_settings(
    driver: type[Instrument], name: str, settings: Mapping[str, Any] | DriverSettings | None
) -> DriverSettings:
    """Return a driver's settings, validated.

    Raises:
        DriverError: they are not what it takes; all that is wrong is named.
    """
    if isinstance(settings, DriverSettings):
        return settings
    try:
        return driver.settings_model.model_validate(dict(settings or {}))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise DriverError(f"driver '{name}' cannot use these settings: {wrong}") from error
    except InputError as error:
        raise DriverError(f"driver '{name}' cannot use these settings: {error}") from error


def within(parameter: FieldSpec) -> Any:  # noqa: ANN401  a value of the parameter's kind
    """Return a value well within a parameter's limits."""
    if not parameter.required:
        return parameter.default
    if parameter.kind == "boolean":
        return False
    if parameter.kind == "text":
        return parameter.choices[0] if parameter.choices else "text"
    lower, upper = parameter.lower, parameter.upper
    if math.isfinite(lower) and math.isfinite(upper):
        # Over several decades the middle of the scale is what an instrument is used at, not the middle of the range.
        value = math.sqrt(lower * upper) if lower > 0 and upper / lower > 100 else lower + (upper - lower) / 4
    elif math.isfinite(lower):
        value = max(lower, 1.0)
    else:
        value = min(upper, 1.0)
    if parameter.kind == "integer":
        return max(math.ceil(lower), round(value)) if math.isfinite(lower) else round(value)
    return value


def beyond(parameter: FieldSpec) -> dict[str, Any]:
    """Return values that must be refused, by what is wrong with them."""
    if parameter.kind == "boolean":
        return {"not true or false": "yes"}
    if parameter.kind == "text":
        return {"not a text": 1, **({"none of the words": "\x00no such word"} if parameter.choices else {})}
    wrong: dict[str, Any] = {"a text": "1", "true": True, "not finite": math.inf}
    whole = parameter.kind == "integer"
    if whole:
        wrong["not whole"] = within(parameter) + 0.5
    if math.isfinite(parameter.lower):
        wrong["below the limit"] = parameter.lower - 1 if whole else math.nextafter(parameter.lower, -math.inf)
        wrong["far below"] = parameter.lower - 1e3 * max(1.0, abs(parameter.lower))
    if math.isfinite(parameter.upper):
        wrong["above the limit"] = parameter.upper + 1 if whole else math.nextafter(parameter.upper, math.inf)
        wrong["far above"] = parameter.upper + 1e3 * max(1.0, abs(parameter.upper))
    return wrong
