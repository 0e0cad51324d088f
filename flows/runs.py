"""A campaign's flow runs: by what Prefect knows them, and how those that a dead process left are set right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled, Completed, Crashed

from sdl.engine.questions import fields_of
from sdl.ledger import Inbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

    from sdl.engine import Session
    from sdl.ledger import QuestionOpened

YEARS = 10 * 365 * 86400
"""Seconds that a pause lasts in Prefect; how long a campaign or a question waits is the campaign's own matter."""

_LIVING = [StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING, StateType.PENDING]
"""States in which Prefect shows a run as one that still lives."""

_MANY = 200
"""Runs that Prefect returns at once, its own limit. Those that are left over are set right, so that more come the next time."""

_SENT = re.compile(r"paused-(\d+)-response")
"""Key of what was filled into the form of a run's n-th pause (Prefect's `prefect.input.keyset_from_paused_state`)."""


def tags_of(session: Session) -> tuple[str, ...]:
    """Return the tags of a campaign's flow runs; the last one belongs to no other campaign, whatever that is called."""
    return "sdl", session.name, session.id


async def put_right(session: Session, own: UUID | None) -> list[str]:
    """Set right what Prefect shows of a campaign's dead processes; whoever owns the campaign knows that they are gone.

    A process that dies leaves its flow runs as Running or Paused for ever: its own, and those of its forms. A form that was sent
    when nobody was there to take it goes into the inbox now.

    Args:
        session: the campaign, which this process owns.
        own: id of the flow run of this process; None where the campaign is over and nothing goes on.

    Returns:
        A line for the diary about each.
    """
    lines = []
    async with get_client() as client:
        for run in await _left_over(client, session.id, own):
            number = (run.parameters or {}).get("question")
            if number is not None:
                lines.append(await _close_form(client, session, run, str(number)))
                continue
            if own is None:
                ended = session.state.ended
                how = "over" if ended is None else f"{ended.state}: {ended.reason}"
                state = Completed(message=f"the campaign is {how}; the process of this run died before it could say so")
            else:
                state = Crashed(message=f"its process is gone; the campaign goes on in flow run {own}")
            await client.set_flow_run_state(run.id, state, force=True)
            lines.append(
                f"the last process is gone: its flow run '{run.name}' is shown as {state.type.value.lower()} now"
            )
    return lines


async def _left_over(client: PrefectClient, tag: str, own: UUID | None) -> list[FlowRun]:
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[tag]), state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_LIVING))
    )
    return [r for r in await client.read_flow_runs(flow_run_filter=wanted, limit=_MANY) if r.id != own]


async def _close_form(client: PrefectClient, session: Session, run: FlowRun, number: str) -> str:
    question = session.state.questions.get(number)
    given = await _sent(client, run) if run.state is not None and run.state.is_running() else None
    if given is None or question is None or number in session.state.answers:
        state: Any = Cancelled(
            message="its process is gone; a question that is still open has a new form, or answer with: sdl answer"
        )
        said = f"the form of {number} that a dead process left is closed"
    else:
        who = by(given)
        # First what counts: taken twice, it is refused the second time.
        Inbox(session.ledger).put(session.name, who, "answer", body_of(question, given))
        state = Completed(name="Sent", message=f"{given.get('answer')}, by {who}; taken when the campaign went on")
        said = f"{number} was answered in Prefect while no process ran the campaign: {given.get('answer')}, by {who}"
    await client.set_flow_run_state(run.id, state, force=True)
    return said


async def _sent(client: PrefectClient, run: FlowRun) -> Mapping[str, Any] | None:
    """Return what was filled into a form last, or None."""
    found = await client.filter_flow_run_input(run.id, key_prefix="paused-", limit=_MANY, exclude_keys=set())
    sent = {int(m[1]): i.decoded_value for i in found if (m := _SENT.fullmatch(i.key)) is not None}
    return sent[max(sent)] if sent else None


def by(given: Mapping[str, Any]) -> str:
    """Return who filled a form in."""
    return f"{given.get('by')} (Prefect)"


def body_of(question: QuestionOpened, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was filled into a question's form as the body of a request."""
    values = {f.name: given[f.name] for f in fields_of(question.fields) if given.get(f.name)}
    return {
        "question": question.question,
        "answer": given.get("answer"),
        "values": values,
        "reason": given.get("reason", ""),
    }
