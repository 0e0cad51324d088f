"""Questions as forms in Prefect: a small flow run of its own for each, paused with typed input; the campaign's run goes on.

What a person fills in goes into the campaign's inbox like an answer from a terminal: whoever answers first settles the question.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from prefect import flow, get_client
from prefect.context import FlowRunContext, TagsContext, TaskRunContext
from prefect.flow_runs import apause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Crashed
from pydantic import Field, create_model

from sdl.driver.form import said
from sdl.engine.questions import answers_of, fields_of
from sdl.ledger import Inbox

from .runs import YEARS, body_of, by

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from sdl.ledger import Ledger, QuestionAnswered, QuestionOpened

_LOOK = 2
"""Seconds between two looks whether the form was sent, and whether the campaign took the answer."""

_AGAIN = 30
"""Seconds after which a form that Prefect could not keep is shown anew. Chosen: its server takes 10 s to start."""

_PATIENCE = 10.0
"""Seconds that the end waits for forms that are just being made: a run that has not begun cannot be given a last state."""

_log = logging.getLogger("sdl.flows")


class Forms:
    """The open forms of a campaign.

    Args:
        campaign: its name.
        ledger: in whose inbox the answers go.
        tags: of their runs, by which the campaign's next process finds them.
    """

    def __init__(self, campaign: str, ledger: Ledger, tags: tuple[str, ...]) -> None:
        self._tags = tags
        self._campaign = campaign
        self._ledger = ledger
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, UUID] = {}
        self._sent: dict[str, str] = {}
        self._settled: dict[str, State[Any]] = {}
        self._half_made: dict[str, asyncio.Task[None]] = {}

    def open(self, question: QuestionOpened) -> None:
        """Show a form; returns at once."""
        if question.question in self._tasks:
            return
        # A run of its own, not part of the campaign's: pausing it must pause nothing else.
        alone = contextvars.copy_context()
        alone.run(lambda: (FlowRunContext.__var__.set(None), TaskRunContext.__var__.set(None)))
        name = f"form-{question.question}"
        self._tasks[question.question] = asyncio.create_task(self._show(question), name=name, context=alone)

    async def answered(self, event: QuestionAnswered) -> None:
        """Close the form of a question that is settled, and say there by whom."""
        if self._sent.get(event.question) == event.by:
            return  # it was this form: its run ends by itself
        reason = f" ({event.reason})" if event.reason else ""
        await self._close(event.question, Completed(name="Answered", message=f"{event.answer}, by {event.by}{reason}"))

    async def asked_again(self, question: QuestionOpened, times: int) -> None:
        """Say in the form's name that nobody has answered for long; a form that somebody cancelled is shown anew."""
        run = self._runs.get(question.question)
        if run is None:
            return
        async with get_client() as client:
            state = (await client.read_flow_run(run)).state
            if state is not None and (state.is_final() or state.is_cancelling()):
                await self._close(question.question, Cancelled(message="the question is still open: it has a new form"))
                self.open(question)
            else:
                await client.update_flow_run(run, name=f"{self._campaign} · {question.question} · ASKED {times} TIMES")

    async def end(self) -> None:
        """Close every form: no process is there any more to take an answer at once."""
        answered = [t for q, t in self._tasks.items() if q in self._sent]
        if answered:
            await asyncio.wait(answered, timeout=2 * _LOOK)
        message = "no process runs the campaign; answer with: sdl answer, or go on with it"
        for question in list(self._tasks):
            await self._close(question, Cancelled(message=message))
        if not self._half_made:
            return
        _, late = await asyncio.wait(self._half_made.values(), timeout=_PATIENCE)
        for question in [q for q, task in self._half_made.items() if task in late]:
            await self._cut_off(self._half_made.pop(question), question, self._settled[question])

    async def _close(self, question: str, state: Any) -> None:  # noqa: ANN401  Prefect's state
        task = self._tasks.pop(question, None)
        if task is None or task.done():
            return
        if question not in self._runs:
            # Prefect is just making the run, and only the run itself can say which it is: it ends as soon as it begins.
            self._settled[question] = state
            self._half_made[question] = task
            return
        await self._cut_off(task, question, state)

    async def _cut_off(self, task: asyncio.Task[None], question: str, state: State[Any]) -> None:
        """End a form's task, and give its run a last state."""
        if task is not asyncio.current_task():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        run = self._runs.pop(question, None)
        if run is not None:
            async with get_client() as client:
                await client.set_flow_run_state(run, state, force=True)

    async def _show(self, question: QuestionOpened) -> None:
        shown = f"experiment {question.experiment}: {question.about}"
        while question.question not in self._settled:
            try:
                # The task of an experiment, from which a question comes, has no tags.
                with TagsContext(current_tags=set(self._tags)):
                    await form_flow(self._campaign, question.question, shown, _Given(self, question))
                return
            except Exception as error:  # noqa: BLE001  Prefect's trouble is never the campaign's
                _log.warning("question %s has no form in Prefect: %s; it is shown anew", question.question, error)
            await asyncio.sleep(_AGAIN)
            run = self._runs.pop(question.question, None)
            if run is not None:
                with contextlib.suppress(Exception):
                    async with get_client() as client:
                        await client.set_flow_run_state(run, Crashed(message="it has a new form"), force=True)

    async def ask(self, question: QuestionOpened) -> State[Any]:
        """Pause the present run until its form is sent with an answer that the campaign takes; returns the run's last state."""
        self._runs[question.question] = UUID(str(flow_run.id))
        if question.question in self._settled:
            return self._settled[question.question]
        inbox, refused = Inbox(self._ledger), ""
        while True:
            model = _model(question).with_initial_data(description=_described(self._campaign, question, refused))
            given = await apause_flow_run(wait_for_input=model, timeout=YEARS, poll_interval=_LOOK)
            if given is None:
                continue
            filled = given.model_dump()
            self._sent[question.question] = by(filled)
            request = inbox.put(self._campaign, by(filled), "answer", body_of(question, filled))
            while (found := inbox.one(request)).outcome is None:  # noqa: ASYNC110  another task, or process, takes it
                await asyncio.sleep(_LOOK / 4)
            if found.outcome == "done":
                return Completed(message=found.said or "")
            refused = found.said or "it was refused"


