"""Whether too little is still to be gained, as the planner's last rounds state it: from the journal alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdl.campaign import StopGain
    from sdl.loop.state import CampaignState, RoundState


@dataclass(frozen=True)
class GainStated:
    """What a round of the planner said of what is still to be gained.

    Attributes:
        round: its number.
        more_than: the improvement in question, in the objective's unit.
        probability: that more is to be gained, or None where it could not be told.
        error: standard error of the probability, or None.
        missing: why it could not be told, or None.
        described: what else was said.
    """

    round: int
    more_than: float | None
    probability: float | None
    error: float | None
    missing: str | None
    described: dict[str, Any]


def gain_stated(told: RoundState) -> GainStated | None:
    """Return what a round said, or None where it was not asked, or has not answered."""
    said = None if told.proposed is None else told.proposed.diagnostics.get("gain")
    if not isinstance(said, dict):
        return None
    missing = said.get("missing")
    return GainStated(
        told.opened.round,
        _number(said.get("more_than")),
        _number(said.get("probability")),
        _number(said.get("standard_error")),
        None if missing is None else str(missing),
        said,
    )


def gains_stated(state: CampaignState) -> list[GainStated]:
    """Return what the rounds said of what is still to be gained, in order; rounds that say nothing are left out."""
    return [said for told in state.rounds if (said := gain_stated(told)) is not None]


def gain_unlikely(rule: StopGain | None, state: CampaignState) -> str | None:
    """Say that the last rounds hold it for unlikely that more is to be gained, or None.

    Each of the last `rule.rounds` rounds that were answered must state a probability of at most `rule.probability`, for an
    improvement that is no larger than the rule's. Rounds from before a new version, a lifted constraint, or a retracted or
    corrected observation were asked something else, or knew something else: they do not count.

    Args:
        rule: of the campaign, or None.
        state: its journal so far.
    """
    if rule is None:
        return None
    answered = [r for r in state.rounds if r.proposed is not None and r.seq > state.turned][-rule.rounds :]
    if len(answered) < rule.rounds:
        return None
    stated = [gain_stated(told) for told in answered]
    probabilities = []
    for said in stated:
        if said is None or said.probability is None or said.more_than is None:
            return None
        if said.probability > rule.probability or said.more_than > rule.more_than * (1 + 1e-9):
            return None
        probabilities.append(said.probability)
    last, first = answered[-1].opened.round, answered[0].opened.round
    which = f"round {last} states" if first == last else f"rounds {first} to {last} state"
    return (
        f"that more than {rule} is still to be gained in {rule.objective} has become unlikely: {which} a probability of at most "
        f"{max(probabilities):.2g}, and {rule.probability:g} is enough"
    )


def describe_gain(said: GainStated, rule: StopGain | None) -> str:
    """Return what a round said in a line for people."""
    unit = "" if rule is None or rule.unit == "dimensionless" else f" {rule.unit}"
    size = "more" if said.more_than is None else f"more than {said.more_than:g}{unit}"
    if said.probability is None:
        why = "" if said.missing is None else f": {said.missing}"
        return f"how probable it is that {size} is still to be gained cannot be told yet{why}"
    error = "" if said.error is None else f" ± {said.error:.1g}"
    limit = ""
    if rule is not None:
        count = "one round says so" if rule.rounds == 1 else f"{rule.rounds} rounds in a row say so"
        limit = f" (stops at {rule.probability:g}, once {count})"
    return f"{size} is still to be gained with probability {said.probability:.2g}{error}{limit}"


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
