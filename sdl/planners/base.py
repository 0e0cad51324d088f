"""What a planner is: a pure function of a problem and a prefix of the ledger.

`propose(problem, history, n, seed)` depends on nothing else: no clock, no environment, no thread count, nothing
remembered between calls. What a planner wants to know later it writes into the proposal's diagnostics, and finds again in
`history.rounds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from sdl.objective import Estimate, Objective, OutcomeConstraint
from sdl.space import Candidate, Space

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
    """

    pools: bool = True
    constraints: bool = True
    expressions: bool = False
    counts: bool = False
    objectives: int = 1
    outcome_constraints: bool = True
    goals: tuple[str, ...] = ("maximize", "minimize", "match")
    pending: bool = True


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
    """An earlier proposal: its round, seed, candidates and diagnostics."""

    round: int
    seed: int
    candidates: tuple[Candidate, ...]
    diagnostics: Json


@dataclass(frozen=True)
class History:
    """The ledger up to the row that opened the round: experiments in order of number, rounds in order."""

    trials: tuple[Trial, ...] = ()
    rounds: tuple[RoundRecord, ...] = ()

    @property
    def done(self) -> tuple[Trial, ...]:
        """Trials with results."""
        return tuple(t for t in self.trials if t.state == "done")


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
    """

    space: Space
    objectives: Mapping[str, Objective]
    outcome_constraints: Mapping[str, OutcomeConstraint]
    settings: PlannerSettings
    seed: int
    budget: int | None = None
    models: Mapping[str, Any] = field(default_factory=dict)
    known: tuple[Trial, ...] = ()

    def told(self, history: History) -> History:
        """Return a campaign's history with what was known before it: what a planner is handed."""
        return History((*self.known, *history.trials), history.rounds) if self.known else history


@dataclass(frozen=True)
class Proposal:
    """What to try next.

    Attributes:
        candidates: in the order in which they should be started; fewer than asked for only when the space is used up.
        diagnostics: JSON: how each was found, and what the planner wants to know later.
    """

    candidates: tuple[Candidate, ...]
    diagnostics: Json


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
