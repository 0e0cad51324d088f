"""Recompute every proposal of a campaign from the ledger alone, and compare it with what was recorded.

With the library versions and the machine type that were recorded with a round, the planner must give the same bits: any
difference means that somebody changed a record, or that the planner is no pure function. With others, arithmetic may
differ in its last digits and a search may end elsewhere: such deviations prove nothing and are called not comparable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from sdl.errors import LedgerError, SdlError
from sdl.ledger import CampaignCreated, RoundOpened, RoundProposed, VersionRecorded, canonical
from sdl.loop import CampaignState
from sdl.planners import History, Problem, Proposal, round_seed
from sdl.planners.environment import environment
from sdl.preflight.constrained import constrained_problem
from sdl.preflight.recorded import recorded_problem

if TYPE_CHECKING:
    from sdl.ledger import Ledger, Row
    from sdl.space import Space

Ask = Callable[[str, Problem, History, int, int], Proposal]
"""Asks a planner by name: (planner, problem, history, n, seed) → proposal.

It must compute under the conditions of the campaign's own worker: one thread for linear algebra.
"""

Verdict = Literal["equal", "different", "not comparable"]


@dataclass(frozen=True)
class Deviation:
    """How far one parameter of a round's candidates is from what was recorded.

    Attributes:
        parameter: name.
        size: the largest difference in units of the parameter's range (bounds, levels), or None for a category.
        candidate: index of the candidate with the largest difference, from 0.
        recorded, recomputed: its two values.
    """

    parameter: str
    size: float | None
    candidate: int
    recorded: Any
    recomputed: Any

    def __str__(self) -> str:
        if self.size is None:
            return f"{self.parameter}: {self.recorded!r} recorded, {self.recomputed!r} now"
        return f"{self.parameter}: by {self.size:.2g} of its range"


@dataclass(frozen=True)
class RoundCheck:
    """What came of asking the planner once more.

    Attributes:
        round: its number.
        verdict: `equal` (bit for bit, in whatever environment); `different` (in the recorded environment: a record was
            changed, or the planner is no pure function); `not comparable` (in another environment).
        environment: name → (recorded, present) of every library and of the machine, where they differ.
        deviations: of the candidates, parameter by parameter.
        notes: what else differs, in words.
    """

    round: int
    verdict: Verdict
    environment: Mapping[str, tuple[str | None, str | None]]
    deviations: tuple[Deviation, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.verdict == "equal":
            return f"round {self.round}: equal"
        said = "; ".join([*self.notes, *(str(d) for d in self.deviations)])
        return f"round {self.round}: {self.verdict}: {said}"


@dataclass(frozen=True)
class Recomputation:
    """Every answered round of a campaign, asked once more.

    Attributes:
        campaign: name.
        rounds: in order.
    """

    campaign: str
    rounds: tuple[RoundCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing differs that could have been compared."""
        return not self.findings

    @property
    def findings(self) -> tuple[RoundCheck, ...]:
        """The rounds that differ although versions and machine are those recorded."""
        return self.having("different")

    def having(self, verdict: Verdict) -> tuple[RoundCheck, ...]:
        """Return the rounds with a verdict."""
        return tuple(r for r in self.rounds if r.verdict == verdict)

    def as_json(self) -> list[dict[str, Any]]:
        """Return one object a round: round, verdict, environment, deviations, notes."""
        return [asdict(r) for r in self.rounds]

    def text(self) -> str:
        """What to tell a person, in lines."""
        counts = [f"{len(self.having(v))} {v}" for v in ("equal", "different", "not comparable") if self.having(v)]
        lines = [f"campaign '{self.campaign}': {len(self.rounds)} proposals recomputed: {', '.join(counts) or 'none'}"]
        lines += [f"  {r}" for r in self.rounds if r.verdict != "equal"]
        elsewhere: dict[str, tuple[str | None, str | None]] = {}
        for r in self.having("not comparable"):
            elsewhere |= r.environment
        if elsewhere:
            named = ", ".join(f"{n} {old or 'absent'} (now {new or 'absent'})" for n, (old, new) in elsewhere.items())
            lines.append(f"Not comparable, because the rounds were computed with {named}: deviations prove nothing.")
        return "\n".join(lines)


def recompute(ledger: Ledger, name: str, ask: Ask) -> Recomputation:
    """Ask the planner of every answered round once more, with nothing but the rows up to the one that opened it.

    The present environment is that of this process; `ask` must use the same interpreter and libraries.

    Args:
        ledger: where the campaign is recorded; `verify` it first, since this takes the rows at their word.
        name: of the campaign.
        ask: asks a planner.

    Raises:
        InputError: there is no such campaign.
        LedgerError: the ledger cannot be read, or its rows contradict each other.
    """
    rows = ledger.rows(name)
    if not rows:
        raise ledger.unknown(name)
    checks: list[RoundCheck] = []
    problems: dict[tuple[int, tuple[str, ...]], tuple[str, Problem]] = {}
    for asked in _asked(name, rows):
        key = (asked.version, asked.constraints)
        if key not in problems:
            planner, problem = recorded_problem(ledger, name, asked.version)
            problems[key] = planner, constrained_problem(problem, asked.constraints)
        checks.append(_check(asked, *problems[key], ask))
    return Recomputation(name, tuple(checks))


