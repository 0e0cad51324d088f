"""Which experiment a row of a sheet is about: compared by its parameters, and by what was ever recorded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sdl.space import Categorical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sdl.campaign.results import ResultRow
    from sdl.campaign.space import AnyParameter
    from sdl.ledger import ObservationRecorded
    from sdl.loop import ExperimentRecord
    from sdl.objective import Estimate
    from sdl.space import Value

ROUNDED = 1e-3
"""By which share of its range, along its scale, a parameter on the sheet may differ from the proposal and still be that, rounded
by a spreadsheet (chosen: three digits)."""

SAME = 1e-9
"""Relative difference of two numbers that are one number, converted there and back."""


def recognised(
    row: ResultRow,
    records: Iterable[ExperimentRecord],
    ever: Mapping[int, Mapping[str, Sequence[ObservationRecorded]]],
) -> int | None:
    """Return the experiment that a row without a number told before, or None.

    All outcomes that both have were recorded as the row has them: as they stand now or, where that is so of none, before they
    were corrected. One at least is in both, unless the row only tells that the specimen failed.

    Args:
        row: of the sheet.
        records: experiments with the row's parameters that may be it, in order.
        ever: experiment → outcome → everything that was ever recorded of it, in order.
    """
    before = None
    for record in records:
        if (record.state == "failed") != row.is_failed or (row.sample and row.sample != record.sample):
            continue
        recorded = ever.get(record.number, {})
        both = [o for o in row.outcomes if o in recorded]
        if not both and (row.outcomes or not row.is_failed):
            continue
        if all(equal(recorded[o][-1], row.outcomes[o]) for o in both):
            return record.number
        if before is None and all(any(equal(e, row.outcomes[o]) for e in recorded[o]) for o in both):
            before = record.number
    return before


def differing(
    parameters: Mapping[str, AnyParameter], given: Mapping[str, Value], candidate: Mapping[str, Value], slack: float
) -> list[str]:
    """Return the parameters in which what is given differs from a candidate.

    Args:
        parameters: name → parameter.
        given: some of the values.
        candidate: the experiment's; a parameter that came later is in it nowhere, and does not differ.
        slack: by which share of its range, along its scale, a number may differ.
    """
    found = []
    for name, value in given.items():
        if name not in candidate:
            continue
        proposed, parameter = candidate[name], parameters[name]
        if isinstance(parameter, Categorical) or isinstance(proposed, str) or isinstance(value, str):
            if value != proposed:
                found.append(name)
            continue
        if value == proposed:
            continue
        with np.errstate(all="ignore"):
            ends = parameter.to_unit(np.array([float(value), float(proposed)]))
        if not abs(float(ends[0] - ends[1])) <= slack:  # also where it cannot be told
            found.append(name)
    return found


def equal(recorded: ObservationRecorded, told: Estimate) -> bool:
    """Tell whether a value is the recorded one; a file that states no uncertainty contradicts none."""
    if not math.isclose(recorded.value, told.value, rel_tol=SAME):
        return False
    if told.uncertainty is None:
        return True
    return recorded.uncertainty is not None and math.isclose(recorded.uncertainty, told.uncertainty, rel_tol=SAME)
