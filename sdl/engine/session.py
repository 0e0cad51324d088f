"""Take a campaign over: make it or find it in the ledger, compare, own it, open its lab."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl.clock import Clock, make_clock
from sdl.clock.shared import SharedVirtualClock
from sdl.engine.engine import Engine
from sdl.engine.hooks import GuardedHooks
from sdl.engine.served import open_served
from sdl.engine.served import take_over as take_over_there
from sdl.engine.taking_over import conditions, fence, named, require_free_instruments, said
from sdl.errors import InputError, LedgerError, NameInUseError
from sdl.lab import EmbeddedLab
from sdl.lab.claims import lock_folder
from sdl.ledger import CampaignCreated, EpochRaised, Event, Inbox, Ledger, VersionRecorded
from sdl.ledger.queries import latest_version
from sdl.loop import CampaignState
from sdl.world import RemoteWorld, World, address_of

if TYPE_CHECKING:
    from sdl.engine.hooks import Hooks
    from sdl.engine.worker import Worker
    from sdl.lab.client import RemoteLab
    from sdl.ledger import Ownership
    from sdl.ledger.ownership import FormerOwner
    from sdl.preflight import Checked


@dataclass
class Session:
    """A campaign that belongs to this process.

    Attributes:
        checked: as pre-flight left it.
        ledger: where it is recorded.
        state: its journal so far.
        is_done: whether there is nothing to do any more.
        is_new: whether it was made just now.
        silenced: the process from which it was taken although it still held it, or None.
    """

    checked: Checked
    ledger: Ledger
    state: CampaignState
    is_done: bool
    is_new: bool
    _ownership: Ownership | None
    _home: Path | None
    _lab: EmbeddedLab | RemoteLab | None = None
    _clock: Clock | None = None
    silenced: FormerOwner | None = None

    @property
    def lab(self) -> EmbeddedLab:
        """The lab in the campaign's own process, once `engine` has opened it.

        Raises:
            LedgerError: it was not opened, or is a server.
        """
        if not isinstance(self._lab, EmbeddedLab):
            raise LedgerError(f"campaign '{self.name}' has no lab open in this process")
        return self._lab

    @property
    def id(self) -> str:
        """By what a lab server knows the campaign: its name, and what no other campaign of that name has."""
        first = self.ledger.rows(self.name, 1)[0]
        own = first.event.id if isinstance(first.event, CampaignCreated) else ""
        return f"{self.name}.{(own or first.hash)[:16]}"

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.checked.campaign.name

    async def open_lab(self) -> EmbeddedLab | RemoteLab:
        """Set the clock going and connect every instrument, or reach the lab server.

        Raises:
            DriverError: an instrument does not answer.
            ClockError: a world of its own does not answer.
            LabError: the lab server does not answer, or is another one than before.
        """
        last = _moment(self.state.last_moment)
        if self.checked.lab.server is not None:
            self._lab = await open_served(self.checked, self.ledger, self.state, last)
            self._clock = self._lab.clock
            return self._lab
        server = self.checked.lab.world.get("server")
        if server is not None and self.checked.lab.clock.type == "virtual":
            self._clock = await SharedVirtualClock.connect(*address_of(str(server)), f"campaign {self.name}", last)
        else:
            self._clock = make_clock(self.checked.lab.clock, last)
        self._lab = _lab(self.checked, self.ledger, self._clock, self._home)
        await self._lab.open()
        return self._lab

    async def engine(self, worker: Worker, hooks: Hooks | None = None) -> Engine:
        """Open the lab, raise the epoch, and return the engine.

        Raises:
            DriverError: an instrument does not answer.
        """
        lab = await self.open_lab()
        clock = lab.clock
        found = {**conditions(self.checked), "clock": clock.settings.type}
        epoch = self.state.epoch
        if isinstance(lab, EmbeddedLab):
            lab.check_before_start(lambda: self.ledger.require_mine(self.name))
        if hooks is not None:
            lab.say_to(GuardedHooks(hooks).diary)
        if not isinstance(lab, EmbeddedLab):
            found["lab"] = {"server": lab.url, "log": lab.id, "boot": lab.boot}
            epoch = max(epoch, await lab.known_epoch(self.id))  # a restored ledger may be behind
        if self.silenced is not None:
            found["took_over"] = named(self.silenced)
            if hooks is not None:
                hooks.diary(said(self.silenced))
        elif (gone := self._gone()) is not None:
            found["took_over"] = gone
            if hooks is not None:
                hooks.diary(f"taken over from process {gone['pid']} on {gone['host']}, which is gone")
        raised = EpochRaised(epoch + 1, os.getpid(), socket.gethostname(), found)
        rows = self.ledger.append(self.name, clock.now(), [raised])
        missed = rows[0].seq - self.state.seq - 1
        if missed:
            raise LedgerError(
                f"campaign '{self.name}': another process has written {missed} row(s) since its journal was read here; "
                "nothing was sent: run the same command again"
            )
        for row in rows:
            self.state.apply(row)
        strangers = None
        if not isinstance(lab, EmbeddedLab):
            strangers = await take_over_there(lab, self.id, self.ledger, self.state, hooks)
        engine = Engine(self.checked, self.ledger, lab, clock, worker, self.state, hooks, strangers)
        if self._ownership is not None:
            engine.give_signs(self._ownership.sign)
        if not isinstance(lab, EmbeddedLab):
            lab.when_held(engine.wake)
        return engine

    def _gone(self) -> dict[str, Any] | None:
        """Return the process that died while it had the campaign, or None where the last one let it go."""
        recorded = self.ledger.campaign(self.name)
        if self.state.epoch == 0 or self.state.ended is not None or recorded is None:
            return None
        return {"pid": recorded["pid"], "host": recorded["host"]}

    async def close(self) -> None:
        """Let go of lab, time, ownership and ledger; all of them, whatever one of them raises.

        Raises:
            InstrumentFault: an instrument could not be let go of.
        """
        try:
            if self._lab is not None:
                await self._lab.close()
        finally:
            try:
                if isinstance(self._clock, SharedVirtualClock):
                    await self._clock.close()
            finally:
                if self._ownership is not None:
                    self._ownership.release()
                self.ledger.close()


def open_session(
    checked: Checked, home: Path | None, *, simulate: bool = False, take_over: float | None = None
) -> Session:
    """Make the campaign, or take an existing one over.

    Args:
        checked: as pre-flight left it.
        home: the ledger's folder; None keeps everything in memory (benchmarks).
        simulate: whether simulators stand in for real instruments; part of what must not change.
        take_over: real seconds without a sign of life after which it is taken from a process too that still holds it (frozen,
            hung, its machine gone); None for never.

    Raises:
        NameInUseError: a live process runs it or drives one of its real instruments, or what is recorded under the name differs
            (the difference is named).
        InputError: it has no lab: people carry its experiments out.
    """
    if checked.campaign.is_by_people:
        raise by_hand(checked.campaign.name)
    ledger = Ledger(home)
    name = checked.campaign.name
    ownership, silenced = None, None
    settings = {"simulate": simulate, "clock": {"type": checked.lab.clock.type, "factor": checked.lab.clock.factor}}
    try:
        if take_over is not None and ledger.campaign(name) is not None:
            # Before anything is taken: a refusal afterwards would leave the campaign neither fenced nor with its owner.
            require_same(checked, ledger, settings)
        if home is not None:
            ownership = ledger.own(name)
            if take_over is None:
                ownership.take()
            else:
                require_free_instruments(checked)
                silenced = ownership.take_over(take_over)
        recorded = ledger.campaign(name)
        if recorded is not None:
            require_same(checked, ledger, settings)
            if silenced is not None:
                fence(checked, ledger, silenced)
        state = CampaignState(ledger.rows(name))
        if recorded is None:
            state.seq = create(checked, ledger, settings, make_clock(checked.lab.clock).now())
        done = state.ended is not None and state.ended.state == "done" and not Inbox(ledger).untaken(name)
        return Session(checked, ledger, state, done, recorded is None, ownership, home, silenced=silenced)
    except BaseException:
        if ownership is not None:
            ownership.release()
        ledger.close()
        raise


def _moment(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def _lab(checked: Checked, ledger: Ledger, clock: Clock, home: Path | None) -> EmbeddedLab:
    world: World | None = None
    server = checked.lab.world.get("server")
    if server is not None:
        world = RemoteWorld(*address_of(str(server)))
        for key, value in checked.lab.world_settings.items():
            world.settings.setdefault(key, value)
    elif any(i.description.nature == "simulated" for i in checked.lab.instruments.values()):
        path = None if home is None else home / "worlds" / f"{checked.campaign.name}.jsonl"
        world = World(int(checked.lab.world.get("seed", 0)), path, checked.lab.world_settings)
    locks = None if home is None else lock_folder()
    return EmbeddedLab(checked.lab, clock, ledger.artefacts.put, world, locks, holds_lost=True)


def create(checked: Checked, ledger: Ledger, settings: Mapping[str, Any], moment: float) -> int:
    """Record the campaign and its first version; returns the number of the last row."""
    campaign = checked.campaign
    for key, path in campaign.files.contents().items():
        ledger.artefacts.put(key, path.read_bytes(), "application/octet-stream")
    events: list[Event] = [
        CampaignCreated(campaign.seed, dict(settings), uuid.uuid4().hex),
        VersionRecorded(
            1,
            campaign.digest,
            campaign.document.text,
            campaign.document.data,
            list(campaign.document.overridden),
            dict(campaign.files.used),
        ),
    ]
    return ledger.append(campaign.name, moment, events)[-1].seq


def require_same(checked: Checked, ledger: Ledger, settings: Mapping[str, Any]) -> None:
    """Refuse to go on with a campaign under other conditions than those that are recorded."""
    name = checked.campaign.name
    recorded = ledger.campaign(name)
    version = latest_version(ledger, name)
    if recorded is None or version is None:
        return
    differences = [
        f"{key}: recorded {old!r}, now {settings.get(key)!r}"
        for key, old in recorded["settings"].items()
        if settings.get(key) != old
    ]
    if recorded["seed"] != checked.campaign.seed:
        differences.append(f"seed: recorded {recorded['seed']}, now {checked.campaign.seed}")
    if version["digest"] != checked.campaign.digest:
        differences += differing(version["data"], checked.campaign.document.data)
        files, now = version["files"], checked.campaign.files.used
        for key in sorted({*files, *now}):
            if files.get(key) != now.get(key):
                differences.append(f"file {key}: {_short(files.get(key))} recorded, {_short(now.get(key))} now")
    if differences:
        raise NameInUseError(
            f"campaign '{name}' is recorded with other settings; nothing was started:\n  "
            + "\n  ".join(differences)
            + f"\nput them back, amend the campaign (sdl amend {name} FILE), or choose another --name"
        )


def by_hand(name: str) -> InputError:
    """Return the error that says that nothing can run a campaign which has neither protocol nor lab."""
    return InputError(
        f"campaign '{name}' has neither 'protocol' nor 'lab': people carry its experiments out, so there is nothing to run; "
        "sdl propose FILE -n 3 --csv sheet.csv gives them experiments, sdl tell FILE sheet.csv takes their results"
    )


def _short(digest: str | None) -> str:
    return "absent" if digest is None else f"SHA-256 {digest[:12]}…"


def differing(old: Any, new: Any, where: str = "") -> list[str]:  # noqa: ANN401  plain data
    """Return one line for every value that differs between two documents; names and descriptions do not count."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in dict.fromkeys([*old, *new]):
            if not where and key in {"name", "description", "seed"}:
                continue
            lines += differing(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
        return lines
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line for i, (a, b) in enumerate(zip(old, new, strict=True)) for line in differing(a, b, f"{where}[{i}]")
        ]
    return [] if old == new else [f"{where}: recorded {old!r}, now {new!r}"]
