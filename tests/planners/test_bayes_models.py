"""The models: leave-one-out against brute force, what is ours about BoTorch's model, and the acquisition's choice."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.stats import norm

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.planners import History, Problem, Trial, leave_one_out
from sdl.planners.bayes import BayesSettings
from sdl.planners.bayes.data import FeatureMap, OutcomeData
from sdl.planners.bayes.scales import plain
from sdl.space import Categorical, Continuous, Space

torch = pytest.importorskip("torch")

from sdl.planners.bayes import models  # noqa: E402  needs torch
from sdl.planners.bayes.acquisition import FEASIBILITY, IMPROVEMENT, NOISY_IMPROVEMENT, Acquisition  # noqa: E402
from sdl.planners.bayes.isolation import isolated  # noqa: E402

SPACE = Space({n: Continuous(type="continuous", bounds=(0.0, 1.0)) for n in ("x", "y")})
MIXED = Space({**SPACE.parameters, "k": Categorical(type="categorical", values=("p", "q", "r"))})
STATED = pytest.mark.parametrize(
    "stated", [pytest.param(False, id="noise inferred"), pytest.param(True, id="noise stated")]
)


def data(n: int = 12, stated: bool = False, name: str = "z", space: Space = SPACE) -> OutcomeData:
    rng = np.random.default_rng(0)
    codes = space.from_unit(rng.random((n, len(space.names))))
    x = FeatureMap(space)(codes)
    y = 40 + 3 * np.sin(5 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=n)
    u = rng.uniform(0.05, 0.5, n) if stated else None
    return OutcomeData(name, tuple(range(1, n + 1)), x, y, u, plain(name, y, [])[0])


@STATED
def test_leave_one_out_equals_refits_without_the_point(stated):
    d = data(stated=stated)
    with isolated(0):
        model = models.fit(d, ("x", "y"))
        mean, sd = model.left_out()
    lengths = np.array(list(model.lengthscales.values()))
    z = d.standardised
    noise = model.noise + ((d.uncertainties / d.scale.spread) ** 2 if stated else np.zeros(len(z)))
    r = np.linalg.norm((d.features[:, None] - d.features[None]) / lengths, axis=2)
    s = math.sqrt(5) * r
    k = (1 + s + s * s / 3) * np.exp(-s)  # Rasmussen and Williams 2006, eq. 4.17
    for i in range(len(z)):
        rest = np.arange(len(z)) != i
        weights = np.linalg.solve(k[np.ix_(rest, rest)] + np.diag(noise[rest]), k[rest, i])
        expected = model.constant + weights @ (z[rest] - model.constant)
        variance = k[i, i] + noise[i] - weights @ k[rest, i]
        assert mean[i] == pytest.approx(expected * d.scale.spread + d.scale.location, abs=1e-6)
        assert sd[i] == pytest.approx(math.sqrt(variance) * d.scale.spread, abs=1e-6)


def test_leave_one_out_of_a_history():
    rng = np.random.default_rng(1)
    trials = []
    for i in range(20):
        x, y = rng.random(2)
        outcomes = {"z": Estimate(1e6 * (math.sin(3 * x) + y)), "w": Estimate(x * y)} if i % 7 else {}
        candidate = SPACE.decode(np.array([[x, y]]))[0]
        trials.append(Trial(i + 1, candidate, "default", "done" if outcomes else "failed", outcomes))
    limits = {"w": OutcomeConstraint(at_least=0.1), "never": OutcomeConstraint(at_least=0.1)}
    problem = Problem(SPACE, {"z": Objective(goal="maximize")}, limits, BayesSettings(), seed=1)
    found = leave_one_out(problem, History(tuple(trials)))
    assert set(found) == {"z", "w"}
    assert [r["number"] for r in found["z"]] == [t.number for t in trials if t.state == "done"]
    measured = np.array([r["measured"] for r in found["z"]])
    predicted = np.array([r["predicted"] for r in found["z"]])
    assert np.corrcoef(measured, predicted)[0, 1] > 0.97
    assert all(abs(r["measured"] - r["predicted"]) < 6 * r["sd"] for r in found["z"])
    assert leave_one_out(problem, History(tuple(trials[:2]))) == {}


def test_categories_are_exchangeable():
    d = data(space=MIXED)
    with isolated(0):
        model = models.fit(d, FeatureMap(MIXED).groups)
    assert list(model.lengthscales) == ["x", "y", "k"]
    with torch.no_grad():
        one_hot = models.tensor(np.column_stack([np.full((3, 2), 0.5), np.eye(3)]))
        k = model.gp.covar_module(one_hot).to_dense().numpy()
    np.testing.assert_allclose(np.diag(k), 1.0)
    np.testing.assert_allclose(k[~np.eye(3, dtype=bool)], k[0, 1])


def test_a_result_stated_to_be_vague_counts_less():
    d = data()
    values = d.values + np.where(np.arange(len(d.values)) == 3, 9.0, 0.0)
    off = []
    for u in (0.01, 50.0):
        stated = np.where(np.arange(len(values)) == 3, u, 0.01)
        with isolated(0):
            model = models.fit(OutcomeData("z", d.numbers, d.features, values, stated, d.scale), ("x", "y"))
            off.append(abs(model.predict(d.features)[0][3] - d.values[3]))
    assert off[1] < 0.5 < off[0]


@pytest.mark.parametrize(
    ("low", "name"),
    [pytest.param(0.0, NOISY_IMPROVEMENT, id="some feasible"), pytest.param(99.0, FEASIBILITY, id="none")],
)
def test_feasibility_comes_first_while_nothing_is_feasible(low, name):
    d, limits = data(), {"w": OutcomeConstraint(at_least=low)}
    with isolated(0):
        fitted = {"z": models.fit(d, ("x", "y")), "w": models.fit(data(name="w"), ("x", "y"))}
        made = Acquisition(
            fitted, {"z": Objective(goal="minimize")}, limits, d.features, np.empty((0, 2)), seed=1, success=None
        )
        x = np.array([0.31, 0.62])
        value, slope = made.slope(x)
        step = 1e-6 * np.eye(2)
        differences = [(made.score((x + h)[None])[0] - made.score((x - h)[None])[0]) / 2e-6 for h in step]
    assert made.name == name
    assert value == pytest.approx(made.score(x[None])[0])
    np.testing.assert_allclose(slope, differences, rtol=1e-3, atol=1e-6)


def _improvement(goal: Objective, pending: int = 0) -> tuple[models.OutcomeModel, Acquisition]:
    d = data()
    with isolated(0):
        model = models.fit(d, ("x", "y"))
        under_way = np.full((pending, 2), 0.9)
        return model, Acquisition({"z": model}, {"z": goal}, {}, d.features, under_way, seed=1, success=None)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_without_bounds_it_is_the_improvement_over_the_best_predicted_mean(goal):
    model, made = _improvement(Objective(goal=goal))
    x = np.random.default_rng(4).random((200, 2))
    with isolated(0):
        value = made.score(x)
    sign = 1.0 if goal == "maximize" else -1.0
    (mean, sd), known = model.predict(x), model.predict(model.data.features)[0]
    gain = sign * mean - (sign * known).max()
    z = gain / sd  # Jones, Schonlau and Welch 1998, eq. 15
    exact = (gain * norm.cdf(z) + sd * norm.pdf(z)) / model.data.scale.spread
    assert made.name == IMPROVEMENT
    likely = exact > 1e-2
    assert likely.sum() > 10
    np.testing.assert_allclose(np.exp(value[likely]), exact[likely], rtol=0.05)


def test_a_number_to_be_matched_is_compared_with_the_best_expected_distance():
    goal = Objective(goal="match", value=41.0)
    model, made = _improvement(goal)
    spread, mean_sd = model.data.scale.spread, model.predict(model.data.features)
    distance = (41.0 - mean_sd[0]) / spread
    sd = mean_sd[1] / spread
    # of a folded normal distribution: Leone, Nelson and Nottingham, Technometrics 3, 543 (1961)
    z = distance / sd
    expected = sd * math.sqrt(2 / math.pi) * np.exp(-(z**2) / 2) + distance * (1 - 2 * norm.cdf(-z))
    assert float(made._function.best_f) == pytest.approx(-expected.min(), abs=0.02)


def test_a_repeat_of_what_is_under_way_adds_nothing():
    """Together they improve by what the one under way does; any other point adds to that."""
    _, alone = _improvement(Objective(goal="maximize"))
    _, beside = _improvement(Objective(goal="maximize"), pending=1)
    with isolated(0):
        same, other = np.array([[0.9, 0.9]]), np.array([[0.3, 0.9]])
        assert beside.score(same)[0] == pytest.approx(alone.score(same)[0], abs=0.2)
        assert beside.score(other)[0] > beside.score(same)[0]


def test_isolation_puts_everything_back_and_notes_warnings():
    from linear_operator.utils.warnings import NumericalWarning

    before = torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state(), list(warnings.filters)
    with torch.no_grad(), isolated(3) as notes:
        assert torch.get_num_threads() == 1
        assert torch.is_grad_enabled()
        assert torch.rand(1).dtype == torch.float64
        for message, kind in (("not p.d.", NumericalWarning), ("not p.d.", NumericalWarning), ("other", UserWarning)):
            warnings.warn(message, kind, stacklevel=1)
    after = torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state(), list(warnings.filters)
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])
    assert before[3] == after[3]
    assert notes == ["BoTorch warned: not p.d."]