class _Given:
    """Carries what a form needs into its flow, past Prefect's parameters, which are recorded and shown."""

    def __init__(self, forms: Forms, question: QuestionOpened) -> None:
        self.forms = forms
        self.question = question

    def __repr__(self) -> str:
        return self.question.question


@flow(
    name="question",
    flow_run_name="{campaign} · {question} · {about}",
    retries=0,
    persist_result=False,
    validate_parameters=False,
)
async def form_flow(campaign: str, question: str, about: str, given: Any) -> Any:  # noqa: ANN401  Prefect's state
    """Show one question as a form.

    Args:
        campaign: for the run's name.
        question: for the run's name.
        about: for the run's name.
        given: what is asked, and by whom.
    """
    del campaign, question, about
    return await given.forms.ask(given.question)


def _model(question: QuestionOpened) -> type[RunInput]:
    """Return the form's fields: the answer, the values of its result, who answers and why."""
    words = tuple(answers_of(question))
    fields: dict[str, Any] = {
        "answer": (Literal[words], Field(description="; ".join(f"{w}: {m}" for w, m in answers_of(question).items())))
    }
    for spec in fields_of(question.fields):
        told = f"with 'done': {said(spec)}; a quantity such as '12 mm' is converted"
        fields[spec.name] = (str, Field(default="", description=told))
    fields["by"] = (str, Field(min_length=1, description="who you are"))
    fields["reason"] = (str, Field(default="", description="why"))
    made: type[RunInput] = create_model("Answer", __base__=RunInput, **fields)
    return made


def _described(campaign: str, question: QuestionOpened, refused: str) -> str:
    lines = [f"# {campaign}: {question.question}, experiment {question.experiment}", "", question.text, ""]
    lines += [f"- **{word}**: {meaning}" for word, meaning in answers_of(question).items()]
    if refused:
        lines += ["", f"**The last answer was refused:** {refused}"]
    return "\n".join(lines)
