"""Pareto sets and hypervolumes: against their definitions, analytic cases and BoTorch."""

from __future__ import annotations

import math
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.objective import (
    Estimate,
    Objective,
    OutcomeConstraint,
    best_first,
    hypervolume,
    merits_of,
    pareto_set,
    reference_point,
)

GOALS = {
    "a": Objective(goal="maximize"),
    "b": Objective(goal="minimize"),
    "c": Objective(goal="match", value=2.0),
}
few = st.integers(-3, 3).map(float)
shares = st.floats(0, 1)


def results(rows):
    return [{name: Estimate(v) for name, v in zip("abc", row, strict=False)} for row in rows]


@given(st.lists(st.tuples(few, few, few), max_size=25))
def test_the_pareto_set_is_what_nothing_beats(rows):
    bounds = {"a": OutcomeConstraint(at_most=2)}
    found = pareto_set(GOALS, bounds, results(rows))
    merits = {i: (a, -b, -abs(c - 2)) for i, (a, b, c) in enumerate(rows) if a <= 2}
    unbeaten = [
        i
        for i, one in merits.items()
        if not any(all(o >= m for o, m in zip(other, one, strict=True)) and other != one for other in merits.values())
    ]
    assert list(found) == unbeaten
    ordered = best_first(GOALS, results(rows), found)
    assert sorted(ordered) == unbeaten
    assert [rows[i][0] for i in ordered] == sorted((rows[i][0] for i in unbeaten), reverse=True)


def test_reference_points():
    two = {"a": GOALS["a"], "b": GOALS["b"]}
    front = [merits_of(two, r) for r in results([(1, 5), (11, 25)])]
    assert reference_point(two, front) == pytest.approx((0.0, -27.0))
    given_ = {"a": GOALS["a"], "b": Objective(goal="minimize", reference=30.0)}
    assert reference_point(given_, front) == pytest.approx((0.0, -30.0))
    far = {"a": GOALS["a"], "c": Objective(goal="match", value=2.0, reference=7.0)}
    assert reference_point(far, [(1.0, -1.0)])[1] == -5.0
    assert reference_point(two, [(10.0, 0.0)]) == (9.0, -1.0)  # one result: a tenth of it, or 1
    with pytest.raises(ValueError, match="without results"):
        reference_point(two, [])


@pytest.mark.parametrize(
    ("points", "reference", "volume"),
    [
        ([], (0, 0), 0),
        ([(2, 3)], (0, 0), 6),
        ([(2, 3), (2, 3), (1, 1)], (0, 0), 6),
        ([(2, 1), (1, 2)], (0, 0), 3),
        ([(2, 3)], (2, 0), 0),
        ([(5, -1), (2, 3)], (1, 1), 2),
        ([(2, 3, 4)], (1, 1, 1), 6),
        ([(2, 1, 1), (1, 2, 1), (1, 1, 2)], (0, 0, 0), 4),
        ([(1, 1, 2), (1, 1, 3)], (0, 0, 0), 3),
        ([(3, 3, 1), (1, 1, 3), (9, 9, -1)], (0, 0, 0), 11),
    ],
)
def test_volumes_that_can_be_counted(points, reference, volume):
    for turn in range(len(reference)):  # the same from every side
        turned = [(*p[turn:], *p[:turn]) for p in points]
        assert hypervolume(turned, (*reference[turn:], *reference[:turn])) == pytest.approx(volume)


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_lattices_on_a_simplex(n):
    """Points on x + y (+ z) = 1 in steps of 1/n: the cells below them are counted by binomial coefficients."""
    plane = [(i / n, (n - i) / n) for i in range(n + 1)]
    assert hypervolume(plane, (0.0, 0.0)) == pytest.approx(math.comb(n, 2) / n**2)
    corner = [(i / n, j / n, (n - i - j) / n) for i in range(n + 1) for j in range(n + 1 - i)]
    assert hypervolume(corner, (0.0, 0.0, 0.0)) == pytest.approx(math.comb(n, 3) / n**3)


@given(st.integers(2, 3).flatmap(lambda d: st.lists(st.tuples(*[shares] * d), max_size=6).map(lambda p: (d, p))))
def test_volumes_by_inclusion_and_exclusion(drawn):
    dimensions, points = drawn
    reference = (0.25,) * dimensions
    inside = [p for p in points if min(p) > 0.25]
    volume = 0.0
    for count in range(1, len(inside) + 1):
        for chosen in combinations(inside, count):
            both = math.prod(min(column) - 0.25 for column in zip(*chosen, strict=True))
            volume += both if count % 2 else -both
    assert hypervolume(points, reference) == pytest.approx(volume, abs=1e-12)


def test_what_is_not_computed_is_refused():
    with pytest.raises(ValueError, match="2 or 3 objectives, not for 4"):
        hypervolume([(1, 1, 1, 1)], (0, 0, 0, 0))
    assert hypervolume([(1e200, 1e200)], (-1e200, -1e200)) == math.inf


def test_botorch_computes_the_same():
    torch = pytest.importorskip("torch")
    from botorch.utils.multi_objective.hypervolume import Hypervolume, infer_reference_point

    for seed, dimensions in product(range(5), (2, 3)):
        generator = torch.Generator().manual_seed(seed)
        cloud = torch.rand(40, dimensions, generator=generator, dtype=torch.float64)
        goals = {str(i): Objective(goal="maximize") for i in range(dimensions)}
        rows = [tuple(p) for p in cloud.tolist()]
        chosen = pareto_set(goals, {}, [{str(i): Estimate(v) for i, v in enumerate(p)} for p in rows])
        front = [rows[i] for i in chosen]
        theirs = infer_reference_point(torch.tensor(front, dtype=torch.float64))
        reference = reference_point(goals, front)
        assert reference == pytest.approx(tuple(theirs.tolist()))
        assert hypervolume(rows, reference) == pytest.approx(Hypervolume(theirs).compute(torch.tensor(front)))
