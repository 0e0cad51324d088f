"""Tasks on measured data: find one of the best rows of a table in as few experiments as possible."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from sdl.objective import Objective
from sdl.space import Candidate, Continuous, LinearConstraint, Pool, Space

from .tasks import Task, Values

HERE = Path(__file__).parent / "data"
SHIPPED = Path(__file__).parent.parent.parent / "campaigns" / "data"

# name → file, outcome, goal, budget, how many of the best rows count as found (about one in a hundred)
POOLS = {
    "agnp": (HERE / "agnp.csv", "loss", "minimize", 50, 2),
    "autoam": (HERE / "autoam.csv", "Score", "maximize", 50, 1),
    "crossed_barrel": (HERE / "crossed_barrel.csv", "toughness", "maximize", 60, 6),
    "opv_wf3": (SHIPPED / "opv_wf3.csv", "degradation", "minimize", 120, 10),
}


def measured_rows(file: Path, outcome: str) -> tuple[tuple[str, ...], dict[tuple[float, ...], float]]:
    """Return parameter names, and distinct row → the mean of its unique values (the protocol of Liang et al. 2021)."""
    with file.open(newline="") as lines:
        rows = [r for r in csv.DictReader(lines) if any(r.values())]
    names = tuple(name for name in rows[0] if name != outcome)
    values: dict[tuple[float, ...], set[float]] = {}
    for row in rows:
        values.setdefault(tuple(float(row[n]) for n in names), set()).add(float(row[outcome]))
    return names, {point: float(np.mean(sorted(found))) for point, found in values.items()}


def pool_task(name: str) -> Task:
    """Return the task of that name."""
    file, outcome, goal, budget, best = POOLS[name]
    names, rows = measured_rows(file, outcome)
    codes = np.array(list(rows))
    parameters = {
        n: Continuous(type="continuous", bounds=(float(column.min()), float(column.max())))
        for n, column in zip(names, codes.T, strict=True)
    }
    constraints = []
    if np.allclose(codes.sum(axis=1), 1.0, rtol=0, atol=1e-9):  # a mixture
        constraints = [LinearConstraint(type="linear", terms=dict.fromkeys(names, 1.0), equals=1.0)]
    space = Space(parameters, constraints, Pool.from_rows(names, codes, [()] * len(names)))
    objective = Objective(goal=goal)
    threshold = sorted((objective.merit(v) for v in rows.values()), reverse=True)[best - 1]

    def truth(candidate: Candidate) -> Values:
        return {outcome: rows[tuple(float(candidate[n]) for n in names)]}

    def gap(seen: list[Values]) -> float:
        return max(0.0, threshold - max(objective.merit(v[outcome]) for v in seen))

    return Task(name, "pools", space, {outcome: objective}, budget, truth, "hit", gap)
