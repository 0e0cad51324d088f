"""Desirabilities: values by hand from the formulas, the worked example of Derringer and Suich, units, refusals."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sdl.objective import (
    DESIRABILITY,
    Estimate,
    Objective,
    best_result,
    describe_desirability,
    desirability_of,
    is_joint,
    is_several,
    joint_desirability,
    judged,
    judged_by,
    least_desirability,
    parts_of,
)


def objective(goal: str, unit: str = "dimensionless", value: object = None, **desirability: object) -> Objective:
    spec = {"goal": goal, "unit": unit, "desirability": desirability}
    return Objective.model_validate(spec if value is None else {**spec, "value": value})


def outcomes(**values: float) -> dict[str, Estimate]:
    return {name: Estimate(value) for name, value in values.items()}


TYRE = {
    "abrasion": objective("maximize", **{"from": 120, "to": 170}),
    "modulus": objective("maximize", **{"from": 1000, "to": 1300}),
    "elongation": objective("match", value=500, within=100),
    "hardness": objective("match", value=67.5, within=7.5),
}


def test_the_tyre_tread_compound_of_derringer_and_suich():
    """Their optimum: abrasion index 129.5, modulus 1300, elongation 465.7 %, hardness 68.0; D is given as 0.583."""
    found = outcomes(abrasion=129.5, modulus=1300.0, elongation=465.7, hardness=68.0)
    assert parts_of(TYRE, found) == pytest.approx(
        {"abrasion": 0.189, "modulus": 1.0, "elongation": 0.656, "hardness": 0.932}, abs=2e-3
    )
    assert joint_desirability(TYRE, found) == pytest.approx(0.583, abs=2e-3)


@pytest.mark.parametrize(
    ("goal", "value", "spec", "at", "wanted"),
    [
        ("maximize", None, {"from": 20, "to": 60}, 50.0, 0.75),
        ("maximize", None, {"from": 20, "to": 60, "shape": 2}, 50.0, 0.5625),
        ("maximize", None, {"from": 20, "to": 60, "shape": 0.5}, 30.0, 0.5),
        ("maximize", None, {"from": 20, "to": 60}, 20.0, 0.0),
        ("maximize", None, {"from": 20, "to": 60}, 19.0, 0.0),
        ("maximize", None, {"from": 20, "to": 60}, 61.0, 1.0),
        ("minimize", None, {"from": 60, "to": 20}, 30.0, 0.75),
        ("minimize", None, {"from": 60, "to": 20}, 70.0, 0.0),
        ("minimize", None, {"from": 60, "to": 20}, 0.0, 1.0),
        ("match", 5.0, {"within": 2}, 5.0, 1.0),
        ("match", 5.0, {"within": 2}, 4.0, 0.5),
        ("match", 5.0, {"within": 2, "shape": 2}, 6.0, 0.25),
        ("match", 5.0, {"within": 2}, 7.0, 0.0),
        ("match", 5.0, {"within": 2}, 1.0, 0.0),
    ],
)
def test_one_by_hand(goal, value, spec, at, wanted):
    assert desirability_of(objective(goal, value=value, **spec), at) == pytest.approx(wanted, abs=1e-15)


BOTH = {
    "a": objective("maximize", **{"from": 0, "to": 1, "weight": 2}),
    "b": objective("minimize", **{"from": 10, "to": 0, "weight": 1, "shape": 2}),
}


def test_weights_in_the_geometric_mean():
    # d(a) = 0.5, d(b) = 0.9² = 0.81: (0.5² · 0.81)^(1/3) = 0.2025^(1/3)
    assert joint_desirability(BOTH, outcomes(a=0.5, b=1.0)) == pytest.approx(0.2025 ** (1 / 3), rel=1e-12)
    assert joint_desirability(BOTH, outcomes(a=0.0, b=0.0)) == 0.0  # what is of no use cannot be made up for
    assert joint_desirability(BOTH, outcomes(a=2.0, b=-1.0)) == 1.0
    assert joint_desirability(BOTH, outcomes(a=0.5)) is None
    assert joint_desirability({"a": Objective(goal="maximize")}, outcomes(a=0.5)) is None


def test_results_are_judged_by_all_together():
    results = [outcomes(a=1.0, b=9.0), outcomes(a=0.6, b=2.0), outcomes(a=0.9), outcomes(a=0.0, b=0.0)]
    assert is_joint(BOTH)
    assert not is_several(BOTH)
    assert list(judged_by(BOTH)) == [DESIRABILITY]
    assert best_result(BOTH, {}, results) == 1
    # d(a) = 0.6, d(b) = 0.8² = 0.64: (0.36 · 0.64)^(1/3)
    assert judged(BOTH, results[1])[DESIRABILITY].value == pytest.approx((0.36 * 0.64) ** (1 / 3))
    assert DESIRABILITY not in judged(BOTH, results[2])
    plain = {name: Objective(goal=goal.goal) for name, goal in BOTH.items()}
    assert not is_joint(plain)
    assert is_several(plain)
    assert best_result(plain, {}, results) == 0


def test_the_least_within_the_uncertainties():
    found = {"a": Estimate(0.5, 0.1), "b": Estimate(1.0, 1.0)}
    assert least_desirability(BOTH, found) == pytest.approx((0.4**2 * 0.8**2) ** (1 / 3))
    at_the_top = {"m": objective("match", value=5.0, within=2)}
    assert least_desirability(at_the_top, {"m": Estimate(5.0, 0.5)}) == pytest.approx(0.75)


def test_units_are_converted_and_a_distance_is_a_difference():
    strength = objective("maximize", "MPa", **{"from": "20 MPa", "to": "0.06 GPa"})
    assert desirability_of(strength, 50.0) == pytest.approx(0.75)
    firing = objective("match", "degC", "1273.15 K", within="50 K", weight=3)
    assert desirability_of(firing, 1010.0) == pytest.approx(0.8)
    assert describe_desirability(strength) == "0 at 20 MPa, 1 at 60 MPa"
    assert describe_desirability(firing) == "1 at 1000 degC, 0 where it is off by 50 degC, weight 3"
    assert Objective.model_validate(firing.model_dump(exclude_none=True)) == firing


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"goal": "maximize", "desirability": {"from": 60, "to": 20}}, "'from' (60) must lie below 'to' (20)"),
        ({"goal": "minimize", "desirability": {"from": 20, "to": 60}}, "'from' (20) must lie above 'to' (60)"),
        ({"goal": "maximize", "desirability": {"from": 20}}, "has 'from', where it is 0, and 'to'"),
        ({"goal": "match", "value": 5, "desirability": {"from": 1, "to": 2}}, "has 'within'"),
        ({"goal": "match", "value": 5, "desirability": {"within": 0}}, "'within' must be above 0, got 0"),
        ({"goal": "maximize", "unit": "MPa", "desirability": {"from": "20 h", "to": 60}}, "'from': "),
        ({"goal": "maximize", "desirability": {"from": 1, "to": 2, "weight": 0}}, "greater than 0"),
        ({"goal": "maximize", "desirability": {"from": 1, "to": 2, "shape": -1}}, "greater than 0"),
        ({"goal": "maximize", "desirability": {"from": 1, "to": 2, "power": 1}}, "power"),
    ],
)
def test_what_makes_no_sense_is_refused(spec, said):
    with pytest.raises(ValidationError) as refused:
        Objective.model_validate(spec)
    assert said in str(refused.value)
