"""When an action counts as late, and the readings that a description lists."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.driver import ActionSpec, Context, DriverSettings, Instrument, Limits, Unit, action, get_driver
from sdl.errors import DriverError
from sdl.lab.wire import description_json, description_of, to_text


class Kettle(Instrument):
    """Kettle."""

    nature = "simulated"
    readings: ClassVar[Mapping[str, str] | None] = {"temperature": "degC", "lid": ""}

    @action(effect="repeatable", duration="3 min", late="5 min")
    async def boil(self, ctx: Context) -> None:
        """Boil."""

    @action(effect="repeatable", duration=lambda given: 60 * given["volume"], late=3)
    async def fill(self, ctx: Context, volume: Annotated[float, Unit("l"), Limits(0, 2)]) -> None:
        """Fill."""

    @action(effect="reads")
    async def look(self, ctx: Context) -> None:
        """Look."""


def test_stated_limits() -> None:
    actions = Kettle.describe(DriverSettings()).actions
    assert actions["boil"].late_after(180.0) == 300.0
    assert actions["fill"].late_after(actions["fill"].seconds({"volume": 2.0})) == 360.0
    assert actions["boil"].schema()["late"] == {"value": 300.0, "unit": "s"}
    assert actions["fill"].schema()["late"] == {"value": 3.0, "unit": "times"}
    assert actions["look"].schema()["late"] is None


@given(st.floats(0, 1e9))
def test_the_platforms_own_rule_is_never_below_what_is_expected(expected: float) -> None:
    limit = ActionSpec("a", "reads").late_after(expected)
    assert limit >= expected + 300.0 or math.isclose(limit, expected + 300.0)
    assert limit >= 1.5 * expected


@pytest.mark.parametrize(("expected", "limit"), [(0.0, 300.0), (600.0, 900.0), (36000.0, 54000.0)])
def test_the_platforms_own_rule(expected: float, limit: float) -> None:
    assert ActionSpec("a", "reads").late_after(expected) == limit


@pytest.mark.parametrize(
    ("late", "said"),
    [
        ("3 min", r"late: '3 min' is not above the expected 180 s"),
        ("5", "late: .*write a time such as '6 h', or a factor such as 2"),
        ("soon", "late: .*'soon' is not a quantity"),
        (1, "a factor of the expected duration is above 1 and finite, not 1"),
        (math.inf, "not inf"),
        (math.nan, "not nan"),
        (True, "not True"),
    ],
)
def test_limits_that_mean_nothing(late: Any, said: str) -> None:
    class Odd(Instrument):
        """Odd."""

        @action(effect="repeatable", duration="3 min", late=late)
        async def boil(self, ctx: Context) -> None:
            """Boil."""

    with pytest.raises(DriverError, match=said):
        Odd.describe(DriverSettings())


def test_limits_and_readings_travel() -> None:
    described = Kettle.describe(DriverSettings(), "kettle")
    back = description_of(
        json.loads(to_text(description_json(described))), lambda _: lambda given: 60 * given["volume"]
    )
    assert back.readings == {"temperature": "degC", "lid": ""}
    for name, spec in described.actions.items():
        assert back.actions[name].late_after(180.0) == spec.late_after(180.0)


def test_settings_of_drivers_state_them_too() -> None:
    manual = get_driver("manual")
    actions = {"weigh": {"instructions": "weigh", "effect": "irreversible", "duration": "10 min", "late": "12 h"}}
    described = manual.describe(manual.settings_model.model_validate({"actions": actions}), "manual")
    assert described.actions["weigh"].late_after(600.0) == 43200.0
    assert described.readings == {"asked": ""}
    actions["weigh"]["late"] = "5 min"
    with pytest.raises(DriverError, match=r"actions\.weigh: late: '5 min' is not above the expected 600 s"):
        manual.describe(manual.settings_model.model_validate({"actions": actions}), "manual")


def test_a_calculation_and_a_class_state_them_too(tmp_path: Any) -> None:
    (tmp_path / "own.py").write_text(
        "def energy(x: float) -> float:\n    return x\n\n"
        "class Pump:\n    def push(self, x: float) -> None:\n        pass\n    def pressure(self):\n        return 1.0\n"
    )
    x = {"x": {"unit": "mm", "limits": [0, 1]}}
    calculation = get_driver("calculation")
    given = {"target": "energy", "file": str(tmp_path / "own.py"), "parameters": x, "result": "e"}
    given |= {"results": {"e": {"unit": "eV"}}, "duration": "1 h", "late": 4}
    described = calculation.describe(calculation.settings_model.model_validate(given), "calculation")
    assert described.actions["compute"].late_after(3600.0) == 14400.0
    python = get_driver("python")
    push = {"effect": "irreversible", "parameters": x, "duration": "1 min", "late": "2 min"}
    given = {"target": "Pump", "file": str(tmp_path / "own.py"), "nature": "simulated", "actions": {"push": push}}
    given |= {"read_state": {"pressure": {"unit": "bar"}}}
    described = python.describe(python.settings_model.model_validate(given), "python")
    assert described.actions["push"].late_after(60.0) == 120.0
    assert described.readings == {"pressure": "bar"}
