"""Check every step of a protocol against the lab: actions, arguments, units, limits over the whole box, outcomes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.analysis import get_analysis
from sdl.campaign import Reference
from sdl.errors import InputError, UnitError, brief, listed, near_miss
from sdl.loop import Constant, FromParameter, Gives, Shared, StepPlan
from sdl.preflight.policies import check_approve, check_if_fails
from sdl.preflight.samples import SampleWalk, check_room
from sdl.space import Categorical, Continuous, Discrete, Integer
from sdl.units import DIMENSIONLESS, convert, is_compatible, read_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.campaign import Draft, Reader, Step, Where
    from sdl.driver import ActionSpec, FieldSpec
    from sdl.lab import LabPlan

    AnyParameter = Continuous | Integer | Discrete | Categorical

UNCERTAINTY = "_uncertainty"
"""A result field with this ending holds the standard uncertainty of the field before it."""


def check_steps(
    draft: Draft, steps: Sequence[Step], lab: LabPlan | None, first: int = 0, *, is_target: bool = True
) -> tuple[tuple[StepPlan, ...], tuple[StepPlan, ...]]:
    """Return the protocol's steps ready to be carried out, and those that follow a failure; problems are noted in the draft.

    Args:
        draft: the campaign.
        steps: the protocol of one of its sources.
        lab: what carries them out, or None where it is not known.
        first: index of the first step.
        is_target: whether it is the source whose results count; of another that makes nothing, such as a calculation, nothing
            is cleared away after a failure.
    """
    checker = _Checker(draft, draft.reader(), lab)
    every = [*steps, *draft.on_failure]
    plans: list[StepPlan] = []
    for index, step in enumerate(every):
        occurrence = sum(s.instrument == step.instrument and s.action == step.action for s in every[:index])
        plan = checker.step(step, first + index, occurrence, every[:index])
        if plan is not None:
            plans.append(plan)
    if lab is None or len(plans) < len(every):
        return tuple(plans), ()  # something was found wrong: what follows from the whole way is not known
    walk = SampleWalk(draft, lab, checker.extremes)
    protocol = walk.protocol(steps, plans[: len(steps)])
    route = walk.route
    if not is_target and not _makes_something(protocol, lab):
        return protocol, ()
    failing = walk.after_failure(draft.on_failure, plans[len(steps) :])
    if draft.stop is not None:
        check_room(draft.reader(), lab.places, (route, walk.route), draft.concurrency, draft.stop.experiments)
    return protocol, failing


def _makes_something(protocol: Sequence[StepPlan], lab: LabPlan) -> bool:
    """Tell whether a protocol leaves something in the lab: a sample in a place or, where the lab names none, any change."""
    if any(instrument.place for instrument in lab.instruments.values()):
        return any(step.destination is not None for step in protocol)
    return any(step.action.effect != "reads" for step in protocol)


@dataclass
class _Checker:
    draft: Draft
    reader: Reader
    lab: LabPlan | None

    def step(self, step: Step, index: int, occurrence: int, before: Sequence[Step]) -> StepPlan | None:
        """Check one step; `before` are those before it."""
        action = self._action(step)
        if action is None:
            return None
        arguments = self._arguments(step, action)
        gives = self._gives(step, action)
        together = None
        if step.together is not None:
            together = Shared(step.together.wait, step.together.at_most or action.samples)
        return StepPlan(
            index,
            step.instrument,
            action,
            arguments,
            step.analysis,
            gives,
            occurrence,
            together=together,
            if_fails=check_if_fails(self.reader, step, action, self.lab, before),
            approve=check_approve(self.reader, step, action),
        )

    def _action(self, step: Step) -> ActionSpec | None:
        spec = self.draft.lab
        if spec is None:
            return None
        if step.instrument not in spec.written:
            if spec.written:  # a lab without any is noted already
                self.reader.unknown((*step.where, "instrument"), step.instrument, spec.written, "instrument")
            return None
        if self.lab is None or step.instrument not in self.lab.instruments:
            return None  # its driver or settings were found wrong
        actions = self.lab.instruments[step.instrument].description.actions
        if step.action not in actions:
            self.reader.unknown((*step.where, "action"), step.action, actions.keys(), "action", f"'{step.instrument}'")
            return None
        return actions[step.action]

    # --- arguments ---------------------------------------------------------------------------------------------------

    def _arguments(self, step: Step, action: ActionSpec) -> dict[str, FromParameter | Constant]:
        known = {p.name: p for p in action.parameters}
        result: dict[str, FromParameter | Constant] = {}
        for name, argument in step.arguments.items():
            where = (*step.where, "with", name)
            if name not in known:
                self.reader.unknown(where, name, known.keys(), "argument", f"'{step.instrument}.{step.action}'")
            elif isinstance(argument, Reference):
                found = self._reference(where, argument, known[name])
                if found is not None:
                    result[name] = found
            else:
                value = self._constant(where, argument, known[name])
                if value is not None:
                    result[name] = Constant(value)
        for name, spec in known.items():
            if spec.required and name not in step.arguments and name not in step.unreadable:
                self.reader.wrong(
                    (*step.where, "with") if step.arguments else step.where,
                    f"'{step.instrument}.{step.action}' needs '{name}' ({spec.allowed}){near_miss(name, step.arguments)}",
                )
        return result

    def _constant(self, where: Where, value: Any, spec: FieldSpec) -> Any:  # noqa: ANN401
        if isinstance(value, float) and not math.isfinite(value):
            return None  # noted already
        if spec.kind in {"number", "integer"} and isinstance(value, str):
            try:
                quantity = read_quantity(value)
                if quantity.unit == DIMENSIONLESS and spec.unit != DIMENSIONLESS:
                    self.reader.wrong(where, f"'{value}' needs a unit that fits {spec.unit}")
                    return None
                value = quantity.to(spec.unit)
            except UnitError as error:
                self.reader.wrong(where, f"{error}; the action takes {spec.allowed}")
                return None
            if spec.kind == "integer" and float(value).is_integer():
                value = int(value)
        elif spec.kind in {"number", "integer"} and not isinstance(value, bool) and spec.unit != DIMENSIONLESS:
            said = f"{brief(value)} needs a unit: write it as a quantity, such as '{brief(value)} {spec.unit}'"
            self.reader.wrong(where, said)
            return None
        problem = spec.problem(value)
        if problem is not None:
            self.reader.wrong(where, problem)
            return None
        return value

    def _reference(self, where: Where, reference: Reference, spec: FieldSpec) -> FromParameter | None:
        parameter = self.draft.parameters.get(reference.parameter)
        if parameter is None:
            return None  # its own problem is noted already
        name = f"${reference.parameter}"
        if isinstance(parameter, Categorical):
            return self._category(where, reference, parameter, spec)
        if spec.kind in {"text", "boolean"}:
            self.reader.wrong(where, f"{name} is a number, the action takes {spec.allowed}")
            return None
        if not is_compatible(parameter.unit, spec.unit):
            self.reader.wrong(where, f"{name} is in {parameter.unit}, which does not fit the action's {spec.unit}")
            return None
        if spec.kind == "integer" and isinstance(parameter, Continuous):
            self.reader.wrong(where, f"{name} is continuous, the action takes whole numbers")
            return None
        for value in self._extremes(reference.parameter, parameter):
            converted = convert(value, parameter.unit, spec.unit)
            problem = spec.problem(round(converted) if spec.kind == "integer" and converted.is_integer() else converted)
            if problem is not None:
                own = "" if parameter.unit == spec.unit else f" = {converted:g} {spec.unit}"
                self.reader.wrong(
                    where, f"{name} may become {value:g} {parameter.unit}{own}: {problem}; narrow its range"
                )
                return None
        return FromParameter(reference.parameter, parameter.unit, spec)

    def _category(
        self, where: Where, reference: Reference, parameter: Categorical, spec: FieldSpec
    ) -> FromParameter | None:
        if spec.kind != "text":
            self.reader.wrong(where, f"${reference.parameter} is categorical, the action takes {spec.allowed}")
            return None
        refused = [v for v in parameter.values if spec.problem(v) is not None]
        if refused:
            self.reader.wrong(
                where, f"${reference.parameter} may become {listed(refused)}; the action takes {spec.allowed}"
            )
            return None
        return FromParameter(reference.parameter, parameter.unit, spec)

    def extremes(self, name: str) -> list[float]:
        """Return the values of a numerical parameter at which a limit could be broken; none for another."""
        parameter = self.draft.parameters.get(name)
        return [] if parameter is None or isinstance(parameter, Categorical) else self._extremes(name, parameter)

    def _extremes(self, name: str, parameter: Continuous | Integer | Discrete) -> list[float]:
        """Return the values at which a limit could be broken: rows of the pool, else bounds and levels."""
        space = self.draft.space
        if space is not None and space.pool is not None:
            column = space.pool.codes[:, space.pool.names.index(name)]
            if isinstance(parameter, Continuous):  # units convert linearly: between the ends nothing is new
                return [float(column.min()), float(column.max())]
            return [float(v) for v in np.unique(column)]
        if isinstance(parameter, Discrete):
            return [float(v) for v in parameter.levels]
        # Units convert linearly: where the first two whole numbers stay whole numbers, all do.
        second = [parameter.lower + 1.0] if isinstance(parameter, Integer) else []
        return [parameter.lower, *second, parameter.upper]

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def _gives(self, step: Step, action: ActionSpec) -> tuple[Gives, ...]:
        if step.analysis is not None:
            try:
                fields = {f.name: f for f in get_analysis(step.analysis).gives}
            except InputError as error:
                self.reader.wrong((*step.where, "analysis"), str(error))
                return ()
            if not step.gives:
                self.reader.wrong(
                    (*step.where, "analysis"), f"the analysis '{step.analysis}' gives no outcome; add 'gives'"
                )
            technique = get_analysis(step.analysis).technique
            if action.raw and technique not in action.raw:
                self.reader.wrong(
                    (*step.where, "analysis"),
                    f"'{step.analysis}' takes data of {technique}, but '{step.instrument}.{step.action}' gives "
                    f"{listed(action.raw)}",
                )
            origin = f"analysis '{step.analysis}'"
        else:
            fields = {r.name: r for r in action.results}
            origin = f"'{step.instrument}.{step.action}'"
        return tuple(
            g
            for outcome, field in step.gives.items()
            if (g := self._give(step, outcome, field, fields, origin)) is not None
        )

    def _give(self, step: Step, outcome: str, field: str, fields: Mapping[str, FieldSpec], origin: str) -> Gives | None:
        where = (*step.where, "gives", outcome)
        if field not in fields:
            self.reader.unknown(where, field, fields.keys(), "field", origin)
            return None
        spec = fields[field]
        if spec.kind not in {"number", "integer"}:
            self.reader.wrong(where, f"'{field}' of {origin} is no number")
            return None
        wanted = self.draft.objectives.get(outcome) or self.draft.outcome_constraints.get(outcome)
        if wanted is None:
            return None  # noted where outcomes are compared with objectives
        if not is_compatible(spec.unit, wanted.unit):
            self.reader.wrong(
                where,
                f"'{outcome}' is declared in {wanted.unit}, but '{field}' of {origin} is in {spec.unit}; "
                f"write 'unit: {spec.unit}', or one that fits it, where '{outcome}' is declared",
            )
            return None
        uncertainty = field + UNCERTAINTY
        return Gives(outcome, field, spec.unit, wanted.unit, uncertainty if uncertainty in fields else None)
