"""Runs, their records, and the tables made of them."""

from __future__ import annotations

import json

import pytest
from planners import __main__ as command
from planners import records
from planners.contestants import CONTESTANTS
from planners.running import Job, inside, refused, run, task_named
from planners.tables import report

from sdl.objective import Estimate

pytest.importorskip(
    "baybe", reason="the peers are compared where the extra sdl[peers] is installed: make bench-planners"
)


def record(task, contestant, seed, value, **more):
    return {
        "task": task, "contestant": contestant, "seed": seed, "version": CONTESTANTS[contestant].version(),
        "value": value, "gaps": [value], "seconds": [0.5], "covered": [], **more,
    }  # fmt: skip


def test_a_run_is_the_same_again_and_ends_at_the_hit():
    job = Job("agnp", "random", 3)
    first, again = run(job), run(job)
    assert {**first, "seconds": 0} == {**again, "seconds": 0}
    hit = first["value"] <= task_named("agnp").budget
    assert len(first["gaps"]) == min(first["value"], task_named("agnp").budget)
    assert (first["gaps"][-1] <= 0) == hit
    assert all(a >= b for a, b in zip(first["gaps"], first["gaps"][1:], strict=False))
    assert len(first["seconds"]) == max(0, len(first["gaps"]) - 5)


def test_all_contestants_start_alike():
    runs = [run(Job("gramacy", who, 0)) for who in ("random", "sobol")]
    assert runs[0]["gaps"][:5] == runs[1]["gaps"][:5]
    assert len(runs[0]["gaps"]) == task_named("gramacy").budget


@pytest.mark.slow
def test_bayes_and_plain_botorch_state_intervals():
    for who in ("bayes", "botorch"):
        found = run(Job("autoam", who, 1))
        assert len(found["covered"]) == len(found["seconds"]) > 0


def test_what_a_contestant_cannot_do_is_left_out():
    assert refused(Job("gramacy", "baybe", 0))
    assert not refused(Job("gramacy", "ax", 0))
    assert not refused(Job("branin_currin", "random", 0))


def test_intervals_are_those_of_a_measurement():
    said = {"candidates": [{"predicted": {"y": {"mean": 1.0, "sd": 0.3}}}], "models": {"y": {"noise_sd": 0.4}}}
    # 1.645 · √(0.3² + 0.4²) = 0.822
    assert inside(said, {"y": Estimate(1.82)}) == [True]
    assert inside(said, {"y": Estimate(1.83)}) == [False]
    assert inside(said, {"z": Estimate(1.0)}) == []
    assert inside({"candidates": [{"predicted": None}]}, {"y": Estimate(1.0)}) == []
    stated = {"candidates": [{"predicted": {"y": {"interval": [2.0, 3.0], "mean": 0.0, "sd": 1.0}}}]}
    assert inside(stated, {"y": Estimate(2.5)}) == [True]


def test_a_run_that_was_stopped_goes_on(tmp_path):
    file = tmp_path / "r.jsonl"
    records.append(file, record("agnp", "random", 0, 4.0))
    with file.open("a") as lines:
        lines.write('{"task": "agnp", "conte')  # the power failed here
    records.append(file, record("agnp", "random", 1, 9.0))
    records.append(file, {**record("agnp", "random", 2, 9.0), "version": "an older one"})
    found = records.read(file)
    assert [(r["seed"], r["value"]) for r in found] == [(0, 4.0), (1, 9.0)]
    jobs = [Job("agnp", "random", s) for s in range(4)]
    assert records.missing(jobs, found) == jobs[2:]


def test_the_command_runs_what_is_missing_alone(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(command, "_results", lambda jobs, processes: (ran.append(job) or run(job) for job in jobs))
    file, table = tmp_path / "r.jsonl", tmp_path / "t.md"
    arguments = ["--problems", "agnp", "--planners", "random", "sobol", "--results", str(file), "--table", str(table)]
    command.main([*arguments, "--seeds", "1"])
    command.main([*arguments, "--seeds", "2"])
    assert ran == [Job("agnp", who, seed) for seed in (0, 1) for who in ("random", "sobol")]
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 4
    assert "| random |" in table.read_text()
    assert table.read_text().strip() in capsys.readouterr().out


def test_tables_by_hand():
    rows = [record("agnp", "bayes", s, v) for s, v in enumerate((8.0, 10.0))]
    rows += [record("agnp", "baybe", s, v) for s, v in enumerate((11.0, 13.0))]
    rows += [record("branin", "bayes", s, v, covered=[True, False]) for s, v in enumerate((0.01, 0.05))]
    rows += [record("branin", "baybe", s, v) for s, v in enumerate((0.1, 0.5))]
    text = report(rows)
    assert "| bayes | 9.0 ± 1.0 (2) | 9.0 ± 1.0 (2) |" in text
    assert "| baybe | -3.0 [-3.0, -3.0] (2) | -3.0 [-3.0, -3.0] (2) |" in text
    assert "| baybe | -1.00 [-1.00, -1.00] (2) |" in text
    assert "| bayes | 0.03 [0.02, 0.04] (2) |" in text
    assert "| bayes | – | 50 % (4) |" in text
    assert "| bayes | 0.500 (0.500; 0.50) | 0.500 (0.500; 0.50) |" in text


def test_outliers_are_held_against_clean_runs_of_the_same_planner():
    clean = [record("branin_noisy", "bayes", s, 0.0, gaps=[5.0] * 29 + [g]) for s, g in enumerate((0.1, 0.3, 0.2))]
    dirty = [
        record("branin_outliers", "bayes", s, 0.0, gaps=[5.0] * (k - 1) + [0.15] * (101 - k))
        for s, k in enumerate((20, 40, 101))
    ]
    assert "| branin_outliers | bayes | 0.2 (3) | 30 | 40 (3) | ≤ 39 |" in report(clean + dirty)
