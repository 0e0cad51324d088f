"""A campaign whose lab is a server: reach it, take the campaign over there, and learn what it knows that the ledger does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.clock.shared import SharedVirtualClock
from sdl.engine.adoption import Strangers, adopted, dispute
from sdl.engine.whole_log import doubtful, is_irreversible, require_whole
from sdl.errors import LabError
from sdl.ledger import CommandIntended, CommandSettled, EpochRaised, SampleCleared
from sdl.preflight.served import token_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdl.driver import Command, Reply
    from sdl.engine.hooks import Hooks
    from sdl.lab.client import RemoteLab
    from sdl.ledger import Event, Ledger
    from sdl.loop import CampaignState
    from sdl.preflight import Checked


async def open_served(checked: Checked, ledger: Ledger, state: CampaignState, last: float | None) -> RemoteLab:
    """Reach the lab server of a campaign; nothing is sent to an instrument.

    Args:
        checked: the campaign.
        ledger: where raw data are kept.
        state: its journal so far.
        last: the last moment in it, or None.

    Raises:
        LabError: it does not answer, or keeps another command log than the one on which the ledger's open commands stand.
    """
    from sdl.lab.client import RemoteLab  # HTTP is needed by campaigns on a server alone

    lab = RemoteLab(checked.lab, checked.campaign.name, token_of(checked.campaign.lab.token), ledger.artefacts.put)
    try:
        await lab.open(last)
        before = _log_before(ledger, checked.campaign.name)
        if before not in {None, lab.id} and any(True for _ in state.open_commands()):
            raise LabError(
                f"campaign '{checked.campaign.name}' has open commands on another command log than that of the server at "
                f"{lab.url}; start the server with its old --home; nothing was sent"
            )
    except BaseException:
        await lab.close()
        if isinstance(lab.clock, SharedVirtualClock):
            await lab.clock.close()  # else shared time would wait for this process
        raise
    return lab


async def take_over(
    lab: RemoteLab, campaign: str, ledger: Ledger, state: CampaignState, hooks: Hooks | None
) -> Strangers:
    """Take a campaign over at its lab server with the epoch that was just recorded.

    Returns:
        The commands that the server accepted and the ledger does not know.

    Raises:
        ProtocolError: another process has taken it over, or another campaign of that name has used the lab.
        LabError: the server's command log is older than the ledger; the server is not told of this process.
    """
    name = campaign.rpartition(".")[0]
    journal = ledger.rows(name)
    rows = [r.event for r in journal]
    # Before it hears of the new epoch, which would hide that it is behind.
    known_there = await lab.known_states(campaign)
    states = {command: state for command, (state, _) in known_there.items()}
    require_whole(lab, rows, await lab.known_epoch(campaign), states)
    lab.doubtful = doubtful(lab, journal, {command: moments for command, (_, moments) in known_there.items()})
    await lab.take_over(campaign, state.epoch)
    known = [e.command for e in rows if isinstance(e, CommandIntended)]
    sent = await lab.commands_sent()
    await _tell(lab, sent, rows)
    lab.lost = {c.id for c, reply in sent if reply is not None and reply.status == "unknown"} & set(known)
    under_way = {c.id for c, reply in sent if reply is None and states.get(c.id) == "started"}
    foreign = (under_way - set(known)) | adopted(rows)
    lab.disputed = {
        c.id: dispute(c) for c, _ in sent if c.id in foreign and is_irreversible(lab, c.instrument, c.action)
    }
    strangers = Strangers(sent, known, under_way, lambda command: lab.answered(command, "unknown"))
    if len(strangers) and hooks is not None:
        hooks.diary(
            f"the lab server knows {len(strangers)} commands that the ledger does not: it was restored from before them"
        )
    return strangers


async def _tell(lab: RemoteLab, sent: Iterable[tuple[Command, Reply | None]], rows: Iterable[Event]) -> None:
    """Tell the server what people told the campaign and the server may not have heard, because a process died in between."""
    fates = {e.command: e.status for e in rows if isinstance(e, CommandSettled)}
    for command, reply in sent:
        fate = fates.get(command.id, "unknown")
        if reply is not None and reply.status == "unknown" and fate != "unknown":
            await lab.tell_answered(command.id, fate)
    for event in rows:
        if isinstance(event, SampleCleared):
            await lab.tell_cleared(event.sample)


def _log_before(ledger: Ledger, name: str) -> str | None:
    """Return the id of the command log on which the campaign's last process worked, or None."""
    raised = [r.event for r in ledger.rows(name) if isinstance(r.event, EpochRaised)]
    logs = (e.environment.get("lab", {}).get("log") for e in reversed(raised))
    return next((log for log in logs if log is not None), None)  # who took it over may not have reached the lab
