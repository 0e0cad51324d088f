"""The sheet on which proposals go to people and results come back: its columns, and how it is written.

`experiment`, `sample`, a column a parameter, two columns an outcome (value and standard uncertainty), `state`, `reason`.
Units stand in the header.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from sdl.units import DIMENSIONLESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sdl.campaign.space import AnyParameter
    from sdl.objective import Estimate
    from sdl.space import Value

EXPERIMENT = "experiment"
SAMPLE = "sample"
STATE = "state"
REASON = "reason"
NOTE = "note"
UNCERTAINTY = "_uncertainty"
"""What follows an outcome's name in the column of its standard uncertainties."""


def taken_names(outcomes: Iterable[str]) -> dict[str, str]:
    """Return name → why no parameter and no outcome of a campaign that people carry out can be called so.

    >>> taken_names(["density"])["density_uncertainty"]
    "it would be the column of the standard uncertainties of 'density'"
    """
    words = dict.fromkeys((EXPERIMENT, SAMPLE, STATE, REASON, NOTE), "the sheet has a column of its own of that name")
    doubts = {f"{o}{UNCERTAINTY}": f"it would be the column of the standard uncertainties of '{o}'" for o in outcomes}
    return {**words, **doubts}


def header_of(name: str, unit: str) -> str:
    """Return a column's header: `temperature [degC]`, and the bare name where there is no unit.

    >>> header_of("hold", "h"), header_of("ratio", "dimensionless")
    ('hold [h]', 'ratio')
    """
    return name if unit == DIMENSIONLESS else f"{name} [{unit}]"


def sheet(
    parameters: Mapping[str, AnyParameter],
    units: Mapping[str, str],
    experiments: Sequence[tuple[int, str, Mapping[str, Value], Mapping[str, Estimate]]],
) -> str:
    """Return the sheet as CSV text.

    Args:
        parameters: name → parameter, a column each.
        units: outcome → its declared unit, two columns each.
        experiments: number, sample, candidate, and what is known already of each; the rest is left empty for people.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = [EXPERIMENT, SAMPLE, *(header_of(n, p.unit) for n, p in parameters.items())]
    for outcome, unit in units.items():
        header += [header_of(outcome, unit), header_of(f"{outcome}{UNCERTAINTY}", unit)]
    writer.writerow([*header, STATE, REASON])
    for number, sample, candidate, known in experiments:
        row: list[object] = [number, sample, *(candidate.get(name, "") for name in parameters)]
        for outcome in units:
            estimate = known.get(outcome)
            row += [
                "" if estimate is None else estimate.value,
                "" if estimate is None or estimate.uncertainty is None else estimate.uncertainty,
            ]
        writer.writerow([*row, "", ""])
    return out.getvalue()
