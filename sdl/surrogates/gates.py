"""Gates: what a version must show on data that it has not seen before it may be used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sdl.errors import GateError, InputError, listed

if TYPE_CHECKING:
    from sdl.surrogates.surrogate import Array, Surrogate

Metric = Literal["rmse", "mae", "coverage95"]

_TWO_SIDED_95 = 1.959963984540054
"""Half-width of the 95 % interval of a normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Gate:
    """One demand on one outcome.

    Attributes:
        name: for the record.
        outcome: an output of the surrogate.
        metric: `rmse` or `mae` (in the outcome's unit, at most the limit), or `coverage95`: the share of held-out values
            that lie within the stated 95 % interval (at least the limit).
        limit: the number to keep.
    """

    name: str
    outcome: str
    metric: Metric
    limit: float

    def __post_init__(self) -> None:
        if self.metric not in {"rmse", "mae", "coverage95"}:
            raise InputError(
                f"gate '{self.name}': unknown metric '{self.metric}'; there are 'rmse', 'mae', 'coverage95'"
            )
        if not math.isfinite(self.limit) or self.limit < 0 or (self.metric == "coverage95" and self.limit > 1):
            raise InputError(f"gate '{self.name}': {self.limit!r} cannot be a limit of {self.metric}")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Data that the surrogate has not seen: points, shape (n, inputs), and per outcome its values, shape (n,)."""

    points: Array
    outcomes: Mapping[str, Array]


@dataclass(frozen=True)
class GateResult:
    """How a version did at a gate.

    Attributes:
        gate: what was asked.
        value: the metric's value, NaN where the surrogate gave no finite prediction.
        points: how many held-out values it was computed from.
    """

    gate: Gate
    value: float
    points: int

    @property
    def passed(self) -> bool:
        """Whether the limit was kept; NaN never keeps it."""
        return self.value >= self.gate.limit if self.gate.metric == "coverage95" else self.value <= self.gate.limit

    def figures(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        gate = self.gate
        return {
            "passed": self.passed,
            "outcome": gate.outcome,
            "metric": gate.metric,
            "value": self.value if math.isfinite(self.value) else None,
            "limit": gate.limit,
            "points": self.points,
        }

    def __str__(self) -> str:
        sign = "≥" if self.gate.metric == "coverage95" else "≤"
        asked = f"{self.gate.metric} of '{self.gate.outcome}' {sign} {self.gate.limit:g}"
        return f"{self.gate.name}: {asked}, found {self.value:.4g} on {self.points} held-out points"


def evaluate_gates(surrogate: Surrogate, held_out: HeldOut, gates: Sequence[Gate]) -> tuple[GateResult, ...]:
    """Compare a surrogate with data that it has not seen.

    Raises:
        InputError: no gates or no data (which would let anything pass), two gates of one name, or a gate on an outcome
            that the surrogate or the data do not have.
    """
    outputs = [o.name for o in surrogate.outputs]
    if not gates or not len(held_out.points):
        raise InputError(f"surrogate '{surrogate.name}': gates need at least one demand and one held-out point")
    if len({g.name for g in gates}) < len(gates):
        raise InputError(f"surrogate '{surrogate.name}': two gates of one name in {listed(g.name for g in gates)}")
    prediction = surrogate.predict(held_out.points)
    results = []
    for gate in gates:
        if gate.outcome not in outputs or gate.outcome not in held_out.outcomes:
            raise InputError(
                f"gate '{gate.name}': '{gate.outcome}' must be an output of '{surrogate.name}' ({listed(outputs)}) "
                f"and among the held-out data ({listed(held_out.outcomes)})"
            )
        measured = np.asarray(held_out.outcomes[gate.outcome], dtype=np.float64)
        if measured.shape != (len(held_out.points),) or not np.isfinite(measured).all():
            raise InputError(f"gate '{gate.name}': held-out values must be finite, one for each point")
        column = outputs.index(gate.outcome)
        error = prediction.mean[:, column] - measured
        results.append(GateResult(gate, _figure(gate.metric, error, prediction.uncertainty[:, column]), len(measured)))
    return tuple(results)


def _figure(metric: Metric, error: Array, uncertainty: Array) -> float:
    if not np.isfinite(error).all() or not np.isfinite(uncertainty).all():
        return math.nan
    if metric == "rmse":
        return float(np.sqrt(np.mean(error**2)))
    if metric == "mae":
        return float(np.mean(np.abs(error)))
    return float(np.mean(np.abs(error) <= _TWO_SIDED_95 * uncertainty))


def require_passed(surrogate: Surrogate, results: Sequence[GateResult]) -> None:
    """Refuse a version that has not shown what it must.

    Raises:
        GateError: a gate was not passed, or there was none.
    """
    failed = [str(r) for r in results if not r.passed]
    if failed or not results:
        raise GateError(
            f"surrogate '{surrogate.name}' version {surrogate.version} may not be used: "
            + ("; ".join(failed) or "no gate was evaluated")
            + "; train it on more data, or keep the version before it"
        )
