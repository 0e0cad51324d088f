"""What an action asks a person while it is under way: at the terminal, and as a question elsewhere; the first answer counts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdl.driver.context import nobody_to_ask
from sdl.engine import questions
from sdl.errors import InstrumentFault, LedgerError, OutcomeUnknown
from sdl.ledger import QuestionAnswered
from sdl.ledger.inbox import who

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.driver import Form
    from sdl.engine.engine import Engine
    from sdl.ledger import QuestionOpened

_TURNS = 3
"""Turns of the event loop after which a terminal that is there is asking; where nobody can be asked that is said at once."""


@dataclass(frozen=True)
class _Answer:
    """What somebody answered from elsewhere: values, or what went wrong."""

    by: str
    values: Mapping[str, Any]
    fault: str | None


class Asking:
    """Asks people what actions want to know.

    Args:
        engine: whose campaign it is; its terminal is asked through the hooks.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._at_screen = asyncio.Lock()
        self._open: dict[str, asyncio.Future[_Answer]] = {}

    async def ask(self, form: Form) -> Mapping[str, Any]:
        """Ask a person, and return the values of the form's fields in their units.

        Raises:
            InstrumentFault: the person says that it failed.
            OutcomeUnknown: nobody can be asked, or the terminal was closed before anybody had answered.
        """
        self._engine.hooks.diary(f"{form.title}: a person is asked")
        here = asyncio.ensure_future(self._screen(form))
        try:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if here.done() or not form.command or self._engine.ledger.home is None:
                answer = await here
                return await nobody_to_ask(form) if answer is None else answer
            return await self._everywhere(form, here)
        finally:
            here.cancel()

    async def _screen(self, form: Form) -> Mapping[str, Any] | None:
        """Ask at the terminal; several forms come one after another."""
        async with self._at_screen:
            return await self._engine.hooks.ask(form)

    async def _everywhere(self, form: Form, here: asyncio.Future[Mapping[str, Any] | None]) -> Mapping[str, Any]:
        opened = self._opened(form)
        elsewhere: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._open[opened.question] = elsewhere
        try:
            self._engine.record([opened])
            both: set[asyncio.Future[Any]] = {here, elsewhere}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if elsewhere.done():
                answer = elsewhere.result()
                here.cancel(f"answered by {answer.by}")
                await asyncio.gather(here, return_exceptions=True)
                if answer.fault is not None:
                    raise InstrumentFault(answer.fault)
                return answer.values
            values = here.result()
            if values is None:
                return await nobody_to_ask(form)
            self._settle(opened.question, "done", dict(values), "")
            return values
        except InstrumentFault as fault:
            self._settle(opened.question, "failed", {}, str(fault))
            raise
        except (asyncio.CancelledError, OutcomeUnknown):
            with suppress(LedgerError):  # the next start withdraws it
                self._settle(opened.question, questions.WITHDRAWN, {}, "the action no longer waits for it")
            raise
        finally:
            del self._open[opened.question]

    def _opened(self, form: Form) -> QuestionOpened:
        engine = self._engine
        command = engine.command(form.command)
        return questions.form_opened(engine.state, command, form, engine.ask_again_after)

    def _settle(self, question: str, answer: str, values: dict[str, Any], reason: str) -> None:
        """Record what was answered here, unless somebody else was first."""
        if question not in self._engine.state.answers:
            self._engine.record([QuestionAnswered(question, answer, values, who(), reason)])

    # --- from elsewhere ----------------------------------------------------------------------------------------------

    def is_asking(self, question: str) -> bool:
        """Whether an action of this process waits for the answer to a question."""
        return question in self._open

    def answered(self, question: str, by: str, values: Mapping[str, Any], fault: str | None) -> None:
        """Give an action what somebody answered from elsewhere; it stands in the journal already."""
        future = self._open.get(question)
        if future is not None and not future.done():
            future.set_result(_Answer(by, values, fault))

    def withdraw_left(self) -> None:
        """Withdraw the forms of a dead process: whether it was done is now asked about the command itself."""
        left = [q.question for q in self._engine.state.open_questions() if q.about == "form"]
        for question in left:
            if question not in self._open:
                self._settle(question, questions.WITHDRAWN, {}, "the process that asked is gone")
