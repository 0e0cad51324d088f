"""A household in which the lab is served: world, lab server and network have processes of their own beside the campaign's."""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.testing.torture import served_victims as victims
from sdl.testing.torture.faults import Process
from sdl.testing.torture.household import READY, Ended, Household, end_of
from sdl.testing.torture.victim import campaign, forked
from sdl.world import RemoteWorld, campaign_actor

if TYPE_CHECKING:
    from sdl.lab import LabPlan
    from sdl.testing.torture.database import Database

__all__ = ["Ended", "House", "ServedSubject"]

_PORTS = range(10000, 32000)
"""Ports of which a lab server takes one: below those that the system gives away, so that it is still free after a crash."""


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


class House(Household):
    """World, lab server, network and campaign of one trial, in one folder.

    Args:
        subject: what is tortured.
        home: the folder; the ledger lies in it, as do the world's record and the lab server's own folder.
        database: as of `Household`.
    """

    def __init__(self, subject: ServedSubject, home: Path, database: Database | None = None) -> None:
        super().__init__(home, self._campaign, subject.answer, database)
        self.subject = subject
        self.lab_folder = home / "lab" / "labs" / subject.lab.name
        self._port = 0
        self._url = ""
        self._world = 0

    def open(self) -> None:
        """Start everything but the campaign.

        Raises:
            Ended: a process does not start; its output says why.
        """
        victims.preload()
        super().open()
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
                lambda: victims.serve_network(listening, port, self.boundaries("network")), self.home / "said.network"
            )

    def start_server(self) -> None:
        """Start the lab server, on the port and with the log that it had, and wait until it answers, or is struck again.

        Raises:
            Ended: it does not start.
        """
        self._until_down(f"lab {self.subject.lab.name}")
        before = self._signs()
        self.pids["server"] = forked(lambda: self._serve(self._port), self.home / "said.server")
        self.wait_until(lambda: self._signs() > before, "server")

    def start_campaign(self) -> None:
        """Start the campaign, or go on with it."""
        self._until_down(campaign_actor(self.subject.name))
        super().start_campaign()

    def another(self, process: Process) -> int | None:
        """Start a second process in the place of one that lives; returns its exit code, None where it did not end."""
        if process == "campaign":
            return super().another(process)
        return end_of(forked(lambda: self._serve(0), self.home / "said.another"), READY)

    def close(self) -> list[str]:
        """End everything as it should end, the world last; returns what went wrong."""
        problems = []
        for process in ("server", "network", "world"):
            if process in self.pids:
                os.kill(self.pids[process], signal.SIGTERM)
                code = end_of(self.pids.pop(process), READY)
                if code != 0:
                    problems.append(f"the {process} did not end as it should after SIGTERM (exit {code})")
        return problems

    # --- within ------------------------------------------------------------------------------------------------------

    def _serve(self, port: int) -> int:
        victims.own_locks(self.home)
        boundaries = self.boundaries("server")
        victims.arm_server(boundaries)
        self.subject.sabotage.get("server", _nothing)()
        lab = self.subject.lab
        plan = replace(lab, world={**lab.world, "server": f"127.0.0.1:{self._world}"})
        return victims.serve_lab(plan, self.lab_folder, port, boundaries)

    def _campaign(self) -> int:
        sabotage = self.subject.sabotage.get("campaign")
        return campaign(self.home, victims.arm_campaign, lambda: self.subject.run(self.home, self._url), sabotage)

    def _signs(self) -> int:
        notes = self.notes("server")
        return notes.count("back") + notes.count("struck")

    def _until_down(self, actor: str) -> None:
        """Wait until the world has noticed that an actor's process is gone: the system tells it a moment later."""

        def is_down() -> bool:
            world = RemoteWorld("127.0.0.1", self._world)
            try:
                return world.actors().get(actor, "down") == "down"
            finally:
                world.close()

        self.wait_until(is_down, "world")


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
