"""What an experiment costs: an expression that is above 0 wherever a candidate may lie."""

from __future__ import annotations

import numpy as np
import pytest

from sdl.errors import SpaceError
from sdl.space import Candidate, Categorical, Continuous, Cost, Discrete, ExpressionConstraint, Pool, Space

HOLD = Continuous(type="continuous", bounds=(0.5, 16.0), unit="h", scale="log")
HEAT = Continuous(type="continuous", bounds=(1000.0, 1250.0), unit="degC")
GAS = Categorical(type="categorical", values=("air", "argon"))
SPACE = Space({"hold": HOLD, "heat": HEAT, "gas": GAS})


def test_a_long_firing_costs_more_than_a_short_one():
    cost = Cost("hold + 2", "h")
    assert cost.of(Candidate({"hold": 16.0, "heat": 1000.0, "gas": "air"})) == 18.0
    codes = np.array([[1.0, 1000.0, 0.0], [16.0, 1250.0, 1.0]])
    assert cost.values(codes, SPACE.names).tolist() == [3.0, 18.0]
    assert Cost("30", "h", 1 / 60).values(codes, SPACE.names).tolist() == [0.5, 0.5]
    assert cost.problem(SPACE) is None
    assert str(cost) == "hold + 2 [h]"


def test_what_is_not_above_zero_is_named_with_its_point():
    said = Cost("heat - 1000").problem(SPACE)
    assert said is not None and said.startswith("is 0 at heat = 1000;")
    said = Cost("log(hold - 0.5)").problem(SPACE)  # minus infinity at the end of the range
    assert said is not None and "at hold = 0.5" in said
    with pytest.raises(SpaceError, match=r"is -2 at hold = 1; a cost is a number above 0"):
        Cost("hold - 3").of(Candidate({"hold": 1.0, "heat": 1000.0, "gas": "air"}))


def test_only_points_that_may_be_proposed_count():
    cost = Cost("hold - 1")
    assert cost.problem(SPACE) is not None
    long = ExpressionConstraint(type="expression", expression="hold > 1.5")
    assert cost.problem(Space({"hold": HOLD, "heat": HEAT}, [long])) is None
    levels = Discrete(type="discrete", values=(1, 2, 4))
    assert Cost("n - 1").problem(Space({"n": levels})) is not None
    pool = Pool.from_rows(("n",), np.array([[2.0], [4.0]]), [()])
    assert Cost("n - 1").problem(Space({"n": levels}, pool=pool)) is None


def test_misfits_say_where_they_stand():
    assert Cost("hold + gas").misfits(SPACE.parameters) == ["character 8: 'gas' is categorical and no number"]
    (said,) = Cost("2 * hodl").misfits(SPACE.parameters)
    assert "character 5: unknown parameter 'hodl'" in said and "'hold'" in said
    with pytest.raises(ValueError, match="a number is needed here, not a comparison"):
        Cost("hold < 3")
