"""`group:` and `tolerance:` are read, checked against protocol and planner, and refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdl.errors import FileProblems
from sdl.planners import Group, get_planner
from sdl.preflight import check
from sdl.preflight.schema import campaign_schema

CERAMICS = Path(__file__).parents[2] / "campaigns" / "ceramics_line.yaml"


def checked(*overrides: str):
    return check(CERAMICS, overrides=overrides)


def test_a_group_is_read():
    found = checked("group={shared: [temperature, hold], capacity: 4}")
    assert found.problem.group == Group(("temperature", "hold"), 4)
    assert found.plan.group_size == 4
    assert found.campaign.group.shared == ("temperature", "hold")


def test_without_one_nothing_changes():
    found = checked()
    assert found.problem.group is None
    assert found.plan.group_size == 1


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("{shared: [temperature, hold], capacity: 9}", "a group of 9 experiments cannot be under way at once"),
        ("{shared: [temperature, hold], capacity: 5}", "'furnace.sinter' takes at most 4 samples at once"),
        ("{shared: [temperatur, hold], capacity: 4}", "did you mean 'temperature'"),
        ("{shared: [hold, hold], capacity: 4}", "'hold' stands twice"),
        ("{shared: [temperature], capacity: 4}", "'furnace.sinter' also takes 'hold'"),
        (
            "{shared: [li_excess, gallium, milling, pressure, temperature, hold], capacity: 4}",
            "these are all parameters: nothing would differ within a group",
        ),
        ("{shared: [], capacity: 4}", "must be"),
        ("{shared: [temperature, hold], capacity: 1}", "greater than or equal to 2"),
        ("{shared: [temperature, hold]}", "is missing"),
        ("{shared: [temperature, hold], capacity: 4, size: 3}", "unknown key 'size'"),
        ("[temperature]", "must be a mapping"),
    ],
)
def test_a_group_that_cannot_be_is_refused(group, said):
    with pytest.raises(FileProblems) as error:
        checked(f"group={group}")
    assert said in str(error.value)


@pytest.mark.parametrize("planner", ["{type: design, design: maximin}", "{type: optuna}"])
def test_a_planner_without_groups_is_refused(planner):
    with pytest.raises(FileProblems, match="cannot propose groups that share settings"):
        checked("group={shared: [temperature, hold], capacity: 4}", f"planner={planner}")


def test_designs_that_cannot_be_grouped_are_refused():
    with pytest.raises(FileProblems, match="in groups there are the designs 'sobol' and 'random'"):
        checked("group={shared: [temperature, hold], capacity: 4}", "planner={type: bayes, initial: {type: maximin}}")


def test_who_can():
    assert [n for n in ("bayes", "sobol", "random", "design", "ax") if get_planner(n).capabilities.groups] == [
        "bayes",
        "sobol",
        "random",
    ]


def test_it_stands_in_the_schema():
    schema = campaign_schema()
    assert schema["properties"]["group"] == {"$ref": "#/$defs/group"}
    assert schema["$defs"]["group"]["required"] == ["shared", "capacity"]


# --- tolerances ------------------------------------------------------------------------------------------------------------


def test_tolerances_are_read_as_differences_in_the_parameters_unit():
    found = checked("tolerance={li_excess: 0.01, milling: 6 min, pressure: 5 MPa}")
    assert found.problem.tolerances == {"li_excess": 0.01, "milling": pytest.approx(0.1), "pressure": 5.0}
    assert checked().problem.tolerances == {}
    degrees = checked(
        "space.parameters.temperature={type: continuous, bounds: [1125, 1200], unit: degC}",
        "tolerance={temperature: 5 K}",
    )
    assert degrees.problem.tolerances == {"temperature": pytest.approx(5.0)}


@pytest.mark.parametrize(
    ("tolerance", "said"),
    [
        ("{temperature: 5 degC}", "'temperature' is discrete: only what is continuous can be a little off"),
        ("{presure: 5 MPa}", "did you mean 'pressure'"),
        ("{pressure: 5 h}", "cannot be given in MPa"),
        ("{pressure: 0}", "must be above 0 and below half the range"),
        ("{pressure: 175}", "which is 175 MPa"),
        ("{milling: 1 h}", "may reach 0 at the lower bound of 'milling'"),
        ("{pressure: [1, 2]}", "must be a number in MPa or a quantity"),
        ("[pressure]", "must be a mapping"),
    ],
)
def test_a_tolerance_that_cannot_be_is_refused(tolerance, said):
    with pytest.raises(FileProblems) as error:
        checked(f"tolerance={tolerance}")
    assert said in str(error.value)


def test_a_part_of_a_whole_cannot_be_off_alone():
    whole = "space.constraints=[{type: linear, terms: {li_excess: 1, gallium: 1}, equals: 0.3}]"
    with pytest.raises(FileProblems, match="'gallium' is bound by an equality"):
        checked(whole, "tolerance={gallium: 0.01}")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("planner={type: sobol}", "takes no account of tolerances"),
        ("stop.gain={more_than: 0.1 mS/cm}", "is not known where parameters have tolerances"),
        ("planner={type: bayes, replicates: true}", "what a repeat is worth is not known with tolerances"),
    ],
)
def test_what_does_not_go_with_tolerances_is_refused(more, said):
    with pytest.raises(FileProblems) as error:
        checked("tolerance={pressure: 5 MPa}", more)
    assert said in str(error.value)
