"""How a campaign goes through its faults: one is ordered, it strikes, what died is started again; then the next one."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sdl.testing.torture.faults import AT_RANDOM, PROCESSES, RECONCILING, Fault, Process
from sdl.testing.torture.trial import DONE, HUNG, REFUSED, WAITING, Attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdl.testing.torture.household import Household

FROZEN = 0.5
"""Seconds for which a process is frozen, at least. Chosen: others ask it meanwhile."""

_POLL = 0.005
"""Seconds between two looks at the processes."""


class Course:
    """One campaign's way.

    Args:
        house: its processes, all but the campaign's started.
        faults: what is ordered, one after another.
        first: what is ordered before them, or None.

    Attributes:
        attempts: what was ordered, and what came of it.
        problems: what must not happen, as far as the processes show it.
        code: the campaign's exit code at its end; None where it has none.
        has_left: whether the campaign's process once ended by itself before its end, as for want of disk: shared time waits
            for what died, not for what left, so that its moments are others than those of the undisturbed run.
        left: the last fault, where it did not strike because it was ordered of a campaign that was under way already, which may
            have met its boundary for the last time.
    """

    def __init__(self, house: Household, faults: Iterator[Fault], first: Fault | None) -> None:
        self.attempts: list[Attempt] = []
        self.problems: list[str] = []
        self.code: int | None = None
        self.has_left = False
        self.left: Fault | None = None
        self._house = house
        self._faults = faults
        self._first = first
        self._struck = dict.fromkeys(PROCESSES, 0)
        self._resuming: dict[Process, tuple[int, int]] = {}  # process → attempt, signs of life before
        self._is_ordered = False
        self._is_held = False  # whether the order waits for a sign of life
        self._ordered_at = 0.0
        self._is_fresh = True  # whether the order was there when the campaign began
        self._hurt: set[Process] = set()  # what was struck in the life of the campaign's process
        self._lives = 0  # signs of life of the campaign before its process was started

    def run(self) -> None:
        """See the campaign through to its end, or until nothing happens any more.

        Raises:
            Ended: a process could not be started again.
        """
        self._next()
        self._start_campaign()
        news, last = len(self.attempts), time.monotonic() + HUNG
        while self.code != DONE:
            self._see_resumed()
            if self._is_due() or self._has_struck():
                self._strike()
            for process in ("server", "campaign"):
                found = self._house.look(process)
                if found is None:
                    continue
                if self._has_struck():
                    self._strike(is_stopped=found == "stopped")
                elif process == "server":
                    self.problems.append(f"the lab server ended by itself (exit {found}): {self._house.said()}")
                    self._house.start_server()
                if process == "campaign" and found != "stopped" and not self._campaign_ended(int(found)):
                    return
            if len(self.attempts) > news:
                news, last = len(self.attempts), time.monotonic() + HUNG
            if time.monotonic() > last:
                self.problems.append(f"nothing happened for {HUNG:.0f} s: {self._house.said()}")
                return
            time.sleep(_POLL)

    # --- faults ------------------------------------------------------------------------------------------------------

    @property
    def _fault(self) -> Fault:
        return self.attempts[-1].fault

    def _next(self) -> None:
        """Order the next fault."""
        fault, self._first = self._first or next(self._faults, None), None
        self._is_ordered = fault is not None
        self._is_fresh = not self.attempts
        self._ordered_at = time.monotonic()
        if fault is not None:
            self.attempts.append(Attempt(fault, struck=False))
            self._struck[fault.process] = self._house.notes(fault.process).count("struck")
        # A worker that dies again and again in one call is given up, and rightly so: its next death waits for an answer.
        self._is_held = fault is not None and fault.process == "worker" and "worker" in self._resuming
        self._house.order(None if self._is_timed or self._is_held else fault)

    @property
    def _is_timed(self) -> bool:
        """Whether the fault strikes when this process says so: all that come at random but a worker's, which sees to it."""
        return self._is_ordered and self._fault.boundary == AT_RANDOM and self._fault.process != "worker"

    def _is_due(self) -> bool:
        """Whether it is time for a fault that strikes at a random time."""
        if not self._is_timed:
            return False
        return time.monotonic() - self._ordered_at > self._fault.seconds

    def _has_struck(self) -> bool:
        """Whether the fault that is ordered of a boundary has struck since this was last asked."""
        if not self._is_ordered or self._is_timed:
            return False
        process = self._fault.process
        before, self._struck[process] = self._struck[process], self._house.notes(process).count("struck")
        return self._struck[process] > before

    def _strike(self, *, is_stopped: bool = False) -> None:
        """Do what the fault leaves to this process, start again what died, and order the next one."""
        fault, number = self._fault, len(self.attempts) - 1
        self.attempts[number] = Attempt(fault, struck=True)
        self._is_ordered = False
        self._hurt.add(fault.process)
        if fault.kind == "full disk" and fault.process == "campaign":
            self.has_left = True  # whatever strikes it on its way out
        if fault.process != "database":  # what is started in its place must not take the order for its own
            self._house.order(None)
        if fault.kind == "freeze":
            self._freeze(fault, is_stopped=is_stopped)
        dead = _dying(fault)
        for process in dead:
            if process != "database" or len(dead) == 1:  # else the campaign's own start tells both
                self._resuming[process] = number, self._house.notes(process).count("back")
        if "database" in dead:
            self._house.interrupt_database(tuple(p for p in dead if p != "database"))
        else:
            for process in dead:
                self._house.kill(process)  # a worker, which is none of ours, has died already
        self._next()  # before anything starts: what it does at its start is a boundary too
        if "server" in dead:
            self._hurt.add("server")
            self._house.start_server()
        if "campaign" in dead:
            self._start_campaign()

    def _freeze(self, fault: Fault, *, is_stopped: bool) -> None:
        """See that nobody can take the place of a frozen process, and let it go on."""
        began, process, house = time.monotonic(), fault.process, self._house
        if fault.boundary == AT_RANDOM:
            house.stop(process)
        while not is_stopped:  # it has noted that it will stop
            found = house.look(process)
            is_stopped = found == "stopped"
            if isinstance(found, int):
                self.problems.append(f"the {process} ended (exit {found}) instead of being frozen")
                return
            time.sleep(_POLL)
        house.order(None)
        other = house.another(process)
        while time.monotonic() < began + FROZEN:
            time.sleep(_POLL)
        house.go_on(process)
        # Whoever comes after the end finds nothing to do, and may say so.
        is_over = fault.boundary in {"after commit of campaign.ended", AT_RANDOM} and process == "campaign"
        if other != REFUSED and not (is_over and other == DONE):
            self.problems.append(
                f"a second process was not refused in the place of the {process} while that was frozen (exit {other})"
            )

    # --- the campaign's process --------------------------------------------------------------------------------------

    def _start_campaign(self) -> None:
        self._hurt.clear()
        self._lives = self._house.notes("campaign").count("back")
        self._house.start_campaign()

    def _campaign_ended(self, code: int) -> bool:
        """Note the end of the campaign's process; returns False where it is over with it."""
        if "campaign" in self._house.pids:
            return True  # it was killed, and is started again already
        self.code = code
        if code == DONE:
            self._see_resumed()
            if self._is_ordered and not self._is_fresh and self._fault.boundary not in RECONCILING:
                self.left = self._fault
            return True
        if code == WAITING:
            if not self._house.answered():
                return False
        elif not self._hurt:
            return False
        # Refused before it took part in time: another of its kind takes its place, and no moment has passed.
        self.has_left = self.has_left or (code >= 0 and code != REFUSED)
        if (
            code != WAITING
            and "campaign" not in self._hurt
            and self._house.notes("campaign").count("back") > self._lives
        ):
            said = self._house.said()
            hurt = " and ".join(sorted(self._hurt))
            self.problems.append(
                f"the campaign was under way and ended (exit {code}), but only hurt was: {hurt}: {said}"
            )
        self._start_campaign()
        return True

    def _see_resumed(self) -> None:
        """Note how long it took what was started again to give its first sign of life."""
        for process, (number, before) in list(self._resuming.items()):
            times = self._house.notes(process).back()
            if len(times) > before:
                del self._resuming[process]
                self.attempts[number] = replace(self.attempts[number], resumed=times[before])
                if process == "worker" and self._is_held:
                    self._is_held = False
                    self._house.order(self._fault)


def _dying(fault: Fault) -> tuple[Process, ...]:
    """Return what dies of a fault."""
    if fault.kind == "kill both":
        return ("database", "campaign") if fault.process == "database" else ("campaign", "server")
    return {"kill": (fault.process,), "orphan request": ("campaign",)}.get(fault.kind, ())
