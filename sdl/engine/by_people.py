"""A campaign that people carry out: no process lives between two commands, and each of them takes the campaign for itself.

`propose` asks the planner for a round and leaves its experiments open; `tell` takes results. What else people ask (`sdl add`,
`reject`, `retract`) is taken at once, by the same desk as in a running campaign.
"""

from __future__ import annotations

import mimetypes
import os
import socket
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sdl.campaign.results import read_results
from sdl.clock import make_clock
from sdl.engine.constraining import outside
from sdl.engine.hooks import GuardedHooks, Hooks
from sdl.engine.proposing import ask_planner
from sdl.engine.requests import Desk
from sdl.engine.session import create, require_same
from sdl.engine.taking_over import conditions
from sdl.engine.telling import Told, sample_of, tell
from sdl.errors import InputError, listed
from sdl.ledger import (
    CampaignEnded,
    EpochRaised,
    Event,
    ExperimentFinished,
    ExperimentRejected,
    Inbox,
    Ledger,
    RequestSettled,
    ResultsTold,
    RoundOpened,
    Row,
)
from sdl.loop import CampaignState, Propose, finished_because
from sdl.loop.spending import how_many, too_many
from sdl.planners import round_seed
from sdl.planners.registry import refusals
from sdl.preflight.constrained import constrained
from sdl.space import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdl.engine.engine import Engine
    from sdl.engine.worker import Worker
    from sdl.ledger import Ownership, Request
    from sdl.loop import ExperimentRecord
    from sdl.preflight import Checked

SETTINGS = {"simulate": False, "clock": {"type": "real", "factor": 1.0}}
"""What is recorded of every such campaign beside its file."""
_OF_A_PROCESS = ("pause", "resume", "stop", "abort")
"""Requests to a process that runs a campaign."""


@dataclass
class ByPeople:
    """A campaign that people carry out, while one command has it.

    Attributes:
        checked: as pre-flight left it.
        ledger: where it is recorded.
        state: its journal so far.
        is_new: whether it was made just now.
        said: what was taken from the inbox meanwhile, a line each.
    """

    checked: Checked
    ledger: Ledger
    state: CampaignState
    is_new: bool
    said: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.checked.campaign.name

    @property
    def open(self) -> list[ExperimentRecord]:
        """Experiments that are with people: proposed, or measured in part."""
        return self.state.in_state("proposed", "running")

    @property
    def over(self) -> str | None:
        """Why nothing further is proposed, or None."""
        return finished_because(self.checked.plan, self.state)

    @property
    def left(self) -> int:
        """How many experiments may still be proposed; what is open counts, and so does its cost."""
        return how_many(self.checked.plan, self.state, self.left_of_budget)

    @property
    def left_of_budget(self) -> int:
        """How many experiments are neither started nor proposed, whatever they cost."""
        return max(0, self.checked.plan.budget - self.state.started - len(self.state.in_state("proposed")))

    def record(self, events: Sequence[Event]) -> list[Row]:
        """Write rows in one transaction.

        Raises:
            LedgerError: they cannot be written.
        """
        rows = self.ledger.append(self.name, make_clock(self.checked.lab.clock).now(), events)
        for row in rows:
            self.state.apply(row)
        return rows

    # --- proposing ---------------------------------------------------------------------------------------------------

    async def propose(self, count: int, worker: Worker) -> list[ExperimentRecord]:
        """Ask the planner for so many further experiments; those that are open count as under way.

        A round that a dead process left without an answer is answered first, as it was asked; what of it would pass the budget or
        `stop.cost` by now is given up.

        Returns:
            The new experiments; fewer than asked for where the budget, the cost or the space is used up.

        Raises:
            PlannerError: the planner failed, or cannot take account of experiments under way.
        """
        before = set(self.state.experiments)
        last = self.state.rounds[-1] if self.state.rounds else None
        if last is not None and last.is_open and not self.over:
            opened = last.opened
            await self._ask(Propose(opened.round, opened.count, opened.seed, is_open=True), worker)
        count = min(count - sum(e.number not in before for e in self.open), self.left)
        if count > 0 and not self.over:
            self._require_able(count)
            number = len(self.state.rounds) + 1
            await self._ask(Propose(number, count, round_seed(self.checked.plan.seed, number), is_open=False), worker)
        return [e for e in self.open if e.number not in before]

    def _require_able(self, count: int) -> None:
        """Refuse more experiments at once than a planner that knows of none under way can be asked for."""
        campaign, under_way = self.checked.campaign, count + len(self.open)
        wanted = (campaign.space, campaign.objectives, campaign.outcome_constraints)
        if under_way > 1 and not self.checked.planner.capabilities.pending:
            raise InputError("; ".join(refusals(self.checked.planner, *wanted, under_way)))

    async def _ask(self, decision: Propose, worker: Worker) -> None:
        raised = EpochRaised(self.state.epoch + 1, os.getpid(), socket.gethostname(), conditions(self.checked))
        opened = [] if decision.is_open else [RoundOpened(decision.round, decision.count, decision.seed)]
        self.record([raised, *opened])
        known = CampaignState(self.ledger.rows(self.name, self.state.rounds[-1].seq))
        held = tuple(known.constraints)
        checked = constrained(self.checked, held)
        event = await ask_planner(worker, checked, known.history(), decision, self._next_number)
        late = [c for c in self.state.constraints if c not in held]
        given_up = outside(self.checked, late, enumerate(event.candidates, event.first))
        gone = {row.experiment for row in given_up}
        source = self.checked.plan.source
        asked = [(n, Candidate(v), source) for n, v in enumerate(event.candidates, event.first) if n not in gone]
        given_up += [
            ExperimentRejected(number, "sdl", why) for number, why in too_many(self.checked.plan, self.state, asked)
        ]
        self.record(self._with_end([event, *given_up]))

    def _next_number(self) -> int:
        return max(self.state.experiments, default=0) + 1

    # --- telling -----------------------------------------------------------------------------------------------------

    def tell(self, path: Path, by: str, reason: str, *, correct: bool = False) -> Told:
        """Take the results in a file, all of them or none; those that are recorded already are not recorded again.

        Raises:
            InputError: the file cannot be read, or a row of it cannot be recorded; all faults are named.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        campaign = self.checked.campaign
        units = {outcome: campaign.unit_of(outcome) for outcome in campaign.outcomes}
        rows = read_results(path.name, data, campaign.space.parameters, units)
        journal = self.ledger.rows(self.name)
        told = tell(campaign, self.checked.plan, self.state, journal, rows, path.name, by, correct=correct)
        if told.events:
            kind = mimetypes.guess_type(path.name)[0] or "text/csv"
            kept = self.ledger.artefacts.put(path.name, data, kind)
            file = {"name": kept.name, "sha256": kept.sha256, "size": kept.size, "media_type": kept.media_type}
            says = ResultsTold(by, reason, file, told.experiments, told.corrected)
            self.record(self._with_end([*told.events, says]))
        return told

    # --- what else people ask ----------------------------------------------------------------------------------------

    def take_requests(self) -> None:
        """Take what stands in the inbox, as a running campaign would."""
        self.end_rejected()
        inbox = Inbox(self.ledger)
        for request in inbox.untaken(self.name):
            settled = self.state.requests.get(request.id)
            if settled is None:
                settled = self._refused(request) or Desk(cast("Engine", _Counter(self))).take(request)
                self.record(self._with_end(self._rejected()))
            inbox.settle(request.id, self.ledger.head(self.name)[0], settled.outcome, settled.said)
            self.said.append(f"{settled.by}: {settled.what}: {settled.said}")

    def end_rejected(self) -> None:
        """End the experiments that were given up while they were half measured; a process may have died between the two rows."""
        ends = self._rejected()
        if ends:
            self.record(self._with_end(ends))

    def _rejected(self) -> list[Event]:
        given_up = [e for e in self.state.in_state("running") if e.rejected is not None]
        return [ExperimentFinished(e.number, "aborted", e.rejected) for e in given_up]

    def _refused(self, request: Request) -> RequestSettled | None:
        """Refuse what only a process could be asked for."""
        if request.kind not in _OF_A_PROCESS:
            return None
        said = "people carry its experiments out: no process runs that could be paused, resumed, stopped or aborted"
        settled = RequestSettled(request.id, request.kind, request.by, "refused", said)
        self.record([settled])
        return settled

    # --- how it stands -----------------------------------------------------------------------------------------------

    def _with_end(self, events: Sequence[Event]) -> list[Event]:
        """Return rows with the one that says how the campaign stands after them."""
        then = CampaignState(self.ledger.rows(self.name))
        for event in events:
            then.apply(Row(self.name, then.seq + 1, then.last_moment or "", event, "", ""))
        over = finished_because(self.checked.plan, then)
        open_ = [e.number for e in then.in_state("proposed", "running")]
        named = f"experiment{'' if len(open_) == 1 else 's'} {', '.join(str(n) for n in open_)}"
        if over is not None:
            return [*events, CampaignEnded("done", over + (f"; {named} stayed open" if open_ else ""))]
        waits = f"people have {named}: sdl tell" if open_ else "nothing is proposed: sdl propose"
        return [*events, CampaignEnded("waiting", waits)]

    def sample(self, record: ExperimentRecord) -> str:
        """Return the id of an experiment's sample, for its label."""
        return record.sample or sample_of(self.name, record.number)


