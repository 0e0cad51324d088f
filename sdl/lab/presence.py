"""Which campaigns are there: whoever asked something of the lab server lately, by real seconds."""

from __future__ import annotations

import time


class Presence:
    """Remembers when each campaign was last heard of."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def seen(self, campaign: str) -> None:
        """Note that a campaign asked something."""
        self._seen[campaign] = time.monotonic()

    def left(self, campaign: str) -> None:
        """Note that a campaign's process ended as it should; it is not missed."""
        self._seen.pop(campaign, None)

    def gone(self, campaign: str) -> float | None:
        """Return for how many real seconds nothing was heard of a campaign; None where it is not missed."""
        last = self._seen.get(campaign)
        return None if last is None else time.monotonic() - last
