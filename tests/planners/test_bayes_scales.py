"""The scales on which a model sees an outcome."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sdl.planners.bayes.scales import Scale, bent, plain

Y = np.exp(np.random.default_rng(0).normal(3.0, 1.5, 40))


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0, 1.7, 2.0])
def test_the_power_scale_is_the_published_transform(power):
    x = np.linspace(-4, 6, 23)
    found = Scale("power", 0.0, 1.0, power=power).standardised(x)
    np.testing.assert_allclose(found, stats.yeojohnson(x, lmbda=power), rtol=1e-9, atol=1e-12)


@given(
    st.sampled_from(["plain", "power", "log"]),
    st.floats(0.0, 2.0),
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.lists(st.floats(-20, 20), min_size=2, max_size=6, unique=True),
)
def test_there_and_back(bend, power, location, spread, values):
    y = location + spread * np.array(sorted(values))
    if bend == "log":
        y = np.exp(np.array(sorted(values)))
    scale = Scale(bend, location, spread, centre=0.3, width=1.7, power=power)
    z = scale.standardised(y)
    np.testing.assert_allclose(scale.natural(z), y, rtol=1e-6, atol=1e-6 * spread)
    assert (np.diff(z) >= 0).all()
    assert (scale.slope(y) > 0).all()


@pytest.mark.parametrize("bend", ["plain", "power", "log"])
def test_slope_is_the_derivative(bend):
    scale = bent(plain("y", Y, [])[0], bend, Y, [])
    step = 1e-6 * Y
    slope = (scale.standardised(Y + step) - scale.standardised(Y - step)) / (2 * step)
    np.testing.assert_allclose(scale.slope(Y), slope, rtol=1e-5)


@pytest.mark.parametrize("bend", ["plain", "power", "log"])
def test_values_are_standardised_and_bends_make_them_more_normal(bend):
    scale = bent(plain("y", Y, [])[0], bend, Y, [])
    z = scale.standardised(Y)
    assert z.mean() == pytest.approx(0.0, abs=1e-9)
    assert z.std(ddof=1) == pytest.approx(1.0)
    if bend != "plain":
        assert abs(stats.skew(z)) < 0.5 * stats.skew(Y)


def test_moments_on_a_logarithmic_scale_are_those_of_the_log_normal_distribution():
    # Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1 (Wiley 1994), eq. 14.8
    scale = Scale("log", 0.0, 1.0, centre=0.5, width=0.4)
    mean, sd = scale.moments(np.array([0.2]), np.array([1.5]))
    mu, s2 = 0.5 + 0.4 * 0.2, (0.4 * 1.5) ** 2
    assert mean[0] == pytest.approx(math.exp(mu + s2 / 2))
    assert sd[0] == pytest.approx(math.exp(mu + s2 / 2) * math.sqrt(math.expm1(s2)), rel=1e-6)


def test_intervals_hold_their_share():
    rng = np.random.default_rng(1)
    scale = bent(plain("y", Y, [])[0], "power", Y, [])
    low, high = scale.interval(np.array([0.3]), np.array([0.5]), stats.norm.ppf(0.95))
    drawn = scale.natural(rng.normal(0.3, 0.5, 20000))
    assert np.mean((drawn >= low) & (drawn <= high)) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("y", "landmarks"),
    [
        pytest.param(-Y, [], id="negative results"),
        pytest.param(Y, [0.0], id="a bound at zero"),
        pytest.param(10 + Y / Y.max(), [], id="less than a decade"),
        pytest.param(Y[:4], [], id="four results"),
    ],
)
def test_no_logarithm_where_it_makes_no_sense(y, landmarks):
    assert bent(plain("y", y, landmarks)[0], "log", y, landmarks) is None


def test_equal_results_get_a_spread_to_go_by():
    scale, notes = plain("y", np.full(5, 3.0), [10.0])
    assert (scale.location, scale.spread) == (3.0, 7.0)
    assert "all 5 results are equal" in notes[0]
    assert bent(scale, "power", np.full(5, 3.0), [10.0]) is None
