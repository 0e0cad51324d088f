"""For those who test on the platform: the conformance suite of drivers, and instruments that misbehave on purpose."""

from sdl.testing.conformance import Report, Verdict, run_conformance, run_rule
from sdl.testing.pytest_conformance import conformance_tests
from sdl.testing.rule import Finding, NotApplicable, Rule, all_rules
from sdl.testing.subject import Preparation, Subject

__all__ = [
    "Finding",
    "NotApplicable",
    "Preparation",
    "Report",
    "Rule",
    "Subject",
    "Verdict",
    "all_rules",
    "conformance_tests",
    "run_conformance",
    "run_rule",
]
