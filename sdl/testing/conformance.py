"""Runs the rules over a driver and reports.

report = run_conformance("mydriver", settings={"port": "simulated"})
print(report)
assert report.passed
"""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sdl.driver import DriverSettings, Instrument
from sdl.errors import InputError, listed, near_miss
from sdl.testing.bench import TooLong
from sdl.testing.rule import Finding, NotApplicable, Rule, all_rules
from sdl.testing.subject import Subject

_PATIENCE = 60.0
"""Real seconds after which a check is given up: something waits for what is neither lab time nor an answer."""


@dataclass(frozen=True)
class Verdict:
    """What became of one rule.

    Attributes:
        rule: which.
        state: `ok`, `broken` or `skipped`.
        text: what was found, or why it was skipped.
    """

    rule: Rule
    state: Literal["ok", "broken", "skipped"]
    text: str = ""


@dataclass(frozen=True)
class Report:
    """What the suite found of a driver.

    Attributes:
        driver: its name.
        verdicts: one per rule that was tried.
    """

    driver: str
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return not self.broken

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the broken rules."""
        return tuple(v.rule.name for v in self.verdicts if v.state == "broken")

    @property
    def skipped(self) -> tuple[str, ...]:
        """Names of the rules that were not tried."""
        return tuple(v.rule.name for v in self.verdicts if v.state == "skipped")

    def __str__(self) -> str:
        kept = len(self.verdicts) - len(self.broken) - len(self.skipped)
        lines = [f"{self.driver}: {kept} rules kept, {len(self.broken)} broken, {len(self.skipped)} skipped"]
        for verdict in self.verdicts:
            mark = {"ok": "ok", "broken": "BROKEN", "skipped": "skipped"}[verdict.state]
            lines.append(f"  {mark:8} {verdict.rule.name}")
            if verdict.state == "broken":
                lines += _indented(f"found: {verdict.text}")
                lines += _indented(f"rule: {verdict.rule.says}")
                lines += _indented(f"why: {verdict.rule.why}")
            elif verdict.text:
                lines += _indented(verdict.text)
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "driver": self.driver,
            "passed": self.passed,
            "rules": [
                {"rule": v.rule.name, "state": v.state, "says": v.rule.says, **({"text": v.text} if v.text else {})}
                for v in self.verdicts
            ],
        }


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, 116, initial_indent=" " * 11, subsequent_indent=" " * 13, break_on_hyphens=False)


def run_rule(rule: Rule, subject: Subject) -> Verdict:
    """Try one rule, in an event loop of its own."""
    late = False

    async def bounded() -> Finding | None:
        nonlocal late
        try:
            async with asyncio.timeout(_PATIENCE) as patience:
                return await rule.check(subject)
        finally:
            late = patience.expired()  # a driver's own TimeoutError looks the same

    try:
        finding = asyncio.run(bounded())
    except NotApplicable as reason:
        return Verdict(rule, "skipped", str(reason))
    except TooLong as error:
        return Verdict(rule, "broken", str(error))
    except Exception as error:  # noqa: BLE001  whatever a driver raises is a finding about it
        if late:
            text = f"no end after {_PATIENCE:g} s of real time: does it wait for something outside the lab's clock?"
            return Verdict(rule, "broken", text)
        return Verdict(rule, "broken", f"{type(error).__name__}: {error}")
    return Verdict(rule, "ok") if finding is None else Verdict(rule, "broken", finding.what)


def chosen_rules(names: Iterable[str] | None = None) -> tuple[Rule, ...]:
    """Return the rules of these names, or all.

    Raises:
        InputError: there is no such rule.
    """
    rules = {r.name: r for r in all_rules()}
    if names is None:
        return tuple(rules.values())
    chosen = []
    for name in names:
        if name not in rules:
            raise InputError(f"no rule is called '{name}'{near_miss(name, rules)}; there are {listed(rules)}")
        chosen.append(rules[name])
    return tuple(chosen)


def run_conformance(
    driver: str | type[Instrument] | Subject,
    settings: Mapping[str, Any] | DriverSettings | None = None,
    *,
    rules: Iterable[str] | None = None,
    **about: Any,  # noqa: ANN401  the attributes of a Subject
) -> Report:
    """Try every rule on a driver.

    Args:
        driver: entry-point name, class, or a whole `Subject`.
        settings: of the driver.
        rules: names; all by default.
        about: further attributes of the `Subject`, such as `arguments` and `prepare`.

    Raises:
        DriverError: no such driver, or settings that it does not take.
    """
    subject = driver if isinstance(driver, Subject) else Subject.of(driver, settings, **about)
    return Report(subject.name, tuple(run_rule(rule, subject) for rule in chosen_rules(rules)))
