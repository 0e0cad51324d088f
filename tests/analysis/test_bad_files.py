"""Every kind of raw data with every defect before every analysis: refused with a reason, never fitted in silence."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from sdl.analysis import AnalysisInput, DetailedAnalysis, analysis_names, get_analysis
from sdl.errors import AnalysisError

h5py = pytest.importorskip("h5py")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("pymatgen")

from sdl_instruments.ceramics.spectrum import Geometry, spectrum_csv  # noqa: E402
from sdl_instruments.rawdata.diffraction import Diffractometer, PhaseTruth, pattern_file, powder_pattern  # noqa: E402
from sdl_instruments.rawdata.micrograph import (  # noqa: E402
    Microscope,
    Section,
    micrograph,
    micrograph_file,
    micrograph_hdf5,
)

from sdl.analysis.crystals import CUBIC_GARNET, PYROCHLORE  # noqa: E402
from sdl.analysis.impedance import circuit  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

CSV, HDF5, TIFF = "text/csv", "application/x-hdf5", "image/tiff"
READS = {
    "bulk_conductivity": {"spectrum"},
    "phase_fraction": {"pattern"},
    "phase_content": {"pattern"},
    "microstructure": {"image", "image in hdf5"},
}
"""Analysis → kinds of file that it reads."""

MEDIA = {"spectrum": CSV, "pattern": HDF5, "image": TIFF, "image in hdf5": HDF5}


def _spectrum(largest: float = 1e9) -> bytes:
    frequency = np.geomspace(1e7, 0.02, 70)
    p = np.array([np.log(0.7), np.log(0.3), np.log(3e-9), np.log(2e-6), 0.96, 0.9, np.log(1e3), 0.88, 1.25])
    z = 800.0 * circuit(p, 2 * np.pi * frequency)
    draws = np.random.default_rng(0).normal(size=(2, 70))
    z = z + 0.008 * np.abs(z) * (draws[0] + 1j * draws[1])
    z *= np.minimum(1.0, largest / np.abs(z))
    text = spectrum_csv(frequency, z, Geometry(0.4, 0.002, 0.8, 0.01), sample="s1", instrument="impedance")
    return text.replace("largest_impedance: 1000000000.0 ohm", f"largest_impedance: {largest!r} ohm").encode()


def _pattern(**changes: object) -> bytes:
    device = replace(Diffractometer(), **changes)
    phases = (PhaseTruth(CUBIC_GARNET, 0.8), PhaseTruth(PYROCHLORE, 0.2))
    return pattern_file(powder_pattern(phases, np.random.default_rng(0), device), device, sample="s1", instrument="xrd")


def _image(write: Callable[..., bytes], **changes: object) -> bytes:
    device = replace(Microscope(width=400, height=400), **changes)
    pixels = micrograph(Section(0.08, 2.5), np.random.default_rng(0), device)
    return write(pixels, device, sample="s1", instrument="sem")


def _other_technique(data: bytes, media: str) -> bytes:
    if media == CSV:
        return data.replace(b"impedance spectroscopy", b"cyclic voltammetry")
    if media == TIFF:
        with tifffile.TiffFile(io.BytesIO(data)) as tree:
            head, pixels = json.loads(tree.pages[0].tags["ImageDescription"].value), tree.pages[0].asarray()
        buffer = io.BytesIO()
        head["technique"] = "optical microscopy"
        tifffile.imwrite(buffer, pixels, description=json.dumps(head), metadata=None)
        return buffer.getvalue()
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as tree:
        del tree["entry/technique"]
        tree["entry/technique"] = "Raman spectroscopy"
    return buffer.getvalue()


GOOD: Mapping[str, Callable[[], bytes]] = {
    "spectrum": _spectrum,
    "pattern": _pattern,
    "image": lambda: _image(micrograph_file),
    "image in hdf5": lambda: _image(micrograph_hdf5),
}

SATURATED: Mapping[str, Callable[[], bytes]] = {
    "spectrum": lambda: _spectrum(largest=2e5),
    "pattern": lambda: _pattern(saturation=8000),
    "image": lambda: _image(micrograph_file, gain=1.6),
    "image in hdf5": lambda: _image(micrograph_hdf5, gain=1.6),
}

BLANK: Mapping[str, Callable[[], bytes]] = {
    "spectrum": lambda: b"".join(_spectrum().splitlines(keepends=True)[:-70]).replace(b"points: 70", b"points: 0"),
    "pattern": lambda: _pattern(counts=0.0),
    "image": lambda: _image(micrograph_file, gain=0.0, noise=0.0),
    "image in hdf5": lambda: _image(micrograph_hdf5, gain=0.0, noise=0.0),
}

DEFECTS: Mapping[str, tuple[Callable[[str], bytes], str]] = {
    "nothing in it": (lambda kind: b"", "empty"),
    "cut in the middle": (lambda kind: GOOD[kind]()[: len(GOOD[kind]()) // 2], "truncated|cells|three numbers"),
    "last byte missing": (lambda kind: GOOD[kind]()[:-1], "truncated"),
    "saturated": (lambda kind: SATURATED[kind](), "saturated"),
    "nothing measured": (lambda kind: BLANK[kind](), "too few|no reflection|empty"),
    "another technique": (lambda kind: _other_technique(GOOD[kind](), MEDIA[kind]), "technique"),
    "noise": (lambda kind: np.random.default_rng(3).bytes(5000), "not a|not readable"),
    "zeros": (lambda kind: bytes(5000), "not a|technique"),
}

KINDS = [(analysis, kind) for analysis, kinds in READS.items() for kind in sorted(kinds)]


def given(data: bytes, media: str) -> tuple[AnalysisInput, ...]:
    return (AnalysisInput("file", media, data),)


def test_all_analyses_are_tried() -> None:
    assert set(READS) == set(analysis_names())


@pytest.mark.parametrize(("analysis", "kind"), KINDS)
def test_a_good_file_gives_value_uncertainty_interval_and_figure(analysis: str, kind: str) -> None:
    examined = get_analysis(analysis)
    assert isinstance(examined, DetailedAnalysis)
    result = examined.examine(given(GOOD[kind](), MEDIA[kind]))
    fields = {f.name for f in examined.gives}
    assert set(result.estimates) == set(result.intervals) == fields
    for name, estimate in result.estimates.items():
        assert np.isfinite(estimate.value)
        assert estimate.uncertainty is not None
        assert estimate.uncertainty > 0
        interval = result.intervals[name]
        assert interval.lower < estimate.value < interval.upper
        assert interval.upper - interval.lower >= 2 * 1.9599 * estimate.uncertainty
    assert result.figure.series
    assert all(len(s.x) for s in result.figure.series)
    assert result.flags == ()


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize(("analysis", "kind"), KINDS)
def test_a_defect_is_refused_with_its_name(analysis: str, kind: str, defect: str) -> None:
    make, said = DEFECTS[defect]
    with pytest.raises(AnalysisError, match=said) as refused:
        get_analysis(analysis).analyse(given(make(kind), MEDIA[kind]))
    assert str(refused.value).startswith("file")  # which one it is


@pytest.mark.parametrize("kind", MEDIA)
@pytest.mark.parametrize("analysis", READS)
def test_another_kind_of_file_is_refused(analysis: str, kind: str) -> None:
    if kind in READS[analysis]:
        return
    with pytest.raises(AnalysisError):
        get_analysis(analysis).analyse(given(GOOD[kind](), MEDIA[kind]))
    for wanted in {MEDIA[k] for k in READS[analysis]}:  # mislabelled, too
        with pytest.raises(AnalysisError):
            get_analysis(analysis).analyse(given(GOOD[kind](), wanted))


@pytest.mark.parametrize(("analysis", "kind"), KINDS)
def test_damage_anywhere_never_ends_in_another_error(analysis: str, kind: str) -> None:
    """Bytes changed at random: the file is refused, or read where only data changed; nothing else is raised."""
    from sdl.analysis.micrograph_file import read_micrograph
    from sdl.analysis.pattern_file import read_pattern
    from sdl.analysis.spectrum_file import read_spectrum

    read = {"spectrum": read_spectrum, "pattern": read_pattern}.get(kind, read_micrograph)
    data, rng = GOOD[kind](), np.random.default_rng(1)
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.integers(min(len(data), 8000), size=3):
            damaged[place] = rng.integers(256)
        try:
            read(AnalysisInput("file", MEDIA[kind], bytes(damaged)))
        except AnalysisError:
            refused += 1
    assert refused > 0
