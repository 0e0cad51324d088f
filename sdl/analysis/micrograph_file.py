"""A micrograph as a file: TIFF with its metadata as JSON in the tag ImageDescription, or HDF5 after NXdata."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.analysis import hdf5
from sdl.analysis.base import AnalysisInput
from sdl.analysis.crystals import EXTRA
from sdl.errors import AnalysisError, InputError, UnitError
from sdl.units import read_quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TECHNIQUE = "scanning electron microscopy"
"""What the file's `technique` must say."""

TIFF = "image/tiff"
"""Media type of a TIFF image."""

MEDIA_TYPES = (TIFF, *hdf5.MEDIA_TYPES)
"""Media types of a micrograph."""

SMALLEST_IMAGE = 200
"""Pixels along an edge below which there is too little to see."""

SATURATED = 0.005
"""Share of pixels at either end of the grey scale above which the image is refused: areas are lost there."""


@dataclass(frozen=True, eq=False)
class Micrograph:
    """A micrograph with its scale.

    Attributes:
        grey: 0 to 1 of the detector's range, shape (height, width).
        pixel: edge of a pixel, µm.
        pixel_uncertainty: standard uncertainty, µm.
        dark: grey value of no signal, 0 to 1.
        simulated: whether the file says that it was simulated.
    """

    grey: Floats
    pixel: float
    pixel_uncertainty: float
    dark: float
    simulated: bool


@dataclass(frozen=True, eq=False)
class _Raw:
    """What a file holds, whatever its format, before it is checked.

    Attributes:
        pixels: grey values, shape (height, width) where it is a micrograph.
        announced: height and width that the file announces.
        saturation: grey value at which the detector saturates.
        dark: grey value of no signal, as the file says it.
        pixel: edge of a pixel, µm.
        pixel_uncertainty: standard uncertainty, µm.
        simulated: whether the file says that it was simulated.
    """

    pixels: NDArray[Any]
    announced: tuple[object, object]
    saturation: float
    dark: object
    pixel: float
    pixel_uncertainty: float
    simulated: bool


def read_micrograph(file: AnalysisInput) -> Micrograph:
    """Read a micrograph of one grey channel, as TIFF or HDF5 by its media type.

    Raises:
        AnalysisError: not of its format, truncated, or of several channels; another technique; no scale; empty, flat or
            saturated.
        InputError: tifffile (part of scikit-image) or h5py is not installed.
    """
    tiff = file.media_type.split(";")[0].strip() == TIFF
    return _checked(file.name, _from_tiff(file) if tiff else _from_hdf5(file))


def _from_tiff(file: AnalysisInput) -> _Raw:
    try:
        import tifffile
    except ImportError as error:
        raise InputError(f"reading micrographs needs scikit-image: {EXTRA}") from error
    if not file.data:
        raise AnalysisError(f"{file.name}: the file is empty")
    try:
        with tifffile.TiffFile(io.BytesIO(file.data)) as tree:
            page: Any = tree.pages[0]
            description = page.tags["ImageDescription"].value if "ImageDescription" in page.tags else ""
            pixels = np.asarray(page.asarray())
    except Exception as error:  # tifffile raises errors of many kinds on damaged files
        raise AnalysisError(f"{file.name}: not a readable TIFF image, or truncated: {error}") from error
    head = _head(file.name, str(description))
    top = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else float("nan")
    saturation = head.get("saturation_value", top)
    if isinstance(saturation, bool) or not isinstance(saturation, int | float):
        raise AnalysisError(f"{file.name}: the header gives no saturation value, but {saturation!r}")
    return _Raw(
        pixels=pixels,
        announced=(head.get("height"), head.get("width")),
        saturation=float(saturation),
        dark=head.get("dark_level"),
        pixel=_micrometre(file.name, head, "pixel_size"),
        pixel_uncertainty=_micrometre(file.name, head, "pixel_size_uncertainty"),
        simulated=head.get("simulated") is True,
    )


