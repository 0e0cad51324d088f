"""Which faults are ordered: every boundary of every process as often as any other, in the order in which a campaign meets them.

No chance decides how often a boundary is struck: drawn from the seed are only where to begin, and at which of the first times
that a boundary is met it is struck.
The processes take turns so that each has had as many faults a boundary as the others; a process goes through its boundaries
from the first row of a campaign to its last, which brings a campaign on and spares runs to the end for one fault.

Some boundaries are met at certain times alone, and are ordered when their time has come: those of the campaign's way into the lab
right after its death, those of settling right after a death that left a command open, its farewell right before its end.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sdl.testing.torture.database import BOUNDARIES
from sdl.testing.torture.faults import AT_RANDOM, PROCESSES, RECONCILING, Fault, Kind, Process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    Met = Mapping[Process, Mapping[str, int]]
    Place = tuple[Process, str]

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

LONGEST = 0.6
"""Seconds after which a fault at a random time strikes at the latest. Chosen: a short campaign takes twice as long."""

LATEST = 3
"""A fault strikes at the latest when its boundary is met for this time. Chosen: a campaign that has come far meets it seldom."""

_RESENT = "POST /commands"
"""The route of a command: an orphan of any other kind has nothing to move."""

_WINDOW = (
    "before sending",
    "before effect",
    "after effect",
    "after commit of started",
    "before commit of finished",
    "after the reply",
    "before commit of command.settled",
)
"""Who dies here leaves a command open."""

_SELDOM = 2
"""A boundary of server or network that an undisturbed campaign meets no more often belongs to its beginning or its end."""


def places(met: Met) -> dict[Process, tuple[str, ...]]:
    """Return process → the boundaries at which it is struck.

    Args:
        met: process → boundary, in the order in which they were first met → how often, in the undisturbed run.
    """
    found: dict[Process, tuple[str, ...]] = {}
    for process in PROCESSES:
        if not met.get(process):
            continue
        names = tuple(met[process])
        if process in {"campaign", "server"}:
            names += tuple(n for n in RECONCILING if n not in names)
        if process == "database":
            names = BOUNDARIES
        middle = len(names) // 2  # at the end of its boundaries a campaign is over too soon for a fault at random
        found[process] = names if process == "network" else (*names[:middle], AT_RANDOM, *names[middle:])
    return found


def planned(met: Met, rng: np.random.Generator) -> Iterator[Fault]:
    """Yield faults without end.

    Args:
        met: as of `places`.
        rng: source of everything random: at which boundary each process begins, and which of the first times counts.
    """
    names = places(met)
    when = {(p, n): _when(p, n, met) for p, found in names.items() for n in found}
    done: Counter[Place] = Counter()
    often: Counter[Process] = Counter()
    usual = {p: [n for n in found if when[p, n] == ""] for p, found in names.items()}
    turns = {p: int(rng.integers(len(found))) for p, found in usual.items()}
    last: Fault | None = None
    while True:
        place = _timely(when, done, last, usual)
        if place is None:
            process = min(usual, key=lambda p: often[p] / len(usual[p]))
            place = process, usual[process][turns[process] % len(usual[process])]
            turns[process] += 1
            often[process] += 1
        last = _fault(place, done[place], met, rng, is_served="server" in names)
        done[place] += 1
        yield last


def _when(process: Process, name: str, met: Met) -> str:
    """Return after what a boundary is met: `death`, `window` (a death with a command open), `end`, or any time."""
    if name in RECONCILING:
        return "window"
    if process == "campaign" and name.endswith(("commit of epoch.raised", "taking over")):
        return "death"
    if process in {"server", "network"} and met[process].get(name, _SELDOM + 1) <= _SELDOM:
        return "end" if name.endswith("/leave") else "death"
    return ""


def _timely(
    when: Mapping[Place, str], done: Counter[Place], last: Fault | None, usual: Mapping[Process, list[str]]
) -> Place | None:
    """Return the boundary whose time has come after a fault, where it is behind the others."""
    if last is None or last.kind not in {"kill", "kill both", "orphan request"}:
        return None

    def behind(place: Place) -> int:
        """Return how many faults fewer it has had than any other boundary of its process."""
        return min((done[place[0], n] for n in usual[place[0]]), default=0) - done[place]

    times = {"end"} if last.boundary.endswith("/leave") else set()
    if last.process == "campaign" or last.kind in {"kill both", "orphan request"}:
        times = {"end"} if last.boundary == "before commit of campaign.ended" else {"death", "late end"}
    if last.process in {"campaign", "server"} and last.boundary in _WINDOW:
        times.add("window")
    due = []
    for place, time in when.items():
        process, name = place
        if time == "end" and "late end" in times:  # a run to the end for one fault, where nothing else helps
            is_time = behind(place) > 1
        else:
            is_time = time in times and not (time == "window" and process != last.process)
        if is_time and name != last.boundary and behind(place) >= 0:
            due.append(place)
    return min(due, key=lambda p: done[p], default=None)


def _fault(place: Place, turn: int, met: Met, rng: np.random.Generator, *, is_served: bool) -> Fault:
    """Return what is done at a boundary when its turn has come for this time, from 0: mostly killing, and all else in turn."""
    process, name = place
    if name == AT_RANDOM:
        kinds: dict[Process, tuple[Kind, ...]] = {
            "campaign": ("kill", "kill", "freeze", "kill both") if is_served else ("kill", "kill", "kill", "freeze"),
            "server": ("kill", "kill both", "freeze"),
            "database": ("kill", "kill", "kill both"),
        }
        choice = kinds.get(process, ("kill",))
        return Fault(choice[turn % len(choice)], AT_RANDOM, seconds=float(rng.uniform(0.0, LONGEST)), process=process)
    count = int(rng.integers(1, max(1, min(met[process].get(name, 1) // 4, LATEST)) + 1))
    # Not all boundaries freeze in the same turn.
    number = turn + (list(met[process]).index(name) if name in met[process] else 0)
    if process == "network":
        kind = ON_THE_WAY[number % len(ON_THE_WAY)]
        if kind == "orphan request" and name != _RESENT:
            kind = "drop reply"
    elif process == "database":
        kind = "kill both" if number % 5 == 4 else "kill"
        count = int(rng.integers(1, 6))
    elif process == "worker":
        kind = "kill"
    elif number % 10 == 9:
        kind = "freeze"
    elif number % 5 == 3 and name.startswith("before commit") and "database" not in met:
        kind = "full disk"
    elif number % 5 == 1 and is_served:
        kind = "kill both"
    else:
        kind = "kill"
    return Fault(kind, name, count, process=process)
