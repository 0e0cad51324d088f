"""Read `group:` : experiments that share some settings, such as those of one furnace load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

if TYPE_CHECKING:
    from collections.abc import Collection

    from sdl.campaign.reader import Reader


class GroupSpec(BaseModel):
    """`group:` of a campaign.

    Attributes:
        shared: the parameters that are equal within a group.
        capacity: how many experiments a group holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shared: Annotated[
        tuple[Annotated[str, Strict()], ...],
        Field(min_length=1, description="parameters that are equal within a group, such as those of a firing"),
    ]
    capacity: Annotated[
        int, Strict(), Field(ge=2, le=1000, description="how many experiments a group holds, such as a furnace load")
    ]


def read_group(reader: Reader, parameters: Collection[str], concurrency: int | None) -> GroupSpec | None:
    """Return the campaign's `group:`, or None where there is none; problems are noted.

    Args:
        reader: of the campaign file.
        parameters: names of all parameters.
        concurrency: how many experiments may run at once; None where people carry them out, who decide that themselves.
    """
    if reader.at(("group",)) is None:
        return None
    spec = reader.model(GroupSpec, ("group",))
    if spec is None:
        return None
    right = True
    for index, name in enumerate(spec.shared):
        if name not in parameters:
            reader.unknown(("group", "shared", index), name, parameters, "parameter")
            right = False
        elif name in spec.shared[:index]:
            reader.wrong(("group", "shared", index), f"'{name}' stands twice")
            right = False
    if right and len(spec.shared) == len(parameters):
        reader.wrong(
            ("group", "shared"),
            "these are all parameters: nothing would differ within a group; leave out those that differ from sample to sample",
        )
        right = False
    if concurrency is not None and spec.capacity > concurrency:
        reader.wrong(
            ("group", "capacity"),
            f"a group of {spec.capacity} experiments cannot be under way at once with concurrency: {concurrency}; raise "
            f"'concurrency' to at least {spec.capacity}, or lower 'capacity'",
        )
        right = False
    return spec if right else None
