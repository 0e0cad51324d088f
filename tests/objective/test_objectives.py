"""Objectives, bounds and the comparison of results."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sdl.objective import Estimate, Objective, OutcomeConstraint, Target, best_of

numbers = st.floats(-1e9, 1e9)


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        (Objective, {"goal": "maximise"}, "'maximize', 'minimize' or 'match'"),
        (Objective, {"goal": "match"}, "'value' goes with goal: match"),
        (Objective, {"goal": "maximize", "value": 1}, "'value' goes with goal: match"),
        (Objective, {"goal": "maximize", "unit": "apples"}, "unknown unit 'apples'"),
        (Objective, {"goal": "match", "value": "3 g", "unit": "h"}, "3 g cannot be given in h"),
        (Objective, {"goal": "match", "value": True}, "True is not a number"),
        (OutcomeConstraint, {}, "give 'at_least' and/or 'at_most'"),
        (OutcomeConstraint, {"at_least": 2, "at_most": 1}, "at_least 2 is above at_most 1"),
        (OutcomeConstraint, {"at_least": float("nan")}, "nan is not finite"),
        (OutcomeConstraint, {"at_least": "2 g", "unit": "h"}, "2 g cannot be given in h"),
        (Target, {"at_least": "five"}, "is not a quantity"),
    ],
)
def test_what_is_refused(model: Any, data: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        model(**data)


def test_bounds_and_values_may_be_quantities() -> None:
    assert Target(at_least="800 uS/cm", unit="mS/cm").at_least == pytest.approx(0.8)
    assert Objective(goal="match", value="1 eV", unit="meV").value == pytest.approx(1000)


def test_merit() -> None:
    assert Objective(goal="maximize").merit(3) == 3
    assert Objective(goal="minimize").merit(3) == -3
    match = Objective(goal="match", value=2)
    assert match.merit(2) > match.merit(2.5) == match.merit(1.5) > match.merit(4)


def test_bounds_hold_with_a_margin() -> None:
    bounds = OutcomeConstraint(at_least=1, at_most=3)
    assert bounds.holds(1) and bounds.holds(3) and not bounds.holds(0.99) and not bounds.holds(3.01)
    assert bounds.holds(2, margin=1) and not bounds.holds(2, margin=1.1)
    assert not bounds.holds(float("nan"))
    assert str(OutcomeConstraint(at_least=1, at_most=3, unit="g")) == "≥ 1 and ≤ 3 g"


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20), st.sampled_from(["maximize", "minimize"]))
def test_the_best_is_feasible_and_the_earliest(rows: list[tuple[float, float]], goal: Any) -> None:
    objective = Objective(goal=goal)
    bound = OutcomeConstraint(at_least=0)
    results = [{"y": Estimate(y), "c": Estimate(c)} for y, c in rows]
    found = best_of(("y", objective), {"c": bound}, results)
    feasible = [i for i, (_, c) in enumerate(rows) if c >= 0]
    if not feasible:
        assert found is None
        return
    assert found in feasible
    merits = [objective.merit(y) for y, _ in rows]
    assert merits[found] == max(merits[i] for i in feasible)
    assert found == min(i for i in feasible if merits[i] == merits[found])


def test_results_without_an_outcome_are_passed_over() -> None:
    objective = ("y", Objective(goal="maximize"))
    assert best_of(objective, {}, [{}, {"y": Estimate(1.0)}]) == 1
    assert best_of(objective, {"c": OutcomeConstraint(at_most=1)}, [{"y": Estimate(5.0)}]) is None
    assert best_of(objective, {}, []) is None
