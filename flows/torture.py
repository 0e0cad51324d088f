"""Torture of a campaign that runs through Prefect: the same faults strike it, and the Prefect server itself is killed too.

Prefect shows and asks, and decides nothing: whatever dies, the ledger must tell the same as without it, and once a campaign has
ended no flow run of it may be shown as one that lives.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sdl.ledger import CampaignCreated, Ledger
from sdl.testing.torture import Lane, Trial
from sdl.testing.torture.faults import AT_RANDOM, Boundaries, Fault
from sdl.testing.torture.household import Household
from sdl.testing.torture.orders import OrderedBoundaries
from sdl.testing.torture.victim import arm_embedded, campaign, label_of

from . import server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from sdl.testing.torture import Subject
    from sdl.testing.torture.faults import Process

BOUNDARIES = frozenset(
    {
        "after commit of epoch.raised",
        "after commit of round.opened",
        "after commit of experiment.started",
        "before commit of command.settled",
        "before commit of campaign.ended",
        "after commit of campaign.ended",
    }
)
"""Where the campaign stands when the server dies. Chosen: before its flow run is made, under way, and right at the end."""

AWAY = 1.0
"""Seconds for which the server is away, beside the 5 s and more of its start. Chosen: less than the campaign waits for it."""

_LATER = 10.0
"""Times later than without Prefect strikes a fault at a random time. Chosen: a campaign takes 4 s to begin instead of 0.4 s."""

_PATIENCE = 90.0
"""Seconds within which a server must answer that another lane may just have killed."""

_LIVING = ("RUNNING", "PAUSED", "CANCELLING", "PENDING")


class TorturedServer:
    """A Prefect server that is killed and started again at the same address; several lanes share it.

    Args:
        place: its folder.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._port = server.start(place)[0].port

    @property
    def url(self) -> str:
        """Address of its API."""
        return f"http://127.0.0.1:{self._port}/api"

    def restart(self) -> None:
        """Kill it, and start it again a moment later.

        Raises:
            SdlError: it does not start again.
        """
        with server.only_one(self.place / "restart.lock"):
            server.kill(self.place)
            time.sleep(AWAY)
            server.start(self.place, self._port)

    def wait(self) -> None:
        """Wait until it answers, `_PATIENCE` at most."""
        last = time.monotonic() + _PATIENCE
        while not server.is_there(self.url) and time.monotonic() < last:
            time.sleep(0.1)

    def is_away(self) -> bool:
        """Whether nobody listens at its address."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) != 0

    def environment(self) -> dict[str, str]:
        """Return what a process needs in its environment to use it."""
        return {**server.quiet_environment(self.place), "PREFECT_API_URL": self.url}

    def runs(self, tag: str) -> list[dict[str, Any]]:
        """Return the flow runs that have a tag, the oldest first.

        Raises:
            OSError: the server does not answer.
        """
        body = {"flow_runs": {"tags": {"all_": [tag]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        asked = urllib.request.Request(  # noqa: S310  loopback
            f"{self.url}/flow_runs/filter", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        last = time.monotonic() + _PATIENCE
        while True:
            try:
                with urllib.request.urlopen(asked, timeout=30.0) as reply:  # noqa: S310  loopback
                    found: list[dict[str, Any]] = json.loads(reply.read())
                    return found
            except OSError:  # another lane may just have killed it
                if time.monotonic() > last:
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        """End it."""
        server.stop(self.place)


class _ServerBoundaries(OrderedBoundaries):
    """Boundaries of the campaign at which the server dies."""

    def __init__(self, prefect: TorturedServer, orders: Path, note: Path) -> None:
        super().__init__(orders, note)
        self._prefect = prefect

    def meet(self, boundary: str) -> None:
        """Count a boundary that is one of the server's; see `Boundaries.meet`."""
        if boundary in BOUNDARIES:
            super().meet(boundary)

    def strike(self, fault: Fault) -> None:
        """Wait until who ordered the fault has killed the server."""
        del fault
        last = time.monotonic() + _PATIENCE
        while not self._prefect.is_away() and time.monotonic() < last:
            time.sleep(0.005)


