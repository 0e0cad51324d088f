"""A campaign that people carry out: no protocol and no lab; proposals go out on a sheet and results come back on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.campaign.model import LabSpec
from sdl.campaign.sheet import taken_names
from sdl.clock import ClockSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader

PEOPLE = "people"
"""Source of what people measured themselves."""

_LABS = ("protocol", "sources", "lab", "on_failure")


def is_by_people(data: Mapping[str, Any]) -> bool:
    """Tell whether a campaign file's data name neither how experiments are carried out nor where: then people do it."""
    return not any(key in data for key in _LABS)


def check_names(
    reader: Reader, parameters: Collection[str], objectives: Collection[str], constraints: Collection[str]
) -> None:
    """Note parameters and outcomes whose columns on the sheet would mean something else."""
    taken = taken_names([*objectives, *constraints])
    places: list[Where] = [("space", "parameters", name) for name in parameters]
    places += [("objectives", name) for name in objectives] + [("outcome_constraints", name) for name in constraints]
    for where in places:
        if where[-1] in taken:
            reader.wrong(where, f"'{where[-1]}' cannot be a column of results: {taken[where[-1]]}; choose another name")


def no_lab(reader: Reader) -> LabSpec:
    """Return the lab of a campaign that people carry out: real time, and no instrument."""
    return LabSpec(
        name=PEOPLE,
        clock=ClockSettings(),
        world={},
        instruments={},
        allow_real=False,
        document=reader.document,
        key="",
        written=(),
    )
