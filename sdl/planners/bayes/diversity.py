"""How many different candidates a batch really holds: its Vendi score.

The exponential of the entropy of the eigenvalues of K/n, K being the similarities of n candidates (Friedman and Dieng, "The Vendi
Score: A Diversity Evaluation Metric for Machine Learning", TMLR 2023): n where all are unlike, 1 where all are alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.planners.base import Json
    from sdl.planners.bayes.data import FeatureMap

    Array = NDArray[np.float64]

REACH = 0.2
"""Length of the kernel in features per √d: half the mean distance of two points of the unit cube of d dimensions, √(d/6)."""


def vendi_score(similarities: Array) -> float:
    """Return the Vendi score of n things from their similarities, shape (n, n), a kernel matrix with 1 on its diagonal.

    Raises:
        ValueError: no thing at all.
    """
    if not len(similarities):
        raise ValueError("the Vendi score of nothing is not defined")
    shares = np.linalg.eigvalsh(similarities / len(similarities))
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def similarities(features: Array, dimensions: int) -> Array:
    """Return Gaussian similarities exp(−r²/2l²) of points, shape (n, f), as shape (n, n); l = `REACH`·√dimensions."""
    squares = ((features[:, None, :] - features[None, :, :]) ** 2).sum(axis=2)
    result: Array = np.exp(-0.5 * squares / (REACH**2 * dimensions))
    return result


def diversity_of(features: FeatureMap, codes: Array) -> Json:
    """Return what diagnostics say of the diversity of a batch, shape (n, d), n ≥ 1.

    The kernel does not depend on what a model has learned, so scores of different rounds can be compared.
    """
    d = len(features.space.names)
    score = vendi_score(similarities(features(codes), d))
    return {
        "vendi_score": round(score, 6),
        "candidates": len(codes),
        "kernel": f"Gaussian over scaled parameters, length {REACH * math.sqrt(d):.4g} ({REACH:g} times the root of {d})",
    }