class PrefectHousehold(Household):
    """A campaign that runs through Prefect.

    Args:
        subject: what is tortured.
        home: the folder; the ledger lies in it.
        prefect: the server.
    """

    def __init__(self, subject: Subject, home: Path, prefect: TorturedServer) -> None:
        super().__init__(home, self._campaign, subject.answer)
        self._subject = subject
        self._prefect = prefect

    def kill(self, process: str) -> None:
        """Kill a process; the Prefect server is started again at once."""
        if process == "prefect":
            self._prefect.restart()
        else:
            super().kill(process)

    def _campaign(self) -> int:
        subject, home = self._subject, self.home
        _point_prefect_at(self._prefect.environment())
        theirs = _ServerBoundaries(self._prefect, home / "orders.prefect", home / "note.prefect")

        def arm(mine: Boundaries) -> None:
            arm_embedded(mine)
            theirs.around(Ledger, "append", label_of)

        def work() -> int:
            self._prefect.wait()  # another lane may just have killed it, which is none of this campaign's faults
            code = subject.run(home)
            theirs.tell()
            return code

        return campaign(home, arm, work, subject.sabotage)


def _point_prefect_at(environment: Mapping[str, str]) -> None:
    """Have Prefect use what an environment says, in a fork of a process that may have imported it already."""
    os.environ.update(environment)
    if "prefect" in sys.modules:  # it reads its settings at import
        from prefect import context

        context.refresh_global_settings_context()


class PrefectLane(Lane):
    """Tortures one campaign after another in a folder, each through Prefect.

    Args:
        prefect: the server.
        subject: what is tortured; it runs with the Prefect engine.
        folder: where each campaign gets a home of its own.
    """

    def __init__(self, prefect: TorturedServer, subject: Subject, folder: Path) -> None:
        super().__init__(subject, folder)
        self._prefect = prefect

    def faults(
        self, met: Mapping[Process, Mapping[str, int]], rng: np.random.Generator, lane: int, lanes: int
    ) -> Iterator[Fault]:
        """Yield faults without end; see `planned`. All that can happen to the Prefect server is that it is killed."""
        for fault in super().faults(met, rng, lane, lanes):
            if fault.boundary == AT_RANDOM:
                fault = replace(fault, seconds=fault.seconds * _LATER)
            yield replace(fault, kind="kill") if fault.process == "prefect" else fault

    def trial(self, number: int, faults: Iterator[Fault], undisturbed: Any, home: Path | None = None) -> Trial:  # noqa: ANN401
        """Take one campaign through faults until it is done, and judge it and what Prefect shows of it; see `Lane.trial`."""
        trial = super().trial(number, faults, undisturbed, home)
        return replace(trial, problems=(*trial.problems, *self._shown(trial.folder)))

    def _household(self, home: Path) -> Household:
        return PrefectHousehold(self.subject, home, self._prefect)

    def _shown(self, home: Path) -> list[str]:
        """Return what Prefect shows of a campaign that has ended and must not show."""
        ledger = Ledger(home)
        try:
            created = ledger.rows(self.subject.name, 1)[0].event
        finally:
            ledger.close()
        if not isinstance(created, CampaignCreated):
            return ["the journal does not begin with the campaign's creation"]
        runs = self._prefect.runs(f"{self.subject.name}.{created.id[:16]}")
        found = [
            f"Prefect shows flow run '{r['name']}' ({r['id']}) of a campaign that has ended as {r['state_name']}"
            for r in runs
            if r["state_type"] in _LIVING
        ]
        if not any(r["state_type"] == "COMPLETED" for r in runs):
            found.append(f"Prefect shows none of {len(runs)} flow runs of a campaign that is done as completed")
        return found


@contextmanager
def prefect_lanes(subject: Subject, folder: Path) -> Iterator[Callable[[Path], PrefectLane]]:
    """Start a Prefect server for torture; gives what makes a lane for a folder. The server ends with the block.

    Args:
        subject: what is tortured; it runs with the Prefect engine.
        folder: in which the server gets a folder of its own.

    Raises:
        SdlError: the server does not start.
    """
    prefect = TorturedServer(folder / "prefect-server")
    try:
        yield partial(PrefectLane, prefect, subject)
    finally:
        prefect.stop()
