"""The linear Kramers-Kronig test, and the fit beside impedance.py's on the same spectra."""

from __future__ import annotations

import numpy as np
import pytest

from sdl.analysis.impedance import circuit, intercept, kramers_kronig_flags
from sdl.analysis.kramers_kronig import linear_test
from sdl.analysis.spectrum_file import Spectrum
from sdl.errors import AnalysisError

FREQUENCY = np.geomspace(0.02, 1e7, 70)
CIRCUIT = np.array([np.log(0.7), np.log(0.3), np.log(3e-9), np.log(2e-6), 0.96, 0.9, np.log(1e3), 0.88, 1.25])


def spectrum(noise: float, seed: int) -> np.ndarray:
    z = 800.0 * circuit(CIRCUIT, 2 * np.pi * FREQUENCY)
    draws = np.random.default_rng(seed).normal(size=(2, 70))
    return z + noise * np.abs(z) * (draws[0] + 1j * draws[1])


def test_an_rc_chain_is_followed_exactly() -> None:
    z = 5.0 + 100.0 / (1 + 2j * np.pi * FREQUENCY * 1e-3)
    test = linear_test(FREQUENCY, z)
    assert test.misfit < 0.01


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.008])
def test_sound_spectra_are_not_flagged(noise: float) -> None:
    flagged = [bool(kramers_kronig_flags(linear_test(FREQUENCY, spectrum(noise, s)))) for s in range(60)]
    assert sum(flagged) <= 1


def test_noise_is_found_as_large_as_it_is() -> None:
    found = [linear_test(FREQUENCY, spectrum(0.008, s)).misfit for s in range(30)]
    assert np.mean(found) == pytest.approx(0.008, rel=0.1)


@pytest.mark.parametrize(
    "violate",
    [
        pytest.param(lambda z: z * np.linspace(1.3, 1.0, 70), id="drift of 30 %"),
        pytest.param(lambda z: z * np.exp(0.1j * np.exp(-(((np.arange(70) - 35) / 8) ** 2))), id="phase error"),
    ],
)
def test_gross_violations_are_refused(violate) -> None:
    for seed in range(10):
        with pytest.raises(AnalysisError, match="Kramers-Kronig"):
            kramers_kronig_flags(linear_test(FREQUENCY, violate(spectrum(0.008, seed))))


def test_small_violations_are_flagged() -> None:
    drifted = [spectrum(0.001, s) * np.linspace(1.0, 1.1, 70) for s in range(10)]
    assert all(kramers_kronig_flags(linear_test(FREQUENCY, z)) for z in drifted)


@pytest.mark.filterwarnings("ignore")
def test_impedance_py_finds_the_same_resistance() -> None:
    circuits = pytest.importorskip("impedance.models.circuits")
    for seed in range(6):
        z = spectrum(0.008, seed)
        ours = intercept(Spectrum(FREQUENCY, z, 0.5, 0.0, 0.8, 0.0))
        # A Zarc of resistance R, time τ and exponent a is R beside a constant-phase element Q = τ^a / R.
        guess = [560.0, 3e-9**0.96 / 560.0, 0.96, 240.0, 2e-6**0.9 / 240.0, 0.9, 1.25e-6, 0.88, 1e-6]
        theirs = circuits.CustomCircuit("p(R1,CPE1)-p(R2,CPE2)-CPE3-L1", initial_guess=guess)
        theirs.fit(FREQUENCY, z, weight_by_modulus=True)
        total = theirs.parameters_[0] + theirs.parameters_[3]
        assert abs(total - ours.resistance) < ours.uncertainty
        residuals = np.abs((theirs.predict(FREQUENCY) - z) / z)
        assert ours.misfit <= 1.001 * np.sqrt(np.mean(residuals**2) / 2)  # ours is at least as close


@pytest.mark.validate
def test_the_interval_holds_the_truth_in_three_hundred_measurements() -> None:
    inside = 0
    for seed in range(400):
        found = intercept(Spectrum(FREQUENCY, spectrum(0.008, seed), 0.5, 0.0, 0.8, 0.0))
        inside += abs(found.resistance - 800.0) < 1.96 * found.uncertainty
    assert 0.90 <= inside / 400 <= 0.97
