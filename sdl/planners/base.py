"""What a planner is: a pure function of a problem and a prefix of the ledger.

`propose(problem, history, n, seed)` depends on nothing else: no clock, no environment, no thread count, nothing
remembered between calls. What a planner wants to know later it writes into the proposal's diagnostics, and finds again in
`history.rounds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.space import Candidate, Cost, Space
from sdl.units import DIMENSIONLESS

if TYPE_CHECKING:
    from sdl.planners.beforehand import Physics, PointModel, SourceTask
    from sdl.space import Value

Json = dict[str, Any]


class PlannerSettings(BaseModel):
    """Base of every planner's settings: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Capabilities:
    """What a planner can do; a campaign that asks for more is refused at load with the reason.

    Attributes:
        pools: candidates from a fixed list.
        constraints: linear constraints on parameters, where there is no pool.
        expressions: constraints that are expressions, where there is no pool.
        counts: at most, at least or exactly k of n components, where there is no pool.
        objectives: the largest number of objectives.
        outcome_constraints: bounds on outcomes.
        goals: which goals it understands.
        pending: it takes experiments under way into account, so experiments may run in parallel.
        gain: asked for it (`Problem.gain`), it states in the diagnostics of each round how probable it is that more is still to
            be gained, as `{"gain": {"probability": p, …}}`, p being None where it cannot be told yet.
        costs: it weighs what an experiment is worth against what it costs; others leave costs to the loop.
        sources: it proposes on which of several sources (`Problem.sources`) each candidate is carried out.
        groups: it can propose groups that share settings (`Problem.group`).
        tolerances: it seeks what is best where parameters may be a little off (`Problem.tolerances`).
        physics: it takes what models say of outcomes as help (`Problem.physics`).
        transfer: it takes earlier campaigns as help (`Problem.transfer`).
        desirability: it seeks the joint desirability of objectives that have one, or looks at no objectives at all.
    """

    pools: bool = True
    constraints: bool = True
    expressions: bool = False
    counts: bool = False
    objectives: int = 1
    outcome_constraints: bool = True
    goals: tuple[str, ...] = ("maximize", "minimize", "match")
    pending: bool = True
    gain: bool = False
    costs: bool = False
    sources: bool = False
    groups: bool = False
    tolerances: bool = False
    physics: bool = False
    transfer: bool = False
    desirability: bool = False


@dataclass(frozen=True)
class Group:
    """Experiments that differ in some parameters only, such as the samples of one firing.

    Attributes:
        shared: the parameters that are equal within a group; not all of the space.
        capacity: how many experiments a group holds, at least 2.
    """

    shared: tuple[str, ...]
    capacity: int


@dataclass(frozen=True)
class Trial:
    """One experiment as a planner sees it.

    Attributes:
        number: the experiment's number, from 1.
        candidate: its point.
        source: which source carries it out.
        state: `pending` (proposed or under way), `done`, or `failed` (a failed specimen is data).
        outcomes: outcome → estimate in the outcome's declared unit; may be incomplete in a failed trial.
    """

    number: int
    candidate: Candidate
    source: str
    state: Literal["pending", "done", "failed"]
    outcomes: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class RoundRecord:
    """An earlier proposal: its round, seed, candidates, diagnostics, and the source of each candidate where there are several."""

    round: int
    seed: int
    candidates: tuple[Candidate, ...]
    diagnostics: Json
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """The ledger up to the row that opened the round: experiments in order of number, rounds in order.

    Attributes:
        trials: experiments.
        rounds: earlier proposals.
        spent: what all experiments that were started cost.
        spent_unit: unit of that.
    """

    trials: tuple[Trial, ...] = ()
    rounds: tuple[RoundRecord, ...] = ()
    spent: float = 0.0
    spent_unit: str = DIMENSIONLESS

    @property
    def done(self) -> tuple[Trial, ...]:
        """Trials with results."""
        return tuple(t for t in self.trials if t.state == "done")


@dataclass(frozen=True)
class Source:
    """One way to learn about a candidate: a simulation, a proxy, the full measurement.

    Attributes:
        outcomes: what it gives.
        is_target: whether it is the one whose results count.
        cost: what an experiment costs, or None where no cost is stated.
    """

    outcomes: tuple[str, ...]
    is_target: bool = True
    cost: Cost | None = None


