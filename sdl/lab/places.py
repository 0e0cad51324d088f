"""Which sample is where: a place of the lab holds so many samples, and a position holds one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sdl.errors import listed


@dataclass(frozen=True)
class Claim:
    """Room that a command needs at the place to which it takes its samples.

    Attributes:
        samples: which.
        place: where they go.
    """

    samples: tuple[str, ...]
    place: str


class Places:
    """The places of a lab. A sample on its way holds room where it was and where it goes.

    Args:
        capacities: place → how many samples it holds.
    """

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self._capacities = dict(capacities)
        self._at: dict[str, str] = {}
        self._held: dict[str, dict[str, None]] = {name: {} for name in capacities}
        self._listeners: list[Callable[[], None]] = []

    def __contains__(self, place: object) -> bool:
        return place in self._capacities

    def __iter__(self) -> Iterator[str]:
        return iter(self._capacities)

    def where(self, sample: str) -> str | None:
        """Return the place of a sample, or None where it is not known to be anywhere."""
        return self._at.get(sample)

    def is_new(self, sample: str) -> bool:
        """Tell whether a sample was nowhere in the lab yet."""
        return sample not in self._at

    def held(self, place: str) -> tuple[str, ...]:
        """Return the samples that hold room at a place, those on their way there included."""
        return tuple(self._held[place])

    def when_freed(self, listener: Callable[[], None]) -> None:
        """Have a function called whenever room becomes free."""
        self._listeners.append(listener)

    def put(self, sample: str, places: Sequence[str], *, is_coming: bool = False) -> None:
        """Say where a sample is, from a record: the last place is where it is, and it holds room at all of them.

        Args:
            sample: which.
            places: where it holds room.
            is_coming: whether it is nowhere yet: what makes it may have begun, or not.
        """
        for name in places:
            self._held[name][sample] = None
        if places and not is_coming:
            self._at[sample] = places[-1]

    def has_room(self, claim: Claim) -> bool:
        """Tell whether all samples of a claim fit; those that hold room there already need no more."""
        held = self._held[claim.place]
        new = sum(sample not in held for sample in claim.samples)
        return new == 0 or len(held) + new <= self._capacities[claim.place]

    def take(self, claim: Claim) -> None:
        """Hold the room of a claim."""
        for sample in claim.samples:
            self._held[claim.place][sample] = None

    def arrived(self, claim: Claim) -> None:
        """Say that the samples are there: room elsewhere is free again."""
        for sample in claim.samples:
            for name, held in self._held.items():
                if name != claim.place:
                    held.pop(sample, None)
            self._at[sample] = claim.place
        self._freed()

    def stayed(self, claim: Claim) -> None:
        """Say that the samples did not leave where they were: the claimed room is free again."""
        for sample in claim.samples:
            if self._at.get(sample) != claim.place:
                self._held[claim.place].pop(sample, None)
        self._freed()

    def cleared(self, sample: str) -> None:
        """Say that a sample was taken out of the lab: its room is free again."""
        for held in self._held.values():
            held.pop(sample, None)
        self._at.pop(sample, None)
        self._freed()

    def said(self, place: str) -> str:
        """Return in words who holds a place."""
        held = self._held[place]
        return f"'{place}' holds {len(held)} of {self._capacities[place]}: {listed(held)}"

    def _freed(self) -> None:
        for listener in self._listeners:
            listener()
