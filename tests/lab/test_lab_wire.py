"""What travels: it comes back as it was, and its schema is the one that is checked in."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labkit import KINDS, command

from sdl.artefacts import ArtefactRef
from sdl.driver import ActionSpec, Description, DriverSettings, FieldSpec, Form, Reply, Use
from sdl.errors import ProtocolError
from sdl.lab import wire
from sdl.lab.openapi import text

DOCS = Path(__file__).parents[2] / "docs"


def over(data):
    """Through JSON and back."""
    return json.loads(wire.to_text(data))


def test_the_schema_has_not_drifted():
    kept = (DOCS / "lab_server_openapi.json").read_text()
    assert kept == text(), (
        "the wire schema has changed: python -m sdl.lab.openapi docs/lab_server_openapi.json, and say so"
    )


def test_every_route_stands_on_the_page_for_people():
    page = (DOCS / "lab_server.md").read_text()
    for path, methods in json.loads(text())["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in page, f"{method.upper()} {path} is missing in docs/lab_server.md"


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
WORDS = st.text(max_size=15)
VALUES = st.dictionaries(WORDS, NUMBERS | WORDS | st.booleans(), max_size=4)


@given(
    status=st.sampled_from(["succeeded", "failed", "aborted", "unknown", "not_started"]),
    values=VALUES,
    error=st.none() | WORDS,
    moments=st.tuples(*[st.none() | st.floats(0, 4e9)] * 3),
    failed=st.dictionaries(WORDS, WORDS, max_size=2),
    simulated=st.booleans(),
)
def test_any_reply_comes_back_as_it_was(status, values, error, moments, failed, simulated):
    artefacts = (ArtefactRef("a.csv", "0" * 64, 3, "text/csv"),)
    reply = Reply("id", status, values, artefacts, error, *moments, simulated, failed)
    again = wire.reply_of(over(wire.reply_json(reply)))
    assert again == reply
    assert [type(v) for v in again.values.values()] == [type(v) for v in values.values()]


@given(arguments=VALUES, destination=st.none() | WORDS)
def test_any_command_keeps_its_digest(arguments, destination):
    asked = command("a", with_=arguments, destination=destination)
    again = wire.command_of(over(wire.command_json(asked)))
    assert again == asked
    assert again.digest == asked.digest


SPECS = st.builds(
    FieldSpec,
    name=WORDS,
    kind=st.sampled_from(["number", "integer"]),
    unit=st.sampled_from(["mm", "degC", "dimensionless"]),
    lower=st.sampled_from([-math.inf, -1.5, 0.0]),
    upper=st.sampled_from([math.inf, 1400.0]),
    choices=st.lists(WORDS, max_size=2).map(tuple),
    required=st.booleans(),
    default=st.none() | NUMBERS,
    role=st.sampled_from(["", "place", "heats"]),
)
ACTIONS = st.builds(
    ActionSpec,
    name=WORDS,
    effect=st.sampled_from(["reads", "repeatable", "irreversible"]),
    parameters=st.lists(SPECS, max_size=3).map(tuple),
    results=st.lists(SPECS, max_size=3).map(tuple),
    duration=st.floats(0, 1e6),
    abortable=st.booleans(),
    doc=WORDS,
    samples=st.integers(1, 50),
    raw=st.lists(WORDS, max_size=2).map(tuple),
    uses=st.lists(st.builds(Use, WORDS, NUMBERS | WORDS, st.just("g")), max_size=2).map(tuple),
)


@given(
    actions=st.dictionaries(WORDS, ACTIONS, max_size=2),
    nature=st.sampled_from(["real", "simulated"]),
    places=st.integers(1, 4),
)
def test_any_description_comes_back_as_it_was(actions, nature, places):
    description = Description("driver", nature, actions, "doc", places)
    assert (
        wire.description_of(over(wire.description_json(description)), lambda name: lambda arguments: 1.0) == description
    )


def test_a_duration_that_depends_on_arguments_is_asked_for():
    said = over(wire.description_json(KINDS["oven"].describe(DriverSettings(), "oven")))
    asked = []

    def estimate(name):
        return lambda arguments: asked.append((name, arguments)) or 7.0

    told = wire.description_of(said, estimate)
    assert told.actions["fire"].seconds({"hold": 3.0}) == 7.0
    assert asked == [("fire", {"hold": 3.0})]


def test_a_newer_server_may_say_more():
    said = over(wire.description_json(KINDS["oven"].describe(DriverSettings(), "oven")))
    said["colour"] = "red"
    said["actions"]["fire"]["colour"] = "red"
    said["actions"]["fire"]["parameters"][0]["colour"] = "red"
    told = wire.description_of(said, lambda name: lambda arguments: 1.0)
    assert told == KINDS["oven"].describe(DriverSettings(), "oven")


def test_a_form_comes_back_as_it_was():
    form = Form("t", "do it", (FieldSpec("x", "number", "mm", 0.0), FieldSpec("w", "text", choices=("a", "b"))))
    assert wire.form_of(over(wire.form_json(form))) == form


@pytest.mark.parametrize("data", [None, [], {"id": 1}, {**wire.command_json(command("a")), "epoch": "first"}])
def test_what_is_no_command_is_said(data):
    with pytest.raises(ProtocolError, match="this is no command"):
        wire.command_of(data)


def test_what_is_no_number_does_not_travel():
    with pytest.raises(ValueError, match="JSON compliant"):
        wire.to_text({"x": math.nan})


def test_campaigns_without_a_server_need_no_http():
    code = (
        "import sys; import sdl.cli.main, sdl.cli.run, sdl.engine, sdl.lab, sdl.preflight; "
        "bad = {'fastapi', 'httpx', 'uvicorn', 'starlette'} & set(sys.modules); sys.exit(f'imported: {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
