"""Two sources against one: the functions are those of their sources, and gaps are read at equal cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planners import functions as f
from planners.fidelities import TASKS, forrester, gap_at, report, run

torch = pytest.importorskip("torch")


def test_the_augmented_hartmann_function_is_that_of_botorch():
    from botorch.test_functions import AugmentedHartmann

    augmented = AugmentedHartmann()
    for x in np.random.default_rng(3).random((20, 7)):
        told = float(augmented(torch.tensor(x, dtype=torch.float64)))
        assert f.hartmann(x[:6], fidelity=float(x[6])) == pytest.approx(
            told, abs=1e-7
        )  # its constants are in single precision


def test_forresters_least_value():
    grid = np.linspace(0.75, 0.765, 20_001)
    assert min(forrester(float(x)) for x in grid) == pytest.approx(TASKS["forrester"].least, abs=1e-6)


def test_gaps_are_read_at_equal_cost():
    record = {"course": [[0.1, None], [1.1, 3.0], [2.1, 2.0], [2.2, 2.0]]}
    assert [gap_at(record, cost) for cost in (0.5, 1.1, 2.0, 9.0)] == [math.inf, 3.0, 3.0, 2.0]


def test_a_run_keeps_its_budget(monkeypatch):
    from dataclasses import replace

    monkeypatch.setitem(TASKS, "forrester", replace(TASKS["forrester"], budget=3.3))  # the initial design alone
    both, alone = run("forrester", 0, both=True), run("forrester", 0, both=False)
    assert (both["on_target"], both["on_cheap"]) == (3, 3)
    assert (alone["on_target"], alone["on_cheap"]) == (3, 0)
    assert both["course"][-1][0] == pytest.approx(3.3)
    assert gap_at(both, 3.3) == gap_at(alone, 3.3)  # they begin with the same points
    text = report([both, alone])
    assert "| both sources |" in text and "| target alone |" in text
