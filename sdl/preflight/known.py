"""What was measured before a campaign, as a planner sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.planners import Trial

if TYPE_CHECKING:
    from sdl.campaign import Draft


def known_trials(draft: Draft) -> tuple[Trial, ...]:
    """Return what was known before a campaign began as trials of source `file`; row k of the table has number 1 − k."""
    return tuple(
        Trial(-index, known.candidate, "file", "failed" if known.is_failed else "done", known.outcomes)
        for index, known in enumerate(draft.known)
    )
