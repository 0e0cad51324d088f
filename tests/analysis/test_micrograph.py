"""Porosity and grain size from micrographs of known sections."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sdl.analysis import AnalysisInput
from sdl.analysis.micrograph import Microstructure, bootstrap
from sdl.errors import AnalysisError

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("skimage")

from sdl_instruments.rawdata.micrograph import Microscope, Section, micrograph, micrograph_file  # noqa: E402

DEVICE = Microscope()
pytestmark = pytest.mark.filterwarnings("ignore")


USUAL = Section(0.08, 3.0)


def image(section: Section = USUAL, seed: int = 0, device: Microscope = DEVICE) -> bytes:
    return micrograph_file(
        micrograph(section, np.random.default_rng(seed), device), device, sample="s1", instrument="sem"
    )


def given(data: bytes) -> tuple[AnalysisInput, ...]:
    return (AnalysisInput("m.tif", "image/tiff", data),)


def pulls(seeds: range) -> np.ndarray:
    """Return by seed: relative error of porosity and grain size, and whether the intervals hold the truth."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        grain = float(np.exp(rng.uniform(np.log(2.2), np.log(5.5))))
        section = Section(rng.uniform(0.02, 0.2), grain, rng.uniform(0.8, 1.8))
        found = Microstructure().examine(
            given(micrograph_file(micrograph(section, rng, DEVICE), DEVICE, sample="s", instrument="x"))
        )
        p, g = found.estimates["porosity"].value, found.estimates["grain_size"].value
        held = [found.intervals[k].holds(v) for k, v in (("porosity", section.porosity), ("grain_size", grain))]
        rows.append((p - section.porosity, g / grain - 1, *held))
    return np.array(rows)


@pytest.mark.slow
def test_hidden_sections_are_found() -> None:
    found = pulls(range(25))
    assert np.abs(found[:, 0]).mean() < 0.01
    assert np.abs(found[:, 1]).mean() < 0.05
    assert found[:, 2:].mean() >= 0.88


@pytest.mark.validate
@pytest.mark.timeout(3600)
def test_intervals_hold_the_truth_in_three_hundred_sections() -> None:
    found = pulls(range(1000, 1300))
    assert 0.90 <= found[:, 2].mean() <= 0.99
    assert 0.90 <= found[:, 3].mean() <= 0.995


def test_same_bytes_same_result_and_a_figure() -> None:
    data = given(image())
    first, again = Microstructure().examine(data), Microstructure().examine(data)
    assert first == again
    assert first.figure.x_unit == "um"
    assert Microstructure().analyse(data) == first.estimates


def test_no_pore_is_said() -> None:
    result = Microstructure().examine(given(image(Section(0.0, 3.0))))
    assert result.estimates["porosity"].value == 0
    assert any("no pore" in f for f in result.flags)


def test_bootstrap_of_even_tiles_is_certain_and_of_uneven_ones_is_not() -> None:
    area = np.full(25, 100.0)
    assert bootstrap(np.full(25, 7.0), area) == pytest.approx(0.0, abs=1e-12)
    uneven = np.random.default_rng(0).poisson(7.0, 25).astype(float)
    assert bootstrap(uneven, area) == pytest.approx(np.sqrt(7.0) / 100 / 5, rel=0.4)


def retitled(**changes) -> bytes:
    import io

    with tifffile.TiffFile(io.BytesIO(image())) as tree:
        head, pixels = json.loads(tree.pages[0].tags["ImageDescription"].value), tree.pages[0].asarray()
    head = {k: v for k, v in {**head, **changes}.items() if v is not None}
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, description=json.dumps(head), metadata=None)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(lambda: b"", "empty", id="empty"),
        pytest.param(lambda: b"\x89PNG....", "TIFF", id="another format"),
        pytest.param(lambda: image()[:200000], "truncated", id="truncated"),
        pytest.param(lambda: retitled(technique="optical microscopy"), "optical", id="wrong technique"),
        pytest.param(lambda: retitled(pixel_size=None), "no scale", id="no scale"),
        pytest.param(lambda: retitled(pixel_size={"value": 1, "unit": "g"}), "no scale", id="scale in gram"),
        pytest.param(lambda: retitled(width=900), "truncated", id="another size"),
        pytest.param(lambda: image(device=replace(DEVICE, gain=1.6)), "saturated", id="saturated"),
        pytest.param(lambda: image(device=replace(DEVICE, gain=0.0, noise=0.0)), "empty", id="blank"),
        pytest.param(lambda: image(device=replace(DEVICE, gain=0.25, noise=6.0)), "signal|saturated", id="no signal"),
        pytest.param(lambda: image(Section(0.05, 0.6)), "too small", id="grains too small"),
        pytest.param(lambda: image(Section(0.05, 25.0)), "too few|no grain", id="grains too large"),
    ],
)
def test_what_is_no_good_micrograph_is_refused(data, said: str) -> None:
    with pytest.raises(AnalysisError, match=said):
        Microstructure().analyse(given(data()))
