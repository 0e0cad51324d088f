"""How a campaign stands, in one object: read from the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdl.ledger.late import late_commands
from sdl.ledger.queries import counting_observations
from sdl.loop import CampaignState
from sdl.objective import best_of
from sdl.preflight import recorded_draft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign import Draft
    from sdl.ledger import Ledger, ObservationRecorded
    from sdl.ledger.late import LateCommand
    from sdl.loop import ExperimentRecord


@dataclass(frozen=True)
class Summary:
    """How a campaign stands.

    Attributes:
        name: of the campaign.
        state: running, paused, waiting, interrupted, stopped, failed or done.
        reason: why it ended, or None.
        state_of: the fold of its journal.
        best: the best feasible experiment, or None.
        draft: the campaign as recorded.
        owner: (pid, machine) of the last process.
        observations: (experiment, outcome) → the observation that counts.
        late: commands that took longer than they should.
    """

    name: str
    state: str
    reason: str | None
    journal: CampaignState
    best: ExperimentRecord | None
    draft: Draft
    owner: tuple[int, str]
    observations: Mapping[tuple[int, str], ObservationRecorded]
    late: tuple[LateCommand, ...] = ()

    def unit_of(self, outcome: str) -> str:
        """Return the declared unit of an outcome."""
        wanted = self.draft.objectives.get(outcome) or self.draft.outcome_constraints.get(outcome)
        return "dimensionless" if wanted is None else wanted.unit

    def counts(self) -> dict[str, int]:
        """Return how many experiments are in which state."""
        return {
            "started": self.journal.started,
            "done": len(self.journal.in_state("done")),
            "failed": len(self.journal.in_state("failed")),
            "aborted": len(self.journal.in_state("aborted")),
            "running": len(self.journal.in_state("running")),
        }

    def best_as_json(self) -> dict[str, Any] | None:
        """Return the best experiment as JSON, or None."""
        if self.best is None:
            return None
        return {
            "experiment": self.best.number,
            "parameters": dict(self.best.candidate),
            "outcomes": {name: self._outcome_as_json(self.best, name) for name in self.best.outcomes},
        }

    def _outcome_as_json(self, record: ExperimentRecord, name: str) -> dict[str, Any]:
        estimate, seen = record.outcomes[name], self.observations.get((record.number, name))
        return {
            "value": estimate.value,
            "uncertainty": estimate.uncertainty,
            "unit": self.unit_of(name),
            "lower": None if seen is None else seen.lower,
            "upper": None if seen is None else seen.upper,
            "status": "valid" if seen is None else seen.status,
            "flags": [] if seen is None else list(seen.flags),
        }

    def is_flagged(self, experiment: int, outcome: str) -> bool:
        """Tell whether an outcome's value is flagged: it counts, and a person should look before trusting it."""
        seen = self.observations.get((experiment, outcome))
        return seen is not None and seen.status == "flagged"

    def flagged(self) -> list[ObservationRecorded]:
        """Return the flagged observations, in order of experiment."""
        return [o for _, o in sorted(self.observations.items()) if o.status == "flagged"]

    def as_json(self) -> dict[str, Any]:
        """Return the whole as JSON."""
        return {
            "name": self.name,
            "state": self.state,
            "reason": self.reason,
            "experiments": self.counts(),
            "best": self.best_as_json(),
            "flagged": [
                {"experiment": o.experiment, "outcome": o.outcome, "flags": list(o.flags)} for o in self.flagged()
            ],
            "late": [
                {
                    "command": c.late.command,
                    "experiment": c.intended.experiment,
                    "instrument": c.intended.instrument,
                    "action": c.intended.action,
                    "started": c.late.started,
                    "expected": {"value": c.late.expected, "unit": "s"},
                    "limit": {"value": c.late.limit, "unit": "s"},
                    "is_open": c.is_open,
                }
                for c in self.late
            ],
            "questions": [
                {"id": q.question, "experiment": q.experiment, "text": q.text} for q in self.open_questions()
            ],
        }

    def open_questions(self) -> list[Any]:
        """Return the questions that only a person can settle."""
        return list(self.journal.open_questions())


def summary_of(ledger: Ledger, name: str) -> Summary:
    """Return how a campaign stands.

    Raises:
        LedgerError: no such campaign.
    """
    draft = recorded_draft(ledger, name)
    row = ledger.campaign(name) or {}
    rows = ledger.rows(name)
    journal = CampaignState(rows)
    state = str(row.get("state", "created"))
    if journal.ended is None:
        # How it stood when it was last written about is true only while the process lives.
        state = journal.standing if ledger.is_owned(name) else "interrupted"
    objectives = {k: v for k, v in draft.objectives.items() if v is not None}
    constraints = {k: v for k, v in draft.outcome_constraints.items() if v is not None}
    done = journal.in_state("done")
    index = best_of(next(iter(objectives.items())), constraints, [e.outcomes for e in done]) if objectives else None
    owner = (int(row.get("pid") or 0), str(row.get("host") or "?"))
    best = None if index is None else done[index]
    return Summary(
        name, state, row.get("reason"), journal, best, draft, owner, counting_observations(rows), late_commands(rows)
    )


def describe_best(summary: Summary) -> str:
    """Return the best experiment in a line."""
    if summary.best is None:
        return "no feasible result yet"
    units = {n: p.unit for n, p in summary.draft.parameters.items() if p is not None}
    parameters = ", ".join(
        f"{k} {v}" if isinstance(v, str) else f"{k} {v:.5g} {units.get(k, '')}".removesuffix(" dimensionless").rstrip()
        for k, v in summary.best.candidate.items()
    )
    outcomes = ", ".join(
        f"{name} {e.value:.5g}{'' if e.uncertainty is None else f' ± {e.uncertainty:.2g}'}"
        f"{'' if summary.unit_of(name) == 'dimensionless' else ' ' + summary.unit_of(name)}"
        f"{' (flagged)' if summary.is_flagged(summary.best.number, name) else ''}"
        for name, e in summary.best.outcomes.items()
    )
    return f"experiment {summary.best.number}: {outcomes} at {parameters}"


def describe_flags(summary: Summary) -> list[str]:
    """Return one line for every set of flags, with the values that carry it; the latest experiments first."""
    said: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    for o in summary.flagged():
        said.setdefault((o.experiment, tuple(o.flags)), []).append(o.outcome)
    lines = [
        f"experiment {number}, {', '.join(outcomes)}: {'; '.join(flags) or 'no reason was recorded'}"
        for (number, flags), outcomes in said.items()
    ]
    return lines[::-1]
