"""Read a campaign file: grammar, names, units; everything that can be known without drivers and planners.

Nothing stops at the first problem. `load` returns what could be read together with all problems, so that pre-flight can add
its own; `load_campaign` raises them all at once.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from sdl.campaign.changing import read_was
from sdl.campaign.cost import check_costs_stated, read_costs, read_stop_cost
from sdl.campaign.desirable import check_desirabilities, joined, target_as_bounds
from sdl.campaign.document import Document, Where, dotted, parse_value, read_document
from sdl.campaign.files import Files
from sdl.campaign.gain import read_gain
from sdl.campaign.group import GroupSpec, read_group
from sdl.campaign.known import Known, read_known
from sdl.campaign.lab import read_lab
from sdl.campaign.model import Campaign, LabSpec, PlannerSpec, Positive, Step, Stop
from sdl.campaign.people import PEOPLE, check_names, is_by_people, no_lab
from sdl.campaign.physics import PhysicsSpec, read_physics
from sdl.campaign.protocol import read_on_failure, read_sources, read_target
from sdl.campaign.reader import Reader
from sdl.campaign.references import check_references
from sdl.campaign.space import AnyParameter, read_parameters, read_space
from sdl.campaign.tolerance import read_tolerances
from sdl.campaign.transfer import TransferSpec, read_transfer
from sdl.campaign.words import LARGEST_SEED, NAME, NAME_RULE, WORD, WORD_RULE
from sdl.errors import FileProblems, InputError, Problem, brief
from sdl.objective import DESIRABILITY, Objective, OutcomeConstraint, Target
from sdl.units import is_compatible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.campaign.document import Where
    from sdl.space import Cost, Space, Value

TOP = (
    "name",
    "description",
    "space",
    "start",
    "transfer",
    "physics",
    "objectives",
    "outcome_constraints",
    "protocol",
    "sources",
    "cost",
    "on_failure",
    "lab",
    "concurrency",
    "group",
    "tolerance",
    "planner",
    "stop",
    "seed",
)

_PATH = re.compile(r"^[^.\[\]]+(?:\.[^.\[\]]+|\[\d{1,9}\])*$")


class _StopSpec(BaseModel):
    """`stop:`, less its targets."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    experiments: Positive
    target: Any = None
    gain: Any = None
    cost: Any = None


@dataclass
class Draft:
    """What could be read of a campaign, and everything that is wrong with it.

    Attributes:
        document: the campaign file with its overrides.
        files: the files it refers to.
        problems: everything found wrong so far; pre-flight adds to it.
        name, description, space, …: as in `Campaign`; None or empty where they could not be read.
    """

    document: Document
    files: Files
    problems: list[Problem]
    name: str
    description: str
    parameters: dict[str, AnyParameter | None]
    space: Space | None
    objectives: dict[str, Objective | None]
    outcome_constraints: dict[str, OutcomeConstraint | None]
    sources: dict[str, tuple[Step, ...]]
    on_failure: tuple[Step, ...]
    lab: LabSpec | None
    concurrency: int
    planner: PlannerSpec | None
    stop: Stop | None
    seed: int
    known: tuple[Known, ...] = ()
    target: str = ""
    costs: Mapping[str, Cost] = field(default_factory=dict)
    group: GroupSpec | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    was: Mapping[str, Value] = field(default_factory=dict)
    physics: Mapping[str, PhysicsSpec] = field(default_factory=dict)
    transfer: tuple[TransferSpec, ...] = ()

    @property
    def others(self) -> tuple[str, ...]:
        """The sources whose results only help to find the best on the target."""
        return tuple(name for name in self.sources if name != self.target)

    @property
    def is_by_people(self) -> bool:
        """Whether people carry its experiments out: it has neither protocol nor lab."""
        return PEOPLE in self.sources and not self.sources[PEOPLE]

    @property
    def is_protocol_complete(self) -> bool:
        """Whether every step that was written could be read, in one source at least."""
        reader = self.reader()
        failing = reader.at(("on_failure",))
        if failing is not None and (not isinstance(failing, list) or len(failing) != len(self.on_failure)):
            return False
        written = {"default": reader.at(("protocol",))}
        for name in self.sources if "protocol" not in self.document.data else ():
            written[name] = reader.at(("sources", name, "protocol"))
        return bool(self.sources) and all(
            steps and len(steps) == len(written[name]) for name, steps in self.sources.items()
        )

    def reader(self) -> Reader:
        """Return a reader of the campaign file that adds to the same problems."""
        return Reader(self.document, self.problems)

    def lab_reader(self) -> Reader | None:
        """Return a reader of the file in which the lab stands."""
        return None if self.lab is None else Reader(self.lab.document, self.problems)

    def finished(self) -> Campaign:
        """Return the campaign.

        Raises:
            FileProblems: anything is wrong with it.
        """
        if self.problems or self.space is None or self.lab is None or self.planner is None or self.stop is None:
            raise FileProblems(self.problems)
        return Campaign(
            name=self.name,
            description=self.description,
            space=self.space,
            objectives={k: v for k, v in self.objectives.items() if v is not None},
            outcome_constraints={k: v for k, v in self.outcome_constraints.items() if v is not None},
            sources=self.sources,
            on_failure=self.on_failure,
            lab=self.lab,
            concurrency=self.concurrency,
            planner=self.planner,
            stop=self.stop,
            seed=self.seed,
            document=self.document,
            files=self.files,
            known=self.known,
            target=self.target,
            costs=self.costs,
            group=self.group,
            tolerances=self.tolerances,
        )


