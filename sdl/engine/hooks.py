"""What may be hung on the engine: Prefect, a live view, a test. Hooks watch and ask people; they decide nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdl.driver import Form
    from sdl.ledger import Row
    from sdl.loop import CampaignState, Plan

_log = logging.getLogger("sdl.engine")


@dataclass(frozen=True)
class View:
    """What a watcher sees.

    Attributes:
        campaign: name.
        plan: what the loop works by.
        state: the journal so far.
        busy: instrument → what it is doing.
        now: moment of lab time.
        activity: what the campaign itself is doing, such as `asking the planner`.
    """

    campaign: str
    plan: Plan
    state: CampaignState
    busy: Mapping[str, str] = field(default_factory=dict)
    now: float = 0.0
    activity: str = ""


class Hooks:
    """Base of all hooks: does nothing."""

    async def started(self, view: View) -> None:
        """The engine begins."""

    async def experiment(self, number: int, label: str, run: Callable[[], Awaitable[None]]) -> None:
        """Carry out an experiment by awaiting `run()`, exactly once."""
        del number, label
        await run()

    def recorded(self, rows: list[Row], view: View) -> None:
        """Rows were written."""

    async def round_over(self, view: View) -> None:
        """An experiment or a round came to its end."""

    def diary(self, text: str) -> None:
        """Something worth a line in the lab diary happened."""

    async def ask(self, form: Form) -> Mapping[str, Any] | None:
        """Ask a person and return the values of the form's fields in their units; None where this hook cannot ask anybody.

        Raises:
            InstrumentFault: the person says that it failed.
        """
        del form
        return None

    async def ended(self, view: View) -> None:
        """The engine lets go of the campaign."""


class HookList(Hooks):
    """Several hooks at once; the first one carries experiments out."""

    def __init__(self, *hooks: Hooks) -> None:
        self._hooks = hooks

    async def started(self, view: View) -> None:
        """Tell all."""
        for hook in self._hooks:
            await hook.started(view)

    async def experiment(self, number: int, label: str, run: Callable[[], Awaitable[None]]) -> None:
        """Let the first hook carry it out."""
        await self._hooks[0].experiment(number, label, run)

    def recorded(self, rows: list[Row], view: View) -> None:
        """Tell all."""
        for hook in self._hooks:
            hook.recorded(rows, view)

    async def round_over(self, view: View) -> None:
        """Tell all."""
        for hook in self._hooks:
            await hook.round_over(view)

    def diary(self, text: str) -> None:
        """Tell all."""
        for hook in self._hooks:
            hook.diary(text)

    async def ask(self, form: Form) -> Mapping[str, Any] | None:
        """Let the first one ask that can."""
        for hook in self._hooks:
            answer = await hook.ask(form)
            if answer is not None:
                return answer
        return None

    async def ended(self, view: View) -> None:
        """Tell all."""
        for hook in self._hooks:
            await hook.ended(view)


class GuardedHooks(Hooks):
    """Keeps the trouble of those who watch away from the campaign: what a hook raises is logged, and nothing else.

    An outage of Prefect or a terminal that is gone must not stop a firing, nor keep an abort from the instruments.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    async def started(self, view: View) -> None:
        """Tell the hooks."""
        try:
            await self._hooks.started(view)
        except Exception:  # noqa: BLE001  logged; the campaign goes on
            _log.exception("a hook failed at the start")

    async def experiment(self, number: int, label: str, run: Callable[[], Awaitable[None]]) -> None:
        """Let the hooks carry it out; where they fail before it began, it is carried out all the same."""
        began = ended = False

        async def once() -> None:
            nonlocal began, ended
            if began:
                raise RuntimeError(f"a hook tried to carry out experiment {number} twice")
            began = True
            await run()
            ended = True

        try:
            await self._hooks.experiment(number, label, once)
        except Exception:
            if began and not ended:
                raise  # it is the experiment's own error
            _log.exception("a hook failed at experiment %s", number)
        if not began:
            await once()

    def recorded(self, rows: list[Row], view: View) -> None:
        """Tell the hooks."""
        try:
            self._hooks.recorded(rows, view)
        except Exception:  # noqa: BLE001  logged; the campaign goes on
            _log.exception("a hook failed at row %s", rows[-1].seq if rows else 0)

    async def round_over(self, view: View) -> None:
        """Tell the hooks."""
        try:
            await self._hooks.round_over(view)
        except Exception:  # noqa: BLE001  logged; the campaign goes on
            _log.exception("a hook failed after a round")

    def diary(self, text: str) -> None:
        """Tell the hooks."""
        try:
            self._hooks.diary(text)
        except Exception:  # noqa: BLE001  logged; the campaign goes on
            _log.exception("a hook failed at the diary's line %r", text)

    async def ask(self, form: Form) -> Mapping[str, Any] | None:
        """Ask through the hooks; that nobody can be asked is the answer, and is not kept away."""
        return await self._hooks.ask(form)

    async def ended(self, view: View) -> None:
        """Tell the hooks."""
        try:
            await self._hooks.ended(view)
        except Exception:  # noqa: BLE001  logged; the campaign goes on
            _log.exception("a hook failed at the end")
