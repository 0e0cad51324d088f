"""What Prefect shows of a campaign: tasks, artifacts, a diary in the logs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import get_client, get_run_logger, task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.context import TagsContext
from prefect.exceptions import MissingContextError
from prefect.runtime import flow_run

from sdl.engine import Hooks
from sdl.engine.notifying import message_of
from sdl.errors import SdlError
from sdl.ledger import CommandLate, QuestionAnswered, QuestionAskedAgain, QuestionOpened
from sdl.objective import DESIRABILITY, is_joint, is_several, joint_desirability

from .forms import Forms
from .late import tell_late
from .results import front_numbers, headed, result_lines
from .runs import tags_of
from .watch import RunWatch

if TYPE_CHECKING:
    from sdl.engine import Engine, Session, View
    from sdl.ledger import Row

_EVERY = 5.0
"""Seconds between two refreshes of the artifacts; each refresh of a table is a new version of it in Prefect's database."""

_PATIENCE = 15.0
"""Seconds that the campaign waits for Prefect to take an artifact."""

_SHORT = 2.0
"""The same while Prefect did not take the last thing either. Chosen: an outage must not hold up the end, step by step."""

_log = logging.getLogger("sdl.flows")


class ExperimentFailed(SdlError):  # noqa: N818  shown in the UI as the task's reason
    """The experiment failed; the campaign goes on."""


