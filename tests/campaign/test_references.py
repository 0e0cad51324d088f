"""References of objectives: refused where they have no effect, or where the target lies beyond them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sdl.campaign import Files, parse_document
from sdl.campaign.load import draft_of
from sdl.objective import Objective

TEXT = """\
name: two
space: {{parameters: {{x: {{type: continuous, bounds: [0, 1]}}}}}}
objectives:
  y: {y}
{other}
protocol: [{{instrument: i, action: a, with: {{x: $x}}, gives: {{y: y}}}}]
lab: {{instruments: {{i: {{driver: replay}}}}}}
planner: {{type: bayes}}
stop: {{experiments: 5{target}}}
"""
OTHER = "  z: {goal: minimize}"


def said(tmp_path, y: str, target: str = "", other: str = OTHER) -> list[str]:
    target = f", target: {{y: {{{target}}}}}" if target else ""
    draft = draft_of(parse_document(TEXT.format(y=y, other=other, target=target), "c.yaml"), Files(tmp_path))
    return [str(p) for p in draft.problems if "reference" in str(p)]


def test_with_one_objective_it_has_no_effect(tmp_path):
    [problem] = said(tmp_path, "{goal: maximize, reference: 1}", other="")
    assert problem.startswith("c.yaml:4:34: objectives.y.reference: a reference says what counts as a gain")
    assert "with one objective it has no effect: leave it out" in problem


@pytest.mark.parametrize(
    ("goal", "target", "side"),
    [
        ("goal: maximize, unit: h, reference: 2", "at_least: 2", "below the target"),
        ("goal: maximize, unit: h, reference: 2", "at_least: 90 min", "below the target"),
        ("goal: maximize, unit: h, reference: 2", "at_most: 1", "below the target"),
        ("goal: minimize, unit: h, reference: 60 min", "at_most: 1", "above the target"),
        ("goal: minimize, unit: degC, reference: 900", "at_most: 1100, unit: K", None),
        ("goal: minimize, unit: degC, reference: 900", "at_most: 1200, unit: degC", "above the target"),
        ("goal: match, value: 5, reference: 6", "at_least: 3, at_most: 5.5", "farther from 'value'"),
        ("goal: match, value: 5, reference: 8", "at_least: 3, at_most: 5.5", None),
        ("goal: maximize, unit: h, reference: 2", "at_least: 121 min, unit: min", None),
        ("goal: maximize, unit: h, reference: 2", "", None),
    ],
)
def test_the_target_lies_on_the_better_side(tmp_path, goal, target, side):
    problems = said(tmp_path, f"{{{goal}}}", target)
    if side is None:
        assert not problems
    else:
        [problem] = problems
        assert f"the reference must lie {side}" in problem
        assert "may count as no gain" in problem


def test_a_reference_at_the_value_to_be_matched():
    with pytest.raises(ValidationError, match="'reference' is the value to be matched, 5"):
        Objective(goal="match", value=5, reference=5)
