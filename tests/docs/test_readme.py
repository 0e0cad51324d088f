"""What the README tells a newcomer to type works as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()


def _block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return next(b for b in blocks if containing in b)


def _sdl(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "sdl.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )


@pytest.fixture
def pellet(tmp_path):
    (tmp_path / "pellet.yaml").write_text(_block("yaml", "first-sinter"))
    return tmp_path


def test_the_first_campaign(pellet):
    home = str(pellet / "home")
    plan = _sdl("plan", "pellet.yaml", cwd=pellet)
    assert plan.returncode == 0, plan.stderr
    run = _sdl("run", "pellet.yaml", "--engine", "local", "--json", cwd=pellet, SDL_HOME=home)
    assert run.returncode == 0, run.stderr
    data = json.loads(run.stdout.strip().splitlines()[-1])
    assert data["experiments"]["done"] == 15
    assert data["best"]["outcomes"]["relative_density"]["value"] > 0.8
    assert _sdl("status", cwd=pellet, SDL_HOME=home).returncode == 0
    assert _sdl("export", "first-sinter", "-o", "results.csv", cwd=pellet, SDL_HOME=home).returncode == 0
    assert len((pellet / "results.csv").read_text().splitlines()) == 16


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        pytest.param("$temperature,", "$temprature,", "did you mean 'temperature'", id="misspelt"),
        pytest.param("[1000, 1250]", "[1000, 1500]", "1500 degC is outside the limits", id="too-hot"),
    ],
)
def test_the_mistakes_on_purpose(pellet, right, wrong, said):
    file = pellet / "pellet.yaml"
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong, 1))
    plan = _sdl("plan", "pellet.yaml", cwd=pellet)
    assert plan.returncode == 2
    assert said in plan.stderr
    assert re.search(r"pellet\.yaml:\d+:\d+", plan.stderr)


def test_the_first_driver(tmp_path):
    folder = tmp_path / "mylab"
    folder.mkdir()
    (folder / "colorimeter.py").write_text(_block("python", "class Colorimeter"))
    (folder / "pyproject.toml").write_text(_block("toml", "mylab"))
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", site, folder],
        check=True,
        capture_output=True,
    )
    (tmp_path / "colour.yaml").write_text(
        """
name: colour
space: {parameters: {wavelength: {type: continuous, bounds: [0.4, 0.7], unit: um}}}
objectives: {absorbance: {goal: minimize}}
protocol:
  - {instrument: colorimeter, action: measure, with: {wavelength: $wavelength}, gives: {absorbance: absorbance}}
lab: {clock: {type: virtual}, instruments: {colorimeter: {driver: colorimeter}}}
planner: {type: sobol}
stop: {experiments: 4}
"""
    )
    listed = _sdl("drivers", cwd=tmp_path, PYTHONPATH=str(site))
    assert re.search(r"^colorimeter +simulated +Colorimeter", listed.stdout, flags=re.MULTILINE)
    described = _sdl("drivers", "describe", "colorimeter", cwd=tmp_path, PYTHONPATH=str(site))
    assert "takes wavelength: [400, 700] nm" in described.stdout
    home = tmp_path / "home"
    options = ["--engine", "local", "--json", "--home", home]
    run = _sdl("run", "colour.yaml", *options, cwd=tmp_path, PYTHONPATH=str(site))
    assert run.returncode == 0, run.stderr
    exported = tmp_path / "all.json"
    assert _sdl("export", "colour", "--format", "json", "-o", exported, "--home", home, cwd=tmp_path).returncode == 0
    for command in json.loads(exported.read_text())["commands"]:
        wavelength = command["arguments"]["wavelength"]
        assert 400 <= wavelength <= 700
        assert command["result"]["absorbance"] == pytest.approx(0.1 + ((wavelength - 532) / 100) ** 2)
    checked = _sdl("drivers", "check", "colorimeter", cwd=tmp_path, PYTHONPATH=str(site))
    assert checked.returncode == 0, checked.stdout + checked.stderr
