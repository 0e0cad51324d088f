"""A calculation as a planner asks it: by its text, so that it can be asked again later."""

from __future__ import annotations

import pickle

import pytest
from sdl_instruments.pure_function import TextFunction

from sdl.driver import get_driver
from sdl.driver.functions import GivesFunction, PureFunction
from sdl.errors import DriverError

CODE = """
from dataclasses import dataclass


@dataclass
class Both:
    y: float
    z: float


def double(x):
    return 2.0 * x


def both(x, plus):
    return Both(2.0 * x, x + plus)
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path / "mine.py"


def test_the_text_is_kept_not_the_file(file):
    function = TextFunction.of("double", str(file), {}, ("y",))
    assert isinstance(function, PureFunction)
    file.write_text(CODE.replace("2.0", "3.0"))
    other = TextFunction.of("double", str(file), {}, ("y",))
    assert (function({"x": 1.5}), other({"x": 1.5})) == ({"y": 3.0}, {"y": 4.5})
    assert function.digest != other.digest
    file.unlink()
    again = pickle.loads(pickle.dumps(function))
    assert again({"x": 1.5}) == {"y": 3.0}
    assert again.digest == function.digest


def test_fixed_arguments_belong_to_it(file):
    one, two = (TextFunction.of("both", str(file), {"plus": plus}, ("y", "z")) for plus in (1.0, 2.0))
    assert one({"x": 1.0}) == {"y": 2.0, "z": 2.0}
    assert two({"x": 1.0}) == {"y": 2.0, "z": 3.0}
    assert one.digest != two.digest


def test_one_value_for_several_results_is_refused(file):
    with pytest.raises(DriverError, match="gave one value, but is declared to give y, z"):
        TextFunction.of("double", str(file), {}, ("y", "z"))({"x": 1.0})


def test_an_installed_module_is_called_while_its_code_is_the_same(file, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent))
    function = TextFunction.of("mine:double", None, {}, ("y",))
    assert function({"x": 2.0}) == {"y": 4.0}
    file.write_text(CODE + "\n# another version\n")
    with pytest.raises(DriverError, match="the code of 'mine' is no longer what it was"):
        function({"x": 2.0})


def test_code_that_cannot_be_read_is_refused():
    with pytest.raises(DriverError, match="its code cannot be read, so nothing could say later which version it was"):
        TextFunction.of("math:exp", None, {}, ("y",))


def test_the_driver_gives_it_without_its_cost(file):
    driver = get_driver("calculation")
    assert isinstance(driver, GivesFunction)
    settings = driver.settings_model(
        target="double",
        file=str(file),
        result="y",
        results={"y": {"unit": "um"}},
        parameters={"x": {"unit": "um", "limits": [0, 3]}},
        cost="2 h",
    )
    assert driver.pure_function(settings).results == ("y",)
    assert not isinstance(get_driver("manual"), GivesFunction)
