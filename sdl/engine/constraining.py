"""Constraints that people add on the way: from then on nothing is proposed, added or started that breaks one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.errors import InputError, SpaceError
from sdl.ledger import ConstraintAdded, Event, ExperimentRejected
from sdl.preflight.constrained import constrained, constrained_space
from sdl.space import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sdl.loop import CampaignState, ExperimentRecord
    from sdl.preflight import Checked
    from sdl.space import Space, Value


def broken_by(space: Space, constraints: Iterable[str], candidate: Mapping[str, Value]) -> list[str]:
    """Return how a candidate breaks further constraints; empty where it keeps them all, or cannot be asked."""
    found = []
    for text in constraints:
        for constraint in constrained_space(space, [text]).expressions:
            if str(constraint) != text:
                continue
            try:
                said = constraint.problem_of(space.encode([candidate])[0], space.parameters)
            except (SpaceError, KeyError, ValueError):
                continue
            found += [] if said is None else [said]
    return found


def outside(
    checked: Checked, constraints: Sequence[str], experiments: Iterable[tuple[int, Mapping[str, Value]]]
) -> list[ExperimentRejected]:
    """Return the rows that give up those experiments, none of them started, which break one of the constraints."""
    if not constraints:
        return []
    rows = []
    for number, values in experiments:
        candidate = Candidate({**checked.problem.was, **values})
        if said := broken_by(checked.campaign.space, constraints, candidate):
            rows.append(ExperimentRejected(number, "sdl", "; ".join(said)))
    return rows


def add_constraint(
    checked: Checked, state: CampaignState, record: ExperimentRecord, text: str, by: str, reason: str
) -> tuple[list[Event], str]:
    """Return the rows that add a constraint, and what the person is told.

    Args:
        checked: the campaign as in its file.
        state: its journal so far.
        record: the experiment at which it was found out.
        text: the condition.
        by: who.
        reason: why.

    Raises:
        InputError: it is no constraint of this space, holds already, leaves nothing, or the planner cannot keep it.
    """
    text = " ".join(text.split())
    if text in state.constraints or text in {str(c) for c in checked.campaign.space.constraints}:
        raise InputError(f"the constraint {text} is in force already")
    constrained(checked, [*state.constraints, text])
    others = [(e.number, e.candidate) for e in state.in_state("proposed") if e.number != record.number]
    given_up = outside(checked, [text], others)
    said = f"from now on nothing is proposed that breaks {text}"
    if given_up:
        numbers = ", ".join(str(r.experiment) for r in given_up)
        said += f"; experiment {numbers}, not started yet, is given up with it"
    if not broken_by(checked.campaign.space, [text], {**checked.problem.was, **record.candidate}):
        said += f" (experiment {record.number} itself does not break it)"
    return [ConstraintAdded(text, record.number, by, reason), *given_up], said
