"""Sheets that people fill in."""

from __future__ import annotations

import pytest

from sdl.campaign.results import read_results
from sdl.campaign.sheet import sheet
from sdl.errors import InputError
from sdl.objective import Estimate
from sdl.space import Categorical, Continuous, Integer

PARAMETERS = {
    "temperature": Continuous(type="continuous", unit="degC", bounds=(1000, 1250)),
    "firings": Integer(type="integer", bounds=(1, 3)),
    "gas": Categorical(type="categorical", values=("air", "argon")),
}
UNITS = {"conductivity": "mS/cm", "density": "percent", "peak": "degC"}


def read(text, name="r.csv"):
    return read_results(name, text if isinstance(text, bytes) else text.encode(), PARAMETERS, UNITS)


def test_a_sheet_is_read_back_as_it_was_written():
    candidate = {"temperature": 1028.3013365697116, "firings": 2, "gas": "air"}
    text = sheet(PARAMETERS, UNITS, [(7, "c-0007", candidate, {"density": Estimate(94.0, 0.5)})])
    (row,) = read(text)
    assert (row.experiment, row.sample, row.line) == (7, "c-0007", 2)
    assert row.parameters == candidate
    assert row.outcomes == {"density": Estimate(94.0, 0.5)}
    assert not row.is_failed
    assert "conductivity_uncertainty [mS/cm]" in text.splitlines()[0]


def test_units_of_the_header_are_converted_and_uncertainties_are_differences():
    (row,) = read(
        "experiment,temperature [K],conductivity [S/m],conductivity_uncertainty [S/m],peak [K],peak_uncertainty [K]\n"
        "1,1273.15,0.042,0.001,1300,5\n"
    )
    assert row.parameters["temperature"] == pytest.approx(1000)
    assert row.outcomes["conductivity"].value == pytest.approx(0.42)
    assert row.outcomes["conductivity"].uncertainty == pytest.approx(0.01)
    assert row.outcomes["peak"] == Estimate(pytest.approx(1026.85), pytest.approx(5))


def test_a_bare_column_of_uncertainties_has_the_unit_of_its_values():
    (row,) = read(
        "experiment,conductivity [S/m],conductivity_uncertainty,peak [K],peak_uncertainty\n1,0.3,0.01,1300,5\n"
    )
    assert row.outcomes["conductivity"] == Estimate(pytest.approx(3.0), pytest.approx(0.1))
    assert row.outcomes["peak"] == Estimate(pytest.approx(1026.85), pytest.approx(5))
    (row,) = read("experiment,conductivity,conductivity_uncertainty [S/m]\n1,3,0.01\n")
    assert row.outcomes["conductivity"] == Estimate(3.0, pytest.approx(0.1))
    (row,) = read("experiment,conductivity_uncertainty,conductivity\n1,0.01,3\n")
    assert row.outcomes["conductivity"] == Estimate(3.0, 0.01)


def test_empty_rows_columns_and_cells_of_a_spreadsheet_say_nothing():
    rows = read("experiment,density,state,\r\n1,,,\r\n,,,\r\n2,93,,\r\n")
    assert [(r.experiment, r.says_nothing, r.line) for r in rows] == [(1, True, 2), (2, False, 4)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("experiment;density\n1;94\n", "separated by semicolons", id="semicolons"),
        pytest.param(
            "experiment,density\n1,94,5\n", "3 cells where the header names 2 columns (a decimal comma", id="ragged"
        ),
        pytest.param('experiment,density\n1,"94,5"\n', "a decimal comma? write 94.5", id="decimal-comma"),
        pytest.param('experiment,density\n1,"1.094,5"\n', "a decimal comma? write 1094.5", id="german-thousands"),
        pytest.param(
            "experiment,density\n1,94 %\n", "a unit stands in the header, 'density [percent]'", id="unit-in-cell"
        ),
        pytest.param("experiment,density\n1,nan\n", "'nan' is not a finite number", id="nan"),
        pytest.param("experiment,density\n1,n/a\n", "leave the cell empty", id="words"),
        pytest.param("experiment,density [kg]\n1,94\n", "write 'density [percent]'", id="wrong-unit"),
        pytest.param("experiment,density [percnt]\n1,94\n", "unknown unit 'percnt'", id="no-unit"),
        pytest.param("experiment,gas [K],density\n1,air,94\n", "a category has no unit", id="unit-of-category"),
        pytest.param("experiment,densty\n1,94\n", "did you mean 'density'", id="misspelt"),
        pytest.param("experiment,density,density [percent]\n1,94,94\n", "says the same", id="twice"),
        pytest.param("experiment,temperature\n1,1000\n", "no column holds a result", id="no-result"),
        pytest.param("experiment,density,state\n1,94,ok\n", "'ok' is neither 'done' nor 'failed'", id="state"),
        pytest.param("experiment,density,state\n1,,done\n", "'done', and no outcome is stated", id="done-of-nothing"),
        pytest.param(
            "experiment,density,density_uncertainty\n1,,2\n", "an uncertainty without a value", id="doubt-alone"
        ),
        pytest.param("experiment,density,density_uncertainty\n1,94,-2\n", "-2 is below 0", id="negative-doubt"),
        pytest.param("experiment,density\n1.5,94\n", "is no experiment's number", id="half-an-experiment"),
        pytest.param(b"experiment,density\n1,94\xb5\n", "line 2: not UTF-8 text", id="latin-1"),
        pytest.param(b"PK\x03\x04\xff\xfe", "is it a spreadsheet?", id="xlsx"),
    ],
)
def test_every_fault_is_named(text, said):
    with pytest.raises(InputError) as caught:
        read(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("r.csv: ")
    assert "nothing of it was recorded" in str(caught.value)


def test_all_faults_are_named_at_once():
    with pytest.raises(InputError) as caught:
        read('experiment,density,peak\n1,"9,4",\n2,x,1 K\n')
    assert "3 faults" in str(caught.value)
    assert "line 2, column 'density'" in str(caught.value)
    assert "line 3, column 'peak'" in str(caught.value)
