"""A campaign as frozen objects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

if TYPE_CHECKING:
    from sdl.campaign.document import Document, Where
    from sdl.campaign.files import Files
    from sdl.campaign.gain import StopGain
    from sdl.campaign.group import GroupSpec
    from sdl.campaign.interlocks import Requirement
    from sdl.campaign.known import Known
    from sdl.clock import ClockSettings
    from sdl.objective import Objective, OutcomeConstraint, Target
    from sdl.space import Cost, Space, Value
    from sdl.units import Quantity

Positive = Annotated[int, Strict(), Field(ge=1)]


@dataclass(frozen=True)
class Reference:
    """`$name`: the value of a parameter."""

    parameter: str


Argument = Reference | float | int | str | bool
"""What stands under `with:`: a reference, a number, a text (a quantity such as `2 g` where the action wants a number)."""


@dataclass(frozen=True)
class Together:
    """`together:` of a step: experiments that ask the same of it share one command, such as a furnace load.

    Attributes:
        wait: the longest that the first of them waits for others, s.
        at_most: how many samples, or None for as many as the action takes.
    """

    wait: float
    at_most: int | None = None


@dataclass(frozen=True)
class IfFailsSpec:
    """`if_fails:` of a step, as written.

    Attributes:
        then: `fail`, `retry`, `skip`, `ask` or `instrument`.
        times: how often at most, for `retry`.
        instrument: another one of the same kind, for `instrument`.
    """

    then: Literal["fail", "retry", "skip", "ask", "instrument"]
    times: int = 0
    instrument: str = ""


@dataclass(frozen=True)
class ApproveSpec:
    """`approve:` of a step, as written.

    Attributes:
        when: `always`, `first`, `cost_above` or `outside`.
        seconds: the longest that needs nobody, for `cost_above`.
        outside: argument → the two ends of the range that needs nobody, as numbers or quantities.
    """

    when: Literal["always", "first", "cost_above", "outside"]
    seconds: float = 0.0
    outside: Mapping[str, tuple[float | str, float | str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One step of a protocol.

    Attributes:
        instrument: name in the lab.
        action: one of the instrument's actions.
        arguments: parameter of the action → argument.
        analysis: name of the analysis of the step's artefacts, or None.
        gives: outcome → field of the action's result or, with an analysis, of the analysis.
        where: its place in the campaign file.
        unreadable: arguments that were written but could not be read; only in a draft with problems.
        together: whether, and how, experiments share its command.
        if_fails: what follows where its command fails, or None for what is usual.
        approve: when a person must agree before it is sent, or None for never.
    """

    instrument: str
    action: str
    arguments: Mapping[str, Argument]
    analysis: str | None
    gives: Mapping[str, str]
    where: Where = ()
    unreadable: tuple[str, ...] = ()
    together: Together | None = None
    if_fails: IfFailsSpec | None = None
    approve: ApproveSpec | None = None


@dataclass(frozen=True)
class InstrumentSpec:
    """An instrument of the lab as written: driver and settings, not yet validated against the driver.

    Attributes:
        place: where it works on samples, or None.
        safe_after: real seconds for which its campaign may be gone before a lab server makes it safe, or None for ever.
        requires: readings that must keep within bounds for it to act.
    """

    name: str
    driver: str
    settings: Mapping[str, Any]
    where: Where = ()
    place: str | None = None
    safe_after: float | None = None
    requires: tuple[Requirement, ...] = ()


