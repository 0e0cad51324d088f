"""What a report says of why: models and what matters, intervals told and kept, each proposal, what is left to be gained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdl.errors import LedgerError, PlannerError
from sdl.ledger import RoundProposed
from sdl.loop import gains_stated
from sdl.preflight import recorded_problem
from sdl.preflight.constrained import constrained_problem
from sdl.report.explaining import CampaignExplained, ProposalTold, campaign_explained, proposals_explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.campaign import StopGain
    from sdl.ledger import Ledger, Row
    from sdl.loop import CampaignState, GainStated


@dataclass(frozen=True)
class Why:
    """What a report says of why.

    Attributes:
        explained: models, effects, influence, coverage; or why they cannot be told.
        proposals: each experiment.
        gains: what rounds said of what is still to be gained, in order.
        rule: when that is little enough, or None.
    """

    explained: CampaignExplained
    proposals: tuple[ProposalTold, ...]
    gains: tuple[GainStated, ...] = ()
    rule: StopGain | None = None


def why_of(
    ledger: Ledger, name: str, version: int, rows: Sequence[Row], state: CampaignState, rule: StopGain | None
) -> Why | None:
    """Return why, as far as the rows go and the problem can be read; None where the planner is not installed here.

    Args:
        ledger: where the campaign is recorded.
        name: of the campaign.
        version: its last one among the rows.
        rows: of its journal; nothing that came after them counts.
        state: their fold.
        rule: when little enough is to be gained, or None.
    """
    try:
        planner, problem = recorded_problem(ledger, name, version)
        problem = constrained_problem(problem, state.constraints)
    except PlannerError:
        return None
    except LedgerError as error:
        # Such as help that can no longer be read: the rest of the report can be seen all the same.
        missing = {"models": str(error), "coverage": str(error)}
        planner = next((r.event.planner for r in reversed(rows) if isinstance(r.event, RoundProposed)), "")
        nothing = CampaignExplained(name, planner, rows[-1].seq, rows[-1].hash, missing=missing)
        return Why(nothing, (), tuple(gains_stated(state)), rule)
    proposals = proposals_explained(problem, state)
    try:
        found = campaign_explained(name, planner, problem, rows, state)
    except Exception as error:  # noqa: BLE001  a fit that fails must not keep the rest of the report from being seen
        said = f"could not be computed: {type(error).__name__}: {error}"
        found = CampaignExplained(name, planner, rows[-1].seq, rows[-1].hash, missing={"models": said})
    return Why(found, proposals, tuple(gains_stated(state)), rule)
