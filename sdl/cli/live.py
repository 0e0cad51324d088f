"""What a person sees while a campaign runs: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sdl.campaign import label_of
from sdl.clock import utc_text
from sdl.engine import Hooks
from sdl.loop import best, cost_text, pareto
from sdl.objective import is_several, judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sdl.cli.outcome import Output
    from sdl.engine import View
    from sdl.ledger import Row
    from sdl.loop import ExperimentRecord
    from sdl.objective import Objective


_SHOWN = 6
"""Experiments of a Pareto set that are shown (chosen): the rest of the picture needs room too."""


class PlainLines(Hooks):
    """Says one line for everything that happens."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._now = 0.0

    def recorded(self, rows: list[Row], view: View) -> None:
        """Keep the lab's time for the lines to come."""
        del rows
        self._now = view.now

    def diary(self, text: str) -> None:
        """Say a line with the lab's time."""
        stamp = utc_text(self._now)[:19].replace("T", " ") if self._now else "-" * 19
        self._output.say(f"{stamp}  {text}")


class LiveView(Hooks):
    """A live view: what was reached so far, what runs on which instrument, what is left, and the last lines of the diary."""

    def __init__(self, units: Mapping[str, str], outcome_units: Mapping[str, str]) -> None:
        self._console = Console()
        self._units = units
        self._outcome_units = outcome_units
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._lines: list[str] = []
        self._began: float | None = None
        self._view: View | None = None
        self._is_closed = False

    async def started(self, view: View) -> None:
        """Begin to draw."""
        self._began = view.now
        self._view = view
        self._live.start()
        self._draw()

    def recorded(self, rows: list[Row], view: View) -> None:
        """Draw anew."""
        del rows
        self._view = view
        self._draw()

    def diary(self, text: str) -> None:
        """Keep the line; the last few are shown."""
        self._lines.append(text)
        self._draw()

    async def ended(self, view: View) -> None:
        """Stop drawing; the last picture stays."""
        self._view = view
        self.close()

    def close(self) -> None:
        """Stop drawing; the last picture stays above what follows."""
        self._is_closed = True
        if self._live.is_started:
            self._live.stop()
            if self._view is not None:
                self._console.print(self._picture(self._view))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Draw nothing within: a person is being asked, and what they write must not be drawn over."""
        was_drawing = self._live.is_started
        if was_drawing:
            self._live.stop()
        try:
            yield
        finally:
            if was_drawing and not self._is_closed:
                self._live.start()
                self._draw()

    def _draw(self) -> None:
        if self._view is not None and self._live.is_started:
            self._live.update(self._picture(self._view))

    def _picture(self, view: View) -> Group:
        state, plan = view.state, view.plan
        done, failed = len(state.in_state("done")), len(state.in_state("failed"))
        head = Text.assemble(
            (view.campaign, "bold"),
            ("" if state.standing == "running" else f"   {state.standing}", "bold yellow"),
            f"   {state.started} of {plan.budget} experiments started, {done} done, {failed} failed",
            *_spent(view),
            f"   lab time {utc_text(view.now)[:19].replace('T', ' ')}",
        )
        parts: list[Text | Table] = [head, *self._results(view)]
        left = self._left(view)
        if left:
            parts.append(Text(left, style="dim"))
        running = state.in_state("running")
        if running or view.activity:
            table = Table(box=None, pad_edge=False, show_header=False)
            for record in running:
                step = record.commands.get(max(record.commands, default=-1))
                where = "waiting" if step is None else f"{step.intended.instrument} · {step.intended.action}"
                if record.is_blocked:
                    where = "needs a person"
                table.add_row(f"  {record.number:03d}", label_of(record.candidate, self._units), where)
            if view.activity:
                table.add_row("  ···", view.activity, "")
            parts.append(table)
        parts += [Text(f"  {line}", style="dim") for line in self._lines[-5:]]
        return Group(*parts)

    def _results(self, view: View) -> list[Text | Table]:
        """Return the best so far in a line; with several objectives their Pareto set, a row an experiment."""
        plan = view.plan
        if not is_several(plan.objectives):
            record = best(plan, view.state)
            if record is None:
                return [Text("best so far: no feasible result yet")]
            label = f" — {label_of(record.candidate, self._units)}"
            return [Text.assemble("best so far: ", (self._values(record, plan.objectives), "bold green"), label)]
        front = pareto(plan.objectives, plan.outcome_constraints, view.state, plan.others)
        if not front:
            return [Text("Pareto set so far: no feasible result yet")]
        table = Table(box=None, pad_edge=False, show_header=False)
        for record in front[:_SHOWN]:
            label = label_of(record.candidate, self._units)
            table.add_row(
                f"  {record.number:03d}", Text(self._values(record, plan.objectives), style="bold green"), label
            )
        if len(front) > _SHOWN:
            table.add_row("  ···", f"{len(front) - _SHOWN} more", "")
        count = "1 experiment" if len(front) == 1 else f"{len(front)} experiments"
        return [Text(f"Pareto set so far: {count}"), table]

    def _values(self, record: ExperimentRecord, objectives: Mapping[str, Objective]) -> str:
        return ", ".join(
            f"{name} {e.value:.4g}{'' if e.uncertainty is None else f' ± {e.uncertainty:.2g}'} "
            f"{self._outcome_units.get(name, '').replace('dimensionless', '')}".rstrip()
            for name, e in judged(objectives, record.outcomes).items()
        )

    def _left(self, view: View) -> str:
        finished = len(view.state.in_state("done", "failed", "aborted"))
        under_way = sum(not e.is_blocked for e in view.state.in_state("running"))
        remaining = view.plan.budget - view.state.started + under_way
        if not finished or remaining < 1 or self._began is None or view.now <= self._began:
            return ""
        seconds = (view.now - self._began) / finished * remaining
        count = "1 experiment" if remaining == 1 else f"{remaining} experiments"
        return f"at most {count} left, about {duration_text(seconds)} of lab time at the pace so far"


def _spent(view: View) -> list[str]:
    """Return what was spent, where costs are stated."""
    plan = view.plan
    if not plan.costs:
        return []
    whole = "" if plan.cost_limit is None else f" of {cost_text(plan.cost_limit, plan.cost_unit)}"
    return [f"   {cost_text(view.state.spent(plan.cost_unit), plan.cost_unit)}{whole} spent"]


def duration_text(seconds: float) -> str:
    """Return a duration for people: `35 s`, `12 min`, `4.2 h`, `3.1 d`."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
