"""What the ledger and refitted models say of a campaign, and of why one of its experiments was proposed; nothing is written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdl.errors import InputError, SdlError, SpaceError
from sdl.ledger import CandidatesAdded, RoundOpened, VersionRecorded
from sdl.loop import CampaignState
from sdl.preflight import recorded_problem
from sdl.preflight.constrained import constrained_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.ledger import Ledger, Row
    from sdl.loop import ExperimentRecord
    from sdl.objective import Estimate
    from sdl.planners import History, Problem
    from sdl.planners.bayes.explaining import CandidateTold, ModelTold
    from sdl.space import Candidate

_BAYES = "bayes"
NEAREST = 3
"""How many known experiments near a proposal are shown."""


@dataclass(frozen=True)
class Coverage:
    """How many measurements lay within the intervals that were told before them.

    Attributes:
        outcome: which.
        share: what the intervals were to hold.
        told: how many measurements had an interval.
        held: how many lay within it.
        low, high: 95 % interval of the share that holds (Clopper and Pearson, Biometrika 26, 404 (1934)).
    """

    outcome: str
    share: float
    told: int
    held: int
    low: float
    high: float


@dataclass(frozen=True)
class CampaignExplained:
    """What is known of a campaign, up to one row of its journal.

    Attributes:
        name, planner: of the campaign.
        seq, hash: the journal's head.
        models: one an outcome with results.
        coverage: one an outcome that was predicted and measured.
        missing: `models` or `coverage` → why it cannot be told, in words.
    """

    name: str
    planner: str
    seq: int
    hash: str
    models: tuple[ModelTold, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """An outcome as predicted and as measured, in its unit; None for what is not there.

    Attributes:
        outcome, unit: which.
        mean, sd: predicted, the noise aside.
        interval: that was to hold the measurement.
        measured, uncertainty: what came of it.
        held: whether the interval held it.
    """

    outcome: str
    unit: str
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    measured: float | None
    uncertainty: float | None
    held: bool | None


@dataclass(frozen=True)
class ProposalTold:
    """Why an experiment was proposed, as it was said when it was.

    Attributes:
        number, round: of the experiment; round 0 for a person's.
        origin: `initial`, `model`, … as the round's diagnostics say; `person`; empty where nothing is said.
        acquisition: which acquisition function chose it, or empty.
        leaning, because: whether it exploits or explores, and why; empty where that was not recorded.
        outcomes: as predicted and as measured, objectives first.
    """

    number: int
    round: int
    origin: str
    acquisition: str
    leaning: str
    because: str
    outcomes: tuple[Told, ...]


@dataclass(frozen=True)
class Near:
    """A known experiment near a proposal, when that was made.

    Attributes:
        experiment: number; 0 and below for what was known before the campaign.
        distance: Euclidean, each number in shares of its range along its scale, categories one-hot or by descriptors.
        state: `done` or `failed`.
        candidate: its point.
        outcomes: outcome → value in its unit.
    """

    experiment: int
    distance: float
    state: str
    candidate: Candidate
    outcomes: Mapping[str, float]


@dataclass(frozen=True)
class ExperimentExplained:
    """Why an experiment was proposed.

    Attributes:
        name, planner: of the campaign.
        number, round, state, candidate: of the experiment; round 0 for a person's.
        origin: `initial`, `model`, … as the round's diagnostics say; `person` for a person's; empty where nothing is said.
        described: what else the diagnostics say of the candidate.
        outcomes: objectives first.
        why: exploit or explore, by models refitted to what was known at the time; or None.
        known: how many experiments with results, or failed, were known at the time.
        nearest: the nearest of them, the nearest first.
        missing: `why`, `predicted` → why it cannot be told, in words.
    """

    name: str
    planner: str
    number: int
    round: int
    state: str
    candidate: Candidate
    origin: str
    described: Mapping[str, Any]
    outcomes: tuple[Told, ...]
    why: CandidateTold | None
    known: int
    nearest: tuple[Near, ...]
    missing: Mapping[str, str] = field(default_factory=dict)


def explain_campaign(ledger: Ledger, name: str) -> CampaignExplained:
    """Return what can be told of a campaign as it stands.

    Raises:
        InputError: no such campaign.
        LedgerError: its recorded version can no longer be read.
    """
    planner, problem = recorded_problem(ledger, name)
    rows = ledger.rows(name)
    state = CampaignState(rows)
    return campaign_explained(name, planner, constrained_problem(problem, state.constraints), rows, state)


def campaign_explained(
    name: str, planner: str, problem: Problem, rows: Sequence[Row], state: CampaignState
) -> CampaignExplained:
    """Return what `explain_campaign` does, for a campaign that was read already.

    Args:
        name: of the campaign.
        planner: its planner's name.
        problem: as its last version asks it.
        rows: of its journal; nothing that came after them counts.
        state: their fold.
    """
    missing: dict[str, str] = {}
    models: tuple[ModelTold, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    if planner != _BAYES:
        missing["models"] = f"planner '{planner}' tells of no models; only 'bayes' does"
        missing["coverage"] = f"planner '{planner}' tells no intervals before the measurement; only 'bayes' does"
    else:
        coverage = _coverage(problem, state)
        if not coverage:
            missing["coverage"] = "no experiment that a model proposed has been measured yet"
        try:
            from sdl.planners.bayes.explaining import models_told

            models = models_told(problem, problem.told(state.history()))
            if not models:
                missing["models"] = "there are no results yet"
        except ModuleNotFoundError as error:
            missing["models"] = _not_installed(error)
        except SdlError as error:
            missing["models"] = f"could not be computed: {error}"
    return CampaignExplained(name, planner, rows[-1].seq, rows[-1].hash, models, coverage, missing)


def proposals_explained(problem: Problem, state: CampaignState) -> tuple[ProposalTold, ...]:
    """Return why each experiment was proposed, as the diagnostics of its round say; no model is refitted.

    Args:
        problem: as the campaign's last version asks it.
        state: of its journal.
    """
    found = []
    for number, record in sorted(state.experiments.items()):
        described = _described(state, record)
        why = described.get("why")
        why = why if isinstance(why, dict) else {}
        found.append(
            ProposalTold(
                number,
                record.round,
                "person" if record.round == 0 else str(described.get("origin", "")),
                str(described.get("acquisition_function") or ""),
                str(why.get("leaning") or ""),
                str(why.get("because") or ""),
                _told(problem, record, described.get("predicted") or {}),
            )
        )
    return tuple(found)


def explain_experiment(ledger: Ledger, name: str, number: int) -> ExperimentExplained:
    """Return why an experiment was proposed.

    Args:
        ledger: where it is recorded; rows after the one that opened the round count only for what was measured.
        name: of the campaign.
        number: of the experiment.

    Raises:
        InputError: no such campaign or experiment.
        LedgerError: the version in force at the time can no longer be read.
    """
    rows = ledger.rows(name)
    if not rows:
        raise ledger.unknown(name)
    state = CampaignState(rows)
    record = state.experiments.get(number)
    if record is None:
        there = f"1 to {max(state.experiments)}" if state.experiments else "none yet"
        raise InputError(f"campaign '{name}' has no experiment {number}; it has: {there}")
    before, version = _before(rows, record)
    planner, problem = recorded_problem(ledger, name, version)
    then = CampaignState(before)
    problem = constrained_problem(problem, then.constraints)
    history = problem.told(then.history())
    described = _described(state, record)
    origin = "person" if record.round == 0 else str(described.get("origin", ""))
    outcomes = _told(problem, record, described.get("predicted") or {})
    missing: dict[str, str] = {}
    why: CandidateTold | None = None
    if not any(t.mean is not None for t in outcomes):
        missing["predicted"] = _no_prediction(planner, origin)
    if planner != _BAYES:
        missing["why"] = f"planner '{planner}' has no models that could be refitted; only 'bayes' has"
    elif origin != "model":
        missing["why"] = _no_prediction(planner, origin)
    else:
        try:
            from sdl.planners.bayes.explaining import candidate_told

            why = candidate_told(problem, history, record.candidate)
            if why is None:
                missing["why"] = "no experiment had given all objectives by then"
        except ModuleNotFoundError as error:
            missing["why"] = _not_installed(error)
        except SdlError as error:
            missing["why"] = f"could not be computed: {error}"
    nearest, known = _nearest(problem, history, record.candidate)
    said = {k: v for k, v in described.items() if k not in {"origin", "predicted"}}
    return ExperimentExplained(
        name,
        planner,
        number,
        record.round,
        record.state,
        record.candidate,
        origin,
        said,
        outcomes,
        why,
        known,
        nearest,
        missing,
    )


def _not_installed(error: ModuleNotFoundError) -> str:
    return f"the models need {error.name}, which is not installed here; run: pip install 'sdl[bayes]'"


def _no_prediction(planner: str, origin: str) -> str:
    if origin == "person":
        return "a person added it: no planner was asked"
    if origin.startswith("initial"):
        return "it belongs to the initial design, which is made without a model"
    return f"planner '{planner}' recorded no prediction for it"


def _before(rows: Sequence[Row], record: ExperimentRecord) -> tuple[list[Row], int]:
    """Return the rows up to the one that opened the experiment's round, or before a person added it, and the version in force."""
    version = 0
    for i, row in enumerate(rows):
        match row.event:
            case VersionRecorded() as event:
                version = event.version
            case RoundOpened() as event if record.round and event.round == record.round:
                return list(rows[: i + 1]), version
            case CandidatesAdded() as event if not record.round:
                if event.first <= record.number < event.first + len(event.candidates):
                    return list(rows[:i]), version
            case _:
                pass
    raise InputError(f"the journal does not say where experiment {record.number} came from; see sdl verify")


