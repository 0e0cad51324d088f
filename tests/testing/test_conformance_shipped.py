"""Every shipped driver keeps every rule of the conformance suite."""

from __future__ import annotations

import pytest

from sdl.driver import driver_names, get_driver
from sdl.testing import run_conformance

NAMES = [
    "replay",
    "simulated_box_furnace",
    "simulated_dispenser",
    "simulated_impedance_analyser",
    "simulated_pycnometer",
]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_driver_conforms(name, shipped):
    report = run_conformance(name, **shipped[name])
    assert report.passed, str(report)
    # What cannot be tried is named here, so that a rule is never skipped unseen.
    allowed = {"simulator-alike", "timeout-unknown", "safe-state-read-back"}
    if name != "simulated_box_furnace":
        allowed.add("abort-bounded")
    if name == "replay":
        allowed.add("busy-said")
    assert set(report.skipped) <= allowed


BY_SETTINGS = ["manual", "calculation", "python"]

QUICK = ["actions-work", "out-of-range-refused", "abort-stops"]
"""For drivers each life of which begins a process of its own."""


@pytest.mark.parametrize("name", [n for n in BY_SETTINGS if n in driver_names()])
def test_driver_that_follows_from_settings_conforms(name, by_settings):
    report = run_conformance(name, rules=QUICK if name == "calculation" else None, **by_settings[name])
    assert report.passed, str(report)


@pytest.mark.validate  # each life begins processes of its own; on a loaded machine one rule in some runs finds a leftover
@pytest.mark.skipif("calculation" not in driver_names(), reason="not shipped here")
def test_calculation_keeps_every_rule(by_settings):
    report = run_conformance("calculation", **by_settings["calculation"])
    assert report.passed, str(report)


def test_no_shipped_driver_is_forgotten():
    ours = [n for n in driver_names() if get_driver(n).__module__.startswith("sdl_instruments.")]
    unknown = set(ours) - {*NAMES, *BY_SETTINGS}
    assert not unknown, f"shipped drivers without a conformance test: {sorted(unknown)}"
