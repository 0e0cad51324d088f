"""Long checks, `make validate`: what the planners must show over 20 seeds, by what `sdl benchmark` itself measures."""

from __future__ import annotations

import pytest

from sdl.benchmark import figures, run_benchmark

pytestmark = [pytest.mark.validate, pytest.mark.filterwarnings("ignore")]


def _hitting(found, planner, what):
    figures_of_planner = next(p for p in found.planners if p.planner == planner)
    return next(h for h in figures_of_planner.hitting if h.what == what)


def test_opv_top_one_percent_in_a_quarter_of_randoms_expectation(campaigns):
    found = figures(run_benchmark(campaigns / "opv_photostability.yaml", ("bayes",), 20, 120, 2))
    expectation = next(e for e in found.expectations if e.what == "top 1 %")
    assert expectation.mean == pytest.approx((1020 + 1) / (10 + 1))
    assert _hitting(found, "bayes", "top 1 %").spread.mean <= expectation.mean / 4


def test_electrolyte_true_hits_within_forty(campaigns):
    found = figures(run_benchmark(campaigns / "electrolyte_sintering.yaml", ("bayes", "random"), 20, 40, 2))
    assert _hitting(found, "bayes", "target").misses <= 4
    assert _hitting(found, "random", "target").misses >= 10
