"""Phase fraction and lattice parameter from powder patterns of known mixtures."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from sdl.analysis import AnalysisInput, get_analysis
from sdl.analysis.crystals import CRYSTALS, CUBIC_GARNET, PYROCHLORE, TETRAGONAL_GARNET
from sdl.analysis.diffraction import PHASE_FRACTION
from sdl.errors import AnalysisError

h5py = pytest.importorskip("h5py")
pytest.importorskip("pymatgen")

from sdl_instruments.rawdata.diffraction import Diffractometer, PhaseTruth, pattern_file, powder_pattern  # noqa: E402

DEVICE = Diffractometer()
HALF = (PhaseTruth(CUBIC_GARNET, 0.8, 1.001, 150, 0.9), PhaseTruth(PYROCHLORE, 0.2, 0.999, 80))
pytestmark = pytest.mark.filterwarnings("ignore")


def mixture(rng: np.random.Generator) -> tuple[PhaseTruth, ...]:
    """Return a hidden mixture: 30 to 100 % garnet; in a third of the draws without tetragonal garnet."""
    garnet = rng.uniform(0.3, 1.0)
    rest = rng.dirichlet([1, 1]) * (1 - garnet)
    if rng.random() < 0.3:
        garnet, rest = 1 - rest[0], np.array([rest[0], 0.0])
    texture = float(np.exp(0.15 * rng.normal()))
    return (
        PhaseTruth(CUBIC_GARNET, garnet, 1 + 0.002 * rng.normal(), rng.uniform(60, 300), texture),
        PhaseTruth(TETRAGONAL_GARNET, rest[1], 1 + 0.001 * rng.normal(), rng.uniform(60, 300)),
        PhaseTruth(PYROCHLORE, rest[0], 1 + 0.002 * rng.normal(), rng.uniform(30, 200)),
    )


def file(phases=HALF, seed: int = 0, device: Diffractometer = DEVICE, **other) -> bytes:
    pattern = powder_pattern(phases, np.random.default_rng(seed), device)
    return pattern_file(pattern, device, sample="s1", instrument="xrd", **other)


def given(data: bytes, media_type: str = "application/x-hdf5") -> tuple[AnalysisInput, ...]:
    return (AnalysisInput("p.nxs", media_type, data),)


def edited(change) -> bytes:
    """Return a good file after `change` has been applied to its tree."""
    buffer = io.BytesIO(file())
    with h5py.File(buffer, "r+") as tree:
        change(tree)
    return buffer.getvalue()


def errors(seeds: range) -> np.ndarray:
    """Return by seed: error and pull of the fraction, error (Å) and pull of the lattice parameter."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        phases = mixture(rng)
        pattern = powder_pattern(phases, rng, DEVICE)
        found = PHASE_FRACTION.analyse(given(pattern_file(pattern, DEVICE, sample="s", instrument="x")))
        share, length = found["phase_fraction"], found["lattice_parameter"]
        off, shift = share.value - phases[0].weight, length.value - CUBIC_GARNET.a * phases[0].scale
        rows.append((off, off / share.uncertainty, shift, shift / length.uncertainty))
    return np.array(rows)


@pytest.mark.slow
def test_forty_hidden_mixtures_are_found() -> None:
    found = errors(range(40))
    assert (np.abs(found[:, 0]) < 0.02).mean() >= 0.95
    assert (np.abs(found[:, 2]) < 0.001).mean() >= 0.95
    assert (np.abs(found[:, [1, 3]]) < 1.96).mean() >= 0.85


@pytest.mark.validate
@pytest.mark.timeout(3600)
def test_three_hundred_hidden_mixtures_are_found_with_honest_intervals() -> None:
    found = errors(range(1000, 1300))
    assert (np.abs(found[:, 0]) < 0.02).mean() >= 0.95
    assert (np.abs(found[:, 2]) < 0.001).mean() >= 0.95
    for pulls in found[:, [1, 3]].T:
        assert 0.90 <= (np.abs(pulls) < 1.96).mean() <= 0.98


