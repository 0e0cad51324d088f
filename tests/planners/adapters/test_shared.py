"""Suggestions of other libraries are moved to the nearest point that is allowed and new."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.planners.adapters.shared import nearest_inside, nearest_row, settle
from sdl.space import Categorical, Continuous, Integer, LinearConstraint, Pool, Space

UNIT = Continuous(type="continuous", bounds=(0, 1))
SPACE = Space(
    {
        "x": UNIT,
        "y": UNIT,
        "z": Continuous(type="continuous", bounds=(0, 100)),
        "n": Integer(type="integer", bounds=(0, 3)),
    },
    [
        LinearConstraint(type="linear", terms={"x": 1, "y": 1}, equals=1),
        LinearConstraint(type="linear", terms={"z": 0.01, "n": 0.1}, at_least=0.2, at_most=0.7),
    ],
)
NONE_TAKEN = np.empty((0, 4))


@given(st.tuples(*[st.floats(-1, 2)] * 2, st.floats(-50, 150), st.floats(-1, 4)))
def test_any_point_is_moved_inside(point):
    found = nearest_inside(SPACE, np.array(point))
    assert found is not None
    (candidate,) = SPACE.decode(found[None, :])
    assert SPACE.problems(candidate) == []


def test_a_point_inside_stays_as_it_is():
    point = np.array([0.25, 0.75, 40.0, 2.0])
    assert (nearest_inside(SPACE, point) == point).all()


def test_the_nearest_point_is_found():
    # x + y must grow by 0.2 in all; z must fall to 40, n stays
    found = nearest_inside(SPACE, np.array([0.3, 0.5, 90.0, 3.0]))
    assert found[0] + found[1] == pytest.approx(1.0)
    assert abs(found[0] - 0.3) + abs(found[1] - 0.5) == pytest.approx(0.2)
    assert found[2] == pytest.approx(40.0)
    assert found[3] == 3.0


def test_where_levels_leave_no_room_there_is_none():
    space = Space(
        {"n": Integer(type="integer", bounds=(0, 3)), "m": Integer(type="integer", bounds=(0, 3))},
        [LinearConstraint(type="linear", terms={"n": 1, "m": 1}, equals=3)],
    )
    assert nearest_inside(space, np.array([3.0, 3.0])) is None


def test_on_a_pool_the_nearest_row_left_is_taken_in_features():
    wide = Continuous(type="continuous", bounds=(0, 1000))
    kind = Categorical(type="categorical", values=("p", "q"))
    rows = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 600.0, 0.0], [1.0, 1000.0, 1.0]])
    space = Space({"x": UNIT, "w": wide, "s": kind}, pool=Pool.from_rows(("x", "w", "s"), rows, ((), (), ("p", "q"))))
    point = np.array([0.1, 100.0, 0.0])
    assert settle(space, point, np.empty((0, 3))).tolist() == [0.0, 0.0, 0.0]
    assert settle(space, point, rows[:1]).tolist() == [0.5, 0.0, 0.0]
    assert settle(space, point, rows) is None
    # squares: 0.5² + 1² + 1² for the first row (another category counts twice), 1² + 1² for the last
    assert nearest_row(space, np.array([0.0, 0.0, 1.0]), rows[1:]).tolist() == [1.0, 1000.0, 1.0]


def test_a_point_that_is_taken_is_not_given_again():
    point = np.array([0.25, 0.75, 40.0, 2.0])
    assert settle(SPACE, point, NONE_TAKEN) is not None
    assert settle(SPACE, point, point[None, :]) is None