def load(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    seed: int | None = None,
) -> Draft:
    """Read a campaign file and whatever it refers to.

    Args:
        path: the campaign file.
        overrides: `path=value` of `--set`.
        name: takes the place of `name:`.
        seed: takes the place of `seed:`.

    Raises:
        FileProblems: the file is no YAML that could be looked at further.
        InputError: an override leads nowhere.
    """
    document = read_document(path)
    return draft_of(with_overrides(document, overrides, name, seed), Files(path.parent.resolve()))


def with_overrides(
    document: Document, overrides: Sequence[str], name: str | None = None, seed: int | None = None
) -> Document:
    """Return the document with the values of `--set`, `--name` and `--seed` in their places."""
    assignments: list[tuple[Where, Any]] = [parse_override(text) for text in overrides]
    if name is not None:
        assignments.append((("name",), name))
    if seed is not None:
        assignments.append((("seed",), seed))
    return document.replaced(assignments) if assignments else document


def load_campaign(path: Path, **options: Any) -> Campaign:  # noqa: ANN401  those of `load`
    """Read a campaign file without drivers and planners; `sdl.preflight` checks those too.

    Raises:
        FileProblems: all that is wrong with it.
    """
    return load(path, **options).finished()


def parse_override(text: str) -> tuple[Where, Any]:
    """Read `path=value`: `stop.experiments=12`, `space.parameters.hold.bounds=[1, 8]`, `protocol[0].with.mass=3 g`.

    Raises:
        InputError: no `=`, or an odd path.
    """
    path, equals, value = text.partition("=")
    if not equals or not _PATH.match(path.strip()):
        raise InputError(
            f"--set {brief(text)[1:-1]}: write path=value, such as stop.experiments=12 or protocol[0].with.mass='3 g'"
        )
    parts = re.findall(r"[^.\[\]]+|\[\d+\]", path.strip())
    where = tuple(int(p[1:-1]) if p.startswith("[") else p for p in parts)
    try:
        return where, parse_value(value.strip())
    except FileProblems as error:
        said = "; ".join(p.message for p in error.problems)
        raise InputError(f"--set {brief(text)[1:-1]}: the value {said}") from error


def draft_of(document: Document, files: Files) -> Draft:
    """Read a campaign document; every problem is noted in the draft."""
    reader = Reader(document)
    reader.only((), TOP)
    name = document.data.get("name")
    if not isinstance(name, str) or not NAME.match(name):
        reader.wrong(
            ("name",) if "name" in document.data else (),
            f"{brief(name)} cannot be a campaign's name: {NAME_RULE}, at most 100"
            if name is not None
            else "'name' is missing",
        )
        name = ""
    description = document.data.get("description")
    if not isinstance(description, str | None):
        reader.wrong(("description",), f"must be text, got {brief(description)}")
    parameters = read_parameters(reader)
    objectives: dict[str, Objective | None] = {
        n: reader.model(Objective, ("objectives", n))
        for n in reader.mapping(("objectives",), what="at least one objective")
    }
    constraints: dict[str, OutcomeConstraint | None] = {
        n: reader.model(OutcomeConstraint, ("outcome_constraints", n), _with_unit(reader, n, objectives))
        for n in reader.mapping(("outcome_constraints",), required=False)
    }
    for section, names in (("objectives", objectives), ("outcome_constraints", constraints)):
        for outcome in names:
            if not WORD.match(outcome):
                reader.wrong((section, outcome), f"{brief(outcome)} cannot be an outcome's name: {WORD_RULE}")
            elif outcome in parameters:
                reader.wrong((section, outcome), f"'{outcome}' is a parameter too; give the outcome another name")
    _same_units(reader, objectives, constraints)
    concurrency = document.data.get("concurrency", 1)
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 1 <= concurrency <= 10_000:
        reader.wrong(("concurrency",), f"must be a whole number from 1 to 10000, got {brief(concurrency)}")
        concurrency = 1
    seed = document.data.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < LARGEST_SEED:
        reader.wrong(("seed",), f"must be a whole number from 0 to {LARGEST_SEED - 1}, got {brief(seed)}")
        seed = 0
    stop = _stop(reader, objectives)
    check_desirabilities(reader, objectives, constraints)
    check_references(reader, objectives, {} if stop is None else stop.target)
    space = read_space(reader, parameters, files)
    by_people = is_by_people(reader.document.data)
    sources: dict[str, tuple[Step, ...]] = {PEOPLE: ()} if by_people else read_sources(reader, parameters)
    if by_people:
        check_names(reader, parameters, objectives, constraints)
    target = read_target(reader, sources)
    costs = read_costs(reader, sources, target, parameters, space)
    check_costs_stated(reader, sources, costs)
    if stop is not None:
        stop = replace(stop, cost=read_stop_cost(reader, costs))
    draft = Draft(
        document=document,
        files=files,
        problems=reader.problems,
        name=name,
        description=str(description or ""),
        parameters=parameters,
        space=space,
        objectives=objectives,
        outcome_constraints=constraints,
        sources=sources,
        on_failure=read_on_failure(reader, parameters),
        lab=no_lab(reader) if by_people else read_lab(reader, files),
        concurrency=concurrency,
        planner=_planner(reader),
        stop=stop,
        seed=seed,
        known=read_known(reader, files, parameters, {**objectives, **constraints}),
        target=target,
        costs=costs,
        group=read_group(reader, parameters, None if by_people else concurrency),
        tolerances=read_tolerances(reader, parameters, space),
        was=read_was(reader, parameters),
        physics=read_physics(reader, parameters, {**objectives, **constraints}, len(objectives)),
        transfer=read_transfer(reader),
    )
    _finite(reader)
    if draft.lab is not None and draft.lab.key:
        _finite(Reader(draft.lab.document, reader.problems))
    return draft


