"""`cost` and `stop.cost` of a campaign file, and the target among several sources."""

from __future__ import annotations

import pytest

from sdl.campaign import Files, parse_document
from sdl.campaign.load import draft_of

TEXT = """\
name: firing
space: {parameters: {hold: {type: continuous, bounds: [0.5, 16], unit: h}, gas: {type: categorical, values: [a, b]}}}
objectives: {y: {goal: maximize}}
HOW
lab: {instruments: {i: {driver: replay}}}
planner: {type: bayes}
stop: {experiments: 5STOP}
"""
STEPS = "[{instrument: i, action: a, with: {hold: $hold, gas: $gas}, gives: {y: y}}]"
SIMULATION = "  simulation: {protocol: STEPS, cost: 30 min}\n"
MEASUREMENT = "  measurement: {protocol: STEPS, cost: {expression: hold + 2, unit: h}, target: true}"


def read(tmp_path, how: str, stop: str = ""):
    text = TEXT.replace("HOW", how).replace("STEPS", STEPS).replace("STOP", stop)
    return draft_of(parse_document(text, "c.yaml"), Files(tmp_path))


def test_a_cost_and_a_limit(tmp_path):
    draft = read(tmp_path, "protocol: STEPS\ncost: {expression: hold + 2, unit: h}", ", cost: 1 day")
    assert not draft.problems
    assert str(draft.costs["default"]) == "hold + 2 [h]"
    assert draft.stop.cost == pytest.approx(24.0)
    assert (draft.target, draft.others) == ("default", ())
    plain = read(tmp_path, "protocol: STEPS\ncost: 40", ", cost: 900")
    assert (str(plain.costs["default"]), plain.stop.cost) == ("40.0", 900.0)


@pytest.mark.parametrize(
    ("cost", "stop", "said"),
    [
        (
            "cost: {expression: hold - 1, unit: h}",
            "",
            "c.yaml:5:1: cost: hold - 1 [h] is -0.5 at hold = 0.5; a cost is",
        ),
        ("cost: {expression: hodl, unit: h}", "", "cost: character 1: unknown parameter 'hodl' (did you mean 'hold'?)"),
        ("cost: {expression: 2 * gas, unit: h}", "", "character 5: 'gas' is categorical and no number"),
        ("cost: {expression: 2 h + hold}", "", "numbers stand without units here"),
        ("cost: {expression: hold, unit: furlongs per hold}", "", "cost.unit: unknown unit"),
        ("cost: {expression: hold, unit: degC}", "", "cost.unit: degC has no zero that means nothing"),
        ("cost: {expression: hold, unit: h, per: day}", "", "cost.per: unknown key 'per'"),
        ("cost: soon", "", "cost: 'soon' is not a quantity"),
        ("cost: 0 h", "", "is 0 at every point"),
        ("cost: 2 h", ", cost: 3 kg", "stop.cost: 3 kg cannot be given in h"),
        ("cost: 2 h", ", cost: 0 h", "stop.cost: must be above 0"),
        ("", ", cost: 20 h", "stop.cost: needs to know what an experiment costs"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, cost, stop, said):
    problems = [str(p) for p in read(tmp_path, f"protocol: STEPS\n{cost}", stop).problems]
    assert len(problems) == 1 and said in problems[0], problems


def test_costs_of_sources_share_a_unit(tmp_path):
    draft = read(tmp_path, f"sources:\n{SIMULATION}{MEASUREMENT}", ", cost: 100 h")
    assert not draft.problems
    assert (draft.target, draft.others) == ("measurement", ("simulation",))
    assert str(draft.costs["simulation"]) == "0.0166667 * (30.0) [h]"
    assert draft.costs["simulation"].of({"hold": 1.0, "gas": "a"}) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            SIMULATION + MEASUREMENT.replace(", target: true", ""),
            "one is the target, whose results count: none is marked",
        ),
        (SIMULATION.replace(", cost", ", target: true, cost") + MEASUREMENT, "'simulation', 'measurement' are marked"),
        (SIMULATION.replace(", cost: 30 min", "") + MEASUREMENT, "sources.simulation: 'cost' is missing"),
        (
            SIMULATION.replace("30 min", "30 kg") + MEASUREMENT,
            "sources.simulation.cost.unit: is kg, and that of 'measurement'",
        ),
        (SIMULATION + MEASUREMENT + "\ncost: 2 h", "cost: with 'sources' each source has its own 'cost'"),
        (SIMULATION + MEASUREMENT.replace("true", "yes"), "sources.measurement.target: must be true or false"),
    ],
)
def test_sources_that_cannot_be_told_apart(tmp_path, how, said):
    problems = [str(p) for p in read(tmp_path, f"sources:\n{how}").problems]
    assert any(said in p for p in problems), problems
