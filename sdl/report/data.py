"""Everything that a report shows, as frozen objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.analysis.figure_data import KeptFigure
    from sdl.campaign import StopGain
    from sdl.ledger import (
        AnalysisRecorded,
        EpochRaised,
        ObservationRecorded,
        QuestionOpened,
        RoundOpened,
        RoundProposed,
        VersionRecorded,
    )
    from sdl.ledger.late import LateCommand
    from sdl.objective import Estimate, Objective, OutcomeConstraint, Target
    from sdl.report.expectation import RandomBest
    from sdl.report.front import Front
    from sdl.report.why import Why
    from sdl.space import Candidate, Cost, Space

NATURES = {
    "simulated": "simulated",
    "replay": "replayed",
    "calculation": "calculated",
    "manual": "done by hand",
    "real": "real",
}
"""What kind of thing an instrument is → the word for what it gives."""


@dataclass(frozen=True)
class ReportedExperiment:
    """One experiment.

    Attributes:
        number, round: from 1.
        candidate: its point.
        state: `proposed`, `running`, `done`, `failed` or `aborted`.
        origin: how the planner came to it, as the round's diagnostics say (`initial`, `model`, …); empty where they
            do not.
        source: which source carried it out; empty before it started.
        sample: id of its sample.
        outcomes: outcome → valid estimate in the outcome's unit.
        observed: outcome → the observation that gave the estimate, with interval and flags.
        is_feasible: whether it is done on the source whose results count, gave all objectives, and keeps all outcome constraints.
        natures: what kind of instruments took part; `simulated` also where a command's own record says so.
        started, finished: UTC text of lab time, or None.
        reason: why it failed or was aborted, or None.
        cost: what it costs, in the unit of the campaign's costs, or None where none is stated or it did not start.
        counts: whether its source is the one whose results count.
    """

    number: int
    round: int
    candidate: Candidate
    state: str
    origin: str
    source: str
    sample: str
    outcomes: Mapping[str, Estimate]
    observed: Mapping[str, ObservationRecorded]
    is_feasible: bool
    natures: tuple[str, ...]
    started: str | None
    finished: str | None
    reason: str | None
    cost: float | None = None
    counts: bool = True

    @property
    def flagged(self) -> frozenset[str]:
        """Outcomes whose observation is flagged: they count, and a person should look before trusting them."""
        return frozenset(o for o, seen in self.observed.items() if seen.status == "flagged")

    @property
    def is_initial(self) -> bool:
        """Whether it belongs to the initial design, made before a model was asked."""
        return self.origin.startswith("initial")


@dataclass(frozen=True)
class ReportedKnown:
    """A row of what was known before the campaign began.

    Attributes:
        number: 0 for the first row of the table, then −1, −2, …; by it planners and `sdl explain` name it.
        candidate: its point.
        outcomes: outcome → estimate in the outcome's unit.
        is_failed: whether the specimen failed.
        is_feasible: whether it gave all objectives and keeps all outcome constraints.
    """

    number: int
    candidate: Candidate
    outcomes: Mapping[str, Estimate]
    is_failed: bool
    is_feasible: bool


@dataclass(frozen=True)
class ReportedAnalysis:
    """An analysis of one experiment's raw data.

    Attributes:
        event: its row.
        figure: what it showed, as it was kept, or None.
        figure_missing: why there is no figure although one was kept, or None.
    """

    event: AnalysisRecorded
    figure: KeptFigure | None = None
    figure_missing: str | None = None


@dataclass(frozen=True)
class ReportedAnalyses:
    """The analyses that a report shows.

    Attributes:
        shown: experiment → its analyses, in the order in which they are shown.
        left_out: how many further experiments have analyses.
    """

    shown: Mapping[int, tuple[ReportedAnalysis, ...]] = field(default_factory=dict)
    left_out: int = 0


@dataclass(frozen=True)
class ReportedCommand:
    """One command, for the timeline.

    Attributes:
        experiment, instrument, action: what it was.
        status: `open`, or the status with which it was settled.
        started: UTC text of lab time: as the instrument said, else when the command was sent.
        finished: UTC text, or None where it is not known.
        error: in words, or None.
    """

    experiment: int
    instrument: str
    action: str
    status: str
    started: str
    finished: str | None
    error: str | None


@dataclass(frozen=True)
class ReportedInstrument:
    """An instrument of the lab.

    Attributes:
        name: in the lab.
        driver: as recorded when the campaign ran, else as written.
        nature: `real`, `simulated`, `replay`, `manual`, `calculation`; empty where nothing ran yet.
        written: the driver in the file, where a simulator stood in for it.
    """

    name: str
    driver: str
    nature: str
    written: str | None = None


@dataclass(frozen=True)
class Epoch:
    """A process that ran the campaign: its row, and when that was written."""

    event: EpochRaised
    at: str


@dataclass(frozen=True)
class Round:
    """A round of the planner; `proposed` is None where it was never answered."""

    opened: RoundOpened
    proposed: RoundProposed | None


@dataclass(frozen=True)
class LeftOut:
    """An experiment predicted from all others, in the outcome's unit; `sd` is that of a new measurement."""

    number: int
    measured: float
    predicted: float
    sd: float


