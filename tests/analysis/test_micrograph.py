"""Porosity and grain size from micrographs of known sections."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from sdl.analysis import AnalysisInput
from sdl.analysis.micrograph import Microstructure, bootstrap
from sdl.errors import AnalysisError

h5py = pytest.importorskip("h5py")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("skimage")

from sdl_instruments.rawdata.micrograph import (  # noqa: E402
    Microscope,
    Section,
    micrograph,
    micrograph_file,
    micrograph_hdf5,
)

DEVICE = Microscope()
pytestmark = pytest.mark.filterwarnings("ignore")


USUAL = Section(0.08, 3.0)


def image(section: Section = USUAL, seed: int = 0, device: Microscope = DEVICE) -> bytes:
    return micrograph_file(
        micrograph(section, np.random.default_rng(seed), device), device, sample="s1", instrument="sem"
    )


def given(data: bytes, media_type: str = "image/tiff") -> tuple[AnalysisInput, ...]:
    return (AnalysisInput("m", media_type, data),)


def in_hdf5(change=None, seed: int = 0) -> tuple[AnalysisInput, ...]:
    """Return a good micrograph in HDF5, after `change` has been applied to its tree."""
    pixels = micrograph(USUAL, np.random.default_rng(seed), DEVICE)
    buffer = io.BytesIO(micrograph_hdf5(pixels, DEVICE, sample="s1", instrument="sem"))
    if change is not None:
        with h5py.File(buffer, "r+") as tree:
            change(tree)
    return given(buffer.getvalue(), "application/x-hdf5")


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


def test_both_forms_of_a_micrograph_give_the_same_bits() -> None:
    tiff, hdf5 = Microstructure().examine(given(image())), Microstructure().examine(in_hdf5())
    assert tiff == hdf5


def _replace(path: str, value: object, unit: str = ""):
    def change(tree) -> None:
        del tree[path]
        tree[path] = value
        if unit:
            tree[path].attrs["units"] = unit

    return change


def _crop(tree) -> None:
    _replace("entry/data/image", tree["entry/data/image"][:-40], "grey")(tree)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_replace("entry/technique", "optical microscopy"), "optical", id="wrong technique"),
        pytest.param(_crop, "truncated: the header announces 768 × 768", id="rows missing"),
        pytest.param(
            lambda t: t.pop("entry/instrument/calibration/pixel_size"), "pixel_size' is missing", id="no scale"
        ),
        pytest.param(_replace("entry/instrument/calibration/pixel_size", 1.0, "g"), "is in 'g'", id="scale in gram"),
        pytest.param(_replace("entry/instrument/calibration/pixel_size", 0.0, "um"), "above 0 um", id="scale of zero"),
        pytest.param(lambda t: t.pop("entry/simulated"), "simulated' is missing", id="does not say whether simulated"),
        pytest.param(
            _replace("entry/instrument/detector/saturation_value", 150, "grey"), "saturated", id="saturates early"
        ),
        pytest.param(
            _replace("entry/data/image", np.zeros((768, 768, 3), np.uint8), "grey"), "one grey channel", id="colours"
        ),
        pytest.param(_replace("entry/data/image", np.full((768, 768), 0.5), "grey"), "8 or 16 bits", id="floats"),
        pytest.param(_replace("entry/data/image", np.zeros((0, 0), np.uint8), "grey"), "no pixel", id="no pixel"),
        pytest.param(_replace("entry/data/image", np.full((768, 768), 90, np.uint8), "grey"), "every pixel", id="flat"),
    ],
)
def test_what_is_no_good_micrograph_in_hdf5_is_refused(change, said: str) -> None:
    with pytest.raises(AnalysisError, match=said):
        Microstructure().analyse(in_hdf5(change))
