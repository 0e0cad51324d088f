"""The conformance suite as a pytest test: one line in a plugin's tests, one result a rule.

from sdl.testing import conformance_tests

test_pump = conformance_tests("pump", settings={"port": "simulated"})
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sdl.driver import DriverSettings, Instrument
from sdl.testing.conformance import chosen_rules, run_rule
from sdl.testing.rule import Rule
from sdl.testing.subject import Subject


def conformance_tests(
    driver: str | type[Instrument],
    settings: Mapping[str, Any] | DriverSettings | None = None,
    *,
    rules: Iterable[str] | None = None,
    **about: Any,  # noqa: ANN401  the attributes of a Subject
) -> Callable[[Rule], None]:
    """Return a test, parametrised by rule: assign it to a name that begins with `test_`.

    A rule that does not apply is shown as skipped, with the reason.

    Args:
        driver: entry-point name or class.
        settings: of the driver.
        rules: names; all by default.
        about: further attributes of the `Subject`, such as `arguments`, `prepare`, `lose_replies`.
    """
    import pytest

    chosen = chosen_rules(rules)

    @pytest.mark.parametrize("rule", [pytest.param(r, id=r.name) for r in chosen])
    def test(rule: Rule) -> None:
        # The driver is looked up here and not at import: a broken one fails its tests, and not the collection of others.
        verdict = run_rule(rule, Subject.of(driver, settings, **about))
        if verdict.state == "skipped":
            pytest.skip(verdict.text)
        if verdict.state == "broken":
            pytest.fail(f"{rule.name}: {verdict.text}\nrule: {rule.says}\nwhy: {rule.why}", pytrace=False)

    return test