@dataclass(frozen=True)
class _Asked:
    """One answered round: what the planner was asked and what it said.

    Attributes:
        opened, proposed: the two rows.
        version: of the campaign, in force when the round was opened.
        history: the rows up to the one that opened the round.
        seed: which it had to have.
        constraints: that people had added by then.
    """

    opened: RoundOpened
    proposed: RoundProposed
    version: int
    history: History
    seed: int
    constraints: tuple[str, ...] = ()


def _asked(name: str, rows: Sequence[Row]) -> Iterator[_Asked]:
    """Yield every answered round, in order."""
    state = CampaignState()
    version, seed = 0, 0
    open_: tuple[RoundOpened, int, History, tuple[str, ...]] | None = None
    for row in rows:
        try:
            state.apply(row)
        except (KeyError, IndexError) as error:
            raise LedgerError(
                f"row {row.seq} of campaign '{name}' ({row.event.kind}) contradicts earlier rows; see sdl verify {name}"
            ) from error
        match row.event:
            case CampaignCreated() as event:
                seed = event.seed
            case VersionRecorded() as event:
                version = event.version
            case RoundOpened() as event:
                open_ = (event, version, state.history(), tuple(state.constraints))
            case RoundProposed() as event if open_ is not None and event.round == open_[0].round:
                yield _Asked(open_[0], event, open_[1], open_[2], round_seed(seed, event.round), open_[3])
            case _:
                pass


def _check(asked: _Asked, planner: str, problem: Problem, ask: Ask) -> RoundCheck:
    recorded = asked.proposed
    present = environment()
    environments = {
        key: (recorded.environment.get(key), present.get(key))
        for key in sorted({*recorded.environment, *present})
        if recorded.environment.get(key) != present.get(key)
    }
    unlike: Verdict = "not comparable" if environments else "different"
    # These do not depend on any arithmetic: where they differ, somebody changed a record.
    wrong = []
    if recorded.planner != planner:
        wrong.append(f"planner '{recorded.planner}' is recorded to have answered, the campaign asks '{planner}'")
    if asked.opened.seed != asked.seed:
        wrong.append(f"the round's seed is recorded as {asked.opened.seed}, the campaign's gives {asked.seed}")
    if wrong:
        return RoundCheck(asked.opened.round, "different", environments, (), tuple(wrong))
    try:
        answer = ask(planner, problem, asked.history, asked.opened.count, asked.opened.seed)
    except SdlError as error:
        return RoundCheck(asked.opened.round, unlike, environments, (), (f"the planner fails now: {error}",))
    # Compared as they would be recorded: one spelling for one value, whole numbers and others told apart.
    candidates = [dict(c) for c in answer.candidates]
    notes = []
    if canonical(answer.diagnostics) != canonical(recorded.diagnostics):
        notes.append(f"diagnostics differ in {_first_difference(recorded.diagnostics, _plain(answer.diagnostics))}")
    if canonical(candidates) == canonical(recorded.candidates):
        verdict: Verdict = unlike if notes else "equal"
        return RoundCheck(asked.opened.round, verdict, environments, (), tuple(notes))
    if len(candidates) != len(recorded.candidates):
        notes.insert(0, f"{len(recorded.candidates)} candidates recorded, {len(candidates)} now")
    deviations = _deviations(problem.space, recorded.candidates, candidates)
    if not deviations and len(candidates) == len(recorded.candidates):
        notes.insert(0, "the candidates are the same, but written otherwise")
    return RoundCheck(asked.opened.round, unlike, environments, deviations, tuple(notes))


def _deviations(
    space: Space, recorded: Sequence[Mapping[str, Any]], recomputed: Sequence[Mapping[str, Any]]
) -> tuple[Deviation, ...]:
    """Return the largest difference of every parameter over the candidates that both have."""
    found: dict[str, Deviation] = {}
    for index, (old, new) in enumerate(zip(recorded, recomputed, strict=False)):
        for name in dict.fromkeys([*old, *new]):
            if canonical(old.get(name)) == canonical(new.get(name)):
                continue
            deviation = Deviation(
                name, _size(space, name, old.get(name), new.get(name)), index, old.get(name), new.get(name)
            )
            known = found.get(name)
            if known is None or (deviation.size or 0.0) > (known.size or 0.0):
                found[name] = deviation
    return tuple(found.values())


def _size(space: Space, name: str, old: object, new: object) -> float | None:
    """Return a difference in units of the parameter's range; None where there is no such thing."""
    parameter = space.parameters.get(name)
    if parameter is None or parameter.type == "categorical":
        return None
    if not isinstance(old, int | float) or not isinstance(new, int | float):
        return None
    if parameter.type == "discrete":
        lower, upper = min(parameter.levels), max(parameter.levels)
    else:
        lower, upper = parameter.lower, parameter.upper
    return abs(float(new) - float(old)) / ((upper - lower) or 1.0)


def _plain(data: Any) -> Any:  # noqa: ANN401
    """Return data as it would be read back from a row."""
    return json.loads(canonical(data))


def _first_difference(old: Any, new: Any, where: str = "diagnostics") -> str:  # noqa: ANN401  plain data
    """Return the place of the first difference, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            if canonical(old.get(key)) != canonical(new.get(key)):
                return _first_difference(old.get(key), new.get(key), f"{where}.{key}")
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            if canonical(a) != canonical(b):
                return _first_difference(a, b, f"{where}[{index}]")
    return f"{where}: {_short(old)} recorded, {_short(new)} now"


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:57]}..."
