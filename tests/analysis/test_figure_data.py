"""A figure's data as they are kept: small, finite, honest about what was left out, and read back as they were written."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.analysis import AnalysisFigure, Series
from sdl.analysis.figure_data import FORMAT, MOST_POINTS, MOST_SERIES, figure_bytes, figure_of
from sdl.errors import AnalysisError

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def figure(*series: Series, **more) -> AnalysisFigure:
    return AnalysisFigure("A title", "x", "s", "y", "um", tuple(series), **more)


def test_a_small_figure_comes_back_as_it_was():
    one = figure(
        Series("measured", (1.0, 2.0, 3.0), (4.0, -0.5, 6.25), "points"), Series("fit", (1.0, 3.0), (4.0, 6.0)),
        x_scale="log", equal_axes=False,
    )  # fmt: skip
    kept = figure_of(figure_bytes(one))
    assert kept.figure == one
    assert [(k.points, k.not_finite, k.is_thinned) for k in kept.kept] == [(3, 0, False), (2, 0, False)]


def test_no_series_and_no_points():
    assert figure_of(figure_bytes(figure())).figure == figure()
    empty = figure(Series("none", (), ()))
    assert figure_of(figure_bytes(empty)).figure == empty


@pytest.mark.parametrize("n", [MOST_POINTS, MOST_POINTS + 1, 5 * MOST_POINTS + 3, 200_000])
def test_many_points_are_thinned_and_no_peak_is_lost(n):
    y = [math.sin(i / 7.0) for i in range(n)]
    y[n // 3], y[n // 2] = 50.0, -40.0
    [kept] = figure_of(figure_bytes(figure(Series("long", tuple(float(i) for i in range(n)), tuple(y))))).kept
    points = list(zip(kept.series.x, kept.series.y, strict=True))
    assert kept.points == n
    assert len(points) <= MOST_POINTS
    assert kept.is_thinned == (n > MOST_POINTS)
    assert {(float(n // 3), 50.0), (float(n // 2), -40.0)} <= set(points)
    assert (points[0][0], points[-1][0]) == (0.0, n - 1.0)
    assert points == sorted(points, key=lambda p: p[0])


def test_what_is_no_number_is_left_out_and_counted():
    odd = Series("odd", (1.0, math.nan, 3.0, 4.0), (1.0, 2.0, math.inf, 4.0))
    kept = figure_of(figure_bytes(figure(odd)))
    assert (kept.kept[0].series.x, kept.kept[0].not_finite, kept.kept[0].points) == ((1.0, 4.0), 2, 4)
    assert not kept.kept[0].is_thinned


def test_very_many_series_are_cut_and_counted():
    many = [Series(f"s{n}", (1.0,), (2.0,)) for n in range(MOST_SERIES + 5)]
    kept = figure_of(figure_bytes(figure(*many)))
    assert (len(kept.kept), kept.series_left_out) == (MOST_SERIES, 5)


def test_small_differences_on_a_large_offset_stay():
    times = tuple(1.7e9 + 0.1 * i for i in range(100))
    kept = figure_of(figure_bytes(figure(Series("t", times, times))))
    assert len(set(kept.figure.series[0].x)) == 100


@given(st.lists(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20), max_size=3), st.sampled_from(["linear", "log"]))
def test_any_figure_can_be_kept_and_is_rounded_by_less_than_a_pixel(columns, scale):
    series = [Series("s", tuple(x for x, _ in c), tuple(y for _, y in c)) for c in columns]
    kept = figure_of(figure_bytes(figure(*series, x_scale=scale)))
    given_ = [(x, y) for c in columns for x, y in c if math.isfinite(x) and math.isfinite(y)]
    read = [p for k in kept.kept for p in zip(k.series.x, k.series.y, strict=True)]
    assert len(read) == len(given_)
    for axis in (0, 1):
        values = [p[axis] for p in given_]
        half_span = (max(values) / 2 - min(values) / 2) if values else 0.0
        for before, after in zip(given_, read, strict=True):
            log = axis == 0 and scale == "log"
            room = 1e-6 * abs(before[axis]) if log or not half_span else max(4e-5 * half_span, 1e-6 * abs(before[axis]))
            assert abs(before[axis] / 2 - after[axis] / 2) <= room + 5e-324


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b"\xff", json.dumps({"format": "other"}).encode(),
        json.dumps({"format": FORMAT, "series": [{"style": "cloud"}]}).encode(),
        json.dumps({"format": FORMAT, "series": [
            {"style": "line", "label": "a", "x": [1], "y": [], "points": 1, "not_finite": 0}]}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_figure_is_refused_with_a_reason(data):
    with pytest.raises(AnalysisError, match="figure"):
        figure_of(data)


def test_coordinates_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="could not convert"):
        figure_bytes(figure(Series("a", ("one",), (1.0,))))  # type: ignore[arg-type]