def test_the_result_has_intervals_figure_and_no_flag_where_all_is_well() -> None:
    result = PHASE_FRACTION.examine(given(file()))
    assert result.intervals["phase_fraction"].holds(0.8)
    assert abs(result.estimates["lattice_parameter"].value - 1.001 * CUBIC_GARNET.a) < 0.001
    assert result.flags == ()
    assert result.diagnostics["chi_square"] == pytest.approx(1.0, abs=0.15)
    assert {s.label for s in result.figure.series} >= {"measured", "fit"}
    assert PHASE_FRACTION.analyse(given(file())) == result.estimates


def test_a_sample_without_the_target_has_a_fraction_but_no_lattice_parameter() -> None:
    data = given(file((PhaseTruth(PYROCHLORE, 1.0),)))
    with pytest.raises(AnalysisError, match="not seen"):
        PHASE_FRACTION.analyse(data)
    share = get_analysis("phase_content").analyse(data)["phase_fraction"]
    assert abs(share.value) < 4 * share.uncertainty


def test_a_phase_that_was_not_named_is_refused_or_flagged() -> None:
    with pytest.raises(AnalysisError, match="do not describe"):
        PHASE_FRACTION.analyse(given(file(HALF, candidates=("cubic garnet",))))
    trace = (PhaseTruth(CUBIC_GARNET, 0.993), PhaseTruth(PYROCHLORE, 0.007))
    assert any(
        "unexplained" in f for f in PHASE_FRACTION.examine(given(file(trace, candidates=("cubic garnet",)))).flags
    )


def _cut(tree) -> None:
    counts = tree["entry/data/counts"][:-100]
    del tree["entry/data/counts"]
    tree["entry/data/counts"] = counts
    tree["entry/data/counts"].attrs["units"] = "counts"


def _set(path, value):
    def change(tree) -> None:
        units = dict(tree[path].attrs)
        del tree[path]
        tree[path] = value
        for key, unit in units.items():
            tree[path].attrs[key] = unit

    return change


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(lambda: b"", "empty", id="empty"),
        pytest.param(lambda: b"frequency/Hz,Z\n1,2\n", "HDF5", id="another format"),
        pytest.param(lambda: file()[:30000], "truncated", id="cut anywhere"),
        pytest.param(lambda: edited(_cut), "truncated", id="cut between points"),
        pytest.param(lambda: edited(_set("entry/technique", "Raman spectroscopy")), "Raman", id="wrong technique"),
        pytest.param(
            lambda: edited(lambda t: t.pop("entry/instrument/calibration/zero")), "missing", id="no calibration"
        ),
        pytest.param(
            lambda: edited(lambda t: t["entry/data/two_theta"].attrs.modify("units", "rad")), "'rad'", id="unit"
        ),
        pytest.param(lambda: file(device=replace(DEVICE, saturation=8000)), "saturated", id="saturated"),
        pytest.param(lambda: file(device=replace(DEVICE, counts=5.0)), "no reflection", id="no reflections"),
        pytest.param(lambda: file(device=replace(DEVICE, high=30.0, step=0.02)), "range", id="short"),
        pytest.param(lambda: edited(_set("entry/data/counts", np.full(3251, 0.5))), "whole numbers", id="scaled"),
    ],
)
def test_what_is_no_good_pattern_is_refused(data, said: str) -> None:
    with pytest.raises(AnalysisError, match=said):
        PHASE_FRACTION.analyse(given(data()))


def test_cells_are_the_published_ones() -> None:
    """Contents of the cells and densities (X-ray densities 5.1 and 6.0 g/cm³ in the literature)."""
    found = {n: c.structure() for n, c in CRYSTALS.items()}
    assert found["pyrochlore"].composition.reduced_formula == "La2Zr2O7"
    assert found["tetragonal garnet"].composition.reduced_formula == "Li7La3Zr2O12"
    assert float(found["cubic garnet"].composition["La"]) == 24
    assert float(found["cubic garnet"].density) == pytest.approx(5.1, abs=0.05)
    assert float(found["pyrochlore"].density) == pytest.approx(6.03, abs=0.05)
