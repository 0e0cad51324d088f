"""Read everything that a report shows from the ledger; no lab and no driver is needed."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sdl.errors import LedgerError, PlannerError
from sdl.ledger import (
    CampaignCreated,
    CommandIntended,
    CommandSettled,
    EpochRaised,
    RoundProposed,
    VersionRecorded,
)
from sdl.ledger.changed import changed, told
from sdl.ledger.late import late_commands
from sdl.ledger.queries import counting_observations
from sdl.loop import CampaignState
from sdl.objective import best_of, judged, judged_by
from sdl.preflight import recorded_draft, recorded_problem
from sdl.preflight.known import known_trials
from sdl.report.data import (
    Epoch,
    Predictions,
    ReportData,
    ReportedCommand,
    ReportedExperiment,
    ReportedInstrument,
    ReportedKnown,
    Round,
)
from sdl.report.expectation import RandomBest, random_best
from sdl.report.front import front_of
from sdl.report.predictions import predictions
from sdl.report.reading_analyses import reported_analyses
from sdl.report.replayed import NotKnown, pool_outcomes
from sdl.report.why import why_of
from sdl.units import convert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign import Draft
    from sdl.ledger import Ledger, Row
    from sdl.loop import ExperimentRecord
    from sdl.objective import Estimate, Objective, OutcomeConstraint


def report_data(ledger: Ledger, name: str, *, up_to: int | None = None, predict: bool = False) -> ReportData:
    """Return what the ledger knows of a campaign.

    Args:
        ledger: where it is recorded.
        name: of the campaign.
        up_to: the last journal row to look at; by default the present head.
        predict: whether to compute leave-one-out predictions too, which may load torch.

    Raises:
        LedgerError: no such campaign, or its recorded version can no longer be read.
    """
    rows = ledger.rows(name, ledger.head(name)[0] if up_to is None else up_to)
    versions = [r.event for r in rows if isinstance(r.event, VersionRecorded)]
    if not versions:
        known = ", ".join(str(c["name"]) for c in ledger.campaigns()) or "none"
        raise LedgerError(f"the ledger {ledger.where} has no campaign '{name}'; it has: {known}")
    version = versions[-1]
    draft = recorded_draft(ledger, name, version.version)
    if draft.space is None or draft.planner is None or draft.stop is None or draft.lab is None:
        raise LedgerError(f"campaign '{name}' was recorded by a version whose grammar this one does not read")
    created = next(r.event for r in rows if isinstance(r.event, CampaignCreated))
    state = CampaignState(rows)
    asked = {k: v for k, v in draft.objectives.items() if v is not None}
    objectives = {**judged_by(asked), **asked}  # joined by desirabilities, they are one objective before its parts
    constraints = {k: v for k, v in draft.outcome_constraints.items() if v is not None}
    epochs = tuple(Epoch(r.event, r.at) for r in rows if isinstance(r.event, EpochRaised))
    instruments = _instruments(draft, epochs)
    commands = _commands(rows)
    unit = next((cost.unit for cost in draft.costs.values()), None)
    experiments = _experiments(rows, state, instruments, objectives, constraints, draft.others, unit)
    front = front_of(asked, experiments)
    number = _best(objectives, constraints, experiments) if front is None else None
    shown = front.numbers if front is not None else () if number is None else (number,)
    random, random_missing = _random(ledger, draft, version, objectives, constraints, state.started)
    settings: Mapping[str, Any] = created.settings
    return ReportData(
        name=name,
        description=draft.description,
        seq=rows[-1].seq,
        hash=rows[-1].hash,
        state=_state(ledger, name, state),
        reason=None if state.ended is None else state.ended.reason,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        first=rows[0].at,
        last=rows[-1].at,
        clock=str((settings.get("clock") or {}).get("type", draft.lab.clock.type)),
        seed=created.seed,
        world_seed=draft.lab.world.get("seed"),
        settings=settings,
        version=version,
        space=draft.space,
        objectives=objectives,
        outcome_constraints=constraints,
        targets=draft.stop.target,
        budget=draft.stop.experiments,
        concurrency=draft.concurrency,
        planner=draft.planner.type,
        planner_settings=draft.planner.settings,
        experiments=experiments,
        best=number,
        random=random,
        random_missing=random_missing,
        commands=commands,
        instruments=instruments,
        questions=tuple(state.open_questions()),
        late=late_commands(rows),
        epochs=epochs,
        rounds=tuple(Round(r.opened, r.proposed) for r in state.rounds),
        predictions=_predictions(ledger, name, version, state, (*asked, *constraints)) if predict else Predictions(),
        analyses=reported_analyses(ledger, rows, experiments, shown),
        front=front,
        changes=changed(rows),
        told=told(rows),
        cost_unit=unit,
        cost_limit=draft.stop.cost,
        costs=draft.costs,
        target=draft.target,
        why=why_of(ledger, name, version.version, rows, state, draft.stop.gain) if predict else None,
        known=_known(draft, objectives, constraints),
        gain=draft.stop.gain,
    )


def _known(
    draft: Draft, objectives: Mapping[str, Objective], constraints: Mapping[str, OutcomeConstraint]
) -> tuple[ReportedKnown, ...]:
    found = []
    for trial in known_trials(draft):
        outcomes = _judged(objectives, trial.outcomes)
        feasible = trial.state == "done" and all(o in outcomes and math.isfinite(outcomes[o].value) for o in objectives)
        feasible = feasible and all(c in outcomes and b.holds(outcomes[c].value) for c, b in constraints.items())
        found.append(ReportedKnown(trial.number, trial.candidate, outcomes, trial.state == "failed", feasible))
    return tuple(found)


def _judged(objectives: Mapping[str, Objective], outcomes: Mapping[str, Estimate]) -> Mapping[str, Estimate]:
    """Return outcomes, with the joint desirability where the parts of one are among the objectives."""
    return judged({name: goal for name, goal in objectives.items() if goal.desirability is not None}, outcomes)


def _best(
    objectives: Mapping[str, Objective],
    constraints: Mapping[str, OutcomeConstraint],
    experiments: tuple[ReportedExperiment, ...],
) -> int | None:
    done = [e for e in experiments if e.state == "done" and e.counts]
    index = best_of(next(iter(objectives.items())), constraints, [e.outcomes for e in done])
    return None if index is None else done[index].number


def _state(ledger: Ledger, name: str, state: CampaignState) -> str:
    if state.ended is not None:
        return state.ended.state
    if state.epoch == 0:
        return "created"
    # A ledger in memory has no owners; whoever can read it is the process that runs the campaign.
    return state.standing if ledger.home is None or ledger.is_owned(name) else "interrupted"


def _instruments(draft: Draft, epochs: tuple[Epoch, ...]) -> tuple[ReportedInstrument, ...]:
    used: dict[str, Mapping[str, Any]] = {}
    for epoch in epochs:
        used.update(epoch.event.environment.get("instruments") or {})
    written = {} if draft.lab is None else {n: i.driver for n, i in draft.lab.instruments.items()}
    result = []
    for name in dict.fromkeys([*written, *used]):
        driver = str(used.get(name, {}).get("driver", written.get(name, "")))
        nature = str(used.get(name, {}).get("nature", ""))
        other = written.get(name)
        result.append(ReportedInstrument(name, driver, nature, None if other in {None, driver} else other))
    return tuple(result)


def _commands(rows: list[Row]) -> tuple[ReportedCommand, ...]:
    intended: dict[str, tuple[CommandIntended, str]] = {}
    settled: dict[str, CommandSettled] = {}
    for row in rows:
        if isinstance(row.event, CommandIntended):
            intended[row.event.command] = (row.event, row.at)
        elif isinstance(row.event, CommandSettled):
            settled[row.event.command] = row.event
    result = []
    for command, (event, at) in intended.items():
        end = settled.get(command)
        result.append(
            ReportedCommand(
                experiment=event.experiment,
                instrument=event.instrument,
                action=event.action,
                status="open" if end is None else end.status,
                started=at if end is None or end.started is None else end.started,
                finished=None if end is None else end.finished,
                error=None if end is None else end.error,
            )
        )
    return tuple(result)


def _experiments(
    rows: list[Row],
    state: CampaignState,
    instruments: tuple[ReportedInstrument, ...],
    objectives: Mapping[str, Objective],
    constraints: Mapping[str, OutcomeConstraint],
    others: tuple[str, ...],
    unit: str | None,
) -> tuple[ReportedExperiment, ...]:
    observed = counting_observations(rows)
    nature = {i.name: i.nature for i in instruments}
    origins = _origins(rows)
    result = []
    for number, record in sorted(state.experiments.items()):
        outcomes = _judged(objectives, record.outcomes)
        result.append(
            ReportedExperiment(
                number=number,
                round=record.round,
                candidate=record.candidate,
                state=record.state,
                origin=origins.get(number, ""),
                source=record.source if record.state != "proposed" else "",
                sample=record.sample,
                outcomes=outcomes,
                observed={o: observed[number, o] for o in outcomes if (number, o) in observed},
                is_feasible=record.state == "done"
                and record.source not in others
                and all(objective in outcomes for objective in objectives)
                and all(c in outcomes and bounds.holds(outcomes[c].value) for c, bounds in constraints.items()),
                natures=_natures(record, nature),
                started=record.started,
                finished=record.finished,
                reason=record.reason,
                cost=None if record.cost is None or unit is None else convert(record.cost, record.cost_unit, unit),
                counts=record.source not in others,
            )
        )
    return tuple(result)


def _natures(record: ExperimentRecord, nature: Mapping[str, str]) -> tuple[str, ...]:
    found = []
    for _, command in sorted(record.commands.items()):
        kind = nature.get(command.intended.instrument, "")
        # The command's own record counts; what the instrument is said to be only tells the kinds apart.
        if command.settled is not None and command.settled.simulated and kind not in {"simulated", "calculation"}:
            kind = "simulated"
        found.append(kind)
    return tuple(dict.fromkeys(k for k in found if k))


def _origins(rows: list[Row]) -> dict[int, str]:
    """Return experiment → how the planner came to its candidate, where the round's diagnostics say so."""
    result: dict[int, str] = {}
    for row in rows:
        if not isinstance(row.event, RoundProposed):
            continue
        described = row.event.diagnostics.get("candidates")
        if not isinstance(described, list):
            continue
        for index, one in enumerate(described[: len(row.event.candidates)]):
            if isinstance(one, dict) and isinstance(one.get("origin"), str):
                result[row.event.first + index] = one["origin"]
    return result


