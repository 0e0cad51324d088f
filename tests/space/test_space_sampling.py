"""Samples satisfy every constraint, are uniform where that is promised, and are prefixes of longer samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdl.errors import SpaceError
from sdl.space import Categorical, Continuous, Discrete, Integer, LinearConstraint, Pool, Space
from sdl.space.sampling import sobol, space_filling_rows, uniform
from sdl.space.walking import Walker

slow_ok = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def box(n: int, lower: float = 0.0, upper: float = 1.0) -> dict[str, Any]:
    return {f"x{i}": Continuous(type="continuous", bounds=(lower, upper)) for i in range(n)}


def linear(terms: dict[str, float], **bounds: float) -> LinearConstraint:
    return LinearConstraint(type="linear", terms=terms, **bounds)


def simplex(n: int) -> Space:
    return Space(box(n), [linear({f"x{i}": 1 for i in range(n)}, equals=1)])


ODD_SPACES = {
    "free": Space(box(3)),
    "simplex": simplex(4),
    "simplex in percent": Space(box(3, 0, 100), [linear({"x0": 1, "x1": 1, "x2": 1}, equals=100)]),
    "simplex with inequality": Space(
        box(3), [linear({"x0": 1, "x1": 1, "x2": 1}, equals=1), linear({"x0": 1}, at_most=0.1)]
    ),
    "rare": Space(box(6), [linear({f"x{i}": 1 for i in range(6)}, at_most=0.3)]),
    "one point": Space(box(2), [linear({"x0": 1, "x1": 1}, at_least=2)]),
    "difference": Space(box(2, 0, 1e-9), [linear({"x0": 1, "x1": -1}, equals=0)]),
    "integers with an equality": Space(
        {k: Integer(type="integer", bounds=(0, 10)) for k in "abcd"}, [linear(dict.fromkeys("abcd", 1), equals=5)]
    ),
    "mixed with an equality": Space(
        {
            "n": Integer(type="integer", bounds=(1, 4)),
            "d": Discrete(type="discrete", values=(0.5, 1.0, 2.0)),
            "c": Categorical(type="categorical", values=("a", "b")),
            "x": Continuous(type="continuous", bounds=(0.1, 10), scale="log"),
            "y": Continuous(type="continuous", bounds=(0, 5)),
        },
        [linear({"n": 1, "d": 2, "x": 1, "y": 1}, equals=8), linear({"n": 1, "d": 1}, at_most=4)],
    ),
}


@pytest.mark.parametrize("name", ODD_SPACES)
@pytest.mark.parametrize("draw", ["uniform", "sobol"])
def test_samples_lie_in_the_space_and_are_prefixes(name: str, draw: str) -> None:
    space = ODD_SPACES[name]

    def points(n: int) -> Any:
        return sobol(space, n, 7) if draw == "sobol" else uniform(space, n, np.random.default_rng(7))

    longest = points(20)
    assert longest.shape == (20, len(space.names))
    for candidate in space.decode(longest):
        assert space.problems(candidate) == []
    for n in (0, 1, 2, 5, 16):
        np.testing.assert_array_equal(points(n), longest[:n])


@slow_ok
@given(st.data(), st.integers(0, 2**32))
def test_any_space_is_sampled_within_its_constraints(made_up: Any, data: st.DataObject, seed: int) -> None:
    space = data.draw(made_up.space())
    for draw in (lambda n: uniform(space, n, np.random.default_rng(seed)), lambda n: sobol(space, n, seed)):
        try:
            codes = draw(5)
        except SpaceError as error:
            assert "satisfy the constraints" in str(error)
            assert space.constraints
            continue
        assert space.satisfies(codes).all()
        for candidate in space.decode(codes):
            assert space.problems(candidate) == []
        np.testing.assert_array_equal(draw(2), codes[:2])


@slow_ok
@given(st.data(), st.integers(0, 2**32))
def test_encoding_there_and_back(made_up: Any, data: st.DataObject, seed: int) -> None:
    space = data.draw(made_up.space(constrained=False))
    codes = uniform(space, 6, np.random.default_rng(seed))
    candidates = space.decode(codes)
    np.testing.assert_allclose(space.encode(candidates), codes)
    assert space.decode(space.encode(candidates)) == candidates
    unit = space.to_unit(codes)
    numeric = [i for i, p in enumerate(space.parameters.values()) if isinstance(p, Continuous)]
    np.testing.assert_allclose(
        space.from_unit(np.clip(unit, 0, 1))[:, numeric], codes[:, numeric], rtol=1e-6, atol=1e-9
    )
    features = space.features(codes)
    assert np.isfinite(features).all()
    assert (features >= -1e-9).all()
    assert (features <= 1 + 1e-9).all()


@pytest.mark.parametrize("dimension", [2, 3, 4, 6])
def test_moments_of_the_uniform_simplex(dimension: int) -> None:
    points = uniform(simplex(dimension), 20000, np.random.default_rng(3))
    d = dimension
    np.testing.assert_allclose(points.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(points.mean(axis=0), 1 / d, atol=4 * np.sqrt((d - 1) / d**2 / (d + 1) / 20000))
    # Dirichlet(1, …, 1): variance (d − 1)/(d²(d + 1)), covariance −1/(d²(d + 1)).
    expected = np.full((d, d), -1 / (d**2 * (d + 1))) + np.eye(d) / (d * (d + 1))
    np.testing.assert_allclose(np.cov(points.T), expected, atol=3e-3)


def test_hit_and_run_has_the_moments_of_the_simplex() -> None:
    space = ODD_SPACES["simplex in percent"]
    points = Walker(space).walk(np.zeros((1500, 3)), np.random.default_rng(5)) / 100
    np.testing.assert_allclose(points.mean(axis=0), 1 / 3, atol=0.025)
    np.testing.assert_allclose(np.cov(points.T), np.full((3, 3), -1 / 36) + np.eye(3) / 12, atol=8e-3)


def test_categories_and_levels_are_equally_likely() -> None:
    space = Space(
        {
            "c": Categorical(type="categorical", values=("a", "b", "c")),
            "n": Integer(type="integer", bounds=(0, 3)),
            "t": Continuous(type="continuous", bounds=(1, 1000), scale="log"),
        }
    )
    codes = uniform(space, 12000, np.random.default_rng(1))
    assert np.bincount(codes[:, 0].astype(int)) == pytest.approx([4000] * 3, rel=0.06)
    assert np.bincount(codes[:, 1].astype(int)) == pytest.approx([3000] * 4, rel=0.06)
    assert np.median(codes[:, 2]) == pytest.approx(np.sqrt(1000), rel=0.1)


def test_sobol_covers_more_evenly_than_chance() -> None:
    points = sobol(Space(box(2)), 64, 1)
    cells = set(map(tuple, np.floor(points * 8).astype(int)))
    assert len(cells) == 64


def test_other_seeds_give_other_points() -> None:
    space = Space(box(2))
    assert not np.allclose(sobol(space, 4, 1), sobol(space, 4, 2))
    np.testing.assert_array_equal(sobol(space, 4, 1), sobol(space, 4, 1))


def pool_of(rows: Any) -> Space:
    codes = np.asarray(rows, dtype=float)
    parameters = box(codes.shape[1])
    return Space(parameters, pool=Pool.from_rows(list(parameters), codes, [()] * codes.shape[1]))


@slow_ok
@given(
    st.lists(st.tuples(*[st.integers(0, 8).map(lambda n: n / 8)] * 2), min_size=1, max_size=25),
    st.integers(0, 99),
    st.data(),
)
def test_rows_of_a_pool(rows: list[tuple[float, float]], seed: int, data: st.DataObject) -> None:
    space = pool_of(rows)
    pool = space.pool
    assert pool is not None
    assert len(pool) == len(set(rows))
    assert [tuple(r) for r in pool.codes] == list(dict.fromkeys(rows)), "first appearances, in their order"
    for i in range(len(pool)):
        assert pool.row_of(space.decode(pool.codes[i : i + 1])[0]) == i
        assert space.problems(space.decode(pool.codes[i : i + 1])[0]) == []
    n = data.draw(st.integers(0, len(pool)))
    chosen = space_filling_rows(space, n, np.random.default_rng(seed))
    assert len(set(chosen)) == n
    k = data.draw(st.integers(0, n))
    assert space_filling_rows(space, k, np.random.default_rng(seed)) == chosen[:k]
    drawn = uniform(space, n, np.random.default_rng(seed))
    assert len({tuple(r) for r in drawn}) == n


def test_space_filling_rows_spread() -> None:
    rng = np.random.default_rng(0)
    clusters = np.vstack(
        [c + 0.01 * rng.random((200 if c[0] == 0 else 5, 2)) for c in ([0.0, 0.0], [0.9, 0.0], [0.0, 0.9])]
    )
    space = pool_of(clusters)
    assert space.pool is not None
    for seed in range(10):
        rows = space.pool.codes[space_filling_rows(space, 3, np.random.default_rng(seed))]
        assert len({tuple(np.round(r).astype(int)) for r in rows}) == 3


def test_more_rows_than_there_are() -> None:
    space = pool_of([[0.0], [1.0]])
    with pytest.raises(SpaceError, match="3 rows asked for, the pool has 2"):
        uniform(space, 3, np.random.default_rng(0))
    with pytest.raises(SpaceError, match="3 rows asked for, the pool has 2"):
        space_filling_rows(space, 3, np.random.default_rng(0))
    with pytest.raises(SpaceError, match="needs a pool"):
        space_filling_rows(Space(box(1)), 1, np.random.default_rng(0))
    assert space.problems({"x0": 0.5}) == ["it is no row of the pool"]


def test_categories_of_a_pool() -> None:
    parameters = {"c": Categorical(type="categorical", values=("a", "b")), "x": box(1)["x0"]}
    space = Space(parameters, pool=Pool.from_rows(["c", "x"], np.array([[1.0, 0.5]]), [("a", "b"), ()]))
    assert space.pool is not None
    assert dict(space.decode(space.pool.codes[:1])[0]) == {"c": "b", "x": 0.5}
    assert space.pool.row_of({"c": "b", "x": 0.5}) == 0
    assert space.pool.row_of({"c": "z", "x": 0.5}) is None


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ([linear({"x0": 1, "x1": 1}, at_least=2.1)], r"no candidate satisfies the constraints \(2.1 ≤ x0 \+ x1\)"),
        ([linear({"x0": 1}, at_most=0.4), linear({"x0": 1}, at_least=0.6)], "no candidate satisfies"),
        ([linear({"x0": 1}, equals=-1)], "no candidate satisfies"),
        ([linear({"q": 1}, equals=1)], "'q' is not a numeric parameter"),
        ([linear({"x0": 1e308, "x1": 1e308}, at_most=1)], "too large or too small"),
    ],
)
def test_infeasible_constraints(constraints: list[LinearConstraint], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        Space(box(2), constraints)


def test_feasibility_of_levels_is_exact() -> None:
    levels = {"d": Discrete(type="discrete", values=(0.3, 0.7)), "n": Integer(type="integer", bounds=(0, 3))}
    with pytest.raises(SpaceError, match="no candidate satisfies"):
        Space(levels, [linear({"d": 1, "n": 1}, equals=1.5)])
    Space(levels, [linear({"d": 1, "n": 1}, equals=1.7)])


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_tolerance_is_relative_to_the_box(size: float) -> None:
    parameters = box(2, 0, size)
    with pytest.raises(SpaceError, match="no candidate satisfies"):
        Space(parameters, [linear({"x0": 1, "x1": 1}, at_least=2.1 * size)])
    space = Space(parameters, [linear({"x0": 1, "x1": 1}, at_most=size)])
    assert space.satisfies(np.array([[0.5, 0.5]]) * size).all()
    assert not space.satisfies(np.array([[0.5, 0.51]]) * size).any()
    assert space.problems({"x0": 0.5 * size, "x1": 0.51 * size}) != []


def test_problems_of_a_candidate() -> None:
    space = simplex(2)
    assert space.problems({"x0": 0.5}) == ["parameter 'x1' is missing"]
    assert space.problems({"x0": 0.5, "x1": 0.5, "z": 1}) == ["'z' is no parameter of the space"]
    assert space.problems({"x0": 0.5, "x1": 1.5}) == [
        "parameter 'x1': 1.5 dimensionless is outside [0, 1] dimensionless"
    ]
    assert space.problems({"x0": 0.5, "x1": 0.6}) == ["x0 + x1 = 1 is broken: the sum is 1.1"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"terms": {}, "equals": 1}, "at least one term"),
        ({"terms": {"a": 0}, "equals": 1}, "at least one term"),
        ({"terms": {"a": 1}}, "give either 'equals'"),
        ({"terms": {"a": 1}, "equals": 1, "at_most": 2}, "give either 'equals'"),
        ({"terms": {"a": 1}, "at_least": 3, "at_most": 2}, "at_least 3 is above at_most 2"),
        ({"terms": {"a": float("nan")}, "equals": 1}, "nan is not finite"),
        ({"terms": {"a": "1 h"}, "equals": 1}, "'1 h' is not a number"),
    ],
)
def test_what_is_no_constraint_is_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LinearConstraint(type="linear", **data)
