"""A late command in Prefect: an event, on which automations of one's own can act, and an artifact for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.artifacts import acreate_markdown_artifact
from prefect.events import emit_event

if TYPE_CHECKING:
    from sdl.ledger import CommandLate

EVENT = "sdl.command.late"
"""Name of the event; its resource is `sdl.campaign.NAME`."""


async def tell_late(event: CommandLate, title: str, text: str, campaign: str, key: str) -> None:
    """Tell Prefect that a command is late.

    Args:
        event: the journal's row.
        title: for people.
        text: for people.
        campaign: name.
        key: what the campaign's artifacts begin with.
    """
    emit_event(
        event=EVENT,
        resource={"prefect.resource.id": f"sdl.campaign.{campaign}", "prefect.resource.name": campaign},
        payload={
            "command": event.command,
            "expected": {"value": event.expected, "unit": "s"},
            "limit": {"value": event.limit, "unit": "s"},
            "started": event.started,
            "text": text,
        },
    )
    await acreate_markdown_artifact(f"# {title}\n\n{text}", key=f"{key}-late", description=title)