def _random(
    ledger: Ledger,
    draft: Draft,
    version: VersionRecorded,
    objectives: Mapping[str, Objective],
    constraints: Mapping[str, OutcomeConstraint],
    draws: int,
) -> tuple[RandomBest | None, str | None]:
    if draft.space is None or draft.space.pool is None:
        return None, None
    if any(goal.desirability is not None for goal in objectives.values()):
        return None, "its expectation is not computed for a joint desirability"
    if len(objectives) > 1:
        return None, "there is no closed form for its hypervolume"
    name, objective = next(iter(objectives.items()))
    if constraints:
        return None, "with outcome constraints, n random draws need not hold any feasible candidate"
    try:
        values = pool_outcomes(ledger, draft, version.files, name, objective.unit)
    except NotKnown as reason:
        return None, str(reason)
    if objective.value is not None:
        values = abs(values - float(objective.value))
    return random_best(values, max(draws, 1), larger_is_better=objective.goal == "maximize"), None


def _predictions(
    ledger: Ledger, name: str, version: VersionRecorded, state: CampaignState, outcomes: tuple[str, ...]
) -> Predictions:
    wanted = tuple(dict.fromkeys(outcomes))
    try:
        _, problem = recorded_problem(ledger, name, version.version)
    except (LedgerError, PlannerError) as error:
        return Predictions(missing=dict.fromkeys(wanted, str(error)))
    return predictions(problem, problem.told(state.history()), wanted)
