"""`sdl drivers check`."""

from __future__ import annotations

import json

import pytest

from sdl.cli.check import check_driver
from sdl.cli.outcome import Output
from sdl.errors import InputError
from sdl.testing.fakes import MISBEHAVING, GoodPress


@pytest.fixture
def check(drivers, capsys):
    drivers(good_press=GoodPress, lying_press=MISBEHAVING["lies-ready"])

    def run(name, settings=(), arguments=(), prepare=(), rules=(), as_json=True):
        code = check_driver(
            name, tuple(settings), tuple(arguments), tuple(prepare), tuple(rules), Output(as_json=as_json)
        )
        return code, capsys.readouterr()

    return run


def test_a_good_driver(check):
    code, said = check("good_press", ["share=0.5"], ["press.force=20"])
    assert code == 0
    data = json.loads(said.out)
    assert data["driver"] == "good_press"
    assert data["passed"] is True
    assert {r["state"] for r in data["rules"]} == {"ok", "skipped"}
    assert "28 rules kept, 0 broken, 1 skipped" in said.err


def test_a_lying_driver(check):
    code, said = check("lying_press", as_json=False)
    assert code == 1
    assert "BROKEN   busy-said" in said.out


def test_samples_are_prepared_first(check):
    rules = ["actions-work"]
    code, said = check("simulated_box_furnace", rules=rules, as_json=False)
    assert code == 1
    assert "give `arguments` and `prepare`" in " ".join(said.out.split())
    code, _ = check("simulated_box_furnace", prepare=["simulated_dispenser.weigh(li_excess=0.1, mass=2)"], rules=rules)
    assert code == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"settings": ["share"]}, "write key=value"),
        ({"settings": ["share=2"]}, "share"),
        ({"settings": ["shape=2"]}, "shape"),
        ({"arguments": ["force=2"]}, "write action.parameter=value"),
        ({"arguments": ["press.forse=2"]}, "did you mean 'force'"),
        ({"arguments": ["pres.force=2"]}, "did you mean 'press'"),
        ({"prepare": ["weigh"]}, "write driver.action"),
        ({"prepare": ["simulated_dispenser.weigh(mass=2"]}, "write driver.action"),
        ({"prepare": ["simulated_dispenser.wegh"]}, "did you mean 'weigh'"),
        ({"prepare": ["simulated_dispensr.weigh"]}, "did you mean 'simulated_dispenser'"),
        ({"rules": ["busy-sayd"]}, "did you mean 'busy-said'"),
    ],
)
def test_bad_input(check, given, said):
    with pytest.raises(InputError, match=said):
        check("good_press", **given)


def test_a_real_driver_is_not_tried(check, drivers):
    class RealPress(GoodPress):
        """A press that moves matter."""

        nature = "real"

    drivers(real_press=RealPress)
    with pytest.raises(InputError, match="press, heat and abort at will"):
        check("real_press")
