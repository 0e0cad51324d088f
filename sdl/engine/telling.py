"""From results that people measured to journal rows: all of a file, or nothing of it with every reason.

What is recorded already is recognised and not recorded again, so that one growing file can be told again and again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdl.campaign.people import PEOPLE
from sdl.campaign.results import refused
from sdl.engine.recognising import ROUNDED, SAME, differing, equal, recognised
from sdl.errors import listed
from sdl.ledger import (
    CandidatesAdded,
    Event,
    ExperimentFinished,
    ExperimentStarted,
    ObservationRecorded,
)
from sdl.space import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sdl.campaign import Campaign
    from sdl.campaign.results import ResultRow
    from sdl.ledger import Row
    from sdl.loop import CampaignState, ExperimentRecord, Plan
    from sdl.objective import Estimate


@dataclass
class Told:
    """What a file of results leads to.

    Attributes:
        events: rows for the journal, without the one that says who told them.
        said: what the person is told, a line each.
        experiments: numbers of those of which something new was told.
        corrected: ids of observations whose place newer ones take.
    """

    events: list[Event] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    experiments: list[int] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)


def sample_of(campaign: str, number: int) -> str:
    """Return the id of an experiment's sample."""
    return f"{campaign}-{number:04d}"


def tell(
    campaign: Campaign,
    plan: Plan,
    state: CampaignState,
    journal: Iterable[Row],
    rows: Sequence[ResultRow],
    file: str,
    by: str,
    *,
    correct: bool = False,
) -> Told:
    """Return what a file of results leads to.

    Args:
        campaign: whose results they are.
        plan: the same as the loop sees it, with its costs.
        state: its journal so far.
        journal: the same, row by row.
        rows: of the file.
        file: its name, for messages.
        by: who tells them.
        correct: whether a value that differs from the recorded one takes its place.

    Raises:
        InputError: a row cannot be recorded; all of them are named, and nothing of the file is to be.
    """
    telling = _Telling(campaign, plan, state, journal, file, by, correct=correct)
    telling.named = {row.experiment for row in rows if row.experiment is not None}
    for row in rows:
        telling.take(row)
    return telling.finish()


