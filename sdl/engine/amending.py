"""Change a campaign on its way: a new version, with all that was learned; only while no process runs it.

What was proposed before belongs to the version of its time, what comes after to the new one, so that both can be recomputed.
Where the history would mean something else under the new version, the amendment is refused with what to write instead.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.clock import make_clock
from sdl.engine.amending_sources import uncounted_costs, wrong_costs, wrong_sources
from sdl.engine.changes import Change, changes
from sdl.errors import InputError, NameInUseError, SdlError, SpaceError, listed
from sdl.ledger import (
    CampaignEnded,
    ConstraintLifted,
    Event,
    ExperimentRejected,
    Ledger,
    ObservationRecorded,
    Row,
    VersionRecorded,
)
from sdl.ledger.queries import latest_version
from sdl.loop import CampaignState, finished_because
from sdl.preflight import recorded_draft
from sdl.preflight.constrained import constrained
from sdl.space import Candidate, Categorical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sdl.campaign import Draft
    from sdl.loop import ExperimentRecord
    from sdl.preflight import Checked

_RECIPE = ("protocol", "sources", "on_failure", "lab", "concurrency", "cost")
"""Keys of the file by which experiments that are under way go on."""


@dataclass
class Amendment:
    """What an amendment would change.

    Attributes:
        version: its number.
        changes: what differs in the file.
        notes: what it means for what is there, a line each.
        refused: why it cannot be, a line each; empty where it can.
        events: the rows that make it.
    """

    version: int
    changes: tuple[Change, ...]
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass
class Amending:
    """A campaign that nobody runs, held for an amendment.

    Attributes:
        checked: the new version, as pre-flight left it.
        ledger: where the campaign is recorded.
        state: its journal so far.
        recorded: the version in force, as it stands in the ledger.
        before: the same, read.
    """

    checked: Checked
    ledger: Ledger
    state: CampaignState
    journal: list[Row]
    recorded: Mapping[str, Any]
    before: Draft

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.checked.campaign.name

    def plan(self, by: str, reason: str, lift: tuple[str, ...] = ()) -> Amendment:
        """Return what the amendment changes, what it means, and whether it can be; nothing is written.

        Args:
            by: who amends.
            reason: why, may be empty.
            lift: constraints of `sdl reject` that are to hold no more.
        """
        campaign = self.checked.campaign
        document, files = campaign.document, dict(campaign.files.used)
        found = changes(self.recorded["data"], document.data, self.recorded["files"], files)
        made = Amendment(int(self.recorded["version"]) + 1, found)
        if not found and not lift:
            made.refused.append("nothing differs from the recorded version")
            return made
        self._same_kind(made)
        self._parameters(made)
        self._outcomes(made)
        made.refused += wrong_sources(self.before, self.checked.plan, self.state)
        made.refused += wrong_costs(self.checked.plan, self.state)
        made.notes += uncounted_costs(self.checked.plan, self.state)
        self._under_way(made, by)
        self._supplies(made)
        self._constraints(made, lift, by, reason)
        version = VersionRecorded(
            made.version,
            campaign.digest,
            document.text,
            document.data,
            list(document.overridden),
            files,
            by,
            reason,
        )
        made.events[:0] = [version]
        self._end(made, by)
        return made

    def carry_out(self, amendment: Amendment) -> None:
        """Write an amendment.

        Raises:
            InputError: it is refused.
            LedgerError: the journal cannot be written.
        """
        if amendment.refused:
            raise InputError(
                f"campaign '{self.name}' cannot be amended so; nothing was changed:\n  "
                + "\n  ".join(amendment.refused)
            )
        for key, path in self.checked.campaign.files.contents().items():
            self.ledger.artefacts.put(key, path.read_bytes(), "application/octet-stream")
        last = None if self.state.last_moment is None else datetime.fromisoformat(self.state.last_moment).timestamp()
        for row in self.ledger.append(self.name, make_clock(self.checked.lab.clock, last).now(), amendment.events):
            self.state.apply(row)

    # --- what is looked at -------------------------------------------------------------------------------------------

    def _same_kind(self, made: Amendment) -> None:
        settings = (self.ledger.campaign(self.name) or {}).get("settings", {})
        clock = self.checked.lab.clock
        wanted = {"type": clock.type, "factor": clock.factor}
        if settings.get("clock", wanted) != wanted:
            made.refused.append(
                f"the clock was {settings['clock']['type']} and cannot become {clock.type}: choose another --name"
            )
        if self.before.is_by_people != self.checked.campaign.is_by_people:
            who = "people" if self.before.is_by_people else "a lab"
            made.refused.append(f"{who} carried its experiments out so far, and goes on to: choose another --name")

    @property
    def _known(self) -> list[ExperimentRecord]:
        """Experiments that planners see: all but those that were given up."""
        return self.state.in_state("proposed", "running", "done", "failed")

    def _parameters(self, made: Amendment) -> None:
        old, space = self.before.parameters, self.checked.campaign.space
        was = self.checked.problem.was
        for name, parameter in space.parameters.items():
            former = old.get(name)
            if former is not None and former.unit != parameter.unit:
                made.refused.append(
                    f"parameter '{name}' was in {former.unit} and would be in {parameter.unit}: what is recorded would mean "
                    f"something else; keep unit: {former.unit}"
                )
            lacking = [e.number for e in self._known if name not in e.candidate]
            if lacking and name not in was:
                made.refused.append(
                    f"parameter '{name}' is new: what was its value in the {_many(len(lacking), 'experiment')} so far? Write "
                    f"it as 'was', such as {name}: {{…, was: {_example(parameter)}}}"
                )
            elif lacking:
                unit = "" if parameter.unit == "dimensionless" else f" {parameter.unit}"
                made.notes.append(
                    f"'{name}' was {_plain(was[name])}{unit} in the {_many(len(lacking), 'experiment')} so far"
                )
        for name in old:
            if name in space.parameters:
                continue
            had = [{**self.before.was, **e.candidate} for e in self._known]
            values = {h[name] for h in had if name in h}
            if len(values) > 1:
                made.refused.append(
                    f"parameter '{name}' had {len(values)} values so far, so what was measured depends on it: keep it, and "
                    f"freeze it ({name}: {{…, frozen: {_example_of(values)}}})"
                )
        if not made.refused:
            self._points(made)

    def _points(self, made: Amendment) -> None:
        """See that every point that was tried has a place in the new space, and say which lie outside."""
        space = self.checked.campaign.space
        outside = []
        for record in self._known:
            candidate = Candidate({**self.checked.problem.was, **record.candidate})
            try:
                code = space.encode([candidate])
                with np.errstate(all="ignore"):
                    sound = bool(np.isfinite(space.features(code)).all())
            except (SpaceError, KeyError, ValueError, TypeError) as error:
                strange = [
                    f"{n} {candidate.get(n)!r}"
                    for n, p in space.parameters.items()
                    if isinstance(p, Categorical) and candidate.get(n) not in p.values
                ]
                made.refused.append(
                    f"experiment {record.number} cannot be expressed any more ({', '.join(strange) or error}): values can be "
                    "added to a category, not taken away; keep it and forbid it by a constraint, such as "
                    "{type: expression, expression: \"NAME != 'VALUE'\"}"
                )
                continue
            if not sound:
                made.refused.append(
                    f"experiment {record.number} at {dict(record.candidate)} has no place on the new scales (a logarithm of what "
                    "is not above 0?); keep scale: linear"
                )
            elif record.state in {"done", "failed"} and space.problems(
                Candidate({n: candidate[n] for n in space.names})
            ):
                outside.append(record.number)
        if outside:
            made.notes.append(
                f"{_many(len(outside), 'experiment')} ({_listed(outside)}) lie outside what may be proposed now; they stay data"
            )

    def _outcomes(self, made: Amendment) -> None:
        campaign = self.checked.campaign
        units: dict[str, str] = {}
        counts: dict[str, int] = {}
        for row in self.journal:
            if isinstance(row.event, ObservationRecorded):
                units[row.event.outcome] = row.event.unit
        for record in self.state.in_state("done"):
            for outcome in record.outcomes:
                counts[outcome] = counts.get(outcome, 0) + 1
        done = len(self.state.in_state("done"))
        for outcome in campaign.outcomes:
            if outcome in units and units[outcome] != campaign.unit_of(outcome):
                made.refused.append(
                    f"outcome '{outcome}' was measured in {units[outcome]} and would be in {campaign.unit_of(outcome)}; keep "
                    f"unit: {units[outcome]}"
                )
            missing = done - counts.get(outcome, 0)
            if missing:
                how = "; people may tell it of samples that they kept" if campaign.is_by_people else ""
                made.notes.append(f"{missing} of {_many(done, 'experiment')} have no '{outcome}'{how}")

    def _under_way(self, made: Amendment, by: str) -> None:
        old, new = self.recorded["data"], self.checked.campaign.document.data
        running, proposed = self.state.in_state("running"), self.state.in_state("proposed")
        by_people = self.checked.campaign.is_by_people
        if running and not by_people:
            numbers = _listed([e.number for e in running])
            kept = [
                self.recorded["files"].get(k) == v
                for k, v in self.checked.campaign.files.used.items()
                if _is_recipe(k, new)
            ]
            differing = [key for key in _RECIPE if old.get(key) != new.get(key)]
            differing += [] if all(kept) else ["files of the lab"]
            differing += (
                ["space.parameters"] if set(self.before.parameters) != set(self.checked.campaign.space.names) else []
            )
            if differing:
                made.refused.append(
                    f"experiment {numbers} is under way by the recorded version, and {listed(differing)} would change under it: "
                    f"bring it to its end first (sdl run, then sdl pause and sdl stop), or sdl reject {self.name} NUMBER"
                )
            else:
                made.notes.append(f"experiment {numbers} goes on as it began")
        if by_people and (running or proposed):
            numbers = _listed([e.number for e in [*proposed, *running]])
            made.notes.append(f"people keep experiment {numbers} as proposed; sdl reject gives one up")
        for record in () if by_people else proposed:
            problems = self.checked.campaign.space.problems(record.candidate)
            if problems:
                made.notes.append(f"experiment {record.number}, not started yet, is given up: {'; '.join(problems)}")
                why = f"outside version {made.version} of the campaign"
                made.events.append(ExperimentRejected(record.number, by, why))

    def _supplies(self, made: Amendment) -> None:
        """See that what was used up can still be told, and that samples stand where the lab still has a place."""
        plan, places = self.checked.plan, self.checked.lab.places
        for record in self.state.experiments.values():
            gone = [place for place in record.held if place not in places]
            if gone:
                made.refused.append(
                    f"the sample of experiment {record.number} stands at {listed(gone)}, which the new lab has not: keep it, or "
                    f"take the sample away and say so (sdl clear {self.name} {record.number}), which the next sdl run takes"
                )
        for record in self.state.experiments.values() if plan.stock else ():
            if record.started is None:
                continue
            try:
                plan.needs(record.candidate, record.source)
            except (SdlError, KeyError) as error:
                made.refused.append(
                    f"what experiment {record.number} used up cannot be told by the new protocol: {error}; keep the steps "
                    "that use it"
                )
                return

    def _constraints(self, made: Amendment, lift: tuple[str, ...], by: str, reason: str) -> None:
        there = self.state.constraints
        for wanted in lift:
            if wanted not in there:
                made.refused.append(f"no constraint {wanted!r} was added by sdl reject; there are {listed(there)}")
            else:
                made.events.append(ConstraintLifted(wanted, by, reason))
        stay = tuple(c for c in there if c not in lift)
        for text in stay:
            made.notes.append(f"still in force, by sdl reject: {text} (--lift takes it away)")
        if stay and not made.refused:
            try:
                constrained(self.checked, stay)
            except InputError as error:
                made.refused.append(f"with what sdl reject added: {error}")

    def _end(self, made: Amendment, by: str) -> None:
        """Say how the campaign stands after it."""
        if made.refused:
            return
        then = CampaignState(self.journal)
        for event in made.events:
            then.apply(Row(self.name, then.seq + 1, then.last_moment or "", event, "", ""))
        if self.state.rounds and self.state.rounds[-1].is_open:
            made.notes.append(
                f"round {self.state.rounds[-1].opened.round} was never answered; the planner is asked anew"
            )
        over = finished_because(self.checked.plan, then)
        if over is not None:
            made.notes.append(f"it is over by the new version too: {over}")
        elif self.state.ended is not None and self.state.ended.state == "done":
            left = self.checked.plan.budget - then.started
            made.notes.append(f"it was done and goes on: {_many(left, 'experiment')} may still be started")
        if self.checked.campaign.is_by_people:
            made.events.append(
                CampaignEnded("done", over) if over else CampaignEnded("waiting", "amended: sdl propose")
            )
        else:
            said = f"amended to version {made.version} by {by}; go on with sdl run FILE, the amended one"
            made.events.append(CampaignEnded("stopped", said))


@contextmanager
def held(checked: Checked, home: Path) -> Iterator[Amending]:
    """Hold a campaign that nobody runs, for as long as the block lasts.

    Args:
        checked: the new version, under the campaign's name.
        home: the ledger's folder.

    Raises:
        InputError: there is no such campaign.
        NameInUseError: a process runs it.
    """
    name = checked.campaign.name
    ledger = Ledger(home)
    try:
        if ledger.campaign(name) is None:
            raise ledger.unknown(name)
        ownership = ledger.own(name)
        try:
            ownership.take()
        except NameInUseError as error:
            raise NameInUseError(
                f"{error}\na campaign is amended while nobody runs it: sdl stop {name}, then amend, then run"
            ) from error
        try:
            version = latest_version(ledger, name)
            if version is None:
                raise ledger.unknown(name)
            journal = ledger.rows(name)
            yield Amending(checked, ledger, CampaignState(journal), journal, version, recorded_draft(ledger, name))
        finally:
            ownership.release()
    finally:
        ledger.close()


def _is_recipe(key: str, data: Mapping[str, Any]) -> bool:
    """Tell whether a file may bear on how experiments are carried out: all but pool and known data."""
    space = data.get("space") if isinstance(data.get("space"), dict) else {}
    tables = [s.get("table") for s in ((space or {}).get("candidates"), data.get("start")) if isinstance(s, dict)]
    return key not in {str(t) for t in tables}


def _example(parameter: Any) -> str:  # noqa: ANN401  any kind of parameter
    return str(parameter.values[0]) if isinstance(parameter, Categorical) else f"{parameter.lower:g}"


def _example_of(values: set[Any]) -> str:
    return str(min(values, key=str))


def _plain(value: Any) -> str:  # noqa: ANN401  a parameter's value
    return value if isinstance(value, str) else f"{value:g}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(str(n) for n in numbers[:12])
    return shown if len(numbers) <= 12 else f"{shown} and {len(numbers) - 12} more"