def _described(state: CampaignState, record: ExperimentRecord) -> Mapping[str, Any]:
    """Return what the round's diagnostics say of one candidate."""
    for told in state.rounds:
        if told.proposed is None or told.opened.round != record.round:
            continue
        described = told.proposed.diagnostics.get("candidates")
        index = record.number - told.proposed.first
        if isinstance(described, list) and index < len(described) and isinstance(described[index], dict):
            found: Mapping[str, Any] = described[index]
            return found
    return {}


def _interval(told: object) -> tuple[float, float] | None:
    ends = told.get("interval") if isinstance(told, dict) else None
    if not isinstance(ends, list) or len(ends) != 2 or None in ends:
        return None
    return float(ends[0]), float(ends[1])


def _measured(record: ExperimentRecord, outcome: str) -> Estimate | None:
    """Return an outcome that counts and is a number, or None."""
    found = record.outcomes.get(outcome) if record.state == "done" and not record.retracted else None
    return found if found is not None and math.isfinite(found.value) else None


def _told(problem: Problem, record: ExperimentRecord, predicted: Mapping[str, Any]) -> tuple[Told, ...]:
    result = []
    for outcome, wanted in {**problem.outcome_constraints, **problem.objectives}.items():
        one = predicted.get(outcome) or {}
        ends, measured = _interval(one), _measured(record, outcome)
        result.append(
            Told(
                outcome,
                wanted.unit,
                one.get("mean"),
                one.get("sd"),
                ends,
                None if measured is None else measured.value,
                None if measured is None else measured.uncertainty,
                None if ends is None or measured is None else ends[0] <= measured.value <= ends[1],
            )
        )
    first = list(problem.objectives)
    return tuple(sorted(result, key=lambda t: t.outcome not in first))


