"""A rule of the conformance suite: a name, a sentence, and a check that finds something or nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdl.testing.subject import Subject


@dataclass(frozen=True)
class Finding:
    """What breaks a rule.

    Attributes:
        what: what was asked, what was found, and what was expected.
    """

    what: str


class NotApplicable(Exception):  # noqa: N818  not an error: a rule that has nothing to say of this driver
    """A rule does not apply to a driver, or cannot be tried; the text says why."""


Check = Callable[["Subject"], Awaitable[Finding | None]]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: short, for reports and parametrised tests.
        says: what must hold, in a line.
        why: what goes wrong in a lab where it does not.
        check: returns what breaks it, or None; raises `NotApplicable`.
    """

    name: str
    says: str
    why: str
    check: Check


_RULES: dict[str, Rule] = {}


def rule(name: str, *, says: str, why: str) -> Callable[[Check], Check]:
    """Make an async function a rule of the suite."""

    def register(check: Check) -> Check:
        if name in _RULES:
            raise ValueError(f"two rules are called {name}")
        _RULES[name] = Rule(name, says, why, check)
        return check

    return register


def all_rules() -> tuple[Rule, ...]:
    """Return every rule, in the order in which a driver author meets them."""
    from sdl.testing import rules  # noqa: F401  importing it registers them

    return tuple(_RULES.values())
