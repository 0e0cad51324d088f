"""Plain data changed at random: a campaign passes, or FileProblems name places inside the file; nothing else is raised."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdl.errors import FileProblems, InputError
from sdl.preflight import Checked

NAMES = ["opv_photostability.yaml", "electrolyte_sintering.yaml"]

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 60),
    st.sampled_from([2**31, 2**53, 2**63, -(10**30), 10**399, 0.0, -0.0, 1e-320, 1e308, -1e308, math.inf, -math.inf]),
    st.floats(-2000, 2000),
    st.just(math.nan),
    st.sampled_from(
        [
            "",
            "$",
            "$$",
            "$hold",
            "$nope",
            "2 g",
            "5 apples",
            "1323 K",
            "nan K",
            "1e999 g",
            "env:HOME",
            "env:",
            "x" * 300,
            "..",
            "/",
            "/etc/passwd",
            "~",
            "labs/simulated_ceramics.yaml",
            "data/opv_wf3.csv",
            "data",
            "degC",
            "log",
            "bayes",
            "continuous",
            "integer",
            "discrete",
            "categorical",
            "linear",
            "replay",
            "random",
            "sobol",
            "simulated_box_furnace",
        ]
    ),
    st.lists(st.integers(-3, 9) | st.sampled_from(["a", "b", None, math.nan]), max_size=3),
    st.dictionaries(
        st.sampled_from(["type", "table", "seed", "bounds", "", "$x"]),
        st.integers(0, 3) | st.text(max_size=3),
        max_size=2,
    ),
)


def paths(data: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [where] if where else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += paths(value, (*where, key))
    return found


def parent_of(data: Any, where: tuple[Any, ...]) -> Any:
    for key in where[:-1]:
        data = data[key]
    return data


@st.composite
def changed(draw: st.DrawFn, original: Any) -> Any:
    """Return the data with one to three changes: deleted, replaced, renamed, copied, doubled."""
    data = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        known = paths(data)
        if not known:
            break
        where = draw(st.sampled_from(known))
        parent, key = parent_of(data, where), where[-1]
        match draw(st.sampled_from(["delete", "replace", "replace", "rename", "copy", "scale"])):
            case "delete":
                del parent[key]
            case "rename" if isinstance(parent, dict):
                parent[draw(st.sampled_from([f"{key}x", key[:-1], "type", "", "ünit", key.upper()]))] = parent.pop(key)
            case "copy":
                other = draw(st.sampled_from(known))
                try:
                    parent[key] = copy.deepcopy(parent_of(data, other)[other[-1]])
                except (KeyError, IndexError, TypeError):
                    parent[key] = None
            case "scale" if isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
                parent[key] = parent[key] * draw(st.sampled_from([-1, 0, 2, 10**12, 10**200]))
            case _:
                parent[key] = draw(odd)
    return data


def must_pass_or_name_problems(check_data: Callable[[Any], Checked], data: Any) -> None:
    # What pyyaml writes as 1.0e+300 or .nan is read back as it was; tuples and aliases do not occur.
    try:
        checked = check_data(data)
    except FileProblems as error:
        assert error.problems
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        lines = text.splitlines()
        for problem in error.problems:
            assert problem.message
            assert len(problem.message) < 3000
            if problem.file == "c.yaml" and problem.line is not None:
                assert 1 <= problem.line <= len(lines)
                assert problem.column is not None
                assert 1 <= problem.column <= len(lines[problem.line - 1]) + 2
        return
    except InputError as error:  # never: only overrides raise it
        pytest.fail(str(error))
    assert checked.campaign.digest
    assert checked.plan.steps


def _original(name: str) -> Any:
    return yaml.safe_load((Path(__file__).parents[2] / "campaigns" / name).read_text())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_campaigns(name: str, check_data: Callable[[Any], Checked], data: st.DataObject) -> None:
    must_pass_or_name_problems(check_data, data.draw(changed(_original(name))))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_lab_files(check_data: Callable[[Any], Checked], data: st.DataObject) -> None:
    campaign = _original(NAMES[1])
    lab = yaml.safe_load((Path(__file__).parents[2] / "campaigns" / campaign["lab"]).read_text())
    campaign["lab"] = data.draw(changed(lab))
    must_pass_or_name_problems(check_data, campaign)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_campaigns_of_a_richer_driver(
    own_drivers: None, base: str, check_data: Callable[[Any], Checked], data: st.DataObject
) -> None:
    must_pass_or_name_problems(check_data, data.draw(changed(yaml.safe_load(base))))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.dictionaries(
        st.sampled_from(
            ["name", "space", "objectives", "protocol", "sources", "lab", "planner", "stop", "seed", "concurrency"]
        ),
        odd,
    )
)
def test_campaigns_out_of_nothing(check_data: Callable[[Any], Checked], data: Any) -> None:
    if data:
        must_pass_or_name_problems(check_data, data)


@pytest.mark.parametrize("name", NAMES)
def test_the_originals_pass(name: str, check_data: Callable[[Any], Checked]) -> None:
    assert check_data(_original(name)).plan.budget == 40
