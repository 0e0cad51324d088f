"""What a person tells with `done`: the result in its units, and which samples failed."""

from __future__ import annotations

import pytest

from sdl.driver import FieldSpec
from sdl.engine.questions import read_done
from sdl.errors import InputError

DENSITY = FieldSpec("density", unit="g/cm^3", lower=0.0, upper=10.0)
LOAD = ("c-0002", "c-0010")


def test_a_result_and_who_failed():
    assert read_done([DENSITY], {"density": "4000 kg/m^3"}, LOAD) == ({"density": pytest.approx(4.0)}, {})
    written = {"density": "3", "failed_samples": "c-0010 = it cracked\n"}
    assert read_done([DENSITY], written, LOAD) == ({"density": 3.0}, {"c-0010": "it cracked"})


def test_a_sample_may_be_named_by_its_experiment():
    assert read_done([], {"failed_samples": "2=bent; 10=gone"}, LOAD)[1] == {"c-0002": "bent", "c-0010": "gone"}


def test_where_all_failed_there_is_no_result():
    assert read_done([DENSITY], {"density": "", "failed_samples": "2=bent;10=gone"}, LOAD)[0] == {}
    assert read_done([DENSITY], {"density": "3", "failed_samples": "2=bent;10=gone"}, LOAD)[0] == {"density": 3.0}
    with pytest.raises(InputError, match="density: nothing was written"):
        read_done([DENSITY], {"failed_samples": "2=bent"}, LOAD)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("c-0001=bent", r"'c-0001' is no sample of the command.*there are 'c-0002', 'c-0010'"),
        ("c-0002", "'c-0002': say what went wrong with it"),
        ("c-0002=", "'c-0002': say what went wrong with it"),
        ("bent", "'bent' is no sample"),
    ],
)
def test_what_cannot_be_taken_is_named(written, said):
    with pytest.raises(InputError, match=said):
        read_done([], {"failed_samples": written}, LOAD)
