"""The four processes of one served campaign, and what is done to them: started, ordered a fault, stopped, killed, ended."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.testing.torture import served_victims as victims
from sdl.testing.torture.faults import PROCESSES, Process
from sdl.testing.torture.orders import OrderedBoundaries, order
from sdl.testing.torture.victim import forked
from sdl.world import RemoteWorld, campaign_actor

if TYPE_CHECKING:
    from sdl.lab import LabPlan
    from sdl.testing.torture.faults import Fault

READY = 60.0
"""Seconds within which a process must be there. Chosen: a busy machine needs a few."""

_PORTS = range(10000, 32000)
"""Ports of which a lab server takes one: below those that the system gives away, so that it is still free after a crash."""

_POLL = 0.004
"""Seconds between two looks at the processes."""


@dataclass(frozen=True)
class ServedSubject:
    """What is tortured, where the lab is served by a process of its own.

    Attributes:
        run: what runs the campaign to its end in a home, on the lab server of an address; returns its exit code. Called in a
            forked child.
        name: of the campaign.
        outcomes: that every finished experiment must have.
        reads: (instrument, action) of actions that do no harm when they are repeated.
        lab: as its file says; virtual time.
        sabotage: breaks a process on purpose, to see whether that is noticed.
        answer: answers the open questions of a home from the world's record, as a person who looks would; or None.
    """

    run: Callable[[Path, str], int]
    name: str
    outcomes: tuple[str, ...]
    reads: frozenset[tuple[str, str]]
    lab: LabPlan
    sabotage: Mapping[Process, Callable[[], None]] = field(default_factory=dict)
    answer: Callable[[Path], int] | None = None


class Ended(Exception):  # noqa: N818  it is the news, no error
    """A process is no more."""


class House:
    """World, lab server, network and campaign of one trial, in one folder.

    Args:
        subject: what is tortured.
        home: the folder; the ledger lies in it, as do the world's record and the lab server's own folder.
    """

    def __init__(self, subject: ServedSubject, home: Path) -> None:
        self.subject = subject
        self.home = home
        self.lab_folder = home / "lab" / "labs" / subject.lab.name
        self.pids: dict[str, int] = {}
        self._port = 0
        self._url = ""
        self._world = 0
        self._number = 0

    # --- its life ----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start everything but the campaign.

        Raises:
            Ended: a process does not start; its output says why.
        """
        victims.preload()
        self.home.mkdir(parents=True)
        lab, found = self.subject.lab, self.home / "world.port"
        seed, record = int(lab.world.get("seed", 0)), self.home / "world.jsonl"
        self.pids["world"] = forked(
            lambda: victims.serve_world(seed, record, lab.world_settings, found), self.home / "said.world"
        )
        self.wait_until(found.exists, "world")
        self._world = int(found.read_text())
        self._port = _free_port()
        self.start_server()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self._url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            port = self._port
            self.pids["network"] = forked(
                lambda: victims.serve_network(listening, port, self._boundaries("network")), self.home / "said.network"
            )

    def start_server(self) -> None:
        """Start the lab server, on the port and with the log that it had, and wait until it answers.

        Raises:
            Ended: it does not start.
        """
        self._until_down(f"lab {self.subject.lab.name}")
        before = self.notes("server").count("back")
        self.pids["server"] = forked(lambda: self._serve(self._port), self.home / "said.server")
        self.wait_until(lambda: self.notes("server").count("back") > before, "server")

    def start_campaign(self) -> None:
        """Start the campaign, or go on with it."""
        self._until_down(campaign_actor(self.subject.name))
        self.pids["campaign"] = self._campaign()

    def another(self, process: Process) -> int | None:
        """Start a second process in the place of one that lives; returns its exit code, None where it did not end."""
        pid = self._campaign() if process == "campaign" else forked(lambda: self._serve(0), self.home / "said.another")
        return self._end_of(pid, READY)

    def answered(self) -> bool:
        """Have the open questions answered; returns whether that was done."""
        answer = self.subject.answer
        if answer is None:
            return False
        return self._end_of(forked(lambda: answer(self.home), self.home / "said"), READY) == 0

    def close(self) -> list[str]:
        """End everything as it should end, the world last; returns what went wrong."""
        problems = []
        for process in ("server", "network", "world"):
            if process in self.pids:
                os.kill(self.pids[process], signal.SIGTERM)
                code = self._end_of(self.pids.pop(process), READY)
                if code != 0:
                    problems.append(f"the {process} did not end as it should after SIGTERM (exit {code})")
        return problems

    def kill_all(self) -> None:
        """Kill whatever is left."""
        for process in list(self.pids):
            self.kill(process)

    # --- faults ------------------------------------------------------------------------------------------------------

    def order(self, fault: Fault | None) -> None:
        """Order a fault of the process that is to meet it; what was ordered before no longer strikes."""
        self._number += 1
        for process in PROCESSES:
            mine = fault if fault is not None and fault.process == process else None
            order(self.home / f"orders.{process}", mine, self._number)

    def kill(self, process: str) -> None:
        """Kill a process of this house; its exit is taken here."""
        pid = self.pids.pop(process, None)
        if pid is not None:  # it was not waited for yet, so that no stranger can have its number
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def look(self, process: str) -> int | str | None:
        """Return None while a process lives, `stopped` while it is, or its exit code once it has ended."""
        pid = self.pids.get(process)
        if pid is None:
            return None
        done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if not done:
            return None
        if os.WIFSTOPPED(status):
            return "stopped"
        del self.pids[process]
        return os.waitstatus_to_exitcode(status)

    def stop(self, process: str) -> None:
        """Stop a process; `look` says when it stands."""
        os.kill(self.pids[process], signal.SIGSTOP)

    def go_on(self, process: str) -> None:
        """Let a stopped process go on."""
        os.kill(self.pids[process], signal.SIGCONT)

    # --- what they noted ---------------------------------------------------------------------------------------------

    def notes(self, process: str) -> Notes:
        """Return what a process has noted so far."""
        path = self.home / f"note.{process}"
        return Notes(tuple(path.read_text().splitlines()) if path.exists() else ())

    def wait_until(self, condition: Callable[[], bool], process: str, seconds: float = READY) -> None:
        """Poll until a condition holds.

        Raises:
            Ended: the process that is to bring it about is no more, or it takes too long.
        """
        last = time.monotonic() + seconds
        while not condition():
            code = self.look(process)
            if isinstance(code, int) or time.monotonic() > last:
                said = self.home / f"said.{process}"
                text = said.read_text()[-1500:] if said.exists() else ""
                what = f"ended (exit {code})" if isinstance(code, int) else f"is not there after {seconds:.0f} s"
                raise Ended(f"the {process} {what}: {text}")
            time.sleep(_POLL)

    def said(self) -> str:
        """Return the end of what campaign and server said."""
        files = [self.home / "said", self.home / "said.server"]
        return "\n".join(f.read_text()[-1500:] for f in files if f.exists())

    # --- within ------------------------------------------------------------------------------------------------------

    def _boundaries(self, process: Process) -> OrderedBoundaries:
        return OrderedBoundaries(self.home / f"orders.{process}", self.home / f"note.{process}")

    def _serve(self, port: int) -> int:
        victims.own_locks(self.home)
        boundaries = self._boundaries("server")
        victims.arm_server(boundaries)
        self.subject.sabotage.get("server", _nothing)()
        lab = self.subject.lab
        plan = replace(lab, world={**lab.world, "server": f"127.0.0.1:{self._world}"})
        return victims.serve_lab(plan, self.lab_folder, port, boundaries)

    def _campaign(self) -> int:
        def run() -> int:
            boundaries = self._boundaries("campaign")
            victims.arm_campaign(boundaries)
            self.subject.sabotage.get("campaign", _nothing)()
            return victims.run_campaign(lambda: self.subject.run(self.home, self._url), boundaries)

        return forked(run, self.home / "said")

    def _until_down(self, actor: str) -> None:
        """Wait until the world has noticed that an actor's process is gone: the system tells it a moment later."""

        def is_down() -> bool:
            world = RemoteWorld("127.0.0.1", self._world)
            try:
                return world.actors().get(actor, "down") == "down"
            finally:
                world.close()

        self.wait_until(is_down, "world")

    @staticmethod
    def _end_of(pid: int, seconds: float) -> int | None:
        """Wait for the end of a process; returns its exit code, None where it had to be killed."""
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(_POLL)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return None


@dataclass(frozen=True)
class Notes:
    """What a process noted: `struck`, `back SECONDS`, `met NUMBER BOUNDARY`."""

    lines: tuple[str, ...]

    def count(self, word: str) -> int:
        """Return how many notes begin with a word."""
        return sum(line.split(" ", 1)[0] == word for line in self.lines)

    def back(self) -> list[float]:
        """Return seconds from start to the first sign of life, one for each life."""
        return [float(line.split()[1]) for line in self.lines if line.startswith("back ")]

    def met(self) -> dict[str, int]:
        """Return boundary → how often it was met by processes that ended as they should."""
        found = [line.split(" ", 2)[1:] for line in self.lines if line.startswith("met ")]
        return {name: int(number) for number, name in found}


def _nothing() -> None:
    """Break nothing."""


def _free_port() -> int:
    """Return a port that nobody listens at."""
    choice = random.SystemRandom()  # lanes that draw at once must not draw the same
    while True:
        port = choice.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
