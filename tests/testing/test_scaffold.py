"""`sdl new driver`: what it writes passes its own tests at once, and pip makes it known to sdl."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sdl.cli.new import check_name, new_driver
from sdl.cli.outcome import Output
from sdl.errors import InputError

ROOT = Path(__file__).parents[2]


def environment(*folders):
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_NUM_THREADS": "1"}


def python(*arguments, cwd, path=()):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=False,
        cwd=cwd,
        env=environment(*path),
        capture_output=True,
        text=True,
        timeout=250,
    )


@pytest.fixture
def plugin(tmp_path):
    folder = tmp_path / "plate"
    assert new_driver("warm_plate", folder, Output(as_json=True)) == 0
    return folder


def test_its_tests_pass_at_once(plugin):
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", cwd=plugin, path=[plugin])
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "1 skipped" in done.stdout  # a simulator has no simulator


def test_what_it_writes_is_clean(plugin):
    ruff = [sys.executable, "-m", "ruff"]
    selected = ["--isolated", "--line-length", "130", "--select", "E,F,I,B,UP,ASYNC,D1", "--ignore", "D105,D107"]
    done = subprocess.run(
        [*ruff, "check", *selected, "warm_plate"], check=False, cwd=plugin, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    project = tomllib.loads((plugin / "pyproject.toml").read_text())
    assert set(project["project"]["entry-points"]["sdl.drivers"]) == {"warm_plate", "simulated_warm_plate"}
    for file in [*plugin.rglob("*.py"), plugin / "README.md", plugin / "pyproject.toml"]:
        assert "$" not in file.read_text(), file


def test_an_existing_folder_is_left_alone(plugin, tmp_path):
    before = sorted(plugin.rglob("*"))
    with pytest.raises(InputError, match="exists"):
        new_driver("other_plate", plugin, Output())
    assert sorted(plugin.rglob("*")) == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        new_driver("other_plate", tmp_path / "file" / "below", Output())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Hot-Plate", "did you mean 'hot_plate'"),
        ("hotPlate", "did you mean 'hot_plate'"),
        ("hot plate", "did you mean 'hot_plate'"),
        ("hot_plate_", "did you mean 'hot_plate'"),
        ("../evil", "did you mean 'evil'"),
        ("9x", "begins with a letter"),
        ("", "begins with a letter"),
        ("x" * 61, "at most 60"),
        ("plätte", "small letters"),
        ("class", "try 'class_driver'"),
        ("replay", "is installed: 'replay'"),
        ("box_furnace", "simulated_box_furnace"),
        ("numpy", "Python package 'numpy'"),
        ("device", "collide"),
        ("tests", "collide"),
    ],
)
def test_names_that_cannot_be(name, said):
    with pytest.raises(InputError, match=said):
        check_name(name)


@pytest.mark.slow
def test_pip_makes_it_known(plugin, tmp_path):
    site = tmp_path / "site"
    done = python(
        *(
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--target",
            site,
            plugin,
        ),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    listed = python("-m", "sdl.cli", "drivers", cwd=tmp_path, path=[site])
    assert listed.returncode == 0, listed.stderr
    assert "simulated_warm_plate" in listed.stdout
    assert "Warm plate: heats a sample" in listed.stdout
    checked = python("-m", "sdl.cli", "drivers", "check", "simulated_warm_plate", cwd=tmp_path, path=[site])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    # Installed, the real driver's simulator can be found and compared; but a real device must not be pressed by a suite.
    alike = (
        "from sdl.testing import run_conformance\n"
        "report = run_conformance('warm_plate', rules=['simulator-alike'])\nprint(report)\nassert report.passed"
    )
    compared = python("-c", alike, cwd=tmp_path, path=[site])
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "ok       simulator-alike" in compared.stdout
    refused = python("-m", "sdl.cli", "drivers", "check", "warm_plate", cwd=tmp_path, path=[site])
    assert refused.returncode == 2
    assert "simulated_warm_plate" in refused.stderr
    campaign = tmp_path / "c.yaml"
    campaign.write_text(CAMPAIGN)
    ran = python(
        "-m", "sdl.cli", "run", campaign, "--engine", "local", "--home", "h", "--json", cwd=tmp_path, path=[site]
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


CAMPAIGN = """
name: plates
space: {parameters: {temperature: {type: continuous, bounds: [30, 300], unit: degC}}}
objectives: {reached: {goal: maximize, unit: degC}}
protocol:
  - {instrument: plate, action: heat, with: {temperature: $temperature, hold: 10 min}, gives: {reached: reached}}
lab: {clock: {type: virtual}, world: {seed: 1}, instruments: {plate: {driver: simulated_warm_plate}}}
planner: {type: random}
stop: {experiments: 3}
"""
