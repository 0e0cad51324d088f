"""Benchmarks from campaign file to table, on small campaigns."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sdl.benchmark import BenchmarkResult, figures, render, rich_table, run_benchmark, running, show, to_json
from sdl.benchmark.preparing import prepare, world_seed
from sdl.benchmark.result import PoolTruth, Run, Tried
from sdl.benchmark.running import Task, carry_out
from sdl.errors import FileProblems, InputError, PlannerError

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
OPV = CAMPAIGNS / "opv_photostability.yaml"
CERAMICS = CAMPAIGNS / "electrolyte_sintering.yaml"

SMALL = """\
name: small
space:
  parameters: {{x: {{type: continuous, bounds: [0, 30]}}}}
  candidates: {{table: points.csv}}
objectives: {{y: {{goal: maximize}}}}
{extra}
protocol:
  - {{instrument: archive, action: measure, with: {{x: $x}}, gives: {gives}}}
lab:
  {lab}
  instruments: {{archive: {{driver: replay, settings: {{table: points.csv, outcomes: [y, z]}}}}}}
planner: {planner}
stop: {stop}
"""


def small(
    folder: Path,
    *,
    y: object = None,
    gives: str = "{y: y}",
    extra: str = "",
    planner: str = "{type: random}",
    stop: str = "{experiments: 7}",
    lab: str = "name: archive",
) -> Path:
    values = np.arange(20.0) if y is None else np.asarray(y, dtype=float)
    lines = [f"{i},{v},{i % 4}" for i, v in enumerate(values)]
    (folder / "points.csv").write_text("\n".join(["x,y,z", *lines]) + "\n")
    path = folder / "small.yaml"
    path.write_text(SMALL.format(gives=gives, extra=extra, planner=planner, stop=stop, lab=lab))
    return path


@pytest.fixture(scope="module")
def opv() -> BenchmarkResult:
    return run_benchmark(OPV, ["random"], 2, 10)


def test_a_benchmark_from_file_to_table(opv: BenchmarkResult) -> None:
    assert [len(run.tried) for run in opv.runs] == [10, 10]
    assert opv.pool_size == 1020
    text = render(opv)
    assert "92.8" in text
    assert "top 1 % (10 rows)" in text
    assert "planner 'random' has no setting 'initial'" in text
    found = figures(opv)
    assert found.expectations[0].mean == pytest.approx(1021 / 11)
    hitting = found.planners[0].hitting[0]
    assert hitting.misses == sum(c == 11 for c in hitting.counts)


def test_figures_agree_with_a_count_of_ones_own(opv: BenchmarkResult) -> None:
    table = np.loadtxt(CAMPAIGNS / "data" / "opv_wf3.csv", delimiter=",", skiprows=1)
    points, where = np.unique(table[:, :4], axis=0, return_inverse=True)
    mean = np.array([table[where == i, 4].mean() for i in range(len(points))])
    best = np.sort(mean)[: round(0.05 * len(points))]
    counts, regrets = [], []
    for run in opv.runs:
        values = [t.outcomes["degradation"] for t in run.tried]
        counts.append(next((i for i, v in enumerate(values, 1) if v <= best[-1] + 1e-12), 11))
        regrets.append(min(values) - mean.min())
    found = figures(opv).planners[0]
    assert found.hitting[1].counts == tuple(counts)
    assert found.regret is not None
    assert found.regret.mean == pytest.approx(np.mean(regrets))


def test_more_jobs_change_nothing(opv: BenchmarkResult) -> None:
    threads = os.environ.get("OMP_NUM_THREADS")
    again = run_benchmark(OPV, ["random"], 2, 10, jobs=2)
    assert again.runs == opv.runs
    assert os.environ.get("OMP_NUM_THREADS") == threads
    assert opv.runs[0].tried != opv.runs[1].tried  # seeds differ


def test_json_is_complete(opv: BenchmarkResult) -> None:
    content = json.loads(json.dumps(to_json(opv), allow_nan=False))
    runs = content["runs"]["random"]
    assert list(runs) == ["0", "1"]
    first = runs["0"][0]
    assert set(first["parameters"]) == {"wf3", "p3ht", "pcbm", "oidtbr"}
    assert first["outcomes"] == first["truth"] == {"degradation": content["pool"]["truth"]["degradation"][first["row"]]}
    assert content["budget"] == 10
    assert content["seeds"] == [0, 1]
    assert set(content["files"]) == {"opv_photostability.yaml", "data/opv_wf3.csv"}
    assert content["versions"]["numpy"] == np.__version__
    assert content["figures"]["planners"][0]["hitting"][0]["what"] == "top 1 %"


def test_a_terminal_gets_a_table_and_a_file_plain_text(opv: BenchmarkResult) -> None:
    plain, terminal = StringIO(), StringIO()
    show(opv, Console(file=plain))
    show(opv, Console(file=terminal, force_terminal=True, width=160))
    assert plain.getvalue().rstrip() == render(opv)
    assert "\x1b[" in terminal.getvalue()
    assert rich_table(opv).row_count >= 8


def task(path: Path, **values: object) -> Run:
    """Carry one run out in this process, which is quicker than another one."""
    given = {"planner": "random", "seed": 0, "budget": 7, "overrides": (), "knows_pool": True, **values}
    return carry_out(Task(path, **given))  # type: ignore[arg-type]


def result_of(path: Path, runs: list[Run], *, pool: bool = True, budget: int = 7) -> BenchmarkResult:
    setup = prepare(path, "random", 0, budget)
    rows = setup.checked.campaign.space.pool
    truth = None
    if pool and rows is not None:
        table = np.loadtxt(path.parent / "points.csv", delimiter=",", skiprows=1)
        columns = {"y": table[:, 1], "z": table[:, 2]}
        truth = PoolTruth({name: columns[name] for name in setup.checked.plan.outcomes})
    planners = tuple(dict.fromkeys(r.planner for r in runs))
    seeds = tuple(dict.fromkeys(r.seed for r in runs))
    return BenchmarkResult(
        "small", str(path), {}, (), setup.question, None if rows is None else len(rows), truth,
        planners, seeds, budget, False, tuple(runs), (), {}, 0.0,
    )  # fmt: skip


def test_a_target_does_not_stop_a_run_but_counts(tmp_path: Path) -> None:
    path = small(tmp_path, stop="{experiments: 3, target: {y: {at_least: 0}}}")
    run = task(path)
    assert len(run.tried) == 7  # the budget, not stop.experiments, and past the target
    hitting = {h.what: h for h in figures(result_of(path, [run])).planners[0].hitting}
    assert hitting["target"].counts == (1,)
    assert hitting["target"].misses == 0


def test_a_limit_of_what_is_spent_does_not_stop_a_run(tmp_path: Path) -> None:
    path = small(tmp_path, extra="cost: {expression: 1 + x / 100, unit: h}", stop="{experiments: 3, cost: 2 h}")
    assert len(task(path).tried) == 7


def test_a_run_can_end_at_its_first_hit(tmp_path: Path) -> None:
    path = small(tmp_path)
    full = task(path, budget=20)
    where = next(i for i, t in enumerate(full.tried, 1) if t.row == 19)
    short = task(path, budget=20, hits=frozenset({19}))
    assert short.tried == full.tried[:where]
    assert "is a hit" in short.reason


def test_a_budget_beyond_the_pool_ends_with_the_pool(tmp_path: Path) -> None:
    path = small(tmp_path)
    run = task(path, budget=50)
    assert len(run.tried) == 20
    found = figures(result_of(path, [run], budget=50)).planners[0]
    assert found.regret is not None
    assert found.regret.mean == 0.0
    assert found.factors is not None
    assert found.factors.at_budget == 1.0


def test_constant_outcomes_are_all_best(tmp_path: Path) -> None:
    path = small(tmp_path, y=np.full(20, 4.0))
    result = result_of(path, [task(path)])
    found = figures(result)
    assert found.expectations[0].rows == 20
    assert found.expectations[0].mean == 1.0
    assert found.planners[0].hitting[0].counts == (1,)
    assert "(20 rows)" in render(result)


def test_nothing_feasible_is_a_miss_for_everybody(tmp_path: Path) -> None:
    path = small(tmp_path, gives="{y: y, z: z}", extra="outcome_constraints: {z: {at_least: 9}}")
    result = result_of(path, [task(path)])
    result = result.noting(*running._notes(result))
    found = figures(result)
    assert found.planners[0].hitting[0].counts == (8,)
    assert found.planners[0].best is None
    assert found.planners[0].factors is None
    assert "no row of the pool is truly feasible: every search is a miss" in result.notes
    assert "never" in render(result)
    json.dumps(to_json(result), allow_nan=False)


def test_only_feasible_rows_count(tmp_path: Path) -> None:
    path = small(tmp_path, gives="{y: y, z: z}", extra="outcome_constraints: {z: {at_most: 0}}")
    run = task(path, budget=20)
    found = figures(result_of(path, [run], budget=20))
    where = next(i for i, t in enumerate(run.tried, 1) if t.row == 16)  # the largest x of which x % 4 == 0
    assert found.planners[0].hitting[0].counts == (where,)
    assert found.best_of_pool == 16.0


def test_failed_experiments_count_as_experiments(tmp_path: Path) -> None:
    path = small(tmp_path)
    tried = (Tried(1, {"x": 0.5}, "failed", {}), Tried(2, {"x": 19.0}, "done", {"y": 19.0}, row=19))
    found = figures(result_of(path, [Run("random", 0, tried, "", "")]))
    assert found.planners[0].hitting[0].counts == (2,)
    assert found.planners[0].failed == 1
    assert "failed experiments" in render(result_of(path, [Run("random", 0, tried, "", "")]))


def test_ratio_against_random_is_of_the_same_seeds(tmp_path: Path) -> None:
    path = small(tmp_path)

    def run(planner: str, seed: int, at: int) -> Run:
        rows = [19 if i == at else 0 for i in range(1, 8)]
        return Run(planner, seed, tuple(Tried(i, {"x": 0.0}, "done", {}, r) for i, r in enumerate(rows, 1)), "", "")

    runs = [run("random", 0, 4), run("random", 1, 6), run("other", 0, 2), run("other", 1, 3)]
    first, second = figures(result_of(path, runs)).planners
    assert first.hitting[0].ratio is None
    assert second.hitting[0].ratio is not None
    assert (second.hitting[0].ratio.value, second.hitting[0].ratio.error) == (2.0, 0.0)


def test_without_truth_what_was_measured_is_judged(tmp_path: Path) -> None:
    path = small(tmp_path, stop="{experiments: 3, target: {y: {at_least: 15}}}")
    tried = (Tried(1, {"x": 1.0}, "failed", {}), Tried(2, {"x": 16.0}, "done", {"y": 16.0}))
    found = figures(result_of(path, [Run("random", 0, tried, "", "")], pool=False)).planners[0]
    assert [h.what for h in found.hitting] == ["target"]
    assert found.hitting[0].counts == (2,)
    assert found.best is not None
    assert found.best.mean == 16.0


# --- settings and refusals ------------------------------------------------------------------------------------------------


def test_settings_stay_where_the_planner_knows_them(tmp_path: Path) -> None:
    path = small(tmp_path, planner="{type: bayes, initial: {type: random, count: 3}}")
    kept = prepare(path, "bayes", 0, 9)
    assert kept.notes == ()
    assert kept.checked.problem.settings.initial.count == 3  # type: ignore[attr-defined]
    dropped = prepare(path, "random", 0, 9)
    assert len(dropped.notes) == 1
    assert "'initial'" in dropped.notes[0]
    assert (dropped.checked.plan.budget, dropped.checked.problem.budget) == (9, 9)
    other = small(tmp_path, planner="{type: random}")
    assert prepare(other, "bayes", 0, 9, ("planner.initial={count: 4}",)).checked.problem.settings.initial.count == 4  # type: ignore[attr-defined]
    wrong = small(tmp_path, planner="{type: other, initial: {count: none}}")
    assert "cannot use 'initial'" in prepare(wrong, "bayes", 0, 9).notes[0]


def test_seeds_reach_campaign_world_and_samples(tmp_path: Path) -> None:
    path = small(tmp_path)
    a, b = prepare(path, "random", 1, 9).checked, prepare(path, "random", 2, 9).checked
    assert (a.campaign.seed, b.campaign.seed) == (1, 2)
    assert a.lab.world["seed"] == world_seed(1) != b.lab.world["seed"]
    assert a.campaign.name != b.campaign.name
    assert prepare(path, "sobol", 1, 9).checked.campaign.name == a.campaign.name
    assert a.lab.clock.type == "virtual"


def test_a_real_lab_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sdl.driver import get_driver

    for extra in ("allow_real: true", "name: archive"):
        path = small(tmp_path, lab=extra)
        monkeypatch.setattr(get_driver("replay"), "nature", "real")
        with pytest.raises(InputError, match=r"matter moves: archive"):
            run_benchmark(path, ["random"], 1, 3)


@pytest.mark.parametrize(
    ("planners", "seeds", "budget", "jobs", "said"),
    [
        ([], 1, 3, 1, "at least one planner"),
        (["random", "random"], 1, 3, 1, "each planner once"),
        (["random"], [1, 1], 3, 1, "each seed once"),
        (["random"], 0, 3, 1, "--seeds must be at least 1"),
        (["random"], 1, 0, 1, "--budget must be at least 1"),
        (["random"], 1, 3, 0, "--jobs must be at least 1"),
    ],
)
def test_requests_that_mean_nothing(
    tmp_path: Path, planners: list[str], seeds: int | list[int], budget: int, jobs: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run_benchmark(small(tmp_path), planners, seeds, budget, jobs)


def test_mistakes_are_found_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(PlannerError, match="no planner 'bays'"):
        run_benchmark(small(tmp_path), ["random", "bays"], 1, 3)
    with pytest.raises(FileProblems, match="objectives"):
        run_benchmark(small(tmp_path), ["random"], 1, 3, overrides=["objectives.q={goal: maximize}"])
    with pytest.raises(FileProblems, match="cannot be read"):
        run_benchmark(tmp_path / "none.yaml", ["random"], 1, 3)
    for text in ("[1, 2]", "name: x", "stop: 3\nname: 3"):
        (tmp_path / "odd.yaml").write_text(text)
        with pytest.raises(FileProblems):
            run_benchmark(tmp_path / "odd.yaml", ["random"], 1, 3)


# --- simulated labs -------------------------------------------------------------------------------------------------------


def test_a_simulated_lab_is_judged_by_the_true_state_of_each_sample() -> None:
    first = task(CERAMICS, budget=6, knows_pool=False)
    assert task(CERAMICS, budget=6, knows_pool=False) == first  # the same seed twice
    assert task(CERAMICS, budget=6, seed=1, knows_pool=False).tried != first.tried
    done = [t for t in first.tried if t.state == "done"]
    assert done
    for tried in done:
        assert tried.truth is not None
        assert tried.truth["relative_density"] == pytest.approx(tried.outcomes["relative_density"], abs=0.03)
        assert tried.truth["relative_density"] != tried.outcomes["relative_density"]  # noise lies between them
    result = replace(result_of(CERAMICS, [first], budget=6), pool=None)
    found = figures(result)
    assert [h.what for h in found.planners[0].hitting] == ["target"]
    assert found.expectations == ()
    assert "best true value, mS/cm" in render(result)


def test_a_simulated_run_ends_at_a_sample_that_truly_reaches_the_target(tmp_path: Path) -> None:
    shutil.copytree(CAMPAIGNS / "labs", tmp_path / "labs")
    shutil.copy(CERAMICS, tmp_path)
    low = ("stop.target={conductivity: {at_least: 1e-9}}", "outcome_constraints.relative_density={at_least: 0.01}")
    run = task(tmp_path / CERAMICS.name, budget=12, knows_pool=False, at_target=True, overrides=low)
    assert "is a hit" in run.reason
    assert len(run.tried) <= 2  # two at a time
