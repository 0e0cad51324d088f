"""`sdl drivers check`: the conformance suite on an installed driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdl.campaign.document import parse_value
from sdl.cli.outcome import DONE, FAILED
from sdl.driver import get_driver
from sdl.errors import InputError, listed, near_miss

if TYPE_CHECKING:
    from sdl.cli.outcome import Output


def check_driver(
    name: str,
    settings: tuple[str, ...],
    arguments: tuple[str, ...],
    prepare: tuple[str, ...],
    rules: tuple[str, ...],
    output: Output,
) -> int:
    """Try every rule on a driver, in a simulated world in a temporary folder and in virtual time; nothing real may move.

    Args:
        name: of the driver.
        settings: `key=value`.
        arguments: `action.parameter=value`, in the declared unit.
        prepare: `driver.action(parameter=value, …)`; a step that every sample needs first.
        rules: names; all where empty.
        output: where to say it.
    """
    from sdl.testing import Preparation, Subject, run_conformance

    given: dict[str, dict[str, Any]] = {}
    for text in arguments:
        where, value = _pair(text, "--argument", "action.parameter=value")
        action, dot, parameter = where.partition(".")
        if not dot:
            raise InputError(f"--argument {text}: write action.parameter=value")
        given.setdefault(action, {})[parameter] = value
    driver = get_driver(name)
    subject = Subject.of(
        name,
        with_nested(dict(_pair(s, "--setting", "key=value") for s in settings)),
        arguments=given,
        prepare=tuple(Preparation(*_step(text)) for text in prepare),
    )
    if subject.description.nature == "real":
        raise InputError(
            f"driver '{name}' is real with these settings: the suite would press, heat and abort at will. Check it against a "
            "simulated device: in the plugin's own tests (sdl.testing.conformance_tests with the class), or check its "
            f"simulator {'' if driver.simulator is None else repr(driver.simulator)}".rstrip()
        )
    report = run_conformance(subject, rules=rules or None)
    output.say(str(report))
    output.emit(report.as_json())
    return DONE if report.passed else FAILED


def with_nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with `a.b=1` as `{a: {b: 1}}`."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        place = result
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return result


def _pair(text: str, option: str, form: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"{option} {text}: write {form}")
    return key.strip(), parse_value(value.strip())


def _step(text: str) -> tuple[str, str, dict[str, Any]]:
    """Read `driver.action(parameter=value, …)`."""
    form = "driver.action(parameter=value, …)"
    head, bracket, rest = text.strip().partition("(")
    driver, dot, action = head.strip().rpartition(".")
    if not dot or (bracket and not rest.endswith(")")):
        raise InputError(f"--prepare {text}: write {form}")
    pairs = [part for part in rest.removesuffix(")").split(",") if part.strip()]
    found = get_driver(driver)
    arguments = dict(_pair(part, f"--prepare {text}: '{part.strip()}'", form) for part in pairs)
    actions = found.describe(found.settings_model(), driver).actions
    if action not in actions:
        raise InputError(
            f"--prepare {text}: {driver} has no action '{action}'{near_miss(action, actions)}; it has {listed(actions)}"
        )
    return driver, action, arguments
