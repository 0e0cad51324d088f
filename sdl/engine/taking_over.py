"""Take a campaign from a process that still holds it and gives no sign of life: frozen, hung, or its machine gone."""

from __future__ import annotations

import math
import os
import socket
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sdl.clock import make_clock
from sdl.engine.environment import environment
from sdl.errors import NameInUseError
from sdl.lab.claims import lock_folder, lock_name
from sdl.ledger import EpochRaised, Ownership
from sdl.ledger.inbox import who
from sdl.ledger.ownership import is_owned, owner_of

if TYPE_CHECKING:
    from sdl.ledger import Ledger
    from sdl.ledger.ownership import FormerOwner
    from sdl.preflight import Checked


def require_free_instruments(checked: Checked) -> None:
    """Refuse to take a campaign over whose instruments another process drives: nothing may drive a furnace twice.

    Raises:
        NameInUseError: a real instrument of its embedded lab is locked.
    """
    if checked.lab.server is not None:
        return
    for name, plan in checked.lab.instruments.items():
        if plan.description.nature != "real":
            continue
        path = Ownership(lock_folder(), lock_name(checked.lab.name, plan)).path
        if is_owned(path):
            pid, host = owner_of(path)
            raise NameInUseError(
                f"campaign '{checked.campaign.name}' cannot be taken over: process {pid} on {host} still drives '{name}' "
                f"({plan.driver}); look whether the instrument is safe, then end that process (kill -9 {pid}) and run again"
            )


def fence(checked: Checked, ledger: Ledger, silenced: FormerOwner) -> None:
    """Raise the epoch before anything is read: what the former owner has written until then is known, and it writes no more.

    Raises:
        LedgerError: the journal cannot be written.
    """
    name = checked.campaign.name
    recorded, rows = ledger.campaign(name), ledger.rows(name)
    epoch = 0 if recorded is None else int(recorded["epoch"])
    found = {**conditions(checked), "took_over": named(silenced)}
    last = datetime.fromisoformat(rows[-1].at).timestamp() if rows else None
    raised = EpochRaised(epoch + 1, os.getpid(), socket.gethostname(), found)
    ledger.append(name, make_clock(checked.lab.clock, last).now(), [raised])


def conditions(checked: Checked) -> dict[str, Any]:
    """Return what is recorded of the process that raises an epoch."""
    instruments = {
        name: {"driver": plan.driver, "nature": plan.description.nature}
        for name, plan in checked.lab.instruments.items()
    }
    return {**environment(), "instruments": instruments, "clock": checked.lab.clock.type}


def named(silenced: FormerOwner) -> dict[str, Any]:
    """Return how the journal says from whom a campaign was taken; `silent` in seconds, None where it cannot be told."""
    age = round(silenced.silent, 1) if math.isfinite(silenced.silent) else None
    return {"pid": silenced.pid, "host": silenced.host, "silent": age, "asked_by": who()}


def said(silenced: FormerOwner) -> str:
    """Return the same in words."""
    since = f"for {silenced.silent:.0f} s" if math.isfinite(silenced.silent) else "that could be read"
    return (
        f"taken over from process {silenced.pid} on {silenced.host}, which still held the campaign and had given no sign of life "
        f"{since}; it can write no more"
    )