@dataclass(frozen=True)
class Problem:
    """What is asked: one version of a campaign, as far as a planner may see it.

    Attributes:
        space: what may vary.
        objectives: name → objective, in the order of the file.
        outcome_constraints: outcome → bounds.
        settings: the planner's validated settings.
        seed: the campaign's seed, the same in every round (initial designs are drawn from it).
        budget: the largest number of experiments, or None.
        models: named pure functions (array of points → prediction), resolved by the engine.
        known: what was measured before the campaign began, as trials of source `file` with numbers below 1.
        gain: an improvement of the objective, in its unit, of which it is asked how probable it still is; or None.
        sources: name → how candidates can be carried out; exactly one is the target. Costs are all in one unit.
        cost_limit: what all experiments together may cost, in the unit of the costs, or None.
        physics: what the models say of outcomes.
        transfer: earlier campaigns over the same or an overlapping space.
        group: candidates are to come in groups that share settings, a whole group together; or None.
        tolerances: parameter → how far it may really lie from where it is set, in its unit: what counts is the mean outcome.
        was: parameter → its value in experiments from before there was that parameter.
    """

    space: Space
    objectives: Mapping[str, Objective]
    outcome_constraints: Mapping[str, OutcomeConstraint]
    settings: PlannerSettings
    seed: int
    budget: int | None = None
    models: Mapping[str, PointModel] = field(default_factory=dict)
    known: tuple[Trial, ...] = ()
    gain: float | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    cost_limit: float | None = None
    group: Group | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    physics: tuple[Physics, ...] = ()
    transfer: tuple[SourceTask, ...] = ()
    was: Mapping[str, Value] = field(default_factory=dict)

    def filled(self, history: History) -> History:
        """Return a history in which every point has the parameters that came later, at the values that they had then."""
        if not self.was:
            return history
        trials = tuple(replace(t, candidate=Candidate({**self.was, **t.candidate})) for t in history.trials)
        rounds = tuple(
            replace(r, candidates=tuple(Candidate({**self.was, **c}) for c in r.candidates)) for r in history.rounds
        )
        return replace(history, trials=trials, rounds=rounds)

    def told(self, history: History) -> History:
        """Return a campaign's history with what was known before it: what a planner is handed."""
        history = self.filled(history)
        return replace(history, trials=(*self.known, *history.trials)) if self.known else history

    @property
    def target(self) -> str:
        """The source whose results count."""
        return next((name for name, source in self.sources.items() if source.is_target), "default")


@dataclass(frozen=True)
class Proposal:
    """What to try next.

    Attributes:
        candidates: in the order in which they should be started; fewer than asked for only when the space is used up.
        diagnostics: JSON: how each was found, and what the planner wants to know later.
        sources: the source of each candidate; empty for the target's.
    """

    candidates: tuple[Candidate, ...]
    diagnostics: Json
    sources: tuple[str, ...] = ()


class Planner(Protocol):
    """A planner; stateless, so one object serves all campaigns."""

    name: ClassVar[str]
    settings_model: ClassVar[type[PlannerSettings]]
    capabilities: ClassVar[Capabilities]

    def propose(self, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        """Propose up to n candidates.

        Args:
            problem: what is asked.
            history: what is known.
            n: how many candidates are wanted, at least 1.
            seed: of this round; every random state is set from it.
        """
        ...


@runtime_checkable
class Particular(Protocol):
    """A planner that cannot do some things which its capabilities have no word for."""

    def cannot(
        self,
        space: Space,
        objectives: Mapping[str, Objective],
        constraints: Mapping[str, OutcomeConstraint],
    ) -> list[str]:
        """Say in plain words what of a campaign it cannot do; empty where it can do it all."""
        ...


@runtime_checkable
class Checking(Protocol):
    """A planner whose settings can be wrong for a problem although each of them is right in itself."""

    def misfits(self, problem: Problem) -> list[tuple[str, str]]:
        """Say what of the settings does not suit the problem: (dotted path below `planner`, what is wrong)."""
        ...


def round_seed(campaign_seed: int, round_number: int) -> int:
    """Return the seed of a round: 63 bits of SHA-256 over campaign seed and round number."""
    import hashlib

    digest = hashlib.sha256(f"sdl round {campaign_seed} {round_number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
