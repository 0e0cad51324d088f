"""A polynomial by ridge regression: small, exact to reproduce, and honest about its uncertainty."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from sdl.errors import InputError, LimitError
from sdl.surrogates.surrogate import Prediction

if TYPE_CHECKING:
    from sdl.driver import FieldSpec
    from sdl.surrogates.surrogate import Array


@dataclass(frozen=True, eq=False)
class PolynomialSurrogate:
    """A polynomial of several inputs, fitted by ridge least squares (Hoerl and Kennard, Technometrics 12, 55 (1970)).

    The uncertainty of a prediction is that of a new measurement: residual variance · (1 + leverage), where the residual
    variance is taken with n − tr(H) degrees of freedom.

    Attributes:
        name, version, inputs, outputs, cost: see `Surrogate`.
        data: SHA-256 of the data that it was fitted to.
        degree: of the polynomial.
        ridge: penalty on the coefficients of the scaled inputs; the constant is free.
        centre, width: shape (inputs,); inputs are scaled to (x − centre)/width.
        coefficients: shape (terms, outputs).
        inverse: (ΦᵀΦ + ridge)⁻¹, shape (terms, terms).
        variance: residual variances, shape (outputs,).
    """

    name: str
    version: int
    inputs: tuple[FieldSpec, ...]
    outputs: tuple[FieldSpec, ...]
    cost: float
    data: str
    degree: int
    ridge: float
    centre: Array
    width: Array
    coefficients: Array
    inverse: Array
    variance: Array

    @classmethod
    def fit(
        cls,
        name: str,
        version: int,
        inputs: Sequence[FieldSpec],
        outputs: Sequence[FieldSpec],
        points: Array,
        values: Array,
        *,
        degree: int = 2,
        ridge: float = 1e-6,
        cost: float = 0.0,
    ) -> PolynomialSurrogate:
        """Fit to measured values, shape (n, outputs), at points, shape (n, inputs).

        Raises:
            InputError: shapes that do not fit, numbers that are not finite, or fewer points than terms + 1.
        """
        x, y = np.asarray(points, dtype=np.float64), np.asarray(values, dtype=np.float64)
        if x.ndim != 2 or y.shape != (len(x), len(outputs)) or x.shape[1] != len(inputs):
            raise InputError(
                f"surrogate '{name}': points {x.shape} and values {y.shape} do not fit its inputs and outputs"
            )
        if not np.isfinite(x).all() or not np.isfinite(y).all():
            raise InputError(f"surrogate '{name}': the data hold numbers that are not finite")
        terms = len(_exponents(len(inputs), degree))
        if version < 1 or degree < 1 or not ridge > 0 or len(x) <= terms:
            raise InputError(
                f"surrogate '{name}': version and degree are at least 1, ridge is above 0, and degree {degree} in "
                f"{len(inputs)} inputs needs more than {terms} points, got {len(x)}"
            )
        centre, half = (x.max(axis=0) + x.min(axis=0)) / 2, np.ptp(x, axis=0) / 2
        width = np.where(half > 0, half, 1.0)
        phi = _terms((x - centre) / width, degree)
        penalty = ridge * np.eye(terms)
        penalty[0, 0] = 0.0
        inverse = np.asarray(np.linalg.inv(phi.T @ phi + penalty), dtype=np.float64)
        coefficients = inverse @ phi.T @ y
        freedom = len(x) - float(np.trace(phi @ inverse @ phi.T))
        variance = ((y - phi @ coefficients) ** 2).sum(axis=0) / freedom
        data = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
        return cls(
            name, version, tuple(inputs), tuple(outputs), cost, data, degree, ridge, centre, width, coefficients, inverse,
            variance,
        )  # fmt: skip

    @cached_property
    def digest(self) -> str:
        """SHA-256 over inputs, outputs, data, settings and every fitted number."""
        words = [self.name, self.data, self.degree, self.ridge, *(asdict(f) for f in (*self.inputs, *self.outputs))]
        found = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
        for array in (self.centre, self.width, self.coefficients, self.inverse, self.variance):
            found.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return found.hexdigest()

    def predict(self, points: Array) -> Prediction:
        """Predict the outputs at points, shape (n, inputs); see `Surrogate.predict`."""
        x = np.asarray(points, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.inputs):
            raise LimitError(f"surrogate '{self.name}' takes points of shape (n, {len(self.inputs)}), got {x.shape}")
        for spec, column in zip(self.inputs, x.T, strict=True):
            wrong = np.flatnonzero(~((column >= spec.lower) & (column <= spec.upper) & np.isfinite(column)))
            if wrong.size:
                raise LimitError(f"surrogate '{self.name}', {spec.name}: {spec.problem(float(column[wrong[0]]))}")
        phi = _terms((x - self.centre) / self.width, self.degree)
        leverage = np.einsum("ij,jk,ik->i", phi, self.inverse, phi)
        return Prediction(phi @ self.coefficients, np.sqrt((1.0 + leverage)[:, None] * self.variance))


def _exponents(inputs: int, degree: int) -> list[tuple[int, ...]]:
    """Return the inputs that each term multiplies, the constant first."""
    return [chosen for d in range(degree + 1) for chosen in combinations_with_replacement(range(inputs), d)]


def _terms(x: Array, degree: int) -> Array:
    """Return all products of up to `degree` scaled inputs, shape (n, terms)."""
    columns = [x[:, list(chosen)].prod(axis=1) for chosen in _exponents(x.shape[1], degree)]
    return np.stack(columns, axis=1)