class PlaceSpec(BaseModel):
    """A place of the lab: how many samples it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    capacity: Positive = 1


@dataclass(frozen=True)
class LabSpec:
    """The lab as written.

    Attributes:
        name: for records.
        clock: real, scaled or virtual time.
        world: the simulated world's settings, `seed` among them.
        instruments: by name.
        allow_real: whether real instruments may be driven from within the campaign's process.
        document: the file it stands in (the campaign's own, or the lab file).
        key: that file's key; empty for the campaign itself.
        written: names of all instruments, those that could not be read included.
        places: name → how many samples it holds.
        containers: kind → the temperature that it stands, degC.
        consumables: name → what there is of it when the campaign begins.
        server: address of the lab server that says all the rest, or None.
        token: for that server, as `env:NAME`, or None.
    """

    name: str
    clock: ClockSettings
    world: Mapping[str, Any]
    instruments: Mapping[str, InstrumentSpec]
    allow_real: bool
    document: Document
    key: str
    written: tuple[str, ...]
    places: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, float] = field(default_factory=dict)
    consumables: Mapping[str, Quantity] = field(default_factory=dict)
    server: str | None = None
    token: str | None = None


@dataclass(frozen=True)
class PlannerSpec:
    """The planner as written: its name and settings, not yet validated against the planner."""

    type: str
    settings: Mapping[str, Any]
    where: Where = ()


class ClockSpec(BaseModel):
    """`clock:` of a lab file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["real", "scaled", "virtual"]
    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


@dataclass(frozen=True)
class Stop:
    """When the campaign is over: after so many experiments, when the targets are reached, or when little is left to be gained."""

    experiments: int
    target: Mapping[str, Target]
    gain: StopGain | None = None
    cost: float | None = None
    """What all experiments together may cost, in the unit of the costs."""


@dataclass(frozen=True)
class Campaign:
    """One version of a campaign.

    Attributes:
        name: unique in a home.
        description: for people.
        space: what may vary.
        objectives: in the order of the file.
        outcome_constraints: outcome → bounds.
        sources: name → protocol.
        on_failure: steps that follow where an experiment failed, such as clearing the sample away.
        lab: the lab as written.
        concurrency: how many experiments may run at once.
        planner: the planner as written.
        stop: when it is over.
        seed: of everything the planner draws.
        document: the file with its overrides.
        files: the files that it refers to.
        known: what was measured before it began.
        target: the source whose results count: for the best, the targets, the Pareto set.
        costs: source → what an experiment on it costs, all in one unit; empty where no cost is stated.
        group: how experiments share settings, or None.
        tolerances: parameter → how far it may be off, in its unit.
    """

    name: str
    description: str
    space: Space
    objectives: Mapping[str, Objective]
    outcome_constraints: Mapping[str, OutcomeConstraint]
    sources: Mapping[str, tuple[Step, ...]]
    on_failure: tuple[Step, ...]
    lab: LabSpec
    concurrency: int
    planner: PlannerSpec
    stop: Stop
    seed: int
    document: Document
    files: Files
    known: tuple[Known, ...] = ()
    target: str = ""
    costs: Mapping[str, Cost] = field(default_factory=dict)
    group: GroupSpec | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_by_people(self) -> bool:
        """Whether people carry its experiments out: it has neither protocol nor lab."""
        return not any(self.sources.values())

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Every outcome that is wanted: objectives first, then constrained ones."""
        return tuple(dict.fromkeys([*self.objectives, *self.outcome_constraints]))

    def unit_of(self, outcome: str) -> str:
        """Return the declared unit of an outcome."""
        wanted = self.objectives.get(outcome) or self.outcome_constraints[outcome]
        return wanted.unit

    @property
    def digest(self) -> str:
        """SHA-256 over everything that makes the version: data after overrides, lab file, seed, files by hash."""
        content = {
            "campaign": {k: v for k, v in self.document.data.items() if k not in {"name", "description"}},
            "lab": None if self.lab.key == "" else self.lab.document.data,
            "seed": self.seed,
            "files": self.files.used,
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def label_of(candidate: Mapping[str, Value], units: Mapping[str, str]) -> str:
    """Return a candidate in a few words: `1050 °C, 4 h, air`."""
    parts = []
    for name, value in candidate.items():
        if isinstance(value, str):
            parts.append(value)
            continue
        unit = units.get(name, "dimensionless")
        shown = f"{value:.4g}"
        parts.append(f"{name} {shown}" if unit == "dimensionless" else f"{shown} {unit.replace('degC', '°C')}")
    return ", ".join(parts)
