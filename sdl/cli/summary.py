"""How a campaign stands, in one object: read from the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdl.ledger.changed import changed
from sdl.ledger.late import late_commands
from sdl.ledger.queries import counting_observations
from sdl.loop import CampaignState, cost_text, describe_gain, gains_stated, pareto
from sdl.objective import best_result, is_several, joint_desirability, judged, parts_of
from sdl.preflight import recorded_draft
from sdl.units import convert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign import Draft
    from sdl.ledger import Ledger, ObservationRecorded
    from sdl.ledger.late import LateCommand
    from sdl.loop import ExperimentRecord
    from sdl.objective import Objective


_SHOWN = 12
"""Experiments of a Pareto set that are listed (chosen); JSON and the report have them all."""


@dataclass(frozen=True)
class Summary:
    """How a campaign stands.

    Attributes:
        name: of the campaign.
        state: running, paused, waiting, interrupted, stopped, failed or done.
        reason: why it ended, or None.
        state_of: the fold of its journal.
        best: the best feasible experiment, or None; also None with several objectives.
        front: with several objectives their Pareto set, the best in the first objective first; else None.
        changes: how it was amended on its way, a line each.
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
    front: tuple[ExperimentRecord, ...] | None = None
    changes: tuple[str, ...] = ()

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

    def results_as_json(self) -> dict[str, Any]:
        """Return the best experiment or None under `best`; with several objectives None, and `pareto_set`."""
        if self.front is not None:
            return {"best": None, "pareto_set": [self._as_json(record) for record in self.front]}
        return {"best": None if self.best is None else self._as_json(self.best)}

    def _as_json(self, record: ExperimentRecord) -> dict[str, Any]:
        return {
            "experiment": record.number,
            "parameters": dict(record.candidate),
            **({} if record.cost is None else {"cost": {"value": record.cost, "unit": record.cost_unit}}),
            "outcomes": {name: self._outcome_as_json(record, name) for name in record.outcomes},
            **self._desirability_as_json(record),
        }

    @property
    def objectives(self) -> dict[str, Objective]:
        """Name → objective."""
        return {k: v for k, v in self.draft.objectives.items() if v is not None}

    def _desirability_as_json(self, record: ExperimentRecord) -> dict[str, Any]:
        """Return the joint desirability and its parts; nothing where objectives are not joined."""
        parts = parts_of(self.objectives, record.outcomes)
        joint = joint_desirability(self.objectives, record.outcomes)
        return {"desirability": {"joint": joint, "parts": parts}} if parts else {}

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

    def cost_line(self) -> str | None:
        """Return what was spent so far, by source where there are several; None where no cost is stated."""
        if not self.draft.costs:
            return None
        told = self._cost_as_json()["cost"]
        unit = told["unit"]
        whole = "" if told["limit"] is None else f" of {cost_text(told['limit'], unit)}"
        each = ", ".join(f"{name} {cost_text(spent, unit)}" for name, spent in told["by_source"].items())
        return f"cost: {cost_text(told['spent'], unit)}{whole} spent" + (
            f" ({each})" if len(told["by_source"]) > 1 else ""
        )

    def _cost_as_json(self) -> dict[str, Any]:
        if not self.draft.costs:
            return {}
        unit = next(iter(self.draft.costs.values())).unit
        by_source = dict.fromkeys(self.draft.sources, 0.0)
        for _, record in sorted(self.journal.experiments.items()):
            if record.cost is not None:
                by_source[record.source] = by_source.get(record.source, 0.0) + convert(
                    record.cost, record.cost_unit, unit
                )
        limit = None if self.draft.stop is None else self.draft.stop.cost
        return {"cost": {"spent": sum(by_source.values()), "unit": unit, "limit": limit, "by_source": by_source}}

    def gain_line(self) -> str | None:
        """Return what the planner's last round said of what is still to be gained; None where it was not asked."""
        stated = gains_stated(self.journal)
        rule = None if self.draft.stop is None else self.draft.stop.gain
        return f"round {stated[-1].round}: {describe_gain(stated[-1], rule)}" if stated else None

    def _gain_as_json(self) -> dict[str, Any]:
        stated = gains_stated(self.journal)
        return {"gain": {"round": stated[-1].round, **stated[-1].described}} if stated else {}

    def as_json(self) -> dict[str, Any]:
        """Return the whole as JSON."""
        return {
            "name": self.name,
            "state": self.state,
            "reason": self.reason,
            "experiments": self.counts(),
            **self.results_as_json(),
            **self._gain_as_json(),
            **self._cost_as_json(),
            "flagged": [
                {"experiment": o.experiment, "outcome": o.outcome, "flags": list(o.flags)} for o in self.flagged()
            ],
            "changes": list(self.changes),
            "constraints": list(self.journal.constraints),
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
    front = pareto(objectives, constraints, journal, draft.others) if is_several(objectives) else None
    done = journal.counting(draft.others)
    index = best_result(objectives, constraints, [e.outcomes for e in done]) if objectives else None
    owner = (int(row.get("pid") or 0), str(row.get("host") or "?"))
    best = None if index is None or front is not None else done[index]
    seen, late = counting_observations(rows), late_commands(rows)
    return Summary(name, state, row.get("reason"), journal, best, draft, owner, seen, late, front, changed(rows))


def describe_results(summary: Summary) -> list[str]:
    """Return the best experiment in a line; with several objectives their Pareto set, one line an experiment."""
    if summary.front is None:
        return [f"best: {'no feasible result yet' if summary.best is None else _described(summary, summary.best)}"]
    if not summary.front:
        return ["Pareto set: no feasible result yet"]
    count = "1 experiment" if len(summary.front) == 1 else f"{len(summary.front)} experiments"
    lines = [f"Pareto set: {count}", *(f"  {_described(summary, record)}" for record in summary.front[:_SHOWN])]
    if (left := len(summary.front) - _SHOWN) > 0:
        lines.append(f"  and {left} more: sdl report {summary.name}")
    return lines


def _described(summary: Summary, record: ExperimentRecord) -> str:
    units = {n: p.unit for n, p in summary.draft.parameters.items() if p is not None}
    parameters = ", ".join(
        f"{k} {v}" if isinstance(v, str) else f"{k} {v:.5g} {units.get(k, '')}".removesuffix(" dimensionless").rstrip()
        for k, v in record.candidate.items()
    )
    outcomes = ", ".join(
        f"{name} {e.value:.5g}{'' if e.uncertainty is None else f' ± {e.uncertainty:.2g}'}"
        f"{'' if summary.unit_of(name) == 'dimensionless' else ' ' + summary.unit_of(name)}"
        f"{' (flagged)' if summary.is_flagged(record.number, name) else ''}"
        for name, e in judged(summary.objectives, record.outcomes).items()
    )
    if parts := parts_of(summary.objectives, record.outcomes):
        outcomes += f" (desirabilities: {', '.join(f'{name} {d:.2g}' for name, d in parts.items())})"
    return f"experiment {record.number}: {outcomes} at {parameters}"


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