def _finite(reader: Reader) -> None:
    """Refuse infinite numbers wherever nothing else has: what is recorded is JSON, which has none."""
    noted = {p.where for p in reader.problems if p.file in {reader.document.name, "--set"}}

    def look(value: Any, where: Where) -> None:  # noqa: ANN401
        if isinstance(value, dict):
            for key, item in value.items():
                look(item, (*where, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                look(item, (*where, index))
        elif (
            isinstance(value, float)
            and not math.isfinite(value)
            and not any(dotted(where[: n + 1]) in noted for n in range(len(where)))
        ):
            reader.wrong(where, f"{value!r} is not finite")

    look(reader.document.data, ())


# --- outcomes --------------------------------------------------------------------------------------------------------


def _with_unit(reader: Reader, name: str, objectives: Mapping[str, Objective | None]) -> dict[str, Any] | None:
    """A constraint on an objective has the objective's unit where it states none."""
    data = reader.at(("outcome_constraints", name))
    objective = objectives.get(name)
    if isinstance(data, dict) and objective is not None and "unit" not in data:
        return {"unit": objective.unit, **data}
    return None


def _same_units(
    reader: Reader, objectives: Mapping[str, Objective | None], constraints: Mapping[str, OutcomeConstraint | None]
) -> None:
    for name, constraint in constraints.items():
        objective = objectives.get(name)
        if objective is not None and constraint is not None and objective.unit != constraint.unit:
            reader.wrong(
                ("outcome_constraints", name, "unit"),
                f"'{name}' is in {objective.unit} as an objective and in {constraint.unit} here; use one unit",
            )


def _stop(reader: Reader, objectives: Mapping[str, Objective | None]) -> Stop | None:
    if not reader.mapping(("stop",), what="when to stop, such as {experiments: 40}"):
        return None
    spec = reader.model(_StopSpec, ("stop",))
    targets: dict[str, Target] = {}
    joint: dict[str, Objective | None] = {DESIRABILITY: Objective(goal="maximize")} if joined(objectives) else {}
    for name in reader.mapping(("stop", "target"), required=False):
        where: Where = ("stop", "target", name)
        if name not in objectives and name not in joint:
            reader.unknown(where, name, [*joint, *objectives], "objective")
            continue
        objective = objectives[name] if name in objectives else joint[name]
        data = reader.at(where)
        if name in joint:
            data = target_as_bounds(data)
        if objective is not None and isinstance(data, dict) and "unit" not in data:
            data = {"unit": objective.unit, **data}
        target = reader.model(Target, where, data)
        if target is None or objective is None:
            continue
        if not is_compatible(target.unit, objective.unit):
            reader.wrong(where, f"a target in {target.unit} does not fit an objective in {objective.unit}")
        else:
            targets[name] = target
    gain = None if joined(objectives) else read_gain(reader, objectives)
    return None if spec is None else Stop(spec.experiments, targets, gain)


# --- planner -----------------------------------------------------------------------------------------------------------


def _planner(reader: Reader) -> PlannerSpec | None:
    data = reader.at(("planner",))
    if data is None:
        reader.wrong((), "'planner' is missing, such as {type: bayes}")
        return None
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        reader.wrong(("planner",), f"must be a mapping with a 'type' such as {{type: bayes}}, got {brief(data)}")
        return None
    return PlannerSpec(data["type"], {k: v for k, v in data.items() if k != "type"}, ("planner",))
