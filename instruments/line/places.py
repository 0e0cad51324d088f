"""Where samples are, by the world's record: a move says where it took them, any other effect where it was done.

A lab file that names no places gives none here, and then nothing is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.clock import utc_text
from sdl.errors import InstrumentFault, InstrumentRefused, listed, near_miss

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sdl.world import Operation, World


def capacities(world: World) -> Mapping[str, int] | None:
    """Return place → how many samples it holds, or None where the lab file names no places."""
    found = world.settings.get("places")
    return {str(name): int(number) for name, number in found.items()} if found else None


def is_move(operation: Operation) -> bool:
    """Tell whether an effect takes samples to another place."""
    return operation.action == "move" and "to" in operation.arguments


def back_at(operation: Operation) -> float:
    """Return the moment at which a move is over; an arm that was stopped first takes the sample back where it was."""
    if operation.aborted is None or operation.over >= operation.ends:
        return operation.over
    return operation.over + (operation.over - operation.begins)


def places_of(operations: Iterable[Operation], moment: float) -> tuple[str, ...]:
    """Return the places at which a sample holds room, the one where it was last at the end; none where it is unknown.

    Args:
        operations: on the sample, in the order in which they began.
        moment: seconds since 1970.
    """
    at: tuple[str, ...] = ()
    for operation in operations:
        if operation.begins > moment:
            break
        if is_move(operation):
            target = str(operation.arguments["to"])
            if back_at(operation) > moment:
                at = (target, *(p for p in at[-1:] if p != target))  # under way: it holds room at both ends
            elif operation.aborted is None:
                at = (target,)
        elif not at and operation.arguments.get("place"):
            at = (str(operation.arguments["place"]),)
    return at


def held(world: World, moment: float) -> dict[str, set[str]]:
    """Return place → the samples that hold room there, those on their way to it included."""
    by_sample: dict[str, list[Operation]] = {}
    for operation in world.all_operations():
        for sample in operation.samples:
            by_sample.setdefault(sample, []).append(operation)
    found: dict[str, set[str]] = {}
    for sample, operations in by_sample.items():
        for place in places_of(operations, moment):
            found.setdefault(place, set()).add(sample)
    return found


def require_room(world: World, place: str, sample: str, moment: float, who: str) -> None:
    """Check that a place exists and has room for a sample.

    Raises:
        InstrumentFault: it has not.
    """
    known = capacities(world)
    if known is None:
        return
    if place not in known:
        raise InstrumentFault(f"{who}: there is no place '{place}'{near_miss(place, known)}; there are {listed(known)}")
    others = held(world, moment).get(place, set()) - {sample}
    if len(others) >= known[place]:
        raise InstrumentRefused(
            f"{who}: place '{place}' is occupied: it holds {len(others)} of {known[place]} "
            f"({listed(sorted(others))}); move one away first"
        )


def require_at(world: World, sample: str, place: str | None, moment: float, who: str) -> None:
    """Check that a sample lies where an instrument works; one that has no place yet may be anywhere.

    Raises:
        InstrumentFault: it lies elsewhere.
    """
    at = places_of(world.operations(sample), moment)
    if place is None or not at or at == (place,):
        return
    raise InstrumentRefused(
        f"{who} works at '{place}', but sample '{sample}' is at '{at[-1]}' ({utc_text(moment)}); move it to '{place}' first"
    )
