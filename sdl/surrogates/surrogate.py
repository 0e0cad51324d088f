"""What a surrogate is: a named, versioned, pure function from points to predictions with uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sdl.driver import FieldSpec

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a surrogate says of n points.

    Attributes:
        mean: shape (n, outputs), each column in its output's unit.
        uncertainty: standard uncertainties, shape (n, outputs), differences in the same units.
    """

    mean: Array
    uncertainty: Array


class Surrogate(Protocol):
    """A model of outcomes; pure and picklable, so that the engine can hand it to a planner's worker.

    Attributes:
        name: the same for all versions.
        version: from 1.
        digest: SHA-256 over everything that its predictions follow from.
        inputs: the columns of the points that it takes, with units and limits.
        outputs: the columns of its predictions, with units.
        cost: typical seconds for one point.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def inputs(self) -> tuple[FieldSpec, ...]: ...  # noqa: D102
    @property
    def outputs(self) -> tuple[FieldSpec, ...]: ...  # noqa: D102
    @property
    def cost(self) -> float: ...  # noqa: D102

    def predict(self, points: Array) -> Prediction:
        """Predict the outputs at points, shape (n, inputs), each column in its input's unit.

        Raises:
            LimitError: a point lies outside the limits of an input; nothing is extrapolated in silence.
        """
        ...
