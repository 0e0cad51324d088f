"""`sdl explain` on a small campaign that was really run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

NAME = "electrolyte-sintering"
FILE = Path(__file__).parents[2] / "campaigns" / "electrolyte_sintering.yaml"


def sdl(*arguments):
    command = [sys.executable, "-m", "sdl.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("explain") / "home"
    settings = ("planner={type: bayes, initial: {type: sobol, count: 5}}", "stop.experiments=8")
    options = [part for one in settings for part in ("--set", one)]
    done = sdl("run", FILE, "--home", home, "--engine", "local", *options)
    assert done.returncode == 0, done.stderr
    return home


def explained(home, *arguments):
    result = sdl("explain", NAME, *arguments, "--home", home, "--json")
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.strip().splitlines()
    return json.loads(line), result.stderr


def test_the_campaign(home):
    data, text = explained(home)
    models = {m["outcome"]: m for m in data["models"]}
    assert set(models) == {"conductivity", "relative_density"}
    assert models["conductivity"]["observations"] == 8
    assert models["conductivity"]["choice"]["compared_at"] == 8
    sensitivity = models["conductivity"]["sensitivity"]
    assert "constraints hold" in sensitivity["over"]
    assert {i["parameter"] for i in sensitivity["indices"]} == {
        "temperature",
        "hold",
        "li_excess",
        "atmosphere",
        "firings",
    }
    assert len(sensitivity["pairs"]) == 3
    assert {c["outcome"]: c["told"] for c in data["coverage"]} == {"conductivity": 3, "relative_density": 3}
    assert data["missing"] == {}
    assert data["state"] == "done"
    assert "best" in data
    assert "model of conductivity: Gaussian process" in text
    assert "length scales, in shares of the range" in text
    assert "measurements lay in the 90 % interval" in text


def test_its_figures_are_drawn(home, tmp_path):
    data, text = explained(home, "--plots", tmp_path / "plots")
    names = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert sorted(Path(p).name for p in data["plots"]) == names
    assert {"conductivity-shares.svg", "conductivity-influence.svg", "conductivity-intervals.svg"} <= set(names)
    assert len([n for n in names if n.startswith("conductivity-effect-")]) == 5 + 3
    shares = data["models"][0]["influence"]["shares"]
    assert len(shares) == 8
    assert f"experiment {shares[0]['experiment']}: " in text
    refused = sdl("explain", NAME, 6, "--plots", tmp_path / "plots", "--home", home)
    assert refused.returncode == 2
    assert "leave the experiment's number out" in refused.stderr


def test_an_experiment_is_told_by_the_models_that_proposed_it(home):
    for number in (6, 8):
        data, text = explained(home, number)
        assert data["origin"] == "model"
        told = {o["outcome"]: o for o in data["outcomes"]}
        (worth,) = data["why"]["worth"]
        # refitted to what was known then, the model says what it said then
        assert worth["mean"] == pytest.approx(told["conductivity"]["mean"], rel=1e-6)
        assert worth["sd"] == pytest.approx(told["conductivity"]["sd"], rel=1e-4)
        assert len(data["nearest"]) == 3
        assert all(n["experiment"] < number for n in data["nearest"])
        assert f"{NAME}, experiment {number} (done)" in text
        assert "than the best predicted" in text


def test_an_experiment_of_the_design(home):
    data, text = explained(home, 1)
    assert data["origin"] == "initial"
    assert data["why"] is None
    assert "from the design" in text
    assert "made without a model" in text


def test_what_there_is_not_is_refused_and_nothing_is_written(home):
    def sums():
        return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(home.rglob("*.db")) if p.is_file()}

    before = sums()
    assert before
    result = sdl("explain", NAME, 99, "--home", home)
    assert result.returncode == 2
    assert "no experiment 99; it has: 1 to 8" in result.stderr
    other = sdl("explain", "other", "--home", home)
    assert other.returncode == 2
    assert "no campaign 'other'" in other.stderr
    explained(home, 8)
    assert sums() == before
