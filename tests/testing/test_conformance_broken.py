"""The suite itself: a good driver keeps every rule, and each deliberately broken one breaks its own and no other."""

from __future__ import annotations

import pytest

from sdl.errors import DriverError, InputError
from sdl.testing import Subject, all_rules, conformance_tests, run_conformance, run_rule
from sdl.testing.fakes import BROKEN, GoodPress

test_good_press = conformance_tests(GoodPress)


@pytest.mark.parametrize("driver", BROKEN, ids=lambda d: d.__name__)
def test_broken_driver_is_caught_by_its_rule_alone(driver):
    report = run_conformance(driver)
    assert report.broken == (driver.breaks,), str(report)


def test_every_rule_has_a_driver_that_breaks_it():
    assert {d.breaks for d in BROKEN} == {r.name for r in all_rules()}


def test_report_says_what_was_found_and_why_it_matters():
    (driver,) = (d for d in BROKEN if d.breaks == "busy-said")
    report = run_conformance(driver, rules=["busy-said", "simulator-alike", "health-answers"])
    text = str(report)
    assert not report.passed
    assert "1 rules kept, 1 broken, 1 skipped" in text
    assert "BROKEN   busy-said" in text
    assert "says the same as when idle" in text
    assert "names no simulator" in text
    assert [r["state"] for r in report.as_json()["rules"]] == ["broken", "skipped", "ok"]


def test_rules_are_documented():
    for rule in all_rules():
        assert rule.says, rule.name
        assert rule.why, rule.name


def test_hooks_may_come_from_the_subject():
    class Bare(GoodPress):
        """Press that says nothing of how to disturb it."""

        simulate_lost_replies = None
        simulate_fault = None

    rules = ["timeout-unknown", "safe-state-read-back", "health-answers"]
    bare = run_conformance(Bare, rules=rules)
    assert set(bare.skipped) == {"timeout-unknown", "safe-state-read-back"}
    hooked = run_conformance(
        Bare,
        rules=rules,
        lose_replies=lambda i: setattr(i.line, "deaf", True),
        cause_fault=lambda i: setattr(i.device, "jammed", True),
    )
    assert hooked.passed
    assert not hooked.skipped


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: run_conformance("simulated_dispensr"), "did you mean 'simulated_dispenser'"),
        (lambda: run_conformance("replay", {"tabel": "x"}), "tabel"),
        (lambda: Subject.of(GoodPress, arguments={"pres": {}}), "did you mean 'press'"),
        (lambda: Subject.of(GoodPress, arguments={"press": {"forse": 1.0}}), "did you mean 'force'"),
    ],
)
def test_wrong_subjects_are_refused(make, said):
    with pytest.raises(DriverError, match=said):
        make()


def test_unknown_rule_is_refused():
    with pytest.raises(InputError, match="did you mean 'busy-said'"):
        run_conformance(GoodPress, rules=["busy-sayd"])


def test_a_driver_that_cannot_connect_is_a_finding_not_a_crash():
    class Unplugged(GoodPress):
        """Press that is not there."""

        async def connect(self):
            raise ConnectionError("no such port")

    report = run_conformance(Unplugged)
    assert "actions-work" in report.broken
    assert "no such port" in str(report)


def test_a_wait_outside_time_is_given_up(monkeypatch):
    import asyncio

    from sdl.testing import conformance

    class Stuck(GoodPress):
        """Press that waits for what never comes."""

        async def health(self):
            await asyncio.Event().wait()

    monkeypatch.setattr(conformance, "_PATIENCE", 0.3)
    (rule,) = (r for r in all_rules() if r.name == "health-answers")
    verdict = run_rule(rule, Subject.of(Stuck))
    assert verdict.state == "broken"
    assert "outside the lab's clock" in verdict.text
