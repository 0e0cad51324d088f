"""Versioned models behind gates: what may stand in for a measurement, once it has shown on held-out data that it can."""

from sdl.surrogates.gates import Gate, GateResult, HeldOut, evaluate_gates, require_passed
from sdl.surrogates.polynomial import PolynomialSurrogate
from sdl.surrogates.record import record_version
from sdl.surrogates.surrogate import Prediction, Surrogate

__all__ = [
    "Gate",
    "GateResult",
    "HeldOut",
    "PolynomialSurrogate",
    "Prediction",
    "Surrogate",
    "evaluate_gates",
    "record_version",
    "require_passed",
]