class _Counter:
    """What a desk needs of an engine, where no engine is: nothing runs that it could stop, wake or send."""

    def __init__(self, session: ByPeople) -> None:
        self.state = session.state
        self.plan = session.checked.plan
        self.checked = session.checked
        self.ledger = session.ledger
        self.name = session.name
        self.record = session.record
        self.hooks = GuardedHooks(Hooks())
        self.is_aborting = self.is_stopping = False

    def wake(self) -> None:
        """Nothing sleeps."""

    def let_go_on(self, number: int) -> None:
        """Nothing waits."""


@contextmanager
def opened(checked: Checked, home: Path) -> Iterator[ByPeople]:
    """Make the campaign, or take the existing one, for as long as the block lasts.

    Raises:
        InputError: a lab carries it out.
        NameInUseError: another process has it just now, or what is recorded under the name differs (the difference is named).
    """
    campaign = checked.campaign
    if not campaign.is_by_people:
        raise InputError(
            f"campaign '{campaign.name}' has a protocol and a lab, which carries its experiments out: sdl run. An experiment of "
            f"your own: sdl add {campaign.name} {' '.join(f'{n}=…' for n in list(campaign.space.parameters)[:2])}; results "
            "measured elsewhere: a table under 'start', see sdl amend"
        )
    ledger = Ledger(home)
    ownership: Ownership | None = None
    try:
        ownership = ledger.own(campaign.name)
        ownership.take()
        recorded = ledger.campaign(campaign.name)
        if recorded is None:
            create(checked, ledger, SETTINGS, make_clock(checked.lab.clock).now())
        else:
            require_same(checked, ledger, SETTINGS)
        session = ByPeople(checked, ledger, CampaignState(ledger.rows(campaign.name)), recorded is None)
        session.take_requests()
        yield session
    finally:
        if ownership is not None:
            ownership.release()
        ledger.close()


def listed_numbers(records: Sequence[ExperimentRecord]) -> str:
    """Return the numbers of experiments in words."""
    return listed(str(e.number) for e in records).replace("'", "")
