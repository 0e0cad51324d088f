"""Which faults are ordered: every boundary of every process in turn, at one of the first times that it is met."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from sdl.testing.torture.faults import AT_RANDOM, Fault, Kind, Process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

RANDOM_SHARE, FREEZE_SHARE, DISK_SHARE, BOTH_SHARE = 0.10, 0.05, 0.05, 0.10
"""Shares of faults that strike at a random time, freeze, fill the disk, kill campaign and server; all others kill one. Chosen."""

SERVED: tuple[Process, ...] = ("campaign", "server", "network", "server")
"""Whose boundaries are taken in turn: the lab server's twice as often, for what dies with it others rely on. Chosen."""

ON_THE_WAY: tuple[Kind, ...] = (
    "drop request",
    "drop reply",
    "late request",
    "double request",
    "half reply",
    "orphan request",
    "delay reply",
    "delay request",
)
"""What can become of a message."""

_RESENT = "POST /commands"
"""The route of a command: an orphan of any other kind has nothing to move."""


def planned(met: Mapping[str, int], rng: np.random.Generator, first: int = 0) -> Iterator[Fault]:
    """Yield faults of one process without end: every boundary in turn.

    Args:
        met: boundary → how often the undisturbed run met it.
        rng: source of everything random.
        first: boundary to begin with.
    """
    names = sorted(met)
    turn = first
    while True:
        draw = rng.random()
        if draw < RANDOM_SHARE:
            yield Fault("kill", AT_RANDOM, seconds=float(rng.uniform(0.0, 2.0)))
            continue
        boundary = names[turn % len(names)]
        turn += 1
        kind: Kind = "kill"
        if draw < RANDOM_SHARE + FREEZE_SHARE:
            kind = "freeze"
        elif draw < RANDOM_SHARE + FREEZE_SHARE + DISK_SHARE and boundary.startswith("before commit"):
            kind = "full disk"
        yield Fault(kind, boundary, _count(met[boundary], rng))


def planned_served(
    met: Mapping[Process, Mapping[str, int]], rng: np.random.Generator, lane: int = 0, lanes: int = 1
) -> Iterator[Fault]:
    """Yield faults of campaign, lab server, both, and the network between them without end.

    Args:
        met: process → boundary → how often the undisturbed run met it.
        rng: source of everything random.
        lane: of so many; each begins at another boundary.
        lanes: how many there are.
    """
    names = {process: sorted(found) for process, found in met.items()}
    turns = {process: lane * len(found) // lanes for process, found in names.items()}
    kinds = lane
    for number in itertools.count():
        process = SERVED[number % len(SERVED)]
        boundary = names[process][turns[process] % len(names[process])]
        turns[process] += 1
        count = _count(met[process][boundary], rng)
        if process == "network":
            kind = ON_THE_WAY[kinds % len(ON_THE_WAY)]
            kinds += 1
            if kind == "orphan request":
                boundary, count = _RESENT, _count(met[process].get(_RESENT, 1), rng)
            yield Fault(kind, boundary, count, process=process)
            continue
        draw = rng.random()
        if draw < RANDOM_SHARE:
            kind = ("kill", "kill both", "freeze")[int(rng.integers(3))]
            yield Fault(kind, AT_RANDOM, seconds=float(rng.uniform(0.0, 2.0)), process=process)
            continue
        yield Fault(_kind(draw - RANDOM_SHARE, boundary), boundary, count, process=process)


def _kind(draw: float, boundary: str) -> Kind:
    """Return what happens at a boundary."""
    if draw < FREEZE_SHARE:
        return "freeze"
    if draw < FREEZE_SHARE + BOTH_SHARE:
        return "kill both"
    if draw < FREEZE_SHARE + BOTH_SHARE + 4 * DISK_SHARE and boundary.startswith("before commit"):
        return "full disk"  # a quarter of all boundaries are the begin of a commit
    return "kill"


def _count(met: int, rng: np.random.Generator) -> int:
    """Return at which meeting a fault strikes: counts begin anew, and a campaign that has come far meets a boundary seldom."""
    return int(rng.integers(1, max(2, met // 4 + 1)))