class PrefectHooks(Hooks):
    """Shows a campaign in Prefect.

    Args:
        session: the campaign.
        home: where its report will lie.
        say: tells the person at the terminal where to look.

    Attributes:
        has_begun: whether the campaign runs, or ran, within a flow run.
    """

    def __init__(self, session: Session, home: Path, say: Callable[[str], None] | None = None) -> None:
        self._session = session
        self._say = say
        self._home = home
        self._report = home / "reports" / f"{session.name}.html"
        self._forms = Forms(session.name, session.ledger, tags_of(session))
        self._watch: RunWatch | None = None
        self._closing: set[asyncio.Task[None]] = set()
        campaign = session.checked.campaign
        self._units = {n: p.unit for n, p in campaign.space.parameters.items()}
        self._outcome_units = {o: campaign.unit_of(o) for o in campaign.outcomes}
        self._key = "".join(c if c.isalnum() else "-" for c in session.name.lower()).strip("-") or "campaign"
        self._progress: Any = None
        self.has_begun = False
        self._refreshed = 0.0
        self._is_refreshing = False
        self._is_deaf = False

    async def watched(self, engine: Engine) -> tuple[str, str]:
        """Run the engine within a flow run."""
        self.has_begun = True
        try:
            return await engine.run()
        finally:  # also where it failed: Prefect is about to be told, and nobody may call it running again after that
            if self._watch is not None:
                await self._watch.end()
            await self._safely(self._forms.end())

    async def started(self, view: View) -> None:
        """Make the artifacts."""
        campaign = self._session.checked.campaign
        self.diary(f"campaign {campaign.name}: {campaign.description}")
        url = flow_run.ui_url
        if url is not None:
            self.tell(f"this run in Prefect: {url}")
        self.diary(f"report: file://{self._report}")
        if flow_run.id is not None and self._session.ledger.home is not None:
            run = UUID(str(flow_run.id))
            self._watch = RunWatch(self._session, run, self._note)
            await self._safely(self._tag(run))
            await self._safely(self._watch.put_right())
            self._watch.begin()
            for question in view.state.open_questions():
                self._forms.open(question)
        await self._safely(self._make_progress(view))

    async def experiment(self, number: int, label: str, run: Callable[[], Awaitable[None]]) -> None:
        """Carry an experiment out as a task of its own, with a readable name."""
        state = self._session.state

        async def body() -> None:
            await run()
            record = state.experiments[number]
            if record.state in {"failed", "aborted"}:
                raise ExperimentFailed(f"{record.state}: {record.reason}")

        body.__doc__ = label
        named = task(
            body,
            name="experiment",
            task_run_name=f"{number:03d} · {label}".replace("{", "(").replace("}", ")"),
            retries=0,
            cache_policy=NO_CACHE,
            persist_result=False,
        )
        # Without tags: for each of them Prefect asks its server for a slot before a task begins, and while that is away nothing
        # would begin. That a failed experiment fails its task is for those who look; for the campaign it is data.
        with contextlib.suppress(ExperimentFailed), TagsContext(current_tags=set()):
            await named()

    def recorded(self, rows: list[Row], view: View) -> None:
        """Show late commands, and a form for every question until it is answered, here or elsewhere."""
        for row in rows:
            if isinstance(row.event, CommandLate) and (told := message_of(row.event, view)) is not None:
                self._soon(tell_late(row.event, *told[1:], view.campaign, self._key))
        if self._watch is None:
            return
        for row in rows:
            if isinstance(row.event, QuestionOpened):
                self._forms.open(row.event)
            elif isinstance(row.event, QuestionAskedAgain):
                self._soon(self._forms.asked_again(view.state.questions[row.event.question], row.event.times))
            elif isinstance(row.event, QuestionAnswered):
                self._soon(self._forms.answered(row.event))

    @property
    def is_cancelled(self) -> bool:
        """Whether the flow run was cancelled in Prefect."""
        return self._watch is not None and self._watch.is_cancelled

    def _soon(self, action: Awaitable[None]) -> None:
        task = asyncio.create_task(self._safely(action))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _note(self, text: str) -> None:
        """Say at both places what happened between Prefect and the campaign."""
        self.diary(text)
        self.tell(text)

    def tell(self, text: str) -> None:
        """Tell the person at the terminal."""
        if self._say is not None:
            self._say(text)

    @property
    def tags(self) -> tuple[str, ...]:
        """By what the campaign's flow runs are found."""
        return tags_of(self._session)

    async def _tag(self, run: UUID) -> None:
        """Tag the flow run, where a deployment made it."""
        tags = list(flow_run.tags or ())
        if not set(self.tags) <= set(tags):
            async with get_client() as client:
                await client.update_flow_run(run, tags=[*tags, *self.tags])

    def diary(self, text: str) -> None:
        """Write a line of the lab diary into the run's log."""
        try:
            get_run_logger().info(text)
        except MissingContextError:
            _log.info(text)

    async def round_over(self, view: View) -> None:
        """Refresh the artifacts, not too often; nothing waits for that."""
        if time.monotonic() - self._refreshed >= _EVERY and not self._is_refreshing:
            self._is_refreshing = True
            self._soon(self._refresh_meanwhile(view))

    async def ended(self, view: View) -> None:
        """Refresh the artifacts a last time, and close every form."""
        if self._watch is not None:
            await self._watch.end()
        if self._closing:
            await asyncio.wait(self._closing, timeout=self._patience)
        await self._safely(self._forms.end())
        await self._safely(self._refresh(view))
        ended = view.state.ended
        if ended is not None:
            self.diary(f"the campaign is {ended.state}: {ended.reason}")

    @property
    def _patience(self) -> float:
        return _SHORT if self._is_deaf else _PATIENCE

    async def _safely(self, action: Awaitable[None]) -> None:
        """Prefect's trouble is never the campaign's."""
        try:
            await asyncio.wait_for(action, self._patience)
        except Exception as error:  # noqa: BLE001
            if not self._is_deaf:  # said once for as long as it lasts
                self._is_deaf = True
                _log.warning("Prefect did not take what was to be shown there: %s: %s", type(error).__name__, error)
        else:
            self._is_deaf = False

    async def _make_progress(self, view: View) -> None:
        self._progress = await acreate_progress_artifact(
            progress=0.0,
            key=f"{self._key}-progress",
            description=f"{view.campaign}: experiments finished, of {view.plan.budget}",
        )

    async def _refresh_meanwhile(self, view: View) -> None:
        try:
            await self._refresh(view)
        finally:
            self._is_refreshing = False

    async def _refresh(self, view: View) -> None:
        self._refreshed = time.monotonic()
        finished = len(view.state.in_state("done", "failed", "aborted"))
        if self._progress is not None:
            await aupdate_progress_artifact(self._progress, 100.0 * finished / view.plan.budget)
        await acreate_table_artifact(
            self._rows(view), key=f"{self._key}-experiments", description=f"Experiments of {view.campaign}"
        )
        title = "Best so far" if not is_several(view.plan.objectives) else "Pareto set so far"
        await acreate_markdown_artifact(
            await self._markdown(view), key=f"{self._key}-best", description=f"{title} of {view.campaign}"
        )

    def _rows(self, view: View) -> list[dict[str, Any]]:
        rows = []
        front = front_numbers(view)
        for number, record in sorted(view.state.experiments.items()):
            row: dict[str, Any] = {"experiment": number, "state": record.state}
            row |= {
                headed(n, self._units[n]): v if isinstance(v, str) else float(f"{v:.6g}")
                for n, v in record.candidate.items()
            }
            for name, unit in self._outcome_units.items():
                estimate = record.outcomes.get(name)
                row[headed(name, unit)] = "" if estimate is None else float(f"{estimate.value:.6g}")
            if is_joint(view.plan.objectives):
                joint = joint_desirability(view.plan.objectives, record.outcomes)
                row[DESIRABILITY] = "" if joint is None else float(f"{joint:.6g}")
            if front is not None:
                row["in Pareto set"] = "yes" if number in front else ""
            row["reason"] = record.reason or ""
            rows.append(row)
        return rows

    async def _markdown(self, view: View) -> str:
        from sdl.report import convergence_png, report_data

        lines = [f"# {view.campaign}", ""]
        found = result_lines(view, self._units, self._outcome_units)
        lines += found or ["No feasible result yet."]
        if found:
            ledger = self._session.ledger
            png = await asyncio.to_thread(lambda: convergence_png(report_data(ledger, view.campaign)))
            shown = "best" if not is_several(view.plan.objectives) else "progress"
            lines += ["", f"![{shown} so far](data:image/png;base64,{base64.b64encode(png).decode()})"]
        lines += ["", f"Report: `file://{self._report}` (written at the end, or by `sdl report {view.campaign}`)"]
        return "\n".join(lines)
