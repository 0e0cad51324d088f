"""Desirabilities in a campaign file: all objectives have one or none, and what cannot go with them is refused."""

from __future__ import annotations

import pytest

from sdl.campaign import Files, parse_document
from sdl.campaign.load import draft_of
from sdl.objective import DESIRABILITY
from sdl.planners import get_planner, refusals

TEXT = """\
name: two
space: {{parameters: {{x: {{type: continuous, bounds: [0, 1]}}}}}}
objectives:
  y: {{goal: maximize, unit: MPa, desirability: {{from: 20 MPa, to: 60 MPa}}{y}}}
  z: {{goal: minimize{z}}}
protocol: [{{instrument: i, action: a, with: {{x: $x}}, gives: {{y: y, z: z}}}}]
lab: {{instruments: {{i: {{driver: replay}}}}}}
planner: {{type: bayes}}
stop: {{experiments: 5{stop}}}
"""
JOINED = ", desirability: {from: 5, to: 1, weight: 2}"


def draft(tmp_path, z: str = JOINED, y: str = "", stop: str = "", text: str = TEXT):
    return draft_of(parse_document(text.format(y=y, z=z, stop=stop), "c.yaml"), Files(tmp_path))


def test_all_have_one(tmp_path):
    read = draft(tmp_path)
    assert [str(p) for p in read.problems] == []
    assert read.objectives["z"].desirability.weight == 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"z": ""}, "objectives.z: has no desirability, while 'y' has one"),
        ({"y": ", reference: 10"}, "objectives.y.reference: a reference says"),
        (
            {"stop": ", gain: {more_than: 1}"},
            "stop.gain: what is still to be gained is not known for a joint desirability",
        ),
        ({"stop": ", target: {desirable: 0.8}"}, "unknown objective 'desirable'"),
        ({"stop": ", target: {desirability: {at_least: 20 MPa}}"}, "stop.target.desirability"),
        ({"text": TEXT.replace("  y:", "  desirability:")}, "'desirability' is what all together are called"),
    ],
)
def test_what_cannot_go_with_them_is_refused(tmp_path, changed, said):
    problems = [str(p) for p in draft(tmp_path, **changed).problems]
    assert any(said in p for p in problems), problems


@pytest.mark.parametrize("target", ["0.8", "{at_least: 0.8}"])
def test_a_target_of_all_together(tmp_path, target):
    read = draft(tmp_path, stop=f", target: {{desirability: {target}, y: {{at_least: 30}}}}")
    assert [str(p) for p in read.problems] == []
    assert read.stop.target[DESIRABILITY].at_least == 0.8
    assert read.stop.target["y"].unit == "MPa"


def test_planners_that_do_not_seek_it_are_refused(tmp_path):
    read = draft(tmp_path)
    for name in ("ax", "baybe", "optuna"):
        [said] = [s for s in refusals(get_planner(name), read.space, read.objectives, {}) if "joint" in s]
        assert f"planner '{name}' does not seek a joint desirability (" in said
    for name in ("bayes", "random", "sobol"):
        assert refusals(get_planner(name), read.space, read.objectives, {}) == []
