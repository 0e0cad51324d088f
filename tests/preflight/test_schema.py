"""The JSON Schema: valid itself, takes the shipped files, refuses what the grammar refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sdl.driver import driver_names
from sdl.planners.registry import planner_names
from sdl.preflight.schema import campaign_schema, lab_schema

jsonschema = pytest.importorskip("jsonschema")
CAMPAIGNS = Path(__file__).parents[2] / "campaigns"


def files(folder: str) -> list[Path]:
    return sorted((CAMPAIGNS / folder).glob("*.yaml"))


@pytest.fixture(scope="module")
def campaign() -> Any:
    return jsonschema.Draft202012Validator(campaign_schema())


@pytest.fixture(scope="module")
def lab() -> Any:
    return jsonschema.Draft202012Validator(lab_schema())


@pytest.mark.parametrize("schema", [campaign_schema, lab_schema])
def test_the_schema_is_a_schema(schema: Callable[[], Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", files(""), ids=lambda p: p.name)
def test_shipped_campaigns_fit(campaign: Any, path: Path) -> None:
    assert [e.message for e in campaign.iter_errors(yaml.safe_load(path.read_text()))] == []


@pytest.mark.parametrize("path", files("labs"), ids=lambda p: p.name)
def test_shipped_labs_fit(lab: Any, path: Path) -> None:
    assert [e.message for e in lab.iter_errors(yaml.safe_load(path.read_text()))] == []


def test_every_planner_and_driver_is_in_it() -> None:
    text = str(campaign_schema()) + str(lab_schema())
    for name in planner_names():
        assert f"planner.{name}" in text
    for name in driver_names():
        assert f"driver.{name}" in text


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(objectivs={}),
        lambda d: d["space"].update(parametrs={}),
        lambda d: d["space"]["parameters"]["wf3"].update(bouns=[0, 1]),
        lambda d: d["space"]["parameters"]["wf3"].update(type="continous"),
        lambda d: d["space"]["parameters"]["wf3"].update(bounds=[0, 1, 2]),
        lambda d: d["space"]["constraints"][0].update(type="quadratic"),
        lambda d: d["objectives"]["degradation"].update(goal="maximise"),
        lambda d: d["planner"].update(type="bayess"),
        lambda d: d["planner"].update(intial={}),
        lambda d: d["stop"].update(experiments=0),
        lambda d: d["stop"].pop("experiments"),
        lambda d: d["protocol"][0].update(whit={}),
        lambda d: d["protocol"][0].pop("action"),
        lambda d: d.update(sources={"default": {"protocol": d["protocol"]}}),
        lambda d: d["lab"]["instruments"]["archive"].update(driver="rplay"),
        lambda d: d["lab"]["instruments"]["archive"]["settings"].update(tabel="x"),
        lambda d: d.pop("name"),
        lambda d: d.update(seed=-1),
    ],
)
def test_mistakes_do_not_fit(campaign: Any, change: Callable[[Any], Any]) -> None:
    data = copy.deepcopy(yaml.safe_load((CAMPAIGNS / "opv_photostability.yaml").read_text()))
    change(data)
    assert not campaign.is_valid(data)


def test_quantities_fit(campaign: Any) -> None:
    data = yaml.safe_load((CAMPAIGNS / "electrolyte_sintering.yaml").read_text())
    data["space"]["parameters"]["temperature"]["bounds"] = ["1273 K", 1250]
    data["stop"]["target"]["conductivity"]["at_least"] = "800 uS/cm"
    data["space"]["constraints"] = [
        {"type": "expression", "expression": "temperature * hold <= 9000"},
        {"type": "count", "of": ["li_excess", "hold"], "at_most": 1},
    ]
    assert campaign.is_valid(data)


def test_what_a_reference_is_stands_in_the_schema() -> None:
    said = campaign_schema()["$defs"]["objective"]["properties"]["reference"]["description"]
    assert "with several objectives" in said
    assert "counts as no gain" in said
