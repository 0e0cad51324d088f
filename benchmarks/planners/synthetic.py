"""Tasks on test functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sdl.objective import Objective, OutcomeConstraint
from sdl.space import Candidate, Categorical, Continuous, Space

from . import functions as f
from .tasks import Task, Values

BRANIN_SD = 51.25
HARTMANN6_SD = 0.3846
"""Standard deviations of both functions over their boxes, from 2¹⁶ Sobol points; noise is stated in shares of them."""

_MINIMISE = {"y": Objective(goal="minimize")}
_ACKLEY_OFF_CENTRE = tuple(np.random.default_rng(10).uniform(-6.0, 6.0, 10).round(2))
"""Where the optimum lies, within the box [−10, 10]¹⁰ (chosen)."""
_THAT_COUNT = (2, 7, 11, 16)
"""Which of twenty parameters count (chosen)."""


def _box(bounds: Sequence[tuple[float, float]]) -> dict[str, Continuous]:
    return {f"x{i}": Continuous(type="continuous", bounds=b) for i, b in enumerate(bounds)}


def _numbers(candidate: Candidate) -> list[float]:
    return [float(v) for v in candidate.values()]


def _one(
    name: str,
    family: str,
    bounds: Sequence[tuple[float, float]],
    function: Callable[[Sequence[float]], float],
    least: float,
    budget: int,
) -> Task:
    """Return a task with one objective and nothing else."""
    return Task(
        name,
        family,
        Space(_box(bounds)),
        _MINIMISE,
        budget,
        lambda candidate: {"y": function(_numbers(candidate))},
        "gap",
        lambda seen: max(0.0, min(v["y"] for v in seen) - least),
    )


def _branin(name: str, family: str, budget: int) -> Task:
    return _one(name, family, [(-5, 10), (0, 15)], lambda x: f.branin(*x), f.BRANIN_LEAST, budget)


def _hartmann6(name: str, family: str, budget: int) -> Task:
    return _one(name, family, [(0, 1)] * 6, f.hartmann, f.HARTMANN6_LEAST, budget)


def _func2c() -> Task:
    first = Categorical(type="categorical", values=("rosenbrock", "camel", "beale"))
    second = Categorical(type="categorical", values=("rosenbrock", "camel", "beale", "beale_2", "beale_3"))
    space = Space({**_box([(-1, 1)] * 2), "first": first, "second": second})

    def truth(candidate: Candidate) -> Values:
        one, two = first.values.index(str(candidate["first"])), second.values.index(str(candidate["second"]))
        return {"y": f.func2c(one, two, float(candidate["x0"]), float(candidate["x1"]))}

    def gap(seen: list[Values]) -> float:
        return max(0.0, min(v["y"] for v in seen) - f.FUNC2C_LEAST)

    return Task("func2c", "mixed", space, _MINIMISE, 40, truth, "gap", gap)


def _gramacy() -> Task:
    bounds = OutcomeConstraint(at_most=0.0)

    def truth(candidate: Candidate) -> Values:
        return dict(zip(("y", "wave", "circle"), f.gramacy(*_numbers(candidate)), strict=True))

    def gap(seen: list[Values]) -> float:
        kept = [v["y"] for v in seen if v["wave"] <= 0 and v["circle"] <= 0]
        return max(0.0, min(kept, default=2.0) - f.GRAMACY_LEAST)  # 2 is the most that x₁ + x₂ can be

    return Task(
        "gramacy", "constrained", Space(_box([(0, 1)] * 2)), _MINIMISE, 30, truth, "gap", gap,
        {"wave": bounds, "circle": bounds},
    )  # fmt: skip


def _branin_currin() -> Task:
    objectives = {"branin": Objective(goal="minimize"), "currin": Objective(goal="minimize")}

    def truth(candidate: Candidate) -> Values:
        return dict(zip(objectives, f.branin_currin(*_numbers(candidate)), strict=True))

    def gap(seen: list[Values]) -> float:
        volume = f.hypervolume([(v["branin"], v["currin"]) for v in seen], f.BRANIN_CURRIN_REFERENCE)
        return max(0.0, f.BRANIN_CURRIN_VOLUME - volume)

    return Task(
        "branin_currin", "two objectives", Space(_box([(0, 1)] * 2)), objectives, 35, truth, "gap", gap
    )  # fmt: skip


def _dtlz2() -> Task:
    objectives = {"first": Objective(goal="minimize"), "second": Objective(goal="minimize")}

    def truth(candidate: Candidate) -> Values:
        return dict(zip(objectives, f.dtlz2(_numbers(candidate)), strict=True))

    def gap(seen: list[Values]) -> float:
        volume = f.hypervolume([(v["first"], v["second"]) for v in seen], f.DTLZ2_REFERENCE)
        return max(0.0, f.DTLZ2_VOLUME - volume)

    return Task(
        "dtlz2", "two objectives", Space(_box([(0, 1)] * 6)), objectives, 40, truth, "gap", gap
    )  # fmt: skip


def synthetic_tasks() -> dict[str, Task]:
    """Return name → task, those on test functions."""
    noisy_branin = replace(_branin("branin_noisy", "noisy", 30), noise_sd=0.02 * BRANIN_SD)
    noisy_hartmann = replace(_hartmann6("hartmann6_noisy", "noisy", 50), noise_sd=0.02 * HARTMANN6_SD)
    tasks = [
        _branin("branin", "smooth", 30),
        _hartmann6("hartmann6", "smooth", 50),
        _func2c(),
        _gramacy(),
        _branin_currin(),
        _dtlz2(),
        replace(_hartmann6("hartmann6_very_noisy", "noisy", 60), noise_sd=0.1 * HARTMANN6_SD),
        _one(
            "ackley10", "high dimension", [(-10, 10)] * 10,
            lambda x: f.ackley(np.asarray(x) - _ACKLEY_OFF_CENTRE), 0.0, 60,
        ),
        _one(
            "hartmann4_of_20", "high dimension", [(0, 1)] * 20,
            lambda x: f.hartmann([x[i] for i in _THAT_COUNT]), f.HARTMANN4_LEAST, 60,
        ),
        noisy_branin,
        replace(noisy_branin, name="branin_outliers", family="outliers", budget=100, outlier=0.1),
        noisy_hartmann,
        replace(noisy_hartmann, name="hartmann6_outliers", family="outliers", budget=100, outlier=0.1),
    ]  # fmt: skip
    return {task.name: task for task in tasks}


OUTLIERS = {"branin_outliers": ("branin_noisy", 30, 39), "hartmann6_outliers": ("hartmann6_noisy", 50, 65)}
"""Task → its clean twin, after how many experiments the twin sets the gap to be reached, and the aim for the median."""
