"""Policies of a step are read, checked against its action, and refused with a reason."""

from __future__ import annotations

import pytest
from enginekit import CAMPAIGN, Gauge, Press

from sdl.errors import FileProblems
from sdl.loop import Approval, IfFails
from sdl.preflight import check


class OtherGauge(Press):
    """Of another kind."""


@pytest.fixture
def campaign(write, drivers):
    drivers(press=Press, gauge=Gauge, other=OtherGauge)
    more = "gauge: {driver: gauge}\n    gauge_2: {driver: gauge}\n    other: {driver: other}"
    return write("pellets.yaml", CAMPAIGN.replace("gauge: {driver: gauge}", more))


@pytest.mark.parametrize(
    ("step", "policy", "plan"),
    [
        (1, "if_fails={retry: 2}", IfFails("retry", 2)),
        (1, "if_fails={instrument: gauge_2}", IfFails("instrument", 0, "gauge_2", 0)),
        (1, "if_fails=ask", IfFails("ask")),
        (0, "if_fails=skip", IfFails("skip")),
        (0, "if_fails=fail", IfFails()),
        (0, "approve=always", Approval("always")),
        (0, "approve={cost_above: 12 h}", Approval("cost_above", 43200.0)),
        (0, "approve={outside: {force: [20, 40000 N]}}", Approval("outside", 0.0, {"force": (20.0, 40.0)})),
    ],
)
def test_a_policy_is_read(campaign, step, policy, plan):
    found = check(campaign, overrides=(f"protocol[{step}].{policy}",)).plan.steps[step]
    assert plan in (found.if_fails, found.approve)


@pytest.mark.parametrize(
    ("step", "policy", "said"),
    [
        (0, "if_fails={retry: 2}", "'press.press' is irreversible and is never sent again by itself"),
        (0, "if_fails={instrument: other}", "'press.press' is irreversible"),
        (1, "if_fails={retry: 0}", "must be a whole number from 1 to 100, got 0"),
        (1, "if_fails={retry: true}", "must be a whole number"),
        (1, "if_fails=skipp", "did you mean 'skip'"),
        (1, "if_fails=skip", "'gauge.measure' gives an outcome"),
        (1, "if_fails={instrument: gouge}", "did you mean 'gauge'"),
        (1, "if_fails={instrument: gauge}", "is the instrument that failed"),
        (1, "if_fails={instrument: other}", "'other' is of another kind"),
        (1, "if_fails={instrument: 3}", "must name an instrument"),
        (1, "if_fails=[1]", "must be fail, skip, ask"),
        (1, "if_fails={retry: 1, skip: 2}", "must be fail, skip, ask"),
        (0, "approve=allways", "did you mean 'always'"),
        (0, "approve={cost_above: 12 kg}", "approve.cost_above"),
        (0, "approve={outside: {farce: [1, 2]}}", "did you mean 'force'"),
        (0, "approve={outside: {force: [2, 1]}}", "the lower end, 2 kN, is above the upper one, 1 kN"),
        (0, "approve={outside: {force: [1 s, 2]}}", "approve.outside.force"),
        (0, "approve={outside: {force: 3}}", "must be two numbers or quantities"),
        (0, "approve={outside: {}}", "must be a mapping such as"),
        (0, "approve=3", "must be always, first"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_with_its_place(campaign, step, policy, said):
    with pytest.raises(FileProblems) as caught:
        check(campaign, overrides=(f"protocol[{step}].{policy}",))
    assert said in str(caught.value)


def test_a_shared_command_stays_with_its_instrument(campaign):
    with pytest.raises(FileProblems, match="stays with its instrument"):
        check(campaign, overrides=("protocol[1].if_fails={instrument: gauge_2}", "protocol[1].together={wait: 1 h}"))


@pytest.mark.parametrize("policy", ["if_fails: ask", "approve: always"])
def test_steps_after_a_failure_have_no_policies(campaign, policy):
    text = (
        campaign.read_text()
        + f"on_failure: [{{instrument: gauge, action: measure, with: {{force: 1 kN}}, {policy}}}]\n"
    )
    campaign.write_text(text)
    with pytest.raises(FileProblems, match="a step after a failure has no"):
        check(campaign)