@dataclass(frozen=True)
class Predictions:
    """Leave-one-out predictions.

    Attributes:
        by_outcome: outcome → one entry an experiment.
        missing: outcome → why there are none, in words.
    """

    by_outcome: Mapping[str, tuple[LeftOut, ...]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportData:
    """What the ledger knows of a campaign up to and with one row of its journal.

    Attributes:
        name, description: of the campaign.
        seq, hash: the journal's head that everything here goes up to.
        state: `created`, `running`, `interrupted`, `waiting`, `stopped`, `failed` or `done`.
        reason: why it ended, or None.
        made: UTC text of the wall clock: when the report was made.
        first, last: UTC text of lab time: the journal's first and last row.
        clock: `real`, `scaled` or `virtual`.
        seed: the campaign's.
        world_seed: the simulated world's, or None where none was stated.
        settings: what changes the course of the campaign and does not stand in the file.
        version: the last recorded one.
        space, objectives, outcome_constraints, targets: as in the campaign.
        budget, concurrency: as in the campaign.
        planner: name.
        planner_settings: as written.
        experiments: in order of number.
        best: number of the best feasible experiment, or None; also None with several objectives.
        front: with several objectives their Pareto set, else None.
        cost_unit, cost_limit: unit of all costs, and what all experiments together may cost; None where not stated.
        costs: source → what an experiment on it costs.
        target: the source whose results count.
        random: what random search is expected to find, or None.
        random_missing: why not, where there is a pool.
        commands: in the order in which they were sent.
        instruments: of the lab.
        questions: open ones.
        epochs, rounds: in order.
        predictions: leave-one-out.
        analyses: of the best, the latest and the flagged experiments.
        late: commands that took longer than they should.
        why: models, effects, influence, each proposal; or None where they were not asked for.
        known: what was known before the campaign began.
        gain: when too little is still to be gained, or None.
        changes: how it was amended on its way, a line each.
        told: the files of results that people told, a line each.
    """

    name: str
    description: str
    seq: int
    hash: str
    state: str
    reason: str | None
    made: str
    first: str
    last: str
    clock: str
    seed: int
    world_seed: int | None
    settings: Mapping[str, Any]
    version: VersionRecorded
    space: Space
    objectives: Mapping[str, Objective]
    outcome_constraints: Mapping[str, OutcomeConstraint]
    targets: Mapping[str, Target]
    budget: int
    concurrency: int
    planner: str
    planner_settings: Mapping[str, Any]
    experiments: tuple[ReportedExperiment, ...]
    best: int | None
    random: RandomBest | None
    random_missing: str | None
    commands: tuple[ReportedCommand, ...]
    instruments: tuple[ReportedInstrument, ...]
    questions: tuple[QuestionOpened, ...]
    epochs: tuple[Epoch, ...]
    rounds: tuple[Round, ...]
    predictions: Predictions
    analyses: ReportedAnalyses
    late: tuple[LateCommand, ...] = ()
    front: Front | None = None
    why: Why | None = None
    known: tuple[ReportedKnown, ...] = ()
    gain: StopGain | None = None
    changes: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    cost_unit: str | None = None
    cost_limit: float | None = None
    costs: Mapping[str, Cost] = field(default_factory=dict)
    target: str = ""

    @property
    def objective(self) -> str:
        """The first objective; the only one that experiments are compared by, unless there is a Pareto set."""
        return next(iter(self.objectives))

    @cached_property
    def marked(self) -> frozenset[int]:
        """Numbers of the experiments that figures and tables point out: the best one, or the Pareto set."""
        if self.front is not None:
            return frozenset(self.front.numbers)
        return frozenset() if self.best is None else frozenset({self.best})

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Objectives first, then constrained outcomes."""
        return tuple(dict.fromkeys([*self.objectives, *self.outcome_constraints]))

    def unit_of(self, outcome: str) -> str:
        """Return the declared unit of an outcome."""
        wanted = self.objectives.get(outcome) or self.outcome_constraints[outcome]
        return wanted.unit

    @cached_property
    def units(self) -> dict[str, str]:
        """Parameter → declared unit."""
        return {name: parameter.unit for name, parameter in self.space.parameters.items()}

    @cached_property
    def best_experiment(self) -> ReportedExperiment | None:
        """The best feasible experiment, or None."""
        return next((e for e in self.experiments if e.number == self.best), None)

    @property
    def spent(self) -> float:
        """What all experiments that were started cost, in the unit of the costs."""
        return sum(e.cost for e in self.experiments if e.cost is not None)

    @property
    def started(self) -> tuple[ReportedExperiment, ...]:
        """Experiments that were started, whatever became of them."""
        return tuple(e for e in self.experiments if e.state != "proposed")

    def count(self, *states: str) -> int:
        """Return how many experiments are in one of the states."""
        return sum(e.state in states for e in self.experiments)

    def progress_value(self, value: float, name: str | None = None) -> float:
        """Return what a best-so-far curve shows of an objective's value: itself, or its distance from a number to be matched."""
        goal = self.objectives[name or self.objective]
        return value if goal.value is None else abs(value - float(goal.value))

    @cached_property
    def best_so_far(self) -> tuple[tuple[int, float], ...]:
        """The curve of the first objective; see `best_so_far_of`."""
        return self.best_so_far_of(self.objective)

    def best_so_far_of(self, name: str) -> tuple[tuple[int, float], ...]:
        """Return experiment number → an objective's best feasible progress value up to it, from the first feasible one on."""
        curve: list[tuple[int, float]] = []
        best: float | None = None
        climbs = self.objectives[name].goal == "maximize"
        for experiment in self.started:
            if experiment.is_feasible:
                value = self.progress_value(experiment.outcomes[name].value, name)
                if best is None or (value > best if climbs else value < best):
                    best = value
            if best is not None:
                curve.append((experiment.number, best))
        return tuple(curve)

    def best_known(self, name: str) -> float | None:
        """Return the best feasible progress value of an objective that was known before the campaign, or None."""
        values = [self.progress_value(k.outcomes[name].value, name) for k in self.known if k.is_feasible]
        if not values:
            return None
        return max(values) if self.objectives[name].goal == "maximize" else min(values)

    @property
    def natures(self) -> tuple[str, ...]:
        """The kinds of instruments that are known to take part, in the order of `NATURES`."""
        known = {i.nature for i in self.instruments} | {n for e in self.experiments for n in e.natures}
        return tuple(n for n in NATURES if n in known)
