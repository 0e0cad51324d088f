"""Commands at a lab server that wait for what only a person can do.

An instrument is kept where nobody knows what became of a command, and gets no further one before a person has told. A command
that takes its samples where there is no room waits for whoever can make it: where another campaign is here, that may be
it; where all that lies there is the campaign's own or belongs to nobody who is here, only the campaign itself or a person can.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdl.driver import Command
    from sdl.lab.embedded import EmbeddedLab
    from sdl.lab.presence import Presence

GRACE = 5.0
"""Real seconds for which another campaign may still say by itself that its lost command may simply be done again. Chosen:
it says so at once."""

ABSENT = 60.0
"""Real seconds of silence after which a campaign is not expected to make room. Chosen: it gives a sign of life every 5 s."""


@dataclass(frozen=True)
class Held:
    """What a waiting command waits for, where only a person can end it.

    Attributes:
        text: in words.
        by: id of the command of which nobody knows what became of it, or None: it waits for room.
    """

    text: str
    by: str | None = None


@dataclass(frozen=True)
class _Lost:
    campaign: str
    since: float


class Holding:
    """Knows which commands are lost, whose samples are whose, and so who waits for a person.

    Args:
        lab: where the commands wait.
        presence: which campaigns are here.
    """

    def __init__(self, lab: EmbeddedLab, presence: Presence) -> None:
        self._lab = lab
        self._presence = presence
        self._lost: dict[str, dict[str, _Lost]] = {}
        self._owners: dict[str, str] = {}

    def knows(self, samples: Iterable[str], campaign: str) -> None:
        """Note whose samples they are."""
        for sample in samples:
            self._owners[sample] = campaign

    def lost(self, command: Command) -> None:
        """Note that nobody knows what became of a command: its instrument is kept."""
        found = _Lost(command.campaign, time.monotonic())
        self._lost.setdefault(command.instrument, {})[command.id] = found

    def told(self, command: Command) -> None:
        """Note that a person told what became of it."""
        self._lost.get(command.instrument, {}).pop(command.id, None)

    def waits_for_person(self, waiting: Sequence[Command], *, is_idle: bool) -> bool:
        """Tell whether any command waits, or may soon be known to wait, for what only a person can do.

        Args:
            waiting: for instruments.
            is_idle: whether nothing is under way in the lab.
        """
        return any(self._lost.get(c.instrument) or self._room(c, is_idle=is_idle) is not None for c in waiting)

    def of(self, command: Command, *, is_idle: bool) -> Held | None:
        """Return what a command that waits for its instrument waits for, where only a person can end that.

        Args:
            command: which.
            is_idle: whether nothing is under way in the lab.
        """
        lost = self._lost.get(command.instrument)
        if not lost:
            return self._room(command, is_idle=is_idle)
        for id_, found in lost.items():
            is_own = found.campaign == command.campaign
            if is_own or not self._is_here(found.campaign) or time.monotonic() - found.since > GRACE:
                whose = "" if is_own else ", which another campaign sent"
                return Held(
                    f"'{command.instrument}' is held until a person says what became of command {id_}{whose}", id_
                )
        return None

    def _room(self, command: Command, *, is_idle: bool) -> Held | None:
        place = command.destination
        if not is_idle or place is None or place not in self._lab.places or self._lab.has_room(command):
            return None
        others = {self._owners.get(s, "") for s in self._lab.places.held(place)} - {command.campaign}
        if any(self._is_here(campaign) for campaign in others):
            return None
        return Held(self._lab.places.said(place))

    def _is_here(self, campaign: str) -> bool:
        silent = self._presence.gone(campaign)
        return silent is not None and silent < ABSENT
