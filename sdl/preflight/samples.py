"""Follow a sample through its protocol before anything moves: where it is, what it lies in, what is used up on it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from sdl.errors import UnitError, listed
from sdl.loop import Constant, FromParameter, StepPlan
from sdl.space import Categorical
from sdl.units import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sdl.campaign import Draft, Reader, Step
    from sdl.driver import FieldSpec
    from sdl.lab import LabPlan

    Extremes = Callable[[str], list[float]]


class SampleWalk:
    """Follows one sample; problems are noted in the draft.

    Args:
        draft: the campaign.
        lab: its lab.
        extremes: parameter → the values at which a limit could be broken.
    """

    def __init__(self, draft: Draft, lab: LabPlan, extremes: Extremes) -> None:
        self._draft = draft
        self._reader: Reader = draft.reader()
        self._lab = lab
        self._extremes = extremes
        self._at: str | None = None
        self._containers: tuple[str, ...] = ()
        self.route: list[str] = []

    def protocol(self, written: Sequence[Step], plans: Sequence[StepPlan]) -> tuple[StepPlan, ...]:
        """Return the steps with their destinations."""
        return tuple(self._step(step, plan) for step, plan in zip(written, plans, strict=True))

    def after_failure(self, written: Sequence[Step], plans: Sequence[StepPlan]) -> tuple[StepPlan, ...]:
        """Return the steps that follow a failure; the sample may be anywhere when they begin."""
        self._at, self._containers, self.route = None, (), []
        return tuple(self._step(step, plan, lost=True) for step, plan in zip(written, plans, strict=True))

    def _step(self, step: Step, plan: StepPlan, *, lost: bool = False) -> StepPlan:
        self._used_up(step, plan)
        self._shared(step, plan)
        self._heated(step, plan)
        self._contained(step, plan)
        return self._moved(step, plan, lost=lost)

    # --- where it is -------------------------------------------------------------------------------------------------

    def _moved(self, step: Step, plan: StepPlan, *, lost: bool) -> StepPlan:
        works_at = self._lab.instruments[step.instrument].place
        goes = plan.action.with_role("place")
        destination: str | None = None
        if works_at is not None:
            if self._at is None and not (lost and goes is not None):
                destination = None if lost else works_at  # it is made here
            elif self._at not in {None, works_at}:
                self._reader.wrong(
                    step.where,
                    f"the sample is at '{self._at}' by then, but '{step.instrument}' works at '{works_at}'; move it there first",
                )
            self._at = works_at
        if goes is not None:
            found = self._destination(step, plan, goes)
            if found is None:
                return plan
            if self._at is None and not lost and any(i.place for i in self._lab.instruments.values()):
                self._reader.wrong(step.where, "there is no sample to move yet; a step that makes it comes first")
            elif found == self._at:
                self._reader.wrong((*step.where, "with", goes.name), f"the sample is at '{found}' already by then")
            destination = self._at = found
        if self._at is not None and (not self.route or self.route[-1] != self._at):
            self.route.append(self._at)
        return replace(plan, destination=destination)

    def _destination(self, step: Step, plan: StepPlan, goes: FieldSpec) -> str | None:
        where = (*step.where, "with", goes.name)
        source = plan.arguments.get(goes.name)
        if source is None:
            if goes.default is None:
                return None  # missing, and noted
            source = Constant(goes.default)
        if not isinstance(source, Constant):
            self._reader.wrong(where, "must be a fixed place: the way of a sample is planned before anything moves")
            return None
        place = str(source.given)
        if place not in self._lab.places:
            if self._lab.places:
                self._reader.unknown(where, place, self._lab.places, "place")
            else:
                self._reader.wrong(where, f"the lab names no places; add 'places: {{{place}: {{capacity: 1}}}}' to it")
            return None
        return place

    # --- what it lies in ---------------------------------------------------------------------------------------------

    def _contained(self, step: Step, plan: StepPlan) -> None:
        spec = plan.action.with_role("container")
        if spec is None or (source := plan.arguments.get(spec.name, Constant(spec.default))) == Constant(None):
            return
        kinds = self._words(source)
        unknown = [k for k in kinds if k not in self._lab.containers]
        if unknown:
            where = (*step.where, "with", spec.name)
            if self._lab.containers:
                self._reader.unknown(where, unknown[0], self._lab.containers, "container")
            else:
                self._reader.wrong(
                    where,
                    f"the lab names no containers; add 'containers: {{{unknown[0]}: {{stands: 1200 degC}}}}' to it",
                )
        self._containers = tuple(k for k in kinds if k in self._lab.containers)

    def _heated(self, step: Step, plan: StepPlan) -> None:
        spec = plan.action.with_role("heats")
        source = None if spec is None else plan.arguments.get(spec.name)
        if spec is None or source is None:
            return
        if isinstance(source, FromParameter):
            values = [convert(v, source.unit, "degC") for v in self._extremes(source.parameter)]
            said = f"${source.parameter} may become"
        else:
            values, said = [convert(float(source.given), spec.unit, "degC")], "the step heats to"
        hottest = max(values, default=0.0)
        for kind in self._containers:
            stands = self._lab.containers[kind]
            if hottest > stands:
                self._reader.wrong(
                    (*step.where, "with", spec.name),
                    f"{said} {hottest:g} degC, but the sample may lie in '{kind}', which stands {stands:g} degC; "
                    "take another container or stay below",
                )

    def _words(self, source: FromParameter | Constant) -> tuple[str, ...]:
        if isinstance(source, Constant):
            return (str(source.given),)
        parameter = self._draft.parameters.get(source.parameter)
        return parameter.values if isinstance(parameter, Categorical) else ()

    # --- what it takes -----------------------------------------------------------------------------------------------

    def _used_up(self, step: Step, plan: StepPlan) -> None:
        units = {p.name: p.unit for p in plan.action.parameters}
        for use in plan.action.uses:
            if use.consumable not in self._lab.consumables:
                self._reader.wrong(
                    step.where,
                    f"'{step.instrument}.{step.action}' uses up '{use.consumable}', which the lab does not list; "
                    f"it lists {listed(self._lab.consumables)}; add it under 'consumables' with what there is of it",
                )
                continue
            unit = units[use.amount] if isinstance(use.amount, str) else use.unit
            stock = self._lab.consumables[use.consumable]
            try:
                there = stock.to(unit)
            except UnitError as error:
                self._reader.wrong(step.where, f"'{use.consumable}' is listed as {stock}: {error}")
                continue
            least = self._least(plan, use.amount)
            if least is not None and least > there:
                self._reader.wrong(
                    step.where,
                    f"'{step.instrument}.{step.action}' takes at least {least:g} {unit} of '{use.consumable}', "
                    f"but there are {there:g} {unit}; fill it up and say so under 'consumables'",
                )

    def _least(self, plan: StepPlan, amount: float | str) -> float | None:
        if not isinstance(amount, str):
            return amount
        source = plan.arguments.get(amount)
        if isinstance(source, FromParameter):
            return min(
                (convert(v, source.unit, source.target.unit) for v in self._extremes(source.parameter)), default=None
            )
        return None if source is None else float(source.given)

    def _shared(self, step: Step, plan: StepPlan) -> None:
        if step.together is None:
            return
        where = (*step.where, "together")
        action = f"'{step.instrument}.{step.action}'"
        if plan.action.samples < 2:
            self._reader.wrong(where, f"{action} takes one sample at a time; nothing can be shared")
        elif step.together.at_most is not None and step.together.at_most > plan.action.samples:
            self._reader.wrong(
                (*where, "at_most"),
                f"{action} takes {plan.action.samples} samples at most, got {step.together.at_most}",
            )
        if step.analysis is not None:
            self._reader.wrong(
                (*step.where, "analysis"),
                "raw data of a shared command belong to no one sample; measure each by itself",
            )


def check_room(
    reader: Reader,
    places: Mapping[str, int],
    routes: tuple[Sequence[str], Sequence[str]],
    concurrency: int,
    budget: int,
) -> None:
    """Check that samples cannot block each other for good, and that those which are finished have somewhere to stay.

    Samples block each other only around a circle of places that are all full. A place that holds as many samples as are under
    way at once is never full of them, so a circle with such a place cannot block.

    Args:
        reader: takes the problems.
        places: name → capacity.
        routes: the places of a sample's way, and of the way after a failure.
        concurrency: samples under way at once.
        budget: samples that are made in all.
    """
    route, failing = routes
    if not route:
        return
    narrow = {p for p in route if places[p] < concurrency}
    edges: dict[str, set[str]] = {p: set() for p in narrow}
    for here, there in itertools.pairwise(route):
        if here in narrow and there in narrow:
            edges[here].add(there)
    circle = _circle(edges)
    if circle:
        reader.wrong(
            ("protocol",),
            f"samples can block each other for good: {' → '.join(circle)} is a circle in which every place holds fewer than "
            f"the {concurrency} samples under way; let it pass a place with 'capacity: {concurrency}', or lower 'concurrency'",
        )
    if not failing:
        reader.wrong(
            (),
            "a failed sample would stay where it is and be in the way of all others; say where it goes: "
            "'on_failure: [{instrument: arm, action: move, with: {to: bin}}]'",
        )
    for way, section, which in ((route, "protocol", "finished"), (failing, "on_failure", "failed")):
        if way and places[way[-1]] < budget:
            reader.wrong(
                (section,),
                f"{which} samples stay at '{way[-1]}', which holds {places[way[-1]]}, but {budget} may be made; end at a place "
                f"that holds them, such as '{way[-1]}: {{capacity: {budget}}}'",
            )


def _circle(edges: Mapping[str, set[str]]) -> list[str]:
    """Return one circle of a directed graph, its first node repeated at the end, or nothing."""
    done: set[str] = set()

    def look(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(edges[node]):
            if found := look(other, [*path, node]):
                return found
        done.add(node)
        return []

    for start in sorted(edges):
        if found := look(start, []):
            return found
    return []
