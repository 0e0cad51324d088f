"""Every shipped driver keeps every rule of the conformance suite."""

from __future__ import annotations

import pytest

from sdl.driver import driver_names, get_driver
from sdl.testing import run_conformance

NAMES = [
    "replay",
    "simulated_batch_furnace",
    "simulated_box_furnace",
    "simulated_diffractometer",
    "simulated_dispenser",
    "simulated_electron_microscope",
    "simulated_impedance_analyser",
    "simulated_line_dispenser",
    "simulated_line_impedance_analyser",
    "simulated_line_pycnometer",
    "simulated_mill",
    "simulated_press",
    "simulated_pycnometer",
    "simulated_robot_arm",
]
ABORTABLE = {"simulated_batch_furnace", "simulated_box_furnace", "simulated_mill", "simulated_robot_arm"}


@pytest.mark.parametrize("name", NAMES)
def test_shipped_driver_conforms(name, shipped):
    report = run_conformance(name, **shipped[name])
    assert report.passed, str(report)
    # What cannot be tried is named here, so that a rule is never skipped unseen.
    allowed = {"simulator-alike", "timeout-unknown", "safe-state-read-back"}
    if name not in ABORTABLE:
        allowed.add("abort-bounded")
    if name == "replay":
        allowed.add("busy-said")
    assert set(report.skipped) <= allowed


BY_SETTINGS = ["manual", "calculation", "python"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            n, marks=pytest.mark.slow if n == "calculation" else ()
        )  # each of its lives begins processes of its own
        for n in BY_SETTINGS
        if n in driver_names()
    ],
)
def test_driver_that_follows_from_settings_conforms(name, by_settings):
    report = run_conformance(name, **by_settings[name])
    assert report.passed, str(report)


def test_no_shipped_driver_is_forgotten():
    ours = [n for n in driver_names() if get_driver(n).__module__.startswith("sdl_instruments.")]
    unknown = set(ours) - {*NAMES, *BY_SETTINGS}
    assert not unknown, f"shipped drivers without a conformance test: {sorted(unknown)}"