class _Telling:
    """One file."""

    def __init__(
        self,
        campaign: Campaign,
        plan: Plan,
        state: CampaignState,
        journal: Iterable[Row],
        file: str,
        by: str,
        *,
        correct: bool,
    ) -> None:
        self.plan = plan
        self.campaign = campaign
        self.state = state
        self.file = file
        self.by = by
        self.correct = correct
        self.told = Told()
        self.faults: list[str] = []
        self.seen: dict[int, int] = {}
        """Experiment → the line that told it."""
        self.named: set[int] = set()
        """Experiments whose number stands on the sheet: a row without one is none of them."""
        self.added: list[Candidate] = []
        self.own: list[Event] = []
        self.counts: dict[tuple[int, str], int] = {}
        self.last: dict[tuple[int, str], ObservationRecorded] = {}
        self.ever: dict[int, dict[str, list[ObservationRecorded]]] = {}
        """Experiment → outcome → everything that was ever recorded of it, in order."""
        for row in journal:
            if isinstance(row.event, ObservationRecorded):
                key = (row.event.experiment, row.event.outcome)
                self.counts[key] = self.counts.get(key, 0) + 1
                self.last[key] = row.event
                self.ever.setdefault(key[0], {}).setdefault(key[1], []).append(row.event)

    def finish(self) -> Told:
        if self.faults:
            raise refused(self.file, self.faults)
        if self.added:
            first = self._next()
            added = CandidatesAdded([dict(c) for c in self.added], first, self.by, f"measured, told in {self.file}")
            self.told.events[:0] = [added]
        return self.told

    def wrong(self, row: ResultRow, message: str) -> None:
        self.faults.append(f"line {row.line}: {message}")

    # --- rows --------------------------------------------------------------------------------------------------------

    def take(self, row: ResultRow) -> None:
        if row.says_nothing:
            if row.experiment is None:
                self.wrong(row, "neither an experiment's number nor a result; fill it in, or remove the row")
            return
        unknown = [n for n, p in self.campaign.space.parameters.items() if n not in row.parameters]
        number = row.experiment
        if number is None and unknown:
            self.wrong(row, f"without an experiment's number all parameters are needed; missing are {listed(unknown)}")
            return
        if number is None and self._told_before(row):
            return
        if number is None:
            number = self._open_there(row)
        if number is None:
            self._own(row)
        else:
            self._proposed(row, number)

    def _told_before(self, row: ResultRow) -> bool:
        """Deal with a row without a number that an earlier file told already; what it has beside that is new."""
        known = self._known(row)
        if known is None:
            return False
        if set(row.outcomes) - set(self.ever.get(known, ())):
            self.told.said.append(f"line {row.line} is experiment {known}, of which it tells more")
            self._proposed(row, known)
            return True
        now = all(equal(self.last[known, o], e) for o, e in row.outcomes.items())
        is_back = self.correct and any(self.last[known, o].status == "retracted" for o in row.outcomes)
        if now and is_back:
            self._proposed(row, known)
            return True
        self.seen[known] = row.line
        since = "" if now else ", which was corrected since"
        self.told.said.append(f"line {row.line} is recorded already, as experiment {known}{since}")
        return True

    def _proposed(self, row: ResultRow, number: int) -> None:
        record = self.state.experiments.get(number)
        if record is None:
            there = f"1 to {max(self.state.experiments)}" if self.state.experiments else "none yet"
            self.wrong(
                row,
                f"there is no experiment {number}; there are: {there}; leave the number empty for an idea of your own",
            )
            return
        if number in self.seen:
            self.wrong(row, f"experiment {number} stands in line {self.seen[number]} already")
            return
        self.seen[number] = row.line
        sample = record.sample or sample_of(self.campaign.name, number)
        if row.sample and row.sample != sample:
            self.wrong(row, f"sample '{row.sample}' is not that of experiment {number}, which is '{sample}'")
            return
        elsewhere = self._elsewhere(row, record.candidate)
        if elsewhere:
            self.wrong(
                row,
                f"experiment {number} was proposed with {elsewhere}; if something else was made, leave its number empty, so "
                f"that it counts as an idea of your own, and sdl reject {self.campaign.name} {number}",
            )
        elif record.state == "aborted" and self._is_recorded(row, number):
            self.told.said.append(f"experiment {number} is recorded already; it was given up")
        elif record.state == "aborted" or record.rejected is not None:
            why = record.rejected or record.reason
            self.wrong(row, f"experiment {number} was given up: {why}; leave the number empty to tell it all the same")
        elif record.state == "failed":
            if not row.is_failed:
                self.wrong(row, f"experiment {number} is recorded as failed: {record.reason}; it takes no results")
            else:
                self.told.said.append(f"experiment {number} is recorded already, as failed")
        elif record.state == "done" and row.is_failed:
            self.wrong(row, f"experiment {number} is done and has results; sdl retract takes one back")
        else:
            self._record(row, record)

    def _record(self, row: ResultRow, record: ExperimentRecord) -> None:
        """Record what is new of an experiment that was proposed, is half measured, or has all results."""
        number = record.number
        events: list[Event] = []
        if record.state == "proposed":
            events.append(self._started(number, record.candidate))
        fresh, has = [], set(record.outcomes)
        for outcome, estimate in row.outcomes.items():
            last = self.last.get((number, outcome))
            if last is not None and equal(last, estimate) and not (last.status == "retracted" and self.correct):
                if last.status == "retracted":
                    self.told.said.append(
                        f"experiment {number}: {outcome} {estimate.value:g} was retracted and stays so; --correct brings it back"
                    )
                continue
            if last is not None and last.status != "retracted" and not self.correct:
                self.wrong(
                    row,
                    f"experiment {number} has {outcome} {_said(last.value, last.uncertainty)} {last.unit}, the file says "
                    f"{_said(estimate.value, estimate.uncertainty)}; --correct puts the file's in its place",
                )
                continue
            if last is not None and last.status != "retracted":
                self.told.corrected.append(last.observation)
            events.append(self._observed(number, outcome, estimate))
            fresh.append(f"{outcome} {_said(estimate.value, estimate.uncertainty)}")
            has.add(outcome)
        missing = [o for o in self.campaign.outcomes if o not in has]
        if row.is_done and missing and record.state != "done":
            self.wrong(
                row,
                f"experiment {number} is 'done', and {listed(missing)} is not stated; leave the state empty until it is measured",
            )
            return
        if row.is_failed:
            events.append(ExperimentFinished(number, "failed", row.reason or f"failed, says {self.by}"))
            fresh.append("failed")
        elif record.state != "done" and not missing:
            events.append(ExperimentFinished(number, "done"))
        if not fresh:
            self.told.said.append(f"experiment {number} is recorded already")
            return
        self.told.events += events
        self.told.experiments.append(number)
        open_ = f"; {listed(missing)} still to come" if missing and not row.is_failed else ""
        self.told.said.append(f"experiment {number}: {', '.join(fresh)}{open_}")

    def _own(self, row: ResultRow) -> None:
        """Record an experiment that nobody proposed."""
        candidate = Candidate(row.parameters)
        problems = self.campaign.space.problems(candidate)
        if problems:
            self.wrong(row, f"lies outside the space, so that no model could use it: {'; '.join(problems)}")
            return
        if row.sample:
            self.wrong(
                row,
                f"sample '{row.sample}' belongs to a proposed experiment: write its number, or no sample",
            )
            return
        missing = [o for o in self.campaign.outcomes if o not in row.outcomes]
        if missing and not row.is_failed:
            self.wrong(row, f"an experiment of your own needs all outcomes at once; missing are {listed(missing)}")
            return
        number = self._next() + len(self.added)
        self.added.append(candidate)
        self.told.events.append(self._started(number, candidate))
        self.told.events += [self._observed(number, o, e) for o, e in row.outcomes.items()]
        self.told.events.append(
            ExperimentFinished(number, "failed", row.reason or f"failed, says {self.by}")
            if row.is_failed
            else ExperimentFinished(number, "done")
        )
        self.told.experiments.append(number)
        said = [f"{o} {_said(e.value, e.uncertainty)}" for o, e in row.outcomes.items()]
        said += ["failed"] if row.is_failed else []
        self.told.said.append(f"experiment {number} (your own, line {row.line}): {', '.join(said)}")

    # --- looking up --------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        return max(self.state.experiments, default=0) + 1

    def _open_there(self, row: ResultRow) -> int | None:
        """Return the open experiment whose number the person left out: the first with just these parameters."""
        for record in self.state.in_state("proposed", "running"):
            is_free = record.number not in self.seen and record.number not in self.named
            if is_free and self._at(row.parameters, record.candidate):
                self.told.said.append(
                    f"line {row.line} has the parameters of experiment {record.number} and is taken for it"
                )
                return record.number
        return None

    def _known(self, row: ResultRow) -> int | None:
        """Return the experiment that a row without a number told before, or None; each counts once a file, as replicates do."""
        parameters, taken = self.campaign.space.parameters, {*self.seen, *self.named}
        there = [
            e
            for e in self.state.in_state("done", "failed", "running")
            if e.number not in taken
            and e.source == PEOPLE
            and not differing(parameters, row.parameters, {**self.plan.was, **e.candidate}, SAME)
        ]
        return recognised(row, there, self.ever)

    def _is_recorded(self, row: ResultRow, number: int) -> bool:
        last = {o: self.last.get((number, o)) for o in row.outcomes}
        return bool(last) and all(seen is not None and equal(seen, row.outcomes[o]) for o, seen in last.items())

    def _at(self, given: Mapping[str, float | int | str], candidate: Candidate) -> bool:
        return not differing(self.campaign.space.parameters, given, candidate, SAME)

    def _elsewhere(self, row: ResultRow, candidate: Candidate) -> str:
        """Say in which parameters the sheet differs from what was proposed, by more than a spreadsheet rounds."""
        units = {n: p.unit for n, p in self.campaign.space.parameters.items()}
        wrong = differing(self.campaign.space.parameters, row.parameters, candidate, ROUNDED)
        return ", ".join(
            f"{n} {candidate[n]}{'' if units[n] == 'dimensionless' else ' ' + units[n]} and not {row.parameters[n]}"
            for n in wrong
        )

    def _started(self, number: int, candidate: Candidate) -> ExperimentStarted:
        cost = self.plan.cost_of(candidate, PEOPLE)
        return ExperimentStarted(number, PEOPLE, sample_of(self.campaign.name, number), cost, self.plan.cost_unit)

    def _observed(self, number: int, outcome: str, estimate: Estimate) -> ObservationRecorded:
        key = (number, outcome)
        self.counts[key] = self.counts.get(key, 0) + 1
        last = self.last.get(key)
        return ObservationRecorded(
            observation=f"{number}.{outcome}.{self.counts[key]}",
            experiment=number,
            outcome=outcome,
            value=estimate.value,
            uncertainty=estimate.uncertainty,
            unit=self.campaign.unit_of(outcome),
            source=PEOPLE,
            status="valid",
            command="",
            supersedes=None if last is None else last.observation,
        )


def _said(value: float, uncertainty: float | None) -> str:
    return f"{value:.6g}" + ("" if uncertainty is None else f" ± {uncertainty:.2g}")
