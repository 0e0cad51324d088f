"""Surrogates: versions, gates on held-out data, refusal, and the record of both."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl.driver import FieldSpec
from sdl.errors import GateError, InputError, LedgerError, LimitError
from sdl.ledger import CampaignCreated, Ledger
from sdl.ledger.queries import table_of
from sdl.surrogates import (
    Gate,
    HeldOut,
    PolynomialSurrogate,
    Prediction,
    Surrogate,
    evaluate_gates,
    record_version,
    require_passed,
)

INPUTS = (FieldSpec("temperature", unit="degC", lower=900, upper=1300), FieldSpec("hold", unit="h", lower=0, upper=20))
OUTPUTS = (FieldSpec("density", unit="g/cm**3"), FieldSpec("size", unit="um"))


def truth(x: Any) -> Any:
    t, h = (x[:, 0] - 1100) / 100, x[:, 1] / 10
    return np.stack([5 + 0.4 * t - 0.2 * t**2 + 0.1 * t * h, 2 + h], axis=1)


def data(n: int, seed: int, noise: float = 0.05) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = np.stack([rng.uniform(900, 1300, n), rng.uniform(0, 20, n)], axis=1)
    return x, truth(x) + noise * rng.normal(size=(n, 2))


def fitted(n: int = 60, seed: int = 1, noise: float = 0.05, version: int = 1, **options: Any) -> PolynomialSurrogate:
    return PolynomialSurrogate.fit("density", version, INPUTS, OUTPUTS, *data(n, seed, noise), **options)


def held_out(n: int = 200, noise: float = 0.05) -> HeldOut:
    x, y = data(n, 99, noise)
    return HeldOut(x, {"density": y[:, 0], "size": y[:, 1]})


def test_it_is_a_surrogate() -> None:
    surrogate: Surrogate = fitted(cost=1e-5)
    assert (surrogate.name, surrogate.version, surrogate.cost) == ("density", 1, 1e-5)
    assert surrogate.inputs == INPUTS
    found = surrogate.predict(data(7, 5)[0])
    assert found.mean.shape == found.uncertainty.shape == (7, 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(20, 60))
def test_a_polynomial_is_found_exactly(seed: int, n: int) -> None:
    surrogate = fitted(n, seed, noise=0.0, ridge=1e-12)
    x = data(50, seed + 1)[0]
    np.testing.assert_allclose(surrogate.predict(x).mean, truth(x), rtol=1e-5)


def test_its_uncertainty_is_that_of_a_new_measurement() -> None:
    surrogate, test = fitted(80), held_out(4000)
    found = surrogate.predict(test.points)
    error = (found.mean[:, 0] - test.outcomes["density"]) / found.uncertainty[:, 0]
    assert np.mean(np.abs(error) < 1.96) == pytest.approx(0.95, abs=0.025)
    assert np.sqrt(surrogate.variance) == pytest.approx([0.05, 0.05], rel=0.3)
    middle = surrogate.predict(np.array([[1100.0, 10.0]])).uncertainty
    corner = surrogate.predict(np.array([[1300.0, 20.0]])).uncertainty
    assert (corner > middle).all()


def test_the_digest_follows_from_the_content() -> None:
    assert fitted().digest == fitted().digest
    assert len(fitted().digest) == 64
    others = [fitted(61), fitted(seed=2), fitted(degree=3), fitted(ridge=1e-3)]
    assert len({fitted().digest, *(o.digest for o in others)}) == 5


def test_it_travels_to_a_worker() -> None:
    surrogate = fitted()
    again = pickle.loads(pickle.dumps(surrogate))
    x = data(9, 3)[0]
    np.testing.assert_array_equal(again.predict(x).mean, surrogate.predict(x).mean)
    np.testing.assert_array_equal(surrogate.predict(x).mean, surrogate.predict(x).mean)
    assert again.digest == surrogate.digest


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ([1400.0, 5.0], r"temperature: 1400 degC is outside the limits \[900, 1300\] degC"),
        ([1000.0, -1.0], "hold: -1 h is outside the limits"),
        ([math.nan, 1.0], "temperature: nan is not finite"),
    ],
)
def test_nothing_is_extrapolated_in_silence(point: list[float], said: str) -> None:
    with pytest.raises(LimitError, match=said):
        fitted().predict(np.array([point]))
    with pytest.raises(LimitError, match=r"takes points of shape \(n, 2\)"):
        fitted().predict(np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": 6}, "needs more than 6 points, got 6"),
        ({"degree": 0}, "degree are at least 1"),
        ({"ridge": 0.0}, "ridge is above 0"),
        ({"version": 0}, "version and degree are at least 1"),
        ({"noise": math.nan}, "not finite"),
    ],
)
def test_fits_that_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fitted(**change)


def test_shapes_are_checked() -> None:
    x, y = data(20, 1)
    with pytest.raises(InputError, match="do not fit its inputs and outputs"):
        PolynomialSurrogate.fit("d", 1, INPUTS, OUTPUTS, x, y[:, :1])
    with pytest.raises(InputError, match="do not fit its inputs and outputs"):
        PolynomialSurrogate.fit("d", 1, INPUTS[:1], OUTPUTS, x, y)


# --- gates -----------------------------------------------------------------------------------------------------------


class Fixed:
    """Says what it is told to."""

    name, version, digest, cost = "fixed", 1, "0" * 64, 0.0
    inputs, outputs = INPUTS, OUTPUTS

    def __init__(self, mean: float, uncertainty: float) -> None:
        self.answer = mean, uncertainty

    def predict(self, points: Any) -> Prediction:
        mean, uncertainty = self.answer
        return Prediction(np.full((len(points), 2), mean), np.full((len(points), 2), uncertainty))


POINTS = HeldOut(np.full((4, 2), 1000.0), {"density": np.array([0.0, 1.0, 2.0, 3.0])})


@pytest.mark.parametrize(
    ("metric", "uncertainty", "value"),
    [("rmse", 1.0, math.sqrt(14 / 4)), ("mae", 1.0, 1.5), ("coverage95", 0.6, 0.5), ("coverage95", 2.0, 1.0)],
)
def test_figures(metric: Any, uncertainty: float, value: float) -> None:
    (found,) = evaluate_gates(Fixed(0.0, uncertainty), POINTS, [Gate("g", "density", metric, 0.5)])
    assert found.value == pytest.approx(value)
    assert found.points == 4
    assert found.passed == (value >= 0.5 if metric == "coverage95" else value <= 0.5)


def test_a_good_model_passes_and_a_bad_one_is_refused() -> None:
    gates = [Gate("error", "density", "rmse", 0.08), Gate("honest", "density", "coverage95", 0.9)]
    results = evaluate_gates(fitted(), held_out(), gates)
    assert all(r.passed for r in results)
    require_passed(fitted(), results)
    crude = fitted(degree=1)
    with pytest.raises(
        GateError, match=r"'density' version 1 may not be used: error: rmse of 'density' ≤ 0.08, found 0\.\d+ on 200"
    ):
        require_passed(crude, evaluate_gates(crude, held_out(), gates))
    with pytest.raises(GateError, match="no gate was evaluated"):
        require_passed(crude, [])


@pytest.mark.parametrize("metric", ["rmse", "mae", "coverage95"])
@pytest.mark.parametrize("answer", [(math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0), (1.0, math.inf)])
def test_what_is_not_finite_passes_no_gate(metric: Any, answer: tuple[float, float]) -> None:
    (found,) = evaluate_gates(
        Fixed(*answer), POINTS, [Gate("g", "density", metric, 0.0 if metric == "coverage95" else 1e9)]
    )
    assert not found.passed
    assert found.figures()["value"] is None


@pytest.mark.parametrize(
    ("gates", "points", "said"),
    [
        ([], POINTS, "at least one demand"),
        ([Gate("g", "density", "rmse", 1)], HeldOut(np.empty((0, 2)), {"density": np.empty(0)}), "one held-out point"),
        ([Gate("g", "colour", "rmse", 1)], POINTS, r"'colour' must be an output of 'fixed' \('density', 'size'\)"),
        ([Gate("g", "size", "rmse", 1)], POINTS, r"among the held-out data \('density'\)"),
        ([Gate("g", "density", "rmse", 1), Gate("g", "density", "mae", 1)], POINTS, "two gates of one name"),
        ([Gate("g", "density", "rmse", 1)], HeldOut(POINTS.points, {"density": np.zeros(3)}), "one for each point"),
        ([Gate("g", "density", "rmse", 1)], HeldOut(POINTS.points, {"density": np.full(4, np.nan)}), "must be finite"),
    ],
)
def test_gates_that_show_nothing_are_refused(gates: list[Gate], points: HeldOut, said: str) -> None:
    with pytest.raises(InputError, match=said):
        evaluate_gates(Fixed(0.0, 1.0), points, gates)


@pytest.mark.parametrize(("metric", "limit"), [("rms", 1.0), ("rmse", -1.0), ("rmse", math.nan), ("coverage95", 1.5)])
def test_gates_that_mean_nothing_are_refused(metric: Any, limit: float) -> None:
    with pytest.raises(InputError, match="gate 'g'"):
        Gate("g", "density", metric, limit)


# --- the record ------------------------------------------------------------------------------------------------------


def test_versions_are_recorded_passed_or_not() -> None:
    ledger = Ledger(None)
    ledger.append("c", 0.0, [CampaignCreated(1, {})])
    gates = [Gate("error", "density", "rmse", 0.08)]
    for surrogate in (fitted(degree=1), fitted(version=2)):
        record_version(ledger, "c", 1.0, surrogate, evaluate_gates(surrogate, held_out(), gates))
    rows = table_of(ledger, "model_versions", "c")
    assert [(r["model"], r["version"], r["gates"]["error"]["passed"]) for r in rows] == [
        ("density", 1, False),
        ("density", 2, True),
    ]
    assert rows[1]["digest"] == fitted(version=2).digest
    assert rows[1]["gates"]["error"]["limit"] == 0.08
    for version in (1, 2, 4):
        with pytest.raises(LedgerError, match=f"version 3 is due, got {version}"):
            record_version(ledger, "c", 2.0, fitted(version=version), [])
    broken = evaluate_gates(Fixed(math.nan, 1.0), POINTS, gates)
    record_version(ledger, "c", 3.0, Fixed(math.nan, 1.0), broken)
    assert table_of(ledger, "model_versions", "c")[-1]["gates"]["error"]["value"] is None
    ledger.close()
