"""Physics and earlier campaigns as help: what the models make of them, and when they are let go."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from sdl.errors import PlannerError
from sdl.objective import Estimate, Objective
from sdl.planners.base import History, Problem, RoundRecord, Trial
from sdl.planners.beforehand import Argument, Converted, ExpressionModel, FunctionModel, Physics, SourceTask
from sdl.space import Candidate, Categorical, Continuous, Discrete, Integer, Pool, Space

torch = pytest.importorskip("torch")
pytest.importorskip("botorch")

from sdl.planners.bayes import BayesPlanner, BayesSettings, InitialDesign  # noqa: E402
from sdl.planners.bayes.data import FeatureMap, observe  # noqa: E402
from sdl.planners.bayes.explaining import models_told  # noqa: E402
from sdl.planners.bayes.hints import SourcePosterior, each_once, hints_for  # noqa: E402
from sdl.planners.bayes.isolation import isolated  # noqa: E402
from sdl.planners.bayes.models import fit  # noqa: E402
from sdl.planners.bayes.prior_means import weights  # noqa: E402
from sdl.planners.bayes.weighing import modelled  # noqa: E402

BAYES = BayesPlanner()
SQUARE = Space({n: Continuous(type="continuous", bounds=(0, 1)) for n in ("a", "b")})
MIXED = Space(
    {
        "t": Continuous(type="continuous", bounds=(1000, 1250), unit="degC"),
        "hold": Continuous(type="continuous", bounds=(0.5, 16), unit="h", scale="log"),
        "n": Integer(type="integer", bounds=(1, 4)),
        "mesh": Discrete(type="discrete", values=(45, 63, 90), unit="um"),
        "gas": Categorical(type="categorical", values=("air", "argon", "oxygen")),
        "dopant": Categorical(
            type="categorical", values=("Al", "Ga"), descriptors={"Al": {"r": 53.5}, "Ga": {"r": 62.0}}
        ),
    }
)
GOAL = {"z": Objective(goal="maximize")}
TRUE = "exp(-8 * (a - 0.3) ** 2 - 5 * (b - 0.6) ** 2) + 0.3 * a"
WRONG = "exp(-60 * (a - 0.9) ** 2 - 60 * (b - 0.1) ** 2)"


class Doubles:
    """A pure function with arguments `x` and `word`."""

    digest = "0" * 64

    def __call__(self, arguments):
        return {"y": 2.0 * arguments["x"] + (1.0 if arguments["word"] == "argon" else 0.0)}


def truth(x):
    return np.exp(-8 * (x[:, 0] - 0.3) ** 2 - 5 * (x[:, 1] - 0.6) ** 2) + 0.3 * x[:, 0]


def points(n, seed=0):
    return np.random.default_rng(seed).random((n, 2))


def trials(x, y, first=1):
    return tuple(
        Trial(first + i, Candidate({"a": float(p[0]), "b": float(p[1])}), "default", "done", {"z": Estimate(float(v))})
        for i, (p, v) in enumerate(zip(x, y, strict=True))
    )


def problem(*, physics=(), transfer=(), space=SQUARE, budget=20):
    models = {name: ExpressionModel(name, text, space.names) for name, text, _ in physics}
    return Problem(
        space,
        GOAL,
        {},
        BayesSettings(initial=InitialDesign(count=4)),
        seed=1,
        budget=budget,
        models=models,
        physics=tuple(Physics(name, "z", role) for name, _, role in physics),
        transfer=transfer,
    )


def history_of(n, *rounds, noise=0.01):
    x = points(n)
    return History(trials(x, truth(x) + np.random.default_rng(5).normal(0, noise, n)), rounds)


def model_of(asked, history):
    features = FeatureMap(asked.space)
    with isolated(0):
        data = observe(features, history, asked.objectives, {}).outcomes["z"]
        return modelled(asked, history, features, data)


# --- features and codes ----------------------------------------------------------------------------------------------


def test_codes_of_features_are_the_codes():
    codes = MIXED.from_unit(np.random.default_rng(1).random((200, 6)))
    features = FeatureMap(MIXED)
    back = features.codes(features(codes))
    assert np.allclose(back, codes, rtol=1e-12, atol=0)
    assert (back[:, 2:] == codes[:, 2:]).all()  # levels and categories exactly


def test_codes_of_features_within_the_range_of_a_pool():
    rows = np.random.default_rng(2).uniform(0.2, 0.5, (30, 2))
    space = Space(SQUARE.parameters, pool=Pool.from_rows(["a", "b"], rows, [(), ()]))
    features = FeatureMap(space)
    assert np.allclose(features.codes(features(space.pool.codes)), space.pool.codes)


def test_points_beyond_the_bounds_keep_their_numbers():
    features = FeatureMap(MIXED)
    code = np.array([[1300.0, 32.0, 6.0, 120.0, 1.0, 0.0]])
    assert np.allclose(features.codes(features(code)), code)


# --- values and slopes -----------------------------------------------------------------------------------------------


def slope_by_differences(function, x, step=1e-6):
    found = np.zeros(len(x))
    for i in range(len(x)):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        found[i] = float(function(torch.tensor(up[None])) - function(torch.tensor(down[None]))) / (2 * step)
    return found


def test_the_slopes_of_an_expression_are_those_along_the_features():
    model = ExpressionModel("x", "exp(t / 500) * hold ** 0.4 + n * mesh", MIXED.names)
    asked = Problem(MIXED, GOAL, {}, BayesSettings(), 1, models={"x": model}, physics=(Physics("x", "z", "mean"),))
    (hint,) = hints_for(asked, FeatureMap(MIXED), "z")
    x = FeatureMap(MIXED)(MIXED.from_unit(np.full((1, 6), 0.4)))[0]
    at = torch.tensor(x[None]).requires_grad_()
    (slope,) = torch.autograd.grad(hint.at(at).sum(), at)
    wanted = slope_by_differences(hint.at, x)
    assert slope[0, :2].numpy() == pytest.approx(wanted[:2], rel=1e-5)
    assert (slope[0, 2:] == 0).all()  # nothing is climbed along levels and categories


def test_a_function_is_asked_once_a_point_with_units_and_categories():
    seen = []

    class Counts(Doubles):
        def __call__(self, arguments):
            seen.append(dict(arguments))
            return super().__call__(arguments)

    arguments = (Argument("x", "t", Converted.between("degC", "K")), Argument("word", "gas"))
    model = FunctionModel(
        "f", Counts(), arguments, "y", MIXED.names, {"gas": MIXED.parameters["gas"].values}, Converted(10.0, 1.0)
    )
    codes = np.array([[1000, 1, 1, 45, 1, 0], [1100, 1, 1, 45, 0, 0], [1000, 1, 1, 45, 1, 0]], dtype=float)
    assert model(codes) == pytest.approx([10 * (2 * 1273.15 + 1) + 1, 10 * 2 * 1373.15 + 1, 10 * (2 * 1273.15 + 1) + 1])
    assert sorted(s["x"] for s in seen) == pytest.approx([1273.15, 1373.15])
    assert {s["word"] for s in seen} == {"air", "argon"}


def test_a_function_of_arrays_gives_the_same():
    class Arrays(Doubles):
        def __call__(self, arguments):
            return {"y": 2.0 * arguments["x"] + (arguments["word"] == "argon")}

    codes = MIXED.from_unit(np.random.default_rng(3).random((50, 6)))
    both = [
        FunctionModel(
            "f",
            function,
            (Argument("x", "hold"), Argument("word", "gas")),
            "y",
            MIXED.names,
            {"gas": MIXED.parameters["gas"].values},
            arrays=arrays,
        )
        for function, arrays in ((Doubles(), False), (Arrays(), True))
    ]
    assert both[0](codes) == pytest.approx(both[1](codes), rel=1e-15)


def test_a_function_that_fails_names_point_and_cause():
    class Fails(Doubles):
        def __call__(self, arguments):
            raise ZeroDivisionError("no such phase")

    model = FunctionModel("f", Fails(), (Argument("x", "a"),), "y", SQUARE.names, {})
    with pytest.raises(PlannerError, match=r"physics 'f' fails at x = 0\.25: ZeroDivisionError: no such phase"):
        model(np.array([[0.25, 0.5]]))


def test_a_value_that_is_not_finite_names_the_point():
    asked = problem(physics=[("bad", "log(a - 0.5)", "mean")])
    with pytest.raises(
        PlannerError, match=r"physics 'bad' gives (nan|-inf) at a 0\.\d+, b 0\.\d+: it must be a finite"
    ):
        model_of(asked, history_of(6))


def test_points_that_every_batch_shares_are_asked_for_once():
    asked = []

    def function(x):
        asked.append(len(x))
        return (x**2).sum(dim=-1)

    x = torch.rand(40, 7, 3, dtype=torch.float64)
    x[:, 2:6] = x[0, 2:6]
    assert torch.equal(each_once(function, x), (x**2).sum(dim=-1))
    assert sum(asked) == 4 + 40 * 3
    assert torch.equal(each_once(lambda at: at[:, :2] + 1, x), x[..., :2] + 1)
    everywhere = x[:1].expand(5, -1, -1)
    assert torch.equal(each_once(function, everywhere), (everywhere**2).sum(dim=-1))


# --- what a model makes of a hint ------------------------------------------------------------------------------------


def with_hint(text, n=9, noise=0.01):
    asked = problem(physics=[("x", text, "mean")])
    features = FeatureMap(SQUARE)
    with isolated(0):
        data = observe(features, history_of(n, noise=noise), GOAL, {}).outcomes["z"]
        return fit(replace(data, hints=hints_for(asked, features, "z")), features.groups), fit(data, features.groups)


def test_a_true_expression_is_followed_whatever_its_level_and_size():
    there = points(200, seed=9)
    for text in (TRUE, f"1000 + 50 * ({TRUE})"):
        told, blind = with_hint(text)
        off, off_blind = (float(np.abs(m.predict(there)[0] - truth(there)).mean()) for m in (told, blind))
        assert off < 0.25 * off_blind
        weight, sd = weights(told)["x"]
        assert weight == pytest.approx(1.0, abs=0.1)
        assert 0 < sd < 0.25


def test_leaving_one_out_also_leaves_out_what_it_says_of_the_weight():
    model, _ = with_hint(TRUE, n=7, noise=0.1)
    gp, (known,) = model.gp, model.gp.train_inputs
    with torch.no_grad():
        prior = gp.likelihood(gp.forward(known), known)
    covariance, mean, z = prior.covariance_matrix.numpy(), prior.mean.numpy(), gp.train_targets.numpy()
    found_mean, found_sd = model.left_out_on_scale()
    for i in range(7):
        rest = [k for k in range(7) if k != i]
        by = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, i])
        assert found_mean[i] == pytest.approx(mean[i] + by @ (z[rest] - mean[rest]), rel=1e-6, abs=1e-8)
        assert found_sd[i] ** 2 == pytest.approx(covariance[i, i] - by @ covariance[rest, i], rel=1e-5)


def test_what_an_earlier_campaign_leaves_open_is_its_posterior_covariance():
    _, model = with_hint(TRUE, n=8)
    x, y = torch.tensor(points(5, 3)), torch.tensor(points(4, 4))
    with torch.no_grad():
        posterior = model.gp.posterior(torch.cat([x, y]))
        both = posterior.distribution.covariance_matrix
        open_ = SourcePosterior(model, 2)
        assert torch.allclose(open_.mean(x), posterior.mean[:5, 0], atol=1e-7)
        assert torch.allclose(open_.mean(x[None]), posterior.mean[None, :5, 0], atol=1e-7)
        assert torch.allclose(open_(x, y, False), both[:5, 5:], atol=1e-7)
        assert torch.allclose(open_(x, x, True), both.diagonal()[:5], atol=1e-7)
        assert torch.allclose(open_(x[None], y[None], False)[0], both[:5, 5:], atol=1e-7)


# --- used while it helps ---------------------------------------------------------------------------------------------


def told(asked, history):
    return model_of(asked, history)[1]["hints"]


def test_physics_that_helps_is_used_with_evidence_and_one_that_misleads_is_not():
    both = told(problem(physics=[("right", TRUE, "mean")]), history_of(10))["right"]
    assert both["used"]
    assert both["evidence"] > 3
    assert both["weight"] == pytest.approx(1.0, abs=0.15)
    assert both["why"] == "what is left out is predicted better with it"
    wrong = told(problem(physics=[("wrong", "-(" + TRUE + ")", "mean")]), history_of(10))["wrong"]
    assert not wrong["used"]
    assert "weight" not in wrong


def test_without_results_enough_physics_is_believed_and_an_earlier_campaign_is_not():
    x = points(20, seed=7)
    task = SourceTask("old", trials(x, truth(x)), "d" * 64)
    found = told(problem(physics=[("right", TRUE, "mean")], transfer=(task,)), history_of(2))
    assert (found["right"]["used"], found["old"]["used"]) == (True, False)
    assert found["old"]["why"] == "fewer than 3 results"


def test_a_further_input_is_judged_in_the_same_way():
    # what is measured is a sharp function of the further input alone
    x = points(16)
    values = np.exp(-80 * (x[:, 0] * x[:, 1] - 0.25) ** 2)
    nothing = "exp(-900 * (a - 0.37) ** 2) + exp(-900 * (b - 0.71) ** 2)"
    asked = problem(physics=[("product", "a * b", "feature"), ("nothing", nothing, "feature")])
    found = told(asked, History(trials(x, values)))
    assert found["product"]["used"]
    assert found["product"]["evidence"] > 0
    assert found["product"]["role"] == "feature"
    assert "weight" not in found["product"]
    assert found["product"]["evidence"] > found["nothing"]["evidence"]


def test_an_earlier_campaign_is_used_once_the_evidence_favours_it_and_an_opposite_one_never():
    x = points(25, seed=7)
    for sign, used in ((1.0, True), (-1.0, False)):
        task = SourceTask("old", trials(x, sign * (3 * truth(x) + 2)), f"{sign}")
        found = told(problem(transfer=(task,)), history_of(8))["old"]
        assert found["used"] is used
    assert found["why"] == "the results say the opposite of it"


def test_an_earlier_campaign_without_order_is_not_used():
    x = points(25, seed=7)
    task = SourceTask("old", trials(x, np.random.default_rng(1).permutation(truth(x))), "shuffled")
    found = told(problem(transfer=(task,)), history_of(10))["old"]
    assert not found["used"]
    assert found["evidence"] < 1


def test_what_was_used_is_found_again_in_the_rounds():
    x = points(25, seed=7)
    asked = problem(transfer=(SourceTask("old", trials(x, truth(x)), "e" * 64),))
    earlier = history_of(11)
    _, choice = model_of(asked, earlier)
    assert choice["hints"]["old"] | {"used": True, "compared_at": 11} == choice["hints"]["old"]
    record = RoundRecord(1, 1, (), {"models": {"z": {"choice": choice}}})
    again = told(asked, history_of(12, record))["old"]
    assert again["used"]
    assert again["compared_at"] == 11
    assert again["why"] == "as compared with 11 results; again at 13"
    choice["hints"]["old"]["used"] = False
    assert not told(asked, history_of(12, record))["old"]["used"]


def test_physics_that_comes_later_or_is_corrected_is_believed_until_it_is_compared_at_once():
    def after(choice):
        return history_of(12, RoundRecord(1, 1, (), {"models": {"z": {"choice": choice}}}), noise=0.01)

    x = points(25, seed=7)
    old = SourceTask("old", trials(x, np.random.default_rng(1).permutation(truth(x))), "shuffled")
    _, before = model_of(problem(transfer=(old,)), history_of(11))
    later = told(problem(physics=[("right", TRUE, "mean")], transfer=(old,)), after(before))["right"]
    assert (later["used"], later["compared_at"]) == (True, 12)
    _, before = model_of(problem(physics=[("it", "-(" + TRUE + ")", "mean")]), history_of(11))
    assert not before["hints"]["it"]["used"]
    corrected = told(problem(physics=[("it", TRUE, "mean")]), after(before))["it"]
    assert (corrected["used"], corrected["compared_at"]) == (True, 12)
    same = told(problem(physics=[("it", "-(" + TRUE + ")", "mean")]), after(before))["it"]
    assert (same["used"], same["compared_at"]) == (False, 11)


def test_the_digest_of_an_expression_tells_its_unit_too():
    plain = ExpressionModel("it", "a", ("a",))
    assert plain.digest != replace(plain, unit=Converted(1000.0)).digest


def test_a_hint_that_has_no_place_on_a_logarithm_gives_way_to_it():
    x = points(14)
    values = 10 ** (4 * truth(x))
    asked = problem(physics=[("below", "-5 - a", "mean")])
    model, choice = model_of(asked, History(trials(x, values)))
    assert not choice["hints"]["below"]["used"]
    assert model.data.scale.bend == "log"


# --- proposals -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_proposals_are_the_same_bits_from_a_copy_of_the_problem():
    x = points(12, seed=7)
    asked = problem(
        physics=[("right", TRUE, "mean"), ("more", "a * b", "feature")],
        transfer=(SourceTask("old", trials(x, truth(x)), "f" * 64),),
    )
    history = history_of(6)
    one = BAYES.propose(asked, history, 2, seed=5)
    two = BAYES.propose(pickle.loads(pickle.dumps(asked)), history, 2, seed=5)
    assert one == two
    hints = one.diagnostics["models"]["z"]["choice"]["hints"]
    assert list(hints) == ["right", "more", "old"]
    assert all(len(h["sha256"]) >= 8 for h in hints.values())
    assert all(SQUARE.problems(c) == [] for c in one.candidates)
    assert all(math.isfinite(c["predicted"]["z"]["mean"]) for c in one.diagnostics["candidates"])


def test_physics_leads_to_the_best_point_at_once():
    proposal = BAYES.propose(problem(physics=[("right", TRUE, "mean")]), history_of(5), 1, seed=5)
    best = points(20_000, seed=11)
    found = proposal.candidates[0]
    assert truth(np.array([[found["a"], found["b"]]]))[0] > truth(best).max() - 0.02


def test_a_pool_is_scored_with_physics():
    rows = points(400, seed=12)
    space = Space(SQUARE.parameters, pool=Pool.from_rows(["a", "b"], rows, [(), ()]))
    proposal = BAYES.propose(problem(physics=[("right", TRUE, "mean")], space=space), history_of(5), 1, seed=5)
    found = proposal.candidates[0]
    assert truth(np.array([[found["a"], found["b"]]]))[0] > np.sort(truth(rows))[-5]


def test_the_models_that_are_explained_say_what_helped():
    (model,) = models_told(problem(physics=[("right", TRUE, "mean")]), history_of(8))
    assert model.choice["hints"]["right"]["used"]
    assert model.sensitivity is not None


ODD = {
    "one": (1, lambda y: y),
    "constant": (5, lambda y: np.full(len(y), 3.0)),
    "huge": (6, lambda y: 1e12 * y),
    "tiny": (6, lambda y: 1e-12 * y),
    "negative": (6, lambda y: -y - 5),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_histories_give_finite_proposals(case):
    n, change = ODD[case]
    x, known = points(n), points(12, seed=7)
    task = SourceTask("old", trials(known, change(truth(known))), f"odd {case}")
    asked = problem(physics=[("right", TRUE, "mean"), ("more", "a * b", "feature")], transfer=(task,))
    asked = replace(asked, settings=BayesSettings(initial=InitialDesign(count=1)))
    twice = History((*trials(x, change(truth(x))), *trials(x, change(truth(x)), first=n + 1)))
    proposal = BAYES.propose(asked, twice, 1, seed=5)
    (told_,) = proposal.diagnostics["candidates"]
    assert SQUARE.problems(proposal.candidates[0]) == []
    assert all(math.isfinite(told_["predicted"]["z"][key]) for key in ("mean", "sd"))
    assert json.loads(json.dumps(proposal.diagnostics, allow_nan=False))
