"""Pools by the published convention."""

from __future__ import annotations

import pytest
from planners.pools import POOLS, measured_rows, pool_task
from planners.running import judged, task_named, task_names
from planners.synthetic import BRANIN_SD, HARTMANN6_SD, synthetic_tasks

ROWS = {"agnp": 164, "autoam": 100, "crossed_barrel": 600, "opv_wf3": 1020}
"""Distinct rows, as in Liang et al., npj Computational Materials 7, 188 (2021), and Langner et al. 2020."""


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_has_its_rows_and_its_best_ones(name):
    task = pool_task(name)
    assert len(task.space.pool) == ROWS[name]
    (outcome,) = task.objectives
    candidates = [dict(zip(task.space.names, row, strict=True)) for row in task.space.pool.codes.tolist()]
    hits = [c for c in candidates if task.gap([task.truth(c)]) <= 0]
    assert len(hits) == POOLS[name][4]
    best = max(task.objectives[outcome].merit(task.truth(c)[outcome]) for c in candidates)
    assert best in [task.objectives[outcome].merit(task.truth(c)[outcome]) for c in hits]
    assert [len(task.space.constraints), task.budget] == [int(name == "opv_wf3"), POOLS[name][3]]


def test_duplicates_are_replaced_by_the_mean_of_their_unique_values(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("a,b,y\n1,2,4\n1,2,4\n1,2,10\n3,4,1\n\n")
    names, rows = measured_rows(file, "y")
    assert names == ("a", "b")
    assert rows == {(1.0, 2.0): 7.0, (3.0, 4.0): 1.0}


def test_the_first_hit_counts_and_a_miss_is_budget_plus_one():
    task = pool_task("autoam")
    assert judged(task, [0.5, 0.2, 0.0]) == 3
    assert judged(task, [0.5] * task.budget) == task.budget + 1
    assert judged(task_named("branin"), [3.0, 0.5, 0.25]) == 0.25


@pytest.mark.parametrize("name", task_names())
def test_initial_points_belong_to_the_seed(name):
    task = task_named(name)
    first, again, other = task.start(0), task.start(0), task.start(1)
    assert first == again != other
    assert len(set(first)) == task.initial == 5
    assert not any(task.space.problems(c) for c in first)


def test_noise_belongs_to_task_seed_and_number():
    task = synthetic_tasks()["branin_noisy"]
    drawn = [task.measured({"y": 1.0}, 0, n)["y"].value for n in range(1, 401)]
    assert drawn[7] == task.measured({"y": 1.0}, 0, 8)["y"].value
    spread = sum((v - 1) ** 2 for v in drawn) / len(drawn)
    assert spread**0.5 == pytest.approx(0.02 * BRANIN_SD, rel=0.15)
    clean = synthetic_tasks()["branin"]
    assert clean.measured({"y": 1.0}, 0, 1)["y"].value == 1.0


def test_one_observation_in_ten_is_shifted_by_ten_deviations():
    task = synthetic_tasks()["hartmann6_outliers"]
    sd = 0.02 * HARTMANN6_SD
    errors = [task.measured({"y": 0.0}, s, n)["y"].value / sd for s in range(10) for n in range(100)]
    far = [e for e in errors if abs(e) > 5]
    assert 70 <= len(far) <= 130
    assert sum(abs(e) for e in far) / len(far) == pytest.approx(10, abs=0.5)
    assert 30 <= sum(e > 0 for e in far) <= 100
