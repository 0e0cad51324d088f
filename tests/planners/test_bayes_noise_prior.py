"""What is expected of noise: that of a laboratory, unless results say very strongly that there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from sdl.planners.bayes.data import OutcomeData
from sdl.planners.bayes.scales import plain

torch = pytest.importorskip("torch")

from sdl.planners.bayes import models  # noqa: E402  needs torch
from sdl.planners.bayes.isolation import isolated  # noqa: E402
from sdl.planners.bayes.noise_prior import NoisePrior  # noqa: E402


def noise_of(noise: float, n: int) -> float:
    rng = np.random.default_rng(2)
    x = rng.random((n, 2))
    y = np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + noise * rng.normal(size=n)
    with isolated(0):
        data = OutcomeData("z", tuple(range(1, n + 1)), x, y, None, plain("z", y, [])[0])
        return models.fit(data, ("x", "y")).noise


def test_it_is_a_density_of_two_parts() -> None:
    logs = torch.linspace(-30.0, 10.0, 100_001, dtype=torch.float64)
    density = NoisePrior().log_prob(logs.exp()).exp() * logs.exp()
    expected = (1 - 1e-5) * norm.pdf(logs.numpy(), -4.0, 1.0) + 1e-5 * norm.pdf(logs.numpy(), -10.0, 2.0)
    np.testing.assert_allclose(density.numpy(), expected, atol=1e-9)


def test_exactness_has_to_be_very_likely() -> None:
    """What a model without noise gains has to be more than about 5 in log likelihood."""
    likeliest, least = math.exp(-5.0), 1e-6
    log_density = NoisePrior().log_prob(torch.tensor([likeliest, least], dtype=torch.float64))
    assert float(log_density[0] - log_density[1]) == pytest.approx(5.0, abs=0.5)


def test_exact_results_are_known_as_such_and_scattered_ones_are_not_believed() -> None:
    assert noise_of(0.0, 25) < 1e-4
    assert noise_of(0.2, 12) > 1e-3
