"""Raw data generators: physics against analytic values, determinism, metadata."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("pymatgen")

from sdl_instruments.rawdata.diffraction import (  # noqa: E402
    K_ALPHA_1,
    Diffractometer,
    PhaseTruth,
    net_pattern,
    pattern_file,
    powder_pattern,
)
from sdl_instruments.rawdata.micrograph import (  # noqa: E402
    Microscope,
    Section,
    micrograph,
    micrograph_file,
    micrograph_hdf5,
)

from sdl.analysis.crystals import CUBIC_GARNET, PYROCHLORE, march_dollase, reflections, texture_angles  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
DEVICE = Diffractometer()
PHASES = (PhaseTruth(CUBIC_GARNET, 0.9), PhaseTruth(PYROCHLORE, 0.1))


def test_the_strongest_peak_stands_where_bragg_says() -> None:
    angles = np.arange(15, 80, 0.005)
    net = net_pattern(angles, (PhaseTruth(PYROCHLORE, 1.0),), DEVICE)
    expected = 2 * np.degrees(np.arcsin(K_ALPHA_1 * np.sqrt(12) / (2 * PYROCHLORE.a)))  # (222)
    assert angles[np.argmax(net)] == pytest.approx(expected, abs=0.02)  # Kα2 draws the top aside


def test_a_mixture_is_the_sum_of_its_phases() -> None:
    angles = np.arange(20, 60, 0.02)
    parts = [p.weight * net_pattern(angles, (PhaseTruth(p.crystal, 1.0),), DEVICE) for p in PHASES]
    np.testing.assert_allclose(net_pattern(angles, PHASES, DEVICE), sum(parts), rtol=1e-9)


def test_counts_are_poisson_and_as_many_as_asked_for() -> None:
    draws = np.array([powder_pattern(PHASES, np.random.default_rng(s)).counts for s in range(20)], dtype=float)
    assert draws.max(axis=1).mean() == pytest.approx(1e4, rel=0.1)
    quiet = draws[:, draws.mean(axis=0) < 200]
    assert np.median(quiet.var(axis=0, ddof=1) / quiet.mean(axis=0)) == pytest.approx(1.0, abs=0.15)


def test_texture_keeps_the_mean_over_all_directions() -> None:
    lines = reflections(CUBIC_GARNET, K_ALPHA_1, 10, 90)
    angles = texture_angles(CUBIC_GARNET, lines)
    np.testing.assert_allclose(march_dollase(angles, 1.0), 1.0)
    u = np.linspace(0, 1, 20001)  # cos α, evenly over the sphere
    for r in (0.6, 1.4):
        assert np.trapezoid((r * r * u * u + (1 - u * u) / r) ** -1.5, u) == pytest.approx(1.0, abs=1e-4)


def test_weights_must_add_up() -> None:
    with pytest.raises(ValueError, match="add up"):
        net_pattern(np.arange(20, 60, 0.1), (PhaseTruth(PYROCHLORE, 0.5),), DEVICE)


def test_patterns_are_nexus_and_the_same_bytes_twice() -> None:
    def make() -> bytes:
        return pattern_file(powder_pattern(PHASES, np.random.default_rng(1)), DEVICE, sample="s", instrument="x")

    data = make()
    assert data == make()
    with h5py.File(io.BytesIO(data)) as tree:
        assert tree["entry"].attrs["NX_class"] == "NXentry"
        signal = tree["entry/data"].attrs["signal"]
        assert tree["entry/data"][signal].attrs["units"] == "counts"
        assert bool(tree["entry/simulated"][()])


@pytest.mark.parametrize("porosity", [0.0, 0.1, 0.3])
def test_pores_cover_their_share(porosity: float) -> None:
    device = Microscope(noise=0.0, blur=0.01)
    shares = [(micrograph(Section(porosity, 4.0), np.random.default_rng(s), device) == 25).mean() for s in range(6)]
    assert np.mean(shares) == pytest.approx(porosity, abs=0.02)


def test_micrographs_carry_their_scale_and_are_the_same_bytes_twice() -> None:
    device = Microscope(width=256, height=256)
    data = [
        micrograph_file(
            micrograph(Section(0.1, 2.0), np.random.default_rng(3), device), device, sample="s", instrument="x"
        )
        for _ in range(2)
    ]
    assert data[0] == data[1]
    with tifffile.TiffFile(io.BytesIO(data[0])) as tree:
        head = json.loads(tree.pages[0].tags["ImageDescription"].value)
    assert head["simulated"] is True
    assert head["pixel_size"] == {"value": 0.1, "unit": "um"}
    assert head["pixel_size_uncertainty"]["value"] > 0
    assert head["calibration"]
    state = head["instrument_state"]
    assert {"accelerating_voltage", "working_distance", "gain"} <= set(state)
    assert all(set(reading) == {"value", "unit"} for reading in state.values())


WITHOUT_UNIT = {"ratio_k_alpha_two_k_alpha_one", "simulated"}


@pytest.mark.parametrize("kind", ["pattern", "micrograph"])
def test_hdf5_files_say_units_state_calibration_and_that_they_are_simulated(kind: str) -> None:
    def make() -> bytes:
        if kind == "pattern":
            pattern = powder_pattern(PHASES, np.random.default_rng(1))
            return pattern_file(pattern, DEVICE, sample="s", instrument="x", state={"humidity_percent": 40.0})
        device = Microscope(width=256, height=256)
        pixels = micrograph(Section(0.1, 2.0), np.random.default_rng(3), device)
        return micrograph_hdf5(pixels, device, sample="s", instrument="x", state={"humidity_percent": 40.0})

    data = make()
    assert data == make()  # the same measurement has the same content hash
    with h5py.File(io.BytesIO(data)) as tree:
        assert tree["entry/simulated"][()] == np.True_
        assert tree["entry/instrument/calibration/standard"].asstr()[()]
        assert tree["entry/instrument/name"].asstr()[()] == "x"
        state = tree["entry/instrument/state"]
        assert state["humidity_percent"][()] == 40.0
        assert len(state) >= 4
        group = tree[tree.attrs["default"]]
        group = group[group.attrs["default"]]
        assert group.attrs["NX_class"] == "NXdata"
        signal = group[group.attrs["signal"]]
        assert [len(group[axis]) for axis in group.attrs["axes"]] == list(signal.shape)

        def look(path: str, member) -> None:
            if isinstance(member, h5py.Group):
                assert member.attrs["NX_class"].startswith("NX")
            elif member.dtype.kind in "iufb" and path.split("/")[-1] not in {*WITHOUT_UNIT, "humidity_percent"}:
                assert member.attrs["units"], path

        tree.visititems(look)


def test_impossible_sections_are_refused() -> None:
    with pytest.raises(ValueError, match="porosity"):
        micrograph(Section(0.9, 3.0), np.random.default_rng(0))
    with pytest.raises(ValueError, match="grain size"):
        micrograph(Section(0.1, 500.0), np.random.default_rng(0))
