"""Crystal structures of the phases that garnet electrolytes are made of, and their X-ray reflections.

The cards are published structures (source with each). Both origins of a space group occur in the literature; the sites are
written as published and `shift` leads to the origin that pymatgen's tables use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    Floats = NDArray[np.float64]

DISPLACEMENT = {"Li": 1.2, "La": 0.6, "Zr": 0.4, "O": 0.8}
"""Isotropic displacement parameters B, Å². Chosen: of the order that refinements of these oxides find at 25 °C."""

EXTRA = "pip install 'sdl[characterization]'"
"""What a user has to do where a library is missing."""


@dataclass(frozen=True)
class Site:
    """An atomic site of the asymmetric unit.

    Attributes:
        element: symbol.
        position: fractional coordinates as published.
        occupancy: share of the site that is occupied.
    """

    element: str
    position: tuple[float, float, float]
    occupancy: float = 1.0


@dataclass(frozen=True)
class Crystal:
    """A crystalline phase.

    Attributes:
        name: short name.
        formula: of one formula unit.
        space_group: Hermann-Mauguin symbol.
        a: lattice parameter a, Å.
        c: lattice parameter c, Å; equal to a where cubic.
        sites: the asymmetric unit.
        shift: added to the published positions to reach pymatgen's origin.
        source: where the structure was published.
    """

    name: str
    formula: str
    space_group: str
    a: float
    c: float
    sites: tuple[Site, ...]
    shift: tuple[float, float, float]
    source: str

    @property
    def cubic(self) -> bool:
        """Whether all three axes are alike."""
        return self.a == self.c

    @property
    def volume(self) -> float:
        """Volume of the unit cell, Å³."""
        return self.a * self.a * self.c

    def structure(self, scale: float = 1.0) -> Structure:
        """Return the unit cell as pymatgen has it, all axes multiplied by `scale`.

        Raises:
            InputError: pymatgen is not installed.
        """
        try:
            from pymatgen.core.composition import Composition
            from pymatgen.core.lattice import Lattice
            from pymatgen.core.structure import Structure
        except ImportError as error:
            raise InputError(f"powder diffraction needs pymatgen: {EXTRA}") from error
        return Structure.from_spacegroup(
            self.space_group,
            Lattice.tetragonal(scale * self.a, scale * self.c),
            [Composition({s.element: s.occupancy}) for s in self.sites],
            [tuple(float(x) for x in np.add(s.position, self.shift)) for s in self.sites],
        )


CUBIC_GARNET = Crystal(
    name="cubic garnet",
    formula="Li7La3Zr2O12",
    space_group="Ia-3d",
    a=12.9827,
    c=12.9827,
    sites=(
        Site("Li", (0.375, 0.0, 0.25), 0.94),
        Site("Li", (0.0970, 0.6853, 0.5777), 0.349),
        Site("La", (0.125, 0.0, 0.25)),
        Site("Zr", (0.0, 0.0, 0.0)),
        Site("O", (0.1003, 0.1950, 0.2811)),
    ),
    shift=(0.0, 0.0, 0.0),
    source="J. Awaka et al., Chem. Lett. 40, 60 (2011), doi 10.1246/cl.2011.60; oxygen rounded to four digits (La-O 2.51 and "
    "2.58, Zr-O 2.11 Å); sites within 0.05 Å of a published model of the same framework (a 12.9727 Å, oxygen 0.1006, 0.1955, "
    "0.2816)",
)

TETRAGONAL_GARNET = Crystal(
    name="tetragonal garnet",
    formula="Li7La3Zr2O12",
    space_group="I4_1/acd",
    a=13.134,
    c=12.663,
    sites=(
        Site("Li", (0.0, 0.25, 0.375)),
        Site("Li", (0.1813, 0.4313, 0.125)),
        Site("Li", (0.0797, 0.0866, 0.8055)),
        Site("La", (0.0, 0.25, 0.125)),
        Site("La", (0.1270, 0.0, 0.25)),
        Site("Zr", (0.0, 0.0, 0.0)),
        Site("O", (-0.0335, 0.0546, 0.1529)),
        Site("O", (0.0543, 0.8523, 0.5338)),
        Site("O", (0.1495, 0.0282, 0.4473)),
    ),
    shift=(0.0, -0.25, 0.125),
    source="J. Awaka et al., J. Solid State Chem. 182, 2046 (2009), doi 10.1016/j.jssc.2009.05.020, origin choice 2; sites "
    "within 0.03 Å of the structure calculated for Materials Project mp-942733",
)

PYROCHLORE = Crystal(
    name="pyrochlore",
    formula="La2Zr2O7",
    space_group="Fd-3m",
    a=10.805,
    c=10.805,
    sites=(
        Site("La", (0.5, 0.5, 0.5)),
        Site("Zr", (0.0, 0.0, 0.0)),
        Site("O", (0.3327, 0.125, 0.125)),
        Site("O", (0.375, 0.375, 0.375)),
    ),
    shift=(0.125, 0.125, 0.125),
    source="pyrochlore type, origin choice 2; cell and oxygen after Y. Tabira et al., Z. Kristallogr. 216, 92 (2001), rounded; "
    "a calculated oxygen parameter is 0.3314 (example data of the library Euphonic), 0.014 Å away",
)

CRYSTALS = {c.name: c for c in (CUBIC_GARNET, TETRAGONAL_GARNET, PYROCHLORE)}
"""The phases that are known here."""


@dataclass(frozen=True, eq=False)
class Reflections:
    """Lines of a phase for one wavelength.

    Attributes:
        d: spacings, Å, descending, shape (n,).
        intensity: Σ m |F|² times Lorentz-polarisation factor, per unit cell, electrons², shape (n,).
        families: by line, the (h, k, l) with multiplicity that share it.
    """

    d: Floats
    intensity: Floats
    families: tuple[tuple[tuple[tuple[int, int, int], int], ...], ...]


@lru_cache(maxsize=256)
def reflections(crystal: Crystal, wavelength: float, low: float, high: float, scale: float = 1.0) -> Reflections:
    """Return the lines of a phase between two angles 2θ, by pymatgen's XRDCalculator.

    Args:
        crystal: the phase.
        wavelength: Å.
        low: smallest 2θ, degrees.
        high: largest 2θ, degrees.
        scale: factor on all axes of the cell.

    Raises:
        InputError: pymatgen is not installed.
    """
    structure = crystal.structure(scale)
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    calculator = XRDCalculator(wavelength, debye_waller_factors=DISPLACEMENT)
    pattern = calculator.get_pattern(structure, scaled=False, two_theta_range=(low, high))
    families = tuple(
        tuple((tuple(int(i) for i in f["hkl"][-3:]), int(f["multiplicity"])) for f in line) for line in pattern.hkls
    )
    return Reflections(
        d=np.asarray(pattern.d_hkls, dtype=np.float64),
        intensity=np.asarray(pattern.y, dtype=np.float64),
        families=families,  # type: ignore[arg-type]  # the tuples have three members each
    )


@lru_cache(maxsize=256)
def per_weight(crystal: Crystal, scale: float = 1.0) -> float:
    """Return by what a phase's weight fraction is multiplied to give the factor on its |F|² intensities, 10⁻⁴ mol/(g Å³).

    A weight fraction w fills the share w/ρ of the volume with cells of volume V, and each scatters with |F|²/V; so the
    factor is w/(ρ V²) = w/(Z M V) (R. J. Hill, C. J. Howard, J. Appl. Cryst. 20, 467 (1987)).
    """
    return 1e4 / (float(crystal.structure().composition.weight) * crystal.volume * scale**3)


@dataclass(frozen=True, eq=False)
class TextureAngles:
    """Equivalent planes of all lines, one line after another.

    Attributes:
        cosines: cos² of the angle between a plane's normal and the texture's axis [001], shape (planes,).
        weights: of the planes; those of a line add up to 1, shape (planes,).
        begins: where each line's planes begin, shape (lines,).
    """

    cosines: Floats
    weights: Floats
    begins: NDArray[np.intp]


def texture_angles(crystal: Crystal, lines: Reflections) -> TextureAngles:
    """Return, by line, cos² of the angles between its planes' normals and the texture's axis [001], and their weights.

    The planes equivalent by symmetry to (h, k, l): all permutations and signs where cubic, the exchange of h and k where
    tetragonal. Families that share a line by chance (such as 611 and 532) are weighted by multiplicity.
    """
    result = []
    ratio = crystal.a / crystal.c
    for families in lines.families:
        cosines: list[float] = []
        weights: list[float] = []
        for (h, k, ell), multiplicity in families:
            alike = set(permutations((abs(h), abs(k), abs(ell)))) if crystal.cubic else {(h, k, ell), (k, h, ell)}
            for p, q, r in alike:
                along = (r * ratio) ** 2
                cosines.append(along / (p * p + q * q + along))
                weights.append(multiplicity / len(alike))
        result.append((np.array(cosines), np.array(weights) / sum(weights)))
    sizes = [len(c) for c, _ in result]
    return TextureAngles(
        np.concatenate([c for c, _ in result]),
        np.concatenate([w for _, w in result]),
        np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp),
    )


def march_dollase(angles: TextureAngles, r: float) -> Floats:
    """Return the factors on the lines' intensities for preferred orientation, shape (lines,).

    P = ⟨(r² cos²α + sin²α / r)^(−3/2)⟩ over equivalent planes; r = 1 without texture, below 1 where platelets lie flat
    (W. A. Dollase, J. Appl. Cryst. 19, 267 (1986)).
    """
    c = angles.cosines
    planes = angles.weights * (r * r * c + (1.0 - c) / r) ** -1.5
    return np.asarray(np.add.reduceat(planes, angles.begins), dtype=np.float64)