def _coverage(problem: Problem, state: CampaignState) -> tuple[Coverage, ...]:
    counts: dict[tuple[str, float], list[bool]] = {}
    for told in state.rounds:
        if told.proposed is None:
            continue
        share = float(told.proposed.diagnostics.get("interval") or 0.9)
        for index in range(len(told.proposed.candidates)):
            record = state.experiments[told.proposed.first + index]
            for one in _told(problem, record, _described(state, record).get("predicted") or {}):
                if one.held is not None:
                    counts.setdefault((one.outcome, share), []).append(one.held)
    order = [*problem.objectives, *problem.outcome_constraints]
    found = [_covered(outcome, share, held) for (outcome, share), held in counts.items()]
    return tuple(sorted(found, key=lambda c: order.index(c.outcome)))


def _covered(outcome: str, share: float, held: Sequence[bool]) -> Coverage:
    from scipy.stats import binomtest

    among = binomtest(sum(held), len(held)).proportion_ci(0.95, method="exact")
    return Coverage(outcome, share, len(held), sum(held), float(among.low), float(among.high))


def _nearest(problem: Problem, history: History, candidate: Candidate) -> tuple[tuple[Near, ...], int]:
    import numpy as np

    from sdl.planners.bayes.data import FeatureMap

    features = FeatureMap(problem.space)
    trials, codes = [], []
    try:
        here = features(problem.space.encode([candidate]))[0]
    except (SpaceError, KeyError, ValueError):
        return (), 0
    for trial in history.trials:
        if trial.state == "pending":
            continue
        try:
            codes.append(problem.space.encode([trial.candidate])[0])
        except (SpaceError, KeyError, ValueError):
            continue  # known under an earlier version of the space, and no point of this one
        trials.append(trial)
    if not trials:
        return (), 0
    distance = np.linalg.norm(features(np.stack(codes)) - here, axis=1)
    return tuple(
        Near(
            trials[i].number,
            float(distance[i]),
            trials[i].state,
            trials[i].candidate,
            {name: e.value for name, e in trials[i].outcomes.items() if math.isfinite(e.value)},
        )
        for i in np.argsort(distance, kind="stable")[:NEAREST]
    ), len(trials)
