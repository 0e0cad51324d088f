# ruff: noqa: E501  a mistake and its message stand on one line
"""Interlocks before anything moves: a misspelt one would deny for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.campaign import Reader, parse_document
from sdl.campaign.interlocks import Requirement, read_requirements
from sdl.driver import Context, Instrument, Reading, action
from sdl.errors import FileProblems
from sdl.preflight import check
from sdl.preflight.schema import campaign_schema
from sdl.units import read_quantity


class Lister(Instrument):
    """Lists what it reads."""

    nature = "simulated"
    readings: ClassVar[Mapping[str, str] | None] = {"chamber": "degC", "door": "", "pressure": "bar"}

    @action(effect="repeatable")
    async def heat(self, ctx: Context) -> None:
        """Heat."""

    @action(effect="reads")
    async def look(self, ctx: Context) -> None:
        """Look."""

    async def read_state(self) -> Mapping[str, Reading]:
        return {}


class Silent(Lister):
    """Reads something, and does not say what."""

    readings: ClassVar[Mapping[str, str] | None] = None


class Deaf(Instrument):
    """Reads nothing."""

    nature = "simulated"

    @action(effect="reads")
    async def look(self, ctx: Context) -> None:
        """Look."""


TEXT = """
name: locks
space: {parameters: {a: {type: discrete, values: [0, 1]}}}
objectives: {y: {goal: minimize}}
protocol: [{instrument: table, action: measure, with: {a: $a}, gives: {y: y}}]
lab:
  instruments:
    table: {driver: replay, settings: {table: points.csv, outcomes: [y]}}
    lister: {driver: lister}
    silent: {driver: silent}
    deaf: {driver: deaf}
    arm: {driver: lister, requires: REQUIRES}
