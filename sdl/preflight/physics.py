"""The models of `physics:` as pure functions of points, looked up, with units converted, and tried before anything moves."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.campaign import Reader
from sdl.driver import get_driver
from sdl.driver.functions import GivesFunction
from sdl.errors import DriverError, InputError, PlannerError, SpaceError, UnitError, brief, listed, near_miss
from sdl.planners.beforehand import (
    Argument,
    Converted,
    ExpressionModel,
    FunctionModel,
    Physics,
    PointModel,
    point_of,
    values_of,
)
from sdl.space import Categorical
from sdl.space.sampling import uniform
from sdl.units import DIMENSIONLESS, read_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sdl.campaign import Draft, Where
    from sdl.campaign.physics import PhysicsSpec
    from sdl.driver import ActionSpec, FieldSpec
    from sdl.planners import Planner, Problem
    from sdl.space import Candidate, Space

    Array = NDArray[np.float64]

_TRIED = 512
"""Points of the space, besides its corners, at which a model is tried before anything begins. Chosen."""
_CORNERS = 8
"""Numerical parameters up to which all corners of the box are tried, 256 of them. Chosen."""


def physics_of(draft: Draft) -> tuple[dict[str, PointModel], tuple[Physics, ...]]:
    """Return the models by name, and what they are used as; what is wrong is noted in the draft, as far as it was read."""
    models: dict[str, PointModel] = {}
    used: list[Physics] = []
    if draft.space is None:
        return models, ()
    for name, spec in draft.physics.items():
        where: Where = place_of(draft, name)
        model = _expression(draft, name, spec) if spec.instrument is None else _calculation(draft, where, name, spec)
        if model is not None:
            models[name] = model
            used.append(Physics(name, str(spec.outcome), spec.role))
    return models, tuple(used)


def check_physics(draft: Draft, planner: Planner | None, models: dict[str, PointModel]) -> None:
    """Note what a planner cannot do with physics, and where a model has no finite value."""
    if not draft.physics:
        return
    if planner is not None and not planner.capabilities.physics:
        draft.reader().wrong(
            ("planner", "type"),
            f"planner '{planner.name}' takes no physics as help; leave 'physics' out, or choose bayes",
        )
    if len(draft.sources) > 1:
        draft.reader().wrong(
            ("physics",),
            "together with several 'sources' physics is not used as help; leave 'physics' or all but one source out",
        )
    if draft.space is None:
        return
    points = _points(draft.space, [k.candidate for k in draft.known])
    for name, model in models.items():
        try:
            found = values_of(model, draft.space, points)
        except PlannerError as error:
            draft.reader().wrong(place_of(draft, name), str(error))
            continue
        if np.ptp(found) == 0:
            draft.reader().wrong(place_of(draft, name), f"is {found[0]:g} everywhere in the space, so it says nothing")


def place_of(draft: Draft, name: str) -> Where:
    """Return where a model stands in the campaign file."""
    written = draft.reader().at(("physics",))
    return ("physics", name) if isinstance(written, dict) and isinstance(written.get(name), dict) else ("physics",)


def _points(space: Space, known: Sequence[Candidate]) -> Array:
    """Return points to try a model at: rows of the pool, or corners and feasible points, and what was known before."""
    rng = np.random.default_rng(0)
    rows = []
    for candidate in known:
        try:
            rows.append(space.encode([candidate])[0])
        except (SpaceError, KeyError, ValueError):
            continue
    found = [np.array(rows).reshape(-1, len(space.names))]
    if space.pool is not None:
        found.append(space.pool.codes if len(space.pool) <= _TRIED else uniform(space, _TRIED, rng))
        return np.concatenate(found)
    found.append(uniform(space, _TRIED, rng))
    numbers = [p for p in space.parameters.values() if not isinstance(p, Categorical)]
    if len(numbers) <= _CORNERS:
        ends = [(0.0,) if isinstance(p, Categorical) else (p.lower, p.upper) for p in space.parameters.values()]
        corners = np.array(list(itertools.product(*ends)))
        found.append(corners[space.satisfies(corners)])
    return np.concatenate(found)


def _expression(draft: Draft, name: str, spec: PhysicsSpec) -> ExpressionModel:
    assert spec.expression is not None
    unit = Converted() if spec.role == "feature" else Converted.between(spec.unit, _unit_of(draft, spec))
    return ExpressionModel(name, spec.expression.strip(), tuple(draft.parameters), unit)


def _unit_of(draft: Draft, spec: PhysicsSpec) -> str:
    wanted = draft.objectives.get(str(spec.outcome)) or draft.outcome_constraints.get(str(spec.outcome))
    return DIMENSIONLESS if wanted is None else wanted.unit


# --- calculations ----------------------------------------------------------------------------------------------------


def _calculation(draft: Draft, where: Where, name: str, spec: PhysicsSpec) -> FunctionModel | None:
    reader = draft.reader()
    lab = draft.lab
    if lab is None:
        return None
    if lab.server is not None:
        reader.wrong(
            (*where, "model"),
            "the lab is a process of its own; a planner can ask calculations of its campaign's own lab",
        )
        return None
    instrument = lab.instruments.get(str(spec.instrument))
    if instrument is None:
        if spec.instrument not in lab.written:
            reader.unknown((*where, "model"), str(spec.instrument), lab.written, "instrument")
        return None
    try:
        driver = get_driver(instrument.driver)
        if not isinstance(driver, GivesFunction):
            reader.wrong(
                (*where, "model"),
                f"'{instrument.name}' is no pure function (driver '{instrument.driver}'); use one with driver 'calculation'",
            )
            return None
        own = Reader(lab.document, [])
        context = {"resolve": draft.files.resolver(lab.key)}
        settings = own.model(driver.settings_model, (*instrument.where, "settings"), dict(instrument.settings), context)
        if settings is None:
            return None  # noted where the lab is checked
        actions = driver.describe(settings, instrument.driver).actions
        function = driver.pure_function(settings)
    except (DriverError, InputError) as error:
        reader.wrong((*where, "model"), str(error))
        return None
    action = next(iter(actions.values()))
    before = len(reader.problems)
    result = _result(draft, where, spec, action)
    arguments = _arguments(draft, where, spec, action)
    if result is None or len(reader.problems) > before:
        return None
    categories = {n: p.values for n, p in draft.parameters.items() if isinstance(p, Categorical)}
    return FunctionModel(
        name, function, tuple(arguments), result[0], tuple(draft.parameters), categories, result[1], spec.arrays
    )


def _result(draft: Draft, where: Where, spec: PhysicsSpec, action: ActionSpec) -> tuple[str, Converted] | None:
    reader = draft.reader()
    numbers = {r.name: r for r in action.results if r.kind in {"number", "integer"}}
    one = spec.gives or (next(iter(numbers)) if len(numbers) == 1 else None)
    if one is None:
        reader.wrong(where, f"'gives' is missing: which of its results is meant; there are {listed(numbers)}")
        return None
    if one not in numbers:
        reader.unknown((*where, "gives"), one, numbers, "result", f"'{spec.instrument}'")
        return None
    if spec.role == "feature":
        return one, Converted()
    unit, wanted = numbers[one].unit, _unit_of(draft, spec)
    try:
        return one, Converted.between(unit, wanted)
    except UnitError:
        reader.wrong(
            (*where, "outcome"),
            f"'{one}' is in {unit}, '{spec.outcome}' in {wanted}; as a role: feature any unit will do",
        )
        return None


def _arguments(draft: Draft, where: Where, spec: PhysicsSpec, action: ActionSpec) -> list[Argument]:
    """Return what the function is given; by default the parameters of the same names."""
    reader = draft.reader()
    taken = {p.name: p for p in action.parameters}
    stated = spec.arguments
    if stated is None:
        stated = {name: f"${name}" for name in taken if name in draft.parameters}
    found: list[Argument] = []
    for name, given in stated.items():
        place = (*where, "with", name)
        if name not in taken:
            reader.unknown(place, name, taken, "argument", f"'{spec.instrument}'")
            continue
        argument = _argument(draft, taken[name], given)
        if isinstance(argument, str):
            reader.wrong(place if spec.arguments is not None else where, argument)
        else:
            found.append(argument)
    missing = [n for n, p in taken.items() if p.required and n not in stated]
    if missing:
        reader.wrong(
            where,
            f"'{spec.instrument}' needs {listed(missing)}, and there is no parameter of that name: state it under 'with', "
            f"such as {missing[0]}: $parameter",
        )
    return found


def _argument(draft: Draft, field: FieldSpec, given: Any) -> Argument | str:  # noqa: ANN401  as written
    """Return an argument, or what is wrong with it."""
    if isinstance(given, str) and given.startswith("$") and not given.startswith("$$"):
        name = given[1:]
        if name not in draft.parameters:
            return f"unknown parameter '{name}'{near_miss(name, draft.parameters)}; parameters are {listed(draft.parameters)}"
        parameter = draft.parameters[name]
        if parameter is None:
            return Argument(field.name, name)
        if isinstance(parameter, Categorical):
            wrong = [v for v in parameter.values if field.kind != "text" or field.problem(v) is not None]
            return (
                f"'{name}' may be {listed(wrong)}, which '{field.name}' does not take"
                if wrong
                else Argument(field.name, name)
            )
        if field.kind not in {"number", "integer"}:
            return f"'{name}' is a number, '{field.name}' takes a {field.kind}"
        try:
            unit = Converted.between(parameter.unit, field.unit)
        except UnitError as error:
            return str(error)
        for end in (parameter.lower, parameter.upper):
            reached = float(unit(np.asarray(end)))
            if not field.lower <= reached <= field.upper:
                return (
                    f"'{name}' reaches {reached:g} {field.unit}, outside of what '{field.name}' takes, {field.allowed}"
                )
        return Argument(field.name, name, unit)
    value: Any = given[1:] if isinstance(given, str) and given.startswith("$$") else given
    if field.kind in {"number", "integer"}:
        try:
            quantity = read_quantity(value)
            value = quantity.value if quantity.unit == DIMENSIONLESS else quantity.to(field.unit)
        except UnitError as error:
            return str(error)
        value = int(value) if field.kind == "integer" and float(value).is_integer() else value
    problem = field.problem(value)
    return f"{brief(given)}: {problem}" if problem is not None else Argument(field.name, fixed=value)


def told_of_physics(problem: Problem) -> list[str]:
    """Return a line on each model for people: its values over the space."""
    lines = []
    space = problem.space
    points = _points(space, [t.candidate for t in problem.known])
    for one in problem.physics:
        found = values_of(problem.models[one.name], space, points)
        wanted = problem.objectives.get(one.outcome) or problem.outcome_constraints[one.outcome]
        unit = "" if one.role == "feature" or wanted.unit == DIMENSIONLESS else f" {wanted.unit}"
        ends = (int(np.argmin(found)), int(np.argmax(found)))
        low, high = (f"{found[i]:.4g}{unit} at {point_of(space, points[i])}" for i in ends)
        lines.append(f"physics '{one.name}' ({one.role} of {one.outcome}): from {low} to {high}")
    return lines