def _from_hdf5(file: AnalysisInput) -> _Raw:
    with hdf5.open_tree(file, "micrograph") as tree:
        tree.require_technique(TECHNIQUE)
        return _Raw(
            pixels=np.asarray(tree.member("entry/data/image", "grey")),
            announced=(tree.whole("entry/data", "height"), tree.whole("entry/data", "width")),
            saturation=tree.number("entry/instrument/detector/saturation_value", "grey"),
            dark=tree.number("entry/instrument/detector/dark_level", "grey"),
            pixel=tree.number("entry/instrument/calibration/pixel_size", "um"),
            pixel_uncertainty=tree.number("entry/instrument/calibration/pixel_size_uncertainty", "um"),
            simulated=tree.truth("entry/simulated"),
        )


def _checked(name: str, raw: _Raw) -> Micrograph:
    pixels = raw.pixels
    if pixels.size == 0:
        raise AnalysisError(f"{name}: the image is empty: it has no pixel")
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise AnalysisError(
            f"{name}: a micrograph has one grey channel of 8 or 16 bits, this is {pixels.dtype} {pixels.shape}"
        )
    if raw.announced != pixels.shape:
        raise AnalysisError(
            f"{name}: truncated: the header announces {raw.announced[0]} × {raw.announced[1]} pixels, there are "
            f"{pixels.shape[0]} × {pixels.shape[1]}"
        )
    if min(len(pixels), len(pixels[0])) < SMALLEST_IMAGE:
        raise AnalysisError(f"{name}: {pixels.shape} pixels are too few, at least {SMALLEST_IMAGE} each way are needed")
    top = float(np.iinfo(pixels.dtype).max)
    if bool((pixels == pixels.flat[0]).all()):
        raise AnalysisError(f"{name}: the image is empty: every pixel is {pixels.flat[0]}")
    if not 0 < raw.saturation <= top:
        raise AnalysisError(f"{name}: the saturation value must be above 0 and at most {top:g}, not {raw.saturation:g}")
    for lost, what in ((pixels == 0, "black"), (pixels >= raw.saturation, "white")):
        share = float(lost.mean())
        if share > SATURATED:
            raise AnalysisError(
                f"{name}: saturated: {share:.1%} of the pixels are {what}, at most {SATURATED:.1%} may be"
            )
    dark = raw.dark
    if isinstance(dark, bool) or not isinstance(dark, int | float) or not 0 <= dark < raw.saturation:
        raise AnalysisError(f"{name}: the header gives no dark level between 0 and {raw.saturation:g}, but {dark!r}")
    if not (
        np.isfinite(raw.pixel) and raw.pixel > 0 and np.isfinite(raw.pixel_uncertainty) and raw.pixel_uncertainty >= 0
    ):
        raise AnalysisError(
            f"{name}: the edge of a pixel must be above 0 um and its uncertainty at least 0 um, the file says "
            f"{raw.pixel:g} ± {raw.pixel_uncertainty:g} um"
        )
    return Micrograph(
        grey=pixels.astype(np.float64) / top,
        pixel=raw.pixel,
        pixel_uncertainty=raw.pixel_uncertainty,
        dark=float(dark) / top,
        simulated=raw.simulated,
    )


def _head(name: str, description: str) -> Mapping[str, Any]:
    try:
        head = json.loads(description)
    except ValueError:
        head = None
    if not isinstance(head, dict):
        raise AnalysisError(f"{name}: the image has no metadata (JSON in ImageDescription)")
    if head.get("technique") != TECHNIQUE:
        raise AnalysisError(f"{name}: the file says technique '{head.get('technique')}', expected '{TECHNIQUE}'")
    return head


def _micrometre(name: str, head: Mapping[str, Any], key: str) -> float:
    said = head.get(key)
    try:
        if not isinstance(said, dict):
            raise UnitError("it is missing")
        return read_quantity(f"{float(said['value'])!r} {said['unit']}").to("um")
    except (UnitError, KeyError, TypeError, ValueError) as error:
        raise AnalysisError(f"{name}: '{key}' is no length with unit, so that there is no scale: {error}") from error