planner: {type: sobol}
stop: {experiments: 2}
"""


@pytest.fixture
def load(write, drivers):
    """Return a function that checks the campaign with what `arm` requires; returns the problems as one text, or the lab."""
    drivers(lister=Lister, silent=Silent, deaf=Deaf)
    write("points.csv", "a,y\n0,1\n1,2\n")

    def checked(requires: str, text: str = TEXT):
        path = write("locks.yaml", text.replace("REQUIRES", requires))
        try:
            return check(path).lab
        except FileProblems as problems:
            return str(problems)

    return checked


def test_what_is_written_is_what_holds(load):
    lab = load(
        "{lister.chamber: {at_least: 300 K, at_most: 60 degC, wait: 2 h, max_age: 30 s, every: 5 s, actions: [heat]}, lister.door: {equals: closed}}"
    )
    chamber, door = lab.instruments["arm"].requires
    assert chamber == Requirement(
        "lister", "chamber", read_quantity("300 K"), read_quantity("60 degC"), None, 7200.0, 30.0, 5.0, ("heat",)
    )
    assert (door.equals, door.wait, door.max_age, door.every, door.actions) == ("closed", 0.0, 60.0, None, ())
    assert lab.instruments["lister"].requires == ()
    assert door.covers("heat", "repeatable") and not door.covers("look", "reads")


@pytest.mark.parametrize(
    "requires",
    ["{silent.anything: {at_most: 1}}", "{arm.chamber: {at_most: 60 degC}}", "{lister.pressure: {at_least: 900 mbar}}"],
)
def test_what_may_be_required(load, requires):
    assert len(load(requires).instruments["arm"].requires) == 1


WRONG = [
    (
        "{listr.chamber: {at_most: 60 degC}}",
        "locks.yaml:11:38: lab.instruments.arm.requires.listr.chamber: unknown instrument 'listr' (did you mean 'lister'?)",
    ),
    (
        "{lister.chambr: {at_most: 60 degC}}",
        "lister (driver 'lister') does not say that it always reads 'chambr' (did you mean 'chamber'?); it reads 'chamber', 'door', 'pressure'",
    ),
    ("{lister.chamber: {at_most: 60 bar}}", "lister.chamber is read in degC, and 60 bar cannot be compared with that"),
    ("{lister.chamber: {at_most: 60}}", "lister.chamber is read in degC, and 60 cannot be compared with that"),
    ("{lister.chamber: {equals: hot}}", "lister.chamber is read in degC, so it is no word; give at_least or at_most"),
    (
        "{deaf.chamber: {at_most: 60 degC}}",
        "driver 'deaf' of deaf reads nothing (it has no read_state), so deaf.chamber would always be missing",
    ),
    ("{lister.chamber: {at_most: 60 degC, actions: [heet]}}", "unknown action 'heet' of arm (did you mean 'heat'?)"),
    ("{lister.chamber: {at_most: 60 degC, actions: []}}", "an empty list forbids nothing"),
    (
        "{lister.chamber: {at_most: 60 degC, actions: heat}}",
        "must be a list of the instrument's actions, each once, got 'heat'",
    ),
    ("{lister.chamber: {at_most: 60 degC, actions: [heat, heat]}}", "each once"),
    ("{lister: {at_most: 60 degC}}", "'lister' names no reading: write 'INSTRUMENT.READING'"),
    ("{.chamber: {at_most: 60 degC}}", "names no reading"),
    ("{lister.chamber: 60 degC}", "must say what is allowed, such as {at_most: 60 degC}, got '60 degC'"),
    ("{lister.chamber: {}}", "says nothing that must hold: give at_least, at_most, or equals"),
    ("{lister.chamber: {wait: 2 h}}", "says nothing that must hold"),
    ("{lister.chamber: {at_mst: 60 degC}}", "unknown key 'at_mst' (did you mean 'at_most'?)"),
    (
        "{lister.chamber: {at_most: hot}}",
        "'hot' is not a quantity: write a number and a unit, such as '2 g'; write it such as '60 degC'",
    ),
    ("{lister.chamber: {at_most: .nan}}", "nan is not finite"),
    ("{lister.chamber: {at_most: true}}", "True is neither a number nor a quantity"),
    (
        "{lister.chamber: {at_least: 80 degC, at_most: 60 degC}}",
        "at_least 80 degC is above at_most 60 degC: nothing would ever be allowed",
    ),
    (
        "{lister.chamber: {at_least: 80 bar, at_most: 60 degC}}",
        "at_least is in bar, at_most in degC; both bound one reading",
    ),
    (
        "{lister.door: {equals: closed, at_most: 3}}",
        "a reading is a word (equals) or a number (at_least, at_most), not both",
    ),
    ("{lister.door: {equals: 1}}", "equals: must be a word that is read, such as closed, got 1"),
    ("{lister.chamber: {at_most: 60 degC, wait: 2}}", "wait: must be a time such as '10 min', got 2"),
    ("{lister.chamber: {at_most: 60 degC, wait: 2 kg}}", "2 kg cannot be given in s"),
    ("{lister.chamber: {at_most: 60 degC, wait: -1 h}}", "a duration cannot be negative"),
    ("{lister.chamber: {at_most: 60 degC, max_age: 0 s}}", "max_age: must be longer than nothing"),
    ("{lister.chamber: {at_most: 60 degC, every: 0 s}}", "every: must be longer than nothing"),
    ("[lister.chamber]", "must be a mapping (of readings to what is allowed)"),
]


@pytest.mark.parametrize(("requires", "said"), WRONG)
def test_each_mistake_is_named(load, requires, said):
    found = load(requires)
    assert isinstance(found, str), "it was taken"
    assert said in found, found


def test_one_that_holds_for_nothing_is_refused(load):
    text = TEXT.replace("deaf: {driver: deaf}", "deaf: {driver: deaf, requires: {lister.chamber: {at_most: 60 degC}}}")
    found = load("{}", text)
    assert (
        "deaf only reads ('look'), so this would hold for nothing; name the actions that need it: actions: [look]"
        in found
    )
    named = text.replace("{at_most: 60 degC}", "{at_most: 60 degC, actions: [look]}")
    assert len(load("{}", named).instruments["deaf"].requires) == 1


def test_all_mistakes_come_at_once(load):
    found = load("{listr.chamber: {at_most: 60 degC}, lister.chambr: {at_most: 60 degC}, lister.door: {equals: 1}}")
    assert all(x in found for x in ("'listr'", "'chambr'", "such as closed"))


def test_the_schema_takes_and_refuses_the_same():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(campaign_schema())

    def takes(requires: object) -> bool:
        lab = {"instruments": {"m": {"driver": "simulated_mill", "requires": requires}}}
        return not [e for e in validator.iter_errors({"lab": lab}) if list(e.path) == ["lab"]]

    assert takes({"a.b": {"at_most": "60 degC", "wait": "2 h", "actions": ["move"]}})
    for wrong in ({"a": {"at_most": 1}}, {"a.b": {}}, {"a.b": {"at_mst": 1}}, {"a.b": {"equals": 1}}, []):
        assert not takes(wrong), wrong


_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["60 degC", "2 h", "closed"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["at_most", "at_least", "equals", "wait", "actions", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=6) | st.sampled_from(["furnace.chamber", "a.b.c"]), _plain, max_size=3))
def test_whatever_is_written_is_read_or_named(requires):
    document = parse_document("a: 1\n", "x.yaml")
    object.__setattr__(document, "data", {"requires": requires})
    reader = Reader(document)
    found = read_requirements(reader, ("requires",))
    assert len(found) + len({p.message for p in reader.problems}) >= (1 if requires else 0)
    assert all(r.at_least or r.at_most or r.equals for r in found)
