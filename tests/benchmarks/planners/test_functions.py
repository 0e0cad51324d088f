"""Test functions against published optima, and against BoTorch's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planners import functions as f
from scipy.optimize import minimize
from scipy.stats import qmc


@pytest.mark.parametrize("point", [(-math.pi, 12.275), (math.pi, 2.275), (9.42477796076938, 2.475)])
def test_branin_has_three_equal_minima(point):
    """S. Surjanovic and D. Bingham, Virtual Library of Simulation Experiments, sfu.ca/~ssurjano/branin.html: 0.397887."""
    assert f.branin(*point) == pytest.approx(f.BRANIN_LEAST, abs=1e-9)
    assert pytest.approx(10 / (8 * math.pi), abs=1e-15) == f.BRANIN_LEAST
    assert round(f.BRANIN_LEAST, 6) == 0.397887


def test_hartmann6_is_as_published():
    """sfu.ca/~ssurjano/hart6.html: −3.32237 at the point below."""
    published = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)
    assert f.hartmann(published) == pytest.approx(-3.32237, abs=1e-5)
    found = minimize(f.hartmann, published, bounds=[(0, 1)] * 6, options={"ftol": 1e-16, "gtol": 1e-12})
    assert found.fun == pytest.approx(f.HARTMANN6_LEAST, abs=1e-9)


def test_hartmann4_has_no_lower_value():
    """No published value (BoTorch gives none): descent from the best of 2048 Sobol points."""
    points = qmc.Sobol(4, seed=1).random(2048)
    best = sorted(points, key=f.hartmann)[:10]
    found = min(minimize(f.hartmann, x, bounds=[(0, 1)] * 4, options={"gtol": 1e-10}).fun for x in best)
    assert found == pytest.approx(f.HARTMANN4_LEAST, abs=1e-8)


def test_gramacy_least_feasible_value():
    """Gramacy et al., Technometrics 58, 1 (2016): 0.5998 at (0.1954, 0.4044)."""
    bounds = [{"type": "ineq", "fun": lambda x, k=k: -f.gramacy(*x)[k]} for k in (1, 2)]
    found = minimize(np.sum, (0.1954, 0.4044), method="SLSQP", constraints=bounds, options={"ftol": 1e-15})
    assert found.x == pytest.approx((0.1954, 0.4044), abs=5e-4)
    assert found.fun == pytest.approx(f.GRAMACY_LEAST, abs=1e-8)
    assert round(f.GRAMACY_LEAST, 4) == 0.5998


def test_func2c_least_value_is_two_camels():
    """sfu.ca/~ssurjano/camel6.html: −1.0316 at (0.0898, −0.7126); here arguments are doubled and values divided by ten."""
    assert f.func2c(1, 1, 0.0449, -0.3563) == pytest.approx(2 * -1.0316 / 10, abs=1e-5)
    grid = np.linspace(-1, 1, 41)
    least = min(f.func2c(a, b, x, y) for a in range(3) for b in range(5) for x in grid for y in grid)
    assert f.FUNC2C_LEAST <= least < f.FUNC2C_LEAST + 5e-3
    found = minimize(lambda x: f.func2c(1, 1, *x), (0.0449, -0.3563), options={"gtol": 1e-10})
    assert found.fun == pytest.approx(f.FUNC2C_LEAST, abs=1e-9)


def test_ackley_is_zero_at_the_origin_only():
    assert f.ackley([0.0] * 10) == pytest.approx(0.0, abs=1e-12)
    assert f.ackley([1.0] * 10) == pytest.approx(20 - 20 * math.exp(-0.2), abs=1e-9)


def test_functions_equal_botorchs():
    import torch
    from botorch.test_functions import multi_objective, synthetic

    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.random(6)
        point = torch.tensor(x)
        assert f.hartmann(x) == pytest.approx(float(synthetic.Hartmann(6).evaluate_true(point)), abs=1e-6)
        scaled = (
            1.1 + f.hartmann(x[:4])
        ) / 0.839  # BoTorch's has mean 0 and variance 1 (Picheny, Wagner and Ginsbourger 2013)
        assert scaled == pytest.approx(float(synthetic.Hartmann(4).evaluate_true(point[:4])), abs=1e-6)
        two = point[:2]
        assert f.branin_currin(*x[:2]) == pytest.approx(
            multi_objective.BraninCurrin().evaluate_true(two).tolist(), rel=1e-6
        )
        dtlz2 = multi_objective.DTLZ2(6, 2)
        assert f.dtlz2(x[:6]) == pytest.approx(dtlz2.evaluate_true(point[None, :6])[0].tolist(), rel=1e-9)
        value, *slack = f.gramacy(*x[:2])
        assert value == pytest.approx(float(synthetic.ConstrainedGramacy().evaluate_true(two)))
        theirs = synthetic.ConstrainedGramacy()._evaluate_slack_true(two)
        assert [-s for s in slack] == pytest.approx(theirs.tolist(), abs=1e-9)


def test_the_front_of_dtlz2_has_the_volume_stated():
    front = [f.dtlz2([float(t), *[0.5] * 5]) for t in np.linspace(0, 1, 20_001)]
    assert f.hypervolume(front, f.DTLZ2_REFERENCE) == pytest.approx(f.DTLZ2_VOLUME, abs=1e-4)


def test_hypervolume_by_hand():
    # (1, 3): 4·1 = 4 below the ceiling 4; (2, 2): 3·1; (4, 1): 1·1; (3, 3) is dominated, (6, 0) lies beyond
    points = [(2.0, 2.0), (1.0, 3.0), (3.0, 3.0), (4.0, 1.0), (6.0, 0.0)]
    assert f.hypervolume(points, (5.0, 4.0)) == pytest.approx(8.0)
    assert f.hypervolume([], (5.0, 4.0)) == 0.0


def test_hypervolume_equals_botorchs_on_a_front():
    import torch
    from botorch.utils.multi_objective.hypervolume import Hypervolume

    points = [f.branin_currin(*x) for x in np.random.default_rng(1).random((200, 2))]
    theirs = Hypervolume(-torch.tensor(f.BRANIN_CURRIN_REFERENCE))
    front = torch.tensor([p for p in points if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in points)])
    assert f.hypervolume(points, f.BRANIN_CURRIN_REFERENCE) == pytest.approx(theirs.compute(-front), rel=1e-5)
    assert f.hypervolume(points, f.BRANIN_CURRIN_REFERENCE) < f.BRANIN_CURRIN_VOLUME
