"""Which experiments of a recorded campaign are in the Pareto set of its objectives, or how desirable they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sdl.errors import LedgerError
from sdl.objective import (
    DESIRABILITY,
    Estimate,
    Objective,
    OutcomeConstraint,
    is_joint,
    joint_desirability,
    pareto_set,
    parts_of,
)
from sdl.units import convert, convert_difference, is_compatible

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sdl.ledger.events import ObservationRecorded


def recorded_front(
    version: Mapping[str, Any], observed: Mapping[tuple[int, str], ObservationRecorded], done: Collection[int]
) -> frozenset[int] | None:
    """Return the numbers of the feasible experiments that no other one beats, or None with one objective or joined ones.

    Args:
        version: the campaign as recorded, as plain data; its objectives and outcome constraints count for all experiments.
        observed: (experiment, outcome) → the observation that counts.
        done: numbers of the experiments that were carried out to their end.

    Raises:
        LedgerError: the recorded objectives cannot be read.
    """
    named = version.get("objectives")
    if not isinstance(named, dict) or len(named) < 2:
        return None
    objectives = _objectives(named)
    if is_joint(objectives):
        return None
    try:
        constraints = {
            name: OutcomeConstraint.model_validate(
                {"unit": objectives[name].unit, **spec} if name in objectives else spec
            )
            for name, spec in (version.get("outcome_constraints") or {}).items()
        }
    except (ValidationError, TypeError) as error:
        raise LedgerError(f"the recorded objectives cannot be read: {error}") from error
    units = {name: wanted.unit for name, wanted in {**constraints, **objectives}.items()}
    numbers = sorted(done)
    results = [
        {
            name: _in_unit(seen, unit)
            for name, unit in units.items()
            if (seen := observed.get((number, name))) is not None and is_compatible(seen.unit, unit)
        }
        for number in numbers
    ]
    return frozenset(numbers[i] for i in pareto_set(objectives, constraints, results))


def recorded_desirabilities(
    version: Mapping[str, Any], observed: Mapping[tuple[int, str], ObservationRecorded]
) -> dict[int, dict[str, float]] | None:
    """Return experiment → desirability of each outcome that it has and, where it has all, of all together as `desirability`.

    Args:
        version: as in `recorded_front`; its objectives count for all experiments.
        observed: (experiment, outcome) → the observation that counts.

    Returns:
        None where objectives are not joined.

    Raises:
        LedgerError: the recorded objectives cannot be read.
    """
    named = version.get("objectives")
    if not isinstance(named, dict) or not any(isinstance(s, dict) and DESIRABILITY in s for s in named.values()):
        return None
    objectives = _objectives(named)
    results: dict[int, dict[str, Estimate]] = {}
    for (number, name), seen in observed.items():
        if name in objectives and is_compatible(seen.unit, objectives[name].unit):
            results.setdefault(number, {})[name] = _in_unit(seen, objectives[name].unit)
    found = {}
    for number, outcomes in results.items():
        joint = joint_desirability(objectives, outcomes)
        found[number] = {**({} if joint is None else {DESIRABILITY: joint}), **parts_of(objectives, outcomes)}
    return found


def _objectives(named: Mapping[str, Any]) -> dict[str, Objective]:
    try:
        return {name: Objective.model_validate(spec) for name, spec in named.items()}
    except (ValidationError, TypeError) as error:
        raise LedgerError(f"the recorded objectives cannot be read: {error}") from error


def _in_unit(seen: ObservationRecorded, unit: str) -> Estimate:
    """Return an observation in the unit that the outcome has now."""
    if seen.unit == unit:
        return Estimate(seen.value, seen.uncertainty)
    uncertainty = None if seen.uncertainty is None else convert_difference(seen.uncertainty, seen.unit, unit)
    return Estimate(convert(seen.value, seen.unit, unit), uncertainty)
