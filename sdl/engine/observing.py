"""From what an analysis found to rows: the analysis itself, and one observation an outcome."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from sdl.engine.environment import analysis_environment
from sdl.errors import AnalysisError
from sdl.ledger import AnalysisRecorded, ObservationRecorded
from sdl.units import convert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.analysis import Interval
    from sdl.artefacts import ArtefactRef
    from sdl.engine.worker import Analysed
    from sdl.ledger import Event
    from sdl.loop import ExperimentRecord, StepPlan
    from sdl.loop.plan import Gives
    from sdl.objective import Estimate


def estimates_of(analysed: Analysed, step: StepPlan) -> dict[str, Estimate]:
    """Return outcome → estimate in the outcome's declared unit.

    Raises:
        AnalysisError: one of them is NaN or infinite.
        KeyError: the analysis did not give a field that it should.
    """
    found = {}
    for gives in step.gives:
        given = analysed.estimates[gives.field]
        estimate = gives.estimate(given.value, given.uncertainty)
        if not math.isfinite(estimate.value) or not math.isfinite(estimate.uncertainty or 0.0):
            raise AnalysisError(f"'{gives.outcome}' came out as {estimate.value} ± {estimate.uncertainty}")
        found[gives.outcome] = estimate
    return found


def succeeded(
    number: int,
    step: StepPlan,
    command: str,
    artefacts: Sequence[Mapping[str, Any]],
    analysed: Analysed,
    figure: ArtefactRef | None,
) -> AnalysisRecorded:
    """Return the row of an analysis that gave values.

    Args:
        number: of the experiment.
        step: whose raw data were looked at.
        command: which gave them.
        artefacts: the raw data as the ledger names them.
        analysed: what was found.
        figure: the figure's data as they were kept, or None.
    """
    fields = {
        name: {
            "value": _finite(estimate.value),
            "uncertainty": _finite(estimate.uncertainty),
            "lower": None if name not in analysed.intervals else analysed.intervals[name].lower,
            "upper": None if name not in analysed.intervals else analysed.intervals[name].upper,
            "unit": analysed.units.get(name),
        }
        for name, estimate in analysed.estimates.items()
    }
    return AnalysisRecorded(
        analysis=_id(number, step),
        experiment=number,
        step=step.index,
        command=command,
        name=step.analysis or "",
        status="succeeded",
        artefacts=_named(artefacts),
        fields=fields,
        flags=list(analysed.flags),
        diagnostics=dict(analysed.diagnostics),
        figure=None
        if figure is None
        else {"name": figure.name, "sha256": figure.sha256, "size": figure.size, "media_type": figure.media_type},
        environment=dict(analysed.environment),
        error=analysed.figure_error,
    )


def without_values(
    number: int,
    step: StepPlan,
    command: str,
    artefacts: Sequence[Mapping[str, Any]],
    status: Literal["refused", "failed"],
    error: str,
) -> AnalysisRecorded:
    """Return the row of an analysis that refused its data or broke."""
    return AnalysisRecorded(
        analysis=_id(number, step),
        experiment=number,
        step=step.index,
        command=command,
        name=step.analysis or "",
        status=status,
        artefacts=_named(artefacts),
        fields={},
        flags=[],
        diagnostics={},
        figure=None,
        environment=dict(analysis_environment()),
        error=error,
    )


def observation(
    number: int,
    source: str,
    gives: Gives,
    command: str,
    estimate: Estimate,
    analysed: Analysed | None,
    analysis: str | None,
) -> ObservationRecorded:
    """Return the row of one outcome; `analysed` and `analysis` are None where the instrument itself gave the value.

    An analysis judges a file as a whole, so its flags go to every outcome that it gave.

    Raises:
        AnalysisError: an end of the interval is infinite in the outcome's unit.
    """
    interval = None if analysed is None else analysed.intervals.get(gives.field)
    lower, upper = (None, None) if interval is None else _ends(interval, gives)
    flags = [] if analysed is None else list(analysed.flags)
    return ObservationRecorded(
        observation=f"{number}.{gives.outcome}.1",
        experiment=number,
        outcome=gives.outcome,
        value=estimate.value,
        uncertainty=estimate.uncertainty,
        unit=gives.declared,
        source=source,
        status="flagged" if flags else "valid",
        command=command,
        lower=lower,
        upper=upper,
        flags=flags,
        analysis=analysis,
    )


def _ends(interval: Interval, gives: Gives) -> tuple[float, float]:
    """Return an interval in the outcome's declared unit."""
    lower, upper = (convert(end, gives.unit, gives.declared) for end in (interval.lower, interval.upper))
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise AnalysisError(f"the 95 % interval of '{gives.outcome}' came out as {lower} to {upper}")
    return lower, upper


def _id(number: int, step: StepPlan) -> str:
    return f"{number}.{step.index}.1"


def _named(artefacts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": a["name"], "sha256": a["sha256"]} for a in artefacts]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def estimates(values: Mapping[str, Any], step: StepPlan) -> dict[str, Estimate]:
    """Return the outcomes that a step's own result gives."""
    return {
        g.outcome: g.estimate(values[g.field], None if g.uncertainty_field is None else values[g.uncertainty_field])
        for g in step.gives
    }


def observations(
    record: ExperimentRecord,
    step: StepPlan,
    command: str,
    found: Mapping[str, Estimate],
    *,
    analysed: Analysed | None = None,
    analysis: str | None = None,
) -> list[Event]:
    """Return the rows of the outcomes that a step gives."""
    return [
        observation(record.number, record.source, g, command, found[g.outcome], analysed, analysis) for g in step.gives
    ]
