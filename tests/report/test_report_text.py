"""Numbers, units and times as they are printed; ticks along axes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.objective import Estimate
from sdl.report.figures.scales import scale_over, wants_log, whole_numbers
from sdl.report.html import Html, el
from sdl.report.text import duration_text, estimate_text, number, unit_text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1050.0, "1050"),
        (-3.5, "−3.5"),
        (0.168905435, "0.16891"),
        (99999.7, "100000"),
        (123456.0, "1.2346×10⁵"),
        (-1.234e-5, "−1.234×10⁻⁵"),
    ],
)
def test_number(value: float, said: str) -> None:
    assert number(value) == said


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (Estimate(0.384612, 0.0049), "0.3846 ± 0.0049"),
        (Estimate(0.864, 0.0099999), "0.864 ± 0.010"),
        (Estimate(1234.5, 25.0), "1234 ± 25"),
        (Estimate(1234.5, 250.0), "1230 ± 250"),
        (Estimate(-5.0, 0.13), "−5.00 ± 0.13"),
        (Estimate(1.5, None), "1.5"),
        (Estimate(1.5, 0.0), "1.5 ± 0"),
        (Estimate(1.23456e-7, 1.2e-9), "(1.235 ± 0.012)×10⁻⁷"),
        (Estimate(2.5e6, 1.0e5), "(2.50 ± 0.10)×10⁶"),
        (Estimate(0.0, 1e-12), "(0.0 ± 1.0)×10⁻¹²"),
    ],
)
def test_estimate(estimate: Estimate, said: str) -> None:
    assert estimate_text(estimate) == said


def test_units_and_durations() -> None:
    assert unit_text("degC") == "°C"
    assert unit_text("W/m**2/K") == "W/m²/K"
    assert unit_text("g*cm**-3") == "g·cm⁻³"
    assert duration_text(59.9) == "59.9 s"
    assert duration_text(3599.9) == "1 h"
    assert duration_text(86399.0) == "1 d"
    assert duration_text(86400 * 3 + 3600 * 4) == "3 d 4 h"
    assert duration_text(0.0) == "0 s"


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, max_size=6), st.booleans())
def test_scales_show_whatever_is_finite(values: list[float], log: bool) -> None:
    scale = scale_over(values, 300.0, 10.0, log=log)
    for value in values:
        if value > 0 or not log:
            assert 9.0 <= scale(value) <= 301.0
    ticks = scale.ticks(5)
    assert len(ticks) <= 16
    assert all(math.isfinite(x) and 9.0 <= x <= 301.0 and text for x, text in ticks)


@given(finite, st.one_of(st.none(), st.floats(min_value=0, allow_nan=False, allow_infinity=False)))
def test_every_estimate_can_be_printed(value: float, uncertainty: float | None) -> None:
    assert "nan" not in estimate_text(Estimate(value, uncertainty))


def test_ticks_are_round() -> None:
    assert [t for _, t in scale_over([0.0, 1.0], 0, 100, margin=0).ticks(5)] == [
        "0.0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1.0",
    ]
    assert [t for _, t in scale_over([0.001, 5.0], 0, 100, log=True, margin=0).ticks(5)] == [
        "0.001",
        "0.01",
        "0.1",
        "1",
    ]
    assert whole_numbers(1, 40, 12) == (1, 5, 10, 15, 20, 25, 30, 35, 40)
    assert whole_numbers(1, 1, 12) == (1,)
    assert wants_log([0.001, 1.0])
    assert not wants_log([-0.001, 1.0])


def test_text_becomes_markup_only_when_escaped() -> None:
    assert el("p", "<b>", Html("<i></i>"), None, class_='"') == '<p class="&quot;">&lt;b&gt;<i></i></p>'
    assert el("p", "a\x00b\ud800") == "<p>a\ufffdb\ufffd</p>"
